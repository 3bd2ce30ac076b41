"""Targets: (platform, identifier) tuples, unique in the org, including archived apps. They can't be updated."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from octosync.contract import PLATFORMS, TARGET, ErrorCode
from octosync.model import Address, JsonValue
from octosync.server import response_models
from octosync.server.errors import ApiError, conflict, invalid
from octosync.server.fleet import org_policy
from octosync.server.handlers.apps import app_by_slug, writable_app
from octosync.server.handlers.deployments import assign_devices, release_target
from octosync.server.handlers.handler import Call, handles, handles_body, list_page, record_event
from octosync.server.store import Row
from octosync.server.validation import Body

MAX_IDENTIFIER = 512


class CreateTargetRequest(Body):
    """The body of `apps.create_target`."""

    read_only: ClassVar[frozenset[str]] = TARGET.read_only
    platform: str
    identifier: str = Field(min_length=1, max_length=MAX_IDENTIFIER)


def insert_target(call: Call, app: Row, platform: str, identifier: str) -> Row:
    """Register a target. Raises 422 for an unknown platform, 409 with the owner's slug if the tuple is registered."""
    store = call.store
    if platform not in PLATFORMS and platform not in org_policy(store).platforms:
        raise invalid(("platform", f"must be one of {', '.join(PLATFORMS)}"))
    holder = store.row(
        "SELECT apps.slug, apps.archived_at FROM targets JOIN apps ON apps.id = targets.app_id"
        " WHERE platform = ? AND identifier = ?",
        *(platform, identifier),
    )
    if holder is not None:
        state = "archived app" if holder["archived_at"] else "app"
        raise conflict(
            f"{platform}:{identifier} is registered to {state} {holder['slug']}",
            app_slug=holder["slug"],
            platform=platform,
            identifier=identifier,
        )
    id_ = store.new_id("tgt")
    store.insert(
        "targets", id=id_, app_id=app["id"], platform=platform, identifier=identifier, created_at=store.stamp()
    )
    address = Address.of_target(app["slug"], platform, identifier)
    record_event(store, call.actor, app, "target.created", address, f"Registered target {address.name}")
    return store.rows("SELECT * FROM targets WHERE id = ?", id_)[0]


def target_json(row: Row) -> JsonValue:
    """Return the JSON of a target."""
    return {key: row[key] for key in ("id", "app_id", "platform", "identifier", "created_at")}


@handles_body("apps.create_target", CreateTargetRequest, response=response_models.Target, status=201)
def create(call: Call, body: CreateTargetRequest) -> JsonValue:
    """Register a target; existing deployments don't reach it until the capability is enabled again."""
    app = writable_app(call.store, call.parameters["slug"])
    return target_json(insert_target(call, app, body.platform, body.identifier))


@handles("apps.list_targets", response=response_models.Targets, query=("limit", "offset"))
def list_targets(call: Call) -> JsonValue:
    """List an app's targets in the order of their registration."""
    app = app_by_slug(call.store, call.parameters["slug"])
    return list_page(call, "targets", "targets WHERE app_id = ?", (app["id"],), "seq", target_json)


@handles("apps.delete_target", response=None, status=204)
def delete(call: Call) -> JsonValue:
    """Delete a target, remove it from deployments and recompute their devices, in one transaction."""
    store, id_ = call.store, call.parameters["target_id"]
    app = writable_app(store, call.parameters["slug"])
    target = store.row("SELECT * FROM targets WHERE id = ? AND app_id = ?", id_, app["id"])
    if target is None:
        raise ApiError(404, ErrorCode.TARGET_NOT_FOUND, f"App {app['slug']} has no target '{id_[:80]}'")
    release_target(store, app["id"], id_)
    assign_devices(store, app["id"])
    store.run("DELETE FROM targets WHERE id = ?", id_)
    address = Address.of_target(app["slug"], target["platform"], target["identifier"])
    record_event(store, call.actor, app, "target.deleted", address, f"Removed target {address.name}")
    return None


HANDLERS = (create, list_targets, delete)
