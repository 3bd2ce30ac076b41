"""Outcomes: what became of each planned action.

Why an action is planned: for people and for policy tools, never for apply to branch on.

What a journal tells of runs: what was begun, what ended, when, and how.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import Enum

from octosync.model.address import Address


class Status(Enum):
    """What became of an action.

    `DONE` sent and answered, or found already done when an answer was lost · `FAILED` refused or beyond the retries ·
    `STALE` the object moved since it was read, nothing was sent · `SKIPPED` something it needs did not happen ·
    `NOT_KEPT` the control plane said yes and kept something else · `AWAITING_APPROVAL` a person must approve it in Octomil ·
    `NOT_ATTEMPTED` the run stopped before it.
    """

    DONE = "done"
    FAILED = "failed"
    STALE = "stale"
    SKIPPED = "skipped"
    NOT_KEPT = "not_kept"
    AWAITING_APPROVAL = "awaiting_approval"
    NOT_ATTEMPTED = "not_attempted"


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of one action, named by its address and verb.

    `message` is one sentence, "" for a plain success; `hints` say what to do next; `reference` is the error's stable name.
    `request_ids` are the control plane's, in order of the requests that were sent for it. `retryable`: the failure may go by
    itself, so that trying again makes sense.
    """

    address: Address
    verb: str
    status: Status
    message: str = ""
    reference: str = ""
    hints: tuple[str, ...] = ()
    request_ids: tuple[str, ...] = ()
    retryable: bool = False


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


@dataclass(frozen=True, slots=True)
class JournalledAction:
    """One action of a run, by the number in which it was begun; times are in UTC.

    `ended_at` and `status` are None where the run died during it, or still is at it: whether it took effect is not known.
    `reference` is the stable name of what went wrong, "" for nothing; `request_ids` are the control plane's.
    """

    number: int
    address: str
    verb: str
    operation: str
    begun_at: datetime
    ended_at: datetime | None
    status: Status | None
    reference: str
    request_ids: tuple[str, ...]

    @property
    def seconds(self) -> float | None:
        """How long it took; None where it has no end."""
        return _between(self.begun_at, self.ended_at)


@dataclass(frozen=True, slots=True)
class JournalledRun:
    """One run; times are in UTC. `ended_at` and `exit_code` are None where it died, or is still under way."""

    id: str
    started_at: datetime
    ended_at: datetime | None
    control_plane: str
    org_id: str | None
    digest: str
    exit_code: int | None

    @property
    def seconds(self) -> float | None:
        """How long it took; None where it has no end."""
        return _between(self.started_at, self.ended_at)


def _between(begin: datetime, end: datetime | None) -> float | None:
    # A clock that was set back meanwhile makes no time negative.
    return None if end is None else max(0.0, (end - begin).total_seconds())
