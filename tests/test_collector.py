"""The garbage collector's pause."""

from __future__ import annotations

import gc
from weakref import WeakSet

import pytest

from octosync.collector import collector_paused


def test_the_collector_runs_again_after_the_pause() -> None:
    """It doesn't run during the pause. It runs afterwards, also after an error, unless it was off before."""
    with collector_paused():
        assert not gc.isenabled()
    assert gc.isenabled()
    with pytest.raises(ValueError, match="broken"), collector_paused():
        raise ValueError("broken")
    assert gc.isenabled()
    gc.disable()
    try:
        with collector_paused():
            pass
        assert not gc.isenabled()
    finally:
        gc.enable()


def test_a_pause_leaves_no_collection_due_and_nothing_frozen() -> None:
    """Values that are made during the pause are collected as all others, but not at once after it."""
    frozen, limit = gc.get_freeze_count(), gc.get_threshold()[0]
    with collector_paused():
        made: list[list[int]] = [[] for _ in range(2 * limit)]
        assert gc.get_count()[0] > limit
    assert gc.get_count()[0] < limit
    assert gc.get_freeze_count() <= frozen
    assert len(made) == 2 * limit


def test_cycles_are_collected_in_a_process_that_pauses_often() -> None:
    """A controller pauses the collector for each load and plan. Cycles that nothing refers to don't accumulate."""

    class Cycle:
        def __init__(self) -> None:
            self.itself = self

    cycles: WeakSet[Cycle] = WeakSet()
    limit = gc.get_threshold()[0]
    for _ in range(11):
        with collector_paused():
            cycles.add(Cycle())
            made: list[list[int]] = [[] for _ in range(2 * limit)]
        assert gc.isenabled()
        made.clear()
    assert len(cycles) < 11
