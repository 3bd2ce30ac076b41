"""State on PostgreSQL: the same schema as in a file, its migrations, the order of texts, and several processes at once."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from tests.support.postgres import PostgresServer
from tests.support.states import NOW, ORG, desired_app

from octosync.errors import ConfigError, OctosyncError, StateUnavailable
from octosync.model import Address, ControllerSuspension, Hold, Outcome, Secret, Status
from octosync.plan import ControlPlane
from octosync.state import Journal, JournalReader, StateLocation, StateUrl, WatchState, parse_location
from octosync.state.database import DatabaseError, open_for_writing
from octosync.state.migrations import _STEPS, VERSION

if TYPE_CHECKING:
    import psycopg

    from octosync.state.postgres import PostgresDatabase

PLANE = ControlPlane(url="https://octomil.example/api/v1", org_id=ORG)
APP = Address.of_app("a")
HOLD = Hold(app="a", until=NOW + timedelta(hours=1), reason="incident", at=NOW)
# What only one kind of database needs: the version, the lease, and the order of rows.
_ONLY_POSTGRES = {"version", "lease"}
_TYPES = {"bytea": "blob", "double precision": "real", "bigint": "integer"}

Columns = dict[str, dict[str, tuple[Any, bool, bool]]]  # type, whether it has a value, whether it is part of the key


@pytest.fixture
def url(postgres_url: str) -> StateUrl:
    found = parse_location(postgres_url)
    assert isinstance(found, StateUrl)
    return found


@pytest.fixture
def connection(postgres_url: str) -> Iterator[psycopg.Connection]:
    import psycopg

    with psycopg.connect(postgres_url, autocommit=True) as connection:
        yield connection


def file_columns(path: Path) -> Columns:
    with closing(sqlite3.connect(path)) as database:
        names = [name for (name,) in database.execute("select name from sqlite_master where type = 'table'")]
        return {
            name: {
                column: (kind.lower(), bool(has_value or key), bool(key))
                for _, column, kind, has_value, _, key in database.execute(f"pragma table_info({name})")
            }
            for name in names
        }


def database_columns(connection: psycopg.Connection) -> Columns:
    rows = connection.execute("""
        select c.table_name, c.column_name, c.data_type, c.is_nullable = 'NO', exists (
            select from pg_index where indrelid = format('octosync.%I', c.table_name)::regclass and indisprimary
            and c.ordinal_position = any (indkey)
        )
        from information_schema.columns c where c.table_schema = 'octosync' and c.column_name <> 'rowid'
        order by c.table_name, c.ordinal_position
    """)
    columns: Columns = {}
    for table, column, kind, has_value, is_key in rows:
        if table not in _ONLY_POSTGRES:
            columns.setdefault(table, {})[column] = (_TYPES.get(kind, kind), has_value, is_key)
    return columns


def indexes(names: list[tuple[str, str]]) -> set[tuple[str, str]]:
    """Return the indexes by table and name, without those of keys, which the database names itself."""
    return {(table, name) for table, name in names if not re.search(r"^sqlite_|_p?key\d*$", name)}


def test_a_database_has_the_schema_of_a_file(url: StateUrl, path: Path, connection: psycopg.Connection) -> None:
    """Tables, columns, keys and indexes are the same. Texts are ordered by their bytes, whatever the database's language is."""
    with Journal(path), Journal(url):
        assert database_columns(connection) == file_columns(path)
        with closing(sqlite3.connect(path)) as file:
            of_file = file.execute("select tbl_name, name from sqlite_master where type = 'index'").fetchall()
        of_database = connection.execute("select tablename, indexname from pg_indexes where schemaname = 'octosync'")
        assert indexes(of_database.fetchall()) == indexes(of_file)
    collations = connection.execute(
        "select distinct collation_name from information_schema.columns "
        "where table_schema = 'octosync' and data_type = 'text'"
    )
    assert collations.fetchall() == [("C",)]
    (tables,) = connection.execute("select count(*) from pg_tables where schemaname = 'public'").fetchone() or ()
    assert tables == 0


def test_rows_are_in_the_order_of_their_bytes(location: StateLocation) -> None:
    """Apps, holds and approvals have one order everywhere. The language of the database would put `a` before `B`."""
    with Journal(location) as journal:
        memory = WatchState(journal).for_control_plane(PLANE)
        for app in ("a", "B", "a-b", "ab", "é"):
            memory.store(desired_app(app))
            memory.hold(Hold(app=app, until=NOW, reason="", at=NOW))
        ordered = ["B", "a", "a-b", "ab", "é"]
        assert list(memory.baseline()) == ordered
        assert [hold.app for hold in memory.holds()] == ordered


