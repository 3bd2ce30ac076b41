"""Reconcile, readable top to bottom: desired × live → plan → guard → apply. Pull request, merge and cluster run this code."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime

from octosync.apply import ApplyResult, Listener, Record, apply_plan
from octosync.errors import GuardRefused, OctosyncError
from octosync.model import App, FollowUpReads, Observation, Sensitivity, State
from octosync.octomil import Octomil, ReadResult, enrich, observe
from octosync.plan import GuardPolicy, Plan, PlanOptions, Refusal, judge, make_plan, read_needs_of
from octosync.plan.three_way.merge import to_read


@dataclass(frozen=True, slots=True)
class ReviewedPlan:
    """A plan, the observation that it was made from, and the guards' refusals."""

    observation: Observation
    plan: Plan
    refusals: tuple[Refusal, ...]


def review(
    desired: State, observation: Observation, options: PlanOptions, policy: GuardPolicy | None = None
) -> ReviewedPlan:
    """Plan and judge an observation, without a request: the one place where a plan is made."""
    plan = make_plan(desired, observation, options)
    return ReviewedPlan(observation, plan, judge(plan, policy or GuardPolicy()))


async def observe_and_review(
    desired: State,
    remote: Octomil,
    policy: GuardPolicy,
    options: PlanOptions,
    *,
    authors_since: datetime | None = None,
    listed: ReadResult[dict[str, App]] | None = None,
    remembered: Callable[[Observation], Observation] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> ReviewedPlan:
    """Observe and plan, then read what the plan still needs to know until it is complete; change nothing.

    The contract of `options` is the remote's, and their read_needs that of the guards. `authors_since` is how far back the
    org's activity is read for who changed what the plan would change back (None: not at all), `listed` as for `observe`.
    `remembered` adds what is known already, so that it isn't asked again. Raises `RemoteError` if no app at all can be read.
    """
    options = replace(options, contract=remote.contract, read_needs=read_needs_of(policy, authors_since))
    wanted = desired if options.base is None else to_read(desired, options.base, prune=options.prune)
    observation = await observe(remote, wanted, now=options.now, listed=listed, progress=progress)
    if remembered is not None:
        observation = remembered(observation)
    reviewed = review(desired, observation, options, policy)
    while reviewed.plan.questions != FollowUpReads():
        observation = await enrich(remote, reviewed.observation, reviewed.plan.questions, progress=progress)
        reviewed = review(desired, observation, options, policy)
    return reviewed


def refuse_unsafe(reviewed: ReviewedPlan) -> None:
    """Raise if a plan may not be applied, not even in part.

    Raises `OctosyncError` for a plan with an app that could not be read or planned, `GuardRefused` for a guard's refusal.
    """
    if reviewed.plan.errors:
        slug, error = next(iter(reviewed.plan.errors.items()))
        rest = f", and {len(reviewed.plan.errors) - 1} more" if len(reviewed.plan.errors) > 1 else ""
        raise OctosyncError(
            "plan-errored",
            f"{slug}{rest} could not be planned, so nothing is applied: {error.message}",
            hints=("Apply the others alone with --app, or mend this first.",),
        )
    if reviewed.refusals:
        raise GuardRefused(
            "guard-refused", "; ".join(f"{refusal.guard}: {refusal.message}" for refusal in reviewed.refusals)
        )


async def apply_reviewed(
    reviewed: ReviewedPlan,
    remote: Octomil,
    *,
    record: Record,
    resume: str,
    sensitivity: Sensitivity,
    stop: asyncio.Event,
    listener: Listener | None = None,
) -> ApplyResult:
    """Execute exactly the plan's actions. Raises before the first write, or returns an outcome for every action."""
    refuse_unsafe(reviewed)
    return await apply_plan(
        reviewed.plan,
        remote,
        seen=reviewed.observation,
        record=record,
        resume=resume,
        sensitivity=sensitivity,
        stop=stop,
        listener=listener or Listener(),
    )
