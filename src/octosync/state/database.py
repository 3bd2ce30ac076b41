"""The database with the state, and where it is: an SQLite file, or a PostgreSQL database that several processes share.

Both run the same statements, with `?` for parameters. What differs is opened, migrated and reported here and in the two
modules `sqlite` and `postgres`. Object mapping would not pay: there are some sixty statements, and each is used once.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeAlias

from octosync.errors import OctosyncError
from octosync.model.state_url import StateUrl as StateUrl  # noqa: PLC0414 — exported with `StateLocation`
from octosync.model.state_url import parse_state_url

if TYPE_CHECKING:
    from octosync.state.postgres import PostgresDatabase

StateLocation: TypeAlias = Path | StateUrl


def parse_location(text: str) -> StateLocation:
    """Return the location that a text names: a `postgresql://` URL, or the path of a file.

    Raises `UsageError` (`state-url-invalid`) for a text that is almost a URL, without quoting it.
    """
    url = parse_state_url(text)
    return Path(text) if url is None else url


Parameters: TypeAlias = Sequence[object]


class Rows(Protocol):
    """The result of a statement: its rows as tuples."""

    @property
    def rowcount(self) -> int:
        """How many rows the statement changed."""

    def fetchone(self) -> Any:  # noqa: ANN401 — the columns of a row have any type
        """Return the next row, None if there is none."""

    def fetchall(self) -> list[Any]:
        """Return all remaining rows."""

    def __iter__(self) -> Iterator[Any]:
        """Yield the remaining rows."""


@dataclass(frozen=True, slots=True)
class Dialect:
    """The words in which the two kinds of database create tables.

    `number_key` is the type of a primary key that numbers the rows. `row_order` is a column with the order in which rows were
    inserted, which SQLite has in every table, under the same name. `options` are what follows the columns.
    """

    text: str
    blob: str
    real: str
    number_key: str
    row_order: str
    options: str


class FailureKind(Enum):
    """What the failure of a statement means."""

    LOCKED = "locked"  # another process locks the file
    UNAVAILABLE = "unavailable"  # it may work later
    DAMAGED = "damaged"  # the file can't be read
    OTHER = "other"


UPGRADE_HINT: Final = "A newer version of octosync uses it: upgrade this one, or name another state: --state LOCATION"


class DatabaseError(Exception):
    """A statement failed. The message is one line, without values and credentials; `hint` is what to do, if that is special."""

    def __init__(self, message: str, kind: FailureKind = FailureKind.OTHER, *, hint: str = "") -> None:
        super().__init__(message)
        self.kind = kind
        self.hint = hint


class Database(Protocol):
    """An open database. Raises `DatabaseError`, and the file also `OSError` and `sqlite3.Error`."""

    dialect: Dialect
    is_shared: bool  # whether processes on several machines use it

    def execute(self, statement: str, parameters: Parameters = ..., /) -> Rows:
        """Execute a statement. Outside of a transaction, it is committed at once."""

    def execute_with_secret(self, statement: str, parameters: Parameters, /) -> Rows:
        """Execute a statement whose parameters must not be in the log of a server, which has the text of those that fail."""

    def executemany(self, statement: str, rows: Iterable[Parameters], /) -> Rows:
        """Execute a statement once for each row of parameters. Used in transactions only."""

    def transaction(self) -> AbstractContextManager[None]:
        """Run a transaction: it is committed when the block ends, and rolled back if the block raises."""

    def version(self) -> int | None:
        """Return the version of the schema: 0 if nothing was created yet, None if it isn't a database of octosync."""

    def set_version(self, version: int) -> None:
        """Record the version of the schema, in the transaction that migrates."""

    def prepare(self) -> None:
        """Prepare for writing, before the schema is created or migrated."""

    def begin_writing(self, version: int) -> None:
        """Set what applies to all writes of this process, after the schema was created or migrated to this version."""

    def lock_schema(self) -> None:
        """Wait until no other process migrates the schema, in the transaction that migrates."""

    def wait_at_most(self, seconds: float) -> None:
        """Limit how long a statement waits, so that it doesn't block an event loop."""

    def wait_until_usable(self, seconds: float) -> None:
        """Wait until statements can be executed. Works in any thread."""

    def check(self) -> str:
        """Check the whole database; return what is wrong, "" for nothing."""

    def shrink(self) -> None:
        """Give the space of deleted rows back."""

    def overwrite_deleted(self) -> None:
        """Remove what was deleted or replaced from files that still contain it."""

    def close(self) -> None:
        """Close it."""


class StatementList:
    """Collects statements in place of a database, to be executed later. They return no rows."""

    def __init__(self) -> None:
        self.statements: list[tuple[str, tuple[object, ...]]] = []

    def execute(self, statement: str, parameters: Parameters = (), /) -> None:
        """Add a statement."""
        self.statements.append((statement, tuple(parameters)))

    def executemany(self, statement: str, rows: Iterable[Parameters], /) -> None:
        """Add a statement for each row of parameters."""
        self.statements += [(statement, tuple(row)) for row in rows]


def open_for_reading(location: StateLocation) -> tuple[Database, bool]:
    """Open a database to read, and return whether it exists. One that doesn't is empty, and is not created."""
    if isinstance(location, Path):
        from octosync.state.sqlite import open_file_for_reading

        return open_file_for_reading(location)
    database = _postgres(location, read_only=True)
    try:
        return database, bool(database.version())
    except BaseException:
        database.close()
        raise


def open_for_writing(location: StateLocation) -> Database:
    """Open a database to read and write. A missing file is created."""
    if isinstance(location, Path):
        from octosync.state.sqlite import open_file_for_writing

        return open_file_for_writing(location)
    return _postgres(location, read_only=False)


def check_driver(url: StateUrl) -> None:
    """Raise `OctosyncError` (`postgres-not-installed`) if the driver is missing."""
    try:
        import psycopg  # noqa: F401
    except ImportError:
        raise OctosyncError(
            "postgres-not-installed",
            f"{url}: a database on PostgreSQL needs psycopg, which is not installed",
            hints=("Install it with octosync:  pip install 'octosync[postgres]'",),
        ) from None


def _postgres(url: StateUrl, *, read_only: bool) -> PostgresDatabase:
    check_driver(url)
    from octosync.state.postgres import PostgresDatabase

    return PostgresDatabase(url, read_only=read_only)


SCHEMA: Final = "octosync"  # the schema of PostgreSQL that has all tables
