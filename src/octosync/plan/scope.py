"""Which declared apps are planned: not those that are suspended, could not be read, or are archived and not declared so."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import datetime

from octosync.contract import Contract
from octosync.errors import ManifestError, OctosyncError
from octosync.model import Address, App, Observation, Section, State
from octosync.plan.compare import Proposal, propose
from octosync.plan.fingerprint import fingerprint_of_app


@dataclass(slots=True)
class Scope:
    """The declared apps, sorted by what becomes of them: proposals and errors by slug.

    What a suspended app would do is kept apart: it still tells which moves have to wait. For one of `archived_suspended`
    they would wait for good: it is live in the archive, and declared as live.
    """

    proposals: dict[str, Proposal] = field(default_factory=dict)
    suspended: dict[str, Proposal] = field(default_factory=dict)
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
    """Compare each declared app with what is live of it, or say why that can't be done.

    `removed` are objects to be deleted that no list owns which is declared.
    """
    scope = Scope(errors={slug: error for slug, error in live.errors.items() if slug in desired.apps})
    for app in desired:
        there = live.state.apps.get(app.slug)
        if app.suspension is not None and app.suspension.holds(now):
            scope.suspended[app.slug] = _proposal(app, there, contract, removed)
            scope.errors.pop(app.slug, None)  # it is read in part or not at all
            if there is not None and there.archived and not app.archived:
                scope.archived_suspended.add(app.slug)
        elif app.slug in scope.errors:
            continue
        elif there is not None and there.archived and not app.archived:
            scope.archived_undeclared.append(app.address)
        elif there is None and not app.declared:
            scope.errors[app.slug] = _app_to_extend_is_missing(app)
        elif there is not None and not app.archived and (unread := app.sections - there.whole):
            scope.errors[app.slug] = _not_read(app, unread)
        else:
            scope.proposals[app.slug] = _proposal(app, there, contract, removed)
    return scope


def _proposal(app: App, there: App | None, contract: Contract, removed: Collection[Address]) -> Proposal:
    if app.archived and there is None:
        return Proposal()  # never created just to be archived
    if app.archived and there is not None and there.archived:
        # Its children are neither read nor planned.
        return Proposal([], [app.address], {app.address: fingerprint_of_app(there.fields, archived=True)})
    return propose(app, there, contract, removed=removed)


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
