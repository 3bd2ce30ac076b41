"""Reads of deployments, coverage, previews and optimization checks, and of where an app's requests were routed.

Deployments are read for an app, or for the whole org if that takes fewer requests.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from pydantic import ValidationError

from octosync.contract import DECISIONS, DEPLOYMENTS
from octosync.contract.responses import (
    WireDeployment,
    WireFirstRequest,
    WireHealth,
    WireOptimizationCheck,
    WirePreview,
    WireRoutingDecision,
    WireRoutingStats,
)
from octosync.errors import CredentialRefused, RemoteError
from octosync.model import (
    Address,
    App,
    Assignment,
    Canary,
    Coverage,
    Deployment,
    FirstRequest,
    Health,
    JsonObject,
    JsonValue,
    OptimizationCheck,
    Preview,
    RoutingDecision,
    RoutingStats,
)
from octosync.octomil.client import Octomil
from octosync.octomil.pagination import (
    PAGE,
    CompleteList,
    ReadResult,
    name_field,
    parse_model,
    parse_time,
    read_list,
    read_list_if,
    read_page,
    translator_for,
)
from octosync.octomil.rate_limit import Reservation

Placement: TypeAlias = tuple[str, str]  # a capability and an environment


async def read_deployments(
    client: Octomil, slug: str, *, needed: Collection[Placement] = (), within: Reservation | None = None
) -> ReadResult[tuple[Deployment, ...]]:
    """Read the deployments of an app's capabilities, rolled-back ones included, in the order of their addresses.

    Within one address they are in the control plane's order. A deployment that names no capability is left out, unless it may
    be one of the `needed`, or has a canary: then the response is unreadable, since a missing field is no proof of absence.
    """
    listing = await read_list(
        client, "apps.deployments", {"slug": slug}, plural=DEPLOYMENTS, identify=_id, within=within
    )
    found = _sorted(client, "apps.deployments", listing.items, listing.request_id, lambda _: slug)
    _check_unnamed(client, listing, found, needed)
    return ReadResult(found, listing.sent_at)


async def read_deployments_page(client: Octomil, slug: str) -> tuple[tuple[Deployment, ...], bool]:
    """Read an app's deployments with one request; return them, and whether these are all."""
    page = await read_page(client, "apps.deployments", {"slug": slug}, plural=DEPLOYMENTS)
    return _sorted(client, "apps.deployments", page.items, page.request_id, lambda _: slug), page.is_last(0)


async def read_org_deployments(
    client: Octomil, slugs: Mapping[str, str], *, worth: Callable[[int], bool]
) -> ReadResult[tuple[Deployment, ...]] | None:
    """Read the deployments of the whole org. `slugs` maps ids of apps to slugs; for another app, the id is the slug.

    A deployment that names no app has the slug "". `worth` is called with the number of further requests that the list takes;
    if it returns False, the result is None.
    """
    listing = await read_list_if(client, "deployments.list", {}, plural=DEPLOYMENTS, identify=_id, worth=worth)
    return None if listing is None else _of_org(client, listing, slugs)


def _of_org(client: Octomil, listing: CompleteList, slugs: Mapping[str, str]) -> ReadResult[tuple[Deployment, ...]]:
    def slug_of(app_id: str) -> str:
        return slugs.get(app_id, app_id)

    return ReadResult(_sorted(client, "deployments.list", listing.items, listing.request_id, slug_of), listing.sent_at)


async def read_org_deployments_if_cheaper(
    client: Octomil, apps: Mapping[str, App]
) -> ReadResult[tuple[Deployment, ...]] | RemoteError | None:
    """Read the org's deployments if that takes fewer requests than reading them for each of these apps.

    The first page decides. Returns the error if the list can't be read, and None if it takes more requests, doesn't name apps
    by their ids, or doesn't name the capability of a deployment of these apps: then each app has to be read.
    """
    slugs = {str(app.server_fields["id"]): slug for slug, app in apps.items() if "id" in app.server_fields}
    if len(apps) < 2 or len(slugs) < len(apps):
        return None
    try:
        listing = await read_list_if(
            client,
            "deployments.list",
            {},
            plural=DEPLOYMENTS,
            identify=_id,
            worth=lambda further: further < len(apps),
        )
        if listing is None or any(_is_unnamed(item) and name_field(item, "app_id") in slugs for item in listing.items):
            return None
        reading = _of_org(client, listing, slugs)
    except CredentialRefused:
        raise
    except RemoteError as error:
        return error
    return None if any(not deployment.app for deployment in reading.value) else reading


