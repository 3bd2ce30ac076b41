"""The reason and the outcome of a planned action, and the runs and actions of a journal."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import Final

from octosync.model.address import Address


class Status(Enum):
    """The status of an action after a run.

    `DONE` accepted, or found done after the response was lost · `FAILED` rejected, or retries exhausted · `STALE` the object
    changed since it was read, nothing was sent · `SKIPPED` an action that it depends on was not done · `NOT_KEPT` the control
    plane accepted the write and stored something else · `AWAITING_APPROVAL` a person must approve it in Octomil ·
    `NOT_ATTEMPTED` the run stopped before it.
    """

    DONE = "done"
    FAILED = "failed"
    STALE = "stale"
    SKIPPED = "skipped"
    NOT_KEPT = "not_kept"
    AWAITING_APPROVAL = "awaiting_approval"
    NOT_ATTEMPTED = "not_attempted"


UNKNOWN: Final = "unknown"  # the outcome in the journal of an action that was sent and not completed


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """The outcome of one action, identified by its address and verb.

    `message` is one sentence, "" for a plain success; `hints` are next steps; `reference` is the error's stable name.
    `request_ids` are assigned by the control plane, in the order of the action's requests. `retryable`: the failure may be
    temporary.
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
    """Why a change is planned: the `action_reason` of the plan JSON. For people and policy tools; apply never branches on it."""

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
    """One action in the journal; `number` counts the run's actions in the order in which they began. Times are in UTC.

    `ended_at` and `status` are None if the run died during the action, or is still at it: then whether it took effect is not
    known. `reference` is the stable name of the error, "" without one; `request_ids` are assigned by the control plane.
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
        """The duration in seconds; None without an end."""
        return _between(self.begun_at, self.ended_at)


@dataclass(frozen=True, slots=True)
class RecordedOverride:
    """A guard that a run loosened, by what, and where that comes from: a flag, a commit, or an approval."""

    guard: str
    value: str
    source: str


@dataclass(frozen=True, slots=True)
class RecordedPolicy:
    """The result of a policy in a run."""

    policy: str
    severity: str
    outcome: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RunAudit:
    """Who started a run, where, from what, and what it was allowed to do; no secret, and no digest of one.

    `command` is `apply`, `watch` or `bootstrap`. `revision` is the commit of the manifests, `dirty` whether the work tree had
    other changes; both are None if they are not known. `flags` are flags that loosen something beside the guards, `plan_digest`
    identifies what was planned.
    """

    command: str
    actor: str
    host: str
    context: str | None = None
    revision: str | None = None
    dirty: bool | None = None
    base: str | None = None
    overrides: tuple[RecordedOverride, ...] = ()
    flags: tuple[str, ...] = ()
    plan_digest: str | None = None
    policies: tuple[RecordedPolicy, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class RunUnderWay:
    """The run that holds the lock of a control plane and org: its ID, who started it where, and since when it has the lock.

    `revision` is the commit of its manifests, None if it is not known.
    """

    run: str
    actor: str
    host: str
    since: datetime
    revision: str | None = None


@dataclass(frozen=True, slots=True)
class JournalledRun:
    """One run in the journal; times are in UTC. `ended_at` and `exit_code` are None if it died or is still running.

    `audit` is None if an earlier version of octosync recorded the run.
    """

    id: str
    started_at: datetime
    ended_at: datetime | None
    control_plane: str
    org_id: str | None
    digest: str
    exit_code: int | None
    audit: RunAudit | None = None

    @property
    def seconds(self) -> float | None:
        """The duration in seconds; None without an end."""
        return _between(self.started_at, self.ended_at)


def _between(begin: datetime, end: datetime | None) -> float | None:
    # Never negative, even if the clock was set back in between.
    return None if end is None else max(0.0, (end - begin).total_seconds())
