"""Canaries of turns that run at once: each turn counts those that run before it starts any, and none sees the others'."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta

from octosync.plan import ActionKey, OptimizeCapability, Plan

_REMEMBERED = timedelta(minutes=10)


@dataclass(slots=True)
class _Start:
    key: ActionKey
    ended: datetime | None = None  # until then it is on its way


class CanaryLimit:
    """The canaries that turns have just started, or are about to."""

    def __init__(self) -> None:
        self._starts: list[_Start] = []

    def reserve(self, plan: Plan, running: int, most: int, began: datetime) -> frozenset[ActionKey]:
        """Take places for the canaries that a plan starts; return the keys of those that there is no place for.

        `running` is how many the turn has counted, which began then: what was started since is not among them, or may not be.
        """
        wanted = [one.key for one in plan.actions if isinstance(one, OptimizeCapability)]
        if not wanted:
            return frozenset()
        self._starts = [one for one in self._starts if one.ended is None or one.ended >= began - _REMEMBERED]
        others = sum(one.ended is None or one.ended >= began for one in self._starts)
        places = max(0, most - running - others)
        self._starts += [_Start(key) for key in wanted[:places]]
        return frozenset(wanted[places:])

    def release(self, plan: Plan, done: Collection[ActionKey], now: datetime) -> None:
        """Note which of the canaries that a plan had places for were started; the other places are free again."""
        mine = {one.key for one in plan.actions}
        for start in [one for one in self._starts if one.ended is None and one.key in mine]:
            if start.key in done:
                start.ended = now
            else:
                self._starts.remove(start)
