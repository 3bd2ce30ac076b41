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
from octosync.reconcile import Turn, act
from octosync.state import Journal, new_run_id
from octosync.watch.canaries import Canaries
from octosync.watch.changes import Changes
from octosync.watch.clock import Clock
from octosync.watch.coverage import CoverageMonitor
from octosync.watch.drift import note_drift
from octosync.watch.ended import Ended, Fate
from octosync.watch.gate import Gate
from octosync.watch.looking import InForce, Looking, Scope
from octosync.watch.memory import Memory
from octosync.watch.orgfeed import OrgFeed
from octosync.watch.permitting import Permits
from octosync.watch.queue import Priority, Work
from octosync.watch.refusals import Refusals
from octosync.watch.standing import DriftStanding

# After so long a canary that was started is looked at, once, and how many run is counted anew, where others that had just
# begun may have been counted twice.
_A_WHILE = timedelta(minutes=1)


@dataclass(slots=True)
class Turns:
    """Carries turns out, several at once, never two of one app.

    `begun` is told when a turn begins to write: its run's id, its apps and how many actions. What is being written when
    `stop` is set is finished.
    """

    remote: Octomil
    memory: Memory
    journal: Journal
    feed: OrgFeed
    gate: Gate
    changes: Changes
    looking: Looking
    clock: Clock
    stop: asyncio.Event
    refusals: Refusals
    permits: Permits
    coverage: CoverageMonitor
    begun: Callable[[str, frozenset[str], int], None] = lambda *_: None
    canaries: Canaries = field(default_factory=Canaries)

    async def carry_out(self, work: Work, force: InForce, listed: Reading[dict[str, App]] | None) -> Ended:
        """Carry out one turn. Never raises for what the control plane answers."""
        apps = work.apps
        tree = State.of(*(force.tree.apps[slug] for slug in apps if slug in force.tree.apps))
        base = self._base_of(apps, tree, force)
        now = self.clock.now()
        scope = Scope(new_run_id(now), now, apps, tree, base, self.memory.plane, self.memory.narrowed)
        # What is only read again lets everything else go first, with what it finds to be written, too.
        is_urgent = work.priority is Priority.CHANGED
        remote, writer = (self.remote, self.remote) if is_urgent else (self.remote.background, self.remote.patient)
        try:
            turn = await self.looking.look(scope, force, remote, listed)
        except RemoteError as error:
            self.gate.met(error, min(apps))
            return _failed(scope, dict.fromkeys(apps, error))
        if turn.plan.errors:
            for problem in turn.plan.errors.values():
                if isinstance(
                    problem, Unavailable | Unreadable
                ):  # what only this app meets closes the way for no other
                    self.gate.met(problem, min(apps))
            return _failed(scope, turn.plan.errors, left=turn.plan)
        if not self.memory.is_of(turn.seen.org_id):
            wrong = _wrong_org(turn.seen.org_id, self.memory.plane.org_id)
            self.gate.met(wrong)
            return _failed(scope, dict.fromkeys(apps, wrong))
        if self.memory.plane != scope.plane and self._base_of(apps, tree, force) != base:
            # The org is known only now, and with it what is to be compared with.
            return await self.carry_out(work, force, listed)
        self.gate.worked()
        ended = await self._go_on(scope, turn, force, writer)
        is_full_read = work.priority is Priority.RESYNC
        return await self.coverage.add_to(ended, scope.tree.apps, remote, is_full_read=is_full_read)

    def _base_of(self, apps: frozenset[str], tree: State, force: InForce) -> Base:
        base = self.memory.base_of(apps, tree)
        return replace(base, state=besides(base.state, force.others))

    # -- judging and writing

    async def _go_on(self, scope: Scope, turn: Turn, force: InForce, writer: Octomil) -> Ended:
        plan, apps = turn.plan, scope.apps
        now = self.clock.now()
        freed = self.changes.looked(apps, plan)
        self.memory.lapse(apps, plan.actions)
        permitted = self.permits.permit(plan, apps, force)
        allowed, why = permitted.plan, permitted.waits_for
        most = force.deploy.max_canaries
        running = turn.seen.canaries if isinstance(turn.seen.canaries, int) else most
        crowded = self.canaries.take(allowed, running, most, scope.began)
        if crowded:
            allowed, why = exclude(allowed, crowded), why or f"a place among {most} canaries in the org (maxCanaries)"
        applied, state = Applied(()), self.refusals.state(apps)
        try:
            with self.permits.writing(scope.id, allowed):
                if allowed.actions:
                    applied = await self._write(scope, replace(turn, plan=allowed, blocked=()), force, writer)
        finally:
            self.canaries.settle(allowed, _done(allowed, applied), self.clock.now())
        done = {one.key: one for one in allowed.actions if one.key in _done(allowed, applied)}
        drift = self._remember(scope, plan, done, force)
        left = replace(plan, actions=tuple(one for one in plan.actions if one.key not in done))
        freed |= self.changes.settled(apps, left)
        outcomes = zip(allowed.actions, applied.outcomes, strict=True)
        refused = self.refusals.note(apps, plan, left, outcomes, stopped_by=applied.stopped_by, state=state)
        return Ended(
            id=scope.id,
            apps=apps,
            fate=self._fate(left, applied, refused),
            left=left,
            seen=turn.seen,
            drift=drift,
            blocked=permitted.blocked,
            refused=refused,
            outcomes=applied.outcomes,
            replaced=_replaced(plan, done.values()),
            reverted=frozenset(one.address for one in done.values() if one.reason is Reason.DRIFT),
            run=scope.id if allowed.actions else "",
            waiting=why,
            frozen_until=_frozen(apps, force, now),
            look_at=self._look_at(
                scope,
                left,
                _frozen(apps, force, now) if left.actions else None,
                now + _A_WHILE if crowded or any(one.verb is Verb.OPTIMIZE for one in done.values()) else None,
            ),
            freed=freed,
            unsettled=permitted.unsettled,
        )

    async def _write(self, scope: Scope, turn: Turn, force: InForce, writer: Octomil) -> Applied:
        began: dict[ActionKey, datetime] = {}

        def started(action: Action) -> None:
            began.setdefault(action.key, self.clock.now())

        record = Record.begin(
            self.journal,
            control_plane=self.remote.connection.url,
            org_id=turn.seen.org_id,
            digest=force.digest,
            clock=self.clock.now,
            run=scope.id,
        )
        self.begun(record.run, frozenset(one.address.app for one in turn.plan.actions), len(turn.plan.actions))
        applied = await act(
            turn,
            writer,
            record=record,
            resume=force.apply_again,
            sensitivity=force.configuration.sensitivity,
            stop=self.stop,
            on_start=started,
        )
        for action, outcome in zip(turn.plan.actions, applied.outcomes, strict=True):
            if outcome.status in {Status.DONE, Status.NOT_KEPT} and action.key in began:
                self.feed.wrote(action.address, began[action.key], self.clock.now())
                self.looking.looks.wrote(action.address, began[action.key])
        if applied.stopped_by is not None:
            self.gate.met(applied.stopped_by, min(scope.apps), writing=True)
        else:
            self.gate.worked(wrote=applied.wrote)
        all_done = all(one.status is Status.DONE for one in applied.outcomes)
        record.end(int(ExitCode.DONE if all_done else ExitCode.PARTIAL))
        return applied

    # -- remembering

    def _remember(
        self, scope: Scope, plan: Plan, done: Mapping[ActionKey, Action], force: InForce
    ) -> tuple[DriftStanding, ...]:
        for slug in sorted(scope.apps):
            declared, known = scope.tree.apps.get(slug), scope.base.state.apps.get(slug)
            is_gone = known is not None and known.declared and (declared is None or not declared.declared)
            if is_gone and slug in force.unsettled:
                continue  # its document may come back, or its children's go, too: then it is an orphan with all it had
            before = None if slug in scope.base.presumed else scope.base.state.apps.get(slug)
            app = remembered(before, scope.tree.apps.get(slug), plan, done.keys())
            if app is not None and self.memory.narrowed != scope.narrowed:
                app = self.memory.in_sight(app)
            self.memory.remember(slug, app)
        for action in done.values():
            # By the plan's own word: a move by hand that is taken back has the reason of a move.
            if action.address in plan.drifted and action.verb is not Verb.ARCHIVE:
                self.memory.healed(action.address)
        self.memory.used(done.values())
        return note_drift(self.memory, scope, plan, done.keys(), force)

    def _fate(self, left: Plan, applied: Applied, refused: tuple[Outcome, ...]) -> Fate:
        again = applied.stopped_by is not None or any(
            one.status is Status.STALE or one.status is Status.NOT_ATTEMPTED or one.retryable
            for one in applied.outcomes
        )
        if again:
            return Fate.AGAIN
        waits = left.actions or left.held or left.left_alone.waiting or refused
        return Fate.WAITS if waits else Fate.IN_SYNC

    def _look_at(self, scope: Scope, left: Plan, *others: datetime | None) -> datetime | None:
        """Return when something ends that keeps the apps waiting: a hold, a freeze, or their own suspension."""
        suspensions = (app.suspension.until for app in scope.tree if app.suspension is not None)
        ends = (*(one.until for one in left.held), *suspensions, *others)
        # What has ended since the turn began kept it waiting all the same: then the next one is due at once.
        return min((end for end in ends if end is not None and end > scope.began), default=None)


def _failed(scope: Scope, errors: Mapping[str, OctosyncError], left: Plan | None = None) -> Ended:
    return Ended(id=scope.id, apps=scope.apps, fate=Fate.AGAIN, left=left, errors=errors)


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


def _frozen(apps: Collection[str], force: InForce, now: datetime) -> datetime | None:
    ends = (frozen_until(force.configuration.freeze, slug, now) for slug in apps)
    return max((end for end in ends if end is not None), default=None)
