"""The results of reconciles: they decide the next reconcile of each app, and update status, log, metrics and notifications."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Final

from octosync.errors import LeaseLost, OctosyncError, StateLocked, StateUnavailable
from octosync.model import Address, Outcome, Status, counted
from octosync.plan import Verb
from octosync.state import InSyncApp
from octosync.watch.log import Log
from octosync.watch.loop.circuit_breaker import RETRY_BACKOFF, CircuitBreaker
from octosync.watch.loop.queue import Priority, Work
from octosync.watch.loop.scheduler import Scheduler
from octosync.watch.memory import Memory
from octosync.watch.metrics import Metrics, ReconcileOutcome
from octosync.watch.notify.events import NotificationCollector
from octosync.watch.reconcile.status_tracker import StatusTracker
from octosync.watch.settings import Clock
from octosync.watch.status import AppState, DriftStatus, NextStep, ReconcileResult

# Drift is reverted just after its time, so that a clock that is slightly ahead doesn't cause a second reconcile.
_JUST_AFTER: Final = timedelta(seconds=1)


@dataclass(slots=True, kw_only=True)
class ResultRecorder:
    """Records results. `last_success` is when an app was last read and planned without an error."""

    scheduler: Scheduler
    tracker: StatusTracker
    breaker: CircuitBreaker
    memory: Memory
    notifications: NotificationCollector
    metrics: Metrics
    clock: Clock
    chance: random.Random
    log: Log
    last_success: datetime | None = None
    _failures: Counter[str] = field(default_factory=Counter)  # of an app, in a row
    _is_save_failing: bool = False

    def record(self, work: Work, result: ReconcileResult, seconds: float) -> None:
        """Record the result of a reconcile, and put into the queue what follows from it."""
        queue, assignment = self.scheduler.queue, self.scheduler.assignment
        tied = assignment.record_holders(result.observed) if result.observed is not None else frozenset()
        # An app that waits for a second check of its files is reconciled after it.
        result = replace(result, apps=result.apps - work.dropped, freed=result.freed - assignment.active.unsettled)
        self._record(work, result, seconds)
        for slug in sorted(assignment.withhold(result.unsettled)):
            self.scheduler.reconcile_soon(slug)
        if work.priority is Priority.CHANGED or not self.scheduler.resync.is_running:
            self.notify()
        for slug in sorted(tied):
            queue.add(slug, Priority.CHANGED)
        self._record_in_sync(work, result, seconds)

    def _record_in_sync(self, work: Work, result: ReconcileResult, seconds: float) -> None:
        """Record in the checkpoint which apps are in sync, and need no further reconcile."""
        assignment, checkpoint = self.scheduler.assignment, self.memory.checkpoint
        began = self.clock.now() - timedelta(seconds=seconds)
        for slug in sorted(result.apps):
            app = self.tracker.find(slug)
            is_done = app is not None and app.state is AppState.IN_SYNC and not app.canaries
            if not is_done or result.observed is None or result.due_at is not None or self.scheduler.queue.has(slug):
                checkpoint.discard((slug,))
                continue
            live = result.observed.state.apps.get(slug)  # None if the app was created after that
            id_ = None if live is None else live.server_fields.get("id")
            app_id = None if id_ is None else str(id_)
            checkpoint.record(slug, InSyncApp(began, assignment.basis_of(slug), app_id), work.since)
        if checkpoint.is_full:
            self.save_checkpoint()

    def save_checkpoint(self) -> None:
        """Save the checkpoint, if it has changed. If that fails, the next save has these changes, too."""
        try:
            self.memory.checkpoint.save()
        except StateLocked:
            return
        except (StateUnavailable, LeaseLost) as error:
            self.breaker.record_failure(error)
        except OctosyncError as error:
            if not self._is_save_failing:
                self.record_state_error(error)
            self._is_save_failing = True
        else:
            self._is_save_failing = False

    def record_resync(self) -> None:
        """Record that every app was read again."""
        resync = self.scheduler.resync
        self.notify()
        seconds = _seconds(resync.took)
        message = f"{counted(resync.total, 'app')} read in {seconds} s"
        self.log.info("full_read", message=message, apps=resync.total, seconds=seconds)
        if resync.took is not None and resync.took > resync.every:
            self.log.warning(
                "full_read_stretched",
                message="a resync takes longer than --resync at this rate; the next one starts right after it",
                seconds=_seconds(resync.took),
                resync=_seconds(resync.every),
            )
        try:
            if not any(self.tracker.in_state(AppState.UNREAD, AppState.FAILING)):
                self.memory.mark_whole()
            self.memory.prune()
        except OctosyncError as error:  # the next resync records it, too
            self.record_state_error(error)
        self.save_checkpoint()

    def record_unsaved_load(self, apps: Collection[str], error: OctosyncError, failures: int) -> float:
        """Record that a load can't be saved, after this many failures; return the seconds until the next attempt."""
        pause = RETRY_BACKOFF.draw(failures, self.chance)
        now = self.clock.now()
        next_try = now + timedelta(seconds=pause)
        self.record_state_error(error, next_try)
        if self.breaker.is_closed:
            errors = dict.fromkeys(apps, error)
            failed = ReconcileResult(id="", apps=frozenset(apps), next_step=NextStep.REQUEUE, errors=errors)
            self.tracker.record(failed, now, next_try)
        else:  # no app is to blame
            for slug in apps:
                self.tracker.mark_pending(slug, now)
        return pause

    def record_state_error(self, error: OctosyncError, next_try: datetime | None = None) -> None:
        """Record that the state file can't be written, which is no reason to stop."""
        if isinstance(error, StateUnavailable | LeaseLost):
            self.breaker.record_failure(error)
        self.log.error(
            "state_unusable",
            message=error.message,
            reference=error.reference,
            hints=list(error.hints),
            next_try=None if next_try is None else next_try.isoformat(timespec="seconds"),
        )

    def start_over(self, slug: str) -> None:
        """Forget why an app waits: its manifest has changed, or a person has requested a reconcile."""
        self.scheduler.rejections.forget(slug)
        self._failures.pop(slug, None)

    def notify(self) -> None:
        """Send the notifications that were collected, once all apps of a commit, or of a manual change, are reconciled."""
        if not self.scheduler.queue.is_changing and not self.scheduler.assignment.withholds:
            self.notifications.flush()

    def _record(self, work: Work, result: ReconcileResult, seconds: float) -> None:
        now, scheduler = self.clock.now(), self.scheduler
        if result.remaining is not None and not result.errors:
            self.last_success = now
        next_try = self._next_try(work, result, now)
        before = {slug: app.drift for slug in result.apps if (app := self.tracker.find(slug)) is not None}
        if result.errors and not self.breaker.is_closed:
            moved: Mapping[str, tuple[AppState, AppState]] = {}  # the errors don't concern these apps
            for slug in result.apps:
                self.tracker.mark_pending(slug, now)
        else:
            moved = self.tracker.record(result, now, next_try)
        for slug in result.freed:
            scheduler.queue.add(slug, Priority.CHANGED)
        for slug in result.apps:
            for _ in scheduler.feed.take_deferred(slug):
                scheduler.rejections.retry(slug)
                scheduler.queue.add(slug, Priority.CHANGED)
            if work.is_writing:
                scheduler.resync.forget(slug)
        if self.breaker.is_closed or not result.errors:
            scheduler.resync.record_read(result.apps)
        self.metrics.observe_wait(work.waited)
        self.metrics.count_reconcile(_outcome(result), seconds)
        for outcome in result.outcomes:
            self.metrics.count_action(Verb(outcome.verb), outcome.address.kind, outcome.status)
        self._report(result, before, moved, next_try)

    def _next_try(self, work: Work, result: ReconcileResult, now: datetime) -> datetime | None:
        """Put the next reconcile into the queue; return when it is, if it is for a failure."""
        queue = self.scheduler.queue
        if work.interrupted.is_set():  # the rest is planned anew
            for slug in result.apps:
                queue.add(slug, Priority.CHANGED)
            return None
        first = min(result.apps)
        if result.next_step is NextStep.REQUEUE:
            if not self.breaker.is_closed:  # not an error of the app: it is reconciled once the control plane is back
                queue.add(first, work.priority)
                return None
            self._failures[first] += 1
            if result.has_moved and self._failures[first] == 1:
                queue.add(first, Priority.CHANGED)  # nothing failed, and what it is now has to be read
                return None
            pause = RETRY_BACKOFF.draw(self._failures[first], self.chance)
            queue.back_off(first, pause)
            return now + timedelta(seconds=pause)
        for slug in result.apps:
            self._failures.pop(slug, None)
        if result.due_at is not None:
            queue.add_later(first, max(0.0, (result.due_at + _JUST_AFTER - now).total_seconds()))
        return None

    def _report(
        self,
        result: ReconcileResult,
        before: Mapping[str, tuple[DriftStatus, ...]],
        moved: Mapping[str, tuple[AppState, AppState]],
        next_try: datetime | None,
    ) -> None:
        log = self.log.bind(run=result.id or None, apps=sorted(result.apps))
        for outcome in result.outcomes:
            _log_outcome(log, outcome, result.replaced)
        for drift in result.drift:
            if drift not in before.get(drift.address.app, ()):
                _log_drift(log, drift)
        log = self.log.bind(run=result.id or None)  # the next lines name one app each
        for slug, error in result.errors.items():
            log.warning(
                "turn_failed",
                message=error.message,
                app=slug,
                reference=error.reference,
                next_try=None if next_try is None else next_try.isoformat(timespec="seconds"),
            )
        for slug, (was, now) in moved.items():
            is_first = was is AppState.UNREAD
            if not is_first or now is not AppState.IN_SYNC:  # `ready` counts those that are in sync from the start
                before_it = None if is_first else was.value
                log.info("app_moved", message=f"{slug} is {now.value.replace('_', ' ')}", app=slug, was=before_it)
        failures = {slug: self._failures[min(result.apps)] for slug in result.apps}
        self.notifications.add_result(result, self.clock.now(), failures)


