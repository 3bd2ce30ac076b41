"""The status document, which `/api/status` returns: its models, and how they are made from a `ControllerStatus`.

Every key is always there. `format_version`: a new minor adds keys, a new major changes them. Times are UTC to the second,
durations are seconds, what is not known is null. Changes, refusals, recommendations and diagnostics are the plan document's;
a value under a sensitive key is null, as there. `schemas/watch-status.json` comes from the models.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from operator import attrgetter
from typing import Annotated, Final

from pydantic import Field, WithJsonSchema

from octosync.contract import Contract
from octosync.model import Deployment, JsonObject
from octosync.plan import (
    AddressText,
    BlockedDocument,
    ControlPlaneDocument,
    Count,
    DiagnosticDocument,
    Document,
    Number,
    RecommendationDocument,
    ResourceChangeDocument,
    Seconds,
    Time,
    blocked_row,
    change_rows,
    control_plane_part,
    diagnostic_row,
    one_of,
    recommendation_row,
    utc_text,
)
from octosync.report import OutcomeDocument, outcome_row
from octosync.watch.approvals import approve_path
from octosync.watch.settings import WriteMode
from octosync.watch.status import (
    AppReconcileStatus,
    AppState,
    BlockedSet,
    BudgetStatus,
    CircuitReason,
    CommitStatus,
    ControllerStatus,
    ControllerSuspension,
    DriftStatus,
    FreezeStatus,
    Hold,
    ReplicaRole,
    ReplicaStatus,
    RunStatus,
)
from octosync.watch.web.app_list import labels_of
from octosync.watch.web.summary import sentence

STATUS_FORMAT_VERSION: Final = "1.3"
_RUNS: Final = 20

StateCounts = Annotated[
    dict[str, int],
    WithJsonSchema(
        {
            "type": "object",
            "properties": {state.value: {"type": "integer", "minimum": 0} for state in AppState},
            "required": [state.value for state in AppState],
        }
    ),
]


class ProblemDocument(Document):
    """An error."""

    reference: str = Field(description="The stable name of the error.")
    message: str = Field(description="What happened, in one sentence.")
    hints: list[str] = Field(description="What to do, a sentence each.")


class CommitDocument(Document):
    """A commit of the manifests."""

    revision: str = Field(description="The ID of the commit.")
    author: str | None = Field(description="The name of its author; null if it is not known.")
    subject: str | None = Field(description="The first line of its message; null if it is not known.")
    url: str | None = Field(description="Its page; null if the remote of the repository is not a URL of a server.")


class LoadedManifestsDocument(Document):
    """The loaded manifests. If `valid` is false, see `error` and `diagnostics`; the last valid manifests are used."""

    valid: bool = Field(description="Whether the latest manifests have no errors.")
    files: Count = Field(description="The number of files.")
    revision: str | None = Field(description="The Git commit; null if it is not known.")
    commit: CommitDocument | None = Field(description="The Git commit; null if it is not known.")
    loaded_at: Time | None = Field(description="The time at which the manifests were loaded.")
    changed_at: Time | None = Field(description="The time at which the manifests, or their commit, last changed.")
    error: ProblemDocument | None = Field(description="The error, if the manifests could not be read.")
    diagnostics: list[DiagnosticDocument] = Field(description="Diagnostics of the manifests.")


class AlarmsDocument(Document):
    """Problems of the whole controller: a sentence each, or null."""

    credential: str | None = Field(description="The API key is rejected, or belongs to another org.")
    outage: str | None = Field(description="The control plane can't be reached.")
    unreadable: str | None = Field(description="The responses of the control plane can't be read.")
    throttled: str | None = Field(description="The control plane throttles the key.")
    state_locked: str | None = Field(description="Another process locks the state file.")
    state_unavailable: str | None = Field(description="The database with the state can't be used.")
    key_unusable: str | None = Field(description="The key file contains no valid key; the previous key stays in use.")
    state_damaged: str | None = Field(description="The state file was damaged at the start and renamed.")
    feed_off: str | None = Field(description="The activity feed is not followed.")
    coverage_unread: str | None = Field(description="The coverage of deployments can't be read.")


class CircuitDocument(Document):
    """Why no request is sent."""

    reason: Annotated[str, one_of(CircuitReason)] = Field(description="The reason.")
    since: Time | None = Field(description="The time since which no request is sent.")
    next_probe: Time | None = Field(
        description="The time of the next attempt; null if only a change ends it, such as another key."
    )


class FrozenDocument(Document):
    """The freeze windows that are active."""

    until: Time | None = Field(description="The time until which an app is frozen; null if no end is known.")
    timezone: str = Field(description="The time zone of the window that ends last.")
    apps: Count = Field(description="The number of frozen apps.")


class SuspendedDocument(Document):
    """The suspension of all apps."""

    at: Time = Field(description="The time of the suspension.")
    reason: str = Field(description="The reason that was given.")


class HoldDocument(Document):
    """A hold of an app's drift that a person requested."""

    app: str = Field(description="The app's slug.")
    until: Time = Field(description="The end of the hold.")
    reason: str = Field(description="The reason that was given.")
    at: Time = Field(description="The time of the request.")


