"""The workers: they take turns from the queue, some for what changed, some for what is only read again."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from octosync.errors import OctosyncError
from octosync.watch.clock import Clock
from octosync.watch.ended import NextStep, ReconcileResult
from octosync.watch.gate import CircuitBreaker
from octosync.watch.log import Log, about
from octosync.watch.queue import Priority, Queue, Work
from octosync.watch.waiting import wait_for

# Enough to use a window of 100 requests a minute; those for changes are more than changes that come at once.
_WORKERS: Final = {Priority.CHANGED: 8, Priority.RESYNC: 4}
# What is being written may take so long to finish, once everything is to stop: of the 25 s that this may take in all,
# notifications have 5 and open pages 1.
_GRACE: Final = 17.0

CarryOut = Callable[[Work], Awaitable[ReconcileResult]]


@dataclass(slots=True, eq=False)
class _Underway:
    work: Work
    task: asyncio.Task[ReconcileResult]
    since: float
    writes: bool = False


class Workers:
    """`carry_out` is one turn, `ended` is told of each with the seconds that it took."""

    def __init__(
        self,
        *,
        queue: Queue,
        breaker: CircuitBreaker,
        clock: Clock,
        log: Log,
        carry_out: CarryOut,
        ended: Callable[[Work, ReconcileResult, float], None],
    ) -> None:
        self._queue = queue
        self._breaker = breaker
        self._clock = clock
        self._log = log
        self._carry_out = carry_out
        self._ended = ended
        self._underway: set[_Underway] = set()
        self._changed_at = 0.0  # when the last turn for a change has ended
        self._rests_until = 0.0
        self._may_rest_at = 0.0
        self._rested = asyncio.Event()
        self._is_ending = False

    async def run(self) -> None:
        """Work for ever; cancelled, let what is being written finish."""
        workers = [
            asyncio.ensure_future(self._work(priority)) for priority, count in _WORKERS.items() for _ in range(count)
        ]
        try:
            await asyncio.gather(*workers)
        finally:
            self._is_ending = True
            for worker in workers:
                worker.cancel()
            await asyncio.gather(*workers, return_exceptions=True)
            await self._finish()

    def writes(self, apps: frozenset[str]) -> None:
        """Take note that the turn of these apps has begun to write: it is not to be broken off any more."""
        for one in self._underway:
            if one.work.apps & apps:
                one.writes = True

    def give_way(self, slug: str) -> None:
        """Break off the re-read of an app, which may wait for its share of the rate: it has changed, and goes first."""
        for one in self._underway:
            if slug in one.work.apps and one.work.priority is Priority.RESYNC and not one.writes:
                one.task.cancel()

    def pause_resync(self, seconds: float) -> None:
        """Begin no re-read for so long: what is loaded meanwhile would have to share the processor with them.

        Files that are written all the time hold re-reads up for a part of it only.
        """
        now = self._clock.monotonic()
        if now >= self._may_rest_at:
            self._rests_until, self._may_rest_at = now + seconds, now + 5 * seconds
            self._rested.clear()

    def continue_resync(self) -> None:
        """End the rest."""
        self._rests_until = 0.0
        self._rested.set()

    @property
    def longest(self) -> float:
        """How many seconds the oldest turn that is under way takes by now.

        Re-reads have let turns for changes go first meanwhile: what these took isn't theirs.
        """
        now = self._clock.monotonic()
        is_changing = any(one.work.priority is Priority.CHANGED for one in self._underway)
        free_since = now if is_changing else self._changed_at
        floors = {Priority.CHANGED: 0.0, Priority.RESYNC: free_since}
        return max((now - max(one.since, floors[one.work.priority]) for one in self._underway), default=0.0)

    async def _work(self, priority: Priority) -> None:
        while True:
            await self._breaker.until_closed()
            if self._rests(priority):
                await wait_for(self._rested, self._rests_until - self._clock.monotonic(), self._clock)
            work = await self._queue.take(priority)
            if not self._breaker.is_closed or self._rests(priority):  # since there was nothing to do
                self._queue.done(work)
                for slug in work.apps:
                    self._queue.add(slug, work.priority)
                continue
            started = self._clock.monotonic()
            underway = _Underway(work, asyncio.ensure_future(self._turn(work)), started)
            self._underway.add(underway)
            await asyncio.wait({underway.task})
            self._underway.discard(underway)
            if priority is Priority.CHANGED:
                self._changed_at = self._clock.monotonic()
            self._queue.done(work)
            if underway.task.cancelled():  # one of them has changed; those that it is tied to may no longer be
                for slug in work.apps:
                    self._queue.add(slug, work.priority)
            else:
                self._ended(work, underway.task.result(), self._clock.monotonic() - started)

    def _rests(self, priority: Priority) -> bool:
        return priority is Priority.RESYNC and self._clock.monotonic() < self._rests_until

    async def _turn(self, work: Work) -> ReconcileResult:
        """Carry out a turn; whatever it raises is that turn's error, and no reason to stop."""
        try:
            return await self._carry_out(work)
        except OctosyncError as error:
            problem = error
        except Exception as defect:  # noqa: BLE001 — a defect in one app's turn must not end those of all others
            # Who ends it at once takes the connections away from what is still being written.
            if not self._is_ending:
                apps = sorted(work.apps)
                message = f"a defect in octosync ended a turn of {', '.join(apps)}; please report it"
                self._log.bind(apps=apps, **about(defect)).error("defect", message=message)
            problem = OctosyncError(
                "internal-error",
                f"a defect in octosync: {type(defect).__name__}",
                hints=("The log has where; please report it.",),
            )
        return ReconcileResult(
            id="", apps=work.apps, next_step=NextStep.REQUEUE, errors=dict.fromkeys(work.apps, problem)
        )

    async def _finish(self) -> None:
        """Break off reads; wait for writes."""
        for one in self._underway:
            if not one.writes:
                one.task.cancel()
        tasks = [one.task for one in self._underway]
        finished = asyncio.Event()
        asyncio.gather(*tasks, return_exceptions=True).add_done_callback(lambda _: finished.set())
        try:
            await wait_for(finished, _GRACE, self._clock)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        for one in list(self._underway):
            if one.task.done() and not one.task.cancelled():
                self._ended(one.work, one.task.result(), self._clock.monotonic() - one.since)
