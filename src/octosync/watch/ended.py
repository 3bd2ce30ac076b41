"""How a turn ends: what came of it, and what comes after it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum

from octosync.errors import OctosyncError
from octosync.model import Address, Coverage, Observation, Outcome, Status
from octosync.plan import Plan, Refusal
from octosync.watch.status import DriftStatus


class NextStep(Enum):
    """What comes after a turn: nothing, another one by itself, or one once something has changed."""

    DONE = "done"
    REQUEUE = "requeue"
    WAIT = "wait"


@dataclass(frozen=True, slots=True, kw_only=True)
class ReconcileResult:
    """What a turn came to; `id` names it, in the log and, where it wrote (`run`), in the journal.

    `left` is the plan without what is done, None where nothing could be read; `errors` are why, by app. `refused` are
    outcomes that trying again won't mend. `waiting` says what writing waits for, "" for nothing; `look_at` is when the next
    turn is due by itself. `freed` are apps whose removals waited for these to be read, `unsettled` those whose
    removals wait for a second look at their files. `replaced` are the objects that somebody had changed and that were written
    over, with who that was, None where it isn't known, `reverted` those of them that no commit had changed. `uncovered` are
    the enabled capabilities that lack devices, by app, as last read.
    """

    id: str
    apps: frozenset[str]
    next_step: NextStep
    left: Plan | None = None
    seen: Observation | None = None
    drift: tuple[DriftStatus, ...] = ()
    blocked: tuple[Refusal, ...] = ()
    errors: Mapping[str, OctosyncError] = field(default_factory=dict)
    refused: tuple[Outcome, ...] = ()
    outcomes: tuple[Outcome, ...] = ()
    replaced: Mapping[Address, str | None] = field(default_factory=dict)
    reverted: frozenset[Address] = frozenset()
    run: str = ""
    waiting: str = ""
    frozen_until: datetime | None = None
    look_at: datetime | None = None
    freed: frozenset[str] = frozenset()
    unsettled: frozenset[str] = frozenset()
    uncovered: Mapping[str, tuple[Coverage, ...]] = field(default_factory=dict)

    @property
    def has_moved(self) -> bool:
        """Whether all that it is tried again for is that somebody changed an object after it was read."""
        return any(one.status is Status.STALE for one in self.outcomes) and not any(
            one.retryable or one.status is Status.NOT_ATTEMPTED for one in self.outcomes
        )
