"""The aftermath of a turn: when the next one is, and what board, log, metrics and notifications are told of it."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Collection, Mapping
from datetime import datetime, timedelta

from octosync.errors import OctosyncError, StateLocked
from octosync.model import Address, Event, Outcome, Status
from octosync.plan import Verb
from octosync.watch.board import StatusTracker
from octosync.watch.clock import Clock
from octosync.watch.ended import NextStep, ReconcileResult
from octosync.watch.fullreads import Resync
from octosync.watch.gate import CircuitBreaker, backoff
from octosync.watch.log import Log
from octosync.watch.metrics import Metrics, ReconcileOutcome
from octosync.watch.orgfeed import ActivityFeed
from octosync.watch.queue import Priority, Queue, Work
from octosync.watch.refusals import RejectedActions
from octosync.watch.standing import AppState, DriftStatus
from octosync.watch.telling import NotificationCollector

# Drift is changed back just after its time, so that a clock that runs a little ahead doesn't look in vain.
_JUST_AFTER = timedelta(seconds=1)


class ResultRecorder:
    """Draws the consequences of turns. `held_elsewhere` is told who holds a target that an app may not have."""

    def __init__(
        self,
        *,
        queue: Queue,
        tracker: StatusTracker,
        feed: ActivityFeed,
        breaker: CircuitBreaker,
        resync: Resync,
        rejections: RejectedActions,
        clock: Clock,
        chance: random.Random,
        log: Log,
        metrics: Metrics,
        telling: NotificationCollector,
    ) -> None:
        self._queue = queue
        self._tracker = tracker
        self._feed = feed
        self._breaker = breaker
        self._resync = resync
        self._rejections = rejections
        self._clock = clock
        self._chance = chance
        self._log = log
        self._metrics = metrics
        self._telling = telling
        self._failures: Counter[str] = Counter()
        self._put_aside: dict[str, list[Event]] = {}
        self.last_success: datetime | None = None

    def put_event_aside(self, slug: str, event: Event) -> None:
        """Keep an event about an app that has its turn: whether it is that of our own write shows when the turn has ended."""
        self._put_aside.setdefault(slug, []).append(event)

    def reset_failures(self, slug: str) -> None:
        """Count an app's failures anew."""
        self._failures.pop(slug, None)

    def record_unsaved_load(self, apps: Collection[str], error: OctosyncError, failures: int) -> float:
        """Say that a commit to apps can't be noted, after so many failures; return in how many seconds to try again."""
        pause = backoff(failures, self._chance)
        now = self._clock.now()
        next_try = now + timedelta(seconds=pause)
        problem = ReconcileResult(
            id="", apps=frozenset(apps), next_step=NextStep.REQUEUE, errors=dict.fromkeys(apps, error)
        )
        self._tracker.record(problem, now, next_try)
        self.record_state_error(error, next_try)
        return pause

    def record_state_error(self, error: OctosyncError, next_try: datetime | None = None) -> None:
        """Say that something can't be noted in the state file, which is no reason to stop."""
        if isinstance(error, StateLocked):
            self._breaker.record_failure(error)
        self._log.error(
            "state_unusable",
            message=error.message,
            reference=error.reference,
            hints=list(error.hints),
            next_try=None if next_try is None else next_try.isoformat(timespec="seconds"),
        )

    def record(self, work: Work, ended: ReconcileResult, seconds: float) -> None:
        """Draw the consequences of one turn."""
        now = self._clock.now()
        if ended.left is not None and not ended.errors:
            self.last_success = now
        next_try = self._next_try(work, ended, now)
        before = {slug: one.drift for slug in ended.apps if (one := self._tracker.find(slug)) is not None}
        if ended.errors and not self._breaker.is_closed:
            moved: Mapping[str, tuple[AppState, AppState]] = {}  # what they met is nothing about them
            for slug in ended.apps:
                self._tracker.mark_pending(slug, now)
        else:
            moved = self._tracker.record(ended, now, next_try)
        for slug in ended.freed:
            self._queue.add(slug, Priority.CHANGED)
        for slug in ended.apps:
            for event in self._put_aside.pop(slug, ()):
                if not self._feed.take_own_write(event):
                    self._rejections.retry(slug)
                    self._queue.add(slug, Priority.CHANGED)
            if ended.run:
                self._resync.forget(slug)
        if self._breaker.is_closed or not ended.errors:
            self._resync.record_read(ended.apps)
        self._metrics.count_reconcile(_result(ended), seconds)
        for outcome in ended.outcomes:
            self._metrics.count_action(Verb(outcome.verb), outcome.address.kind, outcome.status)
        self._report(ended, before, moved, next_try)

    def _next_try(self, work: Work, ended: ReconcileResult, now: datetime) -> datetime | None:
        """Put the next turn into the queue, and return when it is, where that is for a failure."""
        first = min(ended.apps)
        if ended.next_step is NextStep.REQUEUE:
            if not self._breaker.is_closed:  # no app is to blame: it goes on as soon as there is a control plane again
                self._queue.add(first, work.priority)
                return None
            self._failures[first] += 1
            if ended.has_moved and self._failures[first] == 1:
                self._queue.add(first, Priority.CHANGED)  # what it is now has to be looked at, and nothing failed
                return None
            pause = backoff(self._failures[first], self._chance)
            self._queue.back_off(first, pause)
            return now + timedelta(seconds=pause)
        for slug in ended.apps:
            self._failures.pop(slug, None)
        if ended.look_at is not None:
            self._queue.add_later(first, max(0.0, (ended.look_at + _JUST_AFTER - now).total_seconds()))
        return None

    def _report(
        self,
        ended: ReconcileResult,
        before: Mapping[str, tuple[DriftStatus, ...]],
        moved: Mapping[str, tuple[AppState, AppState]],
        next_try: datetime | None,
    ) -> None:
        log = self._log.bind(run=ended.id or None, apps=sorted(ended.apps))
        for outcome in ended.outcomes:
            self._log_outcome(log, outcome, ended.replaced)
        for drift in ended.drift:
            if drift not in before.get(drift.address.app, ()):
                _log_drift(log, drift)
        for slug, error in ended.errors.items():
            log.warning(
                "turn_failed",
                message=error.message,
                app=slug,
                reference=error.reference,
                next_try=None if next_try is None else next_try.isoformat(timespec="seconds"),
            )
        for slug, (was, now) in moved.items():
            log.info("app_moved", message=f"{slug} is {now.value.replace('_', ' ')}", app=slug, was=was.value)
        self._telling.add_result(
            ended, self._clock.now(), {slug: self._failures[min(ended.apps)] for slug in ended.apps}
        )

    def _log_outcome(self, log: Log, outcome: Outcome, replaced: Mapping[Address, str | None]) -> None:
        write = log.info if outcome.status is Status.DONE else log.warning
        of_somebody = outcome.address in replaced
        actor = replaced.get(outcome.address)
        what = f", which replaces a change by {actor or 'somebody'}" if of_somebody else ""
        write(
            "action",
            message=f"{outcome.verb} {outcome.address}: {outcome.message or outcome.status.value}{what}",
            address=str(outcome.address),
            action=outcome.verb,
            result=outcome.status.value,
            replaces=(actor or "unknown") if of_somebody else None,
            reference=outcome.reference or None,
            request_ids=list(outcome.request_ids),
        )


def _log_drift(log: Log, drift: DriftStatus) -> None:
    until = None if drift.until is None else drift.until.isoformat(timespec="seconds")
    if drift.contested:
        what = "again and again, so it is left alone"
    else:
        what = f"which is held until {until}" if until is not None else "which is not changed back by itself"
    log.warning(
        "drift",
        message=f"{drift.actor or 'somebody'} changed {drift.address}, {what}",
        app=drift.address.app,
        address=str(drift.address),
        actor=drift.actor,
        until=until,
        contested=drift.contested or None,
    )


def _result(ended: ReconcileResult) -> ReconcileOutcome:
    """Name what came of a turn, the gravest first."""
    failed = ended.errors or any(one.retryable for one in ended.outcomes)
    if failed or ended.left is None:
        return ReconcileOutcome.FAILED
    if ended.refused:
        return ReconcileOutcome.REFUSED
    if ended.blocked:
        return ReconcileOutcome.BLOCKED
    if ended.left.actions or ended.left.held:
        return ReconcileOutcome.LEFT
    return ReconcileOutcome.APPLIED if ended.outcomes else ReconcileOutcome.IN_SYNC
