"""The reconcile pipeline: observe, plan, check the guards, apply. Pull requests, merges and the controller all run this code."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from datetime import datetime

from octosync.apply import ApplyResult, Listener, apply_plan
from octosync.collector import collector_paused
from octosync.errors import GuardRefused, OctosyncError
from octosync.model import App, FollowUpReads, Observation, Sensitivity, State
from octosync.octomil import Octomil, ReadResult, enrich, observe
from octosync.plan import GuardPolicy, Plan, PlanOptions, Refusal, exclude, judge, make_plan, read_needs_of, unblocked
from octosync.plan.three_way.merge import to_read
from octosync.state import Record


@dataclass(frozen=True, slots=True)
class ReviewedPlan:
    """A plan, the observation that it was made from, and the guards' refusals."""

    observation: Observation
    plan: Plan
    refusals: tuple[Refusal, ...]


def review(
    desired: State, observation: Observation, options: PlanOptions, policy: GuardPolicy | None = None
) -> ReviewedPlan:
    """Return the plan of an observation with the guards' refusals; it sends no request. Every plan is made here."""
    with collector_paused():
        plan = make_plan(desired, observation, options)
        return ReviewedPlan(observation, plan, judge(plan, policy or GuardPolicy()))


async def review_in_thread(
    desired: State, observation: Observation, options: PlanOptions, policy: GuardPolicy | None = None
) -> ReviewedPlan:
    """Return the reviewed plan. Policies may take seconds, so a plan with policies is made in another thread."""
    if options.policies is None:
        return review(desired, observation, options, policy)
    return await asyncio.to_thread(review, desired, observation, options, policy)


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
    """Return the plan of the live state, after all reads that it needs; it writes nothing.

    `options.contract` and `options.read_needs` are replaced by those of the remote and the guards. `authors_since` limits how
    far back the activity feed is read for the authors of drift (None: it is not read), `listed` is as for `observe`.
    `remembered` adds known facts to the observation, so that they aren't read again. Raises `RemoteError` if no app can be read.
    """
    options = replace(options, contract=remote.contract, read_needs=read_needs_of(policy, authors_since))
    wanted = desired if options.base is None else to_read(desired, options.base, prune=options.prune)
    observation = await observe(remote, wanted, now=options.now, listed=listed, progress=progress)
    if remembered is not None:
        observation = remembered(observation)
    reviewed = await review_in_thread(desired, observation, options, policy)
    while reviewed.plan.questions != FollowUpReads():
        observation = await enrich(remote, reviewed.observation, reviewed.plan.questions, progress=progress)
        reviewed = await review_in_thread(desired, observation, options, policy)
    return reviewed


def limited_to(reviewed: ReviewedPlan, apps: Collection[str]) -> ReviewedPlan:
    """Return a plan without changes and errors of other apps, and without the refusals that concern only these.

    The guards have judged the whole plan, so leaving out a part of it loosens none.
    """
    plan = reviewed.plan
    others = {*(action.address.app for action in plan.shown), *plan.errors} - {*apps}
    limited = replace(
        exclude(plan, {action.key for action in plan.actions if action.address.app in others}),
        held=tuple(change for change in plan.held if change.action.address.app not in others),
        errors={slug: error for slug, error in plan.errors.items() if slug not in others},
        left_alone=replace(plan.left_alone, not_approved=tuple(sorted(others))),
    )
    refusals = tuple(refusal for refusal in reviewed.refusals if _concerns(refusal, plan, limited, apps))
    return replace(reviewed, plan=limited, refusals=refusals)


def _concerns(refusal: Refusal, plan: Plan, limited: Plan, apps: Collection[str]) -> bool:
    if not refusal.addresses or any(address.app in apps for address in refusal.addresses):
        return True
    allowed = {action.key for action in unblocked(plan, (refusal,)).actions}
    return any(action.key not in allowed for action in limited.actions)


def refuse_unsafe(reviewed: ReviewedPlan) -> None:
    """Raise if no part of a plan may be applied.

    Raises `OctosyncError` if an app could not be read or planned, `GuardRefused` if a guard refuses the plan.
    """
    if reviewed.plan.errors:
        slug, error = next(iter(reviewed.plan.errors.items()))
        rest = f", and {len(reviewed.plan.errors) - 1} more" if len(reviewed.plan.errors) > 1 else ""
        raise OctosyncError(
            "plan-errored",
            f"{slug}{rest} could not be planned, so nothing is applied: {error.message}",
            hints=("Fix it, or apply the other apps with --app.",),
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
    """Execute the plan's actions. Either raise before the first write, or return an outcome for every action."""
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
