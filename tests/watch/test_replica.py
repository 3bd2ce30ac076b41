"""Replicas that share a state: one leads, another takes over, and none writes that doesn't lead."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Self

import httpx
import pytest
from tests.support.controllers import FastClock, RunningReplica, manifest, plane_at, run_replica
from tests.support.local_app import TransportWrapper
from tests.support.plane import Plane, writes_in
from tests.support.postgres import USER, PostgresServer
from tests.support.proxies import TcpProxy, run_tcp_proxy
from tests.support.repositories import Repo

from octosync.errors import OctosyncError
from octosync.model import Secret
from octosync.state import StateUrl, parse_location
from octosync.watch.replica import _ATTEMPTS_EVERY, _HANDOVER, _TERM_BACKOFF
from octosync.watch.status import ReplicaRole

TTL = 0.4  # seconds
PRIVATE, AUTO = manifest(slots={"chat": "private"}), manifest(slots={"chat": "local_first"})


@dataclass
class Shared:
    """A control plane and a database, to which each replica has a proxy of its own."""

    plane: Plane
    clock: FastClock
    server: PostgresServer
    database: str
    folder: Path
    proxies: dict[str, TcpProxy] = field(default_factory=dict)
    stack: AsyncExitStack = field(default_factory=AsyncExitStack)

    async def __aenter__(self) -> Self:
        await self.stack.__aenter__()
        return self

    async def __aexit__(self, *error: object) -> None:
        for proxy in self.proxies.values():
            proxy.restore()
        await self.stack.aclose()

    async def start(
        self,
        name: str,
        text: str | None = AUTO,
        *,
        ttl: float = TTL,
        refused: bool = False,
        is_journal_direct: bool = False,
        is_lease_direct: bool = False,
        **arguments: Any,
    ) -> RunningReplica:
        """Start a replica with one manifest, or with its folder as it is. `refused`: at first without database.

        `is_journal_direct`: only its lease is behind the proxy; `is_lease_direct`: only its journal is.
        """
        proxy = self.stack.enter_context(run_tcp_proxy(self.server.port))
        self.proxies[name] = proxy
        if refused:
            proxy.refuse()
        if text is not None:
            (self.folder / name / "apps").mkdir(parents=True)
            (self.folder / name / "apps" / "demo.json").write_text(text)
        url = parse_location(self.server.url(self.database, port=proxy.port))
        assert isinstance(url, StateUrl)
        direct = parse_location(self.server.url(self.database))
        replica = run_replica(
            self.folder / name,
            self.plane,
            self.clock,
            direct if is_journal_direct else url,
            ttl=ttl,
            leases=direct if is_lease_direct else url,
            state=direct,
            interval=timedelta(seconds=2),
            **arguments,
        )
        return await self.stack.enter_async_context(replica)


@pytest.fixture
def shared(tmp_path: Path, postgres_server: PostgresServer, request: pytest.FixtureRequest) -> Iterator[Shared]:
    """Return the parts of the test. Its parameter is the speed of the clock."""
    clock, database = FastClock(getattr(request, "param", 10)), postgres_server.create_database(with_schema=True)
    with plane_at(clock) as plane:
        yield Shared(plane, clock, postgres_server, database, tmp_path)
    postgres_server.execute(f"drop database {database} with (force)")


def leads(replica: RunningReplica) -> bool:
    return replica.status.replica.role is ReplicaRole.LEADER and not replica.status.replica.problem


def works(replica: RunningReplica) -> bool:
    """Return whether a replica leads, and its app is in sync."""
    return leads(replica) and bool(replica.status.apps) and replica.is_in_sync


def why_waiting(replica: RunningReplica) -> str:
    """Return what the app waits for."""
    return "".join(app.why_waiting for app in replica.status.apps.values())


async def test_a_replica_that_cannot_start_a_term_leaves_the_lease_to_others(shared: Shared) -> None:
    """A row that it can't read is stated once. It tries again from time to time, and needs no restart."""
    async with shared:
        first = await shared.start("first")
        await first.until(lambda: works(first))
        first.controller.stop.set()
        await asyncio.wait_for(first.task, 10)
        shared.server.execute("update octosync.checkpoint set position = '{'", shared.database)
        second = await shared.start("second")
        await second.until(lambda: len(second.logged("leading")) > 1)
        await second.until(lambda: second.status.replica.problem)
        assert len(second.logged("state_unusable")) == 1
        shared.server.execute("update octosync.checkpoint set position = '[]'", shared.database)
        await second.until(lambda: works(second))
        assert not second.status.replica.problem


def test_a_replica_leads_soon_however_often_its_terms_have_failed() -> None:
    """A database that was slow for long is used again within the 15 seconds of any takeover."""
    assert max(_TERM_BACKOFF.longest, _HANDOVER) + _ATTEMPTS_EVERY < 15


