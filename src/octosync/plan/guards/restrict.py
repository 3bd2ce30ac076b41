"""Narrowing: the part of a plan that is left where not all of it may be done. It can be applied like any plan."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

from octosync.model import Address
from octosync.plan.actions import Action, ActionKey, RegisterTarget, RemoveTarget
from octosync.plan.guards.policy import Refusal, concerns, reach_of
from octosync.plan.guards.table import Reach
from octosync.plan.plan import Plan


def exclude(plan: Plan, left_out: Collection[ActionKey]) -> Plan:
    """Return the plan without some actions, without what depends on these, and without half a move.

    All else that the plan says is kept, what it says of the actions that are left out included.
    """
    gone = _with_what_needs_them(plan.actions, left_out)
    return replace(plan, actions=tuple(action for action in plan.actions if action.key not in gone)) if gone else plan


def unblocked(
    plan: Plan, blocked: Sequence[Refusal], approved: Mapping[str, Collection[ActionKey]] | None = None
) -> Plan:
    """Return what of a plan guards let pass. They may have judged a larger one: what is not in this one is not minded.

    A guard that counts takes out all that it counts, one that names objects what it names of them, and one that names
    none everything; but for what was approved, by guard.
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
    """Add what can't be done without actions of these keys: what depends on them, and the other halves of moves."""
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
