"""The record of a run: what concurrent actions write to the journal, when it is committed, and what happens if it can't be."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.support.journals import on_file

from octosync.errors import OctosyncError
from octosync.model import Address, JournalledAction, Outcome, Status
from octosync.plan import Verb
from octosync.state import Journal, JournalReader, Record, StateLocation


@dataclass(frozen=True)
class Creation:
    """The creation of an app."""

    address: Address
    verb = Verb.CREATE
    operation = "apps.create"


A, B = (Creation(Address.of_app(slug)) for slug in ("a", "b"))


def done(creation: Creation) -> Outcome:
    """Return the outcome of an action that is done."""
    return Outcome(address=creation.address, verb="create", status=Status.DONE)


@pytest.fixture
def record(location: StateLocation) -> Iterator[Record]:
    """Yield the record of a new run."""
    with Journal(location) as journal:
        yield Record.begin(journal, control_plane="http://127.0.0.1", org_id=None, digest="sha256:0")


def record_path(record: Record) -> Path:
    """Return the path of the file that a record is in."""
    assert isinstance(record.journal.location, Path)
    return record.journal.location


def committed(record: Record) -> list[tuple[str, Status | None]]:
    """Return the app and the status of each action that another process sees."""

    def app(action: JournalledAction) -> str:
        return action.address.removeprefix("app/")

    with JournalReader(record.journal.location) as reader:
        return [(app(action), action.status) for action in reader.actions(record.run)]


def rename(record: Record, table: str, name: str) -> None:
    """Rename a table of the journal under the run, which makes the journal unusable or usable."""
    with closing(sqlite3.connect(record_path(record))) as database:
        database.execute(f"alter table {table} rename to {name}")


@on_file
async def test_actions_that_start_together_share_a_transaction_with_earlier_outcomes(record: Record) -> None:
    """All are committed when their starts return. The journal of a large apply is written in a few transactions."""
    statements: list[str] = []
    assert isinstance(record.journal.database, sqlite3.Connection)
    record.journal.database.set_trace_callback(statements.append)
    (end,), _ = await asyncio.gather(record.begin_together([A]), record.begin_together([B]))
    assert committed(record) == [("a", None), ("b", None)]
    end(done(A))
    await record.begin_together([A])
    assert committed(record) == [("a", Status.DONE), ("b", None), ("a", None)]
    assert statements.count("commit") == 2


async def test_an_outcome_is_committed_although_nothing_else_starts(record: Record) -> None:
    """An outcome waits for the starts of one iteration of the event loop; `flush` commits it at once."""
    first, second = await record.begin_together([A, B])
    first(done(A))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert committed(record) == [("a", Status.DONE), ("b", None)]
    second(done(B))
    record.flush()
    assert committed(record) == [("a", Status.DONE), ("b", Status.DONE)]


@on_file
async def test_a_start_that_can_not_be_recorded_is_an_error(record: Record) -> None:
    """Every action that starts then gets the error. Outcomes stay queued, and are written once the journal is usable."""
    (end,) = await record.begin_together([A])
    rename(record, "action", "gone")
    end(done(A))
    errors = await asyncio.gather(record.begin_together([A]), record.begin_together([B]), return_exceptions=True)
    assert [type(error) for error in errors] == [OctosyncError, OctosyncError]
    with pytest.raises(OctosyncError, match="the journal can't be used"):
        record.flush()
    rename(record, "gone", "action")
    record.flush()
    assert committed(record) == [("a", Status.DONE)]


async def test_a_cancelled_start_is_not_recorded(record: Record) -> None:
    """Its request is never sent, so the journal doesn't contain it as one that was in flight."""
    cancelled = asyncio.ensure_future(record.begin_together([A]))
    await asyncio.sleep(0)
    cancelled.cancel()
    await record.begin_together([B])
    assert committed(record) == [("b", None)]
