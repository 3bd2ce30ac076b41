"""What was told: kept over restarts, by app and thing, and never as a text that could be sensitive."""

from __future__ import annotations

from pathlib import Path

from tests.support.states import ORG

from octosync.plan import ControlPlane
from octosync.state import Journal, WatchState

PLANE = ControlPlane(url="https://octomil.example/api/v1", org_id=ORG)


def test_what_was_told_is_known_after_a_restart(path: Path) -> None:
    """The last fact about each thing of an app, of this control plane alone; it equals that text and no other."""
    with Journal(path) as journal:
        memory = WatchState(journal)
        memory.tell(PLANE, "notes", "held x", "first")
        memory.tell(PLANE, "notes", "held x", "second")
        memory.tell(PLANE, "", "failed", "no manifests")
    with Journal(path) as journal:
        memory = WatchState(journal)
        told = memory.told(PLANE)
        assert told == {("notes", "held x"): "second", ("", "failed"): "no manifests"}
        assert told["notes", "held x"] != "first"
        assert memory.told(ControlPlane(url="https://staging.example/api/v1")) == {}


def test_what_ended_is_not_told_any_more(memory: WatchState) -> None:
    """Only the thing that ended is forgotten; to forget what was never told is nothing."""
    memory.tell(PLANE, "notes", "held x", "a")
    memory.tell(PLANE, "memos", "held x", "a")
    memory.untell(PLANE, "notes", "held x")
    memory.untell(PLANE, "notes", "held y")
    assert memory.told(PLANE) == {("memos", "held x"): "a"}


def test_no_fact_is_in_the_file(path: Path) -> None:
    """A fact may be made of a sensitive value: only a keyed digest of it is written."""
    with Journal(path) as journal:
        WatchState(journal).tell(PLANE, "notes", "held x", "hunter2-8f1c")
    written = b"".join(file.read_bytes() for file in path.parent.iterdir())
    assert b"held x" in written
    assert b"hunter2-8f1c" not in written
