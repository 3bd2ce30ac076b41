"""The workers: re-reads rest while what changed is loaded, and never for long."""

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
from octosync.watch.loop.queue import Priority, Queue, Work
from octosync.watch.loop.workers import Workers
from octosync.watch.metrics import Metrics
from octosync.watch.status import NextStep, ReconcileResult


class LoopClock:
    """The loop's own time."""

    def monotonic(self) -> float:
        """Return the loop's time."""
        return virtual_clock()

    def now(self) -> datetime:
        """Return it as a time of day."""
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


def turns_of(story: Callable[[Workers, Queue], Awaitable[None]], never_ends: str = "") -> list[tuple[str, float]]:
    """Run workers while a story happens; return which app had a turn, and when it began.

    A turn takes a tenth of a second; that of the app `never_ends` hangs.
    """
    reconciler: list[tuple[str, float]] = []

    async def main() -> None:
        clock = LoopClock()
        queue = Queue(clock)

        async def reconcile(work: Work) -> ReconcileResult:
            reconciler.extend((slug, virtual_clock()) for slug in work.apps)
            await asyncio.sleep(1e6 if never_ends in work.apps else 0.1)
            return ReconcileResult(id="", apps=work.apps, next_step=NextStep.DONE)

        log = Log(io.StringIO(), clock)
        async with Octomil(Connection(url="http://127.0.0.1:1")) as remote:
            breaker = CircuitBreaker(remote, NoNotifications(), clock=clock, chance=random.Random(7), log=log)  # noqa: S311 — jitter
            workers = Workers(
                queue, reconcile, lambda *_: None, breaker=breaker, metrics=Metrics(), clock=clock, log=log
            )
            running = asyncio.ensure_future(workers.run())
            await story(workers, queue)
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)

    run_in_virtual_time(main())
    return reconciler


def test_re_reads_rest_and_changes_do_not() -> None:
    """While a commit is loaded no re-read is begun; what has changed has its turn at once, and the re-reads theirs after."""

    async def story(workers: Workers, queue: Queue) -> None:
        workers.pause_resync(1.0)
        queue.add("reread", Priority.RESYNC)
        queue.add("changed", Priority.CHANGED)
        await asyncio.sleep(3)

    assert turns_of(story) == [("changed", 0.0), ("reread", 1.0)]


def test_a_rest_ends_with_what_it_is_for() -> None:
    """Once the commit is loaded, re-reads go on without waiting for the whole second."""

    async def story(workers: Workers, queue: Queue) -> None:
        workers.pause_resync(1.0)
        queue.add("reread", Priority.RESYNC)
        await asyncio.sleep(0.25)
        workers.continue_resync()
        await asyncio.sleep(1)

    assert turns_of(story) == [("reread", 0.25)]


def test_re_reads_that_wait_behind_a_large_commit_are_no_reason_to_restart() -> None:
    """The time of changes that a re-read lets go first doesn't count as its own; without such changes it does."""
    ages: list[float] = []

    async def story(workers: Workers, queue: Queue) -> None:
        queue.add("hangs", Priority.RESYNC)
        for number in range(100):
            queue.add(f"app-{number}", Priority.CHANGED)
            await asyncio.sleep(0.09)
        ages.append(workers.longest)
        await asyncio.sleep(60)
        ages.append(workers.longest)

    turns_of(story, never_ends="hangs")
    behind, alone = ages
    assert behind <= 0.1
    assert 59 < alone < 61


def test_files_that_are_written_all_the_time_hold_no_re_read_up_for_long() -> None:
    """A log that grows beside the manifests makes re-reads rest for a second in five, not for ever."""

    async def story(workers: Workers, queue: Queue) -> None:
        for number in range(100):
            workers.pause_resync(1.0)
            queue.add(f"app-{number}", Priority.RESYNC)
            await asyncio.sleep(0.1)

    begun = [at for _, at in turns_of(story)]
    assert len(begun) > 90
    assert not any(0.0 <= at < 1.0 for at in begun)