class BudgetDocument(Document):
    """The rate limit of the current window; `limit` 0 means that there is none."""

    limit: Count = Field(description="The limit in requests per minute; 0 if there is none.")
    used: Count = Field(description="The requests of the current window.")
    remaining: Count = Field(description="The requests that can be sent at once.")
    throttled_until: Time | None = Field(
        description="The time until which the control plane throttles requests; null if it doesn't."
    )
    throttled_seconds: Seconds = Field(
        description="For how long the control plane has throttled requests since the start."
    )


class FullReadDocument(Document):
    """The last and the next resync; `done` of `total` apps if one is running."""

    ended_at: Time | None = Field(description="The end of the last resync.")
    next_at: Time | None = Field(description="The start of the next resync.")
    due_at: Time | None = Field(description="The time by which the next resync should have ended.")
    done: Count = Field(description="The number of apps that the running resync has read.")
    total: Count = Field(description="The number of apps of the running resync; 0 if none is running.")
    resync_seconds: Seconds = Field(description="The interval of resyncs (`--resync`).")
    resync_in_fact_seconds: Number | None = Field(
        description="The duration of a resync at this rate limit; null if it is not longer than the interval."
    )


class BlockedSetDocument(Document):
    """What a guard blocks of a change, in all of its apps; it is approved as a whole."""

    guard: str = Field(description="The guard.")
    message: str = Field(description="What the guard rejects.")
    apps: list[str] = Field(description="The slugs of its apps.")
    addresses: list[AddressText] = Field(description="The objects whose changes are blocked.")
    actions: Count = Field(description="The number of actions that can be approved.")
    seen: str | None = Field(description="The digest of exactly this set; null if nothing can be approved.")
    approve: str | None = Field(
        description="The POST that approves exactly this set once; null if nothing can be approved."
    )


class DriftDocument(Document):
    """The drift of an object; actor and time are from the activity feed. If `until` is null, it is not reverted automatically."""

    address: AddressText = Field(description="The object.")
    actor: str | None = Field(description="The author; null if it is not known.")
    at: Time | None = Field(description="The time of the change; null if it is not known.")
    first_seen: Time = Field(description="The time at which octosync found the drift.")
    until: Time | None = Field(description="The end of the hold.")
    contested: bool = Field(
        description="Whether the object was reverted three times in 24 hours and changed again each time."
    )
    heals: Count = Field(description="The number of reverts in the last 24 hours.")


class CanaryDocument(Document):
    """A running canary; `percentage` of the devices have the candidate."""

    address: AddressText = Field(description="The capability.")
    deployment: str = Field(description="The ID of the deployment.")
    status: str = Field(description="The status that the control plane returns.")
    variant: str | None = Field(description="The current variant.")
    candidate: str | None = Field(description="The new variant.")
    percentage: Number | None = Field(description="The percentage of devices that have the candidate.")


class UncoveredDocument(Document):
    """An enabled capability whose deployments don't reach all devices; null if the control plane returns no number."""

    capability: str = Field(description="The capability.")
    status: str = Field(description="The coverage that the control plane returns.")
    covered_devices: Count | None = Field(description="The number of devices that the deployments reach.")
    total_devices: Count | None = Field(description="The number of devices.")


