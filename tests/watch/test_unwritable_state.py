"""A state file that cannot be written for a while, as on a full disk: the controller keeps running and recovers."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import timedelta
from pathlib import Path

import pytest
from tests.support.controllers import PATIENCE, FastClock, RunningController, manifest, plane_at, run_controller
from tests.support.plane import Plane

from octosync.errors import OctosyncError, StateLocked
from octosync.watch.status import AppState
from octosync.watch.web.summary import sentence

FOREIGN = {"serving_policy": "cloud_only", "bindings": []}


@contextmanager
def unwritable(watch: RunningController) -> Iterator[None]:
    """Make SQLite reject every write until the block ends."""
    watch.journal.database.execute("pragma query_only = on")
    try:
        yield
    finally:
        watch.journal.database.execute("pragma query_only = off")


def lose_state(folder: Path) -> None:
    """Remove the state file and SQLite's files beside it."""
    for file in folder.glob("state.db*"):
        file.unlink()


def mode_of(plane: Plane, slug: str = "demo") -> str:
    (slot,) = plane.send("GET", f"/apps/{slug}/slots")["slots"]
    return str(slot["serving_policy"]["routing_mode"])


async def test_a_commit_that_cannot_be_recorded_waits_for_the_state_file(tmp_path: Path) -> None:
    """The app, which had a revert before, is failing and not written. The commit is applied once it can be recorded."""
    clock = FastClock(20)
    (tmp_path / "apps").mkdir()
    file = tmp_path / "apps/demo.json"
    file.write_text(manifest(slots={"chat": "local_first"}))
    with plane_at(clock) as plane:
        async with run_controller(tmp_path, plane, clock, drift_hold=timedelta()) as watch:
            await watch.until_in_sync()
            declared = mode_of(plane)
            plane.send("PUT", "/apps/demo/slots/chat", FOREIGN)
            await watch.until(lambda: mode_of(plane) == declared)
            await watch.until_in_sync()
            with unwritable(watch):
                file.write_text(manifest(slots={"chat": "private"}))
                await watch.until(lambda: watch.app().state is AppState.FAILING)
                assert watch.app().reference == "journal-unusable"
                assert mode_of(plane) == declared
            await watch.until(lambda: mode_of(plane) == "local_only")
            await watch.until_in_sync()


async def test_an_action_that_cannot_be_recorded_is_not_sent(tmp_path: Path) -> None:
    """The app is failing, with the reason, although its run was recorded."""
    clock = FastClock(20)
    (tmp_path / "apps").mkdir()
    file = tmp_path / "apps/demo.json"
    file.write_text(manifest(slots={"chat": "local_first"}))
    with plane_at(clock) as plane:
        async with run_controller(tmp_path, plane, clock) as watch:
            await watch.until_in_sync()
            refusal = "create temp trigger refusal before insert on action begin select raise(abort, 'refused'); end"
            watch.journal.database.execute(refusal)
            file.write_text(manifest(slots={"chat": "private"}))
            await watch.until(lambda: watch.app().state is AppState.FAILING)
            assert "refused" in watch.app().error
            assert mode_of(plane) == "auto"
            watch.journal.database.execute("drop trigger refusal")
            await watch.until(lambda: mode_of(plane) == "local_only")
            await watch.until_in_sync()


async def test_a_first_valid_load_that_cannot_be_recorded_waits(tmp_path: Path) -> None:
    """After invalid manifests at the start, the first valid ones may come while the disk is full."""
    clock = FastClock(20)
    (tmp_path / "apps").mkdir()
    file = tmp_path / "apps/demo.json"
    file.write_text("{")
    with plane_at(clock) as plane:
        async with run_controller(tmp_path, plane, clock) as watch:
            await watch.until(lambda: watch.logged("manifests_invalid"))
            with unwritable(watch):
                file.write_text(manifest(slots={"chat": "private"}))
                await watch.until(lambda: watch.logged("state_unusable"))
                assert not watch.status.apps
            await watch.until_in_sync()
            assert mode_of(plane) == "local_only"


