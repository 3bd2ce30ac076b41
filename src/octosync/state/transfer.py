"""Copies of a state: into a file as a backup, and between files and databases.

A copy has all rows of one moment, also while a run writes. It is complete or not there at all: a file gets its name when it is
complete, and a database gets all rows in one transaction. The key of the seals is copied, so baselines stay valid. Leases are
not copied: they belong to the processes that use a database.
"""

from __future__ import annotations

import os
import secrets
import sqlite3
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

from octosync.errors import OctosyncError
from octosync.state.database import SCHEMA, Database, StateLocation
from octosync.state.inspection import leases_of
from octosync.state.journal import Journal, JournalReader
from octosync.state.lock import lock_beside, state_lock
from octosync.state.migrations import VERSION

Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Table:
    """A table: its columns, and those by which its rows are ordered. `numbered` is the column that numbers new rows."""

    columns: tuple[str, ...]
    key: tuple[str, ...]
    numbered: str = ""


def _table(columns: str, *, key: str, numbered: str = "") -> Table:
    return Table(tuple(columns.split()), tuple(key.split()), numbered)


# A row refers only to tables above its own.
TABLES: Final[Mapping[str, Table]] = {
    "run": _table(
        "rowid id started_at ended_at control_plane org_id digest exit_code audit", key="rowid", numbered="rowid"
    ),
    "action": _table(
        "run number address verb operation begun_at ended_at status reference request_ids", key="run number"
    ),
    "seal": _table("id key key_check", key="id"),
    "plane": _table("id control_plane org_id whole scope", key="id", numbered="id"),
    "base": _table("plane app document", key="plane app"),
    "drift": _table("plane address app fingerprint first_seen", key="plane address"),
    "heal": _table("rowid plane address app at", key="rowid", numbered="rowid"),
    "contested": _table("plane address app at", key="plane address"),
    "approval": _table("plane guard address verb digest at", key="plane guard address verb"),
    "refusal": _table("plane app guard address verb basis message total override", key="plane guard address verb"),
    "told": _table("plane app about fact", key="plane app about"),
    "checkpoint": _table("plane position began version ended seconds", key="plane"),
    "in_sync": _table("plane app at basis app_id", key="plane app"),
    "optimization_check": _table("plane address at fleet document", key="plane address"),
    "hold": _table("plane app until reason at", key="plane app"),
    "suspension": _table("plane at reason", key="plane"),
}
_OWN: Final = frozenset({"seal"})  # has a row in an empty state, too
_AT_ONCE: Final = 1_000  # rows
_PATIENCE: Final = 600.0  # seconds for a statement
_STOP_IT: Final = ("What it writes during the copy would be lost: stop it first.",)
_UNWRITABLE: Final = frozenset({sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR_WRITE})


def copy_state(source: StateLocation, target: StateLocation, progress: Progress) -> Mapping[str, int]:
    """Copy a state that no controller uses to an empty place, and return the number of rows by table.

    Raises `OctosyncError`, and then the target is as before: `no-state` without a state to copy, `state-in-use` for a controller
    or an apply that uses either place, `state-not-empty` for a target with a state.
    """
    if isinstance(target, Path):
        _require_file(target)
    with ExitStack() as stack:
        for location in (source, target):
            if isinstance(location, Path) and lock_beside(location).exists():
                stack.enter_context(state_lock(location, _STOP_IT))
            check_unused(location)
        check_empty(target)
        still_unused = partial(check_unused, source)
        if isinstance(target, Path):
            return _write_file(source, target, progress, still_unused, replaces=True)
        with _snapshot(source) as reader, closing(Journal(target)) as journal:
            return _fill(journal, reader, progress, still_unused)


def back_up(source: StateLocation, file: Path, progress: Progress, *, replaces: bool = False) -> Mapping[str, int]:
    """Write a copy of a state into a file that only its owner can read, and return the number of rows by table.

    Raises `OctosyncError`, and then there is no new file: `no-state` without a state, `would-overwrite` for a file that exists,
    unless `replaces` is set; the state itself is never replaced, nor one that a controller uses.
    """
    if os.path.lexists(file):
        if not replaces or (isinstance(source, Path) and file.exists() and file.samefile(source)):
            raise _exists(file)
        _require_file(file)
        if lock_beside(file).exists():
            with state_lock(file, _STOP_IT):
                return _write_file(source, file, progress, replaces=True)
    return _write_file(source, file, progress, replaces=replaces)