class SlowWrites(TransportWrapper):
    """Holds writes back on their way to the control plane, which carries them out later, even if nothing waits for them."""

    def __init__(self) -> None:
        self.held = asyncio.Event()
        self.released = asyncio.Event()
        self.late: set[asyncio.Task[httpx.Response]] = set()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Hold a write back."""
        if request.method == "GET":
            return await self.inner.handle_async_request(request)
        task = asyncio.ensure_future(self._later(request))
        self.late.add(task)
        self.held.set()
        return await asyncio.shield(task)

    async def _later(self, request: httpx.Request) -> httpx.Response:
        await self.released.wait()
        return await self.inner.handle_async_request(request)


async def test_a_standby_takes_over_from_a_replica_that_stops(shared: Shared) -> None:
    """It takes the released lease at once, and continues with holds and approvals; what is in sync is not written again.

    If its connection breaks before it learns that it has the lease, it doesn't wait until that expires.
    """
    async with shared:
        first = await shared.start("first", ttl=600)
        await first.until(lambda: works(first))
        first.controller.api.hold("demo", timedelta(hours=1), "incident")
        second = await shared.start("second", ttl=600, is_journal_direct=True)
        await second.until(lambda: second.status.replica.leader == first.status.replica.name)
        assert not leads(second)
        assert second.status.replica.address == "127.0.0.1:1"
        with pytest.raises(OctosyncError, match="does not lead") as refused:
            second.controller.api.suspend("incident")
        assert refused.value.reference == "not-leading"
        first.plane.log()
        shared.proxies["second"].lose_response(b"COMMIT")
        first.controller.stop.set()
        await asyncio.wait_for(first.task, 10)
        await second.until(lambda: works(second))
        assert second.status.replica.epoch == 4  # released, taken, and taken again
        assert [hold.reason for hold in second.status.holds] == ["incident"]
        assert not writes_in(second.requests())
        assert first.status.replica.role is ReplicaRole.STANDBY


async def test_a_new_leader_with_an_older_checkout_does_not_undo_the_last_commit(shared: Shared) -> None:
    """The checkouts of two replicas are updated at different times. The app waits until the older one is updated."""
    repo = Repo.init(shared.folder / "first")
    repo.write("apps/demo.json", AUTO)
    earlier = repo.commit()
    repo.write("apps/demo.json", PRIVATE)
    repo.commit()
    older = Repo(shared.folder / "second")
    repo.git("clone", "-q", ".", str(older.root))
    older.git("checkout", "-q", "--detach", earlier)
    async with shared:
        first = await shared.start("first", None)
        await first.until(lambda: works(first))
        second = await shared.start("second", None, longest_request=1_000_000.0)
        first.plane.log()
        first.controller.stop.set()
        await asyncio.wait_for(first.task, 10)
        await second.until(lambda: leads(second) and "an update of the checkout" in why_waiting(second))
        assert not writes_in(second.requests())
        older.git("checkout", "-q", "--detach", "origin/HEAD")
        await second.until(lambda: works(second))
        assert not writes_in(second.requests())


async def test_replicas_with_different_clocks_agree_about_a_hold(shared: Shared) -> None:
    """The clock of the database decides when it ends, not that of a machine that is two hours ahead."""
    async with shared:
        first = await shared.start("first")
        await first.until(lambda: works(first))
        hold = first.controller.api.hold("demo", timedelta(hours=1), "incident")
        second = await shared.start("second", skew=timedelta(hours=2))
        first.controller.stop.set()
        await second.until(lambda: works(second))
        assert second.status.holds == (hold,)
        (differs,) = second.logged("clock_differs")
        assert differs["seconds"] == -7200.0
        assert not first.logged("clock_differs")


async def test_a_leader_that_stops_finishes_its_writes_first(shared: Shared) -> None:
    """It keeps the lease until the control plane has responded, however long that takes, and leaves no action open."""
    slow = SlowWrites()
    async with shared:
        first = await shared.start("first", transport=slow)
        await slow.held.wait()
        second = await shared.start("second")
        await second.until(lambda: second.status.replica.leader)
        first.controller.stop.set()
        await asyncio.sleep(2 * TTL)
        assert not leads(second)
        slow.released.set()
        await asyncio.wait_for(first.task, 10)
        await second.until(lambda: works(second))
        created = [line for line in writes_in(second.requests()) if line == "POST /api/v1/apps"]
        assert len(created) == 1
        actions = [action for run in second.journal.runs() for action in second.journal.actions(run.id)]
        assert all(action.ended_at for action in actions)


class Cut(TransportWrapper):
    """A control plane that can't be reached while `is_cut`."""

    is_cut = False

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Refuse to connect while it is cut off."""
        if self.is_cut:
            raise httpx.ConnectError("cut off", request=request)
        return await self.inner.handle_async_request(request)


async def test_a_leader_without_the_control_plane_hands_over_to_one_with_it(shared: Shared) -> None:
    """While no replica reaches the control plane, the leader stays. As soon as a standby reaches it, that one leads."""
    async with shared:
        cuts = Cut(), Cut()
        first = await shared.start("first", transport=cuts[0], connection={"attempts": 1})
        await first.until(lambda: works(first))
        second = await shared.start("second", PRIVATE, transport=cuts[1], connection={"attempts": 1})
        await second.until(lambda: second.status.replica.leader)
        cuts[0].is_cut = cuts[1].is_cut = True
        await first.until(lambda: first.controller.status().outage)
        await first.wait(timedelta(seconds=20))
        assert leads(first)
        cuts[1].is_cut = False
        await second.until(lambda: works(second))
        assert first.logged("lease_handed_over")
        await first.until(lambda: first.status.replica.leader == second.status.replica.name)


async def start_with_leader_that_can_record_nothing(shared: Shared) -> tuple[RunningReplica, RunningReplica]:
    """Start a leader and a standby; the leader reaches the database only for its lease when a change has to be written."""
    first = await shared.start("first", is_lease_direct=True)
    await first.until(lambda: works(first))
    second = await shared.start("second", PRIVATE)
    shared.proxies["first"].refuse()
    (first.apps / "demo.json").write_text(PRIVATE)
    return first, second


async def test_a_leader_that_can_record_nothing_hands_over(shared: Shared) -> None:
    """It can renew its lease, so no replica could take over, and nothing would be written."""
    async with shared:
        first, second = await start_with_leader_that_can_record_nothing(shared)
        await second.until(lambda: works(second))
        assert first.logged("lease_handed_over")
        await first.until(lambda: first.status.replica.leader == second.status.replica.name)


@pytest.mark.failover
@pytest.mark.parametrize("shared", [1], indirect=True)
async def test_a_leader_that_has_handed_over_shows_who_leads_next(shared: Shared) -> None:
    """It leaves the lease to others for some seconds, and does not wait for their end to forward requests to the leader."""
    async with shared:
        first, second = await start_with_leader_that_can_record_nothing(shared)
        await first.until(lambda: first.status.replica.leader == second.status.replica.name)
        handed_over = datetime.fromisoformat(first.logged("lease_handed_over")[-1]["@timestamp"])
        assert shared.clock.now() - handed_over < timedelta(seconds=_HANDOVER)


async def test_a_leader_that_is_cut_off_sends_no_write(shared: Shared) -> None:
    """Its lease expires while another takes it. Meanwhile, and when it is back, it writes nothing: it is a standby."""
    async with shared:
        first = await shared.start("first")
        await first.until(lambda: works(first))
        first.requests()
        second = await shared.start("second", PRIVATE)
        shared.proxies["first"].refuse()
        (first.apps / "demo.json").write_text(manifest(name="Changed by the former leader"))
        await second.until(lambda: works(second))
        log = writes_in(shared.plane.log())
        shared.proxies["first"].restore()
        await first.until(lambda: first.status.replica.leader == second.status.replica.name)
        assert first.logged("lease_lost")
        (first.apps / "demo.json").write_text(manifest(name="Changed again"))
        await second.wait(timedelta(minutes=1))
        assert works(second)
        assert [*log, *writes_in(shared.plane.log())] == ["PUT /api/v1/apps/demo/slots/chat"]
        assert shared.plane.send("GET", "/apps/demo")["name"] == "Demo"


async def test_nothing_is_recorded_or_sent_under_an_older_epoch(shared: Shared) -> None:
    """The clock of the database may jump: then a lease is taken before its former holder can know that."""
    async with shared:
        first = await shared.start("first", ttl=60, is_journal_direct=True)
        await first.until(lambda: works(first))
        shared.proxies["first"].hang()
        first.requests()
        shared.server.execute("update octosync.lease set epoch = epoch + 1", shared.database)
        (first.apps / "demo.json").write_text(PRIVATE)
        await first.until(lambda: first.status.state_unavailable)
        assert "lost its lease" in first.status.state_unavailable
        assert not writes_in(first.requests())
        runs = first.journal.runs()
        assert [run.id for run in runs if any(not action.ended_at for action in first.journal.actions(run.id))] == []


async def test_a_leader_without_a_rival_continues_after_an_outage(shared: Shared) -> None:
    """No other replica could take its lease: it renews it, and goes on in the same term, with all that it knows."""
    async with shared:
        first = await shared.start("first")
        await first.until(lambda: works(first))
        epoch = first.status.replica.epoch
        first.requests()
        shared.proxies["first"].refuse()
        (first.apps / "demo.json").write_text(PRIVATE)
        await first.until(lambda: first.status.replica.problem)
        assert first.status.apps["demo"].slug == "demo"
        with pytest.raises(OctosyncError) as refused:
            first.controller.api.suspend("incident")
        assert refused.value.retryable
        with pytest.raises(OctosyncError) as again:
            first.controller.api.suspend("incident")
        assert again.value is not refused.value  # its traceback would grow with each request
        assert not writes_in(first.requests())
        shared.proxies["first"].restore()
        await first.until(lambda: leads(first) and "PUT /api/v1/apps/demo/slots/chat" in writes_in(first.requests()))
        await first.until(lambda: works(first))
        assert first.status.replica.epoch == epoch
        assert not first.logged("lease_lost")


async def test_a_leader_states_why_it_cannot_renew_its_lease(shared: Shared) -> None:
    """Without the right to do so, it writes nothing. Its status, its log and errors of requests have that reason."""
    async with shared:
        first = await shared.start("first")
        await first.until(lambda: works(first))
        shared.server.execute(f"revoke update on octosync.lease from {USER}", shared.database)
        await first.until(lambda: first.status.state_unavailable)
        (first.apps / "demo.json").write_text(PRIVATE)
        await first.until(lambda: not first.is_in_sync)
        await first.wait(timedelta(seconds=20))
        assert "permission denied for table lease" in first.status.state_unavailable
        with pytest.raises(OctosyncError, match="permission denied for table lease") as refused:
            first.controller.api.suspend("incident")
        assert refused.value.retryable
        assert {"permission denied" in event["@message"] for event in first.logged("everything_waits")} == {True}
        shared.proxies["first"].refuse()  # the reason changes, and so does what is shown
        await first.until(lambda: "permission denied" not in first.status.replica.problem)
        shared.proxies["first"].restore()
        shared.server.execute(f"grant update on octosync.lease to {USER}", shared.database)
        await first.until(lambda: works(first))


async def test_a_replica_starts_without_the_database(shared: Shared) -> None:
    """Its status states the problem, and it leads as soon as the database can be used."""
    async with shared:
        first = await shared.start("first", refused=True)
        await first.until(lambda: first.status.replica.problem)
        assert first.status.replica.role is ReplicaRole.STANDBY
        assert not first.status.ready
        shared.proxies["first"].restore()
        await first.until(lambda: works(first))
        (unusable,) = first.logged("state_unusable")
        assert unusable["reference"] == "journal-unusable"


async def test_a_replica_with_another_state_key_is_not_ready(shared: Shared) -> None:
    """It could not take over, so it states that while another one leads, and once while none does."""
    async with shared:
        first = await shared.start("first")
        await first.until(lambda: works(first))
        shared.server.execute(
            "insert into octosync.plane (control_plane, org_id) values ('https://other.example', '')", shared.database
        )
        second = await shared.start("second", seal_key=Secret("another"))
        await second.until(lambda: second.status.replica.problem)
        assert second.status.replica.leader
        assert not second.status.ready
        first.controller.stop.set()
        await second.wait(timedelta(minutes=1))
        await second.until(lambda: not second.status.replica.leader)
        await second.wait(timedelta(minutes=1))
        assert len(second.logged("state_unusable")) == 1
        assert not second.status.ready


async def test_a_replica_waits_for_its_version_of_the_schema(shared: Shared) -> None:
    """A newer schema is a problem like any other: it is shown, and needs no restart once the replica can use it."""
    async with shared:
        first, second = await shared.start("first"), await shared.start("second")
        await first.until(lambda: works(first) or works(second))
        shared.server.execute("update octosync.version set version = version + 1", shared.database)
        for replica in (first, second):
            await replica.until(lambda replica=replica: "schema" in replica.status.replica.problem)  # type: ignore[misc]
            assert not leads(replica)
        shared.server.execute("update octosync.version set version = version - 1", shared.database)
        await second.until(lambda: works(first) or works(second))


async def test_a_write_under_way_is_not_done_twice(shared: Shared) -> None:
    """The new leader reads the app, and writes only when the former leader's request can't be under way any more."""
    slow = SlowWrites()
    async with shared:
        first = await shared.start("first", transport=slow)
        await slow.held.wait()
        second = await shared.start("second", longest_request=60.0)
        shared.proxies["first"].refuse()
        await second.until(lambda: leads(second) and second.app().why_waiting)
        assert "another replica" in second.app().why_waiting
        assert not writes_in(second.requests())
        shared.proxies["first"].restore()
        await first.until(lambda: first.logged("lease_lost"))
        slow.released.set()
        await asyncio.wait(slow.late)
        await second.wait(timedelta(minutes=2))
        await second.until(lambda: works(second))
        writes = writes_in(second.requests())
        assert sorted(set(writes)) == sorted(writes)
        actions = [action for run in second.journal.runs() for action in second.journal.actions(run.id)]
        assert [action.operation for action in actions if action.ended_at is None] == ["apps.create"]