def _log_outcome(log: Log, outcome: Outcome, replaced: Mapping[Address, str | None]) -> None:
    write = log.info if outcome.status in {Status.DONE, Status.NOT_ATTEMPTED} else log.warning
    replaces_change = outcome.address in replaced
    actor = replaced.get(outcome.address)
    what = f", which replaces a change by {actor or 'an unknown author'}" if replaces_change else ""
    write(
        "action",
        message=f"{outcome.verb} {outcome.address}: {outcome.message or outcome.status.value}{what}",
        address=str(outcome.address),
        action=outcome.verb,
        result=outcome.status.value,
        replaces=(actor or "unknown") if replaces_change else None,
        reference=outcome.reference or None,
        request_ids=list(outcome.request_ids),
    )


def _log_drift(log: Log, drift: DriftStatus) -> None:
    until = None if drift.until is None else drift.until.isoformat(timespec="seconds")
    if drift.contested:
        what = "which changed again after each revert, so it is left alone"
    else:
        what = f"which is held until {until}" if until is not None else "which is not reverted automatically"
    log.warning(
        "drift",
        message=f"{drift.actor or 'an unknown author'} changed {drift.address}, {what}",
        app=drift.address.app,
        address=str(drift.address),
        actor=drift.actor,
        until=until,
        contested=drift.contested or None,
    )


def _outcome(result: ReconcileResult) -> ReconcileOutcome:
    """Return the outcome of a reconcile, the most severe that applies."""
    failed = result.errors or any(outcome.retryable for outcome in result.outcomes)
    if failed or result.remaining is None:
        return ReconcileOutcome.FAILED
    if result.refused:
        return ReconcileOutcome.REFUSED
    if result.blocked:
        return ReconcileOutcome.BLOCKED
    if result.remaining.actions or result.remaining.held:
        return ReconcileOutcome.LEFT
    return ReconcileOutcome.APPLIED if result.outcomes else ReconcileOutcome.IN_SYNC


def _seconds(span: timedelta | None) -> float | None:
    return None if span is None else round(span.total_seconds(), 1)
