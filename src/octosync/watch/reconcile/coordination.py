"""What reconciles of several apps share: the changesets of commits, rejected actions, and the limit of canaries.

A changeset is all apps that one commit changed: they are judged as one by the guards that count, though they are applied one by
one. It exists until each of its apps was reconciled and all of its removals are done, so that a refusal stays in place however
often its apps are reconciled.

An action that the control plane rejects is not sent again until something about it has changed.

Concurrent reconciles share one limit of canaries: each counts the running ones before it starts any, and would not see those
of the others.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Final

from octosync.errors import OctosyncError
from octosync.model import Address, Event, Kind, Outcome, Status
from octosync.plan import Action, ActionKey, OptimizeCapability, Plan, RegisterTarget, RemoveTarget, Tally, Verb

_CANARIES_REMEMBERED: Final = timedelta(minutes=10)
_NOT_WAITED_FOR: Final = frozenset({Verb.ARCHIVE, Verb.OPTIMIZE})
_HELD_ELSEWHERE: Final = "target-held-elsewhere"

# The live state that a rejection may be due to: fingerprints by address.
View = Mapping[Address, str]


@dataclass(slots=True)
class Changeset:
    """One changeset: its apps, which of them are not read yet, or not done, and what each would remove.

    An app is `undone` until a reconcile leaves nothing of it to do. Archives don't count, since they wait for that, nor do
    canaries, which may wait for their place for long.

    `mover` are the apps that may move targets now; the moves of `waiting_to_move` come after theirs. `nowhere` are targets that
    a move has removed and not registered: until they are, no other apps move any.
    """

    apps: set[str]
    unread: set[str]
    undone: set[str]
    tallies: dict[str, Tally] = field(default_factory=dict)
    mover: set[str] = field(default_factory=set)
    waiting_to_move: set[str] = field(default_factory=set)
    nowhere: set[Address] = field(default_factory=set)

    @property
    def is_read(self) -> bool:
        """Whether all of its apps were read, so that its removals can be judged."""
        return not self.unread

    def tally_but(self, apps: Collection[str]) -> Tally:
        """Return the sum of the tallies of the other apps."""
        return sum((tally for slug, tally in self.tallies.items() if slug not in apps), Tally())

    def tally_of(self, apps: Collection[str]) -> Tally:
        """Return the sum of the tallies of apps that are reconciled together."""
        return sum((self.tallies.get(slug, Tally()) for slug in apps), Tally())

    def record_tally(self, apps: Collection[str], tally: Tally) -> None:
        """Record the tally of apps that are reconciled together: it is counted once, with one of them."""
        mine = sorted(self.apps & set(apps))
        self.tallies.update(dict.fromkeys(mine, Tally()))
        self.tallies[mine[0]] = tally

    def discard(self, slug: str) -> None:
        """Remove an app."""
        for apps in (self.apps, self.unread, self.undone, self.mover, self.waiting_to_move):
            apps.discard(slug)
        self.tallies.pop(slug, None)
        self.nowhere = {target for target in self.nowhere if target.app != slug}

    def record_moves(self, apps: Collection[str], left: Plan) -> None:
        """Record the half moves in what is left of a plan; without one, other apps may move targets."""
        removals = {action.address for action in left.actions if isinstance(action, RemoveTarget)}
        registrations = {action.address: action for action in left.actions if isinstance(action, RegisterTarget)}
        known = {target for target in self.nowhere if target.app not in apps or target in registrations}
        moves = ((target, action.moves_from) for target, action in registrations.items())
        self.nowhere = known | {target for target, old in moves if old is not None and old not in removals}
        if not self.nowhere and not self.mover.isdisjoint(apps):
            self.mover.clear()


class Changesets:
    """The changesets that are not done yet. An app is in one at most: a later one that has the app, too, is merged with it."""

    def __init__(self) -> None:
        self._of: dict[str, Changeset] = {}

    def begin(self, apps: Iterable[str]) -> None:
        """Begin a changeset of apps. Those of the same apps that are not done yet are merged into it."""
        slugs = set(apps)
        self._join([*self._containing(slugs), Changeset(slugs, set(slugs), set(slugs))])

    def remove(self, apps: Iterable[str]) -> frozenset[str]:
        """Remove apps from their changesets; return the apps that waited for them."""
        freed: set[str] = set()
        for slug in apps:
            change = self._of.pop(slug, None)
            if change is not None:
                was_read, was_undone = change.is_read, bool(change.undone)
                change.discard(slug)
                freed |= _freed(change, was_read=was_read)
                freed |= _freed_archives(change, was_undone=was_undone) | _freed_move(change)
        return frozenset(freed)

    def find(self, apps: Collection[str]) -> Changeset | None:
        """Return the changeset of apps that are reconciled together, all of theirs merged into one."""
        found = self._containing(apps)
        if len(found) > 1:
            return self._join(found)
        return found[0] if found else None

    def is_read(self, apps: Collection[str]) -> bool:
        """Return whether all apps of the changeset were read, so that its removals can be judged."""
        change = self.find(apps)
        return change is None or change.is_read

    def are_others_done(self, apps: Collection[str]) -> bool:
        """Return whether the other apps of the changeset are done, so that these may be archived."""
        change = self.find(apps)
        return change is None or change.undone <= set(apps)

    def may_move(self, apps: Collection[str]) -> bool:
        """Return whether apps may move targets now; if so, the other apps of the changeset wait until they have.

        So a control plane that rejects registrations leaves the target of one app registered nowhere, not one of each app.
        """
        change = self.find(apps)
        if change is None or not change.mover.isdisjoint(apps):
            return True
        if change.mover or any(target.app not in apps for target in change.nowhere):
            change.waiting_to_move |= set(apps)
            return False
        change.mover = set(apps)
        return True

    def record_plan(self, apps: Collection[str], plan: Plan) -> frozenset[str]:
        """Record the plan of apps; return the apps that waited for these to be read, if now all are."""
        change = self.find(apps)
        if change is None:
            return frozenset()
        was_read = change.is_read
        change.unread -= set(apps)
        change.waiting_to_move -= set(apps)
        change.record_tally(apps, Tally.from_plan(plan))
        return _freed(change, was_read=was_read) - frozenset(apps)

    def record_rest(self, apps: Collection[str], left: Plan) -> frozenset[str]:
        """Record what is left of the plan of apps after the write, and forget a changeset that is done.

        If their manifests have changed during the write, the plan counts no longer: only its moves are recorded.
        Return the apps whose archives, or next move, waited for that.
        """
        change = self.find(apps)
        if change is None:
            return frozenset()
        if not change.unread.isdisjoint(apps):
            change.record_moves(apps, left)
            return _freed_move(change)
        was_undone = bool(change.undone)
        change.undone -= set(apps)
        if any(action.verb not in _NOT_WAITED_FOR for action in left.actions):
            change.undone |= change.apps & set(apps)
        looked, rest = change.tally_of(apps), Tally.from_plan(left)
        gone = {kind: count - rest.removals.get(kind, 0) for kind, count in looked.removals.items()}
        there = {kind: count - gone.get(kind, 0) for kind, count in looked.there.items()}
        change.record_tally(apps, replace(rest, there=there))
        change.record_moves(apps, left)
        if change.is_read and not any(map(_removes, change.tallies.values())):
            for slug in change.apps:
                self._of.pop(slug, None)
        return _freed_archives(change, was_undone=was_undone) - frozenset(apps) | _freed_move(change)

    def _join(self, changes: Sequence[Changeset]) -> Changeset:
        joined = Changeset(set(), set(), set())
        for change in changes:
            joined.apps |= change.apps
            joined.unread |= change.unread
            joined.undone |= change.undone
            joined.tallies.update(change.tallies)
            joined.mover |= change.mover
            joined.waiting_to_move |= change.waiting_to_move
            joined.nowhere |= change.nowhere
        self._of.update(dict.fromkeys(joined.apps, joined))
        return joined

    def _containing(self, apps: Iterable[str]) -> list[Changeset]:
        return list({id(change): change for slug in apps if (change := self._of.get(slug)) is not None}.values())


def _freed(change: Changeset, *, was_read: bool) -> frozenset[str]:
    if was_read or not change.is_read:
        return frozenset()
    return frozenset(slug for slug, tally in change.tallies.items() if _removes(tally))


def _freed_archives(change: Changeset, *, was_undone: bool) -> frozenset[str]:
    if change.undone or not was_undone:
        return frozenset()
    return frozenset(slug for slug, tally in change.tallies.items() if tally.archives)


def _freed_move(change: Changeset) -> frozenset[str]:
    """Return the next app that may move a target: one at a time, since each reconcile reads its apps again."""
    return frozenset() if change.mover or change.nowhere else frozenset(sorted(change.waiting_to_move)[:1])


def _removes(tally: Tally) -> bool:
    return bool(tally.archives or any(tally.removals.values()))


@dataclass(slots=True)
class _Rejection:
    """`view` is what was live when it was rejected; None if the same reconcile wrote other things: the next one fills it in."""

    action: Action
    outcome: Outcome
    view: View | None

    @property
    def may_pass(self) -> bool:
        """Whether a change of something else may help. What awaits approval, or isn't kept, is not sent again."""
        return self.outcome.status is Status.FAILED


