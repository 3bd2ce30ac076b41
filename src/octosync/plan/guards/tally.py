"""Tallies: what the counting guards count, so that one change is judged as one in whatever parts it is planned."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final

from octosync.model import Kind
from octosync.plan.actions import Action, ArchiveApp, DeleteInferenceConfig, DeleteSlot, RemoveTarget
from octosync.plan.plan import Plan

# What the guard `deletes` counts. A move is one removal: its registration elsewhere is not counted.
REMOVALS: Final = (RemoveTarget, DeleteSlot, DeleteInferenceConfig)
# What was done counts for so long together with what is planned.
COUNTED_FOR: Final = timedelta(minutes=10)


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    """What counts together with a plan, though it is in others: removals, archives, and how many live objects there are.

    That is what the same change plans elsewhere, and what was done within `COUNTED_FOR`.
    """

    removals: Mapping[Kind, int] = field(default_factory=dict)
    archives: int = 0
    there: Mapping[Kind, int] = field(default_factory=dict)

    @classmethod
    def of(cls, plan: Plan) -> Tally:
        """Count a plan."""
        removals = Counter(action.address.kind for action in removals_of(plan))
        archives = sum(isinstance(action, ArchiveApp) for action in plan.actions)
        return cls(removals=dict(removals), archives=archives, there=dict(plan.live_counts))

    def __add__(self, other: Tally) -> Tally:
        return Tally(
            removals=_sum(self.removals, other.removals),
            archives=self.archives + other.archives,
            there=_sum(self.there, other.there),
        )


def removals_of(plan: Plan) -> tuple[Action, ...]:
    """Return what the guard `deletes` counts of a plan."""
    return tuple(action for action in plan.actions if isinstance(action, REMOVALS))


def _sum(one: Mapping[Kind, int], other: Mapping[Kind, int]) -> Mapping[Kind, int]:
    return {kind: one.get(kind, 0) + other.get(kind, 0) for kind in Kind if kind in one or kind in other}
