"""The schema of the state file and its migrations."""

from __future__ import annotations

import secrets
import sqlite3
from collections.abc import Callable, Mapping
from typing import Final

VERSION: Final = 6
READABLE: Final = frozenset(range(1, VERSION + 1))
AUDITED: Final = 5  # the first version whose runs have `audit`; otherwise the journal is the same in all

_KEY_BYTES: Final = 32

_JOURNAL: Final = (
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

# The state of a controller. `org_id` is '' if the org is not known: null is never unique.
_WATCH: Final = (
    "create index action_ended on action (ended_at)",
    "create table seal (id integer primary key check (id = 1), key blob not null) strict",
    """create table plane (
    id integer primary key,
    control_plane text not null,
    org_id text not null,
    whole integer not null default 0,
    scope text,
    unique (control_plane, org_id)
) strict""",
    """create table base (
    plane integer not null references plane (id),
    app text not null,
    document blob not null,
    primary key (plane, app)
) strict""",
    """create table drift (
    plane integer not null references plane (id),
    address text not null,
    app text not null,
    fingerprint text not null,
    first_seen text not null,
    primary key (plane, address)
) strict""",
    "create index drift_app on drift (plane, app)",
    """create table heal (
    plane integer not null references plane (id),
    address text not null,
    app text not null,
    at text not null
) strict""",
    "create index heal_at on heal (plane, at)",
    """create table contested (
    plane integer not null references plane (id),
    address text not null,
    app text not null,
    at text not null,
    primary key (plane, address)
) strict""",
    """create table approval (
    plane integer not null references plane (id),
    guard text not null,
    address text not null,
    verb text not null,
    digest text not null,
    at text not null,
    primary key (plane, guard, address, verb)
) strict""",
    """create table hold (
    app text primary key,
    until text not null,
    reason text not null,
    at text not null
) strict""",
    """create table told (
    plane integer not null references plane (id),
    app text not null,
    about text not null,
    fact text not null,
    primary key (plane, app, about)
) strict""",
    "create table suspension (id integer primary key check (id = 1), at text not null, reason text not null) strict",
)

# What counting guards reject, until it is approved or its basis (the limits, and the manifest) changes.
_REFUSALS: Final = (
    """create table refusal (
    plane integer not null references plane (id),
    app text not null,
    guard text not null,
    address text not null,
    verb text not null,
    basis text not null,
    message text not null,
    total text,
    override text,
    primary key (plane, guard, address, verb)
) strict""",
)

# Where a controller continues after a restart. `position` is a JSON list of keyed digests of the newest events.
_CHECKPOINT: Final = (
    """create table checkpoint (
    plane integer primary key references plane (id),
    position text not null,
    began text,
    version text not null,
    ended text,
    seconds real
) strict""",
    """create table in_sync (
    plane integer not null references plane (id),
    app text not null,
    at text not null,
    basis text not null,
    app_id text,
    primary key (plane, app)
) strict""",
    """create table optimization_check (
    plane integer not null references plane (id),
    address text not null,
    at text not null,
    fleet text not null,
    document blob not null,
    primary key (plane, address)
) strict""",
)


def _journal(database: sqlite3.Connection) -> None:
    for statement in _JOURNAL:
        database.execute(statement)


def _watch(database: sqlite3.Connection) -> None:
    for statement in _WATCH:
        database.execute(statement)
    database.execute("insert into seal (id, key) values (1, ?)", (secrets.token_bytes(_KEY_BYTES),))


def _refusals(database: sqlite3.Connection) -> None:
    for statement in _REFUSALS:
        database.execute(statement)


def _key_check(database: sqlite3.Connection) -> None:
    # Identifies the key from outside of the file that its values are sealed with; null: none.
    database.execute("alter table seal add column key_check text")


def _audit(database: sqlite3.Connection) -> None:
    # A JSON object of `RunAudit`; null for the runs of earlier versions, which may still be writing.
    database.execute("alter table run add column audit text")


def _checkpoint(database: sqlite3.Connection) -> None:
    for statement in _CHECKPOINT:
        database.execute(statement)


_STEPS: Final[Mapping[int, Callable[[sqlite3.Connection], None]]] = {
    1: _journal,
    2: _watch,
    3: _refusals,
    4: _key_check,
    5: _audit,
    6: _checkpoint,
}


def bring_up(database: sqlite3.Connection, version: int) -> None:
    """Migrate a file from a version (0: empty) to this version, inside the caller's transaction. Nothing is lost."""
    for step in range(version + 1, VERSION + 1):
        _STEPS[step](database)
    if version < VERSION:
        database.execute(f"pragma user_version = {VERSION}")
