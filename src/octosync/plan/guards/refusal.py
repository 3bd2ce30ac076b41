"""What a guard refuses: the refusal, and which actions of a plan it is about."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from octosync.model import Address, Reason
from octosync.plan.actions import Action, ActionKey, CreateApp, UpdateApp


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """A guard's refusal: what is too much, the exact flag that allows it (None: nothing does), and what it is about.

    `way_out` is what else helps; `look_at` is the app whose status tells when it does. `total` is the message of a guard
    that counts, without the part of this plan in it: the same for all plans that count together.
    """

    guard: str
    message: str
    override: str | None
    way_out: str | None = None
    look_at: str | None = None
    total: str | None = None
    addresses: tuple[Address, ...]


def refused_actions(actions: Iterable[Action], blocked: Sequence[Refusal]) -> frozenset[ActionKey]:
    """Name the actions that refusals name, by their addresses."""
    named: dict[str, set[Address]] = {}
    for one in blocked:
        named.setdefault(one.guard, set()).update(one.addresses)
    return frozenset(
        action.key
        for action in actions
        if any(action.address in addresses and concerns(guard, action) for guard, addresses in named.items())
    )


def refused_by(actions: Iterable[Action], blocked: Refusal) -> tuple[Action, ...]:
    """Return the actions that one refusal names and that can be approved."""
    if blocked.override is None:
        return ()
    return tuple(one for one in actions if one.address in blocked.addresses and concerns(blocked.guard, one))


def concerns(guard: str, action: Action) -> bool:
    """Say whether a guard that names an action's address means this action: an app's archive has that of its update."""
    match guard:
        case "frozen":
            return True
        case "diverged":
            return action.reason is Reason.DIVERGED
        case _:
            return not isinstance(action, CreateApp | UpdateApp)
