"""Three-way merge: tree, base and live are compared once, unit by unit, and what is planned is selected from the verdicts.

What is selected is a desired state like any other: what is stale or held is in it as it is live, so that the comparison after
it needs no base.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Final, TypeAlias

from octosync.model import (
    Address,
    App,
    InferenceConfig,
    JsonValue,
    Observation,
    Origin,
    Reason,
    Section,
    Slot,
    State,
    Target,
)
from octosync.plan.three_way.sides import AppVerdicts, Existence, Judgement, SlotFields, judge_app, let_go
from octosync.plan.three_way.verdict import UNDECLARED, Base, NoChange, Resolution, UndeclaredSide, Verdict, gravest

# Returns whether a verdict on a unit of an object leads to a change.
_Acts: TypeAlias = Callable[[Address, Verdict], bool]

_CHANGES_OF_OTHERS: Final = (Reason.DRIFT, Reason.DIVERGED)
_CHANGES_OF_MANIFESTS: Final = (Reason.MANIFEST_CHANGED, Reason.NEW, Reason.REMOVED)


@dataclass(frozen=True, slots=True)
class _Orphan:
    """An app that the base declared and no manifest does any more. `gives_up`: its live targets that another app wants."""

    before: App
    gives_up: tuple[Address, ...]


@dataclass(frozen=True, slots=True)
class Comparison:
    """Tree, base and live, compared: the verdicts on the apps by slug, those that are not compared, and orphans.

    `uncompared` apps are planned as the tree has them. `before` is what the base declares.
    """

    verdicts: Mapping[str, AppVerdicts]
    uncompared: Mapping[str, App]
    orphans: Mapping[str, _Orphan]
    before: State

    def planned(self, *, prune: bool = False, held: Collection[Address] = ()) -> Resolution:
        """Select every change but the drift of `held` objects. With `prune`, orphans are archived."""

        def acts(address: Address, verdict: Verdict) -> bool:
            return isinstance(verdict, Reason) and not (verdict is Reason.DRIFT and address in held)

        return self._resolved(acts, prune=prune)

    def of_manifests(self, *, prune: bool = False) -> Resolution:
        """Select what the manifests changed, and nothing that was changed on the control plane."""
        return self._resolved(lambda _, verdict: verdict in _CHANGES_OF_MANIFESTS, prune=prune)

    def _resolved(self, acts: _Acts, *, prune: bool) -> Resolution:
        resolved = Resolution(orphans=set(self.orphans), before=self.before)
        apps = [*self.uncompared.values(), *self._select(self.verdicts.values(), acts, resolved)]
        if prune:
            for orphan in self.orphans.values():
                before = orphan.before
                apps.append(_pruned(before))
                resolved.removed.update(orphan.gives_up)
                resolved.archives[before.address] = Reason.REMOVED
                resolved.origins[before.address] = before.origin
        resolved.desired = State.from_apps(*apps)
        return resolved

    def drift_of(self, addresses: Collection[Address]) -> Resolution:
        """Select the drift of these objects, and nothing else. Only their apps, and those that are not compared, are in it."""

        def acts(address: Address, verdict: Verdict) -> bool:
            return verdict is Reason.DRIFT and address in addresses

        slugs = {address.app for address in addresses}
        resolved = Resolution(before=self.before)
        apps = self._select((app for slug, app in self.verdicts.items() if slug in slugs), acts, resolved)
        resolved.desired = State.from_apps(*self.uncompared.values(), *apps)
        return resolved

    def changes_of_others(self) -> State:
        """Return the state in which only what was changed on the control plane is changed back."""
        apps = self._select(self.verdicts.values(), lambda _, verdict: verdict in _CHANGES_OF_OTHERS, Resolution())
        return State.from_apps(*self.uncompared.values(), *apps)

    def _select(self, verdicts: Iterable[AppVerdicts], acts: _Acts, resolved: Resolution) -> Iterator[App]:
        for app in verdicts:
            if (found := _Selection(app, acts, resolved).app()) is not None:
                yield found


def compare_three_ways(tree: State, live: Observation, base: Base, *, now: datetime) -> Comparison:
    """Judge every unit of every app.

    An app that could not be read, is suspended at `now` or is archived live is not compared.
    """
    verdicts: dict[str, AppVerdicts] = {}
    uncompared: dict[str, App] = {}
    orphans: dict[str, _Orphan] = {}
    earlier = base.before.apps
    claimed = {target.unique_key for app in tree for target in app.targets}
    for slug in sorted({*tree.apps, *earlier}):
        app, before, there = tree.apps.get(slug), earlier.get(slug), live.state.apps.get(slug)
        if app is None and before is not None and before.declared:
            orphans[slug] = _Orphan(before, tuple(_given_up(there, claimed)))
        elif slug in live.errors or _is_suspended(app, now) or (there is not None and there.archived):
            uncompared[slug] = app or App(slug=slug, declared=False)
        else:
            verdicts[slug] = judge_app(slug, app, base, there)
    return Comparison(verdicts, uncompared, orphans, base.before)


def _is_suspended(app: App | None, now: datetime) -> bool:
    return app is not None and app.suspension is not None and app.suspension.is_active(now)


class _Selection:
    """Selects what is planned of one app, and enters the rest of it in a `Resolution`."""

    def __init__(self, app: AppVerdicts, acts: _Acts, resolved: Resolution) -> None:
        self._app, self._tree, self._acts, self._resolved = app, app.tree, acts, resolved

    def app(self) -> App | None:
        """Return the app as it is planned, None if nothing of it is."""
        app, tree, resolved = self._app, self._tree, self._resolved
        if app.is_behind:
            resolved.stale.add(tree.address)
            return None
        if app.creation is not None and not self._creates(app.creation):
            return None
        planned = replace(
            tree,
            archived=self._archived(),
            fields=dict(tree.fields) if app.fields is None else self._fields(tree.address, app.fields),
            targets=tuple(self._targets()),
            slots=tuple(self._slots()),
            inference_config=self._inference_config(),
        )
        resolved.released |= app.released
        if app.is_gone and planned.inference_config is None:
            return planned if any(address.app == tree.slug for address in resolved.removed) else None
        return planned

    def _creates(self, verdict: Verdict) -> bool:
        reasons = _Reasons()
        creates = self._judge(self._tree.address, reasons, verdict)
        self._explain(self._tree.address, reasons)
        return creates

    def _archived(self) -> bool:
        verdict, address = self._app.archiving, self._tree.address
        if verdict is None:
            return self._tree.archived
        archives = self._judge(address, _Reasons(), verdict)
        if archives and isinstance(verdict, Reason) and not self._app.is_presumed:
            self._resolved.archives[address] = verdict
        return archives

    def _fields(self, address: Address, judged: Mapping[str, Judgement]) -> dict[str, JsonValue]:
        """Return the fields that are declared in the plan: those that change, and those that are as declared."""
        reasons = _Reasons()
        fields: dict[str, JsonValue] = {}
        for name, judgement in judged.items():
            unit = judgement.unit
            if self._judge(address, reasons, judgement.verdict):
                fields[name] = unit.default if isinstance(unit.tree, UndeclaredSide) else unit.tree
            elif judgement.verdict is NoChange.AS_DECLARED and not isinstance(unit.tree, UndeclaredSide):
                fields[name] = unit.tree
        self._explain(address, reasons)
        return fields

    def _targets(self) -> Iterator[Target]:
        for target in self._app.targets:
            kept = target.wanted or target.live
            if self._exists(target) and isinstance(kept, Target):
                yield kept

    def _slots(self) -> Iterator[Slot]:
        for slot in self._app.slots:
            match slot:
                case SlotFields(wanted, judged):
                    fields = self._fields(wanted.address, judged)
                    yield replace(wanted, fields=fields, preset=wanted.preset if "serving_policy" in fields else None)
                case Existence(address=address, wanted=wanted) if self._exists(slot):
                    # A slot that is kept without being declared has no field that could differ.
                    yield wanted if isinstance(wanted, Slot) else Slot(app=address.app, capability=address.name)

    def _exists(self, found: Existence) -> bool:
        """Return whether the plan declares an object."""
        unit, verdict, reasons = found.judgement.unit, found.judgement.verdict, _Reasons()
        acts = self._judge(found.address, reasons, verdict)
        self._explain(found.address, reasons)
        if acts:
            is_wanted = unit.tree is True
            if not is_wanted and found.section not in self._tree.complete_sections:
                self._resolved.removed.add(found.address)
            if not is_wanted and self._resolved.reasons.get(found.address) is Reason.REMOVED:
                self._resolved.origins[found.address] = self._origin_of(found.address)
            return is_wanted
        match verdict:
            case NoChange.UNTOUCHED:
                return (
                    unit.live is True and found.section in self._tree.complete_sections and unit.tree is not UNDECLARED
                )
            case NoChange.AS_DECLARED:
                return unit.tree is True
        self._resolved.left_as_live.add(found.address)  # stale or held
        return unit.live is True

    def _inference_config(self) -> InferenceConfig | None:
        judgement, address = self._app.inference_config, Address.of_inference_config(self._tree.slug)
        if judgement is None:
            return None
        wanted, verdict, reasons = self._tree.inference_config, judgement.verdict, _Reasons()
        acts = self._judge(address, reasons, verdict)
        self._explain(address, reasons)
        if acts and wanted is None:
            earlier = (config for app in self._app.earlier if (config := app.inference_config) is not None)
            before = next(earlier, None)
            return InferenceConfig(
                app=self._tree.slug, config=None, origin=before.origin if before is not None else None
            )
        if acts or verdict is NoChange.AS_DECLARED:
            return wanted
        if verdict is not NoChange.UNTOUCHED:
            self._resolved.left_as_live.add(address)
        return None

    def _judge(self, address: Address, reasons: _Reasons, verdict: Verdict) -> bool:
        """Return whether a verdict leads to a change, and note the verdict."""
        if verdict is Reason.DRIFT and not (self._app.is_presumed and self._app.live is None):
            self._resolved.drifted.add(address)  # a missing app of which nothing is known is just new
        acts = self._acts(address, verdict)
        if acts and isinstance(verdict, Reason):
            reasons.acting.append(verdict)
        elif verdict is NoChange.STALE:
            reasons.is_stale = True
        return acts

    def _explain(self, address: Address, reasons: _Reasons) -> None:
        reason = gravest(reasons.acting)
        if reason is not None and not self._app.is_presumed:
            self._resolved.reasons[address] = reason
        if reasons.is_stale:
            self._resolved.stale.add(address)

    def _origin_of(self, address: Address) -> Origin | None:
        objects: list[Target | Slot] = []
        for app in self._app.earlier:
            objects += (*app.targets, *app.slots)
        return next((declared.origin for declared in objects if declared.address == address), None)


@dataclass(slots=True)
class _Reasons:
    """The reasons of one object's changes, and whether a unit of it is stale."""

    acting: list[Reason] = field(default_factory=list)
    is_stale: bool = False


