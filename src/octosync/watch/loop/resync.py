"""The resync: every app is read again now and then, last in the queue, so that changes without an event are found."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from octosync.errors import OctosyncError, Unreadable
from octosync.model import App
from octosync.octomil import MAX_APPS_READ_BY_SLUG, Octomil, ReadResult, read_apps
from octosync.watch.log import Log
from octosync.watch.loop.activity_feed import ActivityFeed
from octosync.watch.loop.circuit_breaker import RETRY_BACKOFF, CircuitBreaker
from octosync.watch.loop.queue import Priority, Queue
from octosync.watch.manifests.assignment import AppAssignment
from octosync.watch.reconcile.rejections import RejectedActions
from octosync.watch.settings import Clock, wait_for

_REQUESTS_PER_APP: Final = 3  # targets, slots, and one of inference config and deployments


@dataclass(slots=True, kw_only=True)
class Resync:
    """Reconciles every app again, and tracks the progress of the running resync.

    `every` is the wish: the next one begins when the last has ended, which at a limited rate may be much later. `took`,
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
