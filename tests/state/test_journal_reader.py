"""Reading the journal: without changing it, during a run, after a kill, and if it is missing."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest

from octosync.errors import OctosyncError
from octosync.model import Address, Outcome, Status
from octosync.state import Journal, JournalReader, StateLocation

AT = datetime(2030, 1, 2, 3, 4, 5, tzinfo=UTC)
APP = Address.of_app("a")


def record(journal: Journal) -> str:
    """Record a run with a finished and an unfinished action."""
    run = journal.begin_run(control_plane="http://127.0.0.1/api/v1", org_id=None, digest="sha256:00", at=AT)
    for number in (1, 2):
        journal.begin_action(run, number, address=APP, verb="create", operation="apps.create", at=AT)
    journal.end_action(run, 1, Outcome(address=APP, verb="create", status=Status.DONE), AT)
    return run


def held(folder: Path) -> dict[str, bytes]:
    """Return the files of a folder."""
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_reading_leaves_no_trace(tmp_path: Path) -> None:
    """Neither the file nor any file beside it is created or changed."""
    path = tmp_path / "a journal, #1?.db"
    with Journal(path) as journal:
        run = record(journal)
    before = held(tmp_path)
    with JournalReader(path) as recorded:
        assert [run_record.id for run_record in recorded.runs()] == [run]
        assert [action.status for action in recorded.actions(run)] == [Status.DONE, None]
    assert held(tmp_path) == before


def test_a_run_under_way_is_seen(location: StateLocation) -> None:
    """The records of a running run can be read, and the reader does not block the run."""
    with Journal(location) as journal:
        run = record(journal)
        with JournalReader(location) as recorded:
            assert [run_record.ended_at for run_record in recorded.runs()] == [None]
            journal.end_run(run, 0, AT)
            assert [run_record.exit_code for run_record in recorded.runs()] == [0]


def test_the_record_of_a_killed_run_is_seen(tmp_path: Path) -> None:
    """The last records of a killed run are in the log beside the file, and are read from it."""
    path = tmp_path / "state.db"
    with Journal(path) as journal:
        run = record(journal)
        killed = tmp_path / "killed"
        killed.mkdir()
        for name in ("state.db", "state.db-wal"):
            shutil.copy(tmp_path / name, killed)
    with JournalReader(killed / "state.db") as recorded:
        assert [action.status for action in recorded.actions(run)] == [Status.DONE, None]


@pytest.mark.parametrize("empty", [False, True])
def test_where_there_is_no_journal_there_are_no_runs(tmp_path: Path, empty: bool) -> None:
    """With no file, or with one that a run is creating, there are no runs, and no file is created."""
    path = tmp_path / "state.db"
    if empty:
        path.write_bytes(b"")
    with JournalReader(path) as recorded:
        assert recorded.exists is empty
        assert recorded.runs() == ()
    assert held(tmp_path) == ({"state.db": b""} if empty else {})


def folder(path: Path) -> None:
    path.mkdir()


def garbage(path: Path) -> None:
    path.write_bytes(b"this is no database at all, and long enough to see that" * 100)


def cut_off(path: Path) -> None:
    with Journal(path) as journal:
        record(journal)
    path.write_bytes(path.read_bytes()[:5000])


def later_version(path: Path) -> None:
    with Journal(path) as journal:
        record(journal)
    with closing(sqlite3.connect(path)) as database:
        database.execute("pragma user_version = 99")


def another_program(path: Path) -> None:
    with closing(sqlite3.connect(path)) as database:
        database.execute("create table precious (value text)")


def changed_by_hand(path: Path) -> None:
    with Journal(path) as journal:
        record(journal)
    with closing(sqlite3.connect(path)) as database:
        database.execute("update action set status = 'splendid'")
        database.execute("update run set started_at = 'yesterday'")
        database.commit()


@pytest.mark.parametrize("make", [folder, garbage, cut_off, later_version, another_program, changed_by_hand])
def test_what_is_no_journal_is_one_clear_error(tmp_path: Path, make: Callable[[Path], None]) -> None:
    """The error names the file and how to use another one; the file is never treated as a journal without runs."""
    path = tmp_path / "state.db"
    make(path)

    def read() -> None:
        with JournalReader(path) as recorded:
            for run in recorded.runs():
                recorded.actions(run.id)

    with pytest.raises(OctosyncError) as raised:
        read()
    assert raised.value.reference == "journal-unusable"
    assert str(path) in raised.value.message
    assert "--state" in raised.value.hints[0]
