"""The tests' shared fixtures: the state in a file and in PostgreSQL, an open state, and the state of one control plane."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.support.postgres import PostgresServer
from tests.support.states import ORG

from octosync.plan import ControlPlane
from octosync.state import ControlPlaneState, Journal, StateLocation, StateUrl, WatchState, parse_location


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state.db"


@pytest.fixture(scope="session")
def _emptied(postgres_server: PostgresServer) -> Iterator[Callable[[], StateUrl]]:
    """Yield a function that empties the tables of one database, which costs a twentieth of creating another one."""
    name = postgres_server.create_database()
    url = parse_location(postgres_server.url(name))
    assert isinstance(url, StateUrl)
    with Journal(url), postgres_server.connect(name) as superuser:
        tables = superuser.execute("select tablename from pg_tables where schemaname = 'octosync'").fetchall()
        rows = [f"delete from octosync.{table}" for (table,) in tables if table not in {"version", "seal"}]  # noqa: S608 — our names
        statements = "; ".join([*rows, "update octosync.seal set key_check = null"]).encode()
        superuser.execute("set session_replication_role = replica")  # in any order, despite foreign keys

        def emptied() -> StateUrl:
            superuser.execute(statements)
            return url

        yield emptied


@pytest.fixture(params=["file", "postgres"])
def location(request: pytest.FixtureRequest, path: Path) -> StateLocation:
    """Return an empty state, in turn as a file and as a database. `on_file` limits a test to the file."""
    if request.param == "file":
        return path
    emptied: Callable[[], StateUrl] = request.getfixturevalue("_emptied")
    return emptied()


@pytest.fixture
def state(location: StateLocation) -> Iterator[WatchState]:
    with Journal(location) as journal:
        yield WatchState(journal)


@pytest.fixture
def memory(state: WatchState) -> ControlPlaneState:
    return state.for_control_plane(ControlPlane(url="https://octomil.example/api/v1", org_id=ORG))
