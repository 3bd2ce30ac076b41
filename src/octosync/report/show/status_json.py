"""Live state as JSON: the models, and how they are made.

If a part could not be read, its values are null, and `errors` of its app names it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from pydantic import Field

from octosync.errors import OctosyncError, RemoteError
from octosync.model import (
    AppStatus,
    Coverage,
    Event,
    JsonObject,
    PendingApproval,
    RoutingStats,
    Section,
    Sensitivity,
)
from octosync.plan import (
    FORMAT_VERSION,
    AddressText,
    ControlPlaneDocument,
    Document,
    Number,
    SharedState,
    SharedStateDocument,
    Time,
    control_plane_part,
    shared_state_part,
    utc_text,
)
from octosync.report.show.status import StatusFacts, model_reference, policy_name
from octosync.report.text import share_of


class FirstRequestDocument(Document):
    """Whether any inference request was received."""

    received: bool = Field(description="Whether one was received.")
    at: Time | None = Field(description="The time of the first one.")


class RoutingDocument(Document):
    """The requests of an app, by route."""

    total_requests: int = Field(description="All requests.")
    local_requests: int | None = Field(description="Requests that the device served.")
    cloud_requests: int | None = Field(description="Requests that the cloud served.")
    local_share: Number | None = Field(description="The share of the device: 0.5 is half.")
    average_latency_ms: Number | None = Field(description="The average latency in milliseconds.")


class EventResourceDocument(Document):
    """The object that an event names."""

    type: str = Field(description="The type of the object.")
    key: str = Field(description="The name of the object.")


class EventDocument(Document):
    """An event of the activity feed."""

    actor: str | None = Field(description="The author; null if the event has none.")
    at: Time | None = Field(description="The time of the event.")
    type: str | None = Field(description="The type of the event.")
    resource: EventResourceDocument | None
    event: str = Field(description="The ID of the event.")


class CoverageDocument(Document):
    """The coverage of a slot's devices."""

    status: str = Field(description="The coverage that the control plane returns.")
    active_deployments: int | None = Field(description="The number of active deployments.")
    covered_devices: int | None = Field(description="The number of devices that the deployments reach.")
    total_devices: int | None = Field(description="The number of devices.")
    covered_share: Number | None = Field(description="The share of the covered devices: 0.5 is half.")


class CanaryProgressDocument(Document):
    """A running canary: `percentage` of the devices have the candidate."""

    percentage: Number | None = Field(description="The percentage of devices that have the candidate.")
    candidate: str | None = Field(description="The new variant.")


class DeploymentDocument(Document):
    """A deployment of a capability to an environment."""

    id: str = Field(description="The ID of the deployment.")
    environment: str = Field(description="The environment.")
    status: str = Field(description="The status that the control plane returns.")
    live: bool = Field(description="Whether the deployment is live.")
    variant: str | None = Field(description="The variant.")
    canary: CanaryProgressDocument | None = Field(description="The canary; null if none is running.")
    created_at: str | None = Field(description="The time of the deployment.")


class SlotDocument(Document):
    """A capability: its slot, its coverage and its deployments."""

    capability: str = Field(description="The capability.")
    model_reference: str = Field(description="The name by which the app refers to its model.")
    configured: bool | None = Field(description="Whether the capability has a slot; null if that is unknown.")
    variant: object = Field(description="The variant that the slot pins; null if it pins none.")
    policy: str | None = Field(
        description="The preset that equals the serving policy, else `custom`; null if the slot has none."
    )
    serving_policy: object = Field(description="The serving policy. Sensitive values are null.")
    coverage: CoverageDocument | None = Field(description="The coverage; null if it is not known.")
    deployments: list[DeploymentDocument] | None = Field(description="The deployments; null if they could not be read.")


class UnreadPartDocument(Document):
    """A part of an app that could not be read, and the error."""

    part: str = Field(description="The part.")
    reference: str = Field(description="The stable name of the error.")
    message: str = Field(description="What happened, in one sentence.")
    hints: list[str] = Field(description="What to do, a sentence each.")
    request_id: str | None = Field(description="The ID of the failed request.")


class AppStatusDocument(Document):
    """The live state of an app."""

    slug: str = Field(description="The app's slug.")
    name: object = Field(description="The display name.")
    archived: bool | None = Field(description="Whether the app is archived.")
    coverage: str | None = Field(description="The coverage of the app that the control plane returns.")
    first_request: FirstRequestDocument | None
    routing: RoutingDocument | None
    last_change: EventDocument | None
    slots: list[SlotDocument] = Field(description="The capabilities with a slot or a deployment.")
    incomplete: list[str] = Field(description="The sections of which the control plane returned only a part.")
    errors: list[UnreadPartDocument] = Field(description="The parts that could not be read.")


class AwaitedDocument(Document):
    """An action that waits for approval in Octomil."""

    address: AddressText = Field(description="The object.")
    action: str = Field(description="The action.")
    run: str = Field(description="The ID of the run that requested it.")
    asked_at: Time = Field(description="The time of the request.")


class RequestsDocument(Document):
    """The requests of reading."""

    requests_used: int = Field(description="The number of requests.")


