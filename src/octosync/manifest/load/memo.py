"""Memory of one round for the next: what a round neither found nor kept is forgotten at its end."""

from __future__ import annotations

from typing import Generic, TypeVar

K = TypeVar("K")
V = TypeVar("V")


class Memo(Generic[K, V]):
    """Values by key. Whether one still holds is the asker's to say."""

    def __init__(self) -> None:
        self._before: dict[K, V] = {}
        self._now: dict[K, V] = {}

    def find(self, key: K) -> V | None:
        """Return what an earlier round kept under a key, else what this one did."""
        found = self._before.get(key)
        return found if found is not None else self._now.get(key)

    def keep(self, key: K, value: V) -> None:
        """Keep a value for this round and the next; also one that was found and still holds."""
        self._now[key] = value

    def turn(self) -> None:
        """End a round."""
        self._before, self._now = self._now, {}

    def clear(self) -> None:
        """Forget everything."""
        self._before, self._now = {}, {}
