"""The store: one SQLite connection, one transaction an operation, ids and server time."""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any, TypeAlias

from octosync.model import JsonValue
from octosync.server.schema import open_database
from octosync.server.settings import Settings

Row: TypeAlias = sqlite3.Row

_LAST = datetime(9900, 1, 1, tzinfo=UTC)


class Store:
    """Rows and server time. All use is from one thread at a time, the event loop's."""

    def __init__(self, settings: Settings) -> None:
        self.connection = open_database(settings.db)
        self._clock = settings.clock
        self._org_id = settings.org_id
        self._offset = float(self.meta("time_offset") or 0)
        self.boot = int(self.meta("boots") or 0) + 1
        self.put_meta("boots", str(self.boot))

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Commit what happens inside, or undo all of it."""
        self.connection.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self.connection.execute("ROLLBACK")
            raise
        self.connection.execute("COMMIT")

    def rows(self, sql: str, *values: object) -> list[Row]:
        """Return all rows of a query."""
        return self.connection.execute(sql, values).fetchall()

    def row(self, sql: str, *values: object) -> Row | None:
        """Return the first row of a query, None where there is none."""
        found: Row | None = self.connection.execute(sql, values).fetchone()
        return found

    def number(self, sql: str, *values: object) -> int:
        """Return the one number that a query gives, 0 for NULL."""
        return int(self.connection.execute(sql, values).fetchone()[0] or 0)

    def run(self, sql: str, *values: object) -> None:
        """Execute a statement."""
        self.connection.execute(sql, values)

    def insert(self, table: str, **columns: object) -> None:
        """Insert one row; table and column names are the code's own, never a client's."""
        names, marks = ", ".join(columns), ", ".join("?" * len(columns))
        self.connection.execute(f"INSERT INTO {table} ({names}) VALUES ({marks})", tuple(columns.values()))  # noqa: S608  likewise

    def update(self, table: str, id_: str, **columns: object) -> None:
        """Update the row with this id; table and column names are the code's own."""
        settings = ", ".join(f"{name} = ?" for name in columns)
        self.connection.execute(f"UPDATE {table} SET {settings} WHERE id = ?", (*columns.values(), id_))  # noqa: S608  likewise

    def insert_many(self, sql: str, values: Sequence[Sequence[object]]) -> None:
        """Execute one statement for many rows."""
        self.connection.executemany(sql, values)

    def meta(self, key: str) -> str | None:
        """Return a stored setting."""
        found = self.row("SELECT value FROM meta WHERE key = ?", key)
        return None if found is None else str(found["value"])

    def put_meta(self, key: str, value: str) -> None:
        """Store a setting."""
        self.run("INSERT INTO meta VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value", key, value)

    def new_id(self, prefix: str) -> str:
        """Return a new id of at most 36 characters; the same history gives the same ids, so that answers are repeatable."""
        number = int(self.meta("ids") or 0) + 1
        self.put_meta("ids", str(number))
        return f"{prefix}_{hashlib.sha256(f'{self._org_id}/{number}'.encode()).hexdigest()[:24]}"

    def now(self) -> datetime:
        """Return server time: the clock's, plus all ticks."""
        return self._clock().astimezone(UTC) + timedelta(seconds=self._offset)

    def stamp(self) -> str:
        """Return server time as the wire shows it: RFC 3339, UTC, microseconds."""
        return stamp_of(self.now())

    def can_tick(self, seconds: float) -> bool:
        """Say whether server time stays in the calendar, with a century to spare."""
        return self.now() < _LAST - timedelta(seconds=seconds)

    def tick(self, seconds: float) -> None:
        """Add to server time; kept over a restart."""
        self.put_meta("time_offset", repr(self._offset + seconds))
        self._offset += seconds

    @property
    def close(self) -> Callable[[], None]:
        """Close the connection; the store is of no use afterwards. Bound to the connection alone, for finalizers."""
        return self.connection.close


def stamp_of(moment: datetime) -> str:
    """Write a time as the wire shows it."""
    return moment.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def to_json(value: JsonValue) -> str:
    """Write JSON for a column or an answer: deterministic, Unicode as it is, NaN refused."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)


def from_json(text: str) -> Any:  # noqa: ANN401  JSON of a column is whatever was stored
    """Read what `to_json` wrote."""
    return json.loads(text)
