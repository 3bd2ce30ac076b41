"""The work queue: changed apps come first, each app is queued once, and resyncs do not shorten a backoff."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

from tests.support.virtual_time import run_in_virtual_time, run_ready_tasks, virtual_clock

from octosync.watch.loop.queue import Priority, Queue, Work


class VirtualClock:
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


def test_an_app_is_queued_once() -> None:
    """Two reasons for an app are one entry with the higher priority."""

    async def scenario() -> None:
        queue = Queue(VirtualClock())
        queue.add("notes", Priority.RESYNC)
        queue.add("notes", Priority.CHANGED)
        queue.add("notes", Priority.CHANGED)
        assert queue.depth == {"changed": 1, "resync": 0}
        assert (await queue.take(Priority.CHANGED)).apps == {"notes"}
        assert queue.depth == {"changed": 0, "resync": 0}

    run_in_virtual_time(scenario())


def test_a_change_during_a_reconcile_is_queued_after_it() -> None:
    """No change during a reconcile is lost, and an app is never reconciled twice at once."""

    async def scenario() -> None:
        queue = Queue(VirtualClock())
        queue.add("notes", Priority.CHANGED)
        first = await queue.take(Priority.CHANGED)
        queue.add("notes", Priority.CHANGED)
        second = asyncio.ensure_future(queue.take(Priority.CHANGED))
        await run_ready_tasks()
        assert not second.done()
        queue.done(first)
        assert (await second).apps == {"notes"}

    run_in_virtual_time(scenario())


def test_tied_apps_are_taken_together() -> None:
    """Apps that exchange a target are taken as one unit of work."""

    async def scenario() -> None:
        tied = frozenset({"new", "old"})
        queue = Queue(VirtualClock(), lambda slug: tied if slug in tied else (slug,))
        queue.add("old", Priority.CHANGED)
        queue.add("new", Priority.CHANGED)
        queue.add("free", Priority.CHANGED)
        assert (await queue.take(Priority.CHANGED)).apps == tied
        assert (await queue.take(Priority.CHANGED)).apps == {"free"}

    run_in_virtual_time(scenario())


def test_a_backoff_ends_by_itself() -> None:
    """A failed app is taken when its backoff ends. A resync does not shorten the backoff and omits the app."""

    async def scenario() -> float:
        queue = Queue(VirtualClock())
        queue.back_off("notes", 60)
        assert not queue.add("notes", Priority.RESYNC)
        await queue.take(Priority.CHANGED)
        return virtual_clock()

    assert run_in_virtual_time(scenario()) == 60


def test_a_change_ends_a_backoff() -> None:
    """A commit is tried at once, however often its app has failed before."""

    async def scenario() -> float:
        queue = Queue(VirtualClock())
        queue.back_off("notes", 300)
        queue.add("notes", Priority.CHANGED)
        await queue.take(Priority.CHANGED)
        return virtual_clock()

    assert run_in_virtual_time(scenario()) == 0


def test_a_change_during_a_failing_reconcile_is_not_delayed() -> None:
    """A commit during a reconcile that fails is reconciled at once."""

    async def scenario() -> float:
        queue = Queue(VirtualClock())
        queue.add("notes", Priority.CHANGED)
        work = await queue.take(Priority.CHANGED)
        queue.add("notes", Priority.CHANGED)
        queue.back_off("notes", 300)
        queue.done(work)
        await queue.take(Priority.CHANGED)
        return virtual_clock()

    assert run_in_virtual_time(scenario()) == 0


def test_a_resync_includes_apps_that_are_due_later() -> None:
    """An app whose drift is held for hours takes part in a resync, which must not wait for it."""

    async def scenario() -> Work:
        queue = Queue(VirtualClock())
        queue.add_later("notes", 4 * 3600)
        assert queue.add("notes", Priority.RESYNC)
        return await queue.take(Priority.RESYNC)

    assert run_in_virtual_time(scenario()).apps == {"notes"}


def test_the_wait_of_an_app_is_measured() -> None:
    """The wait is counted from when the app was ready, by the controller's clock."""

    async def scenario() -> float:
        queue = Queue(VirtualClock())
        queue.add("notes", Priority.CHANGED)
        await asyncio.sleep(7)
        return (await queue.take(Priority.CHANGED)).waited

    assert run_in_virtual_time(scenario()) == 7
