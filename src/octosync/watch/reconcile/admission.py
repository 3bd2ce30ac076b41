"""Admission: what of a plan may be written now, what the guards block, and what the rest waits for."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime

from octosync.apply import ApplyResult
from octosync.manifest import digest
from octosync.model import Address, JsonValue, Outcome, Reason, State
from octosync.plan import (
    ABSENT,
    Absent,
    Action,
    ActionKey,
    Plan,
    Refusal,
    RegisterTarget,
    RemoveTarget,
    Tally,
    Verb,
    exclude,
    frozen_until,
    judge,
    unblocked,
)
from octosync.plan.guards.policy import refused_by
from octosync.state import StoredRefusal
from octosync.watch.approvals import COUNTING
from octosync.watch.manifests.assignment import ActiveConfig
from octosync.watch.memory import Memory
from octosync.watch.reconcile.coordination import CanaryLimit, Changesets, RejectedActions
from octosync.watch.reconcile.observer import ReconcileContext
from octosync.watch.settings import Clock, WriteMode

SECOND_LOOK = "a second check of its files, which have just changed"
NEXT_MOVE = "another move of its change: its target must be registered before the next one is removed"


@dataclass(frozen=True, slots=True, kw_only=True)
class AdmissionReview:
    """What may be written of a plan, what guards block, and what the rest waits for ("" for nothing).

    `unsettled` are the apps whose removals wait for a second check of unchanged files, `freed` those whose removals waited for
    these apps to be read. `approved` are the guards with approvals for it. `is_crowded`: a canary waits for its place. `versions`
    are those of the rejections before the write. `due_at` is when writes of another replica to these apps have ended.
    """

    plan: Plan
    blocked: tuple[Refusal, ...] = ()
    waits_for: str = ""
    unsettled: frozenset[str] = frozenset()
    freed: frozenset[str] = frozenset()
    approved: tuple[str, ...] = ()
    is_crowded: bool = False
    due_at: datetime | None = None
    versions: Mapping[str, int] = field(default_factory=dict)


@dataclass(slots=True)
class Admission:
    """Reviews the plans of reconciles that run at the same time: what one of them removes counts for all others."""

    memory: Memory
    changesets: Changesets
    rejections: RejectedActions
    clock: Clock
    canaries: CanaryLimit = field(default_factory=CanaryLimit)
    _removing: dict[str, frozenset[Address]] = field(default_factory=dict)  # by the id of a reconcile, while it writes

    def review(self, plan: Plan, context: ReconcileContext, active: ActiveConfig, canaries: int) -> AdmissionReview:
        """Return what may be written of a plan now. `canaries` is how many run in the org, as this reconcile has read."""
        apps, most = context.apps, active.deploy.max_canaries
        freed = self.changesets.record_plan(apps, plan)
        self.memory.expire_approvals(apps, plan.actions)
        blocked, approved, let_pass = self._blocked(plan, apps, active)
        allowed, why = self._allowed(let_pass, apps, active, self.clock.now())
        # Not by the time of now: what was read before a write of another replica has ended may be outdated.
        late = self.memory.unsettled_apps(context.began)
        if unsettled := keys_of(allowed, lambda action: action.address.app in late):
            allowed, why = exclude(allowed, unsettled), why or next(late[key.address.app] for key in sorted(unsettled))
        crowded = self.canaries.reserve(allowed, canaries, most, context.began)
        if crowded:
            allowed, why = exclude(allowed, crowded), why or f"a place among {most} canaries in the org (maxCanaries)"
        return AdmissionReview(
            plan=allowed,
            blocked=blocked,
            waits_for=why,
            unsettled=frozenset(key.address.app for key in _unsettled(plan, active)),
            freed=freed,
            approved=approved,
            is_crowded=bool(crowded),
            due_at=self.memory.settled_at if late.keys() & apps else None,
            versions=self.rejections.versions(apps),
        )

    @contextmanager
    def writing(self, context: ReconcileContext, review: AdmissionReview) -> Iterator[None]:
        """Count what a reconcile removes as being removed while it writes."""
        self._removing[context.id] = frozenset(action.address for action in review.plan.actions if action.destructive)
        try:
            yield
        finally:
            del self._removing[context.id]

    def release_canaries(self, review: AdmissionReview, done: Collection[ActionKey]) -> None:
        """Release the places that were reserved for canaries which were not started."""
        self.canaries.release(review.plan, done, self.clock.now())

    def record(
        self, context: ReconcileContext, plan: Plan, left: Plan, review: AdmissionReview, applied: ApplyResult
    ) -> tuple[frozenset[str], tuple[Outcome, ...]]:
        """Record what is left of a plan after the write.

        Return the apps that waited for these, and the outcomes of what the control plane rejects.
        """
        freed = review.freed | self.changesets.record_rest(context.apps, left)
        outcomes = zip(review.plan.actions, applied.outcomes, strict=True)
        rejected = self.rejections.record(
            context.apps, plan, left, outcomes, stopped_by=applied.stopped_by, state=review.versions
        )
        return freed, rejected

    def _blocked(
        self, plan: Plan, apps: frozenset[str], active: ActiveConfig
    ) -> tuple[tuple[Refusal, ...], tuple[str, ...], Plan]:
        """Judge a plan together with what its changeset removes in other apps, and with what was removed lately.

        Return what guards block and is not approved, the guards with approvals, and the plan without what is blocked.
        """
        # What may be due to a half-written file waits anyway, so it is no refusal.
        settled = exclude(plan, _unsettled(plan, active))
        also = self._together_with(apps) if any(action.destructive for action in settled.actions) else Tally()
        found = self._with_earlier_refusals(plan, apps, active, judge(settled, active.policy, also, in_watch=True))
        approved = {
            refusal.guard: self.memory.approved(refusal.guard, refused_by(plan.actions, refusal)) for refusal in found
        }
        allowed = {guard: {key.address for key in keys} for guard, keys in approved.items()}
        named = (refusal for refusal in found if refusal.addresses)
        rest = (replace(refusal, addresses=_but(refusal.addresses, allowed[refusal.guard])) for refusal in named)
        nameless = (refusal for refusal in found if not refusal.addresses)
        blocked = (*(refusal for refusal in rest if refusal.addresses), *nameless)
        return blocked, tuple(guard for guard, keys in approved.items() if keys), unblocked(plan, blocked, approved)

    def _with_earlier_refusals(
        self, plan: Plan, apps: frozenset[str], active: ActiveConfig, found: tuple[Refusal, ...]
    ) -> tuple[Refusal, ...]:
        """Return the guards' refusals with those of before that still apply, and record those of counting guards.

        Removals of the last minutes count, so a guard would let pass after some minutes what it has refused. A refusal applies
        until it is approved, or the app's manifest or the guards' limits change, over a restart, too. A changeset that isn't
        read as a whole yet is not judged: its removals wait, and half a count helps no reader.
        """
        if not self.changesets.is_read(apps):
            found = tuple(refusal for refusal in found if refusal.guard not in COUNTING)
        counting = [refusal for refusal in found if refusal.guard in COUNTING]
        planned = {(action.address, action.verb.value) for action in plan.actions}
        refusals = list(found)
        for slug in sorted(apps):
            known = self.memory.refusals(slug)
            if not known and not counting:
                continue
            basis = self.memory.basis_of(active.policy.basis, digest(_alone(active, slug)))
            before = [row for row in known if row.basis == basis and (row.address, row.verb) in planned]
            now = [
                StoredRefusal(
                    action.address,
                    action.verb.value,
                    refusal.guard,
                    basis,
                    refusal.message,
                    refusal.total,
                    refusal.override,
                )
                for refusal in counting
                for action in refused_by(plan.actions, refusal)
                if action.address.app == slug
            ]
            again = {(row.guard, row.address, row.verb) for row in now}
            kept = [row for row in before if (row.guard, row.address, row.verb) not in again]
            refusals += _refusals_of(kept)
            if (rows := tuple(sorted((*kept, *now)))) != known:
                self.memory.record_refusals(slug, rows)
        return tuple(refusals)

    def _together_with(self, apps: frozenset[str]) -> Tally:
        change = self.changesets.find(apps)
        return self._lately(apps) if change is None else change.tally_but(apps) + self._lately(apps)

    def _lately(self, apps: frozenset[str]) -> Tally:
        """Count what was removed in the last minutes, or is being removed."""
        change = self.changesets.find(apps)
        together = apps if change is None else apps | change.apps
        planned, under_way = set[Address](), set[Address]()
        for address in frozenset[Address]().union(*self._removing.values()):
            (planned if address.app in together else under_way).add(address)
        return self.memory.removed_lately(together, planned=planned, under_way=under_way)

    def _allowed(self, plan: Plan, apps: frozenset[str], active: ActiveConfig, now: datetime) -> tuple[Plan, str]:
        """Return what of a plan may be written now, and what the rest waits for."""
        if not plan.actions:
            return plan, ""
        if active.write_mode is WriteMode.NONE:
            return exclude(plan, keys_of(plan)), "this controller only plans (--heal none)"
        if (suspended := self.memory.suspended) is not None:
            reason = f": {suspended.reason}" if suspended.reason else ""
            return exclude(plan, keys_of(plan)), f"everything is suspended{reason}"
        windows, why = active.configuration.freeze, ""
        if windows and (frozen := {slug for slug in apps if frozen_until(windows, slug, now) is not None}):
            plan, why = exclude(plan, keys_of(plan, lambda action: action.address.app in frozen)), "a freeze window"
        if unsettled := _unsettled(plan, active):
            plan, why = exclude(plan, unsettled), why or SECOND_LOOK
        removals = keys_of(plan, lambda action: action.destructive)
        if removals and not self.changesets.is_read(apps):
            plan, why = exclude(plan, removals), why or "the other apps of its change to be read"
        archives = keys_of(plan, lambda action: action.verb is Verb.ARCHIVE)
        if archives and not self.changesets.are_others_done(apps):
            plan, why = (
                exclude(plan, archives),
                why or "all other actions of its change, since an archive can't be undone",
            )
        refused = self.rejections.rejected(apps, plan)
        plan = exclude(plan, keys_of(plan, lambda action: action.substance in refused))
        moves = keys_of(plan, _is_move)
        if moves and not self.changesets.may_move(apps):
            plan, why = exclude(plan, moves), why or NEXT_MOVE
        return plan, why


def _is_move(action: Action) -> bool:
    """Return whether an action is one half of a move."""
    match action:
        case RegisterTarget(moves_from=other) | RemoveTarget(moves_to=other):
            return other is not None
        case _:
            return False


def _alone(active: ActiveConfig, slug: str) -> State:
    return State.from_apps(active.tree.apps[slug]) if slug in active.tree.apps else State()


def _refusals_of(rows: Iterable[StoredRefusal]) -> Iterator[Refusal]:
    """Yield the refusals that are stored, in their own words."""
    found: dict[tuple[str, str, str | None, str | None], list[Address]] = {}
    for row in rows:
        found.setdefault((row.guard, row.message, row.total, row.override), []).append(row.address)
    for (guard, message, total, override), addresses in found.items():
        yield Refusal(guard=guard, message=message, total=total, override=override, addresses=tuple(addresses))


def _unsettled(plan: Plan, active: ActiveConfig) -> frozenset[ActionKey]:
    """Return the actions that remove something because of files that may be half-written."""
    return keys_of(plan, lambda action: action.address.app in active.unsettled and takes_away(action))


def takes_away(action: Action) -> bool:
    """Return whether an action removes an object, a field, a key or a list element that is live."""
    if action.destructive or action.reason is Reason.REMOVED:
        return True
    return any(_loses(_value(change.before), _value(change.after)) for change in action.fields)


def _value(value: JsonValue | Absent) -> JsonValue:
    return None if value is ABSENT else value


def _loses(before: JsonValue, after: JsonValue) -> bool:
    if isinstance(before, Mapping) and isinstance(after, Mapping):
        return any(_loses(value, after.get(key)) for key, value in before.items())
    if isinstance(before, list | tuple) and isinstance(after, list | tuple):
        return any(item not in after for item in before)
    return before is not None and after is None


def keys_of(plan: Plan, which: Callable[[Action], bool] = lambda _: True) -> frozenset[ActionKey]:
    """Return the keys of a plan's actions, of all or of some."""
    return frozenset(action.key for action in plan.actions if which(action))


def _but(addresses: Iterable[Address], these: Collection[Address]) -> tuple[Address, ...]:
    return tuple(address for address in addresses if address not in these)
