"""Capabilities: preview, enable, check, optimize, and the lists of deployments.

Assumed: a preview needs no slot, since it is used before one exists; the other three return 404 `capability_not_configured`
without a slot; check and optimize compare with the deployment to the environment.
"""

from __future__ import annotations

from typing import Annotated

from octosync.contract import ENVIRONMENTS, ErrorCode
from octosync.model import Address, JsonValue
from octosync.server import response_models
from octosync.server.errors import ApiError, conflict, invalid
from octosync.server.fleet import (
    Choice,
    Variant,
    catalog_of,
    choose,
    device_counts,
    fleet_of,
    improvement,
    org_policy,
    rate,
    targets_of,
    warnings_for,
)
from octosync.server.handlers.apps import app_by_slug, writable_app
from octosync.server.handlers.deployments import CANARY_STEP, deployment_json, insert_deployment, live_deployment
from octosync.server.handlers.handler import Call, handles, handles_body, list_page, record_event
from octosync.server.handlers.slots import capability_of, find_slot, slot_of
from octosync.server.store import Row, Store
from octosync.server.validation import Body, one_of


class EnvironmentRequest(Body):
    """The body of the four capability operations; the default is production."""

    environment: Annotated[str, *one_of(ENVIRONMENTS)] = "production"


@handles_body("apps.capabilities.preview", EnvironmentRequest, response=response_models.Preview, body_optional=True)
def preview(call: Call, body: EnvironmentRequest) -> JsonValue:
    """Return what enable would do: the slot's variant if it has one, else the best variant for the fleet, with the reasons."""
    store, capability = call.store, capability_of(call)
    app = app_by_slug(store, call.parameters["slug"])
    fleet = fleet_of(store, app)
    targets = targets_of(store, app)
    variant, warnings = _preview_variant(store, app, capability, [target["platform"] for target in targets])
    counts = {} if variant is None else device_counts(store, app)
    return {
        "capability": capability,
        "environment": body.environment,
        "recommended_variant": variant,
        "assignments": [
            {"target_id": target["id"], "platform": target["platform"], "device_count": counts[target["id"]]}
            for target in targets
            if variant is not None
        ],
        "device_count": 0 if fleet.assumed else sum(counts.values()),
        "coverage": "covered" if any(counts.values()) else "uncovered",
        "warnings": warnings,
    }


@handles_body(
    "apps.capabilities.enable", EnvironmentRequest, response=response_models.Deployment, status=201, body_optional=True
)
def enable(call: Call, body: EnvironmentRequest) -> JsonValue:
    """Start a deployment of a capability to the app's registered targets. Raises 409 while a live deployment exists."""
    store, capability = call.store, capability_of(call)
    app = writable_app(store, call.parameters["slug"])
    slot = slot_of(store, app, capability)
    _needs_no_approval(store, body.environment)
    live = live_deployment(store, app, capability, body.environment)
    if live is not None:
        raise conflict(
            f"{capability} is already deployed to {body.environment}",
            app_slug=app["slug"],
            deployment=deployment_json(live),
        )
    variant_id = slot["model_variant_id"]
    if variant_id is None:
        variant_id = _best(store, app, capability).variant.id
        store.update("slots", slot["id"], model_variant_id=variant_id, updated_at=store.stamp())
    target_ids = [target["id"] for target in targets_of(store, app)]
    deployment = insert_deployment(call.plane, app, capability, body.environment, variant_id, target_ids)
    address = Address.of_capability(app["slug"], capability, body.environment)
    record_event(store, call.actor, app, "capability.enabled", address, f"Enabled {address.name} with {variant_id}")
    return deployment_json(deployment)


@handles_body(
    "apps.capabilities.check_optimization",
    EnvironmentRequest,
    response=response_models.OptimizationCheck,
    body_optional=True,
)
def check(call: Call, body: EnvironmentRequest) -> JsonValue:
    """Return whether a better variant than the deployed one is available, and its improvement; changes nothing."""
    store, capability = call.store, capability_of(call)
    app = app_by_slug(store, call.parameters["slug"])
    slot_of(store, app, capability)
    live = live_deployment(store, app, capability, body.environment)
    if live is None:
        return _nothing_better(None, f"nothing is deployed to {body.environment}")
    current = live["model_variant_id"]
    if live["candidate_variant_id"] is not None:
        return _nothing_better(current, f"a canary to {live['candidate_variant_id']} is running")
    better, reason = _better(store, app, capability, current)
    if better is None:
        return _nothing_better(current, reason)
    known = _by_id(store, current)
    return {
        "available": True,
        "current_variant_id": current,
        "suggested_variant": _variant_json(better.variant, better.reason),
        "expected_improvement": {} if known is None else improvement(known, better.variant),
        "reason": reason,
    }


