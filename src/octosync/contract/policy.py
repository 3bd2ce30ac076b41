"""Serving policies: the presets, their expansion, and what contradicts itself.

A policy is one value. It is compared and sent expanded, and may be declared or answered as a preset's name.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from octosync.model import JsonObject, JsonValue, json_equal

# Public: the SDKs' preset table. Only `auto` has a preference: elsewhere it is neither sent nor compared.
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
    """Return the expanded policy of a preset's name or an object; anything else is returned as it is.

    A preference outside `auto` is dropped: it has no meaning there, and servers may answer one all the same. A `null` is
    dropped where the contract knows the key.
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
    """Name the preset that expands to this policy, `local_only` rather than its synonym `private`; None for a custom one."""
    expanded = expand_policy(policy)
    return next((name for name, preset in PRESETS.items() if json_equal(preset, expanded)), None)


def known_part(policy: JsonObject) -> JsonObject:
    """Return what the contract knows of a policy, without keys that only the control plane knows, at both levels."""
    known = {key: policy[key] for key in _KNOWN if key in policy}
    if isinstance(fallback := known.get("fallback"), Mapping):
        known["fallback"] = {key: fallback[key] for key in _KNOWN_FALLBACK if key in fallback}
    return known


def unknown_part(policy: JsonObject) -> JsonObject:
    """Return what `known_part` leaves out, `fallback` only where something of it is left."""
    unknown = {key: value for key, value in policy.items() if key not in _KNOWN}
    fallback = policy.get("fallback")
    rest = {k: v for k, v in fallback.items() if k not in _KNOWN_FALLBACK} if isinstance(fallback, Mapping) else {}
    return {**unknown, "fallback": rest} if rest else unknown


def contradiction_in(policy: JsonValue) -> str | None:
    """Say what contradicts itself in an expanded policy, None where nothing does.

    Exactly two do: `local_only` with cloud fallback and `cloud_only` with local fallback (public).
    """
    if not isinstance(policy, Mapping) or not isinstance(fallback := policy.get("fallback"), Mapping):
        return None
    if policy.get("routing_mode") == "local_only" and fallback.get("allow_cloud_fallback") is True:
        return "routing mode local_only never leaves the device, so it can't fall back to the cloud"
    if policy.get("routing_mode") == "cloud_only" and fallback.get("allow_local_fallback") is True:
        return "routing mode cloud_only never runs on the device, so it can't fall back to it"
    return None
