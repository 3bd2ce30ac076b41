"""Reads of apps, targets, slots and inference configs, as values of the model.

A response is validated against its wire model, and its unknown fields are kept. A read returns everything or raises. The
first request of a read takes a permit from the reservation `within`; if none is left, it goes before all other requests.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping

from octosync.contract import ErrorCode, normalise_app_fields, normalise_slot_fields
from octosync.contract.responses import WireApp, WireSlot, WireTarget
from octosync.model import App, InferenceConfig, JsonObject, JsonValue, Slot, Target
from octosync.octomil.client import Octomil
from octosync.octomil.pagination import (
    CompleteList,
    ReadResult,
    path_segment,
    read_list,
    read_page,
    text_field,
    translator_for,
    validate_object,
)
from octosync.octomil.rate_limit import Reservation


async def read_app(
    client: Octomil, slug: str, *, needed: Collection[str] = (), within: Reservation | None = None
) -> ReadResult[App | None]:
    """Read an app by its slug, archived or not; None only if the control plane reports that there is no such app.

    Every app has a name: if `name` is one of the `needed` fields, a response without it is unreadable, not a difference.
    """
    response = await client.call(
        "apps.get", {"slug": slug}, absent=lambda missing: missing.code == ErrorCode.APP_NOT_FOUND, within=within
    )
    if response.is_absence:
        return ReadResult(None, response.sent_at)
    app = _app(client, "apps.get", response.body, response.request_id)
    if app.slug != slug:
        raise translator_for(client, "apps.get").wrong_shape(
            f"asked for app {slug}, got {app.slug}", response.request_id
        )
    if "name" in needed and "name" not in app.fields:
        raise translator_for(client, "apps.get").wrong_shape("field name is missing", response.request_id)
    return ReadResult(app, response.sent_at)


async def read_apps(client: Octomil, *, archived: bool = False) -> ReadResult[dict[str, App]]:
    """Read the org's apps, by slug in slug order.

    Archived apps are hidden unless they are requested (assumed to be possible): a missing app may be archived.
    """
    query = {"include_archived": "true"} if archived else {}
    # An invalid slug affects its own app only: no declared app can have it, and the client quotes slugs in paths.
    listing = await _listing(client, "apps.list", {}, shape="app", key="slug", query=query, name=text_field)
    apps = [_app(client, "apps.list", item, listing.request_id) for item in listing.items]
    return ReadResult({app.slug: app for app in sorted(apps, key=lambda app: app.slug)}, listing.sent_at)


async def read_targets(
    client: Octomil, slug: str, *, within: Reservation | None = None
) -> ReadResult[tuple[Target, ...]]:
    """Read an app's targets, in the order of their unique keys."""
    listing = await _listing(client, "apps.list_targets", {"slug": slug}, shape="target", key="id", within=within)
    targets = [_target(client, slug, item, listing.request_id) for item in listing.items]
    return ReadResult(
        tuple(sorted(targets, key=lambda target: (target.unique_key, str(target.server_fields)))), listing.sent_at
    )


async def read_slots(client: Octomil, slug: str, *, within: Reservation | None = None) -> ReadResult[tuple[Slot, ...]]:
    """Read an app's slots, in the order of their capabilities.

    A slot that the list shows without its serving policy or its bindings is read individually.
    """
    listing = await _listing(client, "apps.list_slots", {"slug": slug}, shape="slot", key="capability", within=within)
    listed = [_slot(client, "apps.list_slots", slug, item, listing.request_id) for item in listing.items]
    # A PUT replaces both as a whole (stated). A list that omits one may be a summary, which the stated "each pairs a
    # capability with an active variant and a serving policy" allows: a PUT built from it would lose the omitted part.
    slots = [
        slot
        if item.get("serving_policy") is not None and item.get("bindings") is not None
        else await read_slot(client, slug, slot.capability, within=within)
        for slot, item in zip(listed, listing.items, strict=True)
    ]
    existing = (slot for slot in slots if slot is not None)
    return ReadResult(tuple(sorted(existing, key=lambda slot: slot.capability)), listing.sent_at)


