"""The queue of apps to reconcile, and the workers that take from it.

Changed apps come before those that are only resynced, each app at most once.

An app that is added while it is being reconciled is reconciled again afterwards. An app that backs off is reconciled at the
end of its backoff; a change makes that earlier, a resync does not.
"""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Awaitable, Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Final, TypeAlias

from octosync.errors import ISSUES, OctosyncError
from octosync.watch.log import Log, about
from octosync.watch.loop.circuit_breaker import CircuitBreaker
from octosync.watch.settings import Clock, wait_for
from octosync.watch.status import NextStep, ReconcileResult


class Priority(Enum):
    """Why an app is in the queue, the most urgent first."""

    CHANGED = "changed"
    RESYNC = "resync"


@dataclass(slots=True, eq=False)
class Work:
    """One reconcile: its apps, why, and how many seconds the first of them was ready and waited.

    `since` is when it was taken, `task` what carries it out. Once `is_writing`, an interruption sends no further action and
    finishes those that were sent. `dropped` are those of its apps that are no longer managed.
    """

    apps: frozenset[str]
    priority: Priority
    waited: float
    since: float
    task: asyncio.Task[Any] | None = None
    is_writing: bool = False
    interrupted: asyncio.Event = field(default_factory=asyncio.Event)
    dropped: frozenset[str] = frozenset()

    def interrupt(self) -> None:
        """Cancel it while it reads; let it write no further action."""
        self.interrupted.set()
        if not self.is_writing and self.task is not None:
            self.task.cancel()


Group = Callable[[str], Collection[str]]


@dataclass(frozen=True, slots=True)
class _Later:
    """The time at which an app is added automatically, and whether it backs off until then."""

    at: float
    backs_off: bool


