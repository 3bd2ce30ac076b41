"""The objects on the wire: their fields and defaults, the names that Octomil uses, and the normalization of their values.

The sets of names are public; the open ones grow on Octomil's side.

Normalized values with the same meaning on the wire are equal: a preset and its expanded policy, a `null` and an absent modelled
field, bindings in any order. No value is invented. A serving policy is one value: it is compared and sent expanded, and may
be declared or returned as a preset's name. Bindings have no order, and may be declared in part: each declared binding is
paired with a live one.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from octosync.model import JsonObject, JsonValue, canonical_json, json_equal


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectShape:
    """A kind of object on the wire. All fields are assumed, except for the shape of the serving policy, which is public.

    `writable` are the fields that manifests may declare, in display order; `read_only` fields are never sent, and a dotted one
    (`serving_policy.revision`, `bindings.id`) is inside a field, or inside each item of a list; `defaults` are the values of
    writable fields that a body or response omits.
    """

    name: str
    plural: str
    writable: tuple[str, ...]
    read_only: frozenset[str]
    defaults: Mapping[str, JsonValue] = field(default_factory=dict)

    def split(self, raw: JsonObject) -> tuple[JsonObject, JsonObject]:
        """Return a response's fields, without read-only parts, and its read-only fields."""
        fields = {key: value for key, value in raw.items() if key not in self.read_only}
        for path in self.read_only:
            first, *rest = path.split(".")
            if rest and first in fields:
                fields[first] = _without(fields[first], rest)
        return fields, {key: raw[key] for key in raw if key in self.read_only}


def _without(value: JsonValue, path: Sequence[str]) -> JsonValue:
    if isinstance(value, list | tuple):
        return [_without(item, path) for item in value]
    if not isinstance(value, Mapping) or path[0] not in value:
        return value
    first, *rest = path
    if not rest:
        return {key: item for key, item in value.items() if key != first}
    return {**value, first: _without(value[first], rest)}


APP = ObjectShape(
    name="app",
    plural="apps",
    writable=("name", "description"),
    read_only=frozenset({"id", "org_id", "slug", "archived_at", "created_at", "updated_at"}),
    defaults={"description": None},
)

TARGET = ObjectShape(
    name="target",
    plural="targets",
    writable=("platform", "identifier"),
    read_only=frozenset({"id", "app_id", "org_id", "created_at", "updated_at"}),
)

SLOT = ObjectShape(
    name="slot",
    plural="slots",
    writable=("serving_policy", "preferred_engines", "public_client_allowed", "model_variant_id", "bindings"),
    read_only=frozenset({"id", "app_id", "org_id", "capability", "created_at", "updated_at"}),
    defaults={"bindings": [], "preferred_engines": [], "public_client_allowed": False, "model_variant_id": None},
)

# The list fields of responses that octosync only reads (assumed).
DEPLOYMENTS = "deployments"
EVENTS = "events"
DECISIONS = "decisions"

SHAPES: Mapping[str, ObjectShape] = {shape.name: shape for shape in (APP, TARGET, SLOT)}


# Public: the SDKs' generated contract types.
PLATFORMS = ("ios", "android", "macos", "linux", "windows", "browser")
PUBLISHABLE_KEY_PLATFORMS = ("ios", "android", "browser")
ENVIRONMENTS = ("production", "staging", "development")
DEVICE_CLASSES = ("flagship", "high", "mid", "low")  # best first

# Open sets: an unknown name is a warning, since the planner uses other names in places.
CAPABILITIES = (
    "chat",
    "transcription",
    "text_completion",
    "keyboard_prediction",
    "embedding",
    "classification",
    "reasoning",
    "vision",
    "tts",
)
ENGINES = (
    "coreml",
    "mlx",
    "litert",
    "onnxruntime",
    "llamacpp",
    "mnn",
    "transformersjs",
    "cloud",
    "whisper",
    "mlc",
    "cactus",
    "samsung_one",
    "executorch",
    "echo",
    "sherpa-onnx",
)

