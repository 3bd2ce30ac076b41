"""Status: the frozen values that the status page, its JSON and the metrics are made from, and the result of a reconcile.

`Clone` translates the paths of manifests: `/git/current/apps/a.yaml` in the pod is `apps/a.yaml` in a clone.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import Enum
from pathlib import Path, PurePosixPath

from octosync.errors import OctosyncError
from octosync.model import (
    Address,
    App,
    ControllerSuspension,
    Coverage,
    Deployment,
    Diagnostic,
    Hold,
    Observation,
    Outcome,
    Secret,
    Sensitivity,
    Status,
)
from octosync.plan import ControlPlane, Plan, Recommendation, Refusal, RunInfo, Verb


@dataclass(frozen=True, slots=True)
class Clone:
    """The given paths that are in a repository, absolute, and their names in it."""

    known: tuple[tuple[str, str], ...] = ()

    def path(self, path: str) -> str:
        """Return the name of a file or folder in a clone; a path outside of a repository is returned unchanged."""
        if not self.known:
            return path
        absolute = _absolute(path)
        for given, there in self.known:
            if absolute == given or absolute.startswith(f"{given}/"):
                below = absolute[len(given) :].lstrip("/")
                return str(PurePosixPath(there) / below) if below else there
        return path

    def has(self, path: str) -> bool:
        """Return whether a path is valid in a clone: it is in the repository, or relative."""
        return self.path(path) != path or not path.startswith("/")

    def diagnostic(self, diagnostic: Diagnostic) -> Diagnostic:
        """Return a diagnostic with the name that its file has in a clone."""
        origin = diagnostic.origin
        return (
            diagnostic if origin is None else replace(diagnostic, origin=replace(origin, file=self.path(origin.file)))
        )


def clone_of(paths: Iterable[str]) -> Clone:
    """Return the names of paths in their repository. Reads the file system; never raises."""
    return Clone(tuple(_names(dict.fromkeys(paths))))


def _absolute(path: str) -> str:
    return os.path.abspath(path)  # noqa: PTH100 — `resolve` would follow links


def _names(paths: Iterable[str]) -> Iterator[tuple[str, str]]:
    for path in paths:
        real = Path(os.path.realpath(path))
        root = next((folder for folder in (real, *real.parents) if os.path.lexists(folder / ".git")), None)
        if root is not None:
            yield _absolute(path), str(PurePosixPath(real.relative_to(root)))


__all__ = [
    "AppReconcileStatus",
    "AppState",
    "BlockedSet",
    "BudgetStatus",
    "CircuitReason",
    "CommitStatus",
    "ControllerStatus",
    "ControllerSuspension",
    "DriftStatus",
    "FreezeStatus",
    "Hold",
    "ReplicaRole",
    "ReplicaStatus",
    "RunStatus",
]


class AppState(Enum):
    """The state of one app, the most severe first.

    `FAILING` it can't be read or written, and is retried · `REFUSED` the control plane rejects it until something changes ·
    `BLOCKED` a guard refuses · `CONTESTED` reverted three times and changed again · `HELD` drift that is held for a time ·
    `DRIFTED` drift that this mode does not revert · `WAITING` planned, and not written for now: frozen, suspended, or plan
    only · `PENDING` changed, and in the queue · `SUSPENDED` by its own annotation · `UNCOVERED` as declared, but an enabled
    capability doesn't reach all devices · `ORPHANED` no manifest declares it any more · `UNREAD` not read yet · `IN_SYNC` as
    declared.
    """

    FAILING = "failing"
    REFUSED = "refused"
    BLOCKED = "blocked"
    CONTESTED = "contested"
    HELD = "held"
    DRIFTED = "drifted"
    WAITING = "waiting"
    PENDING = "pending"
    SUSPENDED = "suspended"
    UNCOVERED = "uncovered"
    ORPHANED = "orphaned"
    UNREAD = "unread"
    IN_SYNC = "in_sync"


class CircuitReason(Enum):
    """Why no request is sent: the reasons for which the circuit breaker opens.

    `OUTAGE` no response, or 5xx · `UNREADABLE` responses that are not the control plane's · `THROTTLED` 429 ·
    `CREDENTIAL` the key is refused, or may not write · `WRONG_ORG` the key is of another org ·
    `STATE_LOCKED` another process locks the state file · `STATE_UNAVAILABLE` the database with the state can't be used.
    """

    OUTAGE = "outage"
    UNREADABLE = "unreadable"
    THROTTLED = "throttled"
    CREDENTIAL = "credential"
    WRONG_ORG = "wrong_org"
    STATE_LOCKED = "state_locked"
    STATE_UNAVAILABLE = "state_unavailable"


class ReplicaRole(Enum):
    """The role of a process among those that share a state.

    `ALONE` its state is a file, which no other process may use · `LEADER` it alone reads and writes the control plane ·
    `STANDBY` it takes over when no other replica leads.
    """

    ALONE = "alone"
    LEADER = "leader"
    STANDBY = "standby"


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplicaStatus:
    """This replica: its role and its name, and what it knows of the leader.

    `leader` is the name of the leader, `address` its `HOST:PORT` (for IPv6 with brackets); "" if no replica leads. `since` is
    when the term of the leader began, or since when no replica leads; `epoch` is the number of the term. `problem` is the
    message of the error for which the shared state can't be used, `unreachable` that for which the leader does not respond to
    this replica; "" if there is none. `key` is a random secret of the term, which only replicas know: a replica proves with it
    that it has forwarded a request.
    """

    role: ReplicaRole = ReplicaRole.ALONE
    name: str = ""
    leader: str = ""
    address: str = ""
    since: datetime | None = None
    epoch: int = 0
    problem: str = ""
    unreachable: str = ""
    key: Secret = field(default=Secret(""), repr=False, compare=False)

    @property
    def has_read_leader(self) -> bool:
        """Whether it is known who leads, or since when no replica does: not at once after the start."""
        return bool(self.leader) or self.since is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class DriftStatus:
    """Drift of one object: who changed it and when, if known, and until when it is held (None: it is not reverted)."""

    address: Address
    first_seen: datetime
    actor: str | None = None
    at: datetime | None = None
    until: datetime | None = None
    contested: bool = False
    reverts: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class AppReconcileStatus:
    """One app: its state, the plan of its latest reconcile, and why the plan is not written.

    `plan` is None before the first reconcile; `error` (a sentence) and `hints` are why it fails or is refused, `next_try` is
    when it is retried. `hold` is what a person asked for with POST /hold: until when, and why. `why_waiting` is what
    `WAITING` waits for, `frozen_until` until when. `run` is the last run that wrote to it.
    `uncovered` are the enabled capabilities whose deployments don't reach all devices, as last read.
    """

    slug: str
    state: AppState = AppState.UNREAD
    since: datetime | None = None
    read_at: datetime | None = None
    plan: Plan | None = None
    drift: tuple[DriftStatus, ...] = ()
    blocked: tuple[Refusal, ...] = ()
    reference: str = ""
    error: str = ""
    hints: tuple[str, ...] = ()
    next_try: datetime | None = None
    hold: Hold | None = None
    why_waiting: str = ""
    frozen_until: datetime | None = None
    canaries: tuple[Deployment, ...] = ()
    recommendations: tuple[Recommendation, ...] = ()
    run: str = ""
    source: str = ""
    uncovered: tuple[Coverage, ...] = ()

    @property
    def waits_for_canaries(self) -> bool:
        """Whether a canary is started as soon as fewer are running."""
        started = self.plan.actions if self.plan is not None else ()
        is_recommended = any(recommendation.waiting for recommendation in self.recommendations)
        return is_recommended or any(action.verb is Verb.OPTIMIZE for action in started)


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockedSet:
    """What one guard blocks of one changeset, in all of its apps: it is approved as a whole.

    `override`, `way_out` and `look_at` are those of the refusal. `actions` is how many can be approved, `seen` their digest,
    keyed, by which a caller names the set; "" if nothing can be approved.
    """

    guard: str
    message: str
    apps: tuple[str, ...]
    addresses: tuple[Address, ...]
    override: str | None = None
    way_out: str | None = None
    look_at: str | None = None
    actions: int = 0
    seen: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class CommitStatus:
    """A commit of the manifests: its id, its author and subject, and the address of its page; "" if unknown."""

    revision: str
    author: str = ""
    subject: str = ""
    url: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class FreezeStatus:
    """The freeze windows that are in force: until when the last of `apps` apps is frozen, and the time zone of the window.

    If `ends` is False, no end is known; the apps are frozen at least until `until`.
    """

    until: datetime
    timezone: str
    apps: int
    ends: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class RunStatus:
    """One of the last runs that wrote: its outcomes, with their request ids. `ended` None: under way.

    `commit` is the commit of its manifests, None if unknown. `is_revert`: all of its actions revert drift.
    """

    run: str
    apps: tuple[str, ...]
    started: datetime
    ended: datetime | None = None
    outcomes: tuple[Outcome, ...] = ()
    actions: int = 0
    commit: CommitStatus | None = None
    is_revert: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class BudgetStatus:
    """The request budget of the current window; `limit` 0: none. `throttled_until`: the control plane asked to wait."""

    limit: int
    used: int = 0
    remaining: int = 0
    throttled_until: datetime | None = None
    throttled_seconds: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ControllerStatus:
    """The status of the controller and of every app at `now`.

    Manifests: `clone` maps files to their names in the repository. `loading` is whether the first load is running, `valid`
    whether the manifests could be loaded; if not, `diagnostics` are why, or `load_error`, and the last good load is active.
    `changed_at` is when the active manifests last changed, `commit` their commit, if it is known. `about` is what the plans
    were made from, for commands; None before the first load. `declared` are the declared apps, `owners` their owners by slug.

    Problems, each the message of an error, "" if there is none: `credential` the API key is rejected, `outage` there is no
    response, `unreadable` something else responds in place of the control plane, `throttled` it asked to wait, `state_locked`
    another process locks the state file, `state_unavailable` the database with the state can't be used, `feed_off` the activity
    feed can't be followed, `coverage_unread` coverage can't be read, `key_unusable` the key's file was read again and holds no
    key, so the one before stays in use, `state_damaged` the state file was set aside at the start. `circuit_open` is the reason
    for which nothing is sent, None while the circuit is closed; `circuit_since` is since when, `next_probe` when the control
    plane, or the database, is tried again. `frozen` are the freeze windows in force.

    Resync: `full_read_at` is when the last one ended, `next_full_read` when the next one begins, `full_read_due` when it has
    to have ended, at the latest; of a running one, `full_read_done` of `full_read_total` apps are read. `resync` is the
    wished interval, `resync_in_fact` how long a resync takes at this rate, if that is longer, `full_read_takes` how long the
    running one takes in all, estimated.

    `queue` is how many apps wait, by priority ("changed", "resync"). `healthy`: the loop is not stuck; `turned_at` is when it
    last did something. `ready`: a first resync is done, and the API key works; a standby could take over. `can_post`: an admin
    token is set, and this replica leads. `replica` is the process among those that share a state.
    """

    now: datetime
    started: datetime
    version: str
    control_plane: ControlPlane
    mode: str = "all"
    healthy: bool = True
    ready: bool = False
    can_post: bool = False
    about: RunInfo | None = None
    turned_at: datetime | None = None
    apps: Mapping[str, AppReconcileStatus] = field(default_factory=dict)
    blocked: tuple[BlockedSet, ...] = ()
    unmanaged: int | None = None
    valid: bool = True
    loading: bool = False
    clone: Clone = field(default_factory=Clone)
    files: int = 0
    revision: str = ""
    commit: CommitStatus | None = None
    declared: Mapping[str, App] = field(default_factory=dict)
    owners: Mapping[str, str] = field(default_factory=dict)
    loaded_at: datetime | None = None
    changed_at: datetime | None = None
    diagnostics: tuple[Diagnostic, ...] = ()
    load_error: OctosyncError | None = None
    credential: str = ""
    outage: str = ""
    unreadable: str = ""
    throttled: str = ""
    state_locked: str = ""
    state_unavailable: str = ""
    circuit_open: CircuitReason | None = None
    circuit_since: datetime | None = None
    next_probe: datetime | None = None
    frozen: FreezeStatus | None = None
    feed_off: str = ""
    key_unusable: str = ""
    state_damaged: str = ""
    coverage_unread: str = ""
    suspended: ControllerSuspension | None = None
    holds: tuple[Hold, ...] = ()
    budget: BudgetStatus = field(default_factory=lambda: BudgetStatus(limit=0))
    queue: Mapping[str, int] = field(default_factory=dict)
    full_read_at: datetime | None = None
    full_read_due: datetime | None = None
    next_full_read: datetime | None = None
    full_read_done: int = 0
    full_read_total: int = 0
    full_read_takes: timedelta = timedelta()
    resync: timedelta = timedelta(minutes=15)
    resync_in_fact: timedelta | None = None
    last_success: datetime | None = None
    runs: tuple[RunStatus, ...] = ()
    sensitivity: Sensitivity = field(default_factory=Sensitivity)
    replica: ReplicaStatus = field(default_factory=ReplicaStatus)

    def count(self, state: AppState) -> int:
        """Return the number of apps in a state."""
        return self.counts()[state]

    def counts(self) -> Mapping[AppState, int]:
        """Return the number of apps in each state, 0 included."""
        counted = Counter(app.state for app in self.apps.values())
        return {state: counted[state] for state in AppState}


class NextStep(Enum):
    """What follows a reconcile: nothing, a retry, or another reconcile after a change."""

    DONE = "done"
    REQUEUE = "requeue"
    WAIT = "wait"


@dataclass(frozen=True, slots=True, kw_only=True)
class ReconcileResult:
    """The result of a reconcile; `id` names it in the log and, if it wrote (`run`), in the journal.

    `remaining` is the plan without what is done, None if nothing could be read; `errors` are why, by app. `refused` are
    outcomes that a retry can't change. `waits_for` is what the rest of the plan waits for, "" for nothing; `due_at` is when
    the next reconcile is due. `freed` are apps whose removals waited for these apps to be read, `unsettled` apps
    whose removals wait for a second check of their files. `replaced` are the objects with drift that were written over, with
    the actor of that drift (None: unknown), `reverted` those of them that no commit had changed. `uncovered` are the enabled
    capabilities that lack devices, by app, as last read.
    """

    id: str
    apps: frozenset[str]
    next_step: NextStep
    remaining: Plan | None = None
    observed: Observation | None = None
    drift: tuple[DriftStatus, ...] = ()
    blocked: tuple[Refusal, ...] = ()
    errors: Mapping[str, OctosyncError] = field(default_factory=dict)
    refused: tuple[Outcome, ...] = ()
    outcomes: tuple[Outcome, ...] = ()
    replaced: Mapping[Address, str | None] = field(default_factory=dict)
    reverted: frozenset[Address] = frozenset()
    run: str = ""
    waits_for: str = ""
    frozen_until: datetime | None = None
    due_at: datetime | None = None
    freed: frozenset[str] = frozenset()
    unsettled: frozenset[str] = frozenset()
    uncovered: Mapping[str, tuple[Coverage, ...]] = field(default_factory=dict)

    @property
    def has_moved(self) -> bool:
        """Whether the only reason to reconcile again is that an object was changed after it was read."""
        return any(outcome.status is Status.STALE for outcome in self.outcomes) and not any(
            outcome.retryable or outcome.status is Status.NOT_ATTEMPTED for outcome in self.outcomes
        )
