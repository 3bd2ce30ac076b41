"""Sent notifications: stored over restarts, by app and subject, and never as a text that could be sensitive."""

from __future__ import annotations

from pathlib import Path

from tests.support.states import ORG

from octosync.plan import ControlPlane
from octosync.state import ControlPlaneState, Journal, StateLocation, WatchState

PLANE = ControlPlane(url="https://octomil.example/api/v1", org_id=ORG)


def test_what_was_told_is_known_after_a_restart(location: StateLocation) -> None:
    """The last text of each subject of an app, for this control plane only; it equals that text and no other."""
    with Journal(location) as journal:
        state = WatchState(journal)
        memory = state.for_control_plane(PLANE)
        memory.record_notification("notes", "held x", "first")
        memory.record_notification("notes", "held x", "second")
        memory.record_notification("", "failed", "no manifests")
    with Journal(location) as journal:
        state = WatchState(journal)
        memory = state.for_control_plane(PLANE)
        sent = memory.sent_notifications()
        assert sent == {("notes", "held x"): "second", ("", "failed"): "no manifests"}
        assert sent["notes", "held x"] != "first"
        assert state.for_control_plane(ControlPlane(url="https://staging.example/api/v1")).sent_notifications() == {}


def test_what_ended_is_not_told_any_more(memory: ControlPlaneState) -> None:
    """Only the subject that ended is removed; removing one that was never sent has no effect."""
    memory.record_notification("notes", "held x", "a")
    memory.record_notification("memos", "held x", "a")
    memory.forget_notification("notes", "held x")
    memory.forget_notification("notes", "held y")
    assert memory.sent_notifications() == {("memos", "held x"): "a"}


def test_no_fact_is_in_the_file(path: Path) -> None:
    """A text may contain a sensitive value, so only a keyed digest of it is stored."""
    with Journal(path) as journal:
        WatchState(journal).for_control_plane(PLANE).record_notification("notes", "held x", "hunter2-8f1c")
    written = b"".join(file.read_bytes() for file in path.parent.iterdir())
    assert b"held x" in written
    assert b"hunter2-8f1c" not in written
