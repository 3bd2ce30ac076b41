"""Desired state × live state → plan. Pure: no client, no clock, no environment; the time is an input."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable
from datetime import datetime

from octosync.contract import Contract
from octosync.errors import ManifestError, OctosyncError
from octosync.model import Address, App, Diagnostic, Kind, Observation, Section, Severity, State
from octosync.plan.actions import Action, ArchiveApp, RemoveTarget
from octosync.plan.fingerprint import fingerprint_of_app
from octosync.plan.moves import held_elsewhere, hold_back_halves, link_moves
from octosync.plan.order import in_order
from octosync.plan.plan import LeftAlone, Plan
from octosync.plan.propose import Proposal, propose


def make_plan(desired: State, live: Observation, *, contract: Contract, now: datetime) -> Plan:
    """Make the plan that turns live state into desired state, touching nothing that is not declared.

    `now` (with a zone) decides which suspensions are in force. Apps that could not be read become the plan's `errors`.
    """
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
    return Plan(
        desired=desired,
        actions=in_order(actions),
        unchanged=tuple(sorted(address for proposal in active.values() for address in proposal.unchanged)),
        errors=dict(sorted(errors.items())),
        archived_undeclared=tuple(archived),
        left_alone=LeftAlone(
            unmanaged_apps=None if live.unmanaged is None else len(live.unmanaged),
            suspended=tuple(sorted(suspended)),
            unknown_targets=tuple(sorted(a for proposal in active.values() for a in proposal.unknown_targets)),
        ),
        diagnostics=_sorted(
            (
                *waiting,
                *held_elsewhere(actions, live.state),
                *_public_clients(desired, live.state),
                *_stranded(actions, desired, live.state),
                *_not_deployed(desired),
            )
        ),
        fingerprints=dict(sorted((a, f) for proposal in active.values() for a, f in proposal.fingerprints.items())),
        live_counts=_live_counts(live.state),
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


def _not_deployed(desired: State) -> Iterable[Diagnostic]:
    for app in desired:
        for slot in app.slots:
            if slot.deploy is not None:
                yield Diagnostic(
                    severity=Severity.NOTICE,
                    rule="deploy-not-planned",
                    summary=f"{slot.address}: `deploy` is checked, and not acted on in this version",
                    origin=slot.deploy.origin or slot.origin,
                )


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
