"""What tree, base and live come to: a desired state like any other, why of each change, and what is left alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

from octosync.model import (
    Address,
    Origin,
    Reason,
    State,
)
from octosync.plan.actions import Action, Verb
from octosync.plan.verdicts import Verdict

Acts = Callable[[Address, Verdict], bool]


@dataclass(slots=True)
class Resolved:
    """What tree, base and live come to.

    `desired` is what is planned. `reasons` say why of each object that changes, `removed` are objects that nobody declares
    any longer, in no list that is owned, `origins` where the base declared what is gone; `archives` say why of apps that
    are archived. `drifted` are objects with a unit that somebody changed on the control plane. `stale`, `released` and
    `orphans` are left alone.
    """

    desired: State = field(default_factory=State)
    reasons: dict[Address, Reason] = field(default_factory=dict)
    archives: dict[Address, Reason] = field(default_factory=dict)
    removed: set[Address] = field(default_factory=set)
    origins: dict[Address, Origin | None] = field(default_factory=dict)
    drifted: set[Address] = field(default_factory=set)
    stale: set[Address] = field(default_factory=set)
    left_as_live: set[Address] = field(default_factory=set)
    released: set[Address] = field(default_factory=set)
    orphans: set[str] = field(default_factory=set)

    def explained(self, action: Action) -> Action:
        """Give an action its reason, and its place where only the base has one."""
        reasons = self.archives if action.verb is Verb.ARCHIVE else self.reasons
        origin = self.origins.get(action.address, action.origin)
        return replace(action, reason=reasons.get(action.address, action.reason), origin=origin)