class AppDocument(Document):
    """An app; apps are sorted by slug."""

    slug: str = Field(description="The app's slug.")
    state: Annotated[str, one_of(AppState)] = Field(description="The most severe state of the app.")
    owner: str | None = Field(description="The folder of `owners` in octosync.yaml that may declare it; null for none.")
    labels: dict[str, str] | None = Field(description="The labels of its manifest; null if no manifest declares it.")
    since: Time | None = Field(description="The time since which the app is in this state.")
    read_at: Time | None = Field(description="The time at which the app was last read.")
    source: str | None = Field(description="The file that declares it.")
    error: ProblemDocument | None = Field(description="The error, if the app fails.")
    next_try: Time | None = Field(description="The time of the next attempt; null if none is scheduled.")
    why_waiting: str | None = Field(description="Why the app waits; null if it doesn't.")
    frozen_until: Time | None = Field(description="The end of the freeze window; null outside one.")
    hold: HoldDocument | None = Field(description="The hold of the app; null if there is none.")
    run: str | None = Field(description="The last run that wrote to the app.")
    drift: list[DriftDocument] = Field(description="The objects with drift.")
    blocked: list[BlockedDocument] = Field(description="Refusals of guards, with the ways to resolve them.")
    resource_changes: list[ResourceChangeDocument] | None = Field(
        description="The changes of its latest plan; null before the first."
    )
    canaries: list[CanaryDocument] = Field(description="The running canaries.")
    recommendations: list[RecommendationDocument] = Field(description="Better variants that are not rolled out.")
    uncovered: list[UncoveredDocument] = Field(description="The capabilities that don't reach all devices.")


class RunDocument(Document):
    """One of the last runs, newest first; `ended` is null while it is running."""

    run: str = Field(description="The ID of the run.")
    apps: list[str] = Field(description="The slugs of its apps.")
    why: str | None = Field(description="Always null.")
    commit: CommitDocument | None = Field(description="The commit of its manifests; null if it is not known.")
    reverts_drift: bool = Field(description="Whether all of its actions revert drift.")
    started: Time = Field(description="The start.")
    ended: Time | None = Field(description="The end; null while the run continues.")
    actions: Count = Field(description="The number of actions.")
    outcomes: list[OutcomeDocument] = Field(description="The outcomes of the actions so far.")


class ReplicaDocument(Document):
    """The replica that the document is from. A standby returns the leader's document, and its own if no leader responds."""

    role: Annotated[str, one_of(ReplicaRole)] = Field(
        description="`alone` if its state is a file; else `leader`, or `standby`."
    )
    name: str | None = Field(description="The name of the replica; null if its state is a file.")
    leader: str | None = Field(description="The name of the leader; null if none is known.")
    leader_address: str | None = Field(description="The address of the leader; null if none is known.")
    since: Time | None = Field(description="The time since which it leads; if no replica leads, since when.")
    epoch: int | None = Field(description="The number of the leader's term; null if there was none.")
    problem: str | None = Field(description="Why the shared state can't be used; null if it can.")
    unreachable: str | None = Field(description="Why the leader does not respond to a standby; null if it does.")


class WatchDocument(Document):
    """The status that `octosync watch` returns at /api/status."""

    format_version: Annotated[str, WithJsonSchema({"const": STATUS_FORMAT_VERSION})] = Field(
        description="A minor version adds keys, a major version changes them."
    )
    octosync_version: str = Field(description="The version of octosync.")
    timestamp: Time = Field(description="The time of the status, in UTC.")
    started: Time = Field(description="The time at which the controller started.")
    sentence: str = Field(description="The status in a sentence.")
    mode: Annotated[str, one_of(WriteMode)] = Field(description="What is written automatically (`--heal`).")
    healthy: bool = Field(description="Whether `/healthz` returns 200.")
    ready: bool = Field(description="Whether `/readyz` returns 200.")
    can_post: bool = Field(description="Whether an admin token is set, so that POSTs are accepted.")
    control_plane: ControlPlaneDocument
    replica: ReplicaDocument
    manifests: LoadedManifestsDocument
    alarms: AlarmsDocument
    circuit: CircuitDocument | None = Field(description="Why no request is sent; null while requests are sent.")
    frozen: FrozenDocument | None = Field(description="The active freeze windows; null if there are none.")
    suspended: SuspendedDocument | None = Field(description="The suspension of all apps; null if there is none.")
    holds: list[HoldDocument] = Field(description="The holds that people requested.")
    counts: StateCounts = Field(description="The number of apps in each state.")
    unmanaged: int | None = Field(
        description="The number of apps that no manifest declares; null if the apps were not listed."
    )
    budget: BudgetDocument
    queue: dict[str, Count] = Field(description="The number of queued apps, by priority.")
    full_read: FullReadDocument
    blocked: list[BlockedSetDocument] = Field(description="What guards block, by guard and change.")
    last_success: Time | None = Field(description="The time of the last successful reconcile.")
    apps: list[AppDocument] = Field(description="The apps, sorted by slug.")
    runs: list[RunDocument] = Field(description="The last runs, newest first.")


