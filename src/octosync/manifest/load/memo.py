"""A cache from one round to the next: entries that a round neither finds nor keeps are dropped at its end."""

from __future__ import annotations

from typing import Generic, TypeVar

K = TypeVar("K")
V = TypeVar("V")


class Memo(Generic[K, V]):
    """Values by key. The caller checks whether a value is still valid."""

    def __init__(self) -> None:
        self._before: dict[K, V] = {}
        self._now: dict[K, V] = {}

    def find(self, key: K) -> V | None:
        """Return the value that the last round kept, else the one of this round, else None."""
        found = self._before.get(key)
        return found if found is not None else self._now.get(key)

    def keep(self, key: K, value: V) -> None:
        """Keep a value for this round and the next, also a found one that is still valid."""
        self._now[key] = value

    def end_round(self) -> None:
        """End a round."""
        self._before, self._now = self._now, {}

    def clear(self) -> None:
        """Forget everything."""
        self._before, self._now = {}, {}
