"""Fail-over with real processes: two replicas of `octosync watch`, a control plane, PostgreSQL, and faults in each of them.

The clocks of the replicas differ by an hour, if faketime is installed. A round has a fault, a commit and changes by hand: the
leader is killed, suspended or stopped, or cut off from the database or from the control plane, or the database is restarted.
`OCTOSYNC_SEED` repeats the run that a failure reports. `OCTOSYNC_FAILOVER_ROUNDS` is the number of rounds in each run.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import shutil
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any, Final

import pytest
from tests.support.postgres import PostgresServer, private_server, require_postgres
from tests.support.processes import PATIENCE, Parent, WatchProcess, until
from tests.support.proxies import Exchange, Proxy, TcpProxy, repeated_writes, run_proxy, run_tcp_proxy
from tests.support.watch_bench import QUICK, Bench
from tests.support.watched_fleet import Fleet, failed_writes, is_ours

if TYPE_CHECKING:
    from psycopg import Connection

pytestmark = pytest.mark.failover

ROUNDS: Final = int(os.environ.get("OCTOSYNC_FAILOVER_ROUNDS") or 5)
TAKES_OVER_WITHIN: Final = 15.0  # seconds, as the documentation promises
PLANE: Final = "http://control-plane.example"
SUSPENDED_FOR: Final = 60.0  # seconds, once in each run


class _SharedExchanges(list[Exchange]):
    """The exchanges of one replica. They are also appended to those of all replicas, in order of arrival."""

    def __init__(self, everyone: list[Exchange]) -> None:
        super().__init__()
        self._everyone = everyone

    def append(self, exchange: Exchange) -> None:
        self._everyone.append(exchange)
        super().append(exchange)


class _SkewedClock:
    """A parent of processes whose time of day is an hour ahead."""

    def __init__(self) -> None:
        self._processes: dict[int, subprocess.Popen[bytes]] = {}

    def start(self, argv: tuple[str, ...], cwd: Path, env: Mapping[str, str], out: Path, err: Path) -> int:
        """Start `octosync` and return its pid."""
        command = ("faketime", "-f", "+1h", sys.executable, "-m", "octosync", *argv)
        kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
        with out.open("wb") as stdout, err.open("wb") as stderr:
            process = subprocess.Popen(
                command, cwd=cwd, env={**kept, **env, "DONT_FAKE_MONOTONIC": "1"}, stdout=stdout, stderr=stderr
            )
        self._processes[process.pid] = process
        return process.pid

    def code_of(self, pid: int) -> int | None:
        """Return the exit code; None while it runs."""
        return self._processes[pid].poll()


@dataclass
class Replica:
    """One replica: its process, and its own ways to the database and to the control plane."""

    watch: WatchProcess
    database: TcpProxy
    plane: Proxy

    @property
    def writes(self) -> int:
        """How many writes it has sent."""
        return len(self.plane.writes())

    @property
    def stood_by(self) -> int:
        """How often it has noticed that another replica leads."""
        return len(self.watch.logged("standby"))


@dataclass
class World:
    """Two replicas with all that they use. `gaps` are the seconds from each fault until another replica led."""

    bench: Bench
    server: PostgresServer
    database: str
    fleet: Fleet
    replicas: list[Replica] = field(default_factory=list)
    gaps: list[tuple[str, float]] = field(default_factory=list)
    serving: AsyncExitStack = field(default_factory=AsyncExitStack)
    skewed: Parent | None = None
    _connection: Connection[Any] | None = None

    async def add_replica(self) -> Replica:
        """Start a replica with proxies of its own."""
        plane = await self.serving.enter_async_context(run_proxy(self.bench.plane.url))
        plane.exchanges = _SharedExchanges(self.bench.proxy.exchanges)
        database = self.serving.enter_context(run_tcp_proxy(self.server.port))
        url = self.server.url(self.database, port=database.port)
        # Both replicas name the same URL, and each reaches it through a proxy of its own.
        watch = self.bench.watch(*("--url", PLANE, "--insecure"), *QUICK, OCTOSYNC_STATE=url, http_proxy=plane.url)
        replica = Replica(watch, database, plane)
        self.replicas.append(replica)
        return replica

    async def replace(self, replica: Replica) -> None:
        """Start a process in place of one that has ended."""
        await replica.watch.wait()
        self.replicas.remove(replica)
        await self.add_replica()

    def leader(self) -> Replica | None:
        """Return the replica that holds the lease; None if there is none, or no database."""
        import psycopg

        try:
            if self._connection is None or self._connection.closed:
                self._connection = self.server.connect(self.database)
                self.serving.callback(self._connection.close)
            rows = self._connection.execute(
                "select (holder::json ->> 'pid')::int from octosync.lease "
                "where kind = 'watch' and expires > clock_timestamp()"
            ).fetchall()
        except psycopg.Error:
            return None
        return next((replica for replica in self.replicas if (replica.watch.pid,) in rows), None)

    async def until_led(self, *, but: Replica | None = None) -> Replica:
        """Wait until a replica leads, another than the given one."""

        def is_led() -> bool:
            leader = self.leader()
            return leader is not None and leader is not but

        await until(is_led)
        leader = self.leader()
        assert leader is not None
        return leader

    async def until_replaced(self, fault: str, leader: Replica, since: float) -> Replica:
        """Wait until another replica leads, and record how long that took since the fault."""
        successor = await self.until_led(but=leader)
        self.gaps.append((fault, monotonic() - since))
        return successor


async def _kill(world: World, leader: Replica) -> None:
    began = monotonic()
    leader.watch.send(signal.SIGKILL)
    await world.until_replaced("kill", leader, began)
    await world.replace(leader)


async def _stop(world: World, leader: Replica) -> None:
    began = monotonic()
    leader.watch.send(signal.SIGTERM)
    await world.until_replaced("stop", leader, began)
    assert await leader.watch.wait() == 0
    await world.replace(leader)


async def _suspend(world: World, leader: Replica, seconds: float = 0) -> None:
    """Suspend the leader until another one leads, or for longer. When it continues, it sends no write."""
    began = monotonic()
    leader.watch.send(signal.SIGSTOP)
    await world.until_replaced("suspend", leader, began)
    await asyncio.sleep(max(0.0, began + seconds - monotonic()))
    writes, stood_by = leader.writes, leader.stood_by
    leader.watch.send(signal.SIGCONT)
    await until(lambda: leader.stood_by > stood_by, leader.watch)
    assert leader.writes == writes


async def _suspend_for_long(world: World, leader: Replica) -> None:
    await _suspend(world, leader, SUSPENDED_FOR)


async def _hang_database(world: World, leader: Replica) -> None:
    await _without_database(world, leader, leader.database.hang)


async def _refuse_database(world: World, leader: Replica) -> None:
    await _without_database(world, leader, leader.database.refuse)


async def _without_database(world: World, leader: Replica, fail: Callable[[], None]) -> None:
    """Cut the leader off from the database. Its page goes on, and it sends no write after its lease has ended."""
    began = monotonic()
    await asyncio.to_thread(fail)
    await world.until_replaced(fail.__name__, leader, began)
    writes = leader.writes
    assert leader.watch.get("/healthz").status_code == 200
    assert leader.writes == writes
    await asyncio.to_thread(leader.database.restore)


async def _cut_control_plane(world: World, leader: Replica) -> None:
    """Cut the leader off from the control plane: a replica that reaches it leads."""
    await leader.plane.stop_listening()
    await world.until_led(but=leader)
    await leader.plane.listen()


async def _restart_database(world: World, _: Replica) -> None:
    """Restart the database as after a crash: a replica leads once it is back."""
    await asyncio.to_thread(world.server.restart, "immediate")
    began = monotonic()
    await world.until_led()
    world.gaps.append(("restart", monotonic() - began))


async def _cut_standby(world: World, leader: Replica) -> None:
    """Cut the standby off from the database: nothing changes."""
    (standby,) = (replica for replica in world.replicas if replica is not leader)
    await asyncio.to_thread(standby.database.refuse)
    await asyncio.sleep(1)
    assert world.leader() is leader
    await asyncio.to_thread(standby.database.restore)


_FAULTS: Final[tuple[Callable[[World, Replica], Awaitable[None]], ...]] = (
    _kill,
    _kill,
    _stop,
    _suspend,
    _hang_database,
    _refuse_database,
    _cut_control_plane,
    _restart_database,
    _cut_standby,
)


@asynccontextmanager
async def _world(bench: Bench, seed: int) -> AsyncIterator[World]:
    require_postgres()
    with private_server() as server:
        chance = random.Random(seed)  # noqa: S311 — choices of a test
        world = World(bench, server, server.create_database(), Fleet(chance))
        world.skewed = _SkewedClock() if shutil.which("faketime") else None
        async with world.serving:
            world.fleet.declare_all(bench)
            for _ in range(2):
                replica = await world.add_replica()
                await replica.watch.wait_until_started()
            try:
                yield world
            finally:
                for replica in world.replicas:
                    print(replica.watch.err.name, replica.watch.stderr[-20_000:], sep="\n")  # noqa: T201 — shown with a failure
                    await replica.watch.stop(signal.SIGKILL)


async def _round(world: World, number: int, fault: Callable[[World, Replica], Awaitable[None]]) -> None:
    """Let one fault happen, with a commit and changes by hand before, in the middle of it or after it."""
    chance = world.fleet.chance
    leader = await world.until_led()
    happening = asyncio.ensure_future(fault(world, leader))
    await asyncio.sleep(chance.choice((0.0, 0.5, 5.0)))
    world.fleet.commit(world.bench, number)
    await world.fleet.interfere(world.bench, number)
    await happening


async def _changes(bench: Bench) -> list[object]:
    """Return what differs between the manifests and the control plane."""
    plan = bench.start("plan", "-f", "apps", "--url", bench.proxy.url, "-o", "json")
    await plan.wait()
    changes: list[object] = json.loads(plan.stdout)["resource_changes"]
    return changes


@dataclass
class _ReadAgain:
    """The condition that a leader has read every app after a request to reconcile.

    Contested objects are left alone until then. While a replica begins to lead, the request is refused, or part of what it reads
    then.
    """

    world: World
    reads: dict[int, int] = field(default_factory=dict)  # of each replica, by its pid, when it was asked first

    def __call__(self) -> bool:
        leader = self.world.leader()
        if leader is None or not leader.watch.status["ready"]:
            return False
        before = self.reads.setdefault(leader.watch.pid, len(leader.watch.logged("full_read")))
        return leader.watch.post("/reconcile").is_success and len(leader.watch.logged("full_read")) > before


@pytest.mark.parametrize("run", range(10))
@pytest.mark.timeout(1800)
async def test_rounds_of_faults(bench: Bench, run: int) -> None:
    """After rounds of faults, commits and changes by hand, all is as declared and nothing was done twice.

    After each fault, another replica led within 15 seconds.
    """
    seed = int(os.environ.get("OCTOSYNC_SEED") or random.SystemRandom().getrandbits(32))
    print(f"OCTOSYNC_SEED={seed}")  # noqa: T201 — shown with a failure
    async with _world(bench, seed + run) as world:
        faults = [world.fleet.chance.choice(_FAULTS) for _ in range(ROUNDS)]
        faults[world.fleet.chance.randrange(ROUNDS)] = _suspend_for_long
        for number, fault in enumerate(faults):
            await _round(world, number, fault)
        await until(_ReadAgain(world))
        leader = await world.until_led()
        await leader.watch.wait_until_in_sync()
        end = monotonic() + PATIENCE
        while await _changes(bench):  # the last commit may not be loaded yet
            assert monotonic() < end, leader.watch.stderr[-3000:]
        assert repeated_writes(bench.proxy.exchanges, is_ours) == []
        assert failed_writes(bench.proxy.exchanges) <= {("targets", 409)}
        assert [gap for gap in world.gaps if gap[1] > TAKES_OVER_WITHIN] == []
        print(world.gaps)  # noqa: T201 — shown with `-rP`