def test_an_empty_database_is_no_journal_yet(url: StateUrl, connection: psycopg.Connection) -> None:
    """Reading it finds no runs, and creates nothing."""
    with JournalReader(url) as reader:
        assert not reader.exists
        assert reader.runs() == ()
    assert connection.execute("select to_regnamespace('octosync')").fetchone() == (None,)


def migrate_to(url: StateUrl, version: int) -> PostgresDatabase:
    """Create the schema of an earlier version."""
    from octosync.state.postgres import PostgresDatabase

    database = PostgresDatabase(url)
    with database.transaction():
        database.lock_schema()
        for step in range(1, version + 1):
            _STEPS[step](database)
        database.set_version(version)
    return database


def test_an_earlier_schema_is_migrated(url: StateUrl, path: Path, connection: psycopg.Connection) -> None:
    """It keeps its content, has the schema of a new one afterwards, and can be read before, which changes nothing."""
    with closing(migrate_to(url, 6)) as earlier:
        earlier.execute("insert into hold values ('a', ?, 'incident', ?)", (HOLD.until.isoformat(), NOW.isoformat()))
        earlier.execute("insert into suspension values (1, ?, 'maintenance')", (NOW.isoformat(),))
        earlier.execute("insert into run (id, started_at, control_plane, digest) values ('r', '2030-01-01', '', '')")
    with JournalReader(url) as reader:
        assert [run.id for run in reader.runs()] == ["r"]
    assert connection.execute("select version from octosync.version").fetchall() == [(6,)]
    with Journal(url) as journal, Journal(path):
        memory = WatchState(journal).for_control_plane(PLANE)
        assert memory.holds() == (HOLD,)
        assert memory.suspension() == ControllerSuspension(at=NOW, reason="maintenance")
        assert [run.id for run in journal.runs()] == ["r"]
        assert database_columns(connection) == file_columns(path)
    assert connection.execute("select version from octosync.version").fetchall() == [(VERSION,)]


def test_a_migration_that_fails_changes_nothing(url: StateUrl, connection: psycopg.Connection) -> None:
    """All steps are one transaction: the earlier version stays whole."""
    migrate_to(url, 5).close()
    before = database_columns(connection)
    connection.execute("create table octosync.earlier_suspension (mine text)")  # a step would create this name
    with pytest.raises(OctosyncError, match="journal-unusable"):
        Journal(url)
    connection.execute("drop table octosync.earlier_suspension")
    assert database_columns(connection) == before
    assert connection.execute("select version from octosync.version").fetchall() == [(5,)]


def test_several_that_open_it_first_agree(url: StateUrl) -> None:
    """However many processes create the schema at once, it is created once and has one key."""
    app = desired_app("a", config={"api_key": "hunter2"})

    def use(_: int) -> bool:
        with Journal(url) as journal:
            memory = WatchState(journal).for_control_plane(PLANE)
            memory.store(app)
            return memory.baseline() == {"a": app}

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(use, range(4)))


def test_a_migration_waits_for_the_transactions_of_an_earlier_version(
    url: StateUrl, postgres_server: PostgresServer, connection: psycopg.Connection
) -> None:
    """A replica of the earlier version finishes what it has begun, and neither of them fails by a deadlock."""
    waiting = "select 1 from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'"
    with closing(migrate_to(url, 6)) as earlier, ThreadPoolExecutor(1) as pool:
        earlier.begin_writing(6)
        with earlier.transaction():
            assert earlier.execute("select 1 from hold").fetchall() == []
            migration = pool.submit(Journal, url)
            postgres_server.wait_for(lambda: bool(postgres_server.execute(waiting, url.database)))
            earlier.execute(
                "insert into hold values ('a', ?, 'incident', ?)", (HOLD.until.isoformat(), NOW.isoformat())
            )
        with migration.result() as journal:
            assert WatchState(journal).for_control_plane(PLANE).holds() == (HOLD,)
        with pytest.raises(DatabaseError, match=f"schema {VERSION}, not 6"), earlier.transaction():
            earlier.execute("delete from hold")
        assert connection.execute("select count(*) from octosync.hold").fetchone() == (1,)


@pytest.mark.parametrize("opened_by", [Journal, JournalReader])
def test_a_later_schema_is_refused(url: StateUrl, opened_by: type[JournalReader]) -> None:
    """It is refused for reading and writing, with its version and this one."""
    with closing(migrate_to(url, VERSION)) as database:
        with database.transaction():
            database.set_version(VERSION + 1)
        with pytest.raises(OctosyncError, match=f"schema {VERSION + 1}, not {VERSION}") as raised:
            opened_by(url)
        assert raised.value.reference == "journal-unusable"
        assert "upgrade" in raised.value.hints[0]
        assert database.version() == VERSION + 1


