"""JSON values, and text for people.

A `JsonObject` inside a model value is never mutated; code that needs a different one makes a copy.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches
from typing import Final, TypeAlias

SENSITIVE: Final = "(sensitive)"  # shown in place of a sensitive value


class UndisclosedValue:
    """A value whose content is not known here. Its text is `SENSITIVE`, and it is treated as a sensitive text."""

    __slots__ = ()

    def __str__(self) -> str:
        return SENSITIVE


JsonValue: TypeAlias = (
    "bool | int | float | str | Sequence[JsonValue] | Mapping[str, JsonValue] | UndisclosedValue | None"
)
JsonObject: TypeAlias = Mapping[str, JsonValue]


_LISTS: Final = (list, tuple)


def json_equal(left: JsonValue, right: JsonValue) -> bool:
    """Return whether two JSON values are equal: `1` equals `1.0`, `True` is not `1`, and the order of keys doesn't matter."""
    if type(left) is str:  # most values, and the check for a mapping is slow
        return left == right
    if isinstance(left, bool) or isinstance(right, bool):
        return left is right
    if isinstance(left, _LISTS) and isinstance(right, _LISTS):
        return len(left) == len(right) and all(map(json_equal, left, right))
    if isinstance(left, Mapping) and isinstance(right, Mapping):
        if left.keys() != right.keys():
            return False
        for key, value in left.items():
            other = right[key]
            if value is not other and not json_equal(value, other):
                return False
        return True
    return left == right


def canonical_json(value: JsonValue) -> str:
    """Return the canonical text of a value: sorted keys, no spaces, integral floats as integers; equal values, equal texts."""
    text = _ENCODER.encode(value)
    # Only integral floats have to be replaced, and their texts contain one of these.
    return _ENCODER.encode(_with_integers(value)) if ".0" in text or "e+" in text else text


def digest_of(value: JsonValue) -> str:
    """Return `sha256:…` of the canonical text of a value. Lone surrogates, which JSON can hold escaped, are hashed too."""
    import hashlib  # OpenSSL, which most short runs don't need

    return "sha256:" + hashlib.sha256(canonical_json(value).encode("utf-8", "surrogatepass")).hexdigest()


def _plain(value: object) -> object:
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, UndisclosedValue):
        return str(value)
    raise TypeError(f"Object of type {type(value).__name__} is not JSON serializable")


_ENCODER: Final = json.JSONEncoder(
    sort_keys=True,
    ensure_ascii=False,
    separators=(",", ":"),
    allow_nan=False,
    default=_plain,
    check_circular=False,  # no JSON value contains itself, and the check takes time
)


def _with_integers(value: JsonValue) -> JsonValue:
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, Mapping):
        return {key: _with_integers(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_with_integers(item) for item in value]
    return value


ELLIPSIS: Final = "…"


def counted(count: int, noun: str, plural: str | None = None) -> str:
    """Return a count with its noun: `1 app`, `1,240 devices`. `plural` is for nouns with an irregular plural."""
    return f"{count:,} {noun if count == 1 else plural or f'{noun}s'}"


def clipped(text: str, limit: int | None) -> str:
    """Return the first `limit` characters of a longer text, with its full length; None: no limit."""
    if limit is None or len(text) <= limit:
        return text
    return f"{text[:limit]}{ELLIPSIS} ({len(text):,} characters)"


def truncated(text: str, length: int) -> str:
    """Return at most `length` characters of a text, the last of them an ellipsis if the text is longer."""
    return text if len(text) <= length else f"{text[: length - 1]}{ELLIPSIS}"


def closest(word: str, among: Iterable[str]) -> str | None:
    """Return the name that was probably meant: another spelling of it, or one a few letters away."""
    names = list(among)
    folded: dict[str, str] = {}
    for name in names:
        folded.setdefault(_fold(name), name)
    if (same := folded.get(_fold(word))) is not None:
        return same
    letters = sorted(_fold(word[:100]))
    if swapped := [name for name in folded if sorted(name) == letters]:
        return folded[swapped[0]]
    close = get_close_matches(_fold(word[:100]), folded, n=1, cutoff=0.7)
    return folded[close[0]] if close else None


def _fold(name: str) -> str:
    return name.replace("_", "").replace("-", "").lower()