# No status enum is public. Every status but these is a live deployment; `completed` is fully rolled out and serving.
DEPLOYED_STATUSES_NOT_LIVE = frozenset({"rolled_back"})
# Assumed. Only a rollout wait distinguishes them; for a plan, both are live.
DEPLOYED_STATUSES_STARTING = frozenset({"started"})
DEPLOYED_STATUSES_FAILED = frozenset({"failed"})

# Assumed: a slot's coverage if all, some or none of its devices have it.
COVERED = "covered"
PARTIAL = "partial"
UNCOVERED = "uncovered"


class ErrorCode(StrEnum):
    """Codes in error bodies. Public, except for `approval_required`, `inference_config_not_found` and those of tokens."""

    APP_NOT_FOUND = "app_not_found"
    CAPABILITY_NOT_CONFIGURED = "capability_not_configured"
    TARGET_NOT_FOUND = "target_not_found"
    INFERENCE_CONFIG_NOT_FOUND = "inference_config_not_found"
    DEPLOYMENT_NOT_FOUND = "deployment_not_found"
    CONFLICT = "conflict"
    VALIDATION_ERROR = "validation_error"
    INVALID_API_KEY = "invalid_api_key"
    INSUFFICIENT_SCOPE = "insufficient_scope"
    MISSING_ORG_CONTEXT = "missing_org_context"
    RATE_LIMITED = "rate_limited"
    PLAN_LIMIT_EXCEEDED = "plan_limit_exceeded"
    APPROVAL_REQUIRED = "approval_required"
    PAYLOAD_TOO_LARGE = "payload_too_large"


def pair_bindings(desired: Sequence[JsonValue], live: Sequence[JsonValue]) -> list[int | None]:
    """Return for each declared binding the index of the paired live one, None if there is none.

    A binding with a `binding_key` is paired with the live one that has this key. Any other binding is paired with a live one
    that has all declared fields: an equal one if possible, and otherwise so that the number of pairs is maximal, whatever
    the order of both lists.
    """
    partner: dict[int, int] = {}
    holder: dict[int, int] = {}
    keys = [binding_key(binding) for binding in live]
    texts = [canonical_json(binding) for binding in live]
    wanted = {i: key for i, binding in enumerate(desired) if (key := binding_key(binding)) is not None}
    _match(wanted, keys, partner, holder)
    rest = [i for i, binding in enumerate(desired) if binding_key(binding) is None]
    _match({i: canonical_json(desired[i]) for i in rest}, texts, partner, holder)
    open_ = [j for j in range(len(live)) if j not in holder]
    rest = [i for i in rest if i not in partner]
    candidates = _candidates({i: desired[i] for i in rest}, {j: live[j] for j in open_})
    for i in rest:
        _find_place(i, candidates, partner, holder)
    return [partner.get(i) for i in range(len(desired))]


def binding_key(binding: JsonValue) -> str | None:
    """Return the canonical text of a binding's `binding_key`, None if it has none."""
    key = binding.get("binding_key") if isinstance(binding, Mapping) else None
    return None if key is None else canonical_json(key)


def contains(live: JsonValue, declared: JsonValue) -> bool:
    """Return whether a live binding has every declared field with its declared value."""
    if isinstance(live, Mapping) and isinstance(declared, Mapping):
        return all(key in live and json_equal(value, live[key]) for key, value in declared.items())
    return json_equal(live, declared)


def _match(
    wanted: Mapping[int, str], offered: Sequence[str | None], partner: dict[int, int], holder: dict[int, int]
) -> None:
    """Pair bindings with equal texts, in order."""
    places: defaultdict[str | None, deque[int]] = defaultdict(deque)
    for j, text in enumerate(offered):
        if j not in holder:
            places[text].append(j)
    for i, text in wanted.items():
        if places[text]:
            j = places[text].popleft()
            partner[i], holder[j] = j, i


