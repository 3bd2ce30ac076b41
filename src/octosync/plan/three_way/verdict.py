"""Verdicts: the three-way rules, for one unit. A unit is a field of an app or slot, or the existence of an object.

    tree against base   live against base                       verdict
    changed             equal                                   MANIFEST_CHANGED (REMOVED: no longer declared)
    equal               changed                                 DRIFT
    changed             changed, and not to the tree's value    DIVERGED
    equal, REV moved on any                                     STALE

What the base did not declare has the live value as its base. A live value that an unfinished apply declared is our own, so
it is neither drift nor another's work that could be undone.

Also here: the base, which distinguishes a removal from what was never declared; and what is planned by the verdicts, a desired
state like any other with the reason of each change.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import Final, TypeAlias

from octosync.contract import preset_of
from octosync.model import (
    Address,
    App,
    Deployment,
    JsonValue,
    Observation,
    Origin,
    Reason,
    Section,
    State,
    json_equal,
)
from octosync.plan.actions import Action, DeleteSlot, PutSlot, Verb


class UndeclaredSide(Enum):
    """The value of a unit that a side does not declare."""

    UNDECLARED = "undeclared"


UNDECLARED: Final = UndeclaredSide.UNDECLARED
Declared: TypeAlias = "JsonValue | UndeclaredSide"


class NoChange(Enum):
    """Why a unit does not change."""

    AS_DECLARED = "as_declared"
    UNTOUCHED = "untouched"
    STALE = "stale"


Verdict: TypeAlias = Reason | NoChange

_GRAVEST_FIRST: Final = (Reason.DIVERGED, Reason.DRIFT, Reason.REMOVED, Reason.MANIFEST_CHANGED, Reason.NEW)


@dataclass(frozen=True, slots=True, kw_only=True)
class Unit:
    """One unit as every side has it.

    `tip` is None if the base's revision has not moved on. `default` is the live value of a unit that is no longer declared.
    `equal` returns whether a live value (its second argument) is as declared. `chosen`: Octomil chooses a value if none is
    declared, so a live value that was never declared is no change of a person.
    """

    tree: Declared
    base: Declared
    live: JsonValue
    tip: Declared | None = None
    attempted: tuple[Declared, ...] = ()
    default: JsonValue = None
    equal: Callable[[JsonValue, JsonValue], bool] = json_equal
    chosen: bool = False

    def is_live(self, declared: Declared) -> bool:
        """Return whether the live value is as a side declares it."""
        return not isinstance(declared, UndeclaredSide) and self.equal(declared, self.live)

    @property
    def is_ours(self) -> bool:
        """Whether the live value is one that an unfinished apply declared."""
        return any(map(self.is_live, self.attempted))


def verdict_on(unit: Unit) -> Verdict:
    """Judge one unit."""
    tree, base = unit.tree, unit.base
    changed = not _same(tree, base)
    if not changed and unit.tip is not None and not _same(unit.tip, base):
        return NoChange.STALE
    if tree is UNDECLARED and base is UNDECLARED:
        unfinished = unit.is_ours and not unit.equal(unit.default, unit.live)
        return Reason.REMOVED if unfinished else NoChange.UNTOUCHED
    if isinstance(tree, UndeclaredSide):
        return _no_longer_declared(unit)
    if unit.is_live(tree):
        return NoChange.AS_DECLARED
    if base is UNDECLARED or unit.is_ours or (changed and unit.is_live(base)):
        return Reason.MANIFEST_CHANGED
    return Reason.DIVERGED if changed else Reason.DRIFT


def _no_longer_declared(unit: Unit) -> Verdict:
    if unit.equal(unit.default, unit.live):
        return NoChange.AS_DECLARED
    if unit.is_live(unit.base) or unit.is_ours:
        return Reason.REMOVED
    return NoChange.UNTOUCHED if unit.chosen else Reason.DIVERGED


def gravest(reasons: Iterable[Reason]) -> Reason | None:
    """Return the reason that an object's row shows; None for none."""
    return min(reasons, key=_GRAVEST_FIRST.index, default=None)


def _same(first: Declared, second: Declared) -> bool:
    if isinstance(first, UndeclaredSide) or isinstance(second, UndeclaredSide):
        return first is second
    return json_equal(first, second)