async def test_a_resync_that_cannot_be_recorded_is_logged(tmp_path: Path) -> None:
    """The controller keeps running, and the next resync records what this one could not."""
    clock = FastClock(100)
    (tmp_path / "apps").mkdir()
    (tmp_path / "apps/demo.json").write_text(manifest(slots={"chat": "local_first"}))
    with plane_at(clock) as plane:
        async with run_controller(tmp_path, plane, clock, resync=timedelta(minutes=1)) as watch:
            await watch.until_in_sync()
            with unwritable(watch):
                clock.skip(timedelta(days=2))
                await watch.until(lambda: watch.logged("state_unusable"))
            before = len(watch.logged("full_read"))
            await watch.until(lambda: len(watch.logged("full_read")) > before + 1)
            assert watch.app().state is AppState.IN_SYNC


async def test_a_removed_state_file_stops_writes(tmp_path: Path) -> None:
    """No write is sent that could not be recorded, and no hold is accepted that a restart would lose."""
    clock = FastClock(20)
    (tmp_path / "apps").mkdir()
    file = tmp_path / "apps/demo.json"
    file.write_text(manifest(slots={"chat": "local_first"}))
    with plane_at(clock) as plane:
        async with run_controller(tmp_path, plane, clock) as watch:
            await watch.until_in_sync()
            before = mode_of(plane)
            lose_state(tmp_path)
            file.write_text(manifest(slots={"chat": "private"}))
            await watch.until(lambda: watch.app().state is AppState.FAILING)
            assert "removed" in watch.app().error
            assert mode_of(plane) == before
            with pytest.raises(OctosyncError, match="journal-unusable"):
                watch.controller.api.hold("demo", timedelta(hours=1), "incident")


async def test_a_locked_state_file_pauses_writes(tmp_path: Path) -> None:
    """While another process holds the lock, page, readiness, log and metric report it, and nothing is written.

    Then it continues.
    """
    clock = FastClock(20)
    (tmp_path / "apps").mkdir()
    file = tmp_path / "apps/demo.json"
    file.write_text(manifest(slots={"chat": "local_first"}))
    with plane_at(clock) as plane:
        async with run_controller(tmp_path, plane, clock) as watch:
            await watch.until_in_sync()
            before = mode_of(plane)
            with closing(sqlite3.connect(tmp_path / "state.db", isolation_level=None)) as database:
                database.execute("begin immediate")
                file.write_text(manifest(slots={"chat": "private"}))
                # A wait inside SQLite would take longer than this timeout.
                await watch.until(lambda: watch.status.state_locked)
                assert not watch.status.ready
                assert "Another process has locked the state file" in sentence(watch.status)
                assert b'octosync_circuit_open{reason="state_locked"} 1.0' in watch.controller.metrics.render()
                since = clock.now()
                await watch.until(lambda: clock.now() - since > timedelta(seconds=30))
                assert watch.status.state_locked
                assert mode_of(plane) == before
                with pytest.raises(StateLocked):
                    watch.controller.api.hold("demo", timedelta(hours=1), "incident")
                database.execute("rollback")
            await watch.until(lambda: mode_of(plane) == "local_only")
            await watch.until_in_sync()
            assert [line["why"] for line in watch.logged("everything_waits")] == ["state_locked"]


async def test_it_stops_while_its_state_file_is_locked(tmp_path: Path) -> None:
    """The first signal stops it at once, without waiting for the lock."""
    clock = FastClock(20)
    (tmp_path / "apps").mkdir()
    file = tmp_path / "apps/demo.json"
    file.write_text(manifest(slots={"chat": "local_first"}))
    with plane_at(clock) as plane, closing(sqlite3.connect(tmp_path / "state.db", isolation_level=None)) as database:
        async with run_controller(tmp_path, plane, clock) as watch:
            await watch.until_in_sync()
            database.execute("begin immediate")
            file.write_text(manifest(slots={"chat": "private"}))
            await watch.until(lambda: watch.status.state_locked)
            watch.controller.stop.set()
            await asyncio.wait_for(watch.task, PATIENCE)
