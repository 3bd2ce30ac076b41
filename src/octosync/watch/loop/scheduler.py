"""When apps are reconciled: because of an event, a load of the manifests, a request of a person, or the resync.

The resync reads every app again now and then, last in the queue, so that changes without an event are found. A restart reads
only the apps that the checkpoint doesn't know to be in sync, and continues a resync that it has interrupted.
"""

from __future__ import annotations

import asyncio
import math
import random
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import partial
from typing import Final, TypeVar

from octosync.errors import OctosyncError, Unreadable
from octosync.model import App, Deployment, Event, Section
from octosync.octomil import MAX_APPS_READ_BY_SLUG, Octomil, ReadResult, read_apps, read_org_deployments_if_cheaper
from octosync.watch.checkpoint import Checkpoint
from octosync.watch.log import Log
from octosync.watch.loop.activity_feed import ActivityFeed, FeedUpdate
from octosync.watch.loop.circuit_breaker import RETRY_BACKOFF, CircuitBreaker
from octosync.watch.loop.queue import Priority, Queue
from octosync.watch.manifests.assignment import AppAssignment
from octosync.watch.reconcile.coordination import RejectedActions
from octosync.watch.reconcile.status_tracker import StatusTracker
from octosync.watch.settings import Clock, wait_for
from octosync.watch.status import AppState

T = TypeVar("T")

_APPS_PER_PAGE: Final = 100
# Pages of the feed that are read after a restart.
_FEWEST_PAGES: Final = 5
_MOST_PAGES: Final = 20
_APPS_PER_FEED_PAGE: Final = 10
_REQUESTS_PER_APP: Final = 3  # targets, slots, and one of inference config and deployments