def _write_file(
    source: StateLocation,
    file: Path,
    progress: Progress,
    verify: Callable[[], None] = lambda: None,
    *,
    replaces: bool,
) -> Mapping[str, int]:
    """Write a copy into a file. `verify` is called before the file gets its name: if it raises, there is no file."""
    with closing(JournalReader(source)) as reader:
        if not reader.schema:
            raise _missing(source)
    try:
        with _temporary_file(file) as temporary:
            if isinstance(source, Path):
                _copy_file(source, temporary)
                with closing(JournalReader(temporary)) as reader:
                    rows = count_rows(reader)
                    reader.check()
            else:
                with _snapshot(source) as snapshot, closing(Journal(temporary)) as journal:
                    rows = _fill(journal, snapshot, progress, verify)
                    journal.check()
            verify()
            _publish(temporary, file, replaces=replaces)
    except OSError as error:
        raise _not_written(file, str(error.strerror)) from error
    except OctosyncError as error:
        cause = error.__cause__  # its text names the source, or the temporary file
        if isinstance(cause, sqlite3.Error) and cause.sqlite_errorcode in _UNWRITABLE:
            raise _not_written(file, str(cause)) from error
        raise
    return rows


def check_empty(location: StateLocation) -> None:
    """Raise `OctosyncError` (`state-not-empty`) if there is a state in a place."""
    with closing(JournalReader(location)) as reader:
        if any(count for name, count in count_rows(reader).items() if name not in _OWN):
            raise _not_empty(location)


def count_rows(reader: JournalReader) -> Mapping[str, int]:
    """Return the number of rows by table; {} for a state without tables, or with those of an earlier version."""
    if reader.schema != VERSION:
        return {} if not reader.schema else {"run": len(reader.runs())}
    with reader.documented():
        return {name: _count(reader.database, name) for name in TABLES}


def _count(database: Database, table: str) -> int:
    (count,) = database.execute(f"select count(*) from {table}").fetchone()  # noqa: S608 — our own names
    return int(count)


def check_unused(location: StateLocation) -> None:
    """Raise `OctosyncError` (`state-in-use`) if a controller or an apply uses a shared state.

    A controller that uses a file holds its lock.
    """
    if isinstance(location, Path):
        return
    with closing(JournalReader(location)) as reader:
        held = [lease for lease in leases_of(reader) if lease.is_held]
    if held:
        raise OctosyncError(
            "state-in-use",
            f"{location}: {held[0].user} uses this state",
            hints=_STOP_IT,
        )


@contextmanager
def _snapshot(source: StateLocation) -> Iterator[JournalReader]:
    """Yield a reader of the state of one moment, in the schema of this version."""
    if isinstance(source, Path):
        with tempfile.TemporaryDirectory(prefix="octosync-") as folder:
            file = Path(folder, "state.db")
            _copy_file(source, file)
            with closing(Journal(file)) as journal:  # migrates the copy
                yield journal
        return
    with closing(JournalReader(source)) as reader:
        if not reader.schema:
            raise _missing(source)
        if reader.schema != VERSION:
            raise OctosyncError(
                "state-not-migrated",
                f"{source} has the schema {reader.schema} of an earlier version, and this one copies schema {VERSION}",
                hints=("Copy it with the earlier version, or with pg_dump. The next apply or watch migrates it.",),
            )
        reader.database.wait_at_most(_PATIENCE)
        with reader.documented():  # closing the connection ends the transaction
            reader.database.execute("begin isolation level repeatable read")
            _without_timeouts(reader.database)
        yield reader


def _without_timeouts(database: Database) -> None:
    if database.is_shared:
        for name in ("statement_timeout", "idle_in_transaction_session_timeout"):
            database.execute(f"set local {name} = 0")


def _fill(journal: Journal, source: JournalReader, progress: Progress, verify: Callable[[], None]) -> Mapping[str, int]:
    """Copy all rows in one transaction, and call `verify` at its end. Raises `OctosyncError` if there are other rows."""
    totals = count_rows(source)
    total, done = sum(totals.values()), 0
    journal.database.wait_at_most(_PATIENCE)
    with journal.transaction() as database:
        _without_timeouts(database)
        if database.is_shared:  # nothing is added meanwhile
            database.execute(f"lock table {', '.join(TABLES)} in exclusive mode")
        if any(_count(database, name) for name in TABLES if name not in _OWN):
            raise _not_empty(journal.location)
        database.execute("delete from seal")
        for name, table in TABLES.items():
            columns, marks = ", ".join(table.columns), ", ".join("?" * len(table.columns))
            insert = f"insert into {name} ({columns}) values ({marks})"  # noqa: S608 — our own names
            for rows in _batches(source, name, table):
                if name == "seal":
                    for row in rows:
                        database.execute_with_secret(insert, row)
                else:
                    database.executemany(insert, rows)
                done += len(rows)
                progress(done, total)
            _continue_numbers(database, name, table)
        if (found := {name: _count(database, name) for name in TABLES}) != totals:
            different = ", ".join(name for name in TABLES if found[name] != totals[name])
            raise OctosyncError(
                "state-not-copied",
                f"{journal.location}: the copy has another number of rows than its source ({different})",
                hints=("Nothing was written. Check the source: octosync state check",),
            )
        verify()
    return totals


