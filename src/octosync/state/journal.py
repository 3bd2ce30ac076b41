"""The journal: which runs there were, and what each set out to do and did, written before and after every action.

An action that has a beginning and no end was in flight when the process died: whether it took effect is for the next run
to find out by reading, as it always does.

What a journal tells: its runs and actions, read without leaving a trace in it.
"""

from __future__ import annotations

import os
import secrets
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, ClassVar, Final, Self

from octosync.errors import OctosyncError, StateDamaged, StateLocked
from octosync.model import Address, JournalledAction, JournalledRun, Outcome, Secret, Status
from octosync.state.migrations import READABLE, VERSION, bring_up, journal_time_text, time_of


class JournalReader:
    """A journal file that is only read, whether or not a run is writing to it; used as a context manager.

    A file that isn't there (`exists` False), or that a run is about to make, has no runs and is left as it is. Raises
    `OctosyncError` (`journal-unusable`) where the file can't be read, or is no journal of this version or an earlier one.
    """

    hint: ClassVar[str] = "Name the journal that is meant: --state FILE"

    def __init__(self, path: Path) -> None:
        self.path = path
        with self.documented():
            self.exists = path.exists()
            self._database = self._open()
        self._is_empty = False
        try:
            with self.documented():
                self._prepare()
        except OctosyncError:
            self._database.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        self._database.close()

    def runs(self) -> tuple[JournalledRun, ...]:
        """Return all runs, newest first."""
        if self._is_empty:
            return ()
        statement = (
            "select id, started_at, ended_at, control_plane, org_id, digest, exit_code from run order by rowid desc"
        )
        with self.documented():
            return tuple(_run(row) for row in self._database.execute(statement))

    def actions(self, run: str) -> tuple[JournalledAction, ...]:
        """Return a run's actions in the order in which they were begun."""
        statement = (
            "select number, address, verb, operation, begun_at, ended_at, status, coalesce(reference, ''), "
            "coalesce(request_ids, '') from action where run = ? order by number"
        )
        with self.documented():
            return tuple(_action(row) for row in self._database.execute(statement, (run,)))

    def _open(self) -> sqlite3.Connection:
        if not self.exists:
            return sqlite3.connect(":memory:")
        with self.path.open("rb"):  # says better than SQLite why that is not possible
            pass
        # A log beside the file means that it is being written, or was when a run was killed: then SQLite must see both.
        # Otherwise the file is all there is, and needs neither a lock nor a folder that may be written to.
        log = self.path.with_name(f"{self.path.name}-wal")
        mode = "mode=ro" if log.exists() else "mode=ro&immutable=1"
        return sqlite3.connect(f"{self.path.absolute().as_uri()}?{mode}", uri=True, isolation_level=None, timeout=10)

    def _prepare(self) -> None:
        """Refuse what is no journal."""
        self._is_empty = self._version() == 0

    def _version(self) -> int:
        """Return the schema's version, 0 where there is not even a schema yet. Raises `OctosyncError` for any but a journal's."""
        (version,) = self._database.execute("pragma user_version").fetchone()
        (tables,) = self._database.execute("select count(*) from sqlite_master").fetchone()
        if (version == 0 and not tables) or version in READABLE:
            return int(version)
        raise self._unusable(f"it is not a journal of this version of octosync (schema {version}, not {VERSION})")

    @contextmanager
    def documented(self) -> Iterator[None]:
        """Turn what the file system and SQLite raise into the one error that names the file."""
        try:
            yield
        except (OSError, sqlite3.Error, ValueError) as error:
            raise self._unusable(error) from error

    def _unusable(self, why: str | Exception) -> OctosyncError:
        message = f"{self.path}: the journal can't be used: {why}"
        if _primary_code(why) in _LOCKED:
            hint = "Another process has the file open: wait for it, or end it."
            return StateLocked("journal-unusable", message, hints=(hint,))
        kind = StateDamaged if _primary_code(why) in _DAMAGED else OctosyncError
        return kind("journal-unusable", message, hints=(self.hint,))


_LOCKED: Final = frozenset({sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED})
_DAMAGED: Final = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})


def _primary_code(error: object) -> int | None:
    code = getattr(error, "sqlite_errorcode", None)
    return code & 0xFF if isinstance(code, int) else None


def _run(row: Sequence[Any]) -> JournalledRun:
    id_, started_at, ended_at, *rest = row
    return JournalledRun(id_, time_of(started_at), _time_or_none(ended_at), *rest)


def _action(row: Sequence[Any]) -> JournalledAction:
    number, address, verb, operation, begun_at, ended_at, status, reference, request_ids = row
    return JournalledAction(
        number,
        address,
        verb,
        operation,
        time_of(begun_at),
        _time_or_none(ended_at),
        None if status is None else Status(status),
        reference,
        tuple(request_ids.split()),
    )


def _time_or_none(text: str | None) -> datetime | None:
    return None if text is None else time_of(text)


DEFAULT_PATH: Final = Path(".octosync/state.db")


