"""Fields in the words of manifests: their names, and objects on one line.

JSON has the wire's names. Text, Markdown and annotations have those that a reviewer sees in the manifest.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from octosync.contract import APP, SLOT, preset_of
from octosync.model import SENSITIVE, JsonObject, JsonValue, Kind, Sensitivity, clipped
from octosync.report.text import key_words, value_words

_POLICY: Final = "serving_policy"
_NAMES: Final[Mapping[str, str]] = {
    _POLICY: "servingPolicy",
    "preferred_engines": "preferredEngines",
    "public_client_allowed": "publicClientAllowed",
    "model_variant_id": "variant",
}
_NAMES_IN_POLICY: Final[Mapping[str, str]] = {
    "routing_mode": "routingMode",
    "routing_preference": "routingPreference",
    "allow_cloud_fallback": "allowCloudFallback",
    "allow_local_fallback": "allowLocalFallback",
}


def names_below(kind: Kind, path: tuple[str, ...]) -> Mapping[str, str]:
    """Return the names of the fields at a path of an object, by their wire names, where manifests have others."""
    if kind is not Kind.SLOT:
        return {}
    return _NAMES_IN_POLICY if path[:1] == (_POLICY,) else {} if path else _NAMES


def path_words(kind: Kind, path: tuple[str, ...]) -> str:
    """Return the path of a field in the words of manifests: `servingPolicy.routingMode`."""
    return ".".join(key_words(names_below(kind, path[:depth]).get(key, key)) for depth, key in enumerate(path))


def brief(
    kind: Kind, fields: JsonObject, sensitivity: Sensitivity, *, limit: int | None, preset: str | None = None
) -> str:
    """Return an object on one line, without defaults: `servingPolicy local_first · bindings [{…}]`.

    `preset` is the name of its serving policy, if the manifest has one.
    """
    shown = []
    for name, value in fields.items():
        if value is None or (name in SLOT.defaults and value == SLOT.defaults[name]):
            continue
        called = preset or preset_of(value) if name == _POLICY else None
        words = called or _safe_words(name, value, sensitivity, names_below(kind, (name,)))
        shown.append((_SHOWN_FIRST.get(name, len(_SHOWN_FIRST)), path_words(kind, (name,)), words))
    return _in_one_line(((name, words) for _, name, words in sorted(shown)), limit)


def brief_opaque(value: JsonObject, sensitivity: Sensitivity, *, limit: int | None) -> str:
    """Return an object with keys of the user on one line: every key, since none has a default."""
    shown = (
        (key_words(sensitivity.shown_key(name)), _safe_words(name, value[name], sensitivity, {}))
        for name in sorted(value)
    )
    return _in_one_line(shown, limit)


def _in_one_line(shown: Iterable[tuple[str, str]], limit: int | None) -> str:
    return " · ".join(f"{name} {clipped(words, limit)}" for name, words in shown)


def _safe_words(name: str, value: JsonValue, sensitivity: Sensitivity, names: Mapping[str, str]) -> str:
    return value_words(SENSITIVE if sensitivity.hides(name, value) else sensitivity.redact(value, SENSITIVE), names)


_SHOWN_FIRST: Final = {name: rank for rank, name in enumerate((*APP.writable, *SLOT.writable))}
