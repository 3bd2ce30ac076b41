"""The scheduler: which apps are reconciled next, because of an event, a load of the manifests, or a person's request."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from octosync.model import Event
from octosync.watch.loop.activity_feed import ActivityFeed, FeedUpdate
from octosync.watch.loop.queue import Priority, Queue
from octosync.watch.loop.resync import Resync
from octosync.watch.manifests.assignment import AppAssignment
from octosync.watch.reconcile.rejections import RejectedActions
from octosync.watch.reconcile.status_tracker import StatusTracker
from octosync.watch.settings import Clock
from octosync.watch.status import AppState


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
        for event in update.events:
            slug = self.feed.app_of(event)
            if slug is not None and slug in slugs:
                self._handle_event(slug, event)
            for waiting in self.rejections.waiting_for(event) & slugs:
                self.rejections.retry(waiting)
                self.reconcile_soon(waiting)
        self.feed.report_availability()
        if update.gap or self.feed.off is not None:
            self.resync.request()

    def _handle_event(self, slug: str, event: Event) -> None:
        if self.queue.is_busy(slug):
            self.feed.defer(slug, event)
        elif not self.feed.take_own_write(event):
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
