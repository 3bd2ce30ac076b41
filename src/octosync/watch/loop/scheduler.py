"""When apps are reconciled: because of an event, a load of the manifests, a request of a person, or the resync.

The resync reads every app again now and then, last in the queue, so that changes without an event are found.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from octosync.errors import OctosyncError, Unreadable
from octosync.model import App, Event
from octosync.octomil import MAX_APPS_READ_BY_SLUG, Octomil, ReadResult, read_apps
from octosync.watch.log import Log
from octosync.watch.loop.activity_feed import ActivityFeed, FeedUpdate
from octosync.watch.loop.circuit_breaker import RETRY_BACKOFF, CircuitBreaker
from octosync.watch.loop.queue import Priority, Queue
from octosync.watch.manifests.assignment import AppAssignment
from octosync.watch.reconcile.coordination import RejectedActions
from octosync.watch.reconcile.status_tracker import StatusTracker
from octosync.watch.settings import Clock, wait_for
from octosync.watch.status import AppState

_REQUESTS_PER_APP: Final = 3  # targets, slots, and one of inference config and deployments


@dataclass(slots=True, kw_only=True)
class Resync:
    """Reconciles every app again, and tracks the progress of the running resync.

    `every` is the target: the next one begins after the last has ended, which at a limited rate may be much later. `took`,
    `ended_at` and `next_at` are about the last one; `unmanaged` is how many apps of the org no manifest declares.
    """

    remote: Octomil
    queue: Queue
    breaker: CircuitBreaker
    feed: ActivityFeed
    assignment: AppAssignment
    rejections: RejectedActions
    every: timedelta
    clock: Clock
    chance: random.Random
    log: Log
    total: int = 0
    ended_at: datetime | None = None
    next_at: datetime | None = None
    took: timedelta | None = None
    unmanaged: int | None = None
    _listing: ReadResult[dict[str, App]] | None = None
    _forgotten: set[str] = field(default_factory=set)  # since the last list was requested
    _unread: set[str] = field(default_factory=set)
    _pause: float = 0.0
    _ended: asyncio.Event = field(default_factory=asyncio.Event)
    _requested: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def done(self) -> int:
        """How many apps the resync that is running has read."""
        return self.total - len(self._unread)

    @property
    def expected(self) -> timedelta:
        """The time from the end of one resync to the end of the next: that of the last one, else by size and rate."""
        limit = self.remote.budget.background_limit  # per minute
        estimated = timedelta(minutes=_REQUESTS_PER_APP * self.total / limit) if limit else timedelta()
        return max(self.every, estimated if self.took is None else self.took)

    @property
    def is_running(self) -> bool:
        """Whether a resync is running."""
        return self.next_at is None

    def request(self) -> None:
        """Begin the next resync now, or directly after the one that is running."""
        self._requested.set()

    def listed_apps(self, apps: Collection[str]) -> ReadResult[dict[str, App]] | None:
        """Return apps as they were listed, if nothing has happened to them since; None: read them one by one."""
        listing = self._listing
        if listing is None or any(slug not in listing.value for slug in apps):
            return None
        return ReadResult({slug: listing.value[slug] for slug in sorted(apps)}, listing.at)

    def forget(self, slug: str) -> None:
        """Forget how an app was listed, or is being listed: something has happened to it since."""
        self._forgotten.add(slug)
        if self._listing is not None:
            self._listing.value.pop(slug, None)

    def record_read(self, apps: Collection[str]) -> None:
        """Record that apps were read, or can't be."""
        self._unread -= set(apps)
        if not self._unread:
            self._ended.set()

    async def run(self) -> None:
        """Run one resync, from its first request until all of its apps are read."""
        started = self.clock.monotonic()
        self.next_at = None
        await self._begin()
        await self._ended.wait()
        self._listing = None
        took = self.clock.monotonic() - started
        self.ended_at, self.took = self.clock.now(), timedelta(seconds=took)
        self._pause = max(0.0, self.every.total_seconds() * self.chance.uniform(0.9, 1.1) - took)
        self.next_at = self.ended_at + timedelta(seconds=self._pause)

    async def wait_for_next(self) -> None:
        """Wait until the next resync is due, or requested."""
        await wait_for(self._requested, self._pause, self.clock)
        self._requested.clear()

    async def _begin(self) -> None:
        failures = 0
        while True:
            await self.breaker.until_closed()
            self._requested.clear()
            try:
                await self._follow_feed()
                apps = self.assignment.slugs
                self._forgotten.clear()
                self._listing = await read_apps(self.remote.background) if len(apps) > MAX_APPS_READ_BY_SLUG else None
            except OctosyncError as error:
                self.breaker.record_failure(error)
                failures += 1
                await self._wait_after(error, RETRY_BACKOFF.draw(failures, self.chance))
                continue
            break
        if self._listing is not None:
            self.unmanaged = len(self._listing.value.keys() - set(apps))
            for slug in self._forgotten:
                self._listing.value.pop(slug, None)
        self.total = len(apps)
        self._ended.clear()
        # An app that backs off is retried at the end of its backoff; no resync waits for it.
        self._unread = {slug for slug in apps if self.queue.add(slug, Priority.RESYNC)}
        self.record_read(())

    async def _follow_feed(self) -> None:
        """Read the feed's cursor before anything else, so that changes during the resync are events after it."""
        if not self.feed.has_begun:
            await self.feed.begin(self.assignment.active.hold)
            if not isinstance(self.feed.off, Unreadable):  # which proves nothing about other responses
                self.breaker.record_success()
            self.feed.report_availability()
        if self.feed.off is not None:  # then there is no event when a target becomes free
            for slug in self.rejections.held_elsewhere():
                self.rejections.retry(slug)

    async def _wait_after(self, error: OctosyncError, pause: float) -> None:
        next_try = self.clock.now() + timedelta(seconds=pause)
        self.log.warning(
            "full_read_failed",
            message=f"the resync could not start: {error.message}",
            reference=error.reference,
            next_try=next_try.isoformat(timespec="seconds"),
        )
        await self.clock.sleep(pause)


