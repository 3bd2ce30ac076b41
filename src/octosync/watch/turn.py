"""One turn: one app, or the apps that a move ties together, from what is declared and what is live to what is written.

It is `reconcile`'s walk, with what only a controller knows added: the base that it remembers, what people hold, what a
change removes in all, and when nothing may be written.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from octosync.apply import Applied, Record
from octosync.errors import ExitCode, OctosyncError, RemoteError, Unavailable, Unreadable
from octosync.manifest.recalling import without as besides
from octosync.model import Address, App, Outcome, Reason, State, Status
from octosync.octomil import Octomil, Reading
from octosync.plan import (
    Action,
    ActionKey,
    Plan,
    Verb,
)
from octosync.plan.base import Base
from octosync.plan.guards.freeze import frozen_until
from octosync.plan.guards.restrict import exclude
from octosync.plan.remembering import remembered
from octosync.reconcile import ReviewedPlan, apply_reviewed
from octosync.state import Journal, new_run_id
from octosync.watch.canaries import CanaryLimit
from octosync.watch.changes import Changesets
from octosync.watch.clock import Clock
from octosync.watch.coverage import CoverageMonitor
from octosync.watch.drift import note_drift
from octosync.watch.ended import NextStep, ReconcileResult
from octosync.watch.gate import CircuitBreaker
from octosync.watch.looking import ActiveConfig, Observer, ReconcileContext
from octosync.watch.memory import Memory
from octosync.watch.orgfeed import ActivityFeed
from octosync.watch.permitting import Admission
from octosync.watch.queue import Priority, Work
from octosync.watch.refusals import RejectedActions
from octosync.watch.standing import DriftStatus

# After so long a canary that was started is looked at, once, and how many run is counted anew, where others that had just
# begun may have been counted twice.
_A_WHILE = timedelta(minutes=1)


@dataclass(slots=True)
class Reconciler:
    """Carries turns out, several at once, never two of one app.

    `begun` is told when a turn begins to write: its run's id, its apps and how many actions. What is being written when
    `stop` is set is finished.
    """

    remote: Octomil
    memory: Memory
    journal: Journal
    feed: ActivityFeed
    breaker: CircuitBreaker
    changes: Changesets
    observer: Observer
    clock: Clock
    stop: asyncio.Event
    rejections: RejectedActions
    admission: Admission
    coverage: CoverageMonitor
    begun: Callable[[str, frozenset[str], int], None] = lambda *_: None
    canaries: CanaryLimit = field(default_factory=CanaryLimit)

    async def reconcile(
        self, work: Work, active: ActiveConfig, listed: Reading[dict[str, App]] | None
    ) -> ReconcileResult:
        """Carry out one turn. Never raises for what the control plane answers."""
        apps = work.apps
        tree = State.of(*(active.tree.apps[slug] for slug in apps if slug in active.tree.apps))
        base = self._base_of(apps, tree, active)
        now = self.clock.now()
        context = ReconcileContext(new_run_id(now), now, apps, tree, base, self.memory.plane, self.memory.narrowed)
        # What is only read again lets everything else go first, with what it finds to be written, too.
        is_urgent = work.priority is Priority.CHANGED
        remote, writer = (self.remote, self.remote) if is_urgent else (self.remote.background, self.remote.patient)
        try:
            reviewed = await self.observer.observe(context, active, remote, listed)
        except RemoteError as error:
            self.breaker.record_failure(error, min(apps))
            return _failed(context, dict.fromkeys(apps, error))
        if reviewed.plan.errors:
            for problem in reviewed.plan.errors.values():
                if isinstance(
                    problem, Unavailable | Unreadable
                ):  # what only this app meets closes the way for no other
                    self.breaker.record_failure(problem, min(apps))
            return _failed(context, reviewed.plan.errors, left=reviewed.plan)
        if not self.memory.is_of(reviewed.observation.org_id):
            wrong = _wrong_org(reviewed.observation.org_id, self.memory.plane.org_id)
            self.breaker.record_failure(wrong)
            return _failed(context, dict.fromkeys(apps, wrong))
        if self.memory.plane != context.plane and self._base_of(apps, tree, active) != base:
            # The org is known only now, and with it what is to be compared with.
            return await self.reconcile(work, active, listed)
        self.breaker.record_success()
        ended = await self._go_on(context, reviewed, active, writer)
        is_full_read = work.priority is Priority.RESYNC
        return await self.coverage.add_to(ended, context.tree.apps, remote, is_full_read=is_full_read)

    def _base_of(self, apps: frozenset[str], tree: State, active: ActiveConfig) -> Base:
        base = self.memory.base_of(apps, tree)
        return replace(base, state=besides(base.state, active.others))

    # -- judging and writing

    async def _go_on(
        self, context: ReconcileContext, reviewed: ReviewedPlan, active: ActiveConfig, writer: Octomil
    ) -> ReconcileResult:
        plan, apps = reviewed.plan, context.apps
        now = self.clock.now()
        freed = self.changes.record_plan(apps, plan)
        self.memory.lapse(apps, plan.actions)
        review = self.admission.review(plan, apps, active)
        allowed, why = review.plan, review.waits_for
        most = active.deploy.max_canaries
        running = reviewed.observation.canaries if isinstance(reviewed.observation.canaries, int) else most
        crowded = self.canaries.reserve(allowed, running, most, context.began)
        if crowded:
            allowed, why = exclude(allowed, crowded), why or f"a place among {most} canaries in the org (maxCanaries)"
        applied, state = Applied(()), self.rejections.versions(apps)
        try:
            with self.admission.writing(context.id, allowed):
                if allowed.actions:
                    applied = await self._write(context, replace(reviewed, plan=allowed, refusals=()), active, writer)
        finally:
            self.canaries.release(allowed, _done(allowed, applied), self.clock.now())
        done = {one.key: one for one in allowed.actions if one.key in _done(allowed, applied)}
        drift = self._remember(context, plan, done, active)
        left = replace(plan, actions=tuple(one for one in plan.actions if one.key not in done))
        freed |= self.changes.record_rest(apps, left)
        outcomes = zip(allowed.actions, applied.outcomes, strict=True)
        refused = self.rejections.record(apps, plan, left, outcomes, stopped_by=applied.stopped_by, state=state)
        return ReconcileResult(
            id=context.id,
            apps=apps,
            next_step=self._next_step(left, applied, refused),
            left=left,
            seen=reviewed.observation,
            drift=drift,
            blocked=review.blocked,
            refused=refused,
            outcomes=applied.outcomes,
            replaced=_replaced(plan, done.values()),
            reverted=frozenset(one.address for one in done.values() if one.reason is Reason.DRIFT),
            run=context.id if allowed.actions else "",
            waiting=why,
            frozen_until=_frozen(apps, active, now),
            look_at=self._look_at(
                context,
                left,
                _frozen(apps, active, now) if left.actions else None,
                now + _A_WHILE if crowded or any(one.verb is Verb.OPTIMIZE for one in done.values()) else None,
            ),
            freed=freed,
            unsettled=review.unsettled,
        )

    async def _write(
        self, context: ReconcileContext, reviewed: ReviewedPlan, active: ActiveConfig, writer: Octomil
    ) -> Applied:
        began: dict[ActionKey, datetime] = {}

        def started(action: Action) -> None:
            began.setdefault(action.key, self.clock.now())

        record = Record.begin(
            self.journal,
            control_plane=self.remote.connection.url,
            org_id=reviewed.observation.org_id,
            digest=active.digest,
            clock=self.clock.now,
            run=context.id,
        )
        self.begun(record.run, frozenset(one.address.app for one in reviewed.plan.actions), len(reviewed.plan.actions))
        applied = await apply_reviewed(
            reviewed,
            writer,
            record=record,
            resume=active.apply_again,
            sensitivity=active.configuration.sensitivity,
            stop=self.stop,
            on_start=started,
        )
        for action, outcome in zip(reviewed.plan.actions, applied.outcomes, strict=True):
            if outcome.status in {Status.DONE, Status.NOT_KEPT} and action.key in began:
                self.feed.record_write(action.address, began[action.key], self.clock.now())
                self.observer.history.record_write(action.address, began[action.key])
        if applied.stopped_by is not None:
            self.breaker.record_failure(applied.stopped_by, min(context.apps), writing=True)
        else:
            self.breaker.record_success(wrote=applied.wrote)
        all_done = all(one.status is Status.DONE for one in applied.outcomes)
        record.end(int(ExitCode.DONE if all_done else ExitCode.PARTIAL))
        return applied

    # -- remembering

    def _remember(
        self, context: ReconcileContext, plan: Plan, done: Mapping[ActionKey, Action], active: ActiveConfig
    ) -> tuple[DriftStatus, ...]:
        for slug in sorted(context.apps):
            declared, known = context.tree.apps.get(slug), context.base.state.apps.get(slug)
            is_gone = known is not None and known.declared and (declared is None or not declared.declared)
            if is_gone and slug in active.unsettled:
                continue  # its document may come back, or its children's go, too: then it is an orphan with all it had
            before = None if slug in context.base.presumed else context.base.state.apps.get(slug)
            app = remembered(before, context.tree.apps.get(slug), plan, done.keys())
            if app is not None and self.memory.narrowed != context.narrowed:
                app = self.memory.in_sight(app)
            self.memory.remember(slug, app)
        for action in done.values():
            # By the plan's own word: a move by hand that is taken back has the reason of a move.
            if action.address in plan.drifted and action.verb is not Verb.ARCHIVE:
                self.memory.healed(action.address)
        self.memory.used(done.values())
        return note_drift(self.memory, context, plan, done.keys(), active)

    def _next_step(self, left: Plan, applied: Applied, refused: tuple[Outcome, ...]) -> NextStep:
        again = applied.stopped_by is not None or any(
            one.status is Status.STALE or one.status is Status.NOT_ATTEMPTED or one.retryable
            for one in applied.outcomes
        )
        if again:
            return NextStep.REQUEUE
        waits = left.actions or left.held or left.left_alone.waiting or refused
        return NextStep.WAIT if waits else NextStep.DONE

    def _look_at(self, context: ReconcileContext, left: Plan, *others: datetime | None) -> datetime | None:
        """Return when something ends that keeps the apps waiting: a hold, a freeze, or their own suspension."""
        suspensions = (app.suspension.until for app in context.tree if app.suspension is not None)
        ends = (*(one.until for one in left.held), *suspensions, *others)
        # What has ended since the turn began kept it waiting all the same: then the next one is due at once.
        return min((end for end in ends if end is not None and end > context.began), default=None)


def _failed(
    context: ReconcileContext, errors: Mapping[str, OctosyncError], left: Plan | None = None
) -> ReconcileResult:
    return ReconcileResult(id=context.id, apps=context.apps, next_step=NextStep.REQUEUE, left=left, errors=errors)


def _wrong_org(named: str | None, remembered: str | None) -> RemoteError:
    return RemoteError(
        "wrong-org",
        f"the control plane answers for org {named}, and what is remembered is that of {remembered}",
        hints=("Use a key of that org, or give this org a state file of its own: --state FILE.",),
    )


def _done(plan: Plan, applied: Applied) -> frozenset[ActionKey]:
    outcomes = zip(plan.actions, applied.outcomes, strict=bool(applied.outcomes))
    return frozenset(action.key for action, outcome in outcomes if outcome.status is Status.DONE)


def _replaced(plan: Plan, done: Iterable[Action]) -> Mapping[Address, str | None]:
    of_somebody = [one.address for one in done if one.reason in {Reason.DRIFT, Reason.DIVERGED}]
    changes = {at: plan.last_changes.get(at) for at in of_somebody}
    return {at: None if last is None else last.event.actor for at, last in changes.items()}


def _frozen(apps: Collection[str], active: ActiveConfig, now: datetime) -> datetime | None:
    ends = (frozen_until(active.configuration.freeze, slug, now) for slug in apps)
    return max((end for end in ends if end is not None), default=None)
