"""The local controls below `/_local`, for tests and people on this machine. They need no API key and accept loopback only.

GET    /_local/requests-log           {"requests": [{method, path, status, key, operation, request_id}]}, oldest first
                                      (`?clear=true` empties the log afterwards); DELETE empties it
POST   /_local/devices                {platform, identifier, device_class, count, app_slug?}: add devices
POST   /_local/requests               {app_slug, capability, route: local|cloud, latency_ms, count}: add inference requests
POST   /_local/tick                   {seconds?}: advance server time, 60 s by default
POST   /_local/deployments/{id}       {status: active|paused|completed|rolled_back}
GET    /_local/catalog, PUT           {variants: [{id, name, capability, platforms, min_device_class, size_bytes, latency,
                                          quality}]}
GET    /_local/policy, PUT            {require_approval: [environment], platforms: [name], slot_fields: [name]}
GET    /_local/faults, PUT, DELETE    {rules: [...]}, see `octosync.server.faults`
"""

from __future__ import annotations

from collections import Counter
from typing import Annotated, Any

from pydantic import Field
from starlette.requests import Request

from octosync.contract import DEVICE_CLASSES, ENVIRONMENTS, ErrorCode
from octosync.model import JsonValue
from octosync.server.errors import ApiError, conflict, invalid
from octosync.server.faults import FaultRule
from octosync.server.fleet import (
    OrgPolicy,
    Variant,
    add_devices,
    catalog_json,
    catalog_of,
    org_policy,
    replace_catalog,
    replace_policy,
)
from octosync.server.handlers.apps import app_by_slug
from octosync.server.handlers.deployments import assign_devices, deployment_json, set_status
from octosync.server.handlers.handler import Call, Handler, NoBody, control
from octosync.server.handlers.routing import ROUTES, record_requests
from octosync.server.middleware import is_loopback
from octosync.server.validation import Body, one_of

_MOST_DEVICES = 10_000_000
_MOST_REQUESTS = 10_000

_Name = Annotated[str, Field(min_length=1, max_length=255)]
_DeviceClass = Annotated[str, *one_of(DEVICE_CLASSES)]


class Devices(Body):
    """The body of `POST /_local/devices`; with `app_slug`, the target must not belong to another app."""

    app_slug: str | None = None
    platform: _Name
    identifier: _Name
    device_class: _DeviceClass = "mid"
    count: int = Field(default=1, ge=1, le=_MOST_DEVICES)


class InferenceRequests(Body):
    """The body of `POST /_local/requests`."""

    app_slug: str
    capability: _Name
    route: Annotated[str, *one_of(ROUTES)]
    latency_ms: float = Field(default=50.0, ge=0, le=1e9)
    count: int = Field(default=1, ge=1, le=_MOST_REQUESTS)


class Tick(Body):
    """The body of `POST /_local/tick`."""

    seconds: float = Field(default=60.0, ge=0, le=1e9)


class DeploymentStatus(Body):
    """The body of `POST /_local/deployments/{id}`."""

    status: Annotated[str, *one_of(("active", "paused", "completed", "rolled_back"))]


class CatalogVariant(Body):
    """One variant of a catalog."""

    id: _Name
    name: _Name
    capability: _Name
    platforms: list[_Name] = Field(min_length=1)
    min_device_class: _DeviceClass
    size_bytes: int = Field(ge=0, le=10**15)
    latency: float = Field(gt=0, le=1e6)
    quality: float = Field(gt=0, le=1e6)


class Catalog(Body):
    """The body of `PUT /_local/catalog`."""

    variants: list[CatalogVariant]


class Policy(Body):
    """The body of `PUT /_local/policy`."""

    require_approval: list[Annotated[str, *one_of(ENVIRONMENTS)]] = Field(default_factory=list)
    platforms: list[_Name] = Field(default_factory=list)
    slot_fields: list[_Name] = Field(default_factory=list)


class FaultRules(Body):
    """The body of `PUT /_local/faults`."""

    rules: list[FaultRule]


def check_caller(request: Request) -> None:
    """Raise 403 for callers from other machines."""
    client = request.scope.get("client")
    if client is None or not is_loopback(client[0]):
        raise ApiError(403, "loopback_only", "The local controls only accept requests from this machine")


@control("GET", "/requests-log", NoBody)
def requests_log(call: Call, _: NoBody) -> JsonValue:
    """Return the received requests, oldest first; `?clear=true` empties the log afterwards."""
    clear = call.flag("clear")
    entries = call.plane.log.to_json()
    if clear:
        call.plane.log.clear()
    return {"requests": entries}


