"""What was told: kept over restarts, by app and thing, and never as a text that could be sensitive."""

from __future__ import annotations

from pathlib import Path

from tests.support.states import ORG

from octosync.plan import ControlPlane
from octosync.state import ControlPlaneState, Journal, WatchState

PLANE = ControlPlane(url="https://octomil.example/api/v1", org_id=ORG)


def test_what_was_told_is_known_after_a_restart(path: Path) -> None:
    """The last fact about each thing of an app, of this control plane alone; it equals that text and no other."""
    with Journal(path) as journal:
        state = WatchState(journal)
        memory = state.for_control_plane(PLANE)
        memory.tell("notes", "held x", "first")
        memory.tell("notes", "held x", "second")
        memory.tell("", "failed", "no manifests")
    with Journal(path) as journal:
        state = WatchState(journal)
        memory = state.for_control_plane(PLANE)
        told = memory.told()
        assert told == {("notes", "held x"): "second", ("", "failed"): "no manifests"}
        assert told["notes", "held x"] != "first"
        assert state.for_control_plane(ControlPlane(url="https://staging.example/api/v1")).told() == {}


def test_what_ended_is_not_told_any_more(memory: ControlPlaneState) -> None:
    """Only the thing that ended is forgotten; to forget what was never told is nothing."""
    memory.tell("notes", "held x", "a")
    memory.tell("memos", "held x", "a")
    memory.untell("notes", "held x")
    memory.untell("notes", "held y")
    assert memory.told() == {("memos", "held x"): "a"}


def test_no_fact_is_in_the_file(path: Path) -> None:
    """A fact may be made of a sensitive value: only a keyed digest of it is written."""
    with Journal(path) as journal:
        WatchState(journal).for_control_plane(PLANE).tell("notes", "held x", "hunter2-8f1c")
    written = b"".join(file.read_bytes() for file in path.parent.iterdir())
    assert b"held x" in written
    assert b"hunter2-8f1c" not in written
