"""The database with the state fails while watch runs: nothing is written, the page works, and it recovers by itself."""

from __future__ import annotations

import asyncio
import io
import random
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import httpx
import pytest
from tests.support.controller_http import AUTHORIZED, app_client
from tests.support.controllers import FastClock, RunningController, manifest, plane_at, run_controller
from tests.support.local_app import TransportWrapper
from tests.support.plane import Plane
from tests.support.postgres import PostgresServer
from tests.support.proxies import TcpProxy, run_tcp_proxy

from octosync.errors import OctosyncError, StateUnavailable, Unavailable
from octosync.model import Status
from octosync.octomil import Connection, Octomil
from octosync.state import Journal, WatchState, parse_location
from octosync.watch.log import Log
from octosync.watch.loop.circuit_breaker import CircuitBreaker
from octosync.watch.status import AppState, CircuitReason

POLICIES = {"private": "local_only", "local_first": "auto"}  # with the routing modes that they stand for


@dataclass
class Database:
    """A database behind a proxy."""

    server: PostgresServer
    name: str
    proxy: TcpProxy

    @property
    def url(self) -> str:
        """Its URL, through the proxy."""
        return self.server.url(self.name, port=self.proxy.port)

    def execute(self, statement: str) -> None:
        """Execute statements as the superuser."""
        self.server.execute(statement, self.name)

    def fail_with(self, code: str) -> None:
        """Let each statement that adds a run fail with an SQLSTATE."""
        self.execute(
            f"create function octosync.fail() returns trigger language plpgsql as $$ begin raise exception 'no' using "
            f"errcode = '{code}'; end $$; create trigger fail before insert on octosync.run execute function octosync.fail()"
        )

    def mend(self) -> None:
        """Undo everything."""
        self.proxy.restore()
        self.execute("drop function if exists octosync.fail() cascade; update octosync.version set version = 7")


FAILURES: dict[str, Callable[[Database], None]] = {
    "refuses connections": lambda database: database.proxy.refuse(),
    "does not respond": lambda database: database.proxy.hang(),
    "takes 5 s to respond": lambda database: database.proxy.delay(2.5),
    "ends all sessions": lambda database: database.execute(
        "select pg_terminate_backend(pid) from pg_stat_activity where usename = 'octosync' and datname = current_database()"
    ),
    "is read-only": lambda database: database.fail_with("25006"),
    "is full": lambda database: database.fail_with("53100"),
    "has a newer schema": lambda database: database.execute("update octosync.version set version = 8"),
}


@pytest.fixture
def database(postgres_server: PostgresServer) -> Iterator[Database]:
    name = postgres_server.create_database(with_schema=True)
    with run_tcp_proxy(postgres_server.port) as proxy:
        yield Database(postgres_server, name, proxy)
    postgres_server.execute(f"drop database {name} with (force)")


class Lag:
    """For how many statements that got no response in time, a second each, the event loop was blocked."""

    def __init__(self) -> None:
        self.waits = 0

    async def measure(self) -> None:
        """Measure for ever."""
        while True:
            before = time.monotonic()
            await asyncio.sleep(0.01)
            self.waits += int(time.monotonic() - before + 0.1)


@contextmanager
def measured_lag() -> Iterator[Lag]:
    lag = Lag()
    task = asyncio.ensure_future(lag.measure())
    try:
        yield lag
    finally:
        task.cancel()


def mode_of(plane: Plane) -> str:
    (slot,) = plane.send("GET", "/apps/demo/slots")["slots"]
    return str(slot["serving_policy"]["routing_mode"])


async def outage(watch: RunningController, database: Database, fail: Callable[[Database], None]) -> None:
    """Let the database fail, commit a change meanwhile, and check what is written and shown."""
    before = mode_of(watch.plane)
    policy = next(policy for policy, mode in POLICIES.items() if mode != before)
    with measured_lag() as lag:
        fail(database)
        (watch.apps / "demo.json").write_text(manifest(slots={"chat": policy}))
        await watch.until(lambda: watch.status.circuit_open is CircuitReason.STATE_UNAVAILABLE)
        assert watch.app().state is not AppState.FAILING
        await check_page(watch)
        assert mode_of(watch.plane) == before
        database.mend()
        await watch.until(lambda: mode_of(watch.plane) == POLICIES[policy])
        await watch.until_in_sync()
    assert lag.waits < 2


async def check_page(watch: RunningController) -> None:
    """Check that page, status, metrics and probes respond and state the problem, and that a request of a person gets 503."""
    async with app_client(watch.controller.api, metrics=watch.controller.metrics.render) as client:
        (page, status, metrics, ready, healthy) = [
            await client.get(path) for path in ("/", "/api/status", "/metrics", "/readyz", "/healthz")
        ]
        assert "The database with the state can" in page.text
        assert str(status.json()["alarms"]["state_unavailable"]).startswith("postgresql://127.0.0.1:")
        assert status.json()["circuit"]["since"]
        assert 'octosync_circuit_open{reason="state_unavailable"} 1.0' in metrics.text
        assert (ready.status_code, healthy.status_code) == (200, 200)
        assert "journal" in ready.text
        held = await client.post("/hold?app=demo&for=1h&reason=incident", headers=AUTHORIZED)
        assert (held.status_code, held.json()["error"]["reference"]) == (503, "journal-unusable")
        assert not watch.status.holds


@asynccontextmanager
async def watching(folder: Path, database: Database) -> AsyncIterator[RunningController]:
    """Run a controller with its state in the database, and one app in sync."""
    clock = FastClock(20)
    (folder / "apps").mkdir()
    (folder / "apps/demo.json").write_text(manifest(slots={"chat": "local_first"}))
    with plane_at(clock) as plane:
        async with run_controller(folder, plane, clock, state=parse_location(database.url)) as watch:
            await watch.until_in_sync()
            yield watch


