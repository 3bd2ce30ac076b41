"""`/api/status`: a whole `ControllerStatus` as one JSON document, every key always there.

`format_version`: a new minor adds keys, a new major changes them. Times are UTC to the second, durations are seconds, what
is not known is null. Rows of plans, refusals, recommendations and diagnostics are as in the plan's document; what is under
a sensitive key is null, as there. The schema of all of it is `schemas/watch-status.json`.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from operator import attrgetter
from typing import Final

from octosync.contract import Contract
from octosync.model import Coverage, Deployment, JsonObject
from octosync.plan import blocked_row, change_rows, control_plane_part, diagnostic_row, recommendation_row, utc_text
from octosync.report import outcome_row
from octosync.watch.approvals import approve_path
from octosync.watch.status import (
    AppReconcileStatus,
    BlockedSet,
    BudgetStatus,
    ControllerStatus,
    DriftStatus,
    Hold,
    RunStatus,
    Suspended,
)
from octosync.watch.web.document_schema import (
    STATUS_FORMAT_VERSION,
    AlarmsDocument,
    AppDocument,
    BlockedSetDocument,
    BudgetDocument,
    CanaryDocument,
    DriftDocument,
    FullReadDocument,
    HoldDocument,
    LoadedManifestsDocument,
    ProblemDocument,
    RunDocument,
    SuspendedDocument,
    UncoveredDocument,
    WatchDocument,
)
from octosync.watch.web.sentences import sentence

_CONTRACT: Final = Contract()  # which operation an action is, not where overrides send it


def watch_document(status: ControllerStatus) -> JsonObject:
    """Return the document."""
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
        manifests=_manifests(status),
        alarms=_alarms(status),
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
        runs=[_run(run) for run in status.runs],
    )
    return document.as_json()


def _manifests(status: ControllerStatus) -> LoadedManifestsDocument:
    error = status.load_error
    return LoadedManifestsDocument(
        valid=status.valid,
        files=status.files,
        revision=status.revision or None,
        loaded_at=_time(status.loaded_at),
        changed_at=_time(status.changed_at),
        error=None if error is None else _problem(error.reference, error.message, error.hints),
        diagnostics=[diagnostic_row(diagnostic) for diagnostic in status.diagnostics],
    )


def _alarms(status: ControllerStatus) -> AlarmsDocument:
    return AlarmsDocument(**{name: getattr(status, name) or None for name in AlarmsDocument.model_fields})


def _suspended(suspended: Suspended | None) -> SuspendedDocument | None:
    return None if suspended is None else SuspendedDocument(at=utc_text(suspended.at), reason=suspended.reason)


def hold_part(hold: Hold) -> HoldDocument:
    """Return what a person holds."""
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
        resource_changes=None if plan is None else change_rows(plan, _CONTRACT, status.sensitivity, full=False),
        canaries=[_canary(canary) for canary in sorted(app.canaries, key=attrgetter("address", "id"))],
        recommendations=[recommendation_row(recommendation) for recommendation in app.recommendations],
        uncovered=[_uncovered(coverage) for coverage in app.uncovered],
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
        heals=drift.heals,
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


def _uncovered(coverage: Coverage) -> UncoveredDocument:
    return UncoveredDocument(
        capability=coverage.capability,
        status=coverage.status,
        covered_devices=coverage.covered_devices,
        total_devices=coverage.total_devices,
    )


def _run(run: RunStatus) -> RunDocument:
    return RunDocument(
        run=run.run,
        apps=list(run.apps),
        why=run.why or None,
        started=utc_text(run.started),
        ended=_time(run.ended),
        actions=run.actions,
        outcomes=[outcome_row(outcome) for outcome in run.outcomes],
    )


def _time(at: datetime | None) -> str | None:
    return None if at is None else utc_text(at)
