"""Refusals of guards under the current limits, the actions that they concern, and the rest of the plan without these actions."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Final

from octosync.model import Address
from octosync.plan.actions import Action, ActionKey, RegisterTarget, RemoveTarget
from octosync.plan.drift import ReadNeeds
from octosync.plan.guards.checks import Objection, Tally, Terms
from octosync.plan.guards.flags import ALL, LIMITS, Allowance
from octosync.plan.guards.table import GUARDS, Guard, Reach, guard_of
from octosync.plan.plan import Plan

_IN_EVERY_BASIS: Final = ("deletes", "archives", "protected", "during-canary", "live-traffic", "diverged", "frozen")


@dataclass(frozen=True, slots=True, kw_only=True)
class GuardPolicy:
    """The limits in force and what this run allows beyond them.

    `limits` are by their names in octosync.yaml's `guards`; a limit that is not in it has its default. `allowed` is what
    lifts a guard, by guard or `policy:<name>`; it comes from flags and reviewed commits, never from the environment or a plan
    file. A limit or guard that is not in the table is a `ValueError`.
    """

    limits: Mapping[str, float] = field(default_factory=dict)
    allowed: Mapping[str, Allowance] = field(default_factory=dict)

    def __post_init__(self) -> None:
        unknown = {*self.limits} - {*LIMITS} | {id_ for id_ in self.allowed if guard_of(id_) is None}
        if unknown:
            raise ValueError(f"neither a limit nor a guard: {', '.join(sorted(unknown))}")

    @property
    def basis(self) -> str:
        """The limits and allowances as text, to find whether a refusal was made under the same ones.

        It is stored, and in another form it would let pass what was refused before an update. So what is in it by default
        stays, and of other guards it has only what is not their default.
        """
        settings = [
            f"{_snake(limit.field)}={self.limits.get(limit.field, limit.default)!r}"
            for guard in GUARDS.values()
            for limit in guard.limits
            if guard.id in _IN_EVERY_BASIS or self.limits.get(limit.field, limit.default) != limit.default
        ]
        settings += [
            f"{_setting(guard)}={self.allowed.get(guard.id, None if guard.counts else False)!r}"
            for guard in GUARDS.values()
            if guard.id in _IN_EVERY_BASIS or guard.id in self.allowed
        ]
        settings += [f"allow_{id_}={self.allowed[id_]!r}" for id_ in sorted(self.allowed) if ":" in id_]
        return f"GuardPolicy({', '.join(settings)})"


@dataclass(frozen=True, slots=True, kw_only=True)
class Override:
    """A guard that this run loosens, and by what."""

    guard: str
    value: str
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """A guard's refusal: what is too much, the exact flag that allows it (None: nothing does), and what it is about.

    `way_out` is what else helps; `look_at` is the app whose status shows when it does. `total` is the message of a guard
    that counts, without the part of this plan in it: the same for all plans that count together.
    """

    guard: str
    message: str
    override: str | None
    way_out: str | None = None
    look_at: str | None = None
    total: str | None = None
    addresses: tuple[Address, ...]


def judge(plan: Plan, policy: GuardPolicy, also: Tally | None = None, *, in_watch: bool = False) -> tuple[Refusal, ...]:
    """Return what the guards refuse, in the order of their table; empty: nothing.

    `also` counts together with the plan. `in_watch`: only guards that a controller has, since it does not go by the others.
    """
    refusals: list[Refusal] = []
    limits = {name: policy.limits.get(name, limit.default) for name, limit in LIMITS.items()}
    for guard in GUARDS.values():
        allowed = policy.allowed.get(guard.id)
        is_lifted = allowed is True or allowed == ALL
        is_for_this_run = not in_watch or guard.flag is None or guard.flag.in_watch
        if guard.check is None or is_lifted or not is_for_this_run:
            continue
        terms = Terms(limits=limits, allowed=None if allowed is None else int(allowed), also=also or Tally())
        objected = (_refusal(guard, objection) for objection in guard.check(plan, terms))
        refusals += [refusal for refusal in objected if not (guard.has_parts and refusal.guard in policy.allowed)]
    return tuple(refusals)


def _refusal(guard: Guard, objection: Objection) -> Refusal:
    return Refusal(
        guard=guard.id if objection.policy is None else f"{guard.id}:{objection.policy}",
        message=objection.message,
        override=guard.override_for(objection.policy or objection.count),
        way_out=objection.way_out,
        look_at=objection.look_at,
        total=objection.total,
        addresses=objection.addresses,
    )


def refuse_run(guard_id: str, message: str, policy: GuardPolicy) -> tuple[Refusal, ...]:
    """Return the refusal of a guard that has no check, with no addresses: it refuses the whole run. Empty if it is lifted."""
    if guard_id in policy.allowed:
        return ()
    return (_refusal(GUARDS[guard_id], Objection(message=message, addresses=())),)


def read_needs_of(policy: GuardPolicy, authors_since: datetime | None) -> ReadNeeds:
    """Return what guards need to know: nothing for one that is lifted."""
    needed = {guard.needs for guard in GUARDS.values() if guard.id not in policy.allowed}
    return ReadNeeds(canaries="canaries" in needed, traffic="traffic" in needed, authors_since=authors_since)


def overrides_of(policy: GuardPolicy) -> tuple[Override, ...]:
    """Return what flags allow beyond the limits, needed or not."""
    named = {id_: guard for id_ in policy.allowed if (guard := guard_of(id_)) is not None}
    return tuple(
        Override(guard=id_, value=_flag_value(id_, known, policy), source=guard.flag.name)
        for guard in GUARDS.values()
        for id_, known in named.items()
        if known is guard and guard.flag is not None
    )


def _flag_value(id_: str, guard: Guard, policy: GuardPolicy) -> str:
    return str(policy.allowed[id_]) if guard.counts else id_.partition(":")[2]


def refused_actions(actions: Iterable[Action], refusals: Sequence[Refusal]) -> frozenset[ActionKey]:
    """Return the actions that refusals name, by their addresses."""
    named: dict[str, set[Address]] = {}
    for refusal in refusals:
        named.setdefault(refusal.guard, set()).update(refusal.addresses)
    return frozenset(
        action.key
        for action in actions
        if any(action.address in addresses and concerns(guard, action) for guard, addresses in named.items())
    )


def refused_by(actions: Iterable[Action], refusal: Refusal) -> tuple[Action, ...]:
    """Return the actions that one refusal names and that can be approved."""
    if refusal.override is None:
        return ()
    return tuple(
        action for action in actions if action.address in refusal.addresses and concerns(refusal.guard, action)
    )


# A stored refusal can be of a guard that this version does not have: it is about everything that it names.


def concerns(guard_id: str, action: Action) -> bool:
    """Return whether a guard that names an action's address means this action."""
    guard = guard_of(guard_id)
    return guard is None or guard.concerns(action)


