"""The workers: they take apps from the queue and reconcile them, some for changes, some for resyncs."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final, TypeAlias

from octosync.errors import OctosyncError
from octosync.watch.log import Log, about
from octosync.watch.loop.circuit_breaker import CircuitBreaker
from octosync.watch.loop.queue import Priority, Queue, Work
from octosync.watch.metrics import Metrics
from octosync.watch.settings import Clock, wait_for
from octosync.watch.status import NextStep, ReconcileResult

# Enough to use a window of 100 requests per minute; those for changes are more than changes that come at once.
_WORKERS: Final = {Priority.CHANGED: 8, Priority.RESYNC: 4}
# Seconds that a write may take to finish after a stop: of the 25 s that a stop may take in all, notifications have 5 and open
# pages 1.
_GRACE: Final = 17.0

Reconcile: TypeAlias = Callable[[Work], Awaitable[ReconcileResult]]
Record: TypeAlias = Callable[[Work, ReconcileResult, float], None]


class Workers:
    """Calls `reconcile` for each work of the queue, and `record` with its result and the seconds that it took."""

    def __init__(
        self,
        queue: Queue,
        reconcile: Reconcile,
        record: Record,
        *,
        breaker: CircuitBreaker,
        metrics: Metrics,
        clock: Clock,
        log: Log,
    ) -> None:
        self._queue = queue
        self._reconcile = reconcile
        self._record = record
        self._breaker = breaker
        self._metrics = metrics
        self._clock = clock
        self._log = log
        self._changed_at = 0.0  # when the last reconcile for a change ended
        self._paused_until = 0.0
        self._may_pause_at = 0.0
        self._continued = asyncio.Event()
        self._is_stopping = False

    async def run(self) -> None:
        """Work for ever; when cancelled, finish writes in progress."""
        workers = [
            asyncio.ensure_future(self._work(priority)) for priority, count in _WORKERS.items() for _ in range(count)
        ]
        try:
            await asyncio.gather(*workers)
        finally:
            self._is_stopping = True
            for worker in workers:
                worker.cancel()
            await asyncio.gather(*workers, return_exceptions=True)
            await self._finish()

    def pause_resync(self, seconds: float) -> None:
        """Start no resync of an app for this long, since it would compete with a load of the manifests for the processor.

        Files that are written all the time pause resyncs for a part of the time only.
        """
        now = self._clock.monotonic()
        if now >= self._may_pause_at:
            self._paused_until, self._may_pause_at = now + seconds, now + 5 * seconds
            self._continued.clear()

    def continue_resync(self) -> None:
        """End the pause."""
        self._paused_until = 0.0
        self._continued.set()

    @property
    def longest(self) -> float:
        """How many seconds the oldest reconcile under way has taken so far.

        The time in which a resync has waited for changes does not count.
        """
        now, running = self._clock.monotonic(), self._queue.running
        is_changing = any(work.priority is Priority.CHANGED for work in running)
        free_since = now if is_changing else self._changed_at
        floors = {Priority.CHANGED: 0.0, Priority.RESYNC: free_since}
        return max((now - max(work.since, floors[work.priority]) for work in running), default=0.0)

    async def _work(self, priority: Priority) -> None:
        while True:
            await self._breaker.until_closed()
            if self._is_paused(priority):
                await wait_for(self._continued, self._paused_until - self._clock.monotonic(), self._clock)
            work = await self._queue.take(priority)
            if not self._breaker.is_closed or self._is_paused(priority):  # since there was nothing to do
                self._put_back(work)
                continue
            task = asyncio.ensure_future(self._run(work))
            work.task = task
            await asyncio.wait({task})
            if priority is Priority.CHANGED:
                self._changed_at = self._clock.monotonic()
            if task.cancelled():  # one of the apps has changed; those that it is tied to may no longer be
                self._put_back(work)
            else:
                self._queue.done(work)
                self._record(work, task.result(), self._clock.monotonic() - work.since)

    def _put_back(self, work: Work) -> None:
        self._queue.done(work)
        for slug in work.apps - work.dropped:
            self._queue.add(slug, work.priority)

    def _is_paused(self, priority: Priority) -> bool:
        return priority is Priority.RESYNC and self._clock.monotonic() < self._paused_until

    async def _run(self, work: Work) -> ReconcileResult:
        """Reconcile; an exception becomes the error of its apps, and doesn't stop the worker."""
        self._metrics.observe_wait(work.waited)
        try:
            return await self._reconcile(work)
        except OctosyncError as error:
            problem = error
        except Exception as defect:  # noqa: BLE001 — a defect in one reconcile must not end those of all other apps
            # A second signal closes the connections of what is still being written.
            if not self._is_stopping:
                apps = sorted(work.apps)
                message = f"a bug in octosync ended a reconcile of {', '.join(apps)}; please report it"
                self._log.bind(apps=apps, **about(defect)).error("defect", message=message)
            problem = OctosyncError(
                "internal-error",
                f"a bug in octosync: {type(defect).__name__}",
                hints=("The log contains the place; please report it.",),
            )
        errors = dict.fromkeys(work.apps, problem)
        return ReconcileResult(id="", apps=work.apps, next_step=NextStep.REQUEUE, errors=errors)

    async def _finish(self) -> None:
        """Cancel reads; wait for writes."""
        running = {work: work.task for work in self._queue.running if work.task is not None}
        for work in running:
            work.interrupt()
        finished = asyncio.Event()
        asyncio.gather(*running.values(), return_exceptions=True).add_done_callback(lambda _: finished.set())
        try:
            await wait_for(finished, _GRACE, self._clock)
        finally:
            for task in running.values():
                task.cancel()
            await asyncio.gather(*running.values(), return_exceptions=True)
        for work, task in running.items():
            if task.done() and not task.cancelled():
                self._record(work, task.result(), self._clock.monotonic() - work.since)
