"""The journal: which runs there were, and what each set out to do and did, written before and after every action.

An action that has a beginning and no end was in flight when the process died: whether it took effect is for the next run
to find out by reading, as it always does.
"""

from __future__ import annotations

import os
import secrets
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from octosync.errors import OctosyncError
from octosync.model import Address, Outcome

DEFAULT_PATH: Final = Path(".octosync/state.db")
_VERSION: Final = 1
_SCHEMA: Final = (
    """create table run (
    id text primary key,
    started_at text not null,
    ended_at text,
    control_plane text not null,
    org_id text,
    digest text not null,
    exit_code integer
) strict""",
    """create table action (
    run text not null references run (id),
    number integer not null,
    address text not null,
    verb text not null,
    operation text not null,
    begun_at text not null,
    ended_at text,
    status text,
    reference text,
    request_ids text,
    primary key (run, number)
) strict""",
)


@dataclass(frozen=True, slots=True)
class JournalledRun:
    """One run; `exit_code` and `ended_at` are None where it died, times are ISO 8601 in UTC."""

    id: str
    started_at: str
    ended_at: str | None
    control_plane: str
    org_id: str | None
    digest: str
    exit_code: int | None


@dataclass(frozen=True, slots=True)
class JournalledAction:
    """One action of a run, in the order in which they were begun; `status` is None where the run died during it.

    `request_ids` are the control plane's, separated by blanks.
    """

    number: int
    address: str
    verb: str
    operation: str
    begun_at: str
    ended_at: str | None
    status: str | None
    reference: str | None
    request_ids: str


class Journal:
    """An open journal file, used as a context manager.

    Every write is committed before the method returns. Raises `OctosyncError` (`journal-unusable`) where the file can't be
    opened, is no journal, or can't be written: apply opens it before its first write, so nothing is sent unrecorded.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        with self._document_failures():
            _make_folder(path.parent)
            os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
            self._database = sqlite3.connect(path, isolation_level=None, timeout=10)
        try:
            with self._document_failures():
                self._prepare()
        except OctosyncError:
            self._database.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._database.close()

    def begin_run(self, *, control_plane: str, org_id: str | None, digest: str, at: datetime) -> str:
        """Record that a run starts, and return its id: sortable by time, unique without asking anyone."""
        run = f"{at.astimezone(UTC):%Y%m%dT%H%M%SZ}-{secrets.token_hex(3)}"
        self._write(
            "insert into run (id, started_at, control_plane, org_id, digest) values (?, ?, ?, ?, ?)",
            (run, _text(at), control_plane, org_id, digest),
        )
        return run

    def begin_action(self, run: str, number: int, *, address: Address, verb: str, operation: str, at: datetime) -> None:
        """Record that an action is about to be sent."""
        self._write(
            "insert into action (run, number, address, verb, operation, begun_at) values (?, ?, ?, ?, ?, ?)",
            (run, number, str(address), verb, operation, _text(at)),
        )

    def end_action(self, run: str, number: int, outcome: Outcome, at: datetime) -> None:
        """Record what became of an action that was begun; not its message, which may quote values."""
        self._write(
            "update action set ended_at = ?, status = ?, reference = ?, request_ids = ? where run = ? and number = ?",
            (_text(at), outcome.status.value, outcome.reference, " ".join(outcome.request_ids), run, number),
        )

    def end_run(self, run: str, exit_code: int, at: datetime) -> None:
        """Record that a run ended by itself."""
        self._write("update run set ended_at = ?, exit_code = ? where id = ?", (_text(at), exit_code, run))

    def runs(self) -> tuple[JournalledRun, ...]:
        """Return all runs, newest first."""
        with self._document_failures():
            rows = self._database.execute(
                "select id, started_at, ended_at, control_plane, org_id, digest, exit_code from run order by rowid desc"
            ).fetchall()
        return tuple(JournalledRun(*row) for row in rows)

    def actions(self, run: str) -> tuple[JournalledAction, ...]:
        """Return a run's actions in the order in which they were begun."""
        with self._document_failures():
            rows = self._database.execute(
                "select number, address, verb, operation, begun_at, ended_at, status, reference, "
                "coalesce(request_ids, '') from action where run = ? order by number",
                (run,),
            ).fetchall()
        return tuple(JournalledAction(*row) for row in rows)

    def _prepare(self) -> None:
        """Make the schema in an empty file, and refuse any other before anything in it is changed."""
        self._database.execute("begin immediate")  # another run may be making it
        (version,) = self._database.execute("pragma user_version").fetchone()
        (tables,) = self._database.execute("select count(*) from sqlite_master").fetchone()
        if version == 0 and not tables:
            for statement in (*_SCHEMA, f"pragma user_version = {_VERSION}"):
                self._database.execute(statement)
        elif version != _VERSION:
            raise self._unusable(f"it is not a journal of this version of octosync (schema {version}, not {_VERSION})")
        self._database.execute("commit")
        self._database.execute("pragma journal_mode = wal")
        # Durable against the death of this process; a power cut may lose the last action, never corrupt the file.
        self._database.execute("pragma synchronous = normal")

    def _write(self, statement: str, values: tuple[object, ...]) -> None:
        with self._document_failures():
            self._database.execute(statement, values)

    @contextmanager
    def _document_failures(self) -> Iterator[None]:
        try:
            yield
        except (OSError, sqlite3.Error) as error:
            raise self._unusable(str(error)) from error

    def _unusable(self, why: str) -> OctosyncError:
        return OctosyncError(
            "journal-unusable",
            f"{self.path}: the journal can't be used: {why}",
            hints=("Make the file writable, move it away, or name another one: --state FILE",),
        )


def _make_folder(folder: Path) -> None:
    """Make a folder where there is none; one of our own is kept out of the repository that it stands in."""
    if folder.exists():
        return
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if folder.name == DEFAULT_PATH.parent.name:
        (folder / ".gitignore").write_text("*\n", encoding="utf-8")


def _text(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="milliseconds")