def _candidates(wanted: Mapping[int, JsonValue], offered: Mapping[int, JsonValue]) -> dict[int, list[int]]:
    """Return for each declared binding the live ones that have all its fields, in order.

    It uses an index of the live bindings' fields: pairwise comparison took half a minute for 3,000 of both.
    """
    objects = {j: binding for j, binding in offered.items() if isinstance(binding, Mapping)}
    having: defaultdict[tuple[str, str], set[int]] = defaultdict(set)
    for j, binding in objects.items():
        for name, value in binding.items():
            having[name, canonical_json(value)].add(j)
    found: dict[int, list[int]] = {}
    for i, declared in wanted.items():
        fields = declared.items() if isinstance(declared, Mapping) else ()
        places = [having.get((name, canonical_json(value)), set()) for name, value in fields]
        everywhere = set(objects) if isinstance(declared, Mapping) else set()
        found[i] = sorted(set.intersection(*sorted(places, key=len)) if places else everywhere)
    return found


def _find_place(
    start: int, candidates: Mapping[int, Sequence[int]], partner: dict[int, int], holder: dict[int, int]
) -> None:
    """Pair `start` with a live binding, re-pairing other bindings if that frees one (an augmenting path)."""
    reached_from: dict[int, int] = {}
    queue = deque([start])
    while queue:
        i = queue.popleft()
        for j in candidates[i]:
            if j in reached_from:
                continue
            reached_from[j] = i
            if j in holder:
                queue.append(holder[j])
                continue
            place: int | None = j
            while place is not None:
                mover = reached_from[place]
                left = partner.get(mover)
                partner[mover], holder[place] = place, mover
                place = left
            return


# Public: the SDKs' preset table. Only `auto` has a preference: with other modes it is neither sent nor compared.
_TABLE: Final = (
    # preset            routing_mode   preference     cloud  local fallback
    ("local_only", "local_only", None, False, True),
    ("private", "local_only", None, False, True),
    ("local_first", "auto", "local", True, True),
    ("performance_first", "auto", "performance", True, True),
    ("cloud_first", "auto", "cloud", True, True),
    ("cloud_only", "cloud_only", None, True, False),
)

ROUTING_MODES: Final = ("auto", "local_only", "cloud_only")
ROUTING_PREFERENCES: Final = ("local", "performance", "cloud")

_KNOWN: Final = ("routing_mode", "routing_preference", "fallback")
_KNOWN_FALLBACK: Final = ("allow_cloud_fallback", "allow_local_fallback")


def _policy(mode: str, preference: str | None, cloud: bool, local: bool) -> JsonObject:
    head: dict[str, JsonValue] = {"routing_mode": mode}
    if preference is not None:
        head["routing_preference"] = preference
    return {**head, "fallback": {"allow_cloud_fallback": cloud, "allow_local_fallback": local}}


PRESETS: Final[Mapping[str, JsonObject]] = MappingProxyType(
    {name: _policy(mode, preference, cloud, local) for name, mode, preference, cloud, local in _TABLE}
)


def expand_policy(policy: JsonValue) -> JsonValue:
    """Return the expanded policy of a preset's name or an object; any other value is returned unchanged.

    A preference outside `auto` is dropped: it has no meaning, although servers may return one. A `null` is dropped if the
    contract knows the key.
    """
    if isinstance(policy, str):
        return PRESETS.get(policy, policy)
    if isinstance(policy, Mapping) and policy.get("routing_mode") in ROUTING_MODES:
        drop = policy["routing_mode"] != "auto"
        return {
            key: value
            for key, value in policy.items()
            if not (value is None and key in _KNOWN) and not (drop and key == "routing_preference")
        }
    return policy


def preset_of(policy: JsonValue) -> str | None:
    """Return the preset that expands to this policy, `local_only` rather than its synonym `private`; None for a custom one."""
    expanded = expand_policy(policy)
    return next((name for name, preset in PRESETS.items() if json_equal(preset, expanded)), None)


