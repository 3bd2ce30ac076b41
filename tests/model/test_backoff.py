"""Backoff: waits grow, have a maximum, and are random."""

from __future__ import annotations

import random

import pytest

from octosync.model import Backoff


def test_the_bound_doubles_up_to_the_longest_wait() -> None:
    """A wait never exceeds the maximum, for any number of failures, also if doubling that often would overflow."""
    backoff = Backoff(first=5.0, longest=60.0)
    assert [backoff.bound(failures) for failures in (1, 2, 3, 4, 5, 6, 5000)] == [5, 10, 20, 40, 60, 60, 60]


@pytest.mark.parametrize(("spread", "lowest"), [(1.0, 0.0), (0.5, 0.5), (0.0, 1.0)])
def test_a_wait_is_drawn_from_the_spread_below_the_bound(spread: float, lowest: float) -> None:
    """Full jitter draws from zero up, half jitter from the upper half; without jitter the wait is always the bound."""
    backoff = Backoff(first=0.5, longest=20.0, spread=spread)
    chance = random.Random(7)  # noqa: S311  it guards nothing
    for failures in range(1, 12):
        bound = backoff.bound(failures)
        drawn = [backoff.draw(failures, chance) for _ in range(200)]
        assert all(lowest * bound <= wait <= bound for wait in drawn)
        assert min(drawn) <= (lowest + spread / 4) * bound
        assert max(drawn) >= (lowest + spread / 2) * bound


def test_without_a_source_of_chance_it_is_pythons_own() -> None:
    """A caller that repeats nothing needs no seed."""
    assert 0.0 <= Backoff(first=1.0, longest=1.0).draw(1) <= 1.0
