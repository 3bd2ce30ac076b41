"""The one normaliser that live and desired state both pass through, and the comparison of what came out of it.

It makes equal what means the same on the wire: a preset and its expanded policy, a `null` and an absent modelled field,
bindings in any order. It never invents a value.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from octosync.contract.objects import APP, SLOT, ObjectShape
from octosync.contract.policy import expand_policy, known_part
from octosync.model import JsonObject, JsonValue, canonical_json, json_equal


def normalise_app_fields(fields: JsonObject) -> JsonObject:
    """Normalise an app's own fields: a modelled `null` and an absent field are the same."""
    return _without_modelled_nulls(fields, APP)


def normalise_slot_fields(fields: JsonObject) -> JsonObject:
    """Normalise a slot's fields: the policy expanded, modelled nulls dropped, bindings in canonical order.

    Inside a binding a `null` is kept: it is opaque.
    """
    normal = dict(_without_modelled_nulls(fields, SLOT))
    if "serving_policy" in normal:
        normal["serving_policy"] = expand_policy(normal["serving_policy"])
    bindings = normal.get("bindings")
    if isinstance(bindings, Sequence) and not isinstance(bindings, str):
        normal["bindings"] = sorted(bindings, key=_binding_order)
    return normal


def field_equal(name: str, desired: JsonValue, live: JsonValue) -> bool:
    """Say whether a live slot or app field already is what is declared for it; pass the field's default for an absent one."""
    if name == "serving_policy" and isinstance(desired, Mapping) and isinstance(live, Mapping):
        return json_equal(known_part(desired), known_part(live))
    if name == "bindings" and isinstance(desired, list | tuple) and isinstance(live, list | tuple):
        return bindings_equal(desired, live)
    return json_equal(desired, live)


def bindings_equal(desired: Sequence[JsonValue], live: Sequence[JsonValue]) -> bool:
    """Compare two whole lists of bindings without order, each by the fields that are declared of it."""
    return len(desired) == len(live) and all(
        partner is not None and _contains(partner, declared) for declared, partner in _pair(desired, live)
    )


def merge_bindings(desired: Sequence[JsonValue], live: Sequence[JsonValue]) -> list[JsonValue]:
    """Return the declared list, each binding with its live partner's undeclared fields carried over."""
    merged = [
        {**partner, **declared} if isinstance(partner, Mapping) and isinstance(declared, Mapping) else declared
        for declared, partner in _pair(desired, live)
    ]
    return sorted(merged, key=_binding_order)


def merge_policy(desired: JsonValue, live: JsonValue) -> JsonValue:
    """Return the declared policy with the live one's unknown keys carried over; the known ones are one value."""
    if not isinstance(desired, Mapping) or not isinstance(live, Mapping):
        return desired
    known = known_part(live)
    return {**{key: value for key, value in live.items() if key not in known}, **desired}


def _without_modelled_nulls(fields: JsonObject, shape: ObjectShape) -> JsonObject:
    return {key: value for key, value in fields.items() if value is not None or key not in shape.writable}


def _pair(desired: Sequence[JsonValue], live: Sequence[JsonValue]) -> list[tuple[JsonValue, JsonValue]]:
    """Give each declared binding its live partner: the one with its `binding_key`, else the first that has all it declares."""
    free = list(live)
    pairs: dict[int, JsonValue] = {}
    keyed_first = sorted(range(len(desired)), key=lambda index: _key(desired[index]) is None)
    for index in keyed_first:
        declared = desired[index]
        key = _key(declared)
        partner = next(
            (one for one in free if (_key(one) == key if key is not None else _contains(one, declared))),
            None,
        )
        pairs[index] = partner
        if partner is not None:
            free.remove(partner)
    return [(declared, pairs[index]) for index, declared in enumerate(desired)]


def _key(binding: JsonValue) -> JsonValue:
    return binding.get("binding_key") if isinstance(binding, Mapping) else None


def _contains(live: JsonValue, declared: JsonValue) -> bool:
    if isinstance(live, Mapping) and isinstance(declared, Mapping):
        return all(key in live and json_equal(value, live[key]) for key, value in declared.items())
    return json_equal(live, declared)


def _binding_order(binding: JsonValue) -> tuple[str, str]:
    return (str(_key(binding) or ""), canonical_json(binding))