class Journal(JournalReader):
    """An open journal file, to be read and written, used as a context manager; made where there is none.

    Every write is committed before the method returns. Raises `OctosyncError` (`journal-unusable`) where the file can't be
    opened, is no journal, or can't be written: apply opens it before its first write, so nothing is sent unrecorded. A file
    that was removed or replaced meanwhile is one that can't be written: SQLite would go on with what nobody finds again.
    """

    hint = "Make the file writable, move it away, or name another one: --state FILE"

    def __init__(self, path: Path, *, seal_key: Secret | None = None) -> None:
        """Open it. `seal_key` is what a watch seals values with, beside the file's own key."""
        self.seal_key = seal_key
        super().__init__(path)

    def _open(self) -> sqlite3.Connection:
        _make_folder(self.path.parent)
        os.close(os.open(self.path, os.O_CREAT | os.O_RDWR, 0o600))
        database = sqlite3.connect(self.path, isolation_level=None, timeout=10)
        self._file = _identity(self.path)
        return database

    def begin_run(
        self, *, control_plane: str, org_id: str | None, digest: str, at: datetime, run: str | None = None
    ) -> str:
        """Record that a run starts, and return its id: the one that it has by now, or a new one."""
        run = run or new_run_id(at)
        self._write(
            "insert into run (id, started_at, control_plane, org_id, digest) values (?, ?, ?, ?, ?)",
            (run, journal_time_text(at), control_plane, org_id, digest),
        )
        return run

    def begin_action(self, run: str, number: int, *, address: Address, verb: str, operation: str, at: datetime) -> None:
        """Record that an action is about to be sent."""
        self._write(
            "insert into action (run, number, address, verb, operation, begun_at) values (?, ?, ?, ?, ?, ?)",
            (run, number, str(address), verb, operation, journal_time_text(at)),
        )

    def end_action(self, run: str, number: int, outcome: Outcome, at: datetime) -> None:
        """Record what became of an action that was begun; not its message, which may quote values."""
        self._write(
            "update action set ended_at = ?, status = ?, reference = ?, request_ids = ? where run = ? and number = ?",
            (
                journal_time_text(at),
                outcome.status.value,
                outcome.reference,
                " ".join(outcome.request_ids),
                run,
                number,
            ),
        )

    def end_run(self, run: str, exit_code: int, at: datetime) -> None:
        """Record that a run ended by itself."""
        self._write("update run set ended_at = ?, exit_code = ? where id = ?", (journal_time_text(at), exit_code, run))

    def wait_at_most(self, seconds: float) -> None:
        """Wait for another process's lock for so long only: who runs in an event loop must not wait in here.

        Later it raises `StateLocked`; `wait_until_free` is for threads.
        """
        self._database.execute(f"pragma busy_timeout = {int(seconds * 1000)}")

    def wait_until_free(self, seconds: float) -> None:
        """Wait until no other process keeps the file locked, in any thread. Raises `StateLocked`, and nothing else."""
        place = f"{self.path.absolute().as_uri()}?mode=rw"
        try:
            with (
                self.documented(),
                closing(sqlite3.connect(place, uri=True, isolation_level=None, timeout=seconds)) as database,
            ):
                database.execute("begin immediate")
                database.execute("rollback")
        except StateLocked:
            raise
        except OctosyncError:  # whatever else is wrong with it, the next write finds out
            return

    def check(self) -> None:
        """Have SQLite check the whole file. Raises `StateDamaged`."""
        with self.documented():
            (result,) = self._database.execute("pragma quick_check(1)").fetchone()
        if result != "ok":
            raise StateDamaged(
                "journal-unusable", f"{self.path}: the journal can't be used: {result}", hints=(self.hint,)
            )

    @property
    def database(self) -> sqlite3.Connection:
        """The connection, for what else this room keeps in the file."""
        return self._database

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """Write several things as one: all of it is committed when the block ends, none of it where it raises."""
        with self.documented():
            self._check_that_it_is_there()
            self._database.execute("begin immediate")
            try:
                yield self._database
                self._database.execute("commit")
            except BaseException:
                if self._database.in_transaction:  # SQLite itself has rolled back where the disk is full
                    self._database.execute("rollback")
                raise

    def _prepare(self) -> None:
        """Make the schema in an empty file, bring up an earlier one, and refuse any other before anything in it is changed."""
        if self._version() == 0:
            # Only possible before the first table is there: pruned rows give their room back.
            self._database.execute("pragma auto_vacuum = incremental")
        with self.transaction() as database:  # another run may be making it
            bring_up(database, self._version())
        self._database.execute("pragma journal_mode = wal")
        # Durable against the death of this process; a power cut may lose the last action, never corrupt the file.
        self._database.execute("pragma synchronous = normal")
        self._database.execute("pragma secure_delete = on")  # what is gone from the file is gone

    def _check_that_it_is_there(self) -> None:
        if _identity(self.path) != self._file:
            raise OctosyncError(
                "journal-unusable",
                f"{self.path}: the journal can't be used: it was removed or replaced while it is in use",
                hints=("Start it again: it begins with what is there then.",),
            )

    def _write(self, statement: str, values: tuple[object, ...]) -> None:
        with self.documented():
            self._check_that_it_is_there()
            self._database.execute(statement, values)


def new_run_id(at: datetime) -> str:
    """Return an id for a run that begins: sortable by time, unique without asking anyone."""
    return f"{at.astimezone(UTC):%Y%m%dT%H%M%SZ}-{secrets.token_hex(3)}"


def _identity(path: Path) -> tuple[int, int] | None:
    """Return what tells a file from any other that is put in its place; None where there is none."""
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return found.st_dev, found.st_ino


def _make_folder(folder: Path) -> None:
    """Make a folder where there is none; one of our own is kept out of the repository that it stands in."""
    if folder.exists():
        return
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if folder.name == DEFAULT_PATH.parent.name:
        (folder / ".gitignore").write_text("*\n", encoding="utf-8")
