"""Copies of a state, between a file and a database: complete or not there, and only of a state that nothing else writes."""

from __future__ import annotations

import os
import resource
import stat
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.support.declared_apps import SECRET
from tests.support.journals import make_version_1, on_file
from tests.support.postgres import PostgresServer
from tests.support.proxies import run_tcp_proxy
from tests.support.states import NOW, ORG, desired_app

from octosync.errors import OctosyncError, StateUnavailable
from octosync.model import Address, Hold
from octosync.plan import ControlPlane
from octosync.state import (
    Journal,
    JournalReader,
    LeaseHolder,
    LeaseKind,
    LeaseName,
    StateLocation,
    WatchState,
    back_up,
    check_state,
    copy_state,
    examine_state,
    parse_location,
    state_lock,
)
from octosync.state.lease import LeaseTable
from octosync.state.transfer import TABLES

PLANE = ControlPlane(url="https://octomil.example/api/v1", org_id=ORG)


def fill(location: StateLocation) -> None:
    """Store something of every kind that a controller and an apply store."""
    with Journal(location) as journal:
        for ends in (True, False):
            run = journal.begin_run(control_plane=PLANE.url, org_id=ORG, digest="sha256:0", at=NOW)
            address = Address.of_app("a")
            journal.begin_action(run, 1, address=address, verb="archive", operation="apps.archive", at=NOW)
            if ends:
                journal.end_run(run, 5, NOW)
        memory = WatchState(journal).for_control_plane(PLANE)
        for slug in ("a", "b"):
            memory.store(desired_app(slug, config={"api_key": SECRET}))
        memory.hold(Hold(app="a", until=NOW + timedelta(hours=1), reason="incident", at=NOW))
        memory.suspend(NOW, "release")


def rows_of(location: StateLocation) -> dict[str, list[Any]]:
    """Return all rows of a state."""
    with closing(JournalReader(location)) as reader:
        return {
            name: reader.database.execute(
                f"select {', '.join(table.columns)} from {name} order by {', '.join(table.key)}"  # noqa: S608 — our own names
            ).fetchall()
            for name, table in TABLES.items()
        }


def ignore(done: int, total: int) -> None:
    """Show no progress."""
    del done, total


def test_the_tables_that_are_copied_are_all_tables(location: StateLocation) -> None:
    """A new table or column has to be added to the copy, or it would be lost."""
    with Journal(location) as journal:
        names = (
            "select name from sqlite_master where type = 'table' and name not like 'sqlite%'"
            if isinstance(location, Path)
            else "select tablename from pg_tables where schemaname = 'octosync'"
        )
        assert {name for (name,) in journal.database.execute(names)} - {"lease", "version"} == TABLES.keys()
        for name, table in TABLES.items():
            columns = (
                "select name from pragma_table_info(?)"
                if isinstance(location, Path)
                else "select column_name from information_schema.columns where table_schema = 'octosync' and table_name = ?"
            )
            found = {column for (column,) in journal.database.execute(columns, (name,))}
            assert found == {*table.columns} - ({"rowid"} if isinstance(location, Path) else set())


def test_the_key_of_the_seals_is_in_the_text_of_no_statement(
    postgres_server: PostgresServer, postgres_url: str, tmp_path: Path
) -> None:
    """The server logs the text of each statement that fails. With `log_statement`, it logs parameters, too, as asked."""
    source, database = tmp_path / "source.db", postgres_url.rpartition("/")[2]
    fill(source)
    ((_, key, _),) = rows_of(source)["seal"]
    postgres_server.execute(f"alter database {database} set log_statement = 'all'")
    copy_state(source, parse_location(postgres_url), ignore)
    log = (postgres_server.folder / "log").read_text(encoding="utf-8").splitlines()
    assert ["DETAIL:  parameters: " in line for line in log if key.hex() in line] == [True]


def test_a_copy_has_everything_and_is_used_like_the_original(location: StateLocation, tmp_path: Path) -> None:
    """From a file to either kind and back: the same rows, seals that recognize their values, and new numbers for new rows."""
    source, back = tmp_path / "source.db", tmp_path / "back.db"
    fill(source)
    before, seen = rows_of(source), []
    counts = copy_state(source, location, lambda done, total: seen.append((done, total)))
    assert rows_of(location) == before
    assert counts == {name: len(rows) for name, rows in before.items()}
    assert (counts["run"], counts["base"], counts["hold"]) == (2, 2, 1)
    assert copy_state(location, back, ignore) == counts
    assert rows_of(back) == before
    assert stat.S_IMODE(back.stat().st_mode) == 0o600
    fill(location)
    with Journal(location) as journal:
        runs = journal.runs()
        assert len(runs) == 4
        memory = WatchState(journal).for_control_plane(PLANE)
        assert memory.baseline()["a"].inference_config == desired_app("a", config={"api_key": SECRET}).inference_config
    with closing(JournalReader(location)) as reader:
        assert check_state(reader).startswith("4 runs with 4 actions, 1 control plane")
        facts = examine_state(reader)
    (plane,) = facts.planes
    assert (facts.runs, facts.open_runs, plane.apps, plane.holds, plane.suspended_at) == (4, 2, 2, 1, NOW)