class FailingInTheMiddle(TransportWrapper):
    """Calls `fail` when the control plane has responded to the first deletion."""

    def __init__(self, fail: Callable[[], None]) -> None:
        self._fail: Callable[[], None] | None = fail

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request."""
        response = await self.inner.handle_async_request(request)
        if request.method == "DELETE" and self._fail is not None:
            self._fail()
            self._fail = None
        return response


PROTECTED = {"octosync.dev/protect": "true"}


async def test_what_was_written_is_recorded_later(tmp_path: Path, database: Database) -> None:
    """The database fails during a write that was approved: its outcome is shown, and recorded once the database is back.

    The write is not repeated, and the approval is used.
    """
    clock = FastClock(20)
    (tmp_path / "apps").mkdir()
    file = tmp_path / "apps/demo.json"
    file.write_text(manifest(slots={"chat": "local_first", "vision": "private"}, annotations=PROTECTED))
    transport = FailingInTheMiddle(database.proxy.refuse)
    with plane_at(clock) as plane:
        async with run_controller(
            tmp_path, plane, clock, state=parse_location(database.url), transport=transport
        ) as watch:
            await watch.until_in_sync()
            file.write_text(manifest(slots={"chat": "local_first"}, annotations=PROTECTED))
            await watch.until(lambda: watch.app().blocked)
            plane.log()
            watch.approve("protected")
            await watch.until(lambda: watch.status.circuit_open is CircuitReason.STATE_UNAVAILABLE)
            await watch.until(lambda: watch.logged("action")[-1]["action"] == "delete")
            assert watch.logged("action")[-1]["result"] == "done"
            database.mend()
            await watch.until_in_sync()
            assert sum(line.startswith("DELETE") for line in plane.log()) == 1
            (run, *_) = watch.journal.runs()
            assert (run.ended_at is not None, run.exit_code) == (True, 0)
            assert [action.status for action in watch.journal.actions(run.id)] == [Status.DONE]
    with Journal(parse_location(database.url)) as journal:
        (plane_key,) = WatchState(journal).planes()
        memory = WatchState(journal).for_control_plane(plane_key)
        assert memory.approvals() == ()
        assert [slot.capability for slot in memory.baseline()["demo"].slots] == ["chat"]


async def test_a_request_whose_commit_is_uncertain_is_undone(tmp_path: Path, database: Database) -> None:
    """The database stores a hold, but its response is lost: the person gets an error, and there is no hold afterwards."""
    async with watching(tmp_path, database) as watch:
        database.proxy.lose_response(b"COMMIT")
        with pytest.raises(StateUnavailable):
            watch.controller.api.hold("demo", timedelta(hours=1), "incident")
        stored = "select app from octosync.hold"
        assert database.server.execute(stored, database.name) == [("demo",)]
        assert not watch.status.holds
        await watch.until(lambda: database.server.execute(stored, database.name) == [])
        watch.controller.api.hold("demo", timedelta(hours=1), "incident")
        assert watch.status.holds


async def test_octosync_survives_an_outage_of_the_database(tmp_path: Path, database: Database) -> None:
    """Nothing is written meanwhile, the page states it, and the change is applied once it is back, without a restart."""
    async with watching(tmp_path, database) as watch:
        await outage(watch, database, FAILURES["refuses connections"])


@pytest.mark.failover
async def test_octosync_survives_other_failures_of_the_database(tmp_path: Path, database: Database) -> None:
    """The same is true of a database that hangs, is slow, read-only or full, or that a newer version has migrated."""
    async with watching(tmp_path, database) as watch:
        for fail in FAILURES.values():
            await outage(watch, database, fail)


@pytest.mark.failover
async def test_a_slow_database_is_used(tmp_path: Path, database: Database) -> None:
    """With 0.2 s for each response, as from another continent, changes are applied, only later."""
    async with watching(tmp_path, database) as watch:
        database.proxy.delay(0.1)
        (watch.apps / "demo.json").write_text(manifest(slots={"chat": "private"}))
        await watch.until(lambda: mode_of(watch.plane) == "local_only")
        await watch.until_in_sync()
        assert not watch.logged("everything_waits")


class SetClock(FastClock):
    """A clock that only moves when a test moves it. The time of day may also be set back."""

    set_back = timedelta()

    def monotonic(self) -> float:
        """Return the seconds by which the test has moved it."""
        return self._skipped

    def now(self) -> datetime:
        """Return the time of day."""
        return super().now() - self.set_back


class NoNotifications:
    """No receivers."""

    def add_failure(self, now: datetime, error: OctosyncError) -> None:
        """Send nothing."""

    def resolve(self) -> None:
        """Send nothing."""


async def test_an_outage_of_the_database_begins_with_its_first_failure() -> None:
    """A leader hands over some seconds later, whatever the time of day, and not at once after an outage of the control plane."""
    clock = SetClock()
    remote, log = Octomil(Connection(url="http://127.0.0.1:1")), Log(io.StringIO(), clock)
    breaker = CircuitBreaker(remote, NoNotifications(), clock=clock, chance=random.Random(7), log=log)  # noqa: S311 — jitter
    breaker.record_failure(Unavailable("unreachable", "no route"))
    clock.skip(timedelta(hours=1))
    breaker.record_failure(StateUnavailable("journal-unusable", "refused"))
    assert breaker.seconds_open_for(CircuitReason.STATE_UNAVAILABLE) == 0
    clock.skip(timedelta(seconds=7))
    clock.set_back = timedelta(hours=1)
    assert breaker.seconds_open_for(CircuitReason.STATE_UNAVAILABLE) == 7
