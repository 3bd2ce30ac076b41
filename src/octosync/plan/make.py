"""Desired state × live state → plan. Pure: no client, no clock, no environment; the time is an input."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from datetime import datetime

from octosync.contract import Contract
from octosync.model import Address, Diagnostic, Kind, Observation, Questions, State
from octosync.plan.actions import Action
from octosync.plan.authors import last_changes
from octosync.plan.capabilities import Capabilities, DeployPolicy, propose_capabilities
from octosync.plan.moves import held_elsewhere, hold_back_halves, link_moves
from octosync.plan.notices import notices_of
from octosync.plan.optimizing import Optimized, choose_canaries
from octosync.plan.order import in_order
from octosync.plan.plan import LeftAlone, Plan
from octosync.plan.questions import Curiosity, questions_of
from octosync.plan.scope import Scope, scope_of


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
    scope = scope_of(desired, live, contract=contract, now=now)
    changes, waiting = _changes(scope)
    planned = [app for slug in scope.proposals if not (app := desired.apps[slug]).archived]
    capabilities = propose_capabilities(planned, live, changes, deploy)
    optimized = choose_canaries(capabilities.better, live.state, live, deploy)
    actions = (*changes, *capabilities.actions, *optimized.actions)
    questions = Questions()
    if curiosity is not None:
        questions = questions_of(
            actions,
            live,
            curiosity,
            previews=capabilities.previews,
            checks=capabilities.checks,
            canaries=optimized.asks_for_canaries,
        )
    return Plan(
        desired=desired,
        actions=in_order(actions),
        unchanged=_unchanged(scope, capabilities, optimized),
        errors=dict(sorted(scope.errors.items())),
        archived_undeclared=tuple(scope.archived_undeclared),
        left_alone=_left_alone(scope, capabilities, live),
        diagnostics=_sorted(
            (
                *waiting,
                *held_elsewhere(actions, live.state),
                *notices_of(actions, desired, live.state),
                *capabilities.diagnostics,
            )
        ),
        fingerprints=_fingerprints(scope, capabilities),
        live_counts=_live_counts(live.state),
        recommendations=optimized.recommendations,
        last_changes=last_changes(actions, live),
        canaries=tuple(one for app in live.state for one in app.deployments if one.canary is not None),
        traffic={slug: stats.total for slug, stats in sorted(live.routing.items()) if stats.total},
        questions=questions,
        requests_used=live.requests,
    )


def _changes(scope: Scope) -> tuple[tuple[Action, ...], tuple[Diagnostic, ...]]:
    """Return the actions on apps and their objects, moves linked, and what is said of those that wait for a suspended app."""
    proposals = {**scope.proposals, **scope.suspended}
    every = link_moves(action for proposal in proposals.values() for action in proposal.actions)
    held = [action for action in every if action.address.app in scope.suspended]
    return hold_back_halves((action for action in every if action.address.app in scope.proposals), held)


def _unchanged(scope: Scope, capabilities: Capabilities, optimized: Optimized) -> tuple[Address, ...]:
    acted_on = {action.address for action in optimized.actions}
    objects = (address for proposal in scope.proposals.values() for address in proposal.unchanged)
    return tuple(sorted((*objects, *(address for address in capabilities.unchanged if address not in acted_on))))


def _left_alone(scope: Scope, capabilities: Capabilities, live: Observation) -> LeftAlone:
    unknown = (address for proposal in scope.proposals.values() for address in proposal.unknown_targets)
    return LeftAlone(
        unmanaged_apps=None if live.unmanaged is None else len(live.unmanaged),
        suspended=tuple(sorted(scope.suspended)),
        unknown_targets=tuple(sorted(unknown)),
        undeclared_deployments=tuple(sorted(capabilities.undeclared)),
        rolled_back=tuple(sorted(capabilities.rolled_back)),
    )


def _fingerprints(scope: Scope, capabilities: Capabilities) -> dict[Address, str]:
    found = dict(capabilities.fingerprints)
    for proposal in scope.proposals.values():
        found.update(proposal.fingerprints)
    return dict(sorted(found.items()))


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
