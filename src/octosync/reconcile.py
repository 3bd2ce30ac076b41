"""One turn, readable top to bottom: desired × live → plan → guard → apply. Pull request, merge and cluster run this code."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime

from octosync.apply import Applied, Progress, Record, apply_plan
from octosync.errors import GuardRefused, OctosyncError
from octosync.model import App, Observation, Sensitivity, State
from octosync.octomil import Octomil, Reading, inquire, observe
from octosync.plan import Action, GuardPolicy, Plan, PlanOptions, Refusal, curiosity_of, judge, make_plan
from octosync.plan.threeway import to_read


@dataclass(frozen=True, slots=True)
class Turn:
    """What one look at the control plane came to: what was seen, what would be done, and what the guards say of it."""

    seen: Observation
    plan: Plan
    blocked: tuple[Refusal, ...]


def decide(desired: State, seen: Observation, options: PlanOptions, policy: GuardPolicy | None = None) -> Turn:
    """Plan and judge what was seen, without a request: the one place where a plan is made."""
    plan = make_plan(desired, seen, options)
    return Turn(seen, plan, judge(plan, policy or GuardPolicy()))


async def look(
    desired: State,
    remote: Octomil,
    policy: GuardPolicy,
    options: PlanOptions,
    *,
    authors_since: datetime | None = None,
    listed: Reading[dict[str, App]] | None = None,
    remembered: Callable[[Observation], Observation] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Turn:
    """Read and decide, then ask what the plan still has to know until it is whole; change nothing.

    The contract of `options` is the remote's, and their curiosity that of the guards. `authors_since` is how far back the
    org's activity is read for who changed what the plan would change back (None: not at all), `listed` as for `observe`.
    `remembered` adds what is known already, so that it isn't asked again. Raises `RemoteError` if no app at all can be read.
    """
    options = replace(options, contract=remote.contract, curiosity=curiosity_of(policy, authors_since))
    wanted = desired if options.base is None else to_read(desired, options.base, prune=options.prune)
    seen = await observe(remote, wanted, now=options.now, listed=listed, progress=progress)
    if remembered is not None:
        seen = remembered(seen)
    turn = decide(desired, seen, options, policy)
    while turn.plan.questions:
        seen = await inquire(remote, turn.seen, turn.plan.questions, progress=progress)
        turn = decide(desired, seen, options, policy)
    return turn


def refuse_unsafe(turn: Turn) -> None:
    """Stop before the first write what may not be applied, not even in part.

    Raises `OctosyncError` for a plan with an app that could not be read or planned, `GuardRefused` for a guard's refusal.
    """
    if turn.plan.errors:
        slug, error = next(iter(turn.plan.errors.items()))
        rest = f", and {len(turn.plan.errors) - 1} more" if len(turn.plan.errors) > 1 else ""
        raise OctosyncError(
            "plan-errored",
            f"{slug}{rest} could not be planned, so nothing is applied: {error.message}",
            hints=("Apply the others alone with --app, or mend this first.",),
        )
    if turn.blocked:
        raise GuardRefused("guard-refused", "; ".join(f"{one.guard}: {one.message}" for one in turn.blocked))


async def act(
    turn: Turn,
    remote: Octomil,
    *,
    record: Record,
    resume: str,
    sensitivity: Sensitivity,
    stop: asyncio.Event,
    on_progress: Callable[[Progress], None] | None = None,
    on_start: Callable[[Action], None] | None = None,
) -> Applied:
    """Carry out the turn's plan, exactly. Raises before the first write, or says what every write did."""
    refuse_unsafe(turn)
    return await apply_plan(
        turn.plan,
        remote,
        seen=turn.seen,
        record=record,
        resume=resume,
        sensitivity=sensitivity,
        stop=stop,
        on_progress=on_progress,
        on_start=on_start,
    )
