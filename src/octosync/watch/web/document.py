"""`/api/status`: a whole `ControllerStatus` as one JSON document, every key always there.

`format_version`: a new minor adds keys, a new major changes them. Times are UTC to the second, durations are seconds, what
is not known is null. Rows of plans, refusals, recommendations and diagnostics are as in the plan's document; what is under
a sensitive key is null, as there. The schema of all of it is `schemas/watch-status.json`.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

from octosync.contract import Contract
from octosync.model import Coverage, Deployment, JsonObject, JsonValue, Outcome
from octosync.plan import Refusal, blocked_row, change_rows, diagnostic_document, recommendation_row, utc_text
from octosync.watch.approvals import approve_path
from octosync.watch.standing import AppReconcileStatus, BlockedSet, ControllerStatus, DriftStatus, Hold, RunStatus
from octosync.watch.web.sentences import sentence

STATUS_FORMAT_VERSION: Final = "1.1"
_CONTRACT: Final = Contract()  # which operation an action is, not where overrides send it


def watch_document(standing: ControllerStatus) -> JsonObject:
    """Return the document."""
    plane, budget, suspended = standing.control_plane, standing.budget, standing.suspended
    error = standing.load_error
    return {
        "format_version": STATUS_FORMAT_VERSION,
        "octosync_version": standing.version,
        "timestamp": utc_text(standing.now),
        "started": utc_text(standing.started),
        "sentence": sentence(standing),
        "mode": standing.mode,
        "healthy": standing.healthy,
        "ready": standing.ready,
        "can_post": standing.can_post,
        "control_plane": {"url": plane.public_url, "org_id": plane.org_id, "context": plane.context},
        "manifests": {
            "valid": standing.valid,
            "files": standing.files,
            "revision": standing.revision or None,
            "loaded_at": _time(standing.loaded_at),
            "changed_at": _time(standing.changed_at),
            "error": None if error is None else _error(error.reference, error.message, error.hints),
            "diagnostics": [diagnostic_document(one) for one in standing.diagnostics],
        },
        "alarms": {
            "credential": standing.credential or None,
            "outage": standing.outage or None,
            "unreadable": standing.unreadable or None,
            "throttled": standing.throttled or None,
            "state_locked": standing.state_locked or None,
            "key_unusable": standing.key_unusable or None,
            "state_damaged": standing.state_damaged or None,
            "feed_off": standing.feed_off or None,
            "coverage_unread": standing.coverage_unread or None,
        },
        "suspended": None if suspended is None else {"at": utc_text(suspended.at), "reason": suspended.reason},
        "holds": [hold_document(one) for one in sorted(standing.holds, key=lambda one: (one.app, one.until))],
        "counts": {state.value: count for state, count in standing.counts().items()},
        "unmanaged": standing.unmanaged,
        "budget": {
            "limit": budget.limit,
            "used": budget.used,
            "remaining": budget.remaining,
            "throttled_until": _time(budget.throttled_until),
            "throttled_seconds": budget.throttled_seconds,
        },
        "queue": {priority: standing.queue[priority] for priority in sorted(standing.queue)},
        "full_read": {
            "ended_at": _time(standing.full_read_at),
            "next_at": _time(standing.next_full_read),
            "due_at": _time(standing.full_read_due),
            "done": standing.full_read_done,
            "total": standing.full_read_total,
            "resync_seconds": standing.resync.total_seconds(),
            "resync_in_fact_seconds": _seconds(standing.resync_in_fact),
        },
        "blocked": [_blocked_set(blocked) for blocked in standing.blocked],
        "last_success": _time(standing.last_success),
        "apps": [_app(standing.apps[slug], standing) for slug in sorted(standing.apps)],
        "runs": [_run(run) for run in standing.runs],
    }


def _error(reference: str, message: str, hints: Sequence[str]) -> JsonObject:
    return {"reference": reference, "message": message, "hints": list(hints)}


def _app(app: AppReconcileStatus, standing: ControllerStatus) -> JsonObject:
    changes = None
    if app.plan is not None:
        changes = list(change_rows(app.plan, _CONTRACT, standing.sensitivity, full=False))
    failed = _error(app.reference, app.error, app.hints)
    return {
        "slug": app.slug,
        "state": app.state.value,
        "since": _time(app.since),
        "read_at": _time(app.read_at),
        "source": app.source or None,
        "error": failed if app.error or app.reference else None,
        "next_try": _time(app.next_try),
        "why_waiting": app.why_waiting or None,
        "frozen_until": _time(app.frozen_until),
        "hold": None if app.hold is None else hold_document(app.hold),
        "run": app.run or None,
        "drift": [_drift(one) for one in sorted(app.drift, key=lambda one: one.address)],
        "blocked": [_blocked(one, standing) for one in app.blocked],
        "resource_changes": changes,
        "canaries": [_canary(one) for one in sorted(app.canaries, key=lambda one: (one.address, one.id))],
        "recommendations": [recommendation_row(one) for one in app.recommendations],
        "uncovered": [_coverage(coverage) for coverage in app.uncovered],
    }


def _blocked(one: Refusal, standing: ControllerStatus) -> JsonObject:
    if standing.about is not None:
        return blocked_row(one, standing.about)
    return {
        "guard": one.guard,
        "message": one.message,
        "override": one.override,
        "trailer": None,
        "way_out": one.way_out,
        "addresses": [str(address) for address in one.addresses],
    }


def _blocked_set(blocked: BlockedSet) -> JsonObject:
    path = approve_path(blocked)
    return {
        "guard": blocked.guard,
        "message": blocked.message,
        "apps": list(blocked.apps),
        "addresses": [str(address) for address in blocked.addresses],
        "actions": blocked.actions,
        "seen": blocked.seen or None,
        "approve": None if path is None else f"POST {path}",
    }


def _drift(one: DriftStatus) -> JsonObject:
    return {
        "address": str(one.address),
        "actor": one.actor,
        "at": _time(one.at),
        "first_seen": utc_text(one.first_seen),
        "until": _time(one.until),
        "contested": one.contested,
        "heals": one.heals,
    }


def hold_document(one: Hold) -> JsonObject:
    """Return a hold as JSON."""
    return {"app": one.app, "until": utc_text(one.until), "reason": one.reason, "at": utc_text(one.at)}


def _canary(one: Deployment) -> JsonObject:
    canary = one.canary
    return {
        "address": str(one.address),
        "deployment": one.id,
        "status": one.status,
        "variant": one.variant,
        "candidate": None if canary is None else canary.candidate,
        "percentage": None if canary is None else canary.percentage,
    }


def _coverage(coverage: Coverage) -> JsonObject:
    return {
        "capability": coverage.capability,
        "status": coverage.status,
        "covered_devices": coverage.covered_devices,
        "total_devices": coverage.total_devices,
    }


def _run(run: RunStatus) -> JsonObject:
    return {
        "run": run.run,
        "apps": list(run.apps),
        "why": run.why or None,
        "started": utc_text(run.started),
        "ended": _time(run.ended),
        "actions": run.actions,
        "outcomes": [_outcome(one) for one in run.outcomes],
    }


def _outcome(one: Outcome) -> JsonObject:
    return {
        "address": str(one.address),
        "action": one.verb,
        "status": one.status.value,
        "message": one.message,
        "reference": one.reference,
        "hints": list(one.hints),
        "request_ids": list(one.request_ids),
    }


def _time(at: datetime | None) -> JsonValue:
    return None if at is None else utc_text(at)


def _seconds(span: timedelta | None) -> JsonValue:
    return None if span is None else span.total_seconds()
