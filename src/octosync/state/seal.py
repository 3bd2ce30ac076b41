"""Seals: keyed digests in place of sensitive values, by which the values are recognized without being stored.

A digest without a key could be attacked with precomputed guesses. The key of the file is in the file itself, so it doesn't
protect against a reader of the whole file: for that, a key that is stored elsewhere is needed.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any

from octosync.model import (
    SENSITIVE,
    JsonObject,
    JsonValue,
    Secret,
    Sensitivity,
    UndisclosedValue,
    canonical_json,
    may_be_secret,
)
from octosync.state.codec import items_of, list_of, object_of, text_of

Path = tuple[str | int, ...]

_DIGEST_CHARACTERS = 32  # 128 bits


class SealedValue(UndisclosedValue):
    """A sensitive value that was not stored. It equals that value and no other, without knowing it.

    It has no hash, since it can't have that of the value.
    """

    __slots__ = ("_seals", "digest")
    __hash__ = None  # type: ignore[assignment]

    def __init__(self, digest: str, seals: Seals) -> None:
        self.digest = digest
        self._seals = seals

    def __eq__(self, other: object) -> bool:
        if isinstance(other, SealedValue):
            return self.digest == other.digest
        if not self._seals.may_be_of(other):
            return False
        try:
            digest = self._seals.digest_of(other)
        except (TypeError, ValueError):  # no JSON, such as NaN
            return False
        return hmac.compare_digest(digest, self.digest)

    def __repr__(self) -> str:
        return f"SealedValue({SENSITIVE})"


@dataclass(frozen=True, slots=True, repr=False)
class Seals:
    """Makes and recognizes the seals of one file, by its key."""

    key: bytes

    @classmethod
    def made_with(cls, own: bytes, key: Secret | None) -> Seals:
        """Return the seals of a file: made with its own key, and with a key that is stored elsewhere, if there is one."""
        if key is None:
            return cls(own)
        return cls(hmac.digest(key.reveal().encode("utf-8", "surrogateescape"), own, "sha256"))

    def digest_of(self, value: Any) -> str:  # noqa: ANN401  any JSON value, and the type of those is recursive
        """Return the keyed digest of a JSON value."""
        text = canonical_json(value).encode("utf-8", "surrogatepass")
        return hmac.digest(self.key, text, "sha256").hex()[:_DIGEST_CHARACTERS]

    @staticmethod
    def may_be_of(value: object) -> bool:
        """Return whether a value has a type that is sealed. `null` and booleans are not: they reveal nothing."""
        return isinstance(value, str | int | float | Mapping | list | tuple) and not isinstance(value, bool)

    def seal(self, value: JsonObject, sensitivity: Sensitivity) -> JsonValue:
        """Return the stored form of an object: `null` for each sealed value, and the paths and digests of those."""
        sealed: list[tuple[Path, str]] = []
        covers = partial(_covers, sensitivity)

        def kept(part: JsonValue, path: Path, *, secret: bool = False) -> JsonValue:
            if isinstance(part, SealedValue):
                sealed.append((path, part.digest))
                return None
            if secret:
                sealed.append((path, self.digest_of(part)))
                return None
            if isinstance(part, Mapping):
                return {
                    key: kept(item, (*path, key), secret=may_be_secret(item) and covers(key))
                    for key, item in part.items()
                }
            if isinstance(part, list | tuple):
                return [kept(item, (*path, place)) for place, item in enumerate(part)]
            return part

        plain = kept(value, ())
        return [plain, [[list(path), digest] for path, digest in sealed]]

    def unseal(self, stored: JsonValue) -> JsonObject:
        """Return the object that `seal` stored, with a `SealedValue` in each of those paths. Raises as the codec's readers do."""
        plain, places = list_of(stored, 2)
        value = object_of(plain)
        for place in items_of(places):
            path, digest = list_of(place, 2)
            _put(value, items_of(path), SealedValue(text_of(digest), self))
        return value


def opened(value: JsonValue, there: JsonValue) -> JsonValue:
    """Return a value with each sealed value that equals the value at the same path of `there` replaced by it."""
    if isinstance(value, SealedValue):
        return there if value == there else value
    if isinstance(value, Mapping):
        return opened_object(value, there if isinstance(there, Mapping) else {})
    if isinstance(value, list | tuple):
        others = there if isinstance(there, list | tuple) else ()
        return [opened(item, others[place] if place < len(others) else None) for place, item in enumerate(value)]
    return value


def opened_object(value: JsonObject, there: JsonObject) -> JsonObject:
    """Return an object as `opened` does."""
    return {key: opened(item, there.get(key)) for key, item in value.items()}


def holds_seals(value: JsonValue) -> bool:
    """Return whether a value contains a sealed value."""
    return any(isinstance(leaf, SealedValue) for leaf in _leaves(value))


def holds_plain_secrets(value: JsonValue, sensitivity: Sensitivity) -> bool:
    """Return whether a value contains a plain value that would be sealed now, since more keys are sensitive than before."""
    return _unsealed(value, partial(_covers, sensitivity))


@lru_cache(maxsize=10_000)
def _covers(sensitivity: Sensitivity, key: str) -> bool:
    """Return what `Sensitivity.covers` returns. A baseline has the same few keys a thousand times."""
    return sensitivity.covers(key)


def _unsealed(value: JsonValue, covers: Callable[[str], bool]) -> bool:
    if isinstance(value, Mapping):
        return any(
            (may_be_secret(item) and covers(key) and not isinstance(item, SealedValue)) or _unsealed(item, covers)
            for key, item in value.items()
        )
    return isinstance(value, list | tuple) and any(_unsealed(item, covers) for item in value)


def _leaves(value: JsonValue) -> Iterator[JsonValue]:
    if isinstance(value, Mapping):
        for item in value.values():
            yield from _leaves(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _leaves(item)
    else:
        yield value


def _put(value: Any, path: list[Any], seal: SealedValue) -> None:  # noqa: ANN401  JSON that is about to be read
    *above, last = path
    for step in above:
        value = value[step]
    if value[last] is not None:
        raise ValueError("there is a value at the path of a seal")
    value[last] = seal
