"""The one normaliser that live and desired state both pass through, and the comparison of what came out of it.

It makes equal what means the same on the wire: a preset and its expanded policy, a `null` and an absent modelled field,
bindings in any order. It never invents a value.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from octosync.contract.pairing import contains, key_of, pair
from octosync.contract.policy import expand_policy, known_part, unknown_part
from octosync.contract.resources import APP, SLOT, ObjectShape
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
        place is not None and contains(live[place], declared)
        for declared, place in zip(desired, pair(desired, live), strict=True)
    )


def merge_bindings(desired: Sequence[JsonValue], live: Sequence[JsonValue]) -> list[JsonValue]:
    """Return the declared list, each binding with its live partner's undeclared fields carried over."""
    merged: list[JsonValue] = []
    for declared, place in zip(desired, pair(desired, live), strict=True):
        partner = None if place is None else live[place]
        if isinstance(partner, Mapping) and isinstance(declared, Mapping):
            merged.append({**partner, **declared})
        else:
            merged.append(declared)
    return sorted(merged, key=_binding_order)


def merge_policy(desired: JsonValue, live: JsonValue) -> JsonValue:
    """Return the declared policy with the live one's unknown keys carried over; the known ones are one value."""
    if not isinstance(desired, Mapping) or not isinstance(live, Mapping):
        return desired
    carried = dict(unknown_part(live))
    rest, own = carried.pop("fallback", None), desired.get("fallback")
    merged = {**carried, **desired}
    if isinstance(rest, Mapping) and isinstance(own, Mapping):
        merged["fallback"] = {**rest, **own}
    return merged


def _without_modelled_nulls(fields: JsonObject, shape: ObjectShape) -> JsonObject:
    return {key: value for key, value in fields.items() if value is not None or key not in shape.writable}


def _binding_order(binding: JsonValue) -> tuple[str, str]:
    return (key_of(binding) or "", canonical_json(binding))
