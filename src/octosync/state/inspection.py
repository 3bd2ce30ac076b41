"""What can be found out about a shared database with a few reads: `octosync doctor` and `octosync state` show it."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Final

from octosync.state.database import SCHEMA
from octosync.state.journal import JournalReader

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


def examine_database(journal: JournalReader) -> DatabaseFacts:
    """Return the facts about a PostgreSQL database. Raises `OctosyncError` if it can't be read."""
    with journal.documented():
        execute = journal.database.execute
        (version,) = execute("select current_setting('server_version')").fetchone()
        tls = execute("select version from pg_stat_ssl where ssl and pid = pg_backend_pid()").fetchone()
        (recovers,) = execute("select pg_is_in_recovery()").fetchone()
        statement = (
            f"select has_table_privilege('{SCHEMA}.run', 'insert')"
            if journal.exists
            else "select has_database_privilege(current_database(), 'create')"
        )
        (may_write,) = execute(statement).fetchone()
        began = time.monotonic()
        for _ in range(_SAMPLES):
            execute("select 1")
        seconds = (time.monotonic() - began) / _SAMPLES
    problem = advice = ""
    if recovers:
        problem, advice = "it is a standby server, which is read-only", "Name the primary server, or all servers."
    elif not may_write:
        what = f"the schema {SCHEMA}" if journal.exists else "the database"
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