def watch_schema() -> JsonObject:
    """Return the schema of the status document, for programs that read /api/status."""
    return WatchDocument.json_schema("octosync watch status")


_CONTRACT: Final = Contract()  # which operation an action is, not where overrides send it


def watch_document(status: ControllerStatus) -> JsonObject:
    """Return the status document."""
    document = WatchDocument(
        format_version=STATUS_FORMAT_VERSION,
        octosync_version=status.version,
        timestamp=utc_text(status.now),
        started=utc_text(status.started),
        sentence=sentence(status),
        mode=status.mode,
        healthy=status.healthy,
        ready=status.ready,
        can_post=status.can_post,
        control_plane=control_plane_part(status.control_plane),
        replica=_replica(status.replica),
        manifests=_manifests(status),
        alarms=_alarms(status),
        circuit=_circuit(status),
        frozen=_frozen(status.frozen),
        suspended=_suspended(status.suspended),
        holds=[hold_part(hold) for hold in sorted(status.holds, key=attrgetter("app", "until"))],
        counts={state.value: count for state, count in status.counts().items()},
        unmanaged=status.unmanaged,
        budget=_budget(status.budget),
        queue=dict(sorted(status.queue.items())),
        full_read=_full_read(status),
        blocked=[_blocked_set(blocked) for blocked in status.blocked],
        last_success=_time(status.last_success),
        apps=[_app(app, status) for _, app in sorted(status.apps.items())],
        runs=[_run(run) for run in status.runs[:_RUNS]],
    )
    return document.as_json()


def _replica(replica: ReplicaStatus) -> ReplicaDocument:
    return ReplicaDocument(
        role=replica.role.value,
        name=replica.name or None,
        leader=replica.leader or None,
        leader_address=replica.address or None,
        since=_time(replica.since),
        epoch=replica.epoch or None,
        problem=replica.problem or None,
        unreachable=replica.unreachable or None,
    )


def _manifests(status: ControllerStatus) -> LoadedManifestsDocument:
    error = status.load_error
    return LoadedManifestsDocument(
        valid=status.valid,
        files=status.files,
        revision=status.revision or None,
        commit=_commit(status.commit),
        loaded_at=_time(status.loaded_at),
        changed_at=_time(status.changed_at),
        error=None if error is None else _problem(error.reference, error.message, error.hints),
        diagnostics=[diagnostic_row(diagnostic) for diagnostic in status.diagnostics],
    )


def _alarms(status: ControllerStatus) -> AlarmsDocument:
    return AlarmsDocument(**{name: getattr(status, name) or None for name in AlarmsDocument.model_fields})


def _commit(commit: CommitStatus | None) -> CommitDocument | None:
    if commit is None:
        return None
    return CommitDocument(
        revision=commit.revision,
        author=commit.author or None,
        subject=commit.subject or None,
        url=commit.url or None,
    )


def _circuit(status: ControllerStatus) -> CircuitDocument | None:
    if status.circuit_open is None:
        return None
    return CircuitDocument(
        reason=status.circuit_open.value,
        since=_time(status.circuit_since),
        next_probe=_time(status.next_probe),
    )


def _frozen(frozen: FreezeStatus | None) -> FrozenDocument | None:
    if frozen is None:
        return None
    until = utc_text(frozen.until) if frozen.ends else None
    return FrozenDocument(until=until, timezone=frozen.timezone, apps=frozen.apps)