def count_running_canaries(deployments: Iterable[Deployment]) -> int:
    """Return the number of running canaries."""
    return sum(deployment.canary is not None for deployment in deployments)


async def preview_enable(client: Octomil, address: Address) -> Preview:
    """Request a preview of enabling a capability in an environment; stated to change nothing. Raises `RemoteError`."""
    operation_id = "apps.capabilities.preview"
    response = await client.call(operation_id, parameters_of(address), body=body_of(address))
    found = parse_model(client, operation_id, WirePreview, response.body, response.request_id)
    variant = found.recommended_variant
    return Preview(
        variant=variant.id if variant else None,
        reason=variant.reason if variant else None,
        devices=found.device_count,
        assignments=tuple(
            Assignment(platform=assignment.platform, devices=assignment.device_count)
            for assignment in found.assignments
        ),
        warnings=tuple(found.warnings),
    )


async def check_optimization(client: Octomil, address: Address) -> OptimizationCheck:
    """Request a check for a better variant than the deployed one; stated to change nothing. Raises `RemoteError`."""
    operation_id = "apps.capabilities.check_optimization"
    response = await client.call(operation_id, parameters_of(address), body=body_of(address))
    found = parse_model(client, operation_id, WireOptimizationCheck, response.body, response.request_id)
    return OptimizationCheck(
        available=found.available,
        current=found.current_variant_id,
        suggested=found.suggested_variant.id if found.suggested_variant else None,
        improvement=found.expected_improvement,
        reason=found.reason,
    )


async def read_health(client: Octomil, slug: str) -> Health:
    """Read an app's coverage, its slots by capability. Raises `RemoteError`."""
    response = await client.call("apps.health", {"slug": slug})
    found = parse_model(client, "apps.health", WireHealth, response.body, response.request_id)
    slots = (
        Coverage(
            capability=slot.capability,
            status=slot.status,
            active_deployments=slot.active_deployments,
            covered_devices=slot.covered_devices,
            total_devices=slot.total_devices,
        )
        for slot in found.slots
    )
    return Health(status=found.status, slots=tuple(sorted(slots, key=lambda slot: slot.capability)))


def parameters_of(address: Address) -> Mapping[str, str]:
    """Return the path parameters of an operation on a capability."""
    capability, _ = address.placement
    return {"slug": address.app, "capability": capability}


def body_of(address: Address) -> JsonObject:
    """Return the body of an operation on a capability (assumed): its environment."""
    _, environment = address.placement
    return {"environment": environment}


def parse_deployment_response(body: JsonValue, address: Address) -> Deployment | None:
    """Return the live deployment in a response to enable or optimize; None if there is none.

    An object without capability or environment may describe a job, and is not a deployment.
    """
    inner = body.get("deployment", body) if isinstance(body, Mapping) else None
    try:
        found = WireDeployment.model_validate(inner)
    except ValidationError:
        return None
    if not found.is_live or found.capability is None or found.environment is None:
        return None
    return _deployment(found, address.app, found.capability, found.environment)


def deployment_of(
    client: Octomil, operation_id: str, slug: str, item: JsonObject, request_id: str | None
) -> Deployment | None:
    """Return one deployment; None if it has no capability. Raises `Unreadable`."""
    found = parse_model(client, operation_id, WireDeployment, item, request_id)
    if not found.capability:
        return None  # an org may have deployments that don't belong to an app's slots
    if not found.environment:
        raise translator_for(client, operation_id).wrong_shape("field environment: field required", request_id)
    return _deployment(found, slug, found.capability, found.environment)


