"""Restriction: the part of a plan that is left if not all of it may be applied. It can be applied like any plan."""

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
