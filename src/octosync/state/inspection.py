"""What can be found out about a state with a few reads: `octosync doctor`, `octosync state show` and `state check` show it."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, cast

from octosync.model import counted
from octosync.plan import ControlPlane
from octosync.state.database import SCHEMA
from octosync.state.journal import Journal, JournalReader, journal_time_text, time_of, time_text
from octosync.state.lease import LeaseHolder
from octosync.state.lock import lock_holder
from octosync.state.migrations import VERSION
from octosync.state.watch import WatchState

_RUNS_AT_ONCE: Final = 500  # whose actions are read together
_SAMPLES: Final = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class DatabaseFacts:
    """The facts about a database. `encryption` is the version of TLS, "" for none; `seconds` a statement's duration.

    `problem` is the reason why it can't be written, "" for none, and `advice` what to do.
    """

    server: str
    encryption: str
    seconds: float
    problem: str = ""
    advice: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class StateLease:
    """A lease in a shared state: `kind` is watch or apply. If not `is_held`, it has ended, and `holder` was the last one."""

    kind: str
    plane: ControlPlane
    holder: LeaseHolder
    since: datetime
    is_held: bool

    @property
    def user(self) -> str:
        """The process that holds it, in words."""
        return f"octosync {self.kind} ({self.holder.name})"


@dataclass(frozen=True, slots=True, kw_only=True)
class PlaneFacts:
    """What the state has of a control plane: numbers of apps with a baseline, drifted objects, approvals, rejections and holds.

    `resynced_at` is the end of the last full read, None if there was none; `suspended_at` is set while it is suspended.
    """

    plane: ControlPlane
    apps: int
    drift: int
    approvals: int
    refusals: int
    holds: int
    suspended_at: datetime | None
    resynced_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class StateFacts:
    """The facts about a state. `schema` is 0 without a state; `process` is the controller that has locked a file.

    `runs_from` and `runs_to` are the times of the first and the last run; `open_runs` have not ended.
    """

    exists: bool
    schema: int
    size: int  # bytes
    runs: int = 0
    open_runs: int = 0
    runs_from: datetime | None = None
    runs_to: datetime | None = None
    planes: tuple[PlaneFacts, ...] = ()
    leases: tuple[StateLease, ...] = ()
    process: int | None = None

    @property
    def is_current(self) -> bool:
        """Whether the schema is that of this version."""
        return self.schema == VERSION


def examine_database(journal: JournalReader) -> DatabaseFacts:
    """Return the facts about a PostgreSQL database. Raises `OctosyncError` if it can't be read."""
    with journal.documented():
        execute = journal.database.execute
        (version,) = execute("select current_setting('server_version')").fetchone()
        tls = execute("select version from pg_stat_ssl where ssl and pid = pg_backend_pid()").fetchone()
        (recovers,) = execute("select pg_is_in_recovery()").fetchone()
        # The setting of this session is that of a reader.
        (protects,) = execute(
            "select reset_val = 'on' from pg_settings where name = 'default_transaction_read_only'"
        ).fetchone()
        has_schema = execute("select 1 from pg_namespace where nspname = ?", (SCHEMA,)).fetchone() is not None
        if journal.exists:
            statement = f"select has_table_privilege('{SCHEMA}.run', 'insert')"
        elif has_schema:  # an administrator may have created it, and octosync creates its tables there
            statement = f"select has_schema_privilege('{SCHEMA}', 'create')"
        else:
            statement = "select has_database_privilege(current_database(), 'create')"
        (may_write,) = execute(statement).fetchone()
        began = time.monotonic()
        for _ in range(_SAMPLES):
            execute("select 1")
        seconds = (time.monotonic() - began) / _SAMPLES
    problem = advice = ""
    if recovers:
        problem, advice = "it is a standby server, which is read-only", "Name the primary server, or all servers."
    elif protects:
        problem = "it is read-only (default_transaction_read_only)"
        advice = "Check its disk: services make a database read-only before it is full."
    elif not may_write:
        what = f"the schema {SCHEMA}" if has_schema else "the database"
        problem, advice = (
            f"the user may not write to {what}",
            f"Grant it the privileges, or make it the owner of {what}.",
        )
    return DatabaseFacts(
        server=f"PostgreSQL {version.split()[0]}",
        encryption="" if tls is None else tls[0],
        seconds=seconds,
        problem=problem,
        advice=advice,
    )