def _deployment(found: WireDeployment, slug: str, capability: str, environment: str) -> Deployment:
    canary = found.canary if found.has_running_canary else None
    return Deployment(
        id=found.id,
        app=slug,
        capability=capability,
        environment=environment,
        status=found.status,
        live=found.is_live,
        variant=found.model_variant_id,
        canary=None if canary is None else Canary(candidate=canary.candidate_variant_id, percentage=canary.percentage),
        targets=tuple(found.app_target_ids),
        created_at=found.created_at,
        starting=found.is_starting,
        failed=found.has_failed,
    )


def _sorted(
    client: Octomil,
    operation_id: str,
    items: tuple[JsonObject, ...],
    request_id: str | None,
    slug_of: Callable[[str], str],
) -> tuple[Deployment, ...]:
    found = (
        deployment_of(client, operation_id, slug_of(name_field(item, "app_id") or ""), item, request_id)
        for item in items
    )
    deployments = (deployment for deployment in found if deployment is not None)
    return tuple(sorted(deployments, key=lambda deployment: deployment.address.sort_key))


def _id(item: JsonObject) -> str | None:
    return name_field(item, "id")


def _is_unnamed(item: JsonObject) -> bool:
    """Return whether a deployment names no capability."""
    return not item.get("capability")


def _check_unnamed(
    client: Octomil, listing: CompleteList, found: Iterable[Deployment], needed: Collection[Placement]
) -> None:
    """Raise `Unreadable` for a deployment without a capability that something depends on."""
    live = {(deployment.capability, deployment.environment) for deployment in found if deployment.live}
    absent = sorted(set(needed) - live)
    for index, item in enumerate(listing.items):
        if not _is_unnamed(item):
            continue
        places = [place for place in absent if item.get("environment") in {None, "", place[1]}]
        has_canary = WireDeployment.model_validate(item).has_running_canary
        if places or has_canary:
            matters = "a canary runs in it" if has_canary else f"it may be {places[0][0]} in {places[0][1]}"
            raise translator_for(client, "apps.deployments").wrong_shape(
                f"field {DEPLOYMENTS}[{index}].capability is missing, and {matters}", listing.request_id
            )


@dataclass(frozen=True, slots=True)
class DecisionsPage:
    """A page of an app's routing decisions; with `is_last`, there are no older ones."""

    decisions: tuple[RoutingDecision, ...]
    is_last: bool


async def read_routing_stats(client: Octomil, slug: str) -> RoutingStats:
    """Read how many requests an app had and where they were routed. Raises `RemoteError`."""
    response = await client.call("apps.routing_stats", {"slug": slug})
    found = parse_model(client, "apps.routing_stats", WireRoutingStats, response.body, response.request_id)
    return RoutingStats(
        total=found.total_requests,
        local=found.local_requests,
        cloud=found.cloud_requests,
        average_latency_ms=found.average_latency_ms,
    )


async def read_routing_decisions(client: Octomil, slug: str, *, offset: int = 0, limit: int = PAGE) -> DecisionsPage:
    """Read a page of an app's routing decisions, newest first (stated: recent). Raises `RemoteError`."""
    page = await read_page(
        client, "apps.routing_decisions", {"slug": slug}, plural=DECISIONS, offset=offset, limit=limit
    )
    decisions = tuple(_decision(client, item, page.request_id) for item in page.items)
    return DecisionsPage(decisions, page.is_last(offset))


async def read_first_request(client: Octomil, slug: str) -> FirstRequest:
    """Read whether any request of an app was seen, on the device or in the cloud (stated). Raises `RemoteError`."""
    response = await client.call("apps.first_request", {"slug": slug})
    found = parse_model(client, "apps.first_request", WireFirstRequest, response.body, response.request_id)
    return FirstRequest(received=found.received, at=parse_time(found.first_request_at))


def _decision(client: Octomil, item: JsonObject, request_id: str | None) -> RoutingDecision:
    found = parse_model(client, "apps.routing_decisions", WireRoutingDecision, item, request_id)
    return RoutingDecision(
        id=found.id,
        route=found.route,
        capability=found.capability,
        variant=found.model_variant_id,
        latency_ms=found.latency_ms,
        at=parse_time(found.created_at),
    )
