"""The store: the SQLite database, transactions, ids and server time.

Operations run one after the other on the server's event loop, so one connection serves them all, each in its own
transaction. The database file is locked while it is served.
"""

from __future__ import annotations

import hashlib
import json
import os
import sqlite3
import stat
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeAlias

from octosync.errors import ConfigError
from octosync.model import JsonValue
from octosync.server.settings import ServerSettings

SCHEMA_VERSION = 1
_GROUP_AND_OTHERS = stat.S_IRWXG | stat.S_IRWXO
_APPLICATION_ID = 0x0C705CB1  # marks the SQLite files of octosync

_TABLES = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE apps (
    seq INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, slug TEXT NOT NULL UNIQUE, name TEXT NOT NULL, description TEXT,
    archived_at TEXT, created_at TEXT NOT NULL, updated_at TEXT NOT NULL
);
CREATE TABLE targets (
    seq INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, app_id TEXT NOT NULL REFERENCES apps (id), platform TEXT NOT NULL,
    identifier TEXT NOT NULL, created_at TEXT NOT NULL, UNIQUE (platform, identifier)
);
CREATE INDEX targets_by_app ON targets (app_id);
CREATE TABLE slots (
    seq INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, app_id TEXT NOT NULL REFERENCES apps (id), capability TEXT NOT NULL,
    model_variant_id TEXT, serving_policy TEXT NOT NULL, bindings TEXT NOT NULL, preferred_engines TEXT NOT NULL,
    public_client_allowed INTEGER NOT NULL, extra TEXT NOT NULL, created_at TEXT NOT NULL, updated_at TEXT NOT NULL,
    UNIQUE (app_id, capability)
);
CREATE TABLE inference_configs (app_id TEXT PRIMARY KEY REFERENCES apps (id), config TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE app_keys (
    seq INTEGER PRIMARY KEY, app_id TEXT NOT NULL REFERENCES apps (id), kind TEXT NOT NULL, sha256 TEXT NOT NULL UNIQUE,
    created_at TEXT NOT NULL
);
CREATE TABLE devices (
    platform TEXT NOT NULL, identifier TEXT NOT NULL, device_class TEXT NOT NULL, count INTEGER NOT NULL,
    PRIMARY KEY (platform, identifier, device_class)
) WITHOUT ROWID;
CREATE TABLE deployments (
    seq INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, app_id TEXT NOT NULL REFERENCES apps (id), capability TEXT NOT NULL,
    environment TEXT NOT NULL, status TEXT NOT NULL, model_variant_id TEXT NOT NULL, app_target_ids TEXT NOT NULL,
    candidate_variant_id TEXT, percentage INTEGER, since REAL NOT NULL, elapsed REAL, created_at TEXT NOT NULL,
    updated_at TEXT NOT NULL
);
CREATE INDEX deployments_by_app ON deployments (app_id, capability, environment);
CREATE TABLE assignments (
    deployment_id TEXT NOT NULL REFERENCES deployments (id), target_id TEXT NOT NULL, device_class TEXT NOT NULL,
    device_count INTEGER NOT NULL, PRIMARY KEY (deployment_id, target_id, device_class)
) WITHOUT ROWID;
CREATE TABLE events (
    seq INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, type TEXT NOT NULL, app_id TEXT NOT NULL, app_slug TEXT NOT NULL,
    resource_type TEXT NOT NULL, resource_key TEXT NOT NULL, actor_type TEXT NOT NULL, actor_id TEXT NOT NULL,
    actor_name TEXT, message TEXT NOT NULL, created_at TEXT NOT NULL
);
CREATE INDEX events_by_app ON events (app_id, seq);
CREATE TABLE inference_requests (
    seq INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, app_id TEXT NOT NULL REFERENCES apps (id), capability TEXT NOT NULL,
    route TEXT NOT NULL, model_variant_id TEXT, latency_ms REAL NOT NULL, created_at TEXT NOT NULL
);
CREATE INDEX inference_requests_by_app ON inference_requests (app_id, seq);
"""


def open_database(path: Path | None) -> sqlite3.Connection:
    """Open the file, or memory for None, and create the tables in a new one.

    Raises `ConfigError` for a file that can't be opened, is not an octosync database, has another schema version, or is
    already being served.
    """
    where = "memory" if path is None else str(path)
    try:
        if path is not None and not path.exists():
            os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
        connection = sqlite3.connect(
            ":memory:" if path is None else path, isolation_level=None, check_same_thread=False, timeout=0
        )
    except (sqlite3.Error, OSError) as error:
        raise _unusable(where, error) from error
    try:
        connection.row_factory = sqlite3.Row
        _prepare(connection, where)
        if path is not None:
            _keep_private(path)
    except (sqlite3.Error, OSError) as error:
        connection.close()
        raise _unusable(where, error) from error
    except ConfigError:
        connection.close()
        raise
    return connection


def _prepare(connection: sqlite3.Connection, where: str) -> None:
    for pragma in ("locking_mode = EXCLUSIVE", "journal_mode = WAL", "synchronous = NORMAL", "foreign_keys = ON"):
        connection.execute(f"PRAGMA {pragma}")
    connection.execute("BEGIN IMMEDIATE")
    application = int(connection.execute("PRAGMA application_id").fetchone()[0])
    version = int(connection.execute("PRAGMA user_version").fetchone()[0])
    tables = int(connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0])
    if (application, version, tables) == (0, 0, 0):
        for statement in _TABLES.split(";"):
            connection.execute(statement)
        connection.execute(f"PRAGMA application_id = {_APPLICATION_ID}")
        connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
    elif application != _APPLICATION_ID:
        raise ConfigError(
            "database-foreign",
            f"{where}: not a database of octosync server",
            hints=("Use a file that doesn't exist yet; octosync creates it.",),
        )
    elif version != SCHEMA_VERSION:
        raise ConfigError(
            "database-version",
            f"{where}: the database has schema version {version}, this octosync needs {SCHEMA_VERSION}",
            hints=("Use the version of octosync that created it, or a file that doesn't exist yet.",),
        )
    connection.execute("COMMIT")


def _keep_private(path: Path) -> None:
    """Make the files of a database accessible to their owner only: inference configs may contain secrets."""
    for file in (path, *(path.with_name(f"{path.name}-{suffix}") for suffix in ("wal", "shm"))):
        if file.exists() and stat.S_IMODE(file.stat().st_mode) & _GROUP_AND_OTHERS:
            file.chmod(stat.S_IMODE(file.stat().st_mode) & ~_GROUP_AND_OTHERS)


def _unusable(where: str, error: sqlite3.Error | OSError) -> ConfigError:
    if "locked" in str(error):
        return ConfigError(
            "database-in-use",
            f"{where}: the database is in use by another process",
            hints=("Stop the other server, or use another file.",),
        )
    return ConfigError(
        "database-unusable",
        f"{where}: can't open the database: {error}",
        hints=("Use a file in an existing, writable folder.",),
    )


Row: TypeAlias = sqlite3.Row

_LAST = datetime(9900, 1, 1, tzinfo=UTC)


class Store:
    """Rows and server time. All use is from one thread at a time, the event loop's."""

    def __init__(self, settings: ServerSettings) -> None:
        self.connection = open_database(settings.db)
        self._clock = settings.clock
        self._org_id = settings.org_id
        self._offset = float(self.meta("time_offset") or 0)
        self.boot = int(self.meta("boots") or 0) + 1
        self.put_meta("boots", str(self.boot))

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Commit the changes of the block, or roll all of them back if it raises."""
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
        """Return the first row of a query, None if there is none."""
        found: Row | None = self.connection.execute(sql, values).fetchone()
        return found

    def number(self, sql: str, *values: object) -> int:
        """Return the single number of a query, 0 for NULL."""
        return int(self.connection.execute(sql, values).fetchone()[0] or 0)

    def run(self, sql: str, *values: object) -> None:
        """Execute a statement."""
        self.connection.execute(sql, values)

    def insert(self, table: str, **columns: object) -> None:
        """Insert one row. Table and column names come from the code, never from a client."""
        names, marks = ", ".join(columns), ", ".join("?" * len(columns))
        self.connection.execute(f"INSERT INTO {table} ({names}) VALUES ({marks})", tuple(columns.values()))  # noqa: S608  likewise

    def update(self, table: str, id_: str, **columns: object) -> None:
        """Update the row with this id. Table and column names come from the code, never from a client."""
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
        """Return a new id of at most 36 characters; the same history gives the same ids, so that responses are repeatable."""
        number = int(self.meta("ids") or 0) + 1
        self.put_meta("ids", str(number))
        return f"{prefix}_{hashlib.sha256(f'{self._org_id}/{number}'.encode()).hexdigest()[:24]}"

    def now(self) -> datetime:
        """Return server time: the clock plus all ticks."""
        return self._clock().astimezone(UTC) + timedelta(seconds=self._offset)

    def stamp(self) -> str:
        """Return server time in the wire's format: RFC 3339, UTC, microseconds."""
        return stamp_of(self.now())

    def can_tick(self, seconds: float) -> bool:
        """Return whether server time stays before the year 9900 after a tick."""
        return self.now() < _LAST - timedelta(seconds=seconds)

    def tick(self, seconds: float) -> None:
        """Add to server time; a restart keeps it."""
        self.put_meta("time_offset", repr(self._offset + seconds))
        self._offset += seconds

    @property
    def close(self) -> Callable[[], None]:
        """A function that closes the connection. It doesn't reference the store, so that finalizers can use it."""
        return self.connection.close


def stamp_of(moment: datetime) -> str:
    """Return a time in the wire's format."""
    return moment.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def to_json(value: JsonValue) -> str:
    """Return JSON for a column or a response: deterministic, Unicode unescaped. Raises `ValueError` for NaN."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)


def from_json(text: str) -> Any:  # noqa: ANN401  any JSON
    """Return the value of a text that `to_json` returned."""
    return json.loads(text)
