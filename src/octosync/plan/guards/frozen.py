"""The guard `frozen`: nothing is done inside a freeze window."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from octosync.model import counted
from octosync.plan.guards.freeze import Freeze, freeze_words
from octosync.plan.guards.refusal import Refusal
from octosync.plan.moves import with_other_halves
from octosync.plan.plan import Plan

_FEW: Final = 5  # apps that a message names one by one


def frozen(plan: Plan) -> Iterator[Refusal]:
    """Refuse what is inside a freeze window, apps that the same windows freeze together."""
    hurt = {
        freeze: tuple(one for one in plan.actions if plan.frozen.get(one.address.app) == freeze)
        for freeze in dict.fromkeys(plan.frozen.values())
    }
    tied = {address.app for actions in hurt.values() for address in with_other_halves(actions)}
    others = sorted({one.address.app for one in plan.actions} - tied)
    for freeze, actions in hurt.items():
        # Of a part of the plan that was frozen, maybe nothing is left.
        if actions:
            apps = _named(sorted({one.address.app for one in actions}))
            yield Refusal(
                guard="frozen",
                message=f"{apps}: {counted(len(actions), 'change')} inside {freeze_words(freeze)}",
                override="--allow-frozen",
                way_out=_instead(freeze, others),
                addresses=with_other_halves(actions),
            )


def _instead(freeze: Freeze, others: Sequence[str]) -> str | None:
    """Say what else there is to do: wait, or go on with the apps that nothing freezes."""
    wait = "Wait until then" if freeze.ends else ""
    if not others:
        return wait or None
    named = " ".join(f"--app {slug}" for slug in others) if len(others) <= _FEW else f"{len(others):,} apps, with --app"
    return f"{wait}, or plan the others alone: {named}" if wait else f"Plan the others alone: {named}"


def _named(apps: Sequence[str]) -> str:
    rest = len(apps) - _FEW
    return ", ".join(apps) if rest <= 1 else f"{', '.join(apps[:_FEW])} and {rest:,} more"
