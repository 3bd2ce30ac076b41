"""Deployments: an app's, or the org's in as few requests as that takes, and what the orchestrator says of a capability."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from octosync.contract import DEPLOYMENTS
from octosync.contract.wire import WireDeployment, WireHealth, WireOptimizationCheck, WirePreview
from octosync.model import (
    Address,
    Assignment,
    Canary,
    Coverage,
    Deployment,
    Health,
    JsonObject,
    OptimizationCheck,
    Preview,
)
from octosync.octomil.answers import Reading, parsed, segment, translator_of
from octosync.octomil.client import Octomil
from octosync.octomil.pacing import Reservation
from octosync.octomil.paging import read_list, read_list_if


async def deployments_reading(
    client: Octomil, slug: str, *, within: Reservation | None = None
) -> Reading[tuple[Deployment, ...]]:
    """Read the deployments of an app's capabilities, rolled-back ones included, in the order of their addresses.

    Within one address they are in the control plane's own order.
    """
    listing = await read_list(
        client, "apps.deployments", {"slug": slug}, plural=DEPLOYMENTS, identify=_id, within=within
    )
    return Reading(
        _sorted(client, "apps.deployments", listing.items, listing.request_id, lambda _: slug), listing.sent_at
    )


async def org_deployments_reading(
    client: Octomil, slugs: Mapping[str, str], *, worth: Callable[[int], bool]
) -> Reading[tuple[Deployment, ...]] | None:
    """Read the deployments of the whole org. `slugs` names apps by their ids; what is of another app has its id for a slug.

    None where `worth` says, told how many further requests it takes, that it is not, or where one names no app.
    """
    listing = await read_list_if(client, "deployments.list", {}, plural=DEPLOYMENTS, identify=_id, worth=worth)
    if listing is None or not all(segment(item, "app_id") for item in listing.items):
        return None

    def slug_of(app_id: str) -> str:
        return slugs.get(app_id, app_id)

    return Reading(_sorted(client, "deployments.list", listing.items, listing.request_id, slug_of), listing.sent_at)


async def preview(client: Octomil, address: Address) -> Preview:
    """Ask what enabling a capability in an environment would do; stated to change nothing. Raises `RemoteError`."""
    operation_id = "apps.capabilities.preview"
    answer = await client.call(operation_id, parameters_of(address), body=body_of(address))
    found = parsed(client, operation_id, WirePreview, answer.body, answer.request_id)
    variant = found.recommended_variant
    return Preview(
        variant=variant.id if variant else None,
        reason=variant.reason if variant else None,
        devices=found.device_count,
        assignments=tuple(Assignment(platform=one.platform, devices=one.device_count) for one in found.assignments),
        warnings=tuple(found.warnings),
    )


async def check_optimization(client: Octomil, address: Address) -> OptimizationCheck:
    """Ask whether there is a better variant than the deployed one; stated to change nothing. Raises `RemoteError`."""
    operation_id = "apps.capabilities.check_optimization"
    answer = await client.call(operation_id, parameters_of(address), body=body_of(address))
    found = parsed(client, operation_id, WireOptimizationCheck, answer.body, answer.request_id)
    return OptimizationCheck(
        available=found.available,
        current=found.current_variant_id,
        suggested=found.suggested_variant.id if found.suggested_variant else None,
        improvement=found.expected_improvement,
        reason=found.reason,
    )


async def health(client: Octomil, slug: str) -> Health:
    """Read an app's coverage, its slots by capability. Raises `RemoteError`."""
    answer = await client.call("apps.health", {"slug": slug})
    found = parsed(client, "apps.health", WireHealth, answer.body, answer.request_id)
    slots = (
        Coverage(
            capability=one.capability,
            status=one.status,
            active_deployments=one.active_deployments,
            covered_devices=one.covered_devices,
            total_devices=one.total_devices,
        )
        for one in found.slots
    )
    return Health(status=found.status, slots=tuple(sorted(slots, key=lambda one: one.capability)))


def parameters_of(address: Address) -> Mapping[str, str]:
    """Return the path's parameters of an operation on a capability."""
    capability, _ = address.placement
    return {"slug": address.app, "capability": capability}


def body_of(address: Address) -> JsonObject:
    """Return the body of an operation on a capability (assumed): its environment."""
    _, environment = address.placement
    return {"environment": environment}


def deployment_of(
    client: Octomil, operation_id: str, slug: str, item: JsonObject, request_id: str | None
) -> Deployment | None:
    """Read one deployment; None for one that is of no capability. Raises `Unreadable`."""
    found = parsed(client, operation_id, WireDeployment, item, request_id)
    if found.capability is None:
        return None  # an org may deploy by other ways than an app's slots
    if found.environment is None:
        raise translator_of(client, operation_id).wrong_shape("field environment: field required", request_id)
    canary = found.canary if found.has_running_canary else None
    return Deployment(
        id=found.id,
        app=slug,
        capability=found.capability,
        environment=found.environment,
        status=found.status,
        live=found.is_live,
        variant=found.model_variant_id,
        canary=None if canary is None else Canary(candidate=canary.candidate_variant_id, percentage=canary.percentage),
        targets=tuple(found.app_target_ids),
        created_at=found.created_at,
    )


def _sorted(
    client: Octomil,
    operation_id: str,
    items: tuple[JsonObject, ...],
    request_id: str | None,
    slug_of: Callable[[str], str],
) -> tuple[Deployment, ...]:
    found = (deployment_of(client, operation_id, slug_of(str(item.get("app_id"))), item, request_id) for item in items)
    return tuple(sorted((one for one in found if one is not None), key=lambda one: one.address.sort_key))


def _id(item: JsonObject) -> str | None:
    return segment(item, "id")
