"""The schema of the state and its migrations, for both kinds of database."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Final

from octosync.state.database import Database

VERSION: Final = 7
READABLE: Final = frozenset(range(1, VERSION + 1))
AUDITED: Final = 5  # the first version whose runs have `audit`; otherwise the journal is the same in all

_KEY_BYTES: Final = 32

_JOURNAL: Final = (
    """create table run (
    {row_order}
    id {text} primary key,
    started_at {text} not null,
    ended_at {text},
    control_plane {text} not null,
    org_id {text},
    digest {text} not null,
    exit_code integer
)""",
    """create table action (
    run {text} not null references run (id),
    number integer not null,
    address {text} not null,
    verb {text} not null,
    operation {text} not null,
    begun_at {text} not null,
    ended_at {text},
    status {text},
    reference {text},
    request_ids {text},
    primary key (run, number)
)""",
)

# The state of a controller. `org_id` is '' if the org is not known: null is never unique.
_WATCH: Final = (
    "create index action_ended on action (ended_at)",
    "create table seal (id integer primary key check (id = 1), key {blob} not null)",
    """create table plane (
    id {number_key},
    control_plane {text} not null,
    org_id {text} not null,
    whole integer not null default 0,
    scope {text},
    unique (control_plane, org_id)
)""",
    """create table base (
    plane integer not null references plane (id),
    app {text} not null,
    document {blob} not null,
    primary key (plane, app)
)""",
    """create table drift (
    plane integer not null references plane (id),
    address {text} not null,
    app {text} not null,
    fingerprint {text} not null,
    first_seen {text} not null,
    primary key (plane, address)
)""",
    "create index drift_app on drift (plane, app)",
    """create table heal (
    {row_order}
    plane integer not null references plane (id),
    address {text} not null,
    app {text} not null,
    at {text} not null
)""",
    "create index heal_at on heal (plane, at)",
    """create table contested (
    plane integer not null references plane (id),
    address {text} not null,
    app {text} not null,
    at {text} not null,
    primary key (plane, address)
)""",
    """create table approval (
    plane integer not null references plane (id),
    guard {text} not null,
    address {text} not null,
    verb {text} not null,
    digest {text} not null,
    at {text} not null,
    primary key (plane, guard, address, verb)
)""",
    """create table hold (
    app {text} primary key,
    until {text} not null,
    reason {text} not null,
    at {text} not null
)""",
    """create table told (
    plane integer not null references plane (id),
    app {text} not null,
    about {text} not null,
    fact {text} not null,
    primary key (plane, app, about)
)""",
    "create table suspension (id integer primary key check (id = 1), at {text} not null, reason {text} not null)",
)

# What counting guards reject, until it is approved or its basis (the limits, and the manifest) changes.
_REFUSALS: Final = (
    """create table refusal (
    plane integer not null references plane (id),
    app {text} not null,
    guard {text} not null,
    address {text} not null,
    verb {text} not null,
    basis {text} not null,
    message {text} not null,
    total {text},
    override {text},
    primary key (plane, guard, address, verb)
)""",
)

# Where a controller continues after a restart. `position` is a JSON list of keyed digests of the newest events.
_CHECKPOINT: Final = (
    """create table checkpoint (
    plane integer primary key references plane (id),
    position {text} not null,
    began {text},
    version {text} not null,
    ended {text},
    seconds {real}
)""",
    """create table in_sync (
    plane integer not null references plane (id),
    app {text} not null,
    at {text} not null,
    basis {text} not null,
    app_id {text},
    primary key (plane, app)
)""",
    """create table optimization_check (
    plane integer not null references plane (id),
    address {text} not null,
    at {text} not null,
    fleet {text} not null,
    document {blob} not null,
    primary key (plane, address)
)""",
)


# One database may serve several control planes. `plane` is 0 in the rows of earlier versions: they apply to each.
_OPERATORS: Final = (
    "alter table hold rename to earlier_hold",
    """create table hold (
    plane integer not null,
    app {text} not null,
    until {text} not null,
    reason {text} not null,
    at {text} not null,
    primary key (plane, app)
)""",
    "insert into hold select 0, app, until, reason, at from earlier_hold",
    "drop table earlier_hold",
    "alter table suspension rename to earlier_suspension",
    """create table suspension (
    plane integer primary key,
    at {text} not null,
    reason {text} not null
)""",
    "insert into suspension select 0, at, reason from earlier_suspension",
    "drop table earlier_suspension",
)

# In PostgreSQL only. `cut_off`: the holder can't reach the control plane; `candidate` is a process that can. Renewals don't
# change the key, which transactions of the holder lock.
_LEASES: Final = (
    """create table lease (
    kind {text} not null,
    control_plane {text} not null,
    org_id {text} not null,
    epoch bigint not null,
    holder {text},
    since timestamptz,
    expires timestamptz not null,
    cut_off boolean not null default false,
    candidate {text},
    primary key (kind, control_plane, org_id),
    unique (kind, control_plane, org_id, epoch)
)""",
)


def _journal(database: Database) -> None:
    _execute_all(database, _JOURNAL)


def _watch(database: Database) -> None:
    _execute_all(database, _WATCH)
    database.execute("insert into seal (id, key) values (1, ?)", (secrets.token_bytes(_KEY_BYTES),))


def _refusals(database: Database) -> None:
    _execute_all(database, _REFUSALS)


def _key_check(database: Database) -> None:
    # Identifies the key from outside of the file that its values are sealed with; null: none.
    database.execute(_in_words_of(database, "alter table seal add column key_check {text}"))


def _audit(database: Database) -> None:
    # A JSON object of `RunAudit`; null for the runs of earlier versions, which may still be writing.
    database.execute(_in_words_of(database, "alter table run add column audit {text}"))


def _operators(database: Database) -> None:
    _execute_all(database, _OPERATORS)
    if database.is_shared:
        _execute_all(database, _LEASES)


def _checkpoint(database: Database) -> None:
    _execute_all(database, _CHECKPOINT)


_STEPS: Final[Mapping[int, Callable[[Database], None]]] = {
    1: _journal,
    2: _watch,
    3: _refusals,
    4: _key_check,
    5: _audit,
    6: _checkpoint,
    7: _operators,
}


def bring_up(database: Database, version: int) -> None:
    """Migrate a database from a version (0: empty) to this version, inside the caller's transaction. Nothing is lost."""
    if version < VERSION:
        # First, so that it waits for the transactions of an earlier version before it locks any table: a deadlock otherwise.
        database.set_version(VERSION)
    for step in range(version + 1, VERSION + 1):
        _STEPS[step](database)


def _execute_all(database: Database, statements: Sequence[str]) -> None:
    for statement in statements:
        database.execute(_in_words_of(database, statement))


def _in_words_of(database: Database, statement: str) -> str:
    words = asdict(database.dialect)
    is_table = statement.startswith("create table")
    return statement.format_map(words) + (words["options"] if is_table else "")
