"""Versions of the file: an earlier one keeps its content and can be read unchanged, a later one is refused."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest
from tests.support.journals import make_version_1
from tests.support.states import NOW, ORG, desired_app

from octosync.errors import OctosyncError
from octosync.model import JournalledAction, JournalledRun, Kind
from octosync.plan import ControlPlane
from octosync.state import Journal, JournalReader, WatchState
from octosync.state.migrations import VERSION

PLANE = ControlPlane(url="https://octomil.example/api/v1", org_id=ORG)


def version_of(path: Path) -> int:
    with closing(sqlite3.connect(path)) as database:
        return int(database.execute("pragma user_version").fetchone()[0])


def runs_and_actions(recorded: JournalReader) -> Sequence[tuple[JournalledRun, tuple[JournalledAction, ...]]]:
    return [(run, recorded.actions(run.id)) for run in recorded.runs()]


def test_an_earlier_journal_is_read_as_it_is(path: Path) -> None:
    """Reading does not migrate the file, and leaves every byte of it."""
    make_version_1(path, with_run=True)
    before = path.read_bytes()
    with JournalReader(path) as recorded:
        ((_, actions),) = runs_and_actions(recorded)
        assert [action.address for action in actions] == ["app/a/slot/chat", "app/a"]
    assert path.read_bytes() == before
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]


def test_an_earlier_journal_keeps_everything(path: Path) -> None:
    """Opening it for writing migrates it to this version; runs and actions are unchanged and count for a watch."""
    make_version_1(path, with_run=True)
    with JournalReader(path) as recorded:
        before = runs_and_actions(recorded)
    with Journal(path) as journal:
        memory = WatchState(journal).for_control_plane(PLANE)
        assert runs_and_actions(journal) == before
        assert [removal.kind for removal in memory.recent_removals(NOW)] == [Kind.SLOT]
        memory.store(desired_app("a"))
    assert version_of(path) == VERSION
    with Journal(path) as journal:
        assert runs_and_actions(journal) == before
        assert list(WatchState(journal).for_control_plane(PLANE).baseline()) == ["a"]


def test_a_run_of_the_earlier_version_goes_on_beside_it(path: Path) -> None:
    """A process that opened the file when it was version 1 writes its tables as before."""
    make_version_1(path)
    with closing(sqlite3.connect(path, isolation_level=None)) as earlier, Journal(path) as journal:
        earlier.execute("insert into run (id, started_at, control_plane, digest) values ('r', '2030-01-01', '', '')")
        assert [run.id for run in journal.runs()] == ["r"]


def test_several_that_open_it_first_agree(path: Path) -> None:
    """However many processes migrate the file, it is migrated once and has one key: each recognises the other's seals."""
    make_version_1(path, with_run=True)
    app = desired_app("a", config={"api_key": "hunter2"})

    def use(_: int) -> bool:
        with Journal(path) as journal:
            WatchState(journal).for_control_plane(PLANE).store(app)
            return WatchState(journal).for_control_plane(PLANE).baseline() == {"a": app}

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(use, range(8)))
    with JournalReader(path) as recorded:
        assert len(recorded.runs()) == 1


def test_a_step_that_fails_leaves_the_earlier_version(path: Path) -> None:
    """A file that can't be migrated is an error and stays unchanged: nothing is lost halfway."""
    make_version_1(path, with_run=True)
    with closing(sqlite3.connect(path)) as database:
        database.execute("create table suspension (mine text)")  # the last table that would be created
        database.commit()
    with pytest.raises(OctosyncError, match="journal-unusable"):
        Journal(path)
    assert version_of(path) == 1
    with JournalReader(path) as recorded:
        assert len(recorded.runs()) == 1
    with closing(sqlite3.connect(path)) as database:
        assert database.execute("select count(*) from sqlite_master where name = 'base'").fetchone() == (0,)


@pytest.mark.parametrize("opened_by", [Journal, JournalReader])
def test_a_later_version_is_refused(path: Path, opened_by: type[JournalReader]) -> None:
    """It is refused for reading and writing, with its version and this one, and left unchanged."""
    with Journal(path):
        pass
    with closing(sqlite3.connect(path)) as database:
        database.execute(f"pragma user_version = {VERSION + 1}")
    before = path.read_bytes()
    with pytest.raises(OctosyncError, match=f"schema {VERSION + 1}, not {VERSION}"):
        opened_by(path)
    assert path.read_bytes() == before
