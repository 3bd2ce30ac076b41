"""The workers: resyncs pause while a commit is loaded, and never for long."""

from __future__ import annotations

import asyncio
import io
import random
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta

from tests.support.virtual_time import run_in_virtual_time, virtual_clock

from octosync.errors import OctosyncError
from octosync.octomil import Connection, Octomil
from octosync.watch.log import Log
from octosync.watch.loop.circuit_breaker import CircuitBreaker
from octosync.watch.loop.queue import Priority, Queue, Work, Workers
from octosync.watch.status import NextStep, ReconcileResult


class LoopClock:
    """A clock with the event loop's time."""

    def monotonic(self) -> float:
        """Return the loop's time."""
        return virtual_clock()

    def now(self) -> datetime:
        """Return the loop's time as a date."""
        return datetime(2030, 1, 1, tzinfo=UTC) + timedelta(seconds=virtual_clock())

    async def sleep(self, seconds: float) -> None:
        """Wait."""
        await asyncio.sleep(seconds)


class NoNotifications:
    """No receivers."""

    def add_failure(self, now: datetime, error: OctosyncError) -> None:
        """Send nothing."""

    def resolve(self) -> None:
        """Send nothing."""


def reconciles_of(
    scenario: Callable[[Workers, Queue], Awaitable[None]], never_ends: str = ""
) -> list[tuple[str, float]]:
    """Run workers during a scenario; return which app was reconciled, and when that began.

    A reconcile takes a tenth of a second; that of the app `never_ends` hangs.
    """
    started: list[tuple[str, float]] = []

    async def main() -> None:
        clock = LoopClock()
        queue = Queue(clock)

        async def reconcile(work: Work) -> ReconcileResult:
            started.extend((slug, virtual_clock()) for slug in work.apps)
            await asyncio.sleep(1e6 if never_ends in work.apps else 0.1)
            return ReconcileResult(id="", apps=work.apps, next_step=NextStep.DONE)

        log = Log(io.StringIO(), clock)
        async with Octomil(Connection(url="http://127.0.0.1:1")) as remote:
            breaker = CircuitBreaker(remote, NoNotifications(), clock=clock, chance=random.Random(7), log=log)  # noqa: S311 — jitter
            workers = Workers(queue, reconcile, lambda *_: None, breaker=breaker, clock=clock, log=log)
            running = asyncio.ensure_future(workers.run())
            await scenario(workers, queue)
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)

    run_in_virtual_time(main())
    return started


def test_a_pause_is_for_resyncs_only() -> None:
    """While a commit is loaded, no resync begins. A changed app is reconciled at once, and the resync follows later."""

    async def scenario(workers: Workers, queue: Queue) -> None:
        workers.pause_resync(1.0)
        queue.add("reread", Priority.RESYNC)
        queue.add("changed", Priority.CHANGED)
        await asyncio.sleep(3)

    assert reconciles_of(scenario) == [("changed", 0.0), ("reread", 1.0)]


def test_a_pause_ends_with_the_load() -> None:
    """Once the commit is loaded, resyncs continue without waiting for the whole second."""

    async def scenario(workers: Workers, queue: Queue) -> None:
        workers.pause_resync(1.0)
        queue.add("reread", Priority.RESYNC)
        await asyncio.sleep(0.25)
        workers.continue_resync()
        await asyncio.sleep(1)

    assert reconciles_of(scenario) == [("reread", 0.25)]


def test_waiting_behind_a_large_commit_is_not_a_hang() -> None:
    """The time that a resync waits for changed apps does not count as its own. Without such apps it does."""
    ages: list[float] = []

    async def scenario(workers: Workers, queue: Queue) -> None:
        queue.add("hangs", Priority.RESYNC)
        for number in range(100):
            queue.add(f"app-{number}", Priority.CHANGED)
            await asyncio.sleep(0.09)
        ages.append(workers.longest)
        await asyncio.sleep(60)
        ages.append(workers.longest)

    reconciles_of(scenario, never_ends="hangs")
    behind, alone = ages
    assert behind <= 0.1
    assert 59 < alone < 61


def test_constant_file_changes_delay_resyncs_briefly() -> None:
    """A file that grows beside the manifests pauses resyncs for a second in five, not forever."""

    async def scenario(workers: Workers, queue: Queue) -> None:
        for number in range(100):
            workers.pause_resync(1.0)
            queue.add(f"app-{number}", Priority.RESYNC)
            await asyncio.sleep(0.1)

    started = [at for _, at in reconciles_of(scenario)]
    assert len(started) > 90
    assert not any(0.0 <= at < 1.0 for at in started)
