"""Why an action is planned: for people and for policy tools, never for apply to branch on."""

from __future__ import annotations

from enum import Enum


class Reason(Enum):
    """The `action_reason` of a planned change."""

    NEW = "new"
    MANIFEST_CHANGED = "manifest_changed"
    DRIFT = "drift"
    DIVERGED = "diverged"
    DIFFERS = "differs"
    REMOVED = "removed"
    MOVED = "moved"
    NOT_DEPLOYED = "not_deployed"
    BETTER_VARIANT = "better_variant"
