"""The journal: the runs and their actions, written before and after every action.

An action with a beginning and no end was in flight when the process died. The next run finds out by reading whether it took
effect, as every run does.

Times are stored as text in UTC, all of one length in a column, so that they sort as times do.
"""

from __future__ import annotations

import json
import secrets
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, fields
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, ClassVar, Final, Self, TypeAlias, cast

from octosync.errors import LeaseLost, OctosyncError, StateDamaged, StateLocked, StateUnavailable
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
from octosync.state.database import (
    UPGRADE_HINT,
    Database,
    DatabaseError,
    FailureKind,
    StateLocation,
    StatementList,
    open_for_reading,
    open_for_writing,
)
from octosync.state.migrations import AUDITED, READABLE, VERSION, bring_up


class JournalReader:
    """Reads a journal without changing it, even while a run writes to it. Used as a context manager.

    A journal that isn't there (`exists` False), or that a run is about to make, has no runs, and is not created. Raises
    `OctosyncError` (`journal-unusable`) if it can't be read, or is no journal of this version or an earlier one.
    """

    hint: ClassVar[str] = "Name another file: --state FILE"
    seal_key: Secret | None = None

    def __init__(self, location: StateLocation) -> None:
        self.location = location
        # The known numbers of control planes, by URL and org. None: there is none before this process gives it one.
        self.plane_numbers: dict[tuple[str, str], int | None] = {}
        with self.documented():
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
        """Close the file or the connection."""
        self._database.close()

    def runs(self, *, newest: int | None = None) -> tuple[JournalledRun, ...]:
        """Return all runs, or the `newest` ones, newest first."""
        if not self._schema:
            return ()
        audit = "audit" if self._schema >= AUDITED else "null"
        statement = (
            f"select id, started_at, ended_at, control_plane, org_id, digest, exit_code, {audit} "  # noqa: S608 — fixed words
            f"from run order by rowid desc{'' if newest is None else ' limit ?'}"
        )
        with self.documented():
            return tuple(_run(row) for row in self._database.execute(statement, () if newest is None else (newest,)))

    def actions(self, run: str) -> tuple[JournalledAction, ...]:
        """Return the actions of a run, in the order in which they began."""
        return self.actions_of((run,))[run]

    def actions_of(self, runs: Sequence[str]) -> dict[str, tuple[JournalledAction, ...]]:
        """Return the actions of each run, in the order in which they began. A database may be far away, so it is asked rarely."""
        found: dict[str, list[JournalledAction]] = {run: [] for run in runs}
        for start in range(0, len(runs), _RUNS_AT_ONCE):
            some = tuple(runs[start : start + _RUNS_AT_ONCE])
            places = ", ".join("?" * len(some))
            statement = (
                "select run, number, address, verb, operation, begun_at, ended_at, status, coalesce(reference, ''), "  # noqa: S608 — only placeholders
                f"coalesce(request_ids, '') from action where run in ({places}) order by run, number"
            )
            with self.documented():
                for run, *row in self._database.execute(statement, some):
                    found[run].append(_action(row))
        return {run: tuple(actions) for run, actions in found.items()}

    @property
    def database(self) -> Database:
        """The database, for the other tables of this package."""
        return self._database

    @property
    def schema(self) -> int:
        """The version of the schema, 0 for none."""
        return self._schema

    @property
    def is_shared(self) -> bool:
        """Whether several processes, on several machines, use this state."""
        return self._database.is_shared

    def _open(self) -> Database:
        database, self.exists = open_for_reading(self.location)
        return database

    def _prepare(self) -> None:
        """Raise `OctosyncError` for a database that is no journal."""
        self._schema = self._version()

    def _version(self) -> int:
        """Return the version of the schema, 0 for an empty database. Raises `OctosyncError` for one that is no journal."""
        version = self._database.version()
        if version == 0 or version in READABLE:
            return version
        why = f"it was not written by this version of octosync (schema {version or 0}, not {VERSION})"
        raise self._unusable(DatabaseError(why, hint=UPGRADE_HINT if version is not None and version > VERSION else ""))

    @contextmanager
    def documented(self) -> Iterator[None]:
        """Raise errors of the file system and of the database as one `OctosyncError` that names the file or the database."""
        try:
            yield
        except (OSError, sqlite3.Error, DatabaseError, ValueError) as error:
            raise self._unusable(error) from error

    def check(self) -> None:
        """Check the whole database. Raises `StateDamaged`."""
        with self.documented():
            problem = self._database.check()
        if problem:
            message = f"{self.location}: the journal can't be used: {problem}"
            raise StateDamaged("journal-unusable", message, hints=(self._hint,))

    def _unusable(self, why: str | Exception) -> OctosyncError:
        error, hint = _KINDS[_kind_of(why)]
        if isinstance(why, DatabaseError):
            hint = why.hint or hint
        message = f"{self.location}: the journal can't be used: {why}"
        return error("journal-unusable", message, hints=(hint or self._hint,))

    @property
    def _hint(self) -> str:
        is_file = isinstance(self.location, Path)
        return self.hint if is_file else "Check the database and its permissions, or name another one: --state URL"