def _pruned(app: App) -> App:
    """Declare an app that no manifest has any more as archived, and nothing else of it."""
    return App(
        slug=app.slug,
        archived=True,
        labels=app.labels,
        protected=app.protected,
        suspension=app.suspension,
        origin=app.origin,
    )


def _given_up(live: App | None, claimed: Collection[tuple[str, str]]) -> Iterator[Address]:
    """Yield the targets of an app that another app declares: archiving the app would lose them permanently."""
    for target in live.targets if live is not None and not live.archived else ():
        if target.unique_key in claimed:
            yield target.address


def to_read(tree: State, base: Base, *, prune: bool) -> State:
    """Return what has to be read for a three-way plan: the tree, and of what was declared before what it may remove.

    Of the apps that were merged and not applied yet, also what their apply would read.
    """
    found = {app.slug: app for app in _reads(tree, base, prune=prune)}
    unapplied = base.unapplied
    for app in _reads(unapplied.merged, unapplied.applied, prune=prune) if unapplied is not None else ():
        known = found.get(app.slug)
        found[app.slug] = (
            app if known is None else replace(known, complete_sections=known.complete_sections | app.sections)
        )
    return State.from_apps(*found.values())


def _reads(tree: State, base: Base, *, prune: bool) -> Iterator[App]:
    for slug, before in sorted({**dict.fromkeys(tree.apps), **base.before.apps}.items()):
        app = tree.apps.get(slug)
        if app is None and before is not None and before.declared:
            if prune:
                yield replace(_pruned(before), complete_sections=frozenset({Section.TARGETS}))
            continue
        app = app or App(slug=slug, declared=False)
        earlier = base.earlier(slug)
        more = {section for before in earlier for section in _lost(app, before)} - let_go(app, earlier)
        if app.declared or app.sections or more:
            yield replace(app, complete_sections=app.complete_sections | more)


def _lost(app: App, before: App) -> Iterator[Section]:
    """Yield the sections in which an app has less than it had before."""
    if {target.address for target in before.targets} - {target.address for target in app.targets}:
        yield Section.TARGETS
    if {slot.address for slot in before.slots} - {slot.address for slot in app.slots}:
        yield Section.SLOTS
    if before.inference_config is not None and app.inference_config is None:
        yield Section.INFERENCE_CONFIG
