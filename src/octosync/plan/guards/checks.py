"""Checks of guards: what a plan does that a guard refuses. Pure: they judge a plan, and don't change it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import groupby
from typing import Final

from octosync.model import Address, Deployment, Kind, Severity, counted
from octosync.plan.actions import (
    Action,
    ArchiveApp,
    DeleteInferenceConfig,
    DeleteSlot,
    OptimizeCapability,
    RemoveTarget,
)
from octosync.plan.drift import OTHERS_WORK, UNSAFE_DURING_CANARY, UNSAFE_UNDER_TRAFFIC, hold_words
from octosync.plan.guards.freeze import Freeze, freeze_words
from octosync.plan.moves import with_other_halves
from octosync.plan.plan import Plan

# What the guard `deletes` counts. A move is one removal: its registration elsewhere is not counted.
REMOVALS: Final = (RemoveTarget, DeleteSlot, DeleteInferenceConfig)
# What was done is counted for this long together with what is planned.
COUNTED_FOR: Final = timedelta(minutes=10)

_FEW: Final = 5  # apps that a message names
_KIND_WORDS: Final = {
    Kind.TARGET: "targets",
    Kind.SLOT: "slots",
    Kind.INFERENCE_CONFIG: "inference configs",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    """What counts together with a plan, though it is in others: removals, archives, and how many live objects there are.

    That is what the same change plans elsewhere, and what was done within `COUNTED_FOR`.
    """

    removals: Mapping[Kind, int] = field(default_factory=dict)
    archives: int = 0
    there: Mapping[Kind, int] = field(default_factory=dict)

    @classmethod
    def from_plan(cls, plan: Plan) -> Tally:
        """Count a plan."""
        removals = Counter(action.address.kind for action in _removals_of(plan))
        archives = sum(isinstance(action, ArchiveApp) for action in plan.actions)
        return cls(removals=dict(removals), archives=archives, there=dict(plan.live_counts))

    def __add__(self, other: Tally) -> Tally:
        return Tally(
            removals=_sum(self.removals, other.removals),
            archives=self.archives + other.archives,
            there=_sum(self.there, other.there),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What a check depends on beside the plan.

    `limits` are by their names in octosync.yaml; `allowed` is the number that this run allows instead, None for none. `also`
    counts together with the plan, and is refused with it, never without: a plan that removes nothing passes.
    """

    limits: Mapping[str, float]
    allowed: int | None = None
    also: Tally = field(default_factory=Tally)


@dataclass(frozen=True, slots=True, kw_only=True)
class Objection:
    """What a check finds: a sentence, and the objects. The guard's record has its id and what lifts it.

    `count` is the number to allow, of a guard that counts; `total` the sentence without this plan's part of it, the same for
    all plans that count together. `way_out` is another way to resolve it; `look_at` is the app whose status shows when it does.
    `policy` is the name of the policy that objects, for the guard of policies.
    """

    message: str
    addresses: tuple[Address, ...]
    count: int | None = None
    total: str | None = None
    way_out: str | None = None
    look_at: str | None = None
    policy: str | None = None


def deletes(plan: Plan, terms: Terms) -> Iterator[Objection]:
    """Object to more removals than allowed, and to too large a share of the live objects of a kind."""
    removals, also = _removals_of(plan), terms.also
    more = sum(also.removals.values())
    count = len(removals) + more
    limit = int(terms.limits["maxDeletes"]) if terms.allowed is None else terms.allowed
    if not removals:
        return
    if count > limit:
        yield Objection(
            message=f"{counted(count, 'removal')}{_made_up(len(removals), more)}, {_at_most(limit, more)}",
            total=f"{counted(count, 'removal')}, {_at_most(limit, more)}",
            count=count,
            addresses=tuple(action.address for action in removals),
        )
    elif terms.allowed is None:
        yield from _delete_shares(plan, terms, removals, count)