_RUNS_AT_ONCE: Final = 500

_KINDS: Final[Mapping[FailureKind, tuple[type[OctosyncError], str]]] = {
    FailureKind.LOCKED: (StateLocked, "Another process locks the file: wait for it, or stop it."),
    FailureKind.UNAVAILABLE: (
        StateUnavailable,
        "Check that the database can be reached and written to, and try again.",
    ),
    FailureKind.DAMAGED: (StateDamaged, ""),
    FailureKind.OTHER: (OctosyncError, ""),
}


def _kind_of(error: object) -> FailureKind:
    if isinstance(error, DatabaseError):
        return error.kind
    if isinstance(error, sqlite3.Error):
        from octosync.state.sqlite import kind_of

        return kind_of(error)
    return FailureKind.OTHER


def _may_pass(error: OctosyncError) -> bool:
    """Return whether a transaction that failed may succeed later."""
    if isinstance(error, StateUnavailable | LeaseLost):
        return True
    if isinstance(error.__cause__, sqlite3.Error):
        from octosync.state.sqlite import may_pass

        return may_pass(error.__cause__)
    return False


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
        None if audit is None else audit_of(audit),
    )


def audit_of(text: str) -> RunAudit:
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
    """An open journal to read and write; a missing file is created. Used as a context manager.

    Every write is committed before the method returns. Raises `OctosyncError` (`journal-unusable`) if it can't be opened or
    written, or is no journal: apply opens it before its first write, so nothing is sent unrecorded. `fence` is called first in
    each transaction; if it raises, nothing is written. Facts that can't be recorded now are recorded with the next transaction.
    """

    hint = "Make the file writable, move it away, or name another one: --state FILE"
    exists = True

    def __init__(self, location: StateLocation, *, seal_key: Secret | None = None) -> None:
        """Open the journal. A controller seals values with `seal_key` in addition to the key in it."""
        self.seal_key = seal_key
        self.fence: Callable[[Database], None] | None = None
        self._facts: StatementList | None = None
        self._unrecorded: list[Statement] = []
        super().__init__(location)

    def _open(self) -> Database:
        return open_for_writing(self.location)

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
        try:
            self._write(
                "insert into run (id, started_at, control_plane, org_id, digest, audit) values (?, ?, ?, ?, ?, ?)",
                (
                    run,
                    journal_time_text(at),
                    control_plane,
                    org_id,
                    digest,
                    None if audit is None else _audit_text(audit),
                ),
            )
        except OctosyncError as error:
            self.undo_later([("delete from run where id = ?", (run,))], error)
            raise
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

    @contextmanager
    def facts(self) -> Iterator[None]:
        """Record in one transaction, at the end of the block, all that is written in it: what has happened, and can't be undone.

        If that fails, it is recorded with the next transaction that succeeds; the error is raised all the same.
        """
        facts = self._facts = StatementList()
        try:
            yield
        finally:
            self._facts = None
            if facts.statements:
                self.record(facts.statements)

    @property
    def collects_facts(self) -> bool:
        """Whether what is written now is only recorded at the end of a block of `facts`."""
        return self._facts is not None

    def record(self, facts: Sequence[Statement]) -> None:
        """Record facts in one transaction, or with the next one; raise the error all the same."""
        try:
            self.write_together(facts)
        except OctosyncError as error:
            self.record_later(facts, error)
            raise

    def record_later(self, facts: Iterable[Statement], error: OctosyncError) -> bool:
        """Record facts with the next transaction, if this error may pass; return whether it may.

        They may be in the database by now, if only the response was lost: it makes no difference that they are recorded again.
        """
        if _may_pass(error):
            self._unrecorded += facts
            return True
        return False

    def undo_later(self, statements: Iterable[Statement], error: OctosyncError) -> None:
        """Undo a failed transaction, with the next one: it may be committed all the same, if only the response was lost."""
        if self.is_shared:
            self.record_later(statements, error)

    def end_run(self, run: str, exit_code: int, at: datetime) -> None:
        """Record that a run ended."""
        self._write("update run set ended_at = ?, exit_code = ? where id = ?", (journal_time_text(at), exit_code, run))

    def wait_at_most(self, seconds: float) -> None:
        """Limit how long a statement waits, so that it doesn't block an event loop.

        After that, it raises `StateUnavailable`. Threads use `wait_until_usable`.
        """
        self._database.wait_at_most(seconds)

    def wait_until_usable(self, seconds: float) -> None:
        """Wait until no other process locks the file, or connect again. Works in any thread. Raises `StateUnavailable`."""
        try:
            with self.documented():
                self._database.wait_until_usable(seconds)
        except StateUnavailable:
            raise
        except OctosyncError:  # the next write reports any other problem
            return

    def confirm(self) -> None:
        """Raise `OctosyncError` if nothing can be recorded now: the state is unavailable, or the fence raises."""
        with self.transaction():
            pass

    @contextmanager
    def transaction(self) -> Iterator[Database]:
        """Run a transaction: it is committed when the block ends, and rolled back if the block raises."""
        if self._facts is not None:
            with self.documented():
                yield cast("Database", self._facts)
            return
        numbers = dict(self.plane_numbers)
        try:
            with self.documented(), self._database.transaction():
                if self.fence is not None:
                    self.fence(self._database)
                self._record_unrecorded()
                yield self._database
        except BaseException:
            self.plane_numbers = numbers  # a row that got its number in the transaction doesn't exist
            raise
        self._unrecorded.clear()

    def _record_unrecorded(self) -> None:
        """Record earlier facts, within a transaction. If they can never be recorded, only this transaction fails."""
        if not self._unrecorded:
            return
        try:
            for statement, values in self._unrecorded:
                self._database.execute(statement, values)
            self._database.execute("select 1").fetchone()  # a database may report errors with the next rows
        except (sqlite3.Error, DatabaseError, ValueError) as error:
            problem = self._unusable(error)
            problem.__cause__ = error
            if not _may_pass(problem):
                self._unrecorded.clear()
            raise

    def _prepare(self) -> None:
        """Create the schema of an empty database, or migrate an earlier one. Raises for any other one before it is changed."""
        self._version()
        self._database.prepare()
        with self.transaction() as database:  # another run may be making it
            database.lock_schema()
            bring_up(database, self._version())
        self._schema = VERSION
        self._database.begin_writing(VERSION)

    def _write(self, statement: str, values: tuple[object, ...]) -> None:
        with self.transaction() as database:
            database.execute(statement, values)


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
