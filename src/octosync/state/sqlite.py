"""The state file: an SQLite database."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Final

from octosync.state.database import DatabaseError, Dialect, FailureKind
from octosync.state.lock import DEFAULT_PATH

_DIALECT: Final = Dialect(
    text="text",
    blob="blob",
    real="real",
    number_key="integer primary key",
    row_order="",
    options=" strict",
)
_LOCKED: Final = frozenset({sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED})
_DAMAGED: Final = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})
_PASSING: Final = frozenset({sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_READONLY})
_PATIENCE: Final = 10.0  # seconds


class SqliteDatabase(sqlite3.Connection):
    """An open file. `path` is None for an empty database in place of a file that doesn't exist.

    A file that was removed or replaced meanwhile counts as one that can't be written: SQLite would go on with a deleted file.
    """

    dialect = _DIALECT
    is_shared = False
    path: Path | None = None
    _identity: tuple[int, int] | None = None

    def execute_with_secret(self, statement: str, parameters: Sequence[Any], /) -> sqlite3.Cursor:
        """Execute a statement. See `Database`."""
        return self.execute(statement, parameters)

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Run a transaction that locks the file for other writers. See `Database`."""
        self._check_that_it_is_there()
        self.execute("begin immediate")
        try:
            yield
            self.execute("commit")
        except BaseException:
            if self.in_transaction:  # if the disk is full, SQLite has rolled back itself
                self.execute("rollback")
            raise

    def version(self) -> int | None:
        """Return the version of the schema. See `Database`."""
        (version,) = self.execute("pragma user_version").fetchone()
        (tables,) = self.execute("select count(*) from sqlite_master").fetchone()
        return None if version == 0 and tables else int(version)

    def set_version(self, version: int) -> None:
        """Record the version of the schema."""
        self.execute(f"pragma user_version = {version}")

    def prepare(self) -> None:
        """Prepare for writing."""
        if self.version() == 0:
            # Only possible before the first table exists: the space of deleted rows is given back.
            self.execute("pragma auto_vacuum = incremental")

    def begin_writing(self, version: int) -> None:  # noqa: ARG002 — a file has its version for as long as it is open
        """Set how writes are made durable."""
        self.execute("pragma journal_mode = wal")
        # Durable against the death of this process; a power cut may lose the last action, never corrupt the file.
        self.execute("pragma synchronous = normal")
        self.execute("pragma secure_delete = on")  # deleted rows are overwritten

    def lock_schema(self) -> None:
        """Do nothing: a transaction locks the file."""

    def wait_at_most(self, seconds: float) -> None:
        """Limit how long a statement waits for the lock of another process."""
        self.execute(f"pragma busy_timeout = {int(seconds * 1000)}")

    def wait_until_usable(self, seconds: float) -> None:
        """Wait until no other process locks the file."""
        if self.path is None:
            return
        place = f"{self.path.absolute().as_uri()}?mode=rw"
        with closing(sqlite3.connect(place, uri=True, isolation_level=None, timeout=seconds)) as database:
            database.execute("begin immediate")
            database.execute("rollback")

    def check(self) -> str:
        """Have SQLite check the whole file."""
        (result,) = self.execute("pragma quick_check(1)").fetchone()
        return "" if result == "ok" else str(result)

    def shrink(self) -> None:
        """Give the space of deleted rows back to the file system."""
        (kind,) = self.execute("pragma auto_vacuum").fetchone()
        if kind:
            self.executescript("pragma incremental_vacuum")  # `execute` would take one page and stop
        else:  # made by an earlier version: the whole file is rewritten once
            self.execute("pragma auto_vacuum = incremental")
            self.execute("vacuum")

    def overwrite_deleted(self) -> None:
        """Empty the write-ahead log, which has the earlier pages until then."""
        self.execute("pragma wal_checkpoint (truncate)")

    def opened_at(self, path: Path) -> SqliteDatabase:
        """Remember the file, to recognize it later."""
        self.path, self._identity = path, _identity(path)
        return self

    def _check_that_it_is_there(self) -> None:
        if self.path is not None and _identity(self.path) != self._identity:
            raise DatabaseError("it was removed or replaced during the run", hint="Start octosync again.")


def open_file_for_reading(path: Path) -> tuple[SqliteDatabase, bool]:
    """Open a file without changing it, even while a run writes to it. Return whether it exists."""
    if not path.exists():
        return sqlite3.connect(":memory:", factory=SqliteDatabase), False
    with path.open("rb"):  # its error is clearer than SQLite's
        pass
    # A log beside the file means that it is being written, or was when a run was killed: then SQLite must see both.
    # Otherwise the file is all there is, and needs neither a lock nor a folder that may be written to.
    log = path.with_name(f"{path.name}-wal")
    mode = "mode=ro" if log.exists() else "mode=ro&immutable=1"
    return _connect(f"{path.absolute().as_uri()}?{mode}", uri=True), True


def open_file_for_writing(path: Path) -> SqliteDatabase:
    """Open a file, which is created if it is missing."""
    _make_folder(path.parent)
    os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
    return _connect(str(path)).opened_at(path)


def kind_of(error: sqlite3.Error) -> FailureKind:
    """Return what an error of SQLite means."""
    code = _primary_code(error)
    if code in _LOCKED:
        return FailureKind.LOCKED
    return FailureKind.DAMAGED if code in _DAMAGED else FailureKind.OTHER


def may_pass(error: sqlite3.Error) -> bool:
    """Return whether the same statement may succeed later: the disk is full or fails, or the file is read-only."""
    return _primary_code(error) in _PASSING


def _primary_code(error: sqlite3.Error) -> int | None:
    code = getattr(error, "sqlite_errorcode", None)
    return code & 0xFF if isinstance(code, int) else None


def _connect(name: str, *, uri: bool = False) -> SqliteDatabase:
    return sqlite3.connect(name, uri=uri, isolation_level=None, timeout=_PATIENCE, factory=SqliteDatabase)


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
