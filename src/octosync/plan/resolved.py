"""What is planned of tree, base and live: a desired state like any other, the reason of each change, and what is left alone."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from octosync.model import (
    Address,
    Origin,
    Reason,
    State,
)
from octosync.plan.actions import Action, Verb


@dataclass(slots=True)
class Resolved:
    """What is planned of tree, base and live.

    `desired` is what is planned. `reasons` are the reasons of objects that change, `archives` those of apps that are
    archived, `origins` the places where the base declared what is removed. `removed` are objects that are no longer declared
    and that no owned list contains. `drifted` are objects with a unit that was changed on the control plane. `stale`,
    `left_as_live`, `released` and `orphans` are left alone.
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
        """Return an action with its reason, and with its place if only the base has one."""
        reasons = self.archives if action.verb is Verb.ARCHIVE else self.reasons
        origin = self.origins.get(action.address, action.origin)
        return replace(action, reason=reasons.get(action.address, action.reason), origin=origin)
