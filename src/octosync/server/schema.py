"""The database: its tables, and opening a file that holds them.

One connection serves everything: operations run one after the other on the server's event loop, so each is alone. The
file is locked for as long as it is served.
"""

from __future__ import annotations

import os
import sqlite3
import stat
from pathlib import Path

from octosync.errors import ConfigError

SCHEMA_VERSION = 1
_OF_OTHERS = stat.S_IRWXG | stat.S_IRWXO
_APPLICATION_ID = 0x0C705CB1  # tells our files from other SQLite files

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

    Raises `ConfigError` for a file that can't be opened, is no octosync database, is of another schema version, or is
    served already.
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
            f"{where}: this SQLite file was not made by octosync server",
            hints=("Name a file that doesn't exist yet: it is created.",),
        )
    elif version != SCHEMA_VERSION:
        raise ConfigError(
            "database-version",
            f"{where}: the database has schema version {version}, this octosync needs {SCHEMA_VERSION}",
            hints=("Serve it with the octosync that made it, or name a file that doesn't exist yet: it is created.",),
        )
    connection.execute("COMMIT")


def _keep_private(path: Path) -> None:
    """Take the files of a database away from everybody but their owner: inference configs may hold secrets."""
    for file in (path, *(path.with_name(f"{path.name}-{suffix}") for suffix in ("wal", "shm"))):
        if file.exists() and stat.S_IMODE(file.stat().st_mode) & _OF_OTHERS:
            file.chmod(stat.S_IMODE(file.stat().st_mode) & ~_OF_OTHERS)


def _unusable(where: str, error: sqlite3.Error | OSError) -> ConfigError:
    if "locked" in str(error):
        return ConfigError(
            "database-in-use",
            f"{where}: the database is being served by another process",
            hints=("Stop the other server, or name another file.",),
        )
    return ConfigError(
        "database-unusable",
        f"{where}: the database can't be opened: {error}",
        hints=("Name a file in a folder that exists and can be written, or a file that doesn't exist yet.",),
    )