@control("DELETE", "/requests-log", NoBody, status=204)
def clear_requests_log(call: Call, _: NoBody) -> JsonValue:
    """Empty the log."""
    call.plane.log.clear()
    return None


@control("POST", "/devices", Devices)
def devices(call: Call, body: Devices) -> JsonValue:
    """Add devices; they are assigned to deployments of their target at once."""
    store = call.store
    holder = store.row(
        "SELECT apps.id, slug FROM targets JOIN apps ON apps.id = app_id WHERE platform = ? AND identifier = ?",
        *(body.platform, body.identifier),
    )
    if holder is not None and body.app_slug not in {None, holder["slug"]}:
        raise conflict(f"{body.platform}:{body.identifier} is registered to another app", app_slug=holder["slug"])
    seen = add_devices(store, body.platform, body.identifier, body.device_class, body.count)
    if holder is not None:
        assign_devices(store, holder["id"])
    return seen


@control("POST", "/requests", InferenceRequests)
def requests(call: Call, body: InferenceRequests) -> JsonValue:
    """Add inference requests of an app's devices."""
    app = app_by_slug(call.store, body.app_slug)
    record_requests(call.store, app, body.capability, body.route, latency_ms=body.latency_ms, count=body.count)
    return {"recorded": body.count}


@control("POST", "/tick", Tick, body_optional=True)
def tick(call: Call, body: Tick) -> JsonValue:
    """Advance server time; deployments and canaries advance accordingly."""
    if not call.store.can_tick(body.seconds):
        raise invalid(("seconds", "must keep server time before the year 9900"))
    call.store.tick(body.seconds)
    return {"now": call.store.stamp()}


@control("POST", "/deployments/{id}", DeploymentStatus)
def deployment(call: Call, body: DeploymentStatus) -> JsonValue:
    """Pause, resume, complete or roll back a deployment. Raises 409 to change a rolled-back one."""
    store, id_ = call.store, call.parameters["id"]
    row = store.row("SELECT * FROM deployments WHERE id = ?", id_)
    if row is None:
        raise ApiError(404, ErrorCode.DEPLOYMENT_NOT_FOUND, f"No deployment has the id '{id_[:80]}'")
    if row["status"] == "rolled_back" and body.status != "rolled_back":
        raise conflict("The deployment was rolled back; enable the capability again")
    set_status(call.plane, row, body.status)
    return deployment_json(store.rows("SELECT * FROM deployments WHERE id = ?", id_)[0])


@control("GET", "/catalog", NoBody)
def get_catalog(call: Call, _: NoBody) -> JsonValue:
    """Return the current catalog."""
    return catalog_json(catalog_of(call.store))


@control("PUT", "/catalog", Catalog)
def put_catalog(call: Call, body: Catalog) -> JsonValue:
    """Replace the catalog; deployments don't change."""
    duplicates = [id_ for id_, count in Counter(variant.id for variant in body.variants).items() if count > 1]
    if duplicates:
        raise invalid(("variants", f"has a duplicate id {duplicates[0]!r}"))
    variants = tuple(
        Variant(**{**variant.model_dump(), "platforms": tuple(variant.platforms)}) for variant in body.variants
    )
    replace_catalog(call.store, variants)
    return catalog_json(variants)


@control("GET", "/policy", NoBody)
def get_policy(call: Call, _: NoBody) -> JsonValue:
    """Return the org's current rules."""
    return org_policy(call.store).to_json()


@control("PUT", "/policy", Policy)
def put_policy(call: Call, body: Policy) -> JsonValue:
    """Replace the org's rules; a rule that the body omits becomes empty."""
    policy = OrgPolicy(tuple(body.require_approval), tuple(body.platforms), tuple(body.slot_fields))
    replace_policy(call.store, policy)
    return policy.to_json()


@control("PUT", "/faults", FaultRules)
def put_faults(call: Call, body: FaultRules) -> JsonValue:
    """Replace the injected faults."""
    call.plane.faults.replace(body.rules)
    return {"rules": call.plane.faults.to_json()}


@control("GET", "/faults", NoBody)
def get_faults(call: Call, _: NoBody) -> JsonValue:
    """Return the rules, each with how often it `acted`."""
    return {"rules": call.plane.faults.to_json()}


@control("DELETE", "/faults", NoBody, status=204)
def delete_faults(call: Call, _: NoBody) -> JsonValue:
    """Remove all rules."""
    call.plane.faults.replace([])
    return None


HANDLERS: tuple[Handler[Any], ...] = (
    requests_log,
    clear_requests_log,
    devices,
    requests,
    tick,
    deployment,
    get_catalog,
    put_catalog,
    get_policy,
    put_policy,
    put_faults,
    get_faults,
    delete_faults,
)