def _delete_shares(plan: Plan, terms: Terms, removals: tuple[Action, ...], total: int) -> Iterator[Objection]:
    most = terms.limits["maxDeletePercent"]
    for kind, words in _KIND_WORDS.items():
        mine = tuple(action.address for action in removals if action.address.kind is kind)
        more = terms.also.removals.get(kind, 0)
        count = len(mine) + more
        there = plan.live_counts.get(kind, 0) + terms.also.there.get(kind, 0)
        share = f"{100 * count / there:.3g}%" if there else ""
        limit = _at_most(f"{most:g}%", more)
        what = f"{count} of {there} {words} in the apps of this change would be removed"  # not of all in the org
        if mine and there >= terms.limits["minObjects"] and count * 100 > most * there:
            yield Objection(
                message=f"{what}{_made_up(len(mine), more, share)}, {limit}",
                total=f"{what} ({share}), {limit}",
                count=total,
                addresses=mine,
            )


def archives(plan: Plan, terms: Terms) -> Iterator[Objection]:
    """Object to more archived apps than allowed."""
    archived = tuple(action.address for action in plan.actions if isinstance(action, ArchiveApp))
    limit = int(terms.limits["maxArchives"]) if terms.allowed is None else terms.allowed
    count = len(archived) + terms.also.archives
    if archived and count > limit:
        yield Objection(
            message=f"{counted(count, 'app')} would be archived{_made_up(len(archived), terms.also.archives)}, "
            f"{_at_most(limit, terms.also.archives)}: archiving can't be undone",
            total=f"{counted(count, 'app')} would be archived, {_at_most(limit, terms.also.archives)}: archiving can't be undone",
            count=count,
            addresses=archived,
        )


def _at_most(limit: int | str, more: int) -> str:
    return f"at most {limit} {'is' if limit == 1 else 'are'} allowed {'together' if more else 'in a run'}"


def _made_up(here: int, more: int, share: str = "") -> str:
    """Return the parts of a number, in brackets: its share, and what of it is not in the plan."""
    minutes = COUNTED_FOR // timedelta(minutes=1)
    parts = f"{here} here, {more} elsewhere in the same change or in the last {minutes} minutes" if more else ""
    words = "; ".join(filter(None, (share, parts)))
    return f" ({words})" if words else ""


def _removals_of(plan: Plan) -> tuple[Action, ...]:
    return tuple(action for action in plan.actions if isinstance(action, REMOVALS))


def _sum(first: Mapping[Kind, int], second: Mapping[Kind, int]) -> Mapping[Kind, int]:
    return {kind: first.get(kind, 0) + second.get(kind, 0) for kind in Kind if kind in first or kind in second}


def during_canary(plan: Plan, terms: Terms) -> Iterator[Objection]:
    """Object to changes of a slot, and to removed targets, while a canary of the slot or the app runs."""
    del terms
    for slug, canaries in groupby(sorted(plan.canaries, key=lambda canary: canary.address), key=lambda run: run.app):
        running = tuple(canaries)
        hurt = [action for action in plan.actions if any(_disturbs(action, canary) for canary in running)]
        if hurt:
            shown = ", ".join(map(_progress, running))
            yield Objection(
                message=f"{slug}: {counted(len(hurt), 'change')} while a canary runs: {shown}",
                way_out="Wait until it is complete",
                look_at=slug,
                addresses=with_other_halves(hurt),
            )


def _disturbs(action: Action, canary: Deployment) -> bool:
    """Return whether an action changes what a canary depends on: its slot, or any target of its app."""
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
    at = "" if canary is None or canary.percentage is None else f" at {canary.percentage:g}%"
    to = "" if canary is None or canary.candidate is None else f" to {canary.candidate}"
    return f"{deployment.address.name}{at}{to}"


def live_traffic(plan: Plan, terms: Terms) -> Iterator[Objection]:
    """Object to archiving an app that has had requests, and to removing its slots or targets."""
    del terms
    for slug, requests in plan.traffic.items():
        hurt = [a for a in plan.actions if isinstance(a, UNSAFE_UNDER_TRAFFIC) and a.address.app == slug]
        if hurt:
            is_archived = any(isinstance(action, ArchiveApp) for action in hurt)
            fate = "be archived" if is_archived else "lose a slot or target"
            yield Objection(
                message=f"{slug} has had {counted(requests, 'request')} (routing statistics), and would {fate}",
                addresses=with_other_halves(hurt),
            )