def reach_of(guard_id: str) -> Reach:
    """Return which actions a guard's refusal leaves out of a plan."""
    guard = guard_of(guard_id)
    return Reach.NAMED if guard is None else guard.reach


def _setting(guard: Guard) -> str:
    return f"allow_{guard.id.replace('-', '_')}"


def _snake(name: str) -> str:
    return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in name)


def exclude(plan: Plan, left_out: Collection[ActionKey]) -> Plan:
    """Return the plan without some actions, without what depends on these, and without half a move.

    Everything else of the plan is kept, even what is about the actions that are left out.
    """
    gone = _with_what_needs_them(plan.actions, left_out)
    return replace(plan, actions=tuple(action for action in plan.actions if action.key not in gone)) if gone else plan


def unblocked(
    plan: Plan, blocked: Sequence[Refusal], approved: Mapping[str, Collection[ActionKey]] | None = None
) -> Plan:
    """Return the part of a plan that guards allow. They may have judged a larger plan.

    A guard that counts excludes everything that it counts, a guard that names objects those, and a guard that names none
    everything; except what was approved, by guard.
    """
    approved = approved or {}
    refused = {
        action.key
        for refusal in blocked
        for action in _refused(plan.actions, refusal)
        if action.key not in approved.get(refusal.guard, ())
    }
    return exclude(plan, refused)


def _refused(actions: Iterable[Action], refusal: Refusal) -> Iterator[Action]:
    addresses = frozenset(refusal.addresses)
    apps = {address.app for address in addresses}
    for action in actions:
        match reach_of(refusal.guard):
            case Reach.COUNTED:
                is_refused = concerns(refusal.guard, action)
            case Reach.APPS:
                is_refused = action.address.app in apps
            case _:
                is_refused = action.address in addresses and concerns(refusal.guard, action)
        if is_refused or not addresses:
            yield action


def _with_what_needs_them(actions: Iterable[Action], keys: Iterable[ActionKey]) -> frozenset[ActionKey]:
    """Return the keys and those of what is impossible without them: what depends on them, and other halves of moves."""
    actions = tuple(actions)
    needing: dict[ActionKey, list[ActionKey]] = {action.key: [] for action in actions}
    leaving: dict[Address, ActionKey] = {
        action.address: action.key for action in actions if isinstance(action, RemoveTarget)
    }
    for action in actions:
        for need in action.depends_on:
            needing.setdefault(need, []).append(action.key)
        # A registration depends on its removal anyway; a removal is not made for nothing.
        if isinstance(action, RegisterTarget) and action.moves_from in leaving:
            needing[action.key].append(leaving[action.moves_from])
    found: set[ActionKey] = set()
    waiting = [key for key in keys if key in needing]
    while waiting:
        if (key := waiting.pop()) not in found:
            found.add(key)
            waiting += needing[key]
    return frozenset(found)