@dataclass(slots=True)
class RejectedActions:
    """The rejected actions of each app. The substance of an action contains the live state of its own object."""

    _rejected: dict[str, dict[str, _Rejection]] = field(default_factory=dict)
    _versions: Counter[str] = field(default_factory=Counter)  # by app, the number of requested retries

    def versions(self, apps: Collection[str]) -> Mapping[str, int]:
        """Return the versions that `record` needs at the end of a reconcile that begins to write now."""
        return {slug: self._versions[slug] for slug in apps}

    def rejected(self, apps: Collection[str], plan: Plan) -> frozenset[str]:
        """Return the substances that are left out of a plan, since nothing has changed since they were rejected."""
        view = _view(apps, plan)
        found = set()
        for slug in apps:
            for substance, rejection in self._rejected.get(slug, {}).items():
                if rejection.view is None:
                    rejection.view = view
                if rejection.view == view or not rejection.may_pass:
                    found.add(substance)
        return frozenset(found)

    def record(
        self,
        apps: Collection[str],
        plan: Plan,
        left: Plan,
        outcomes: Iterable[tuple[Action, Outcome]],
        *,
        stopped_by: OctosyncError | None,
        state: Mapping[str, int],
    ) -> tuple[Outcome, ...]:
        """Record what is rejected, and return the outcomes of everything that is. `left` is what is left of the plan.

        An error that ended the run, such as a rejected key, is not a rejection of its action. A rejection is not recorded
        either if something has changed since `state`: the action is retried.
        """
        view = _view(apps, plan) if len(left.actions) == len(plan.actions) else None
        for action, outcome in outcomes:
            slug = action.address.app
            if self._versions[slug] != state.get(slug) or (stopped_by and outcome.reference == stopped_by.reference):
                continue
            final = outcome.status in {Status.NOT_KEPT, Status.AWAITING_APPROVAL}
            if final or (outcome.status is Status.FAILED and not outcome.retryable):
                self._rejected.setdefault(slug, {})[action.substance] = _Rejection(action, outcome, view)
        planned = {planned_action.substance for planned_action in left.actions}
        for slug in apps:
            kept = {
                substance: rejection
                for substance, rejection in self._rejected.pop(slug, {}).items()
                if substance in planned
            }
            if kept:
                self._rejected[slug] = kept
        return tuple(rejection.outcome for slug in sorted(apps) for rejection in self._rejected.get(slug, {}).values())

    def forget(self, slug: str) -> None:
        """Retry all rejected actions of an app: its manifest has changed, or a person has requested it."""
        self._versions[slug] += 1
        self._rejected.pop(slug, None)

    def retry(self, slug: str) -> None:
        """Retry what may be accepted now that something about an app has changed."""
        self._versions[slug] += 1
        kept = {
            substance: rejection
            for substance, rejection in self._rejected.pop(slug, {}).items()
            if not rejection.may_pass
        }
        if kept:
            self._rejected[slug] = kept

    def waiting_for(self, event: Event) -> frozenset[str]:
        """Return the apps whose registration of a target was rejected, if an event of any app is about that target."""
        return frozenset(
            slug
            for slug, rejections in self._rejected.items()
            if any(
                _is_about(event, rejection.action.address)
                for rejection in rejections.values()
                if _is_held_elsewhere(rejection)
            )
        )

    def held_elsewhere(self) -> frozenset[str]:
        """Return the apps that were refused a target because another app holds it."""
        return frozenset(slug for slug, known in self._rejected.items() if any(map(_is_held_elsewhere, known.values())))