def frozen(plan: Plan, terms: Terms) -> Iterator[Objection]:
    """Object to what is inside a freeze window, apps that the same windows freeze together."""
    del terms
    hurt = {
        freeze: tuple(action for action in plan.actions if plan.frozen.get(action.address.app) == freeze)
        for freeze in dict.fromkeys(plan.frozen.values())
    }
    tied = {address.app for actions in hurt.values() for address in with_other_halves(actions)}
    others = sorted({action.address.app for action in plan.actions} - tied)
    for freeze, actions in hurt.items():
        # Of a part of the plan that was frozen, maybe nothing is left.
        if actions:
            apps = _named(sorted({action.address.app for action in actions}))
            yield Objection(
                message=f"{apps}: {counted(len(actions), 'change')} inside {freeze_words(freeze)}",
                way_out=_instead(freeze, others),
                addresses=with_other_halves(actions),
            )


def held(plan: Plan, terms: Terms) -> Iterator[Objection]:
    """Object to what undoes a change by hand in an app on hold, and to archiving it; without a base, to each of its changes."""
    del terms
    for slug, hold in plan.controls.holds.items():
        mine = [action for action in plan.actions if action.address.app == slug]
        certain = [action for action in mine if plan.has_base and action.reason in OTHERS_WORK]
        hurt = [a for a in mine if not plan.has_base or a in certain or isinstance(a, ArchiveApp)]
        if hurt:
            without_base = "" if plan.has_base else "; with --base, only drift waits"
            what = f"{counted(len(hurt), 'change')} {'would undo' if certain else 'may undo'} a change by hand"
            yield Objection(
                message=f"{slug}: {what}, and the app is {hold_words(hold)}",
                way_out=f"Wait until then, or release {slug} on the controller's page{without_base}",
                addresses=with_other_halves(hurt),
            )


def suspended(plan: Plan, terms: Terms) -> Iterator[Objection]:
    """Object to the whole plan while everything is suspended."""
    del terms
    suspension = plan.controls.suspension
    if suspension is not None and plan.actions:
        reason = f": {suspension.reason}" if suspension.reason else ""
        yield Objection(
            message=f"{counted(len(plan.actions), 'change')} while the controller is suspended, since "
            f"{suspension.at:%Y-%m-%d %H:%M} UTC{reason}",
            way_out="Resume it on its page",
            addresses=(),
        )


def policies(plan: Plan, terms: Terms) -> Iterator[Objection]:
    """Object to what policies with the severity error don't accept, and to what their rules have no value for."""
    del terms
    for result in plan.policies:
        hurt = [action for action in plan.actions if any(found.concerns(action) for found in result.findings)]
        if hurt and result.policy.severity is Severity.ERROR:
            problem = result.problems[0].problem if result.problems else ""
            yield Objection(
                policy=result.policy.name,
                message=f"{result.policy.message} (its rule can't be evaluated: {problem})"
                if problem
                else result.policy.message,
                way_out=None if result.policy.link is None else f"See {result.policy.link}",
                addresses=with_other_halves(hurt),
            )


def _instead(freeze: Freeze, others: Sequence[str]) -> str | None:
    """Return the alternatives: wait, or continue with the apps that are not frozen."""
    wait = "Wait until then" if freeze.ends else ""
    if not others:
        return wait or None
    named = " ".join(f"--app {slug}" for slug in others) if len(others) <= _FEW else f"{len(others):,} apps, with --app"
    return f"{wait}, or plan the others alone: {named}" if wait else f"Plan the others alone: {named}"


def _named(apps: Sequence[str]) -> str:
    rest = len(apps) - _FEW
    return ", ".join(apps) if rest <= 1 else f"{', '.join(apps[:_FEW])} and {rest:,} more"