def _suspended(suspended: ControllerSuspension | None) -> SuspendedDocument | None:
    return None if suspended is None else SuspendedDocument(at=utc_text(suspended.at), reason=suspended.reason)


def hold_part(hold: Hold) -> HoldDocument:
    """Return a hold."""
    return HoldDocument(app=hold.app, until=utc_text(hold.until), reason=hold.reason, at=utc_text(hold.at))


def _budget(budget: BudgetStatus) -> BudgetDocument:
    return BudgetDocument(
        limit=budget.limit,
        used=budget.used,
        remaining=budget.remaining,
        throttled_until=_time(budget.throttled_until),
        throttled_seconds=budget.throttled_seconds,
    )


def _full_read(status: ControllerStatus) -> FullReadDocument:
    in_fact = status.resync_in_fact
    return FullReadDocument(
        ended_at=_time(status.full_read_at),
        next_at=_time(status.next_full_read),
        due_at=_time(status.full_read_due),
        done=status.full_read_done,
        total=status.full_read_total,
        resync_seconds=status.resync.total_seconds(),
        resync_in_fact_seconds=None if in_fact is None else in_fact.total_seconds(),
    )


def _problem(reference: str, message: str, hints: Iterable[str]) -> ProblemDocument:
    return ProblemDocument(reference=reference, message=message, hints=list(hints))


def _app(app: AppReconcileStatus, status: ControllerStatus) -> AppDocument:
    plan = app.plan
    is_failing = app.error or app.reference
    return AppDocument(
        slug=app.slug,
        state=app.state.value,
        owner=status.owners.get(app.slug),
        labels=labels_of(status, app.slug) if app.slug in status.declared else None,
        since=_time(app.since),
        read_at=_time(app.read_at),
        source=app.source or None,
        error=_problem(app.reference, app.error, app.hints) if is_failing else None,
        next_try=_time(app.next_try),
        why_waiting=app.why_waiting or None,
        frozen_until=_time(app.frozen_until),
        hold=None if app.hold is None else hold_part(app.hold),
        run=app.run or None,
        drift=[_drift(drift) for drift in sorted(app.drift, key=attrgetter("address"))],
        blocked=[blocked_row(blocked, status.about) for blocked in app.blocked],
        resource_changes=None
        if plan is None
        else [
            ResourceChangeDocument.model_validate(row)
            for row in change_rows(plan, _CONTRACT, status.sensitivity, full=False)
        ],
        canaries=[_canary(canary) for canary in sorted(app.canaries, key=attrgetter("address", "id"))],
        recommendations=[recommendation_row(recommendation) for recommendation in app.recommendations],
        uncovered=[UncoveredDocument.model_validate(coverage, from_attributes=True) for coverage in app.uncovered],
    )


def _blocked_set(blocked: BlockedSet) -> BlockedSetDocument:
    path = approve_path(blocked)
    return BlockedSetDocument(
        guard=blocked.guard,
        message=blocked.message,
        apps=list(blocked.apps),
        addresses=[str(address) for address in blocked.addresses],
        actions=blocked.actions,
        seen=blocked.seen or None,
        approve=None if path is None else f"POST {path}",
    )


def _drift(drift: DriftStatus) -> DriftDocument:
    return DriftDocument(
        address=str(drift.address),
        actor=drift.actor,
        at=_time(drift.at),
        first_seen=utc_text(drift.first_seen),
        until=_time(drift.until),
        contested=drift.contested,
        heals=drift.reverts,
    )


def _canary(deployment: Deployment) -> CanaryDocument:
    canary = deployment.canary
    return CanaryDocument(
        address=str(deployment.address),
        deployment=deployment.id,
        status=deployment.status,
        variant=deployment.variant,
        candidate=None if canary is None else canary.candidate,
        percentage=None if canary is None else canary.percentage,
    )


def _run(run: RunStatus) -> RunDocument:
    return RunDocument(
        run=run.run,
        apps=list(run.apps),
        why=None,  # no run has one; who reads the document finds the field
        commit=_commit(run.commit),
        reverts_drift=run.is_revert,
        started=utc_text(run.started),
        ended=_time(run.ended),
        actions=run.actions,
        outcomes=[outcome_row(outcome) for outcome in run.outcomes],
    )


def _time(at: datetime | None) -> str | None:
    return None if at is None else utc_text(at)
