"""Capability slots, one per app and capability. A PUT replaces the slot: fields that the body omits get their defaults."""

from __future__ import annotations

import re
from typing import Annotated, ClassVar

from pydantic import BeforeValidator, ConfigDict, Field
from pydantic import JsonValue as AnyJson

from octosync.contract import PRESETS, SLOT, contradiction_in, expand_policy
from octosync.contract.resources import ROUTING_MODES, ROUTING_PREFERENCES
from octosync.model import Address, JsonObject, JsonValue
from octosync.server import response_models
from octosync.server.errors import capability_not_configured, invalid
from octosync.server.fleet import org_policy
from octosync.server.handlers.apps import app_by_slug, writable_app
from octosync.server.handlers.handler import Call, handles, handles_body, list_page, record_event
from octosync.server.store import Row, Store, from_json, to_json
from octosync.server.validation import Body, one_of

DEFAULT_POLICY = "local_first"  # assumed: the policy of a slot whose body has none
CAPABILITY_PATTERN = "[a-z0-9][a-z0-9_-]{0,63}"  # an open set: any such name is valid
_CAPABILITY = re.compile(CAPABILITY_PATTERN)


class FallbackRequest(Body):
    """Where a request may go if its route fails."""

    allow_cloud_fallback: bool
    allow_local_fallback: bool


class ServingPolicyRequest(Body):
    """A serving policy in full (public)."""

    model_config = ConfigDict(extra="allow")  # as in `PutSlotRequest`
    routing_mode: Annotated[str, *one_of(ROUTING_MODES)]
    routing_preference: Annotated[str, *one_of(ROUTING_PREFERENCES)] | None = None
    fallback: FallbackRequest


def _expanded(value: object) -> object:
    if isinstance(value, str):
        if value not in PRESETS:
            raise ValueError(f"must be a policy or one of the presets {', '.join(PRESETS)}")
        return PRESETS[value]
    return value


class PutSlotRequest(Body):
    """The body of `apps.put_slot`; null is the same as absent."""

    model_config = ConfigDict(extra="allow")  # the handler rejects further fields, unless the org's rules allow them
    read_only: ClassVar[frozenset[str]] = SLOT.read_only
    serving_policy: Annotated[ServingPolicyRequest | None, BeforeValidator(_expanded)] = None
    bindings: list[dict[str, AnyJson]] | None = None
    preferred_engines: list[Annotated[str, Field(min_length=1, max_length=64)]] | None = None
    public_client_allowed: bool | None = None
    model_variant_id: str | None = Field(default=None, min_length=1, max_length=255)


def capability_of(call: Call) -> str:
    """Return the path's capability. Raises 422 for an invalid name."""
    capability = call.parameters["capability"]
    if not _CAPABILITY.fullmatch(capability):
        raise invalid(("path.capability", "must be lowercase letters, digits, _ and -, at most 64"))
    return capability


def find_slot(store: Store, app: Row, capability: str) -> Row | None:
    """Return an app's slot for a capability, None if there is none."""
    return store.row("SELECT * FROM slots WHERE app_id = ? AND capability = ?", app["id"], capability)


def slot_of(store: Store, app: Row, capability: str) -> Row:
    """Return an app's slot for a capability. Raises 404 `capability_not_configured`."""
    slot = find_slot(store, app, capability)
    if slot is None:
        raise capability_not_configured(app["slug"], capability)
    return slot


def slot_json(row: Row) -> JsonValue:
    """Return the JSON of a slot, its policy expanded."""
    return {
        **from_json(row["extra"]),
        "id": row["id"],
        "app_id": row["app_id"],
        "capability": row["capability"],
        "model_variant_id": row["model_variant_id"],
        "serving_policy": from_json(row["serving_policy"]),
        "bindings": from_json(row["bindings"]),
        "preferred_engines": from_json(row["preferred_engines"]),
        "public_client_allowed": bool(row["public_client_allowed"]),
        "created_at": row["created_at"],
        "updated_at": row["updated_at"],
    }


@handles_body("apps.put_slot", PutSlotRequest, response=response_models.Slot)
def put(call: Call, body: PutSlotRequest) -> JsonValue:
    """Create or replace a slot."""
    store, capability = call.store, capability_of(call)
    app = writable_app(store, call.parameters["slug"])
    columns = {**_columns(body), "extra": to_json(_extra(store, body)), "updated_at": store.stamp()}
    old = find_slot(store, app, capability)
    address = Address.of_slot(app["slug"], capability)
    if old is None:
        store.insert(
            "slots",
            id=store.new_id("slt"),
            app_id=app["id"],
            capability=capability,
            created_at=columns["updated_at"],
            **columns,
        )
        record_event(store, call.actor, app, "slot.created", address, f"Configured slot {capability}")
    else:
        store.update("slots", old["id"], **columns)
        record_event(store, call.actor, app, "slot.updated", address, f"Replaced slot {capability}")
    return slot_json(slot_of(store, app, capability))


@handles("apps.get_slot", response=response_models.Slot)
def get(call: Call) -> JsonValue:
    """Return a slot."""
    app = app_by_slug(call.store, call.parameters["slug"])
    return slot_json(slot_of(call.store, app, capability_of(call)))


@handles("apps.list_slots", response=response_models.Slots, query=("limit", "offset"))
def list_slots(call: Call) -> JsonValue:
    """List an app's slots in the order of their capabilities' names."""
    app = app_by_slug(call.store, call.parameters["slug"])
    return list_page(call, "slots", "slots WHERE app_id = ?", (app["id"],), "capability", slot_json)


@handles("apps.delete_slot", response=None, status=204)
def delete(call: Call) -> JsonValue:
    """Delete a slot; its deployments stay as history."""
    store, capability = call.store, capability_of(call)
    app = writable_app(store, call.parameters["slug"])
    slot = slot_of(store, app, capability)
    store.run("DELETE FROM slots WHERE id = ?", slot["id"])
    address = Address.of_slot(app["slug"], capability)
    record_event(store, call.actor, app, "slot.deleted", address, f"Removed slot {capability}")
    return None


def _columns(body: PutSlotRequest) -> dict[str, object]:
    policy = _policy(body)
    return {
        "model_variant_id": body.model_variant_id,
        "serving_policy": to_json(policy),
        "bindings": to_json(body.bindings or []),
        "preferred_engines": to_json(body.preferred_engines or []),
        "public_client_allowed": bool(body.public_client_allowed),
    }


def _policy(body: PutSlotRequest) -> JsonValue:
    given = body.serving_policy
    policy: JsonObject = PRESETS[DEFAULT_POLICY] if given is None else given.model_dump(exclude_none=True)
    expanded = expand_policy(policy)
    if (contradiction := contradiction_in(expanded)) is not None:
        raise invalid(("serving_policy", contradiction))
    return expanded


def _extra(store: Store, body: PutSlotRequest) -> JsonObject:
    extra: JsonObject = body.model_extra or {}
    in_policy = body.serving_policy.model_extra if body.serving_policy else None
    given = {*extra, *(f"serving_policy.{name}" for name in in_policy or ())}
    if unknown := sorted(given.difference(org_policy(store).slot_fields)):
        raise invalid(*((field, "unknown field") for field in unknown))
    return extra


HANDLERS = (put, get, list_slots, delete)
