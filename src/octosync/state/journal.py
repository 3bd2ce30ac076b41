"""The journal: the runs and their actions, written before and after every action.

An action with a beginning and no end was in flight when the process died. The next run finds out by reading whether it took
effect, as every run does.

Times are stored as text in UTC, all of one length in a column, so that they sort as times do.
"""

from __future__ import annotations

import json
import os
import secrets
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import asdict, fields
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, ClassVar, Final, Self, TypeAlias

from octosync.errors import OctosyncError, StateDamaged, StateLocked
from octosync.model import (
    Address,
    JournalledAction,
    JournalledRun,
    Outcome,
    RecordedOverride,
    RecordedPolicy,
    RunAudit,
    Secret,
    Status,
)
from octosync.state.lock import DEFAULT_PATH
from octosync.state.migrations import AUDITED, READABLE, VERSION, bring_up


class JournalReader:
    """Reads a journal file without changing it, even while a run writes to it. Used as a context manager.

    A file that isn't there (`exists` False), or that a run is about to make, has no runs, and is not created. Raises
    `OctosyncError` (`journal-unusable`) if the file can't be read, or is no journal of this version or an earlier one.
    """

    hint: ClassVar[str] = "Name another file: --state FILE"

    def __init__(self, path: Path) -> None:
        self.path = path
        with self.documented():
            self.exists = path.exists()
            self._database = self._open()
        self._schema = VERSION
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
        if not self._schema:
            return ()
        audit = "audit" if self._schema >= AUDITED else "null"
        statement = (
            f"select id, started_at, ended_at, control_plane, org_id, digest, exit_code, {audit} "  # noqa: S608 — fixed words
            "from run order by rowid desc"
        )
        with self.documented():
            return tuple(_run(row) for row in self._database.execute(statement))

    def actions(self, run: str) -> tuple[JournalledAction, ...]:
        """Return the actions of a run, in the order in which they began."""
        statement = (
            "select number, address, verb, operation, begun_at, ended_at, status, coalesce(reference, ''), "
            "coalesce(request_ids, '') from action where run = ? order by number"
        )
        with self.documented():
            return tuple(_action(row) for row in self._database.execute(statement, (run,)))

    def _open(self) -> sqlite3.Connection:
        if not self.exists:
            return sqlite3.connect(":memory:")
        with self.path.open("rb"):  # its error is clearer than SQLite's
            pass
        # A log beside the file means that it is being written, or was when a run was killed: then SQLite must see both.
        # Otherwise the file is all there is, and needs neither a lock nor a folder that may be written to.
        log = self.path.with_name(f"{self.path.name}-wal")
        mode = "mode=ro" if log.exists() else "mode=ro&immutable=1"
        return sqlite3.connect(f"{self.path.absolute().as_uri()}?{mode}", uri=True, isolation_level=None, timeout=10)

    def _prepare(self) -> None:
        """Raise `OctosyncError` for a file that is no journal."""
        self._schema = self._version()

    def _version(self) -> int:
        """Return the version of the schema, 0 for an empty file. Raises `OctosyncError` for a file that is no journal."""
        (version,) = self._database.execute("pragma user_version").fetchone()
        (tables,) = self._database.execute("select count(*) from sqlite_master").fetchone()
        if (version == 0 and not tables) or version in READABLE:
            return int(version)
        raise self._unusable(f"it was not written by this version of octosync (schema {version}, not {VERSION})")

    @contextmanager
    def documented(self) -> Iterator[None]:
        """Turn errors of the file system and of SQLite into one `OctosyncError` that names the file."""
        try:
            yield
        except (OSError, sqlite3.Error, ValueError) as error:
            raise self._unusable(error) from error

    def _unusable(self, why: str | Exception) -> OctosyncError:
        message = f"{self.path}: the journal can't be used: {why}"
        if _primary_code(why) in _LOCKED:
            hint = "Another process locks the file: wait for it, or stop it."
            return StateLocked("journal-unusable", message, hints=(hint,))
        kind = StateDamaged if _primary_code(why) in _DAMAGED else OctosyncError
        return kind("journal-unusable", message, hints=(self.hint,))


