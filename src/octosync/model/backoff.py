"""Exponential backoff with jitter, for retries."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Final

_MOST_DOUBLINGS: Final = 30  # every wait has reached its longest by then


@dataclass(frozen=True, slots=True)
class Backoff:
    """How long to wait between failed attempts. Waits are in seconds.

    `first` is the bound after the first failure; it doubles with each further one, up to `longest`. `spread` is the share of
    the bound over which a wait is drawn: 1 is full jitter, from 0 up to the bound; 0.5 draws from its upper half.
    """

    first: float
    longest: float
    spread: float = 1.0

    def bound(self, failures: int) -> float:
        """Return the longest wait after this number of consecutive failures, from 1."""
        return min(self.longest, self.first * 2.0 ** min(failures - 1, _MOST_DOUBLINGS))

    def draw(self, failures: int, chance: random.Random | None = None) -> float:
        """Return a random wait after this number of consecutive failures; jitter spreads clients that failed together."""
        bound = self.bound(failures)
        uniform = random.uniform if chance is None else chance.uniform
        return uniform((1.0 - self.spread) * bound, bound)
