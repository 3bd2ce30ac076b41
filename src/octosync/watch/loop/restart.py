"""The start of a controller: after a restart, only the apps are read that the checkpoint doesn't know to be in sync.

The activity feed shows which apps have changed since the checkpoint was saved. If it doesn't reach back that far, or can't be
read, every app is read before the controller is ready. Otherwise these are read: apps that an event is about, apps with another
manifest, and apps that were not in sync. The resync of all apps follows when it is due.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from octosync.model import Event, counted
from octosync.watch.checkpoint import Checkpoint
from octosync.watch.log import Log
from octosync.watch.loop.activity_feed import FeedUpdate
from octosync.watch.loop.scheduler import Scheduler
from octosync.watch.memory import Memory
from octosync.watch.reconcile.results import ResultRecorder
from octosync.watch.status import AppState


@dataclass(frozen=True, slots=True, kw_only=True)
class Restart:
    """Reads what has to be read before the controller is ready, and logs why it is ready."""

    scheduler: Scheduler
    checkpoint: Checkpoint
    memory: Memory
    results: ResultRecorder
    log: Log

    async def run(self) -> None:
        """Read what has to be read."""
        if await self._catch_up():
            return
        resync = self.scheduler.resync
        await resync.run()
        self.results.record_resync()
        self._log_ready("full_read", 0, resync.total)

    async def _catch_up(self) -> bool:
        """Read the apps that are not known to be in sync. Return False if the checkpoint can't be used."""
        scheduler, checkpoint = self.scheduler, self.checkpoint
        newest = await scheduler.resync.follow_feed()
        events = checkpoint.new_events(newest)
        if events is not None:
            self._keep_known(newest)
        if events is None or not checkpoint.in_sync:
            why = self._why_not(is_reached=events is not None)
            if scheduler.feed.off is None:
                checkpoint.clear()
                checkpoint.advance(scheduler.feed.newest)
            self.log.info("reading_all", message=f"reading every app: {why}", why=why)
            return False
        for slug, app in checkpoint.in_sync.items():
            scheduler.tracker.restore(slug, app.at)
        changed = scheduler.assignment.changed_since_last_run if self.memory.is_whole else frozenset()
        for slug in sorted(changed | (self._unsettled & set(scheduler.assignment.slugs))):
            scheduler.reconcile_soon(slug)
        scheduler.handle(FeedUpdate(events))
        self.results.last_success = max((app.at for app in checkpoint.in_sync.values()), default=None)
        unread = [slug for slug in scheduler.assignment.slugs if slug not in checkpoint.in_sync]
        unchanged = len(checkpoint.in_sync)
        await scheduler.resync.catch_up(unread)
        self.results.notify()
        self.results.save_checkpoint()
        self._log_ready("feed", unchanged, len(unread))
        return True

    @property
    def _unsettled(self) -> frozenset[str]:
        return frozenset(self.memory.unsettled_apps(self.scheduler.clock.now()))

    def _log_ready(self, by: str, unchanged: int, read: int) -> None:
        known = f", {unchanged:,} unchanged since the last read" if unchanged else ""
        in_state = ((state, sum(1 for _ in self.scheduler.tracker.in_state(state))) for state in AppState)
        states = ", ".join(f"{count:,} {state.value.replace('_', ' ')}" for state, count in in_state if count)
        message = f"ready: {counted(read, 'app')} read{known}{f'; {states}' if states else ''}"
        self.log.info("ready", message=message, by=by, unchanged=unchanged, read=read)

    def _why_not(self, *, is_reached: bool) -> str:
        """Return why the checkpoint can't be used; `is_reached` is whether the feed reaches back to it."""
        if self.scheduler.feed.off is not None:
            return "the activity feed can't be read"
        if not self.checkpoint.has_position:
            return "no position in the activity feed is stored"
        if not is_reached:
            return "the activity feed does not reach back to the stored position"
        return "no app is known to be in sync with this configuration"

    def _keep_known(self, newest: Collection[Event]) -> None:
        """Keep the apps whose manifests are the same, and that events can't be about without naming them.

        A feed that names apps by id alone can't name an app whose id is unknown, now or later.

        Receivers may still have to learn that a problem of an app is over: it is read, too. So is an app that another process may
        have been writing to when it ended.
        """
        assignment, checkpoint = self.scheduler.assignment, self.checkpoint
        changed = assignment.changed_since_last_run | self.memory.apps_with_notifications() | self._unsettled
        kept = {
            slug
            for slug in assignment.slugs
            if slug not in changed
            and (app := checkpoint.in_sync.get(slug)) is not None
            and app.basis == assignment.basis_of(slug)
        }
        checkpoint.keep(kept)
        ids = {app.app_id: slug for slug, app in checkpoint.in_sync.items() if app.app_id is not None}
        self.scheduler.feed.learn_slugs(ids.items())
        if any(event.app is None and event.app_id is not None for event in newest):
            checkpoint.keep(ids.values())