@dataclass(slots=True, kw_only=True)
class Resync:
    """Reconciles every app again, and tracks the progress of the running resync.

    `every` is the target: the next one begins after the last has ended, which at a limited rate may be much later. `took`,
    `ended_at` and `next_at` are about the last one, before a restart, too; `unmanaged` is how many apps of the org no manifest
    declares. `is_caught_up`: since the start, each app was read, or is known to be as it was read before it.
    """

    remote: Octomil
    queue: Queue
    breaker: CircuitBreaker
    feed: ActivityFeed
    assignment: AppAssignment
    rejections: RejectedActions
    checkpoint: Checkpoint
    every: timedelta
    clock: Clock
    chance: random.Random
    log: Log
    total: int = 0
    is_caught_up: bool = False
    ended_at: datetime | None = None
    next_at: datetime | None = None
    took: timedelta | None = None
    unmanaged: int | None = None
    _listing: ReadResult[dict[str, App]] | None = None
    _forgotten: set[str] = field(default_factory=set)  # since the last list was requested
    _unread: set[str] = field(default_factory=set)
    _caught_up: frozenset[str] = frozenset()  # the apps that were read just before a resync that is due at the start
    _pause: float = 0.0
    _ended: asyncio.Event = field(default_factory=asyncio.Event)
    _requested: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def done(self) -> int:
        """How many apps the resync that is running has read."""
        return self.total - len(self._unread)

    @property
    def takes(self) -> timedelta:
        """How long a resync takes: as long as the last one, else by size and rate."""
        if self.took is not None:
            return self.took
        limit = self.remote.budget.background_limit  # per minute
        return timedelta(minutes=_REQUESTS_PER_APP * self.total / limit) if limit else timedelta()

    @property
    def expected(self) -> timedelta:
        """The time from the end of one resync to the end of the next."""
        return max(self.every, self.takes)

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

    async def follow_feed(self) -> tuple[Event, ...]:
        """Read the feed's cursor before anything else, so that changes during a resync are events after it.

        Return the newest events, newest first, back to the position of the checkpoint, within bounds; none if the feed is off.
        """
        self.next_at = None
        return await self._retry(self._follow_feed)

    async def catch_up(self, apps: Collection[str]) -> None:
        """Read some apps after a restart, since the others are known to be in sync. Then the next resync is due when it was."""
        known = self.checkpoint.resync
        self.ended_at = known.ended
        self.took = None if known.seconds is None else timedelta(seconds=known.seconds)
        self.checkpoint.accept(self.clock.monotonic())
        await self._read(apps, total=len(apps), queued=frozenset(filter(self.queue.has, apps)))
        self.is_caught_up = True
        if known.ended is None or self.checkpoint.is_resync_due:
            self._caught_up = frozenset(apps)
            self._plan_next(math.inf)
        else:
            self._plan_next((self.clock.now() - known.ended).total_seconds() + (known.seconds or 0.0))

    async def run(self) -> None:
        """Run one resync, from its first request until all of its apps are read.

        The first one after a restart may continue one that the restart has interrupted.
        """
        started = self.clock.monotonic()
        self.next_at = None
        is_requested = self._requested.is_set()  # by someone who wants everything to be read
        self._requested.clear()
        if not self.feed.has_begun:
            await self.follow_feed()
        if self.feed.off is not None:  # then there is no event when a target becomes free
            for slug in self.rejections.held_elsewhere():
                self.rejections.retry(slug)
        began = self.checkpoint.begin_resync(self.clock.now(), may_continue=not is_requested)
        self.checkpoint.accept(self.clock.monotonic())
        known = frozenset() if is_requested else self._caught_up
        if began is not None:
            known |= {slug for slug, app in self.checkpoint.in_sync.items() if app.at >= began}
        self._caught_up = frozenset()
        apps = self.assignment.slugs
        await self._read([slug for slug in apps if slug not in known], total=len(apps))
        took = self.clock.monotonic() - started
        if began is None or self.took is None:  # one that was interrupted took longer
            self.took = timedelta(seconds=took)
        self.is_caught_up, self.ended_at = True, self.clock.now()
        self.checkpoint.end_resync(self.ended_at, self.took.total_seconds())
        self._plan_next(took)

    async def wait_for_next(self) -> None:
        """Wait until the next resync is due, or requested."""
        await wait_for(self._requested, self._pause, self.clock)

    def _plan_next(self, elapsed: float) -> None:
        self._pause = max(0.0, self.every.total_seconds() * self.chance.uniform(0.9, 1.1) - elapsed)
        self.next_at = self.clock.now() + timedelta(seconds=self._pause)

    async def _read(self, apps: Collection[str], *, total: int, queued: Collection[str] = ()) -> None:
        """Read apps, until each was read or can't be. Those that are read for a change meanwhile are not read twice.

        Some are `queued` for a change already: they are read one by one, even while the list is being read.
        """
        self.total, self._unread = total, set(apps)
        self._ended.clear()
        self._listing = await self._retry(partial(self._list, apps, queued))
        if self._listing is not None:
            for slug in self._forgotten:
                self._listing.value.pop(slug, None)
        declared = set(self.assignment.slugs)
        # An app that backs off is retried at the end of its backoff; no resync waits for it.
        self._unread = {
            slug
            for slug in sorted(self._unread)
            if slug in declared and (slug in queued or self.queue.add(slug, Priority.RESYNC))
        }
        self.record_read(())
        await self._ended.wait()
        self._listing = None

    async def _list(self, apps: Collection[str], queued: Collection[str]) -> ReadResult[dict[str, App]] | None:
        """Read the list of all apps, and that of all deployments, if that takes fewer requests than to read them one by one.

        The list is of no use for the `queued` ones.
        """
        self._forgotten.clear()
        every = self.assignment.slugs
        if len(apps) == len(every):
            self._requested.clear()
        listed = [slug for slug in apps if slug not in queued]
        if len(listed) <= max(MAX_APPS_READ_BY_SLUG, len(every) // _APPS_PER_PAGE):
            return None
        listing = await read_apps(self.remote.background)
        self.unmanaged = len(listing.value.keys() - set(every))
        self.feed.learn_slugs(
            (str(app.server_fields["id"]), app.slug) for app in listing.value.values() if "id" in app.server_fields
        )
        declared = self.assignment.active.tree.apps
        deployed = {
            slug: listing.value[slug]
            for slug in listed
            if slug in listing.value and slug in declared and Section.DEPLOYMENTS in declared[slug].sections
        }
        reading = await read_org_deployments_if_cheaper(self.remote.background, deployed)
        if isinstance(reading, ReadResult):
            listing.value.update(_with_deployments(deployed, reading.value))
        return listing

    async def _retry(self, request: Callable[[], Awaitable[T]]) -> T:
        """Send requests that everything needs, until they succeed."""
        failures = 0
        while True:
            await self.breaker.until_closed()
            try:
                return await request()
            except OctosyncError as error:
                self.breaker.record_failure(error)
                failures += 1
                await self._wait_after(error, RETRY_BACKOFF.draw(failures, self.chance))

    async def _follow_feed(self) -> tuple[Event, ...]:
        slugs = self.assignment.slugs
        # Events before the position are about drift that was known then. If there was none, they are not needed.
        had_drift = any(slug not in self.checkpoint.in_sync for slug in slugs)
        reach = self.assignment.active.hold if had_drift else timedelta()
        # Up to twenty pages cost less than a read of every app, if there are many.
        most_pages = min(_MOST_PAGES, max(_FEWEST_PAGES, len(slugs) // _APPS_PER_FEED_PAGE))
        newest = await self.feed.begin(reach, self.checkpoint.reaches_position, most_pages)
        if not isinstance(self.feed.off, Unreadable):  # which proves nothing about other responses
            self.breaker.record_success()
        self.feed.report_availability()
        return newest

    async def _wait_after(self, error: OctosyncError, pause: float) -> None:
        next_try = self.clock.now() + timedelta(seconds=pause)
        self.log.warning(
            "full_read_failed",
            message=f"the resync could not start: {error.message}",
            reference=error.reference,
            next_try=next_try.isoformat(timespec="seconds"),
        )
        await self.clock.sleep(pause)


def _with_deployments(apps: Mapping[str, App], deployments: Iterable[Deployment]) -> dict[str, App]:
    own: dict[str, list[Deployment]] = {slug: [] for slug in apps}
    for deployment in deployments:
        if deployment.app in own:
            own[deployment.app].append(deployment)
    return {
        slug: replace(
            app, deployments=tuple(own[slug]), complete_sections=app.complete_sections | {Section.DEPLOYMENTS}
        )
        for slug, app in apps.items()
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class Scheduler:
    """Puts apps into the queue. It only decides when an app is reconciled: every reconcile reads the live state."""

    queue: Queue
    resync: Resync
    tracker: StatusTracker
    assignment: AppAssignment
    rejections: RejectedActions
    feed: ActivityFeed
    checkpoint: Checkpoint
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
        self.checkpoint.discard(apps)

    def handle(self, update: FeedUpdate) -> None:
        """Reconcile every app that an event is about, unless the event is of our own write. Move the checkpoint past it."""
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
        if update.gap:
            self.checkpoint.clear()
        if update.gap or self.feed.off is not None:
            self.resync.request()
        self.checkpoint.advance(self.feed.newest)

    def _handle_event(self, slug: str, event: Event, *, is_own: bool) -> None:
        if self.queue.is_busy(slug):
            self.checkpoint.discard((slug,))
            self.feed.defer(slug, event)
        elif not is_own:
            self.checkpoint.discard((slug,))
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