def _is_held_elsewhere(rejection: _Rejection) -> bool:
    return rejection.outcome.reference == _HELD_ELSEWHERE


def _is_about(event: Event, address: Address) -> bool:
    if event.resource is None:
        # It names at most what happened: better one retry too many.
        return event.type is None or event.type.startswith(Kind.TARGET.value)
    return event.is_about(address)


def _view(apps: Collection[str], plan: Plan) -> View:
    return {address: str(print_) for address, print_ in plan.fingerprints.items() if address.app in apps}


@dataclass(slots=True)
class _Start:
    key: ActionKey
    ended: datetime | None = None  # until then it is on its way


class CanaryLimit:
    """The canaries that reconciles have just started, or are about to."""

    def __init__(self) -> None:
        self._starts: list[_Start] = []

    def reserve(self, plan: Plan, running: int, most: int, began: datetime) -> frozenset[ActionKey]:
        """Reserve places for the canaries that a plan starts; return the keys of those for which there is none.

        `running` is the number that the reconcile has counted since it `began`; canaries that were started later may be missing.
        """
        wanted = [action.key for action in plan.actions if isinstance(action, OptimizeCapability)]
        if not wanted:
            return frozenset()
        self._starts = [
            start for start in self._starts if start.ended is None or start.ended >= began - _CANARIES_REMEMBERED
        ]
        others = sum(start.ended is None or start.ended >= began for start in self._starts)
        places = max(0, most - running - others)
        self._starts += [_Start(key) for key in wanted[:places]]
        return frozenset(wanted[places:])

    def release(self, plan: Plan, done: Collection[ActionKey], now: datetime) -> None:
        """Record which of the canaries with a reserved place were started, and release the other places."""
        mine = {action.key for action in plan.actions}
        for start in [reserved for reserved in self._starts if reserved.ended is None and reserved.key in mine]:
            if start.key in done:
                start.ended = now
            else:
                self._starts.remove(start)
