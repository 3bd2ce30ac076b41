"""The apps that a run plans: those that flags select, and those that may not be as they were applied."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from datetime import UTC, datetime

from octosync.cli.inputs import LoadedInputs
from octosync.cli.run_options import RunRequest
from octosync.manifest import RULES, select
from octosync.manifest.load.selection import matching
from octosync.model import App, Diagnostic, Observation, Section, State
from octosync.octomil import Octomil, observe
from octosync.plan.three_way.verdict import Base, changed_apps


def select_apps(request: RunRequest, inputs: LoadedInputs, also: Collection[str] = ()) -> tuple[State, Base | None]:
    """Return the apps to plan, and the part of the base with these and with selected apps that were removed since.

    With `--changed-only`, these are the changed ones and those that `also` contains.
    """
    tree, base = inputs.manifests.state, inputs.base
    before = base.before if base is not None else None
    desired = tree
    if request.apps or request.selector is not None:
        desired = select(tree, apps=request.apps, selector=request.selector, before=before)
    if base is None or before is None:
        return desired, None
    if base.unapplied is not None:
        before = State({**base.unapplied.applied.before.apps, **before.apps})
    removed = matching(before, apps=request.apps, selector=request.selector).apps.keys() - tree.apps.keys()
    base = base.kept(lambda app: app.slug in desired.apps or app.slug in removed)
    if request.base.changed_only:
        changed = changed_apps(desired, base).union(also)
        changed |= _givers_before_merge((app for app in desired if app.slug in changed), base)
        desired = State.from_apps(*(app for app in desired if app.slug in changed))
        base = base.kept(lambda app: app.slug in changed)
    return desired, base


def _givers_before_merge(apps: Iterable[App], base: Base) -> frozenset[str]:
    """Return the apps that had the targets of these apps when main was applied last, and that gave them away since.

    If that move waits for a suspended app, they still have them.
    """
    if base.unapplied is None:
        return frozenset()
    merged = {target.address for app in base.unapplied.merged for target in app.targets}
    moved = {
        target.unique_key: app.slug
        for app in base.unapplied.applied.before
        for target in app.targets
        if target.address not in merged
    }
    return frozenset(moved[key] for app in apps for target in app.targets if (key := target.unique_key) in moved)


def undeclared(unselected: tuple[str, ...] | None, inputs: LoadedInputs) -> tuple[str, ...] | None:
    """Return the live apps that no manifest declares, among those that a run does not plan; None if none were listed."""
    if unselected is None:
        return None
    states = (inputs.manifests.state, *(() if inputs.base is None else (inputs.base.before,)))
    return tuple(slug for slug in unselected if all(slug not in state.apps for state in states))


def gap_of(request: RunRequest, inputs: LoadedInputs) -> str | None:
    """Return why unchanged apps may differ from what was applied, None for no reason."""
    if request.retry_rolled_back:
        return "--retry-rolled-back concerns apps that have not changed"
    return inputs.gap


def all_apps_planned(gap: str) -> Diagnostic:
    """Return the notice that all apps are planned."""
    return Diagnostic(
        severity=RULES["all-apps-planned"].severity,
        rule="all-apps-planned",
        summary=f"all apps are planned, despite --changed-only: {gap}",
    )


def incomplete_apps(inputs: LoadedInputs) -> frozenset[str]:
    """Return the apps that may differ from what was applied although their manifests don't.

    What changed during a suspension was not applied, and Git does not have the values of environment variables.
    """
    now = datetime.now(UTC)
    suspensions = ((app.slug, app.suspension) for app in inputs.manifests.state)
    ended = {slug for slug, suspension in suspensions if suspension is not None and not suspension.is_active(now)}
    return inputs.manifests.from_environment | ended


def resumed_apps(desired: State, base: Base | None, now: datetime) -> frozenset[str]:
    """Return the apps that the base suspends, and whose suspension has ended."""
    before = base.state.apps if base is not None else {}
    suspended = {slug for slug, app in before.items() if app.suspension is not None}
    return frozenset(
        app.slug
        for app in desired
        if app.slug in suspended and (app.suspension is None or not app.suspension.is_active(now))
    )


async def partners_of(
    desired: State, base: Base | None, selectable: State, remote: Octomil, seen: Observation, now: datetime
) -> frozenset[str]:
    """Return the apps that a target moves to or from because of a change by hand: it is live in another app than declared.

    Moves in Git change the manifests of both apps, so both are selected already. If a target that the base declares is missing
    from its app, any app may have it: then the targets of all `selectable` apps are read.
    """
    rest = [app for app in selectable if app.slug not in desired.apps]
    live = {target.unique_key for app in seen.state for target in app.targets}
    claimants = {app.slug for app in rest if any(target.unique_key in live for target in app.targets)}
    lost = _lost_targets(desired, base, seen) - live
    if not lost:
        return frozenset(claimants)
    targets = frozenset({Section.TARGETS})
    wanted = (App(slug=app.slug, complete_sections=targets) for app in rest if Section.TARGETS in app.sections)
    others = await observe(remote, State.from_apps(*wanted), now=now)
    holders = {app.slug for app in others.state if any(target.unique_key in lost for target in app.targets)}
    return frozenset(claimants | holders | others.errors.keys())


def _lost_targets(desired: State, base: Base | None, seen: Observation) -> set[tuple[str, str]]:
    """Return the targets that apps declare, that the base declared for the same app, and that the app does not have."""
    before = base.state.apps if base is not None else {}
    lost: set[tuple[str, str]] = set()
    for app in desired:
        there = seen.state.apps.get(app.slug)
        if app.slug in before and there is not None and Section.TARGETS in there.complete_sections:
            had, has = ({target.unique_key for target in side.targets} for side in (before[app.slug], there))
            lost |= {target.unique_key for target in app.targets if target.unique_key in had - has}
    return lost
