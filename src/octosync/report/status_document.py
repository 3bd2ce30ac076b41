"""What is live, as JSON.

Of a part that could not be read the values are null, and `errors` of its app names it.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from octosync.errors import OctosyncError, RemoteError
from octosync.model import (
    AppStatus,
    Awaited,
    Coverage,
    Deployment,
    Event,
    FirstRequest,
    JsonObject,
    JsonValue,
    RoutingStats,
    Section,
    Sensitivity,
)
from octosync.plan import FORMAT_VERSION, utc_text
from octosync.report.bars import share_of
from octosync.report.status import StatusFacts
from octosync.report.status_slots import model_reference, policy_name


def status_document(
    statuses: Sequence[AppStatus], facts: StatusFacts, *, timestamp: datetime, sensitivity: Sensitivity
) -> JsonObject:
    """Return the statuses of apps, in their order."""
    plane = facts.control_plane
    return {
        "format_version": FORMAT_VERSION,
        "timestamp": utc_text(timestamp),
        "control_plane": {"url": plane.public_url, "org_id": plane.org_id, "context": plane.context},
        "errored": any(status.errors for status in statuses),
        "apps": [_app(status, sensitivity) for status in statuses],
        "awaiting_approval": None if facts.awaiting is None else [_awaited(one) for one in facts.awaiting],
        "cost": {"requests_used": facts.requests},
    }


def _awaited(one: Awaited) -> JsonObject:
    return {"address": str(one.address), "action": one.verb, "run": one.run, "asked_at": utc_text(one.at)}


def error_document(error: OctosyncError) -> JsonObject:
    """Return why something could not be read."""
    return {
        "reference": error.reference,
        "message": error.message,
        "hints": list(error.hints),
        "request_id": error.request_id if isinstance(error, RemoteError) else None,
    }


def _app(status: AppStatus, sensitivity: Sensitivity) -> JsonObject:
    app = None if isinstance(status.app, RemoteError) else status.app
    return {
        "slug": status.slug,
        "name": None if app is None else app.fields.get("name"),
        "archived": None if app is None else app.archived,
        "coverage": None if isinstance(status.health, RemoteError) else status.health.status,
        "first_request": None if isinstance(status.first_request, RemoteError) else _first(status.first_request),
        "routing": None if isinstance(status.routing, RemoteError) else _routing(status.routing),
        "last_change": None if isinstance(status.last_change, RemoteError) else _event(status.last_change),
        "slots": [_slot(status, capability, sensitivity) for capability in status.capabilities],
        "incomplete": sorted(section.value for section in status.cut),
        "errors": [{"part": part, **error_document(error)} for part, error in status.errors.items()],
    }


def _first(first: FirstRequest) -> JsonObject:
    return {"received": first.received, "at": _time(first.at)}


def _routing(stats: RoutingStats) -> JsonObject:
    return {
        "total_requests": stats.total,
        "local_requests": stats.local,
        "cloud_requests": stats.cloud,
        "local_share": share_of(stats.local, stats.total),
        "average_latency_ms": stats.average_latency_ms,
    }


def _event(event: Event | None) -> JsonValue:
    if event is None:
        return None
    resource = None if event.resource is None else {"type": event.resource[0], "key": event.resource[1]}
    return {
        "actor": event.actor,
        "at": _time(event.at),
        "type": event.type,
        "resource": resource,
        "event": event.id,
    }


def _slot(status: AppStatus, capability: str, sensitivity: Sensitivity) -> JsonObject:
    """Show a capability; `configured` says whether it has a slot, null where that is not known."""
    slot = status.slot(capability)
    fields = {} if slot is None else slot.fields
    unknown = slot is None and (isinstance(status.slots, RemoteError) or Section.SLOTS in status.cut)
    unread = isinstance(status.deployments, RemoteError)
    return {
        "capability": capability,
        "model_reference": model_reference(status.slug, capability),
        "configured": None if unknown else slot is not None,
        "variant": fields.get("model_variant_id"),
        "policy": policy_name(fields.get("serving_policy")),
        "serving_policy": sensitivity.redact(fields.get("serving_policy")),
        "coverage": _coverage(status.coverage(capability)),
        "deployments": None if unread else [_deployment(one) for one in status.deployments_of(capability)],
    }


def _coverage(one: Coverage | None) -> JsonValue:
    if one is None:
        return None
    return {
        "status": one.status,
        "active_deployments": one.active_deployments,
        "covered_devices": one.covered_devices,
        "total_devices": one.total_devices,
        "covered_share": share_of(one.covered_devices, one.total_devices),
    }


def _deployment(one: Deployment) -> JsonObject:
    canary = one.canary
    progress = None if canary is None else {"percentage": canary.percentage, "candidate": canary.candidate}
    return {
        "id": one.id,
        "environment": one.environment,
        "status": one.status,
        "live": one.live,
        "variant": one.variant,
        "canary": progress,
        "created_at": one.created_at,
    }


def _time(at: datetime | None) -> str | None:
    return None if at is None else utc_text(at)
