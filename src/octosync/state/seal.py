"""Seals: how a value that is never stored is recognised again. In its place there is a digest that only this file's key makes.

A digest without a key would let anybody who reads the file try out what the value could be, elsewhere and beforehand. The
file's own key is in the file: against who reads all of it, only a key that is kept elsewhere helps.
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
    Undisclosed,
    canonical_json,
    may_be_secret,
)
from octosync.state.codec import items_of, list_of, object_of, text_of

Path = tuple[str | int, ...]

_DIGEST_CHARACTERS = 32  # 128 bits


class SealedValue(Undisclosed):
    """What stands for a value that was not stored. It equals that value and no other, though it does not know it.

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
    """Makes and recognises the seals of one file, by its key."""

    key: bytes

    @classmethod
    def made_with(cls, own: bytes, key: Secret | None) -> Seals:
        """Return the seals of a file with this key of its own, together with a key that is kept elsewhere, if there is one."""
        if key is None:
            return cls(own)
        return cls(hmac.digest(key.reveal().encode("utf-8", "surrogateescape"), own, "sha256"))

    def digest_of(self, value: Any) -> str:  # noqa: ANN401  any JSON value, and the type of those is recursive
        """Return the keyed digest of a JSON value."""
        text = canonical_json(value).encode("utf-8", "surrogatepass")
        return hmac.digest(self.key, text, "sha256").hex()[:_DIGEST_CHARACTERS]

    @staticmethod
    def may_be_of(value: object) -> bool:
        """Say whether a value is of a type that is ever sealed: `null` and a boolean give nothing away, so they never are."""
        return isinstance(value, str | int | float | Mapping | list | tuple) and not isinstance(value, bool)

    def seal(self, value: JsonObject, sensitivity: Sensitivity) -> JsonValue:
        """Return what is stored of an object: itself with `null` for what is sealed, and which places those are."""
        sealed: list[tuple[Path, str]] = []
        covers = partial(_covers, sensitivity)

        def kept(one: JsonValue, path: Path, *, secret: bool = False) -> JsonValue:
            if isinstance(one, SealedValue):
                sealed.append((path, one.digest))
                return None
            if secret:
                sealed.append((path, self.digest_of(one)))
                return None
            if isinstance(one, Mapping):
                return {
                    key: kept(item, (*path, key), secret=may_be_secret(item) and covers(key))
                    for key, item in one.items()
                }
            if isinstance(one, list | tuple):
                return [kept(item, (*path, place)) for place, item in enumerate(one)]
            return one

        plain = kept(value, ())
        return [plain, [[list(path), digest] for path, digest in sealed]]

    def unseal(self, stored: JsonValue) -> JsonObject:
        """Return the object that `seal` stored, with a `Sealed` in each place. Raises as the readers do."""
        plain, places = list_of(stored, 2)
        value = object_of(plain)
        for place in items_of(places):
            path, digest = list_of(place, 2)
            _put(value, items_of(path), SealedValue(text_of(digest), self))
        return value


def opened(value: JsonValue, there: JsonValue) -> JsonValue:
    """Return a value with what stands at the same place in another one instead of a seal of that."""
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
    """Say whether anything is sealed in a value."""
    return any(isinstance(one, SealedValue) for one in _leaves(value))


def holds_plain_secrets(value: JsonValue, sensitivity: Sensitivity) -> bool:
    """Say whether anything stands in a value that would be sealed now, since more keys are sensitive than were."""
    return _unsealed(value, partial(_covers, sensitivity))


@lru_cache(maxsize=10_000)
def _covers(sensitivity: Sensitivity, key: str) -> bool:
    """Say what `Sensitivity.covers` says: a base has a thousand times the same few keys."""
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
        raise ValueError("a seal stands where a value is")
    value[last] = seal