_LOCKED: Final = frozenset({sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED})
_DAMAGED: Final = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})


def _primary_code(error: object) -> int | None:
    code = getattr(error, "sqlite_errorcode", None)
    return code & 0xFF if isinstance(code, int) else None


def _run(row: Sequence[Any]) -> JournalledRun:
    id_, started_at, ended_at, control_plane, org_id, digest, exit_code, audit = row
    return JournalledRun(
        id_,
        time_of(started_at),
        _time_or_none(ended_at),
        control_plane,
        org_id,
        digest,
        exit_code,
        None if audit is None else _audit(audit),
    )


def _audit(text: str) -> RunAudit:
    """Read what `_audit_text` wrote. Raises `ValueError` for anything else."""
    try:
        facts = json.loads(text)
        return RunAudit(
            **{name: _fact(facts[name]) for name in _AUDIT_FACTS if name in facts},
            overrides=tuple(RecordedOverride(**_texts(override)) for override in facts["overrides"]),
            flags=tuple(map(str, facts["flags"])),
            policies=tuple(RecordedPolicy(**_texts(policy)) for policy in facts["policies"]),
        )
    except (AttributeError, KeyError, RecursionError, TypeError) as error:
        raise ValueError(f"the audit of a run has an unexpected format ({type(error).__name__})") from None


def _fact(value: object) -> Any:  # noqa: ANN401 — the value of a field
    return value if value is None or isinstance(value, bool) else str(value)


def _texts(facts: Mapping[str, object]) -> dict[str, str]:
    return {name: str(value) for name, value in facts.items()}


def _audit_text(audit: RunAudit) -> str:
    return json.dumps(asdict(audit))


_AUDIT_FACTS: Final = tuple({field.name for field in fields(RunAudit)} - {"overrides", "flags", "policies"})


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


Statement: TypeAlias = tuple[str, tuple[object, ...]]  # SQL, and the values of its parameters


def action_start(run: str, number: int, *, address: Address, verb: str, operation: str, at: datetime) -> Statement:
    """Return the statement that records that an action is about to be sent."""
    return (
        "insert into action (run, number, address, verb, operation, begun_at) values (?, ?, ?, ?, ?, ?)",
        (run, number, str(address), verb, operation, journal_time_text(at)),
    )


def action_end(run: str, number: int, outcome: Outcome, at: datetime) -> Statement:
    """Return the statement that records the outcome of an action, without its message, which may quote values."""
    return (
        "update action set ended_at = ?, status = ?, reference = ?, request_ids = ? where run = ? and number = ?",
        (journal_time_text(at), outcome.status.value, outcome.reference, " ".join(outcome.request_ids), run, number),
    )


