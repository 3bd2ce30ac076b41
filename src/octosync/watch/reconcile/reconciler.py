"""The reconciler: it brings one app, or the apps of a move, in line with their manifests.

It is the pipeline of `octosync.reconcile`, with the state of the controller: the stored baseline, holds, the removals of a
whole changeset, and the times in which nothing may be written. After a reconcile, it records the drift that stays for now, with
its author and the end of its hold.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from octosync.apply import ApplyResult, Listener
from octosync.errors import ExitCode, LeaseLost, OctosyncError, RemoteError, StateUnavailable, Unavailable, Unreadable
from octosync.manifest.git.base import without as besides
from octosync.model import Address, App, Outcome, Reason, RecordedOverride, RunAudit, Section, State, Status
from octosync.octomil import Octomil, ReadResult
from octosync.plan import (
    Action,
    ActionKey,
    Plan,
    Verb,
    frozen_until,
    next_baseline,
    overrides_of,
    plan_digest,
    recorded_policies,
)
from octosync.plan.three_way.verdict import Base
from octosync.reconcile import ReviewedPlan, apply_reviewed
from octosync.state import Journal, Record, new_run_id
from octosync.watch.coverage import CoverageMonitor
from octosync.watch.loop.activity_feed import ActivityFeed
from octosync.watch.loop.circuit_breaker import CircuitBreaker
from octosync.watch.loop.queue import Priority, Queue, Work
from octosync.watch.loop.scheduler import Resync
from octosync.watch.manifests.assignment import ActiveConfig, AppAssignment
from octosync.watch.memory import Memory
from octosync.watch.reconcile.admission import Admission
from octosync.watch.reconcile.observer import ObjectHistory, Observer, ReconcileContext, drift_fingerprints
from octosync.watch.reconcile.status_tracker import StatusTracker
from octosync.watch.settings import Clock, WriteMode
from octosync.watch.status import DriftStatus, NextStep, ReconcileResult


def record_drift(
    memory: Memory, context: ReconcileContext, plan: Plan, done: Collection[ActionKey], active: ActiveConfig
) -> tuple[DriftStatus, ...]:
    """Record the drift that is not reverted now; return who caused it and until when it is held. `done` was written."""
    reverted = {key.address for key in done}
    held = {change.action.address: change.until for change in plan.held}
    drifted = {
        address: print_
        for address, print_ in drift_fingerprints(plan).items()
        if address in held or address not in reverted
    }
    contested = memory.contested(context.apps)
    found = []
    for slug in sorted(context.apps):
        seen = memory.record_drift(
            slug, {address: value for address, value in drifted.items() if address.app == slug}, context.began
        )
        for address, since in sorted(seen.items()):
            last = plan.last_changes.get(address)
            found.append(
                DriftStatus(
                    address=address,
                    first_seen=since,
                    actor=last.event.actor if last is not None else None,
                    at=last.event.at if last is not None else None,
                    until=_left_until(address, held, active, context.began),
                    contested=address in contested,
                    reverts=memory.reverts(address),
                )
            )
    return tuple(found)


def _left_until(
    address: Address, held: Mapping[Address, datetime | None], active: ActiveConfig, now: datetime
) -> datetime | None:
    """Return until when drift is held: the end of its hold, or of a freeze window at that time. None: it isn't reverted."""
    until = held.get(address, now)
    if active.write_mode is WriteMode.NONE or until is None:
        return None
    return frozen_until(active.configuration.freeze, address.app, until) or held.get(address)


