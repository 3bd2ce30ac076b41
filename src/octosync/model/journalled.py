"""What a journal tells of runs: what was begun, what ended, when, and how."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from octosync.model.outcome import Status


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
