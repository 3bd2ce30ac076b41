"""Desired state × live state → plan. Pure: no client, no clock, no environment; the time is an input.

Declared apps are planned unless they are suspended, could not be read, or are archived live and not declared as archived.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from operator import attrgetter
from typing import Final

from octosync.contract import Contract
from octosync.errors import ManifestError, OctosyncError
from octosync.model import (
    Address,
    App,
    Diagnostic,
    FreezeWindow,
    Hold,
    Kind,
    Observation,
    OperatorControls,
    Optimize,
    Section,
    State,
)
from octosync.plan.actions import (
    Action,
    ArchiveApp,
    EnableCapability,
    Fingerprint,
    RegisterTarget,
    RemoveTarget,
    fingerprint_of_app,
)
from octosync.plan.compare import AppDiff, compare_app
from octosync.plan.diagnostics import notices_of, renames
from octosync.plan.drift import (
    HeldChange,
    HoldPolicy,
    ReadNeeds,
    held_until,
    last_changes,
    on_hold,
    questions_of,
    unheld,
)
from octosync.plan.guards.freeze import freezes_of
from octosync.plan.moves import Halves, held_by_orphans, held_by_released, held_elsewhere, hold_back_halves, link_moves
from octosync.plan.order import in_order
from octosync.plan.pending import answerable, as_if_applied, without_archives, without_waiting
from octosync.plan.plan import PendingChanges, Plan, UntouchedObjects
from octosync.plan.policies import PolicyRun, judge_plan, policy_diagnostics
from octosync.plan.rollouts import CanaryChoice, Capabilities, DeployPolicy, choose_canaries, compare_capabilities
from octosync.plan.selection import needed_actions, partial_plan
from octosync.plan.three_way.merge import Comparison, compare_three_ways
from octosync.plan.three_way.verdict import Base, Resolution, UnappliedChanges


@dataclass(slots=True)
class Scope:
    """The declared apps: the differences of those that are planned, and the errors of those that can't be, by slug.

    The differences of `suspended` apps show which moves have to wait. `archived_suspended` apps are archived live and not
    declared as archived, so moves would wait for them forever.
    """

    diffs: dict[str, AppDiff] = field(default_factory=dict)
    suspended: dict[str, AppDiff] = field(default_factory=dict)
    errors: dict[str, OctosyncError] = field(default_factory=dict)
    archived_undeclared: list[Address] = field(default_factory=list)
    archived_suspended: set[str] = field(default_factory=set)


def scope_of(
    desired: State,
    live: Observation,
    *,
    contract: Contract,
    now: datetime,
    removed: Collection[Address] = frozenset(),
) -> Scope:
    """Compare each declared app with its live state, or note why it can't be compared.

    `removed` are objects to delete that are in no declared list.
    """
    scope = Scope(errors={slug: error for slug, error in live.errors.items() if slug in desired.apps})
    for app in desired:
        there = live.state.apps.get(app.slug)
        if app.suspension is not None and app.suspension.is_active(now):
            scope.suspended[app.slug] = _diff(app, there, contract, removed)
            scope.errors.pop(app.slug, None)  # it is read in part or not at all
            if there is not None and there.archived and not app.archived:
                scope.archived_suspended.add(app.slug)
        elif app.slug in scope.errors:
            continue
        elif there is not None and there.archived and not app.archived:
            scope.archived_undeclared.append(app.address)
        elif there is None and not app.declared:
            scope.errors[app.slug] = _app_to_extend_is_missing(app)
        elif there is not None and not app.archived and (unread := app.sections - there.complete_sections):
            scope.errors[app.slug] = _not_read(app, unread)
        else:
            scope.diffs[app.slug] = _diff(app, there, contract, removed)
    return scope


def _diff(app: App, there: App | None, contract: Contract, removed: Collection[Address]) -> AppDiff:
    if app.archived and there is None:
        return AppDiff()  # never created just to be archived
    if app.archived and there is not None and there.archived:
        # Its children are neither read nor planned.
        return AppDiff([], [app.address], {app.address: fingerprint_of_app(there.fields, archived=True)})
    return compare_app(app, there, contract, removed=removed)


def _app_to_extend_is_missing(app: App) -> OctosyncError:
    child = next((child for child in (*app.targets, *app.slots, app.inference_config) if child is not None), None)
    where = f"{child.origin}: " if child is not None and child.origin is not None else ""
    return ManifestError(
        "app-not-found",
        f"{where}app `{app.slug}` does not exist, and no App document in the set declares it",
        hints=("Add a document of kind App for it, or correct `spec.app`.",),
    )


def _not_read(app: App, sections: frozenset[Section]) -> OctosyncError:
    names = ", ".join(sorted(section.value for section in sections))
    return OctosyncError(
        "not-read",
        f"{app.address}: {names} declared, but their live state was not read",
        hints=("Plan again.",),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanOptions:
    """What a plan depends on beside desired and live state.

    `now` (with a zone) decides which suspensions and which windows of `freeze` are in force: frozen changes are planned, and
    guards judge them. A plan's `questions` are about `read_needs`, None for no questions. With a `base`, objects that only it
    declares are removed, and with `prune` its apps are archived; changes on the control plane are held as `hold` defines.
    `policies` judge a plan that has no more questions; guards refuse what they don't accept.
    `controls` are what operators have asked of the controller; guards judge the plan by them, and `hold` has the holds again.
    Only `objects` are planned, with what they need; if it is empty, everything is. Policies judge apps as `declared`, None: as
    the desired state has them.
    """

    now: datetime
    contract: Contract = field(default_factory=Contract)
    deploy: DeployPolicy = field(default_factory=DeployPolicy)
    read_needs: ReadNeeds | None = None
    base: Base | None = None
    prune: bool = False
    hold: HoldPolicy | None = None
    freeze: Sequence[FreezeWindow] = ()
    policies: PolicyRun | None = None
    objects: frozenset[Address] = frozenset()
    declared: State | None = None
    controls: OperatorControls = field(default_factory=OperatorControls)


def make_plan(desired: State, live: Observation, options: PlanOptions) -> Plan:
    """Make the plan that turns live state into desired state, touching nothing that is not declared.

    Apps that could not be read become the plan's `errors`. Its `questions` are the reads that a whole plan still needs.
    What is merged and not applied yet is `pending`, and the plan is made as if it were applied.
    """
    pending, after = None, options
    if options.base is not None and options.base.unapplied is not None:
        pending, waiting = _pending(options.base.unapplied, desired, live, options)
        after = replace(options, base=without_waiting(options.base, waiting, live.state))
    plan = _plan(desired, live, after) if pending is None else _plan_after(pending, desired, live, after)
    if options.policies is None or plan.questions:
        return plan
    return _judged(plan, desired if options.declared is None else options.declared, options, options.policies)


def _plan_after(pending: PendingChanges, desired: State, live: Observation, options: PlanOptions) -> Plan:
    """Return the plan as if the pending changes were applied."""
    archived = {action.address.app for action in pending.actions if isinstance(action, ArchiveApp)}
    plan = _plan(without_archives(desired, archived), as_if_applied(live, pending.actions), options)
    there = {action.address for action in pending.actions}
    unanswerable = {*plan.questions.previews} - {*(questions := answerable(plan.questions, live.state)).previews}
    return replace(
        plan,
        actions=tuple(
            replace(action, no_preview="the slot does not exist yet")
            if isinstance(action, EnableCapability) and action.address in unanswerable
            else action
            for action in plan.actions
        ),
        desired=State.from_apps(*{**plan.desired.apps, **desired.apps}.values()),
        unchanged=tuple(address for address in plan.unchanged if address not in there),
        questions=questions,
        pending=pending,
    )


def _pending(
    unapplied: UnappliedChanges, desired: State, live: Observation, options: PlanOptions
) -> tuple[PendingChanges | None, tuple[Address, ...]]:
    """Return the changes that are merged and not applied yet, None if there are none, and the objects of those that wait.

    Whether an app is suspended follows from the tree. An archive of an app that the tree keeps is not pending: the next apply
    will not make it.
    """
    tree, kept = desired.apps, {app.slug for app in desired if not app.archived}
    state = State.from_apps(
        *(replace(app, suspension=tree[app.slug].suspension) if app.slug in tree else app for app in unapplied.merged)
    )
    comparison = compare_three_ways(state, live, unapplied.applied, now=options.now)
    merged = comparison.of_manifests(prune=options.prune)
    scope = scope_of(merged.desired, live, contract=options.contract, now=options.now, removed=merged.removed)
    halves = _changes(scope, merged)
    changes = halves.actions
    apps = (merged.desired.apps[slug] for slug in scope.diffs)
    deploy = replace(options.deploy, optimize=Optimize.NEVER, previews=False)
    deployed = {
        Address.of_capability(app.slug, *placement) for app in unapplied.applied.state for placement in app.placements
    }
    enabled = compare_capabilities((app for app in apps if not app.archived), live, changes, deploy).actions
    actions = (
        action
        for action in (*changes, *(action for action in enabled if action.address not in deployed))
        if not (isinstance(action, ArchiveApp) and action.address.app in kept)
    )
    ordered = in_order(actions)
    if options.objects:
        ordered = needed_actions(ordered, options.objects)
    return PendingChanges(desired=merged.desired, actions=ordered) if ordered else None, halves.waiting


def _plan(desired: State, live: Observation, options: PlanOptions) -> Plan:
    compared, held = _compared(desired, live, options)
    scope = scope_of(compared.desired, live, contract=options.contract, now=options.now, removed=compared.removed)
    halves = _changes(scope, compared)
    apps = (compared.desired.apps[slug] for slug in scope.diffs)
    deployed = [app for app in apps if not app.archived and any(slot.deploy is not None for slot in app.slots)]
    capabilities = compare_capabilities(deployed, live, halves.actions, options.deploy) if deployed else Capabilities()
    better = capabilities.better
    optimized = choose_canaries(better, live.state, live, options.deploy) if better else CanaryChoice()
    every = in_order((*halves.actions, *capabilities.actions, *optimized.actions))
    actions = needed_actions(every, options.objects) if options.objects else every
    if options.objects:
        compared, held = _of_objects(compared, held, options.objects)
    shown = (*actions, *(change.action for change in held))
    everything = State.from_apps(*{**compared.desired.apps, **desired.apps}.values())
    fingerprints = _fingerprints(scope, capabilities, held)
    unchanged = _unchanged(scope, capabilities, optimized, compared, held)
    found = (*halves.notes, *notices_of(actions, everything, live.state), *capabilities.diagnostics)
    if options.objects:
        planned = options.objects.union(action.address for action in actions)
        fingerprints = {address: found for address, found in fingerprints.items() if address in planned}
        unchanged = tuple(address for address in unchanged if address in options.objects)
        found = (*found, partial_plan(options.objects, len(every) - len(actions)))
    return Plan(
        desired=everything,
        actions=actions,
        held=held,
        unchanged=unchanged,
        errors=dict(sorted(scope.errors.items())),
        # The archived apps that are declared as live: a suspended one only if a move waits for it, and would for good.
        archived_undeclared=tuple(
            sorted((*scope.archived_undeclared, *map(Address.of_app, scope.archived_suspended & halves.waited_for)))
        ),
        left_alone=_left_alone(scope, halves, capabilities, live, compared, prune=options.prune),
        diagnostics=_diagnostics(
            actions,
            live,
            options,
            compared,
            found=found,
            tree=desired,
            held=held,
        ),
        fingerprints=fingerprints,
        drifted=_drifted(compared, options.base, fingerprints, held) if compared.drifted or held else (),
        live_counts=_live_counts(live.state),
        recommendations=optimized.recommendations,
        last_changes=last_changes(shown, live, compared.drifted),
        canaries=tuple(
            deployment for app in live.state for deployment in app.deployments if deployment.canary is not None
        ),
        frozen=freezes_of(options.freeze, sorted({action.address.app for action in actions}), options.now)
        if options.freeze
        else {},
        traffic={slug: stats.total for slug, stats in sorted(live.routing.items()) if stats.total},
        questions=questions_of(
            shown,
            live,
            options.read_needs,
            previews=capabilities.previews,
            checks=capabilities.checks,
            canaries=optimized.asks_for_canaries,
            drifted=compared.drifted,
        ),
        requests_used=live.requests,
        selected=tuple(sorted(options.objects)),
        controls=replace(options.controls, holds=_holds_of(shown, options.controls)),
        has_base=options.base is not None,
    )


def _holds_of(actions: Iterable[Action], controls: OperatorControls) -> Mapping[str, Hold]:
    """Return the holds of apps with a change, held or not."""
    apps = {action.address.app for action in actions} if controls.holds else ()
    return {slug: hold for slug, hold in sorted(controls.holds.items()) if slug in apps}


def _judged(plan: Plan, tree: State, options: PlanOptions, run: PolicyRun) -> Plan:
    """Return the plan with the results of policies, and the diagnostics that follow from them."""
    results = judge_plan(plan.actions, tree, options.base, run, options.now)
    found = (*plan.diagnostics, *policy_diagnostics(results, refused=True))
    return replace(plan, policies=results, diagnostics=tuple(sorted(found, key=lambda diagnostic: diagnostic.sort_key)))


def _of_objects(
    compared: Resolution, held: tuple[HeldChange, ...], objects: frozenset[Address]
) -> tuple[Resolution, tuple[HeldChange, ...]]:
    """Return what is reported of the comparison and of held changes if only these objects are planned."""
    reported = replace(
        compared,
        drifted=compared.drifted & objects,
        stale=compared.stale & objects,
        released=compared.released & objects,
    )
    return reported, tuple(change for change in held if change.action.address in objects)


def _compared(desired: State, live: Observation, options: PlanOptions) -> tuple[Resolution, tuple[HeldChange, ...]]:
    """Return what is planned of the tree, and the changes that are held."""
    base = options.base
    if base is None:
        return Resolution(desired=desired), ()
    comparison = compare_three_ways(desired, live, base, now=options.now)
    planned = comparison.planned(prune=options.prune)
    ends = held_until(planned.drifted, live, now=options.now, hold=options.hold, presumed=base.presumed)
    held = _held(comparison, ends, live, options)
    if not held:
        return planned, ()
    # What would not be changed anyway is not held either: it is reported for its own reason.
    return comparison.planned(prune=options.prune, held={change.action.address for change in held}), held


def _held(
    comparison: Comparison, ends: Mapping[Address, datetime | None], live: Observation, options: PlanOptions
) -> tuple[HeldChange, ...]:
    """Return the changes that would be made now, were the drift of some objects not held until `ends`."""
    if not ends:
        return ()
    drift = comparison.drift_of(ends)
    changes = _changes(scope_of(drift.desired, live, contract=options.contract, now=options.now), drift).actions
    held = (HeldChange(change, ends[change.address]) for change in changes if change.address in ends)
    return tuple(sorted(held, key=lambda change: change.action.address.sort_key))


def _changes(scope: Scope, compared: Resolution) -> Halves:
    """Return the actions on apps and their objects, moves linked, and those that wait for a suspended app."""
    diffs = {**scope.diffs, **scope.suspended}
    every = tuple(action for diff in diffs.values() for action in diff.actions)
    if compared.reasons or compared.archives or compared.origins:
        every = tuple(map(compared.explained, every))
    if not any(isinstance(action, RegisterTarget | RemoveTarget) for action in every):
        return Halves(tuple(action for action in every if action.address.app in scope.diffs))
    every = link_moves(every)
    held = [action for action in every if action.address.app in scope.suspended]
    return hold_back_halves((action for action in every if action.address.app in scope.diffs), held)


def _unchanged(
    scope: Scope, capabilities: Capabilities, optimized: CanaryChoice, compared: Resolution, held: Iterable[HeldChange]
) -> tuple[Address, ...]:
    acted_on = {action.address for action in optimized.actions}
    aside = {*(change.action.address for change in held), *compared.stale, *compared.left_as_live}
    objects = [address for diff in scope.diffs.values() for address in diff.unchanged if address not in aside]
    objects += (address for address in capabilities.unchanged if address not in acted_on)
    return tuple(sorted(objects, key=_BY_ADDRESS))


def _diagnostics(
    actions: tuple[Action, ...],
    live: Observation,
    options: PlanOptions,
    compared: Resolution,
    *,
    found: Iterable[Diagnostic],
    tree: State,
    held: tuple[HeldChange, ...],
) -> tuple[Diagnostic, ...]:
    """Return what was found, targets that another app keeps, apps on hold, renamed apps, and drift that is not held, by place."""
    diagnostics, base = [*found], options.base
    if any(isinstance(action, RegisterTarget) for action in actions):
        diagnostics += held_elsewhere(actions, live.state)
        if base is not None and not options.prune:
            diagnostics += held_by_orphans(actions, _orphans(base, compared))
        diagnostics += held_by_released(actions, compared.released, live.state)
    if base is not None:
        diagnostics += on_hold(held, options.controls)
        diagnostics += renames(actions, tree, base)
        diagnostics += unheld(compared.drifted, live, actions, options.hold)
    return tuple(sorted(diagnostics, key=lambda diagnostic: diagnostic.sort_key))


def _orphans(base: Base, compared: Resolution) -> Iterator[App]:
    return (base.before.apps[slug] for slug in sorted(compared.orphans))


def _left_alone(
    scope: Scope, halves: Halves, capabilities: Capabilities, live: Observation, compared: Resolution, *, prune: bool
) -> UntouchedObjects:
    unknown = (address for diff in scope.diffs.values() for address in diff.unknown_targets)
    return UntouchedObjects(
        unmanaged_apps=None if live.unmanaged is None else len(live.unmanaged),
        suspended=tuple(sorted(scope.suspended)),
        unknown_targets=tuple(sorted(unknown)),
        undeclared_deployments=tuple(sorted(capabilities.undeclared)),
        rolled_back=tuple(sorted(capabilities.rolled_back)),
        orphan_apps=() if prune else tuple(sorted(compared.orphans)),
        stale=tuple(sorted(compared.stale)),
        released=tuple(sorted(compared.released)),
        waiting=halves.waiting,
    )


def _drifted(
    compared: Resolution, base: Base | None, compared_with: Collection[Address], held: Iterable[HeldChange]
) -> tuple[Address, ...]:
    """Return what was changed on the control plane; of apps without a known baseline, only what is held."""
    presumed = base.presumed if base is not None else frozenset()
    known = {address for address in compared.drifted if address in compared_with and address.app not in presumed}
    return tuple(sorted(known | {change.action.address for change in held}))


def _fingerprints(scope: Scope, capabilities: Capabilities, held: Iterable[HeldChange]) -> dict[Address, Fingerprint]:
    found = dict(capabilities.fingerprints)
    # What is held is declared as it is live, and where that is nothing, it has not been compared.
    found.update((change.action.address, change.action.fingerprint) for change in held)
    for diff in scope.diffs.values():
        found.update(diff.fingerprints)
    return {address: found[address] for address in sorted(found, key=_BY_ADDRESS)}


_BY_ADDRESS: Final = attrgetter("sort_key")  # many times as fast as comparing addresses


def _live_counts(live: State) -> dict[Kind, int]:
    counts: Counter[Kind] = Counter()
    for app in live:
        counts[Kind.APP] += 1
        counts[Kind.TARGET] += len(app.targets)
        counts[Kind.SLOT] += len(app.slots)
        counts[Kind.INFERENCE_CONFIG] += app.inference_config is not None and app.inference_config.config is not None
    return dict(counts)