@dataclass(frozen=True, slots=True, kw_only=True)
class Scheduler:
    """Puts apps into the queue. It only decides when an app is reconciled: every reconcile reads the live state."""

    queue: Queue
    resync: Resync
    tracker: StatusTracker
    assignment: AppAssignment
    rejections: RejectedActions
    feed: ActivityFeed
    clock: Clock

    def reconcile_soon(self, slug: str) -> None:
        """Reconcile an app as soon as possible: something about it has changed."""
        self.resync.forget(slug)
        self.queue.interrupt_resync(slug)
        self.queue.add(slug, Priority.CHANGED)
        self.tracker.mark_pending(slug, self.clock.now())

    def replan(self, slug: str) -> None:
        """Reconcile an app whose manifest has changed. What is being reconciled of it is planned from the manifest before."""
        self.queue.interrupt(slug)
        self.reconcile_soon(slug)

    def remove(self, apps: Collection[str]) -> None:
        """Remove apps that this controller no longer manages."""
        self.queue.drop(apps)
        self.resync.record_read(apps)

    def handle(self, update: FeedUpdate) -> None:
        """Reconcile every app that an event is about, unless the event is of our own write."""
        slugs = set(self.assignment.slugs)
        apps = [(event, self.feed.app_of(event)) for event in update.events]
        own = self.feed.take_own_writes(
            event for event, slug in apps if slug in slugs and not self.queue.is_busy(slug or "")
        )
        for event, slug in apps:
            if slug is not None and slug in slugs:
                self._handle_event(slug, event, is_own=event in own)
            for waiting in self.rejections.waiting_for(event) & slugs:
                self.rejections.retry(waiting)
                self.reconcile_soon(waiting)
        self.feed.report_availability()
        if update.gap or self.feed.off is not None:
            self.resync.request()

    def _handle_event(self, slug: str, event: Event, *, is_own: bool) -> None:
        if self.queue.is_busy(slug):
            self.feed.defer(slug, event)
        elif not is_own:
            for member in self.assignment.group_of(slug):
                self.rejections.retry(member)
            self.reconcile_soon(slug)
        if event.type is not None and event.type.startswith("deployment."):
            self._reconcile_next_canary()

    def _reconcile_next_canary(self) -> None:
        """Reconcile the first app that waits for a canary to end: one may have. Each such event costs one reconcile."""
        waiting = (
            app.slug
            for app in self.tracker.in_state(*AppState)
            if app.waits_for_canaries and not self.queue.has(app.slug) and not self.queue.is_busy(app.slug)
        )
        if (first := next(waiting, None)) is not None:
            self.reconcile_soon(first)