@dataclass(slots=True)
class Resolution:
    """What is planned of tree, base and live.

    `desired` is what is planned. `reasons` are the reasons of objects that change, `archives` those of apps that are
    archived, `origins` the places where the base declared what is removed. `removed` are objects that are no longer declared
    and that no owned list contains. `drifted` are objects with a unit that was changed on the control plane. `stale`,
    `left_as_live`, `released` and `orphans` are left alone. `before` is what the base declares.
    """

    desired: State = field(default_factory=State)
    reasons: dict[Address, Reason] = field(default_factory=dict)
    archives: dict[Address, Reason] = field(default_factory=dict)
    removed: set[Address] = field(default_factory=set)
    origins: dict[Address, Origin | None] = field(default_factory=dict)
    drifted: set[Address] = field(default_factory=set)
    stale: set[Address] = field(default_factory=set)
    left_as_live: set[Address] = field(default_factory=set)
    released: set[Address] = field(default_factory=set)
    orphans: set[str] = field(default_factory=set)
    before: State = field(default_factory=State)

    def explained(self, action: Action) -> Action:
        """Return an action with its reason, its place if only the base has one, and the base's name of a live policy."""
        reasons = self.archives if action.verb is Verb.ARCHIVE else self.reasons
        origin = self.origins.get(action.address, action.origin)
        explained = replace(action, reason=reasons.get(action.address, action.reason), origin=origin)
        if isinstance(explained, PutSlot | DeleteSlot) and (preset := self._preset_before(explained)) is not None:
            return replace(explained, preset_before=preset)
        return explained

    def _preset_before(self, action: PutSlot | DeleteSlot) -> str | None:
        app = self.before.apps.get(action.address.app)
        slot = app.slot(action.address.name) if app is not None else None
        if slot is None or slot.preset is None or not action.before:
            return None
        live = preset_of(action.before.get("serving_policy"))
        return slot.preset if live is not None and live == preset_of(slot.preset) else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Base:
    """Desired states to compare the tree with.

    `state` is the manifests' at the merge base of a revision and the tree. `tip` is that revision's own, None where it has
    not moved on since. `attempted` are those of revisions that an apply began and did not finish. `unknown` are apps that the
    base's manifests name and could not give: they count as not declared there, and nothing may be pruned.

    Of `presumed` apps no baseline is known: `state` has the tree's own in their place. So nothing of them counts as removed,
    every difference may be a change on the control plane, and its reason is the same as without a base.

    `unapplied` is what was merged since the last complete apply, None if that is unknown or everything is applied.
    """

    state: State = field(default_factory=State)
    tip: State | None = None
    attempted: tuple[State, ...] = ()
    unknown: frozenset[str] = frozenset()
    presumed: frozenset[str] = frozenset()
    unapplied: UnappliedChanges | None = None

    @property
    def before(self) -> State:
        """Every app that was declared: as the base had it, else as an unfinished apply did."""
        return State(
            {slug: app for state in (*reversed(self.attempted), self.state) for slug, app in state.apps.items()}
        )

    def earlier(self, slug: str) -> tuple[App, ...]:
        """Return an app as it was declared, by the base first, then by unfinished applies."""
        return tuple(app for state in (self.state, *self.attempted) if (app := state.apps.get(slug)) is not None)

    def kept(self, keep: Callable[[App], bool]) -> Base:
        """Leave out of every state the apps that are not to be kept."""
        return self.mapped(lambda state: State.from_apps(*filter(keep, state)))

    def mapped(self, part_of: Callable[[State], State]) -> Base:
        """Return the base with a part of every state."""
        unapplied = self.unapplied
        return replace(
            self,
            state=part_of(self.state),
            tip=None if self.tip is None else part_of(self.tip),
            attempted=tuple(map(part_of, self.attempted)),
            unapplied=None
            if unapplied is None
            else UnappliedChanges(merged=part_of(unapplied.merged), applied=unapplied.applied.mapped(part_of)),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class UnappliedChanges:
    """The apps that were merged and not applied yet: as `merged`, and as the last complete apply and unfinished ones left them.

    `applied` is the base that an apply of the merged manifests would have.
    """

    merged: State
    applied: Base

    @classmethod
    def between(
        cls, merged: State, applied: Base, *, unknown: Collection[str] = frozenset()
    ) -> UnappliedChanges | None:
        """Return what differs between the merged and the applied manifests, None for nothing.

        Apps that either could not load (`unknown`) are left out: their differences may be changes on the control plane.
        """
        found = cls(merged=merged, applied=applied)
        differing = found.apps.difference(unknown)
        return found.kept(lambda app: app.slug in differing) if differing else None

    @property
    def apps(self) -> frozenset[str]:
        """The apps that differ."""
        return changed_apps(self.merged, self.applied) - self.applied.unknown

    def kept(self, keep: Callable[[App], bool]) -> UnappliedChanges:
        """Leave out the apps that are not to be kept."""
        return UnappliedChanges(merged=State.from_apps(*filter(keep, self.merged)), applied=self.applied.kept(keep))


def changed_apps(tree: State, base: Base) -> frozenset[str]:
    """Return the apps that tree and base declare differently; those that the base could not load count as different.

    So do those of which an unfinished apply may have left something live that the tree does not declare.
    """
    differing = (slug for state in (base.state, *base.attempted) for slug in _differing(tree, state))
    return frozenset(differing) | (base.unknown & tree.apps.keys())


def _differing(first: State, second: State) -> Iterator[str]:
    """Yield the apps that only one of two states has, or that they declare differently."""
    for slug, app in first.apps.items():
        other = second.apps.get(slug)
        if other is not app and (other is None or _placeless(other) != _placeless(app)):
            yield slug
    yield from second.apps.keys() - first.apps.keys()


def _placeless(app: App) -> App:
    """Return an app without its places in the manifests and without the names of its policies."""
    config = app.inference_config
    return replace(
        app,
        origin=None,
        targets=tuple(replace(target, origin=None) for target in app.targets),
        slots=tuple(
            replace(
                slot,
                origin=None,
                preset=None,
                deploy=None if slot.deploy is None else replace(slot.deploy, origin=None),
            )
            for slot in app.slots
        ),
        inference_config=None if config is None else replace(config, origin=None),
    )


def as_live(state: State, tree: State) -> Observation:
    """Return what would be read if a state were live, and nothing else.

    An app that only child documents of the tree name is assumed to exist, with nothing in it.
    """
    extended = (App(slug=app.slug, declared=False) for app in tree if not app.declared and app.slug not in state.apps)
    return Observation(state=State.from_apps(*map(_live, (*state, *extended))))


def _live(app: App) -> App:
    return replace(
        app,
        complete_sections=frozenset(Section),
        deployments=tuple(
            Deployment(
                id=f"{slot.capability}@{environment}",
                app=app.slug,
                capability=slot.capability,
                environment=environment,
                status="active",
                live=True,
            )
            for slot in app.slots
            if slot.deploy is not None
            for environment in slot.deploy.environments
        ),
    )