def test_nothing_is_written_after_a_migration_by_a_later_version(url: StateUrl) -> None:
    """A process of this version that is still running gets an error, before it changes anything, even if it catches that."""

    def write_in_spite_of_an_error(journal: Journal) -> None:
        with journal.transaction() as database:
            with suppress(DatabaseError):
                database.execute("select 1").fetchone()
            database.execute("delete from base")

    with Journal(url) as journal, closing(open_for_writing(url)) as later:
        memory = WatchState(journal).for_control_plane(PLANE)
        memory.store(desired_app("a"))
        with later.transaction():
            later.set_version(VERSION + 1)
        with pytest.raises(StateUnavailable, match="another version of octosync has migrated it"):
            memory.store(desired_app("b"))
        with pytest.raises(StateUnavailable, match="another version of octosync has migrated it"):
            write_in_spite_of_an_error(journal)
        with later.transaction():
            later.set_version(VERSION)
        assert list(memory.baseline()) == ["a"]
        memory.store(desired_app("b"))


def test_another_key_deletes_nothing_of_other_control_planes(url: StateUrl) -> None:
    """Two orgs can share a database only with one key. An org that isn't known is the only one of its URL."""
    app, another = desired_app("a", config={"api_key": "hunter2"}), Secret("k" * 32)
    unnamed, staging = ControlPlane(url=PLANE.url), ControlPlane(url="https://staging.example/api/v1")
    with Journal(url) as journal:
        for plane in (PLANE, unnamed):
            WatchState(journal).for_control_plane(plane).store(app)
    with Journal(url, seal_key=another) as journal:
        for plane in (ControlPlane(url=PLANE.url, org_id="org-2"), staging):
            with pytest.raises(ConfigError, match="state-key-differs"):
                WatchState(journal).take_key(plane)
    with Journal(url) as journal:
        assert not WatchState(journal).take_key(staging)
        assert WatchState(journal).for_control_plane(PLANE).baseline() == {"a": app}
    with Journal(url, seal_key=another) as journal:
        assert WatchState(journal).take_key(unnamed)
        assert WatchState(journal).for_control_plane(PLANE).baseline() == {}


@pytest.mark.parametrize("text", ["a\0b", "a\ud800b"])
def test_a_text_that_can_not_be_stored_is_an_error(url: StateUrl, text: str) -> None:
    """The error names the database and not the text. Nothing of the transaction is written, and the next write works."""
    with Journal(url) as journal:
        memory = WatchState(journal).for_control_plane(PLANE)
        with pytest.raises(OctosyncError, match="journal-unusable") as raised:
            memory.record_drift("a", {APP: "x", Address.of_target("a", "ios", text): "x"}, NOW)
        assert str(url) in raised.value.message
        assert text not in raised.value.message
        assert memory.drift() == {}
        assert memory.record_drift("a", {APP: "x"}, NOW) == {APP: NOW}


def test_a_transaction_has_no_other_within(location: StateLocation) -> None:
    """The inner one would commit the outer one, so it is an error, and nothing is written."""
    with Journal(location) as journal:
        memory = WatchState(journal).for_control_plane(PLANE)

        def suspend_and_hold() -> None:
            with journal.transaction() as database:
                database.execute("insert into suspension values (0, ?, '')", (NOW.isoformat(),))
                memory.hold(HOLD)

        with pytest.raises(OctosyncError, match="within a transaction"):
            suspend_and_hold()
        assert memory.suspension() is None
        memory.hold(HOLD)


def test_two_runs_at_once_are_two_runs(url: StateUrl) -> None:
    """Runs of two processes record their actions alternately: each has its own, in its order."""
    done = Outcome(address=APP, verb="update", status=Status.DONE)
    with Journal(url) as one, Journal(url) as another, JournalReader(url) as reader:
        journals = (one, another)
        runs = [journal.begin_run(control_plane=PLANE.url, org_id=ORG, digest="", at=NOW) for journal in journals]
        for number in range(1, 6):
            for journal, run in zip(journals, runs, strict=True):
                journal.begin_action(run, number, address=APP, verb="update", operation="apps.update", at=NOW)
            for journal, run in zip(journals, runs, strict=True):
                journal.end_action(run, number, done, NOW)
        assert [run.id for run in reader.runs()] == runs[::-1]
        for run in runs:
            assert [(action.number, action.status) for action in reader.actions(run)] == [
                (number, Status.DONE) for number in range(1, 6)
            ]