def known_policy(policy: JsonObject) -> JsonObject:
    """Return the fields of a policy that the contract knows, at both levels."""
    known = {key: policy[key] for key in _KNOWN if key in policy}
    if isinstance(fallback := known.get("fallback"), Mapping):
        known["fallback"] = {key: fallback[key] for key in _KNOWN_FALLBACK if key in fallback}
    return known


def unknown_policy(policy: JsonObject) -> JsonObject:
    """Return the fields that `known_policy` leaves out, `fallback` only if it has such fields."""
    unknown = {key: value for key, value in policy.items() if key not in _KNOWN}
    fallback = policy.get("fallback")
    rest = {k: v for k, v in fallback.items() if k not in _KNOWN_FALLBACK} if isinstance(fallback, Mapping) else {}
    return {**unknown, "fallback": rest} if rest else unknown


def contradiction_in(policy: JsonValue) -> str | None:
    """Return the contradiction in an expanded policy, None if there is none.

    There are exactly two: `local_only` with cloud fallback and `cloud_only` with local fallback (public).
    """
    if not isinstance(policy, Mapping) or not isinstance(fallback := policy.get("fallback"), Mapping):
        return None
    if policy.get("routing_mode") == "local_only" and fallback.get("allow_cloud_fallback") is True:
        return "routing mode local_only never leaves the device, so it can't fall back to the cloud"
    if policy.get("routing_mode") == "cloud_only" and fallback.get("allow_local_fallback") is True:
        return "routing mode cloud_only never runs on the device, so it can't fall back to it"
    return None


def normalise_app_fields(fields: JsonObject) -> JsonObject:
    """Return an app's fields, normalized: without modelled nulls."""
    return _without_modelled_nulls(fields, APP)


def normalise_slot_fields(fields: JsonObject) -> JsonObject:
    """Return a slot's fields, normalized: the policy expanded, modelled nulls dropped, bindings in canonical order.

    A `null` inside a binding is kept: bindings are opaque.
    """
    normal = dict(_without_modelled_nulls(fields, SLOT))
    if "serving_policy" in normal:
        normal["serving_policy"] = expand_policy(normal["serving_policy"])
    bindings = normal.get("bindings")
    if isinstance(bindings, Sequence) and not isinstance(bindings, str):
        normal["bindings"] = sorted(bindings, key=_binding_order)
    return normal


def field_equal(name: str, desired: JsonValue, live: JsonValue) -> bool:
    """Return whether a live field of a slot or app equals the declared one; for an absent field, pass its default."""
    if json_equal(desired, live):
        return True
    if name == "serving_policy" and isinstance(desired, Mapping) and isinstance(live, Mapping):
        return json_equal(known_policy(desired), known_policy(live))
    if name == "bindings" and isinstance(desired, list | tuple) and isinstance(live, list | tuple):
        return bindings_equal(desired, live)
    return False


def bindings_equal(desired: Sequence[JsonValue], live: Sequence[JsonValue]) -> bool:
    """Return whether two complete lists of bindings are equal in any order, comparing the declared fields of each."""
    return len(desired) == len(live) and all(
        place is not None and contains(live[place], declared)
        for declared, place in zip(desired, pair_bindings(desired, live), strict=True)
    )


def merge_bindings(desired: Sequence[JsonValue], live: Sequence[JsonValue]) -> list[JsonValue]:
    """Return the declared list, each binding with its live partner's undeclared fields carried over."""
    merged: list[JsonValue] = []
    for declared, place in zip(desired, pair_bindings(desired, live), strict=True):
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
    carried = dict(unknown_policy(live))
    rest, own = carried.pop("fallback", None), desired.get("fallback")
    merged = {**carried, **desired}
    if isinstance(rest, Mapping) and isinstance(own, Mapping):
        merged["fallback"] = {**rest, **own}
    return merged


def _without_modelled_nulls(fields: JsonObject, shape: ObjectShape) -> JsonObject:
    return {key: value for key, value in fields.items() if value is not None or key not in shape.writable}


def _binding_order(binding: JsonValue) -> tuple[str, str]:
    return (binding_key(binding) or "", canonical_json(binding))