class StatusDocument(Document):
    """The live state of apps, as `octosync status -o json` prints it."""

    format_version: str = Field(description="A minor version adds keys, a major version changes them.")
    timestamp: Time = Field(description="The time of the status, in UTC.")
    control_plane: ControlPlaneDocument
    errored: bool = Field(description="Whether a part of an app could not be read.")
    apps: list[AppStatusDocument] = Field(description="The apps.")
    awaiting_approval: list[AwaitedDocument] | None = Field(
        description="Actions of earlier runs that wait for approval in Octomil; null if the journal can't be read."
    )
    shared_state: SharedStateDocument | None = Field(
        default=None, description="What the shared state contained; missing if the state is a file."
    )
    cost: RequestsDocument


def status_document(
    statuses: Sequence[AppStatus], facts: StatusFacts, *, timestamp: datetime, sensitivity: Sensitivity
) -> JsonObject:
    """Return the statuses of apps, in their order."""
    document = StatusDocument(
        format_version=FORMAT_VERSION,
        timestamp=utc_text(timestamp),
        control_plane=control_plane_part(facts.control_plane),
        errored=any(status.errors for status in statuses),
        apps=[_app(status, sensitivity) for status in statuses],
        awaiting_approval=_awaiting(facts.awaiting),
        **_shared(statuses, facts.shared),
        cost=RequestsDocument(requests_used=facts.requests),
    )
    return document.as_json()


def error_document(error: OctosyncError) -> dict[str, Any]:
    """Return the error of a part that could not be read."""
    return {
        "reference": error.reference,
        "message": error.message,
        "hints": list(error.hints),
        "request_id": error.request_id if isinstance(error, RemoteError) else None,
    }


def _shared(statuses: Iterable[AppStatus], shared: SharedState | None) -> dict[str, SharedStateDocument]:
    if shared is None:
        return {}
    holds = (hold for status in statuses if (hold := shared.controls.holds.get(status.slug)) is not None)
    return {"shared_state": shared_state_part(shared, holds)}


def _awaiting(actions: Iterable[PendingApproval] | None) -> list[AwaitedDocument] | None:
    if actions is None:
        return None
    return [
        AwaitedDocument(address=str(action.address), action=action.verb, run=action.run, asked_at=utc_text(action.at))
        for action in actions
    ]


def _app(status: AppStatus, sensitivity: Sensitivity) -> AppStatusDocument:
    app = None if isinstance(status.app, RemoteError) else status.app
    first = status.first_request
    return AppStatusDocument(
        slug=status.slug,
        name=None if app is None else app.fields.get("name"),
        archived=None if app is None else app.archived,
        coverage=None if isinstance(status.health, RemoteError) else status.health.status,
        first_request=None
        if isinstance(first, RemoteError)
        else FirstRequestDocument(received=first.received, at=_time(first.at)),
        routing=None if isinstance(status.routing, RemoteError) else _routing(status.routing),
        last_change=_event(status.last_change) if isinstance(status.last_change, Event) else None,
        slots=[_slot(status, capability, sensitivity) for capability in status.capabilities],
        incomplete=sorted(section.value for section in status.cut),
        errors=[UnreadPartDocument(part=part, **error_document(error)) for part, error in status.errors.items()],
    )


def _routing(stats: RoutingStats) -> RoutingDocument:
    return RoutingDocument(
        total_requests=stats.total,
        local_requests=stats.local,
        cloud_requests=stats.cloud,
        local_share=share_of(stats.local, stats.total),
        average_latency_ms=stats.average_latency_ms,
    )


def _event(event: Event) -> EventDocument:
    resource = None if event.resource is None else EventResourceDocument(type=event.resource[0], key=event.resource[1])
    return EventDocument(
        actor=event.actor,
        at=_time(event.at),
        type=event.type,
        resource=resource,
        event=event.id,
    )


def _slot(status: AppStatus, capability: str, sensitivity: Sensitivity) -> SlotDocument:
    slot = status.slot(capability)
    fields = {} if slot is None else slot.fields
    coverage = status.coverage(capability)
    unknown = slot is None and (isinstance(status.slots, RemoteError) or Section.SLOTS in status.cut)
    unread = isinstance(status.deployments, RemoteError)
    return SlotDocument(
        capability=capability,
        model_reference=model_reference(status.slug, capability),
        configured=None if unknown else slot is not None,
        variant=fields.get("model_variant_id"),
        policy=policy_name(fields.get("serving_policy")),
        serving_policy=sensitivity.redact(fields.get("serving_policy")),
        coverage=None if coverage is None else _coverage(coverage),
        deployments=None
        if unread
        else [
            DeploymentDocument.model_validate(deployment, from_attributes=True)
            for deployment in status.deployments_of(capability)
        ],
    )


def _coverage(coverage: Coverage) -> CoverageDocument:
    return CoverageDocument(
        status=coverage.status,
        active_deployments=coverage.active_deployments,
        covered_devices=coverage.covered_devices,
        total_devices=coverage.total_devices,
        covered_share=share_of(coverage.covered_devices, coverage.total_devices),
    )


def _time(at: datetime | None) -> str | None:
    return None if at is None else utc_text(at)