class Queue:
    """The apps that wait, and those that are being reconciled. `group` returns the apps that are reconciled with an app."""

    def __init__(self, clock: Clock, group: Group = lambda slug: (slug,)) -> None:
        self._clock = clock
        self._group = group
        self._ready: dict[Priority, dict[str, float]] = {priority: {} for priority in Priority}
        self._later: dict[str, _Later] = {}
        self._alarms: list[tuple[float, str]] = []
        self._busy: set[str] = set()
        self._changing: set[str] = set()
        self._running: list[Work] = []
        self._stirred = asyncio.Event()

    def add(self, slug: str, priority: Priority) -> bool:
        """Add an app; return whether it was added.

        A resync does not add an app that backs off.
        """
        is_resync = priority is Priority.RESYNC
        if is_resync and slug in self._ready[Priority.CHANGED]:
            return True
        if is_resync and slug in self._later and self._later[slug].backs_off:
            return False
        self._later.pop(slug, None)
        if not is_resync:
            self._ready[Priority.RESYNC].pop(slug, None)
        self._ready[priority].setdefault(slug, self._clock.monotonic())
        self._stirred.set()
        return True

    def add_later(self, slug: str, seconds: float) -> None:
        """Add an app as changed after this many seconds, unless it is in the queue by now."""
        self._put_later(slug, seconds, backs_off=False)

    def back_off(self, slug: str, seconds: float) -> None:
        """Let an app back off: resyncs don't add it before that. Changes are not delayed."""
        self._ready[Priority.RESYNC].pop(slug, None)
        self._later.pop(slug, None)
        self._put_later(slug, seconds, backs_off=True)

    def _put_later(self, slug: str, seconds: float, *, backs_off: bool) -> None:
        if any(slug in ready for ready in self._ready.values()):
            return
        at = self._clock.monotonic() + seconds
        if slug in self._later and self._later[slug].at <= at:
            return
        self._later[slug] = _Later(at, backs_off)
        heapq.heappush(self._alarms, (at, slug))
        self._stirred.set()

    def drop(self, slugs: Iterable[str]) -> None:
        """Remove apps that this controller no longer manages."""
        for slug in slugs:
            for work in self._running_for(slug):
                work.dropped |= {slug}
                work.interrupt()
            for ready in self._ready.values():
                ready.pop(slug, None)
            self._later.pop(slug, None)

    async def take(self, priority: Priority) -> Work:
        """Wait for the next work of a priority, and take it; end it with `done`."""
        while True:
            self._wake_due()
            work = self._next(priority)
            if work is not None:
                return work
            self._stirred.clear()
            await self._stir_or_alarm()

    def done(self, work: Work) -> None:
        """End a work: its apps may be reconciled again."""
        self._running.remove(work)
        self._busy -= work.apps
        self._changing -= work.apps
        self._stirred.set()

    @property
    def running(self) -> tuple[Work, ...]:
        """The reconciles that are under way, the oldest first."""
        return tuple(self._running)

    def start_writing(self, apps: frozenset[str]) -> None:
        """Record that the reconcile of these apps has begun to write."""
        for work in self._running:
            if work.apps & apps:
                work.is_writing = True

    def interrupt_resync(self, slug: str) -> None:
        """Cancel the resync of a changed app, which may be waiting for the rate limit."""
        for work in self._running_for(slug):
            if work.priority is Priority.RESYNC and not work.is_writing:
                work.interrupt()

    def interrupt(self, slug: str) -> None:
        """Interrupt the reconcile of an app whose manifest has changed: it would write what was declared before."""
        for work in self._running_for(slug):
            work.interrupt()

    def is_busy(self, slug: str) -> bool:
        """Return whether an app is being reconciled."""
        return slug in self._busy

    def has(self, slug: str) -> bool:
        """Return whether an app waits to be taken."""
        return any(slug in ready for ready in self._ready.values())

    @property
    def is_changing(self) -> bool:
        """Whether changed apps are being reconciled, or wait to be taken."""
        return bool(self._changing or self._ready[Priority.CHANGED])

    @property
    def depth(self) -> Mapping[str, int]:
        """How many apps wait, by priority; those that back off are not among them."""
        return {priority.value: len(self._ready[priority]) for priority in Priority}

    def _running_for(self, slug: str) -> Iterator[Work]:
        return (work for work in self._running if slug in work.apps)

    def _next(self, priority: Priority) -> Work | None:
        now = self._clock.monotonic()
        for slug, since in self._ready[priority].items():
            group = frozenset(self._group(slug)) | {slug}
            if group & self._busy:
                continue
            for member in group:
                for ready in self._ready.values():
                    ready.pop(member, None)
                self._later.pop(member, None)
            self._busy |= group
            if priority is Priority.CHANGED:
                self._changing |= group
            work = Work(group, priority, max(0.0, now - since), now)
            self._running.append(work)
            return work
        return None

    def _wake_due(self) -> None:
        now = self._clock.monotonic()
        while self._alarms and self._alarms[0][0] <= now:
            at, slug = heapq.heappop(self._alarms)
            if slug in self._later and self._later[slug].at == at:
                del self._later[slug]
                self._ready[Priority.CHANGED].setdefault(slug, now)

    async def _stir_or_alarm(self) -> None:
        while self._alarms and (
            self._alarms[0][1] not in self._later or self._later[self._alarms[0][1]].at != self._alarms[0][0]
        ):
            heapq.heappop(self._alarms)
        if self._alarms:
            await wait_for(self._stirred, self._alarms[0][0] - self._clock.monotonic(), self._clock)
        else:
            await self._stirred.wait()


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
        clock: Clock,
        log: Log,
    ) -> None:
        self._queue = queue
        self._reconcile = reconcile
        self._record = record
        self._breaker = breaker
        self._clock = clock
        self._log = log
        self._changed_at = 0.0  # when the last reconcile for a change ended
        self._paused_until = 0.0
        self._may_pause_at = 0.0
        self._continued = asyncio.Event()
        self._is_stopping = False
        self._grace = _GRACE

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

    def abandon(self) -> None:
        """Finish no write: `run` cancels them when it is cancelled."""
        self._grace = 0.0

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
                hints=(f"The log contains the place. Report it:  {ISSUES}",),
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
            await wait_for(finished, self._grace, self._clock)
        finally:
            for task in running.values():
                task.cancel()
            await asyncio.gather(*running.values(), return_exceptions=True)
        for work, task in running.items():
            if task.done() and not task.cancelled():
                self._record(work, task.result(), self._clock.monotonic() - work.since)