def _batches(source: JournalReader, name: str, table: Table) -> Iterator[list[Any]]:
    columns, key = ", ".join(table.columns), ", ".join(table.key)
    places = [table.columns.index(column) for column in table.key]
    after = ""
    values: tuple[object, ...] = ()
    while True:
        with source.documented():
            rows = source.database.execute(
                f"select {columns} from {name} {after} order by {key} limit {_AT_ONCE}",  # noqa: S608 — our own names
                values,
            ).fetchall()
        if rows:
            yield rows
        if len(rows) < _AT_ONCE:
            return
        after = f"where ({key}) > ({', '.join('?' * len(table.key))})"
        values = tuple(rows[-1][place] for place in places)


def _continue_numbers(database: Database, name: str, table: Table) -> None:
    """Let new rows have higher numbers than those that were copied. SQLite does so by itself."""
    if table.numbered and database.is_shared:
        column = table.numbered
        database.execute(
            f"select setval(pg_get_serial_sequence('{SCHEMA}.{name}', '{column}'), "  # noqa: S608 — our own names
            f"coalesce(max({column}), 0) + 1, false) from {name}"
        )


def _copy_file(source: Path, to: Path) -> None:
    """Copy a file as SQLite does: all of one moment, also while another process writes to it."""
    with closing(JournalReader(source)) as reader:  # its errors name the file
        if not reader.schema:
            raise _missing(source)
        with reader.documented(), closing(sqlite3.connect(to)) as copied, closing(_opened(source)) as database:
            database.backup(copied)
    to.chmod(0o600)


def _opened(path: Path) -> sqlite3.Connection:
    """Open a file with its locks; one that can't be written has none, and doesn't change."""
    place = path.absolute().as_uri()
    database = sqlite3.connect(f"{place}?mode=rw", uri=True, timeout=10)
    try:
        database.execute("select count(*) from sqlite_master").fetchone()
    except sqlite3.OperationalError:
        database.close()
        return sqlite3.connect(f"{place}?mode=ro&immutable=1", uri=True)
    return database


@contextmanager
def _temporary_file(file: Path) -> Iterator[Path]:
    """Yield the path of a new file in the same folder, and remove it afterwards if it is still there."""
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    temporary = file.with_name(f".{file.name}.{secrets.token_hex(4)}.tmp")
    os.close(os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    try:
        yield temporary
    finally:
        for suffix in ("", "-wal", "-shm", "-journal"):
            temporary.with_name(f"{temporary.name}{suffix}").unlink(missing_ok=True)


def _publish(temporary: Path, file: Path, *, replaces: bool) -> None:
    """Give a complete file its name."""
    with temporary.open("rb") as data:
        os.fsync(data.fileno())
    if replaces:
        temporary.replace(file)
        for suffix in ("-wal", "-shm"):  # of the empty file before
            file.with_name(f"{file.name}{suffix}").unlink(missing_ok=True)
    else:
        try:
            file.hardlink_to(temporary)  # unlike renaming, it never replaces a file
        except FileExistsError:
            raise _exists(file) from None
    with suppress(OSError):
        folder = os.open(file.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def _require_file(file: Path) -> None:
    """Raise `OctosyncError` for what is no file: a copy would take the place of a device such as /dev/null."""
    if file.exists() and not file.is_file():
        raise _not_written(file, "it is not a file")


def _missing(location: StateLocation) -> OctosyncError:
    return OctosyncError("no-state", f"there is no state at {location}", hints=("Check its path or URL.",))


def _not_empty(location: StateLocation) -> OctosyncError:
    return OctosyncError(
        "state-not-empty",
        f"{location} has a state already",
        hints=("Nothing was written. Copy to a new file or an empty database.",),
    )


def _not_written(file: Path, why: str) -> OctosyncError:
    return OctosyncError("state-not-copied", f"{file}: the copy can't be written: {why}", hints=("There is no copy.",))


def _exists(file: Path) -> OctosyncError:
    return OctosyncError(
        "would-overwrite",
        f"{file} exists already",
        hints=("Name another file, or replace a file that is not the state itself with --force.",),
    )