async def read_slots_page(client: Octomil, slug: str) -> tuple[tuple[Slot, ...], bool]:
    """Read an app's slots with one request, as the list shows them; return them, and whether these are all.

    They are for display only: a write needs `read_slots`.
    """
    page = await read_page(client, "apps.list_slots", {"slug": slug}, plural=client.contract.shapes["slot"].plural)
    slots = (_slot(client, "apps.list_slots", slug, item, page.request_id) for item in page.items)
    return tuple(sorted(slots, key=lambda slot: slot.capability)), page.is_last(0)


async def read_slot(client: Octomil, slug: str, capability: str, *, within: Reservation | None = None) -> Slot | None:
    """Read one slot; None if the app exists and has no slot for the capability."""
    parameters = {"slug": slug, "capability": capability}
    response = await client.call(
        "apps.get_slot",
        parameters,
        absent=lambda missing: missing.code == ErrorCode.CAPABILITY_NOT_CONFIGURED,
        within=within,
    )
    if response.is_absence:
        return None
    slot = _slot(client, "apps.get_slot", slug, response.body, response.request_id)
    if slot.capability != capability:
        problem = f"asked for slot {capability}, got {slot.capability}"
        raise translator_for(client, "apps.get_slot").wrong_shape(problem, response.request_id)
    return slot


async def read_inference_config(
    client: Octomil, slug: str, *, within: Reservation | None = None
) -> ReadResult[InferenceConfig]:
    """Read an app's inference config; `config` is None if there is none.

    The control plane reports that with a 404 of any code but `app_not_found`, with `null` or with an empty body.
    """
    response = await client.call(
        "apps.get_inference_config",
        {"slug": slug},
        absent=lambda missing: missing.code != ErrorCode.APP_NOT_FOUND,
        within=within,
    )
    config = response.body
    if config is not None and not isinstance(config, Mapping):
        raise translator_for(client, "apps.get_inference_config").wrong_shape(
            "it is not an object", response.request_id
        )
    return ReadResult(InferenceConfig(app=slug, config=config), response.sent_at)


async def _listing(
    client: Octomil,
    operation_id: str,
    parameters: Mapping[str, str],
    *,
    shape: str,
    key: str,
    query: Mapping[str, str] | None = None,
    within: Reservation | None = None,
    name: Callable[[JsonObject, str], str | None] = path_segment,
) -> CompleteList:
    """Read a complete list of objects of one shape; `name` returns an object's name from its field `key`, None if invalid."""
    return await read_list(
        client,
        operation_id,
        parameters,
        plural=client.contract.shapes[shape].plural,
        identify=lambda item: name(item, key),
        query=query,
        within=within,
    )


def _app(client: Octomil, operation_id: str, body: JsonValue, request_id: str | None) -> App:
    raw = validate_object(client, operation_id, WireApp, body, request_id)
    fields, server_fields = client.contract.shapes["app"].split(raw)
    return App(
        slug=str(raw["slug"]),
        fields=normalise_app_fields(fields),
        archived=bool(raw.get("archived_at")),
        server_fields=server_fields,
    )


def _target(client: Octomil, slug: str, body: JsonValue, request_id: str | None) -> Target:
    raw = validate_object(client, "apps.list_targets", WireTarget, body, request_id)
    server_fields = {key: value for key, value in raw.items() if key not in {"platform", "identifier"}}
    return Target(
        app=slug, platform=str(raw["platform"]), identifier=str(raw["identifier"]), server_fields=server_fields
    )


def _slot(client: Octomil, operation_id: str, slug: str, body: JsonValue, request_id: str | None) -> Slot:
    raw = validate_object(client, operation_id, WireSlot, body, request_id)
    fields, server_fields = client.contract.shapes["slot"].split(raw)
    return Slot(
        app=slug, capability=str(raw["capability"]), fields=normalise_slot_fields(fields), server_fields=server_fields
    )
