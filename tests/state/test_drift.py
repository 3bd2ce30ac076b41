"""Stored drift: when it began, how often it was reverted, and what is contested."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from tests.support.journals import changes_of, on_file
from tests.support.states import NOW, ORG

from octosync.model import Address
from octosync.plan import ControlPlane
from octosync.state import ControlPlaneState, Journal, StateLocation, WatchState

PLANE = ControlPlane(url="https://octomil.example/api/v1", org_id=ORG)
APP, SLOT, OTHER = Address.of_app("a"), Address.of_slot("a", "chat"), Address.of_app("b")
HOUR = timedelta(hours=1)


def test_drift_is_as_old_as_it_looks_the_same(location: StateLocation) -> None:
    """A known fingerprint keeps its time, over restarts too; a new one gets a new time, and drift that ended starts anew."""
    with Journal(location) as journal:
        assert WatchState(journal).for_control_plane(PLANE).record_drift("a", {APP: "x", SLOT: "y"}, NOW) == {
            APP: NOW,
            SLOT: NOW,
        }
    with Journal(location) as journal:
        memory = WatchState(journal).for_control_plane(PLANE)
        assert memory.record_drift("a", {APP: "x", SLOT: "z"}, NOW + HOUR) == {APP: NOW, SLOT: NOW + HOUR}
        assert memory.record_drift("a", {SLOT: "z"}, NOW + 2 * HOUR) == {SLOT: NOW + HOUR}
        assert memory.record_drift("a", {APP: "x"}, NOW + 3 * HOUR) == {APP: NOW + 3 * HOUR}
        assert memory.record_drift("a", {}, NOW) == {}
        assert memory.drift() == {}


def test_drift_is_told_by_app(state: WatchState, memory: ControlPlaneState) -> None:
    """Drift of one app has no effect on another, and a fingerprint is equal only to the one that was seen."""
    memory.record_drift("a", {SLOT: "x"}, NOW)
    memory.record_drift("b", {OTHER: "y"}, NOW + HOUR)
    drift: Any = memory.drift()
    assert drift == {"a": {SLOT: ("x", NOW)}, "b": {OTHER: ("y", NOW + HOUR)}}
    assert drift["a"][SLOT][0] != "y"
    assert state.for_control_plane(ControlPlane(url="https://staging.example/api/v1")).drift() == {}


def test_a_clock_that_was_set_back_makes_no_drift_younger_than_now(memory: ControlPlaneState) -> None:
    """Drift with a time in the future counts as new, so that it isn't held for longer than intended."""
    memory.record_drift("a", {SLOT: "x"}, NOW + HOUR)
    assert memory.record_drift("a", {SLOT: "x"}, NOW) == {SLOT: NOW}
    assert memory.record_drift("a", {SLOT: "x"}, NOW + HOUR) == {SLOT: NOW}


@on_file
def test_drift_that_stays_costs_no_write(memory: ControlPlaneState) -> None:
    """Storing the same drift again changes nothing in the file, and so does storing none again."""
    memory.record_drift("a", {SLOT: "x"}, NOW)
    before = changes_of(memory)
    memory.record_drift("a", {SLOT: "x"}, NOW + HOUR)
    memory.record_drift("b", {}, NOW + HOUR)
    assert changes_of(memory) == before


def test_reverts_are_counted_since_a_time(memory: ControlPlaneState) -> None:
    """Reverts are returned by object in their order; the given time is included."""
    for hours in (2, 0, 1):
        memory.record_revert(SLOT, NOW + hours * HOUR)
    memory.record_revert(OTHER, NOW)
    assert memory.reverts(NOW) == {SLOT: (NOW, NOW + HOUR, NOW + 2 * HOUR), OTHER: (NOW,)}
    assert memory.reverts(NOW + HOUR) == {SLOT: (NOW + HOUR, NOW + 2 * HOUR)}


def test_counting_begins_anew_for_an_object_or_an_app(memory: ControlPlaneState) -> None:
    """A forgotten object is no longer contested, and everything else is unchanged."""
    for address in (APP, SLOT, OTHER):
        memory.record_revert(address, NOW)
        memory.record_contested(address, NOW)
        memory.record_contested(address, NOW + HOUR)
    assert memory.contested() == dict.fromkeys((APP, SLOT, OTHER), NOW)
    memory.forget_reverts(SLOT)
    assert set(memory.reverts(NOW)) == set(memory.contested()) == {APP, OTHER}
    memory.forget_reverts("a")
    assert set(memory.reverts(NOW)) == set(memory.contested()) == {OTHER}