class Journal(JournalReader):
    """An open journal file to read and write, created if it is missing. Used as a context manager.

    Every write is committed before the method returns. Raises `OctosyncError` (`journal-unusable`) if the file can't be
    opened or written, or is no journal: apply opens it before its first write, so nothing is sent unrecorded. A file that was
    removed or replaced meanwhile counts as one that can't be written: SQLite would go on with a deleted file.
    """

    hint = "Make the file writable, move it away, or name another one: --state FILE"

    def __init__(self, path: Path, *, seal_key: Secret | None = None) -> None:
        """Open the file. A controller seals values with `seal_key` in addition to the key of the file."""
        self.seal_key = seal_key
        super().__init__(path)

    def _open(self) -> sqlite3.Connection:
        _make_folder(self.path.parent)
        os.close(os.open(self.path, os.O_CREAT | os.O_RDWR, 0o600))
        database = sqlite3.connect(self.path, isolation_level=None, timeout=10)
        self._file = _identity(self.path)
        return database

    def begin_run(
        self,
        *,
        control_plane: str,
        org_id: str | None,
        digest: str,
        at: datetime,
        run: str | None = None,
        audit: RunAudit | None = None,
    ) -> str:
        """Record that a run starts, and return its id: the given one, or a new one."""
        run = run or new_run_id(at)
        self._write(
            "insert into run (id, started_at, control_plane, org_id, digest, audit) values (?, ?, ?, ?, ?, ?)",
            (run, journal_time_text(at), control_plane, org_id, digest, None if audit is None else _audit_text(audit)),
        )
        return run

    def begin_action(self, run: str, number: int, *, address: Address, verb: str, operation: str, at: datetime) -> None:
        """Record that an action is about to be sent."""
        self._write(*action_start(run, number, address=address, verb=verb, operation=operation, at=at))

    def end_action(self, run: str, number: int, outcome: Outcome, at: datetime) -> None:
        """Record the outcome of an action, without its message, which may quote values."""
        self._write(*action_end(run, number, outcome, at))

    def write_together(self, statements: Iterable[Statement]) -> None:
        """Record the start or the outcome of several actions in one transaction."""
        with self.transaction() as database:
            for statement, values in statements:
                database.execute(statement, values)

    def end_run(self, run: str, exit_code: int, at: datetime) -> None:
        """Record that a run ended."""
        self._write("update run set ended_at = ?, exit_code = ? where id = ?", (journal_time_text(at), exit_code, run))

    def wait_at_most(self, seconds: float) -> None:
        """Limit how long a write waits for another process's lock, so that it doesn't block an event loop.

        After that, a write raises `StateLocked`. Threads use `wait_until_free`.
        """
        self._database.execute(f"pragma busy_timeout = {int(seconds * 1000)}")

    def wait_until_free(self, seconds: float) -> None:
        """Wait until no other process locks the file. Works in any thread. Raises only `StateLocked`."""
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
        except OctosyncError:  # the next write reports any other problem
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
        """The connection, for the other tables of this package."""
        return self._database

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """Run a transaction: it is committed when the block ends, and rolled back if the block raises."""
        with self.documented():
            self._check_that_it_is_there()
            self._database.execute("begin immediate")
            try:
                yield self._database
                self._database.execute("commit")
            except BaseException:
                if self._database.in_transaction:  # if the disk is full, SQLite has rolled back itself
                    self._database.execute("rollback")
                raise

    def _prepare(self) -> None:
        """Create the schema in an empty file, or migrate an earlier one. Raises for any other file before it is changed."""
        if self._version() == 0:
            # Only possible before the first table exists: the space of deleted rows is given back.
            self._database.execute("pragma auto_vacuum = incremental")
        with self.transaction() as database:  # another run may be making it
            bring_up(database, self._version())
        self._schema = VERSION
        self._database.execute("pragma journal_mode = wal")
        # Durable against the death of this process; a power cut may lose the last action, never corrupt the file.
        self._database.execute("pragma synchronous = normal")
        self._database.execute("pragma secure_delete = on")  # deleted rows are overwritten

    def _check_that_it_is_there(self) -> None:
        if _identity(self.path) != self._file:
            raise OctosyncError(
                "journal-unusable",
                f"{self.path}: the journal can't be used: it was removed or replaced during the run",
                hints=("Start octosync again.",),
            )

    def _write(self, statement: str, values: tuple[object, ...]) -> None:
        with self.documented():
            self._check_that_it_is_there()
            self._database.execute(statement, values)


def new_run_id(at: datetime) -> str:
    """Return a new run id, sortable by time and unique."""
    return f"{at.astimezone(UTC):%Y%m%dT%H%M%SZ}-{secrets.token_hex(3)}"


def time_text(at: datetime) -> str:
    """Return a time as text, to the microsecond."""
    return at.astimezone(UTC).isoformat(timespec="microseconds")


def journal_time_text(at: datetime) -> str:
    """Return a time as text in the journal, to the millisecond."""
    return at.astimezone(UTC).isoformat(timespec="milliseconds")


def time_of(text: str) -> datetime:
    """Return the time of a text. Raises `ValueError` for anything else."""
    return datetime.fromisoformat(text)


def _identity(path: Path) -> tuple[int, int] | None:
    """Return what distinguishes a file from a replacement at the same path, None if there is no file."""
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return found.st_dev, found.st_ino


def _make_folder(folder: Path) -> None:
    """Make a folder if it is missing. The default one is ignored by Git."""
    if folder.exists():
        return
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if folder.name == DEFAULT_PATH.parent.name:
        (folder / ".gitignore").write_text("*\n", encoding="utf-8")
