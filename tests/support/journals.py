"""Journals in a file: as earlier versions wrote them, and how many rows were changed."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from octosync.state import ControlPlaneState

# Limits a test to a state in a file: it is about the file, or about what doesn't depend on the kind of database.
on_file = pytest.mark.parametrize("location", ["file"], indirect=True)

_VERSION_1 = """
create table run (
    id text primary key,
    started_at text not null,
    ended_at text,
    control_plane text not null,
    org_id text,
    digest text not null,
    exit_code integer
) strict;
create table action (
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
) strict;
pragma user_version = 1;
pragma journal_mode = wal;
"""
_RUN = """
insert into run values ('20300101T120000Z-abcdef', '2030-01-01T12:00:00.000+00:00', '2030-01-01T12:00:01.000+00:00',
    'https://octomil.example/api/v1', 'org-1', 'sha256:00', 5);
insert into action values ('20300101T120000Z-abcdef', 1, 'app/a/slot/chat', 'delete', 'slots.delete',
    '2030-01-01T12:00:00.000+00:00', '2030-01-01T12:00:00.500+00:00', 'done', '', 'req_1 req_2');
insert into action values ('20300101T120000Z-abcdef', 2, 'app/a', 'archive', 'apps.archive',
    '2030-01-01T12:00:00.600+00:00', null, null, null, null);
"""


def make_version_1(path: Path, *, with_run: bool = False) -> None:
    """Create a journal of version 1; `with_run` adds a run with a finished and an unfinished action."""
    with closing(sqlite3.connect(path)) as database:
        database.executescript(_VERSION_1 + (_RUN if with_run else ""))


def changes_of(memory: ControlPlaneState) -> int:
    """Return how many rows the connection of a state file has changed since it was opened."""
    database = memory.journal.database
    assert isinstance(database, sqlite3.Connection)
    return database.total_changes