def examine_state(reader: JournalReader) -> StateFacts:
    """Return the facts about a state. Raises `OctosyncError` if it can't be read."""
    location = reader.location
    facts = StateFacts(exists=reader.exists, schema=reader.schema, size=_size(reader))
    if not reader.schema:
        return facts
    with reader.documented():
        runs, open_runs, first, last = reader.database.execute(
            "select count(*), count(*) - count(ended_at), min(started_at), max(started_at) from run"
        ).fetchone()
        planes = _planes(reader) if facts.is_current else ()
    return StateFacts(
        exists=reader.exists,
        schema=reader.schema,
        size=facts.size,
        runs=runs,
        open_runs=open_runs,
        runs_from=_time(first),
        runs_to=_time(last),
        planes=planes,
        leases=leases_of(reader),
        process=lock_holder(location) if isinstance(location, Path) else None,
    )


def leases_of(reader: JournalReader) -> tuple[StateLease, ...]:
    """Return the leases in a shared state, also those that have ended; none in a file."""
    if not reader.is_shared or reader.schema != VERSION:
        return ()
    with reader.documented():
        rows = reader.database.execute(
            "select kind, control_plane, org_id, holder, since, expires > clock_timestamp() from lease "
            "where holder is not null order by kind desc, control_plane, org_id"
        ).fetchall()
    return tuple(
        StateLease(
            kind=kind,
            plane=ControlPlane(url=url, org_id=org or None),
            holder=LeaseHolder.parse(holder),
            since=since.astimezone(UTC),
            is_held=is_held,
        )
        for kind, url, org, holder, since, is_held in rows
    )


def old_rows(reader: JournalReader, before: datetime) -> Mapping[str, int]:
    """Return the number of rows that `WatchState.prune` deletes, by table. The limit of the number of runs is not considered."""
    if not reader.schema:
        return {}
    moment = journal_time_text(before)
    statements = {
        "run": ("select count(*) from run where started_at < ?", moment),
        "action": ("select count(*) from action join run on run.id = action.run where started_at < ?", moment),
    }
    if reader.schema == VERSION:
        limit = time_text(before)
        statements |= {
            "heal": ("select count(*) from heal where at < ?", limit),
            "approval": ("select count(*) from approval where at < ?", limit),
            "hold": ("select count(*) from hold where until < ?", limit),
        }
    with reader.documented():
        return {
            table: int(reader.database.execute(statement, (limit,)).fetchone()[0])
            for table, (statement, limit) in statements.items()
        }


def check_state(reader: JournalReader) -> str:
    """Read the whole state, and return in words what was read. Raises `OctosyncError` for what can't be read."""
    reader.check()
    runs, actions = reader.runs(), 0
    for start in range(0, len(runs), _RUNS_AT_ONCE):
        found = reader.actions_of([run.id for run in runs[start : start + _RUNS_AT_ONCE]])
        actions += sum(map(len, found.values()))
    words = f"{counted(len(runs), 'run')} with {counted(actions, 'action')}"
    if reader.schema != VERSION:
        return words
    state = WatchState(cast("Journal", reader))  # it is only read
    state.check()
    return f"{words}, {counted(len(state.planes()), 'control plane')}"


def _planes(reader: JournalReader) -> tuple[PlaneFacts, ...]:
    execute = reader.database.execute
    counts = {
        table: _numbers(execute(f"select plane, count(*) from {table} group by plane").fetchall())  # noqa: S608 — our own names
        for table in ("base", "drift", "approval", "refusal")
    }
    now = time_text(datetime.now(UTC))
    held = _numbers(execute("select plane, count(*) from hold where until > ? group by plane", (now,)).fetchall())
    suspended = dict(execute("select plane, at from suspension").fetchall())
    resynced = dict(execute("select plane, ended from checkpoint").fetchall())
    rows = execute("select id, control_plane, org_id from plane order by control_plane, org_id").fetchall()
    return tuple(
        PlaneFacts(
            plane=ControlPlane(url=url, org_id=org or None),
            apps=counts["base"].get(number, 0),
            drift=counts["drift"].get(number, 0),
            approvals=counts["approval"].get(number, 0),
            refusals=counts["refusal"].get(number, 0),
            holds=held.get(number, 0) + held.get(0, 0),  # 0: those of each control plane
            suspended_at=_time(suspended.get(number, suspended.get(0))),
            resynced_at=_time(resynced.get(number)),
        )
        for number, url, org in rows
    )


def _numbers(rows: list[tuple[int, int]]) -> Mapping[int, int]:
    return dict(rows)


def _time(text: str | None) -> datetime | None:
    return None if text is None else time_of(text)


def _size(reader: JournalReader) -> int:
    location = reader.location
    if isinstance(location, Path):
        files = (location, location.with_name(f"{location.name}-wal"))
        return sum(file.stat().st_size for file in files if file.exists())
    with reader.documented():
        (size,) = reader.database.execute(
            "select coalesce(sum(pg_total_relation_size(pg_class.oid)), 0) from pg_class "
            "join pg_namespace on pg_namespace.oid = relnamespace where nspname = ? and relkind = 'r'",
            (SCHEMA,),
        ).fetchone()
    return int(size)
