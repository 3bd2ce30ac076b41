"""The stored checkpoint: where a controller continues after a restart."""

from __future__ import annotations

import hashlib
import sqlite3
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest
from tests.support.journals import on_file
from tests.support.states import NOW, ORG, desired_app

from octosync.errors import StateDamaged
from octosync.manifest import digest
from octosync.model import Address, Event, OptimizationCheck, Secret, State
from octosync.plan import ControlPlane
from octosync.state import (
    CheckpointChanges,
    ControlPlaneState,
    InSyncApp,
    Journal,
    StateLocation,
    StoredCheck,
    StoredCheckpoint,
    StoredResync,
    WatchState,
)
from octosync.watch.checkpoint import Checkpoint

PLANE = ControlPlane(url="https://octomil.example/api/v1", org_id=ORG)
DEPLOYMENT = Address.parse("app/a/slot/chat/deployment/production")
CHECK = OptimizationCheck(
    available=True, current="small", suggested="large", improvement={"latency": 0.18}, reason="\ud800 faster"
)
RESYNC = StoredResync(NOW, "1.2.3", NOW + timedelta(minutes=5), 300.25)
FULL = CheckpointChanges(
    position=("a1", "b2"),
    resync=RESYNC,
    in_sync={"a": InSyncApp(NOW, "basis", "id-1"), "b": InSyncApp(NOW, "basis")},
    checks={DEPLOYMENT: StoredCheck(NOW, "fleet", CHECK)},
)


def events(*names: str) -> tuple[Event, ...]:
    """Return events with these ids, one a minute, the first one newest."""
    return tuple(Event(id=name, app="a", at=NOW - timedelta(minutes=minutes)) for minutes, name in enumerate(names))


def test_a_checkpoint_is_returned_as_it_was_saved(memory: ControlPlaneState) -> None:
    """Position, resync, apps and checks are the same; None deletes an app or a check and leaves the others."""
    assert memory.checkpoint() == StoredCheckpoint()
    memory.save_checkpoint(FULL)
    assert memory.checkpoint() == StoredCheckpoint(FULL.position, RESYNC, FULL.in_sync, FULL.checks)  # type: ignore[arg-type]
    memory.save_checkpoint(CheckpointChanges(("c3",), RESYNC, {"a": None}, {DEPLOYMENT: None}))
    assert memory.checkpoint() == StoredCheckpoint(("c3",), RESYNC, {"b": InSyncApp(NOW, "basis")}, {})
    memory.save_checkpoint(CheckpointChanges((), RESYNC, {"c": InSyncApp(NOW, "basis")}, replaces_apps=True))
    assert memory.checkpoint().in_sync.keys() == {"c"}


def test_a_checkpoint_is_of_one_control_plane(state: WatchState, memory: ControlPlaneState) -> None:
    """Another org or URL has none. What was saved before the org was known becomes that org's."""
    unnamed = state.for_control_plane(ControlPlane(url=PLANE.url))
    unnamed.save_checkpoint(FULL)
    assert memory.checkpoint() == StoredCheckpoint()
    memory.adopt_unnamed()
    assert memory.checkpoint().in_sync.keys() == {"a", "b"}
    assert (
        state.for_control_plane(ControlPlane(url="https://elsewhere.example", org_id=ORG)).checkpoint().position == ()
    )


def test_a_file_of_the_version_before_has_no_checkpoint(path: Path) -> None:
    """Opening it adds the tables and keeps the baseline."""
    with Journal(path) as journal:
        WatchState(journal).for_control_plane(PLANE).store(desired_app("a"))
    with closing(sqlite3.connect(path)) as database, database:
        for table in ("checkpoint", "in_sync", "optimization_check"):
            database.execute(f"drop table {table}")
        database.execute("pragma user_version = 5")
    with Journal(path) as journal:
        migrated = WatchState(journal).for_control_plane(PLANE)
        assert list(migrated.baseline()) == ["a"]
        assert migrated.checkpoint() == StoredCheckpoint()
        migrated.save_checkpoint(FULL)
        assert migrated.checkpoint().position == FULL.position


def test_another_key_leaves_no_checkpoint(location: StateLocation) -> None:
    """Its digests can't be recognized, so every app is read again; nothing else is lost by that."""
    with Journal(location) as journal:
        WatchState(journal).for_control_plane(PLANE).save_checkpoint(FULL)
    with Journal(location, seal_key=Secret("k" * 32)) as journal:
        state = WatchState(journal)
        assert not state.take_key(PLANE)
        assert state.for_control_plane(PLANE).checkpoint() == StoredCheckpoint()


@pytest.mark.parametrize(
    "damage",
    [
        "update checkpoint set position = '{}'",
        "update checkpoint set began = 'yesterday'",
        "update in_sync set at = ''",
        "update optimization_check set document = ?",
    ],
)
def test_a_damaged_row_is_an_error(state: WatchState, memory: ControlPlaneState, damage: str) -> None:
    """It is never an empty checkpoint, or less of one. The error states what to do with the file or the database."""
    memory.store(desired_app("a"))
    memory.save_checkpoint(FULL)
    memory.journal.database.execute(damage, (b"[]",) if "?" in damage else ())
    with pytest.raises(StateDamaged, match="the checkpoint can't be read") as raised:
        state.check()
    assert ("or drop it" if state.journal.is_shared else "or move it away") in raised.value.hints[1]


