"""The queue: changed apps first, each once, and what backs off is left alone by re-reads alone."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

from tests.support.virtual_time import run_in_virtual_time, run_ready_tasks, virtual_clock

from octosync.watch.loop.queue import Priority, Queue, Work

T = TypeVar("T")


class VirtualClock:
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


def at_once(story: Coroutine[Any, Any, T]) -> T:
    """Run a story in virtual time."""
    return run_in_virtual_time(story)


def test_an_app_is_in_it_once() -> None:
    """Two reasons for a turn are one turn, and the more urgent one counts."""

    async def story() -> None:
        queue = Queue(VirtualClock())
        queue.add("notes", Priority.RESYNC)
        queue.add("notes", Priority.CHANGED)
        queue.add("notes", Priority.CHANGED)
        assert queue.depth == {"changed": 1, "resync": 0}
        assert (await queue.take(Priority.CHANGED)).apps == {"notes"}
        assert queue.depth == {"changed": 0, "resync": 0}

    at_once(story())


def test_an_app_that_changes_in_its_turn_has_another_one_after_it() -> None:
    """Nothing that happens while an app has its turn is lost, and it never has two turns at once."""

    async def story() -> None:
        queue = Queue(VirtualClock())
        queue.add("notes", Priority.CHANGED)
        first = await queue.take(Priority.CHANGED)
        queue.add("notes", Priority.CHANGED)
        second = asyncio.ensure_future(queue.take(Priority.CHANGED))
        await run_ready_tasks()
        assert not second.done()
        queue.done(first)
        assert (await second).apps == {"notes"}

    at_once(story())


def test_tied_apps_have_their_turn_together() -> None:
    """Apps that a target moves between are taken as one, and wait for each other."""

    async def story() -> None:
        tied = frozenset({"new", "old"})
        queue = Queue(VirtualClock(), lambda slug: tied if slug in tied else (slug,))
        queue.add("old", Priority.CHANGED)
        queue.add("new", Priority.CHANGED)
        queue.add("other", Priority.CHANGED)
        assert (await queue.take(Priority.CHANGED)).apps == tied
        assert (await queue.take(Priority.CHANGED)).apps == {"other"}

    at_once(story())


def test_what_backs_off_comes_back_by_itself() -> None:
    """An app that failed is taken when its time has come: a re-read doesn't bring that forward, and leaves it out."""

    async def story() -> float:
        queue = Queue(VirtualClock())
        queue.back_off("notes", 60)
        assert not queue.add("notes", Priority.RESYNC)
        await queue.take(Priority.CHANGED)
        return virtual_clock()

    assert at_once(story()) == 60


def test_a_change_brings_forward_what_backs_off() -> None:
    """A commit is tried at once, however often its app has failed before."""

    async def story() -> float:
        queue = Queue(VirtualClock())
        queue.back_off("notes", 300)
        queue.add("notes", Priority.CHANGED)
        await queue.take(Priority.CHANGED)
        return virtual_clock()

    assert at_once(story()) == 0


def test_a_change_during_a_turn_that_fails_is_not_put_off() -> None:
    """What was committed while the turn failed has its own turn at once."""

    async def story() -> float:
        queue = Queue(VirtualClock())
        queue.add("notes", Priority.CHANGED)
        turn = await queue.take(Priority.CHANGED)
        queue.add("notes", Priority.CHANGED)
        queue.back_off("notes", 300)
        queue.done(turn)
        await queue.take(Priority.CHANGED)
        return virtual_clock()

    assert at_once(story()) == 0


def test_a_re_read_takes_what_only_waits_for_its_time() -> None:
    """An app whose drift is held for hours is read again like any other: a full read must not wait for it."""

    async def story() -> Work:
        queue = Queue(VirtualClock())
        queue.add_later("notes", 4 * 3600)
        assert queue.add("notes", Priority.RESYNC)
        return await queue.take(Priority.RESYNC)

    assert at_once(story()).apps == {"notes"}


def test_it_says_how_long_an_app_waited() -> None:
    """The wait is counted from when the app was ready, by the controller's clock."""

    async def story() -> float:
        queue = Queue(VirtualClock())
        queue.add("notes", Priority.CHANGED)
        await asyncio.sleep(7)
        return (await queue.take(Priority.CHANGED)).waited

    assert at_once(story()) == 7
