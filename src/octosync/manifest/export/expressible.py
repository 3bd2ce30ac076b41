"""Reasons why a live value can't be written in a manifest: the loader would refuse it, or read another value."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Final

from octosync.contract.resources import ROUTING_MODES, ROUTING_PREFERENCES
from octosync.manifest.export.yaml_writer import value_text
from octosync.manifest.schema.shapes import Field, Shape
from octosync.manifest.yaml.loader import MOST_LEVELS, MOST_NODES
from octosync.manifest.yaml.nodes import join
from octosync.manifest.yaml.source import NOT_PRINTABLE, quoted
from octosync.model import JsonValue, Sensitivity

WHY_SENSITIVE: Final = "it holds a sensitive value, and secrets don't belong in manifests"

# Allowed in double quotes, though YAML reads them as line breaks.
_ONLY_ESCAPED: Final = str.maketrans("", "", "\x85\u2028\u2029")
_LONGEST_KEY: Final = 1000  # written characters: YAML limits a key to 1,024
_LONGEST_NUMBER: Final = 10**299
_SPARE_NODES: Final = 10_000  # for the rest of the document

_FALLBACK: Final = ("allow_cloud_fallback", "allow_local_fallback")


def text_refusal(text: str, shape: Shape) -> str | None:
    """Return why a string can't be declared as a value of this shape; None if it can."""
    wanted = shape.text
    if not text and (wanted is None or not wanted.may_be_empty):
        return "it is empty"
    if _has_control_character(text):
        return "it holds a control character"
    if wanted is not None and wanted.pattern is not None and not wanted.pattern.fullmatch(text):
        return f"it is not {wanted.meaning}"
    return None


def fits(text: str, shape: Shape) -> bool:
    """Return whether a string can be declared as a value of this shape."""
    return text_refusal(text, shape) is None


def flag_refusal(value: JsonValue) -> str | None:
    """Return why a value can't be declared as a boolean; None if it can."""
    return None if isinstance(value, bool) else "it is not a boolean"


def list_refusal(values: JsonValue, field: Field) -> str | None:
    """Return why a list of strings can't be declared; None if it can."""
    shape = field.shape
    if shape.type is not list or not isinstance(values, list | tuple):
        return "it is not a list"
    reasons = (
        text_refusal(value, shape.parts[0]) if isinstance(value, str) else "it is not a string" for value in values
    )
    return next((f"an item can't be declared: {why}" for why in reasons if why is not None), None)


def policy_refusal(policy: JsonValue) -> str | None:
    """Return why an expanded serving policy can't be declared, contradictions aside; None if it can."""
    if not isinstance(policy, Mapping) or policy.get("routing_mode") not in ROUTING_MODES:
        return "octosync doesn't know its routing mode" if isinstance(policy, Mapping) else "octosync doesn't know it"
    if policy["routing_mode"] == "auto" and policy.get("routing_preference") not in ROUTING_PREFERENCES:
        return "its routing mode is auto, without a preference that octosync knows"
    fallback = policy.get("fallback")
    if not isinstance(fallback, Mapping) or not all(isinstance(fallback.get(name), bool) for name in _FALLBACK):
        return "it lacks a fallback setting"
    return None


def json_refusal(value: JsonValue, *, above: int) -> str | None:
    """Return why a JSON value can't be declared below `above` objects and lists; None if it can."""
    for count, (level, node) in enumerate(_nodes(value, above + 1)):
        if level > MOST_LEVELS and isinstance(node, Mapping | list | tuple):
            return f"it is nested deeper than a manifest may be ({MOST_LEVELS} levels)"
        if count > MOST_NODES - _SPARE_NODES:
            return "it has more values than a manifest may have"
        if isinstance(node, str) and _has_control_character(node):
            return "a string in it contains a control character"
        if isinstance(node, Mapping) and any(map(_has_control_character, node)):
            return "a key in it holds a control character"
        if isinstance(node, Mapping) and any(len(value_text(key)) > _LONGEST_KEY for key in node):
            return "a key in it is too long"
        if isinstance(node, float) and not math.isfinite(node):
            return "a number in it is not a JSON number"
        if isinstance(node, int) and not -_LONGEST_NUMBER < node < _LONGEST_NUMBER:
            return "a number in it is too long"
    return None


def secret_refusal(value: JsonValue, sensitivity: Sensitivity) -> str | None:
    """Return the reason that a value holds a secret, with the path of its key; None if it holds none."""
    path = _secret_path(value, sensitivity, "")
    return f"{WHY_SENSITIVE} ({quoted(path)})" if path is not None else None


def _secret_path(value: JsonValue, sensitivity: Sensitivity, path: str) -> str | None:
    if isinstance(value, Mapping):
        for key in sorted(value):
            below = join(path, key)
            if sensitivity.hides(key, value[key]) or sensitivity.shown_key(key) != key:
                return below
            if (found := _secret_path(value[key], sensitivity, below)) is not None:
                return found
    elif isinstance(value, list | tuple):
        for index, item in enumerate(value):
            if (found := _secret_path(item, sensitivity, join(path, index))) is not None:
                return found
    return None


def _has_control_character(text: str) -> bool:
    return NOT_PRINTABLE.search(text.translate(_ONLY_ESCAPED)) is not None


def _nodes(value: JsonValue, level: int) -> Iterator[tuple[int, JsonValue]]:
    """Yield all values with their levels, down to the first level that is too deep; keys are left out."""
    waiting = [(level, value)]
    while waiting:
        level, node = waiting.pop()
        yield level, node
        if level > MOST_LEVELS:
            continue
        if isinstance(node, Mapping):
            waiting += [(level + 1, item) for item in node.values()]
        elif isinstance(node, list | tuple):
            waiting += [(level + 1, item) for item in node]