@handles_body("apps.capabilities.optimize", EnvironmentRequest, response=response_models.Deployment, body_optional=True)
def optimize(call: Call, body: EnvironmentRequest) -> JsonValue:
    """Start a canary to the better variant, on the same deployment. Raises 409 while one runs or if no variant is better."""
    store, capability = call.store, capability_of(call)
    app = writable_app(store, call.parameters["slug"])
    slot_of(store, app, capability)
    _needs_no_approval(store, body.environment)
    live = live_deployment(store, app, capability, body.environment)
    if live is None:
        raise ApiError(404, ErrorCode.DEPLOYMENT_NOT_FOUND, f"{capability} is not deployed to {body.environment}")
    if live["candidate_variant_id"] is not None:
        raise conflict("A canary is running", app_slug=app["slug"], deployment=deployment_json(live))
    better, reason = _better(store, app, capability, live["model_variant_id"])
    if better is None:
        raise conflict(reason, app_slug=app["slug"], deployment=deployment_json(live))
    store.update(
        "deployments",
        live["id"],
        status="active" if live["status"] != "paused" else "paused",
        candidate_variant_id=better.variant.id,
        percentage=CANARY_STEP,
        since=store.now().timestamp(),
        elapsed=0.0 if live["status"] == "paused" else None,
        updated_at=store.stamp(),
    )
    call.plane.next_change_at = 0.0
    address = Address.of_capability(app["slug"], capability, body.environment)
    record_event(
        store, call.actor, app, "capability.optimized", address, f"Canary of {address.name} to {better.variant.id}"
    )
    return deployment_json(store.rows("SELECT * FROM deployments WHERE id = ?", live["id"])[0])


@handles("apps.deployments", response=response_models.Deployments, query=("limit", "offset"))
def app_deployments(call: Call) -> JsonValue:
    """List an app's deployments in the order of their creation, rolled-back ones included."""
    app = app_by_slug(call.store, call.parameters["slug"])
    return list_page(call, "deployments", "deployments WHERE app_id = ?", (app["id"],), "seq", deployment_json)


@handles("deployments.list", response=response_models.Deployments, query=("limit", "offset", "app_id"))
def org_deployments(call: Call) -> JsonValue:
    """List the org's deployments, with `app_id` those of one app."""
    app_id = call.query.get("app_id")
    source, values = ("deployments", ()) if app_id is None else ("deployments WHERE app_id = ?", (app_id,))
    return list_page(call, "deployments", source, values, "seq", deployment_json)


def _needs_no_approval(store: Store, environment: str) -> None:
    if environment in org_policy(store).require_approval:
        raise ApiError(
            403,
            ErrorCode.APPROVAL_REQUIRED,
            f"Changes in {environment} need a person's approval",
            details={"environment": environment},
        )


def _best(store: Store, app: Row, capability: str) -> Choice:
    choice = choose(catalog_of(store), capability, fleet_of(store, app))
    if choice is None:
        raise invalid(("path.capability", f"no variant for {capability} runs on the app's targets"))
    return choice


def _better(store: Store, app: Row, capability: str, current: str) -> tuple[Choice | None, str]:
    """Return a variant with a higher score for the fleet than the current one (None if there is none), and the reason."""
    fleet = fleet_of(store, app)
    best, known = choose(catalog_of(store), capability, fleet), _by_id(store, current)
    if best is None:
        return None, f"no variant for {capability} runs on the app's targets"
    if best.variant.id == current or (known is not None and rate(known, fleet).score >= best.score):
        return None, f"{current} is the best variant for this fleet"
    return best, f"{best.variant.id} suits this fleet better than {current}: {best.reason}"


def _preview_variant(store: Store, app: Row, capability: str, platforms: list[str]) -> tuple[JsonValue, list[str]]:
    fleet, slot = fleet_of(store, app), find_slot(store, app, capability)
    pinned = None if slot is None else slot["model_variant_id"]
    if pinned is not None:
        variant = _by_id(store, pinned)
        if variant is None:
            return {"id": pinned, "name": pinned, "reason": "the slot's own variant"}, [
                f"{pinned} is not in the catalog"
            ]
        return _variant_json(variant, "the slot's own variant"), warnings_for(variant, fleet, platforms)
    choice = choose(catalog_of(store), capability, fleet)
    if choice is None:
        return None, [f"no variant for {capability} runs on the app's targets"]
    return _variant_json(choice.variant, choice.reason), warnings_for(choice.variant, fleet, platforms)


def _by_id(store: Store, id_: str) -> Variant | None:
    return next((variant for variant in catalog_of(store) if variant.id == id_), None)


def _variant_json(variant: Variant, reason: str) -> JsonValue:
    return {"id": variant.id, "name": variant.name, "size_bytes": variant.size_bytes, "reason": reason}


def _nothing_better(current: str | None, reason: str) -> JsonValue:
    return {
        "available": False,
        "current_variant_id": current,
        "suggested_variant": None,
        "expected_improvement": {},
        "reason": reason,
    }


HANDLERS = (preview, enable, check, optimize, app_deployments, org_deployments)