# After this time a canary that was started is read once, and the running canaries are counted anew, since some that had just
# begun may have been counted twice.
_A_WHILE = timedelta(minutes=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanWriter:
    """Writes what was admitted of a plan. `audit` is what the journal records of every run."""

    journal: Journal
    queue: Queue
    tracker: StatusTracker
    breaker: CircuitBreaker
    feed: ActivityFeed
    history: ObjectHistory
    clock: Clock
    audit: RunAudit

    async def write(
        self,
        context: ReconcileContext,
        reviewed: ReviewedPlan,
        active: ActiveConfig,
        remote: Octomil,
        stop: asyncio.Event,
        approved: Iterable[str] = (),
    ) -> tuple[ApplyResult, Record]:
        """Write a reviewed plan, and record in the journal what every write did. Once `stop` is set, no action starts.

        `approved` are the guards whose refusals were approved. Return the result, and the record of the run, which is not ended.
        """
        began: dict[ActionKey, datetime] = {}

        def started(action: Action) -> None:
            began.setdefault(action.key, self.clock.now())

        record = Record.begin(
            self.journal,
            control_plane=remote.connection.url,
            org_id=reviewed.observation.org_id,
            digest=active.digest,
            clock=self.clock.now,
            run=context.id,
            audit=self._audit_of(reviewed.plan, active, approved),
        )
        apps = frozenset(action.address.app for action in reviewed.plan.actions)
        self.queue.start_writing(apps)
        self.tracker.begin_run(record.run, reviewed.plan.actions, active.commit, self.clock.now())
        applied = await apply_reviewed(
            reviewed,
            remote,
            record=record,
            resume=active.apply_again,
            sensitivity=active.configuration.sensitivity,
            stop=stop,
            listener=Listener(started=started),
        )
        for action, outcome in zip(reviewed.plan.actions, applied.outcomes, strict=True):
            if outcome.status in {Status.DONE, Status.NOT_KEPT} and action.key in began:
                self.feed.record_write(action.address, began[action.key], self.clock.now())
                self.history.record_write(action.address, began[action.key])
        if applied.stopped_by is not None:
            self.breaker.record_failure(applied.stopped_by, min(context.apps), writing=True)
        else:
            self.breaker.record_success(wrote=applied.wrote)
        return applied, record

    def _audit_of(self, plan: Plan, active: ActiveConfig, approved: Iterable[str]) -> RunAudit:
        configuration = active.configuration
        overrides = (
            *(RecordedOverride(found.guard, found.value, found.source) for found in overrides_of(active.policy)),
            *(RecordedOverride(guard, "", "approval") for guard in approved),
        )
        return replace(
            self.audit,
            context=active.context,
            revision=active.revision or None,
            overrides=overrides,
            plan_digest=plan_digest(plan, configuration.contract, configuration.sensitivity),
            policies=recorded_policies(plan.policies, plan.actions, {override.guard for override in overrides})
            if plan.policies
            else (),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Reconciler:
    """Reconciles apps: observe, admit, write. Several reconciles run at once, never two of one app."""

    remote: Octomil
    assignment: AppAssignment
    resync: Resync
    memory: Memory
    breaker: CircuitBreaker
    observer: Observer
    admission: Admission
    writer: PlanWriter
    coverage: CoverageMonitor
    clock: Clock

    async def reconcile(self, work: Work) -> ReconcileResult:
        """Reconcile the apps of one work item. Never raises for what the control plane returns."""
        listed = self.resync.listed_apps(work.apps) if work.priority is Priority.RESYNC else None
        try:
            return await self._reconcile(work, self.assignment.active, listed)
        except (StateUnavailable, LeaseLost) as error:
            self.breaker.record_failure(error)
            raise

    async def _reconcile(
        self, work: Work, active: ActiveConfig, listed: ReadResult[dict[str, App]] | None
    ) -> ReconcileResult:
        apps = work.apps
        context = self._context(apps, active)
        # A resync has the lowest priority, and so have its writes.
        is_urgent = work.priority is Priority.CHANGED
        reader, writer = (self.remote, self.remote) if is_urgent else (self.remote.background, self.remote.patient)
        try:
            reviewed = await self.observer.observe(context, active, reader, listed)
            if reviewed.plan.actions and listed is not None and _has_deployments(listed.value):
                # Deployments change on their own: a canary that has begun since they were listed guards its slot.
                reviewed = await self.observer.observe(context, active, reader, None)
        except RemoteError as error:
            self.breaker.record_failure(error, min(apps))
            return _failed(context, dict.fromkeys(apps, error))
        if reviewed.plan.errors:
            for problem in reviewed.plan.errors.values():
                if isinstance(problem, Unavailable | Unreadable):  # other errors are about their app alone
                    self.breaker.record_failure(problem, min(apps))
            return _failed(context, reviewed.plan.errors, left=reviewed.plan)
        if not self.memory.belongs_to(reviewed.observation.org_id):
            wrong = _wrong_org(reviewed.observation.org_id, self.memory.plane.org_id)
            self.breaker.record_failure(wrong)
            return _failed(context, dict.fromkeys(apps, wrong))
        if self.memory.plane != context.plane and self._base_of(apps, context.tree, active) != context.base:
            # The org is known only now, and with it the base.
            return await self._reconcile(work, active, listed)
        self.breaker.record_success()
        result = await self._admit_and_write(context, reviewed, active, writer, work.interrupted)
        is_resync = work.priority is Priority.RESYNC
        return await self.coverage.add_gaps(result, context.tree.apps, reader, is_full_read=is_resync)

    def _context(self, apps: frozenset[str], active: ActiveConfig) -> ReconcileContext:
        tree = State.from_apps(*(active.tree.apps[slug] for slug in apps if slug in active.tree.apps))
        base = self._base_of(apps, tree, active)
        now = self.clock.now()
        change = self.admission.changesets.find(apps)
        return ReconcileContext(
            id=new_run_id(now),
            began=now,
            apps=apps,
            tree=tree,
            base=base,
            plane=self.memory.plane,
            narrowed=self.memory.narrowed,
            change=frozenset() if change is None else frozenset(change.apps),
        )

    def _base_of(self, apps: frozenset[str], tree: State, active: ActiveConfig) -> Base:
        base = self.memory.base_of(apps, tree)
        return replace(base, state=besides(base.state, active.others)) if active.others.apps else base

    async def _admit_and_write(
        self,
        context: ReconcileContext,
        reviewed: ReviewedPlan,
        active: ActiveConfig,
        remote: Octomil,
        stop: asyncio.Event,
    ) -> ReconcileResult:
        plan, apps, now = reviewed.plan, context.apps, self.clock.now()
        canaries = (
            reviewed.observation.canaries
            if isinstance(reviewed.observation.canaries, int)
            else active.deploy.max_canaries
        )
        review = self.admission.review(plan, context, active, canaries)
        applied, record = ApplyResult(()), None
        try:
            with self.admission.writing(context, review):
                if review.plan.actions:
                    self.memory.begin_writing(context.apps)
                    applied, record = await self.writer.write(
                        context, replace(reviewed, plan=review.plan, refusals=()), active, remote, stop, review.approved
                    )
        finally:
            self.admission.release_canaries(review, _done(review.plan, applied))
        done_keys = _done(review.plan, applied)
        done = {action.key: action for action in review.plan.actions if action.key in done_keys}
        drift: tuple[DriftStatus, ...] = ()
        with self._recording():
            if record is not None:
                record.end(_exit_code(applied))
            drift = self._remember(context, plan, done, active)
        left = replace(plan, actions=tuple(action for action in plan.actions if action.key not in done))
        freed, refused = self.admission.record(context, plan, left, review, applied)
        frozen = _frozen(apps, active, now)
        is_optimized = any(action.verb is Verb.OPTIMIZE for action in done.values())
        return ReconcileResult(
            id=context.id,
            apps=apps,
            next_step=_next_step(left, applied, refused),
            remaining=left,
            observed=reviewed.observation,
            drift=drift,
            blocked=review.blocked,
            refused=refused,
            errors=self._errors_of(applied, apps),
            outcomes=applied.outcomes,
            replaced=_replaced(plan, done.values()),
            reverted=frozenset(action.address for action in done.values() if action.reason is Reason.DRIFT),
            run=context.id if review.plan.actions else "",
            waits_for=review.waits_for,
            frozen_until=frozen,
            due_at=_due_at(
                context,
                left,
                frozen if left.actions else None,
                now + _A_WHILE if review.is_crowded or is_optimized else None,
                review.due_at,
            ),
            freed=freed,
            unsettled=review.unsettled,
        )

    def _errors_of(self, applied: ApplyResult, apps: Iterable[str]) -> Mapping[str, OctosyncError]:
        """Return why nothing could be recorded, and so nothing was sent, unless that holds everything back."""
        error = applied.stopped_by
        if error is None or isinstance(error, RemoteError) or not self.breaker.is_closed:
            return {}
        return dict.fromkeys(apps, error)

    @contextmanager
    def _recording(self) -> Iterator[None]:
        """Record what has happened. While the database can't be used, nothing follows from it, but it is not forgotten."""
        try:
            with self.memory.facts():
                yield
        except (StateUnavailable, LeaseLost) as error:
            self.breaker.record_failure(error)

    def _remember(
        self, context: ReconcileContext, plan: Plan, done: Mapping[ActionKey, Action], active: ActiveConfig
    ) -> tuple[DriftStatus, ...]:
        for slug in sorted(context.apps):
            declared, known = context.tree.apps.get(slug), context.base.state.apps.get(slug)
            is_gone = known is not None and known.declared and (declared is None or not declared.declared)
            if is_gone and slug in active.unsettled:
                continue  # its document may come back, or those of its children go, too: then it is an orphan with all of it
            before = None if slug in context.base.presumed else context.base.state.apps.get(slug)
            app = next_baseline(before, context.tree.apps.get(slug), plan, done.keys())
            if app is not None and self.memory.narrowed != context.narrowed:
                app = self.memory.visible_part(app)
            self.memory.remember(slug, app)
        for action in done.values():
            # By `drifted`, not by its reason: a move by hand that is reverted has the reason of a move.
            if action.address in plan.drifted and action.verb is not Verb.ARCHIVE:
                self.memory.record_revert(action.address)
        self.memory.use_approvals(done.values())
        return record_drift(self.memory, context, plan, done.keys(), active)


def _has_deployments(listed: Mapping[str, App]) -> bool:
    return any(Section.DEPLOYMENTS in app.complete_sections for app in listed.values())


def _failed(
    context: ReconcileContext, errors: Mapping[str, OctosyncError], left: Plan | None = None
) -> ReconcileResult:
    return ReconcileResult(id=context.id, apps=context.apps, next_step=NextStep.REQUEUE, remaining=left, errors=errors)


def _wrong_org(named: str | None, remembered: str | None) -> RemoteError:
    return RemoteError(
        "wrong-org",
        f"the API key belongs to org {named}, but the stored state belongs to org {remembered}",
        hints=("Use a key of that org, or a separate state file for this org: --state FILE.",),
    )


def _done(plan: Plan, applied: ApplyResult) -> frozenset[ActionKey]:
    outcomes = zip(plan.actions, applied.outcomes, strict=bool(applied.outcomes))
    return frozenset(action.key for action, outcome in outcomes if outcome.status is Status.DONE)


def _exit_code(applied: ApplyResult) -> int:
    is_done = all(outcome.status is Status.DONE for outcome in applied.outcomes)
    return int(ExitCode.DONE if is_done else ExitCode.PARTIAL)


def _replaced(plan: Plan, done: Iterable[Action]) -> Mapping[Address, str | None]:
    reverted = [action.address for action in done if action.reason in {Reason.DRIFT, Reason.DIVERGED}]
    changes = {address: plan.last_changes.get(address) for address in reverted}
    return {address: None if last is None else last.event.actor for address, last in changes.items()}


def _frozen(apps: Collection[str], active: ActiveConfig, now: datetime) -> datetime | None:
    ends = (frozen_until(active.configuration.freeze, slug, now) for slug in apps)
    return max((end for end in ends if end is not None), default=None)


def _next_step(left: Plan, applied: ApplyResult, refused: tuple[Outcome, ...]) -> NextStep:
    again = applied.stopped_by is not None or any(
        outcome.status is Status.STALE or outcome.status is Status.NOT_ATTEMPTED or outcome.retryable
        for outcome in applied.outcomes
    )
    if again:
        return NextStep.REQUEUE
    waits = left.actions or left.held or left.left_alone.waiting or refused
    return NextStep.WAIT if waits else NextStep.DONE


def _due_at(context: ReconcileContext, left: Plan, *others: datetime | None) -> datetime | None:
    """Return when the first of what the apps wait for ends: a hold, a freeze, or their own suspension."""
    suspensions = (app.suspension.until for app in context.tree if app.suspension is not None)
    ends = (*(change.until for change in left.held), *suspensions, *others)
    # What has ended since the reconcile began kept the apps waiting all the same: then the next one is due at once.
    return min((end for end in ends if end is not None and end > context.began), default=None)
