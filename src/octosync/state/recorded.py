"""What a journal tells: its runs and actions, read without leaving a trace in it."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Any, ClassVar, Final, Self

from octosync.errors import OctosyncError, StateDamaged, StateLocked
from octosync.model import JournalledAction, JournalledRun, Status
from octosync.state.migrations import READABLE, VERSION
from octosync.state.times import time_of


class RecordedRuns:
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