def test_the_file_has_no_digest_that_can_be_guessed(path: Path) -> None:
    """Events and manifests are recognized by digests with the key of the file; without a key they could be guessed."""
    app = State.from_apps(desired_app("a", config={"api_key": "hunter2"}))
    with Journal(path) as journal:
        checkpoint = Checkpoint(lambda: WatchState(journal).for_control_plane(PLANE))
        checkpoint.accept(0)
        checkpoint.advance(events("event-1"))
        checkpoint.record("a", InSyncApp(NOW, checkpoint.keyed_digest(digest(app))), 0)
        checkpoint.save()
    content = b"".join(file.read_bytes() for file in path.parent.iterdir())
    assert b"hunter2" not in content
    assert b"event-1" not in content
    for guess in (digest(app), hashlib.sha256(b"event-1").hexdigest()):
        assert guess.removeprefix("sha256:")[:16].encode() not in content


@on_file
def test_events_since_the_position_are_new(memory: ControlPlaneState) -> None:
    """They are returned oldest first, with one that came late among known ones. None if the position is not among them."""
    checkpoint = Checkpoint(lambda: memory)
    checkpoint.load(NOW)
    assert checkpoint.new_events(events("b", "a")) is None  # nothing is known
    checkpoint.advance(events("d", "c", "b"))
    checkpoint.save()
    again = Checkpoint(lambda: memory)
    again.load(NOW)
    known = events("d", "c", "b")
    newer = Event(id="e", at=NOW + timedelta(minutes=1))
    late = Event(id="late", at=NOW - timedelta(seconds=90))
    assert again.new_events(known) == ()
    assert again.new_events((newer, *known)) == (newer,)
    assert again.new_events((newer, *known[:2], late, known[2])) == (late, newer)
    assert again.new_events((newer, *known[1:])) is None  # the feed was restored to an earlier time
    assert again.new_events(()) is None
    # Another feed counts its events in the same way.
    assert again.new_events(tuple(Event(id=event.id, at=NOW + timedelta(days=1)) for event in known)) is None


@on_file
def test_what_is_dated_in_the_future_is_not_known(memory: ControlPlaneState) -> None:
    """Apps, checks and the last resync that are dated in the future are ignored and deleted."""
    memory.save_checkpoint(FULL)
    checkpoint = Checkpoint(lambda: memory)
    checkpoint.load(NOW - timedelta(hours=1))
    assert checkpoint.in_sync == {}
    assert checkpoint.resync == StoredResync()
    assert checkpoint.check_of(DEPLOYMENT, "fleet", NOW) is None
    checkpoint.save()
    assert memory.checkpoint().in_sync == {}


@on_file
def test_nothing_counts_that_was_read_before_the_position(memory: ControlPlaneState) -> None:
    """After a gap in the feed, only reconciles that began after the next start of a resync are recorded."""
    checkpoint = Checkpoint(lambda: memory)
    app = InSyncApp(NOW, "basis")
    checkpoint.record("a", app, 5)
    checkpoint.accept(10)
    checkpoint.record("b", app, 9)
    checkpoint.record("c", app, 10)
    assert checkpoint.in_sync.keys() == {"c"}
    checkpoint.clear()
    checkpoint.record("d", app, 11)
    checkpoint.accept(20)
    checkpoint.record("e", app, 19)
    checkpoint.record("f", app, 20)
    assert checkpoint.in_sync.keys() == {"f"}


@on_file
@pytest.mark.parametrize("app_id", ["\ud800", "\0", "x" * 1000])
def test_an_id_that_can_not_be_stored_costs_a_read(memory: ControlPlaneState, app_id: str) -> None:
    """Whatever a control plane returns as an id, saving works; the app is read at the next start."""
    checkpoint = Checkpoint(lambda: memory)
    checkpoint.accept(0)
    checkpoint.record("a", InSyncApp(NOW, "basis", app_id), 0)
    checkpoint.save()
    assert memory.checkpoint().in_sync == {}


@on_file
@pytest.mark.parametrize("value", [10**400, float("nan"), "a secret", {"api_key": "hunter2"}])
def test_a_check_with_unexpected_content_is_not_stored(memory: ControlPlaneState, value: object) -> None:
    """Only numbers are stored as improvements. Until the restart the result is known all the same."""
    checkpoint = Checkpoint(lambda: memory)
    check = OptimizationCheck(available=True, improvement={"latency": value})  # type: ignore[dict-item]
    checkpoint.record_check(DEPLOYMENT, StoredCheck(NOW, "fleet", check))
    checkpoint.save()
    assert checkpoint.check_of(DEPLOYMENT, "fleet", NOW) is check
    assert memory.checkpoint().checks == {}
