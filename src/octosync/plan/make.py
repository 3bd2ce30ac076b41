"""Desired state × live state → plan. Pure: no client, no clock, no environment; the time is an input."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable
from datetime import datetime

from octosync.contract import Contract
from octosync.errors import ManifestError, OctosyncError
from octosync.model import (
    Address,
    App,
    Deployment,
    Diagnostic,
    Kind,
    Observation,
    Questions,
    Section,
    Severity,
    State,
)
from octosync.plan.actions import Action, ArchiveApp, DeleteSlot, RegisterTarget, RemoveTarget
from octosync.plan.authors import last_changes
from octosync.plan.capabilities import DeployPolicy, propose_capabilities
from octosync.plan.fingerprint import fingerprint_of_app
from octosync.plan.moves import held_elsewhere, hold_back_halves, link_moves
from octosync.plan.optimizing import choose_canaries
from octosync.plan.order import in_order
from octosync.plan.plan import LeftAlone, Plan
from octosync.plan.propose import Proposal, propose
from octosync.plan.questions import Curiosity, questions_of


def make_plan(
    desired: State,
    live: Observation,
    *,
    contract: Contract,
    now: datetime,
    deploy: DeployPolicy | None = None,
    curiosity: Curiosity | None = None,
) -> Plan:
    """Make the plan that turns live state into desired state, touching nothing that is not declared.

    `now` (with a zone) decides which suspensions are in force. Apps that could not be read become the plan's `errors`. What
    has to be asked for a whole plan, as far as `curiosity` goes, are its `questions`.
    """
    deploy = deploy or DeployPolicy()
    errors: dict[str, OctosyncError] = dict(live.errors)
    archived: list[Address] = []
    suspended: set[str] = set()
    proposals: dict[str, Proposal] = {}
    for app in desired:
        there = live.state.apps.get(app.slug)
        if app.suspension is not None and app.suspension.holds(now):
            # Not planned, and read in part or not at all; what it would do still tells which moves have to wait.
            suspended.add(app.slug)
            proposals[app.slug] = _proposal(app, there, contract)
            errors.pop(app.slug, None)
            continue
        if app.slug in errors:
            continue
        if there is not None and there.archived and not app.archived:
            archived.append(app.address)
            continue
        if there is None and not app.declared:
            errors[app.slug] = _app_to_extend_is_missing(app)
        elif there is not None and not app.archived and (unread := app.sections - there.whole):
            errors[app.slug] = _not_read(app, unread)
        else:
            proposals[app.slug] = _proposal(app, there, contract)

    every = link_moves(action for proposal in proposals.values() for action in proposal.actions)
    held = [action for action in every if action.address.app in suspended]
    actions, waiting = hold_back_halves((a for a in every if a.address.app not in suspended), held)
    active = {slug: proposal for slug, proposal in proposals.items() if slug not in suspended}
    by_app: defaultdict[str, list[Action]] = defaultdict(list)
    for action in actions:
        by_app[action.address.app].append(action)
    capabilities = [
        propose_capabilities(desired.apps[slug], live.state.apps.get(slug), live, by_app[slug], deploy)
        for slug in active
        if not desired.apps[slug].archived
    ]
    optimized = choose_canaries((one for found in capabilities for one in found.better), live.state, live, deploy)
    actions = (*actions, *(action for found in capabilities for action in found.actions), *optimized.actions)
    acted_on = {action.address for action in actions}
    deployed = (address for found in capabilities for address in found.unchanged if address not in acted_on)
    return Plan(
        desired=desired,
        actions=in_order(actions),
        unchanged=tuple(sorted((*(a for proposal in active.values() for a in proposal.unchanged), *deployed))),
        errors=dict(sorted(errors.items())),
        archived_undeclared=tuple(archived),
        left_alone=LeftAlone(
            unmanaged_apps=None if live.unmanaged is None else len(live.unmanaged),
            suspended=tuple(sorted(suspended)),
            unknown_targets=tuple(sorted(a for proposal in active.values() for a in proposal.unknown_targets)),
            undeclared_deployments=tuple(sorted(a for found in capabilities for a in found.undeclared)),
            rolled_back=tuple(sorted(a for found in capabilities for a in found.rolled_back)),
        ),
        diagnostics=_sorted(
            (
                *waiting,
                *held_elsewhere(actions, live.state),
                *_public_clients(desired, live.state),
                *_stranded(actions, desired, live.state),
                *_beyond_reach(actions, live.state),
                *(one for found in capabilities for one in found.diagnostics),
            )
        ),
        fingerprints=dict(
            sorted(
                (
                    *((a, f) for proposal in active.values() for a, f in proposal.fingerprints.items()),
                    *((a, f) for found in capabilities for a, f in found.fingerprints.items()),
                )
            )
        ),
        live_counts=_live_counts(live.state),
        recommendations=optimized.recommendations,
        last_changes=last_changes(actions, live),
        canaries=tuple(one for app in live.state for one in app.deployments if one.canary is not None),
        traffic={slug: stats.total for slug, stats in sorted(live.routing.items()) if stats.total},
        questions=Questions()
        if curiosity is None
        else questions_of(
            actions,
            live,
            curiosity,
            previews=(address for found in capabilities for address in found.previews),
            checks=(address for found in capabilities for address in found.checks),
            canaries=optimized.asks_for_canaries,
        ),
        requests_used=live.requests,
    )


def _proposal(app: App, there: App | None, contract: Contract) -> Proposal:
    if app.archived and there is None:
        return Proposal()  # never created just to be archived
    if app.archived and there is not None and there.archived:
        # Its children are neither read nor planned.
        return Proposal([], [app.address], {app.address: fingerprint_of_app(there.fields, archived=True)})
    return propose(app, there, contract)


def _app_to_extend_is_missing(app: App) -> OctosyncError:
    child = next((one for one in (*app.targets, *app.slots, app.inference_config) if one is not None), None)
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
        f"{app.address}: {names} declared, and what is live of it was not read, so nothing can be said of it",
        hints=("Plan again.",),
    )


def _public_clients(desired: State, live: State) -> Iterable[Diagnostic]:
    for app in desired:
        there = live.apps.get(app.slug)
        for slot in app.slots:
            actual = there.slot(slot.capability) if there else None
            if actual is None or "public_client_allowed" in slot.fields:
                continue
            if actual.fields.get("public_client_allowed") is True:
                yield Diagnostic(
                    severity=Severity.WARNING,
                    rule="undeclared-public-client",
                    summary=f"{slot.address}: public clients are allowed live, and the manifest does not declare it",
                    origin=slot.origin,
                    notes=("Declare `publicClientAllowed: true` to keep it, or `false` to end it.",),
                )


def _stranded(actions: Collection[Action], desired: State, live: State) -> Iterable[Diagnostic]:
    leaving = {action.address for action in actions if isinstance(action, RemoveTarget)}
    for action in actions:
        if not isinstance(action, ArchiveApp):
            continue
        app, there = desired.apps[action.address.app], live.apps[action.address.app]
        kept = sorted({target.address for target in (*there.targets, *app.targets)} - leaving)
        if Section.TARGETS in there.whole and not kept:
            continue
        yield Diagnostic(
            severity=Severity.WARNING,
            rule="archive-strands-identifiers",
            summary=f"{action.address}: its targets stay taken for good once it is archived"
            + (f": {', '.join(address.name for address in kept)}" if kept else ""),
            origin=action.origin,
            notes=("Declare `targets: []` beside `archived: true` to free them.",),
        )


def _beyond_reach(actions: Iterable[Action], live: State) -> Iterable[Diagnostic]:
    """Tell what no API does: assign a new target to what is deployed, and undeploy what a deleted slot leaves running."""
    for action in actions:
        there = live.apps.get(action.address.app)
        running = [one for one in (there.deployments if there else ()) if one.live]
        match action:
            case RegisterTarget() if running:
                yield Diagnostic(
                    severity=Severity.NOTICE,
                    rule="target-without-assignment",
                    summary=f"{action.address}: not assigned to what is deployed already: {_placements(running)}",
                    origin=action.origin,
                    notes=(
                        "Enabling assigns devices, to the targets that are registered then; nothing assigns a later one.",
                        "To get it assigned: roll the deployment back in Octomil, then apply with --retry-rolled-back.",
                    ),
                )
            case DeleteSlot(address=address):
                left = [one for one in running if one.capability == address.name]
                if left:
                    yield Diagnostic(
                        severity=Severity.NOTICE,
                        rule="deployment-goes-on",
                        summary=f"{address}: its deployment goes on without it: {_placements(left)}",
                        origin=action.origin,
                        notes=("There is no API to undeploy; roll it back in Octomil if it is to end.",),
                    )


def _placements(deployments: Iterable[Deployment]) -> str:
    return ", ".join(dict.fromkeys(one.address.name for one in deployments))


def _live_counts(live: State) -> dict[Kind, int]:
    counts: Counter[Kind] = Counter()
    for app in live:
        counts[Kind.APP] += 1
        counts[Kind.TARGET] += len(app.targets)
        counts[Kind.SLOT] += len(app.slots)
        counts[Kind.INFERENCE_CONFIG] += app.inference_config is not None and app.inference_config.config is not None
    return dict(counts)


def _sorted(diagnostics: Iterable[Diagnostic]) -> tuple[Diagnostic, ...]:
    return tuple(sorted(diagnostics, key=lambda diagnostic: diagnostic.sort_key))
