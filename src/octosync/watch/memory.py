"""The memory: what the controller last applied or found equal, and what people asked of it, kept in the stored state.

Each fact is written before it counts, so that a controller that is killed knows afterwards what it knew. The controller is the
only writer, so it reads the state once: what is shown and decided doesn't depend on the database.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Final

from octosync.errors import OctosyncError
from octosync.model import Address, App, ControllerSuspension, Hold, Kind, Sensitivity, State
from octosync.plan import COUNTED_FOR, Action, ActionKey, ControlPlane, Tally
from octosync.plan.three_way.verdict import Base
from octosync.state import KEPT_FOR, ApprovedAction, ControlPlaneState, SealedValue, StoredRefusal, WatchState
from octosync.watch.checkpoint import Checkpoint
from octosync.watch.manifests.desired import ManifestScope, within
from octosync.watch.settings import Clock

# An object that was reverted this often in this time, and is changed again, is contested.
REVERTS_TO_CONTEST: Final = 3
FORMER_WRITE: Final = "the end of a write that another replica has begun"
OTHER_COMMIT: Final = "an update of the checkout, since the former leader has applied another commit"
_REVERTS_WITHIN: Final = timedelta(hours=24)
# An action that began before this has ended, with all attempts and waits.
_LONGEST_ACTION: Final = timedelta(hours=1)
_PRUNED_BATCHES: Final = 10  # they take a second or two in a distant database, and the lease is not renewed meanwhile


@dataclass(slots=True)
class Memory:
    """The stored state of one control plane, `plane`; `sensitivity` decides which values are only stored sealed.

    `settled_at` is when no request of another process, which led before, is under way any more; None: there is none.
    `narrowed` counts how often the watched manifests became fewer: objects that were declared in the others are forgotten.
    """

    state: WatchState
    plane: ControlPlane
    clock: Clock
    sensitivity: Sensitivity = field(default_factory=Sensitivity)
    settled_at: datetime | None = None
    narrowed: int = 0
    _unsettled: Mapping[str, str] | None = None  # what each app waits for until then
    _tree: State = field(default_factory=State)
    _others: State = field(default_factory=State)
    _scope: ManifestScope = field(default_factory=ManifestScope)
    _base: dict[str, App] = field(default_factory=dict)
    _contested: set[Address] = field(default_factory=set)
    _pruned_at: datetime | None = None
    _refused: dict[str, tuple[StoredRefusal, ...]] = field(default_factory=dict)
    _reverts: dict[Address, tuple[datetime, ...]] = field(default_factory=dict)
    _first_seen: dict[str, dict[Address, tuple[str | SealedValue, datetime]]] = field(default_factory=dict)
    _is_whole: bool = False
    _holds: dict[str, Hold] = field(default_factory=dict)
    _suspended: ControllerSuspension | None = None
    _approvals: tuple[ApprovedAction, ...] = ()
    _plane_state: ControlPlaneState = field(init=False)
    checkpoint: Checkpoint = field(init=False)

    def __post_init__(self) -> None:
        self._plane_state = self.state.for_control_plane(self.plane)
        self.checkpoint = Checkpoint(lambda: self._plane_state)
        self._use_known_org()
        self._load_requests()

    def load(self, tree: State, others: State, scope: ManifestScope, revision: str = "") -> None:
        """Read the state; sealed values that are still the same in the tree come from there. `revision` is its Git commit.

        If no org is configured, it is the stored one of this URL, if there is only one.
        """
        self._tree, self._others, self._scope = tree, others, scope
        self._use_known_org()
        self._is_whole = self._plane_state.is_complete()
        self._load_requests()
        if self._approvals:
            self._plane_state.delete_used_approvals()
            self._approvals = self._plane_state.approvals()
        self._base = dict(self._plane_state.baseline(tree, self.sensitivity))
        self.record_scope(tree, others, scope)
        self._reverts = dict(self._plane_state.reverts(self.clock.now() - _REVERTS_WITHIN))
        self._contested = set(self._plane_state.contested())
        self._refused = dict(self._plane_state.refusals())
        self._first_seen = {slug: dict(drift) for slug, drift in self._plane_state.drift().items()}
        self.checkpoint.load(self.clock.now())
        if self.settled_at is not None and self._unsettled is None:  # later, this process has open actions, too
            self._unsettled = self._apps_to_wait_for(revision)

    def facts(self) -> AbstractContextManager[None]:
        """Record all that the block remembers in one transaction: what has happened. See `Journal.facts`."""
        return self.state.journal.facts()

    def recover(self) -> None:
        """Record what could not be recorded while the database failed, and what people asked for.

        A database that has failed over may lack the last transactions, or have one whose response was lost: then the memory
        counts. Raises `OctosyncError` if the database can't be written yet.
        """
        journal = self.state.journal
        if journal.is_shared:
            journal.plane_numbers.clear()
            self._plane_state.replace_requests(self._holds.values(), self._suspended, self._approvals)

    def _load_requests(self) -> None:
        """Read what people asked for."""
        self._holds = {hold.app: hold for hold in self._plane_state.holds()}
        self._suspended = self._plane_state.suspension()
        self._approvals = self._plane_state.approvals()

    def belongs_to(self, org: str | None) -> bool:
        """Return whether all of this is about the org that responses name; if no org is known yet, that one is from now on."""
        if org is None or org == self.plane.org_id:
            return True
        if self.plane.org_id is not None:
            return False
        unnamed = self.plane
        try:
            self._use_org(org)
            self._plane_state.adopt_unnamed()  # an org that is only being filled names itself late
            self.load(self._tree, self._others, self._scope)
        except OctosyncError:  # the next response does it again
            self._use_org(unnamed.org_id)
            raise
        return True

    def _use_known_org(self) -> None:
        plane = self.state.with_known_org(self.plane)
        if plane != self.plane:
            self._use_org(plane.org_id)

    def _use_org(self, org: str | None) -> None:
        self.plane = replace(self.plane, org_id=org)
        self._plane_state = self.state.for_control_plane(self.plane)
        self.checkpoint.use_another_plane()

    def record_scope(self, tree: State, others: State, scope: ManifestScope) -> None:
        """Record the scope, and forget what is out of it and was not before.

        Of apps that it didn't show before nothing is known: they are not newly declared.
        """
        self._tree, self._others, self._scope = tree, others, scope
        text = self._plane_state.scope()
        if text == scope.text:
            return
        before = scope if text is None else self._scope_of(text)
        if not scope.shows(before):
            self.narrowed += 1
            for slug, app in tuple(self._base.items()):
                self.remember(slug, self.visible_part(app))
        if self.is_whole and not (before.shows(scope) and before.selects(scope)):
            self._plane_state.set_complete(whole=False)
            self._is_whole = False
        self._plane_state.set_scope(scope.text)

    def visible_part(self, app: App) -> App | None:
        """Return the part of an app that the watched manifests declare."""
        return within(app, (self._tree, self._others))

    def _scope_of(self, text: str) -> ManifestScope:
        try:
            return ManifestScope.parse(text)
        except (ValueError, TypeError, KeyError):
            return ManifestScope(context="unreadable")  # shows nothing, and is shown by nothing

    def prune(self) -> None:
        """Delete outdated records, once a day; the rest of many runs the next time, since the loop waits for it."""
        now = self.clock.now()
        if self._pruned_at is None or now - self._pruned_at >= timedelta(days=1):
            self._pruned_at = now
            if not self.state.prune(now - KEPT_FOR, batches=_PRUNED_BATCHES):
                self._pruned_at = None
            self._load_requests()

    # -- the base

    @property
    def is_whole(self) -> bool:
        """Whether every declared app was reconciled once, so that an unknown app is newly declared."""
        return self._is_whole

    def mark_whole(self) -> None:
        """Record that every declared app was reconciled once."""
        if not self.is_whole:
            self._plane_state.set_complete()
            self._is_whole = True

    @property
    def apps(self) -> Mapping[str, App]:
        """Every app as it was last applied or found equal."""
        return self._base

    def base_of(self, slugs: Collection[str], tree: State) -> Base:
        """Return the base of apps. For an app without one, the tree itself is presumed."""
        known = {slug: self._base[slug] for slug in slugs if slug in self._base}
        unknown = frozenset(slugs) - known.keys()
        presumed = frozenset() if not unknown or self.is_whole else unknown
        there = (tree.apps[slug] for slug in presumed if slug in tree.apps)
        return Base(state=State.from_apps(*known.values(), *there), presumed=presumed)

    def remember(self, slug: str, app: App | None) -> None:
        """Record the base of an app."""
        if app is None:
            if self._base.pop(slug, None) is not None:
                self._plane_state.forget(slug)
        elif self._base.get(slug) != app:
            self._plane_state.store(app, self.sensitivity)
            self._base[slug] = app

    def apps_with_notifications(self) -> frozenset[str]:
        """Return the apps about which a fact was sent whose end is not known yet."""
        return frozenset(app for app, _ in self._plane_state.sent_notifications())

    def unsettled_apps(self, at: datetime) -> Mapping[str, str]:
        """Return the apps that are not written to yet at a time, and what each waits for."""
        is_settled = self.settled_at is None or self.settled_at <= at
        return {} if is_settled or self._unsettled is None else self._unsettled

    def _apps_to_wait_for(self, revision: str) -> Mapping[str, str]:
        """Return the apps that the former leader may be writing to, and, if it has applied another commit, those that differ.

        The checkout of this replica may be older: then writing would undo the latest commit until the checkout is updated.
        """
        applied = self._plane_state.last_commit()
        differing: Iterable[str] = ()
        if revision and applied and applied != revision:
            declared = self._tree.apps
            differing = (slug for slug in {*declared, *self._base} if declared.get(slug) != self._base.get(slug))
        late = self._plane_state.apps_with_open_actions(self.clock.now() - _LONGEST_ACTION)
        return {**dict.fromkeys(differing, OTHER_COMMIT), **dict.fromkeys(late, FORMER_WRITE)}

    def begin_writing(self, slugs: Iterable[str]) -> None:
        """Record that apps are about to be written, so that a controller that is killed meanwhile reads them again."""
        known = [slug for slug in slugs if slug in self.checkpoint.in_sync]
        if known:
            self.checkpoint.discard(known)
            self.checkpoint.save()

    # -- drift

    def first_seen(self, slugs: Iterable[str]) -> dict[Address, datetime]:
        """Return when the known drift of apps was first seen."""
        return {address: seen for slug in slugs for address, (_, seen) in self._first_seen.get(slug, {}).items()}

    def changed_since(self, drift: Mapping[Address, str]) -> frozenset[Address]:
        """Return the drifted objects that had another fingerprint before: they were changed again."""
        known = {
            address: print_
            for drift_of_app in self._first_seen.values()
            for address, (print_, _) in drift_of_app.items()
        }
        return frozenset(address for address, print_ in drift.items() if known.get(address, print_) != print_)

    def record_drift(self, slug: str, drift: Mapping[Address, str], at: datetime) -> Mapping[Address, datetime]:
        """Record the drift of an app at a time, by fingerprints; return when each was first seen that way."""
        if not drift and slug not in self._first_seen:
            return {}
        seen = self._plane_state.record_drift(slug, drift, at, self._first_seen.get(slug, {}))
        self._first_seen[slug] = {address: (print_, seen[address]) for address, print_ in drift.items()}
        if not drift:
            del self._first_seen[slug]
        return seen

    def record_revert(self, address: Address) -> None:
        """Record that an object was reverted."""
        now = self.clock.now()
        self._plane_state.record_revert(address, now)
        self._reverts[address] = (*self._recent(address), now)

    def reverts(self, address: Address) -> int:
        """Return how often an object was reverted in the last day."""
        return len(self._recent(address))

    def contest(self, drifted: Iterable[Address]) -> frozenset[Address]:
        """Record drift of objects that were reverted too often as contested; return those that were not before."""
        found = {
            address
            for address in drifted
            if address not in self._contested and self.reverts(address) >= REVERTS_TO_CONTEST
        }
        for address in sorted(found):
            self._plane_state.record_contested(address, self.clock.now())
        self._contested |= found
        return frozenset(found)

    def contested(self, slugs: Collection[str]) -> frozenset[Address]:
        """Return the objects of apps that are not reverted any more."""
        return frozenset(address for address in self._contested if address.app in slugs)

    def forget_reverts(self, *slugs: str) -> None:
        """Count the reverts of apps anew: their manifests changed, or a person asked for a reconcile."""
        asked = frozenset(slugs)
        theirs = {address for address in (*self._reverts, *self._contested) if address.app in asked}
        if theirs:
            self._plane_state.forget_reverts(*sorted({address.app for address in theirs}))
            self._contested -= theirs
            for address in theirs:
                self._reverts.pop(address, None)

    def _recent(self, address: Address) -> tuple[datetime, ...]:
        since = self.clock.now() - _REVERTS_WITHIN
        return tuple(time for time in self._reverts.get(address, ()) if time >= since)

    # -- what guards count

    def removed_lately(
        self, counted: Collection[str], *, planned: Collection[Address] = (), under_way: Collection[Address] = ()
    ) -> Tally:
        """Count what was removed in the last minutes, and how much there was in the apps that it was removed from.

        The objects that are left of `counted` apps are counted elsewhere already, and so are `planned` ones, though they may
        be gone by now. Removals `under_way` are not in the journal until they are done.
        """
        since = self.clock.now() - COUNTED_FOR
        done = (*self._plane_state.recent_removals(since), *self._plane_state.recent_archives(since))
        removed = [address for address in done if address not in planned]
        coming = set(under_way).difference(removed)
        removals = Counter(address.kind for address in (*removed, *coming))
        there = Counter(address.kind for address in removed if address not in under_way)
        for slug in {address.app for address in (*removed, *coming)}.difference(counted):
            there += _objects_of(self._base.get(slug))
        archives = removals.pop(Kind.APP, 0)
        return Tally(removals=dict(removals), archives=archives, there=dict(there))

    # -- what people ask for

    def holds(self) -> Mapping[str, Hold]:
        """Return the active holds, by app."""
        now = self.clock.now()
        return {hold.app: hold for hold in self._holds.values() if hold.until > now}

    def hold(self, hold: Hold) -> None:
        """Hold an app's drift."""
        self._plane_state.hold(hold)
        self._holds = dict(sorted({**self._holds, hold.app: hold}.items()))

    def release(self, slug: str) -> None:
        """End a hold."""
        self._plane_state.release(slug)
        self._holds.pop(slug, None)

    def digest_of_blocked(self, guard: str, actions: Iterable[Action]) -> str:
        """Return the digest by which a caller names what a guard blocks."""
        return self._plane_state.digest_of_set(guard, [_approvable(action) for action in actions])

    def basis_of(self, policy: str, manifest: str) -> str:
        """Return the basis of a refusal as a keyed digest: the guards' limits, and what the manifest declares."""
        return self._plane_state.basis_of(policy, manifest)

    def refusals(self, slug: str) -> tuple[StoredRefusal, ...]:
        """Return what counting guards refused of an app."""
        return self._refused.get(slug, ())

    def record_refusals(self, slug: str, rejections: tuple[StoredRefusal, ...]) -> None:
        """Record what counting guards refuse of an app, in place of what they refused before."""
        self._plane_state.store_refusals(slug, rejections)
        self._refused[slug] = rejections

    def approve(self, guard: str, actions: Iterable[Action]) -> None:
        """Allow actions once, as they are planned now."""
        approved = self._plane_state.approve(guard, [_approvable(action) for action in actions], self.clock.now())
        about = {(approval.address, approval.verb) for approval in approved}
        others = (
            approval
            for approval in self._approvals
            if approval.guard != guard or (approval.address, approval.verb) not in about
        )
        self._approvals = (*others, *approved)

    def approved(self, guard: str, actions: Iterable[Action]) -> frozenset[ActionKey]:
        """Return which actions were allowed, exactly as they are planned, although a guard blocks them."""
        known = {approval.key for approval in self._approvals if approval.guard == guard}
        return (
            frozenset(action.key for action in actions if self._approval_key(action) in known) if known else frozenset()
        )

    def expire_approvals(self, apps: Collection[str], planned: Iterable[Action]) -> None:
        """Withdraw approvals of apps for actions that are not planned any more."""
        if any(approval.address.app in apps for approval in self._approvals):
            keys = set(map(self._approval_key, planned))
            self._delete_approvals(lambda approval: approval.address.app in apps and approval.key not in keys)

    def use_approvals(self, actions: Iterable[Action]) -> None:
        """Use up the approvals of actions that are done, whichever guard they were for."""
        if self._approvals:
            keys = set(map(self._approval_key, actions))
            self._delete_approvals(lambda approval: approval.key in keys)

    def _delete_approvals(self, ended: Callable[[ApprovedAction], bool]) -> None:
        deleted = tuple(filter(ended, self._approvals))
        if deleted:
            self._plane_state.delete_approvals(deleted)
            self._approvals = tuple(approval for approval in self._approvals if approval not in deleted)

    def _approval_key(self, action: Action) -> tuple[str, str, str]:
        return self._plane_state.approval_key(_approvable(action))

    @property
    def suspended(self) -> ControllerSuspension | None:
        """Since when everything is suspended and why; None if it isn't."""
        return self._suspended

    def suspend(self, reason: str) -> None:
        """Suspend all writes."""
        now = self.clock.now()
        self._plane_state.suspend(now, reason)
        self._suspended = ControllerSuspension(at=now, reason=reason)

    def resume(self) -> None:
        """End the suspension."""
        self._plane_state.resume()
        self._suspended = None


def _objects_of(app: App | None) -> Counter[Kind]:
    if app is None:
        return Counter()
    has_config = app.inference_config is not None
    return Counter({Kind.TARGET: len(app.targets), Kind.SLOT: len(app.slots), Kind.INFERENCE_CONFIG: int(has_config)})


def _approvable(action: Action) -> tuple[Address, str, str]:
    return (action.address, action.verb.value, action.substance)
