"""Guards: what a plan may not do without somebody saying so. Pure: they judge a plan, they don't change it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import groupby
from typing import Final

from octosync.model import Deployment, Kind, Reason, counted
from octosync.plan.actions import (
    Action,
    ArchiveApp,
    OptimizeCapability,
    RemoveTarget,
)
from octosync.plan.guards.frozen import frozen
from octosync.plan.guards.refusal import Refusal
from octosync.plan.guards.tally import COUNTED_FOR, Tally, removals_of
from octosync.plan.moves import with_other_halves
from octosync.plan.plan import Plan
from octosync.plan.questions import UNSAFE_DURING_CANARY, UNSAFE_UNDER_TRAFFIC, Curiosity

ALL: Final = "all"

_KIND_WORDS: Final = {
    Kind.TARGET: "targets",
    Kind.SLOT: "slots",
    Kind.INFERENCE_CONFIG: "inference configs",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class GuardPolicy:
    """The limits in force (octosync.yaml's `guards`) and what this run allows beyond them.

    `max_delete_percent` of the live objects of a kind counts only once there are `min_objects` of them. The `allow_*`
    come from flags alone, never from the environment or a plan file; None and False allow nothing.
    """

    max_deletes: int = 10
    max_delete_percent: float = 30
    min_objects: int = 10
    max_archives: int = 1
    allow_deletes: int | str | None = None
    allow_archives: int | None = None
    allow_protected: bool = False
    allow_during_canary: bool = False
    allow_live_traffic: bool = False
    allow_diverged: bool = False
    allow_frozen: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Override:
    """A guard that this run loosens, and by what."""

    guard: str
    value: str
    source: str


def judge(plan: Plan, policy: GuardPolicy, also: Tally | None = None, *, diverged: bool = True) -> tuple[Refusal, ...]:
    """Say what the guards refuse, in their own order; empty: nothing.

    `also` counts together with the plan, and is refused with it, never without: a plan that removes nothing passes.
    `diverged` False: what somebody else has changed to something else is no reason to refuse.
    """
    also = also or Tally()
    return (
        *_deletes(plan, policy, also),
        *_archives(plan, policy, also),
        *_protected(plan, policy),
        *_during_canary(plan, policy),
        *_live_traffic(plan, policy),
        *(_diverged(plan, policy) if diverged else ()),
        *(() if policy.allow_frozen else frozen(plan)),
        *_archived(plan),
    )


def _diverged(plan: Plan, policy: GuardPolicy) -> Iterator[Refusal]:
    if policy.allow_diverged:
        return
    addresses = tuple(dict.fromkeys(one.address for one in plan.actions if one.reason is Reason.DIVERGED))
    if addresses:
        what = counted(len(addresses), "object")
        yield Refusal(
            guard="diverged",
            message=f"{what} changed here, and on the control plane to something else",
            override="--allow-diverged",
            way_out="Rebase where it was merged, take it into the manifest (octosync accept), or agree with who changed it",
            addresses=addresses,
        )


def curiosity_of(policy: GuardPolicy, authors_since: datetime | None) -> Curiosity:
    """Say what guards need to know: nothing for one that is lifted."""
    return Curiosity(
        canaries=not policy.allow_during_canary, traffic=not policy.allow_live_traffic, authors_since=authors_since
    )


def overrides_of(policy: GuardPolicy) -> tuple[Override, ...]:
    """List what this run allows beyond the limits, whether it turns out to be needed or not."""
    found = []
    if policy.allow_deletes is not None:
        found.append(Override(guard="deletes", value=str(policy.allow_deletes), source="--allow-deletes"))
    if policy.allow_archives is not None:
        found.append(Override(guard="archives", value=str(policy.allow_archives), source="--allow-archives"))
    if policy.allow_protected:
        found.append(Override(guard="protected", value="", source="--allow-protected"))
    if policy.allow_during_canary:
        found.append(Override(guard="during-canary", value="", source="--allow-during-canary"))
    if policy.allow_live_traffic:
        found.append(Override(guard="live-traffic", value="", source="--allow-live-traffic"))
    if policy.allow_diverged:
        found.append(Override(guard="diverged", value="", source="--allow-diverged"))
    if policy.allow_frozen:
        found.append(Override(guard="frozen", value="", source="--allow-frozen"))
    return tuple(found)


def _deletes(plan: Plan, policy: GuardPolicy, also: Tally) -> Iterator[Refusal]:
    removals = removals_of(plan)
    more = sum(also.removals.values())
    count = len(removals) + more
    if policy.allow_deletes == ALL or not removals:
        return
    addresses = tuple(action.address for action in removals)
    override = f"--allow-deletes {count}"
    limit = policy.max_deletes if policy.allow_deletes is None else int(policy.allow_deletes)
    if count > limit:
        yield Refusal(
            guard="deletes",
            message=f"{counted(count, 'removal')}{_made_up(len(removals), more)}, {_at_most(limit, more)}",
            total=f"{counted(count, 'removal')}, {_at_most(limit, more)}",
            override=override,
            addresses=addresses,
        )
    elif policy.allow_deletes is None:
        yield from _delete_shares(plan, policy, removals, also, override)


def _delete_shares(
    plan: Plan, policy: GuardPolicy, removals: tuple[Action, ...], also: Tally, override: str
) -> Iterator[Refusal]:
    for kind, words in _KIND_WORDS.items():
        mine = tuple(action.address for action in removals if action.address.kind is kind)
        more = also.removals.get(kind, 0)
        count = len(mine) + more
        there = plan.live_counts.get(kind, 0) + also.there.get(kind, 0)
        share = f"{100 * count / there:.3g} %" if there else ""
        limit = _at_most(f"{policy.max_delete_percent:g} %", more)
        what = f"{count} of {there} {words} in the apps of this change would be removed"  # not of all in the org
        if mine and there >= policy.min_objects and count * 100 > policy.max_delete_percent * there:
            yield Refusal(
                guard="deletes",
                message=f"{what}{_made_up(len(mine), more, share)}, {limit}",
                total=f"{what} ({share}), {limit}",
                override=override,
                addresses=mine,
            )


def _archives(plan: Plan, policy: GuardPolicy, also: Tally) -> Iterator[Refusal]:
    archives = tuple(action.address for action in plan.actions if isinstance(action, ArchiveApp))
    limit = policy.max_archives if policy.allow_archives is None else policy.allow_archives
    count = len(archives) + also.archives
    if archives and count > limit:
        yield Refusal(
            guard="archives",
            message=f"{counted(count, 'app')} would be archived{_made_up(len(archives), also.archives)}, "
            f"{_at_most(limit, also.archives)}: there is no way back",
            total=f"{counted(count, 'app')} would be archived, {_at_most(limit, also.archives)}: there is no way back",
            override=f"--allow-archives {count}",
            addresses=archives,
        )


def _at_most(limit: int | str, more: int) -> str:
    return f"at most {limit} {'is' if limit == 1 else 'are'} allowed {'together' if more else 'in a run'}"


def _made_up(here: int, more: int, share: str = "") -> str:
    """Say how a number comes about, in brackets: its share, and where not all that it counts is in the plan."""
    minutes = COUNTED_FOR // timedelta(minutes=1)
    parts = f"{here} here, {more} elsewhere in the same change or in the last {minutes} minutes" if more else ""
    said = "; ".join(filter(None, (share, parts)))
    return f" ({said})" if said else ""


def _protected(plan: Plan, policy: GuardPolicy) -> Iterator[Refusal]:
    hurt = [action for action in plan.actions if action.protected and action.destructive]
    if not hurt or policy.allow_protected:
        return
    apps = sorted({action.address.app for action in hurt})
    yield Refusal(
        guard="protected",
        message=f"{counted(len(hurt), 'deletion')} in protected "
        f"{'apps' if len(apps) != 1 else 'app'} {', '.join(apps)} (annotation octosync.dev/protect)",
        override="--allow-protected",
        addresses=with_other_halves(hurt),
    )


def _during_canary(plan: Plan, policy: GuardPolicy) -> Iterator[Refusal]:
    if policy.allow_during_canary:
        return
    for slug, canaries in groupby(sorted(plan.canaries, key=lambda one: one.address), key=lambda one: one.app):
        running = tuple(canaries)
        hurt = [action for action in plan.actions if any(_disturbs(action, canary) for canary in running)]
        if hurt:
            shown = ", ".join(_progress(one) for one in running)
            yield Refusal(
                guard="during-canary",
                message=f"{slug}: {counted(len(hurt), 'change')} while a canary runs: {shown}",
                override="--allow-during-canary",
                way_out="Wait until it is complete",
                look_at=slug,
                addresses=with_other_halves(hurt),
            )


def _disturbs(action: Action, canary: Deployment) -> bool:
    """Say whether an action changes what a canary rests on: its slot, or any target of its app."""
    if action.address.app != canary.app or not isinstance(action, UNSAFE_DURING_CANARY):
        return False
    match action:
        case RemoveTarget():
            return True
        case OptimizeCapability(address=address):
            return address.placement[0] == canary.capability
        case _:
            return action.address.name == canary.capability


def _progress(deployment: Deployment) -> str:
    canary = deployment.canary
    at = "" if canary is None or canary.percentage is None else f" at {canary.percentage:g} %"
    to = "" if canary is None or canary.candidate is None else f" to {canary.candidate}"
    return f"{deployment.address.name}{at}{to}"


def _live_traffic(plan: Plan, policy: GuardPolicy) -> Iterator[Refusal]:
    if policy.allow_live_traffic:
        return
    for slug, requests in plan.traffic.items():
        hurt = [a for a in plan.actions if isinstance(a, UNSAFE_UNDER_TRAFFIC) and a.address.app == slug]
        if hurt:
            fate = "be archived" if any(isinstance(one, ArchiveApp) for one in hurt) else "lose a slot or target"
            yield Refusal(
                guard="live-traffic",
                message=f"{slug} has had {counted(requests, 'request')} (routing statistics), and would {fate}",
                override="--allow-live-traffic",
                addresses=with_other_halves(hurt),
            )


def _archived(plan: Plan) -> Iterator[Refusal]:
    if plan.archived_undeclared:
        apps = [address.app for address in plan.archived_undeclared]
        yield Refusal(
            guard="archived",
            message=f"{', '.join(apps)}: archived on the control plane, declared as live; there is no unarchive",
            override=None,
            way_out="Declare `spec.archived: true` there, or remove the manifests.",
            addresses=plan.archived_undeclared,
        )
