"""Backoff: how long to wait between attempts that fail."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Final

_MOST_DOUBLINGS: Final = 30  # any wait is at its longest by then


@dataclass(frozen=True, slots=True)
class Backoff:
    """Exponential, bounded, jittered. Waits are in seconds.

    `first` is the bound after the first failure; it doubles with each further one, up to `longest`. `spread` is the share of
    the bound over which a wait is drawn: 1 is full jitter, from 0 up to the bound; 0.5 draws from its upper half.
    """

    first: float
    longest: float
    spread: float = 1.0

    def bound(self, failures: int) -> float:
        """Return the longest wait after so many failures in a row, from 1."""
        return min(self.longest, self.first * 2.0 ** min(failures - 1, _MOST_DOUBLINGS))

    def draw(self, failures: int, chance: random.Random | None = None) -> float:
        """Return a wait after so many failures in a row, so that clients that failed together don't come back together."""
        bound = self.bound(failures)
        uniform = random.uniform if chance is None else chance.uniform
        return uniform((1.0 - self.spread) * bound, bound)