def test_a_copy_that_fails_leaves_the_target_as_it_was(location: StateLocation, tmp_path: Path) -> None:
    """It can be repeated: nothing is in the target, and no file is left beside it."""
    source = tmp_path / "source.db"
    fill(source)
    names = {file.name for file in tmp_path.iterdir()}

    def fail(done: int, total: int) -> None:
        raise KeyboardInterrupt(done, total)

    if not isinstance(location, Path):
        with pytest.raises(KeyboardInterrupt):
            copy_state(source, location, fail)
        with pytest.raises(OctosyncError, match="no-state") as raised:
            back_up(tmp_path / "missing.db", tmp_path / "copy.db", ignore)
        with closing(JournalReader(location)) as reader:
            assert not examine_state(reader).runs
        copy_state(source, location, ignore)
        with pytest.raises(KeyboardInterrupt):
            back_up(location, tmp_path / "copy.db", fail)
    else:
        source.write_bytes(source.read_bytes()[:8192])
        with pytest.raises(OctosyncError) as raised:
            back_up(source, tmp_path / "copy.db", ignore)
        assert raised.value.reference == "journal-unusable"
    assert {file.name for file in tmp_path.iterdir()} == names


def test_a_database_that_is_lost_leaves_no_copy(
    postgres_server: PostgresServer, postgres_url: str, tmp_path: Path
) -> None:
    """The error is that of the database. After the last row it isn't needed any more: then the copy is complete."""
    fill(parse_location(postgres_url))
    with run_tcp_proxy(postgres_server.port) as proxy:
        source = parse_location(postgres_server.url(postgres_url.rpartition("/")[2], port=proxy.port))
        with pytest.raises(StateUnavailable):
            back_up(source, tmp_path / "copy.db", lambda done, total: proxy.cut() if done < total else None)
        assert not list(tmp_path.iterdir())
        back_up(source, tmp_path / "copy.db", lambda done, total: proxy.cut() if done == total else None)
    assert rows_of(tmp_path / "copy.db") == rows_of(parse_location(postgres_url))


def test_a_full_disk_is_that_of_the_copy(location: StateLocation, tmp_path: Path) -> None:
    """The error names the file that can't be written, not the state or a temporary file, and nothing is left."""
    fill(location)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (8192, limits[1]))
    try:
        with pytest.raises(OctosyncError, match=r"state-not-copied: .*/full\.db: the copy can't be written"):
            back_up(location, tmp_path / "full.db", ignore)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert not [file for file in tmp_path.iterdir() if "full" in file.name]


def test_a_state_in_use_or_a_target_with_a_state_is_refused(location: StateLocation, tmp_path: Path) -> None:
    """What a controller writes during a copy would be lost, and two states can't be merged."""
    source = tmp_path / "source.db"
    fill(source)
    with state_lock(source), pytest.raises(OctosyncError, match="state-in-use") as raised:
        copy_state(source, location, ignore)
    assert raised.value.hints == ("What it writes during the copy would be lost: stop it first.",)
    with Journal(location) as journal:
        if not isinstance(location, Path):
            table = LeaseTable(journal)
            lease = table.take(LeaseName(LeaseKind.WATCH, PLANE), LeaseHolder(host="pod-a", pid=7))
            assert lease is not None
            with pytest.raises(OctosyncError, match=r"state-in-use.*octosync watch \(pod-a, process 7\)"):
                copy_state(source, location, ignore)
            table.release(lease)
        journal.begin_run(control_plane=PLANE.url, org_id=ORG, digest="sha256:0", at=NOW)
    with pytest.raises(OctosyncError, match="state-not-empty"):
        copy_state(source, location, ignore)
    existing = tmp_path / "existing"
    existing.write_text("mine", encoding="utf-8")
    with pytest.raises(OctosyncError, match="would-overwrite"):
        back_up(location, existing, ignore)
    assert existing.read_text(encoding="utf-8") == "mine"
    with pytest.raises(OctosyncError, match="would-overwrite"):
        back_up(source, source, ignore, replaces=True)
    with state_lock(existing), pytest.raises(OctosyncError, match="state-in-use"):
        back_up(location, existing, ignore, replaces=True)
    back_up(location, existing, ignore, replaces=True)
    assert len(rows_of(existing)["run"]) == 1


@on_file
def test_what_is_no_file_is_not_replaced(location: Path, tmp_path: Path) -> None:
    """A copy to /dev/null, by an administrator, would replace the device for all processes."""
    fill(location)
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with pytest.raises(OctosyncError, match=r"state-not-copied.*it is not a file"):
        copy_state(location, pipe, ignore)
    with pytest.raises(OctosyncError, match=r"state-not-copied.*it is not a file"):
        back_up(location, pipe, ignore, replaces=True)
    assert pipe.is_fifo()


@on_file
def test_a_backup_of_an_earlier_version_is_migrated_by_a_copy(location: Path, tmp_path: Path) -> None:
    """A backup of a file is as the file; a copy to a database has the schema of this version."""
    make_version_1(location, with_run=True)
    assert back_up(location, tmp_path / "backup.db", ignore) == {"run": 1}
    with closing(JournalReader(tmp_path / "backup.db")) as reader:
        assert (reader.schema, len(reader.runs())) == (1, 1)
