"""Optimizing: which better variants become a canary now, and which are only shown, with the reason.

A canary is started where the manifest says `auto`, the improvement is a number that is large enough, no canary of the slot
runs yet, and fewer run in the org than are allowed. The rest waits its turn: apps in the order of their slugs, and of a
slot staging before production.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from octosync.contract import ENVIRONMENTS
from octosync.errors import RemoteError
from octosync.model import Address, JsonValue, Observation, Optimize, Reason, State
from octosync.plan.actions import OptimizeCapability
from octosync.plan.diff import field_changes
from octosync.plan.fingerprint import fingerprint_of_deployments
from octosync.plan.rollouts import Better, DeployPolicy


@dataclass(frozen=True, slots=True, kw_only=True)
class Recommendation:
    """A better variant that this plan does not roll out. `improvement` is relative by metric: 0.18 is 18 %.

    `waiting` says what an automatic rollout waits for, "" where the manifest asks for none.
    """

    address: Address
    current: str | None
    suggested: str | None
    improvement: Mapping[str, JsonValue] = field(default_factory=dict)
    reason: str = ""
    waiting: str = ""


@dataclass(frozen=True, slots=True)
class Optimized:
    """What better variants come to. `asks_for_canaries`: how many run in the org has to be known first."""

    actions: tuple[OptimizeCapability, ...] = ()
    recommendations: tuple[Recommendation, ...] = ()
    asks_for_canaries: bool = False


def choose_canaries(better: Iterable[Better], live: State, seen: Observation, policy: DeployPolicy) -> Optimized:
    """Choose which better variants are rolled out now."""
    actions: list[OptimizeCapability] = []
    shown: list[Recommendation] = []
    busy = {
        Address.of_slot(app.slug, one.capability) for app in live for one in app.deployments if one.canary is not None
    }
    asks = False
    for one in sorted(better, key=_turn):
        slot = Address.of_slot(one.address.app, one.deployment.capability)
        waiting = _not_yet(one)
        if one.level is Optimize.AUTO and not waiting:
            if slot in busy:
                waiting = "one canary of a slot at a time"
            elif seen.canaries is None:
                asks = True
            elif isinstance(seen.canaries, RemoteError):
                waiting = f"how many canaries run in the org could not be read: {seen.canaries.message}"
            elif seen.canaries + len(actions) >= policy.max_canaries:
                most = policy.max_canaries
                waiting = (
                    f"at most {most} {'canary runs' if most == 1 else 'canaries run'} in the org at once (maxCanaries)"
                )
            if not waiting and not asks:
                busy.add(slot)
                there = live.apps[one.app.slug].deployments_at(one.address)
                actions.append(_optimize(one, fingerprint_of_deployments(there)))
                continue
        shown.append(_recommendation(one, waiting))
    return Optimized(tuple(actions), tuple(sorted(shown, key=lambda one: one.address)), asks)


def _turn(one: Better) -> tuple[str, str, int]:
    capability, environment = one.address.placement
    # Production comes first in the contract's list, and last here: what staging shows can still stop it.
    return (one.address.app, capability, -ENVIRONMENTS.index(environment))


def _not_yet(one: Better) -> str:
    """Say why a better variant is not good enough to be rolled out by itself; "" where it is, or nobody asks for that."""
    if one.level is not Optimize.AUTO:
        return ""
    least = one.deploy.min_improvement or 0.0
    if one.check.suggested is None:
        return "the orchestrator names no variant"
    if one.check.suggested == one.deployment.variant:
        return "it is what is deployed"
    if one.check.largest is None:
        return "its improvement has no number"
    if one.check.largest <= 0 or one.check.largest < least:
        return f"it improves less than {least * 100:.3g} % (minImprovement)" if least else "it improves no metric"
    return ""


def _optimize(one: Better, fingerprint: str) -> OptimizeCapability:
    capability, environment = one.address.placement
    suggested = str(one.check.suggested)
    before = {"capability": capability, "environment": environment, "model_variant_id": one.deployment.variant}
    after = {**before, "model_variant_id": suggested}
    return OptimizeCapability(
        address=one.address,
        reason=Reason.BETTER_VARIANT,
        parameters={"slug": one.app.slug, "capability": capability},
        body={"environment": environment},
        before=before,
        after=after,
        declared=after,
        fields=field_changes(before, after),
        fingerprint=fingerprint,
        labels=one.app.labels,
        origin=one.deploy.origin,
        suggested=suggested,
        check=one.check,
    )


def _recommendation(one: Better, waiting: str) -> Recommendation:
    return Recommendation(
        address=one.address,
        current=one.deployment.variant,
        suggested=one.check.suggested,
        improvement=one.check.improvement,
        reason=one.check.reason or "",
        waiting=waiting,
    )
