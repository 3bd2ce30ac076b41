"""Apps: create, list, get, update, archive, and the activity feeds of an app and of the org.

A slug is unique in the org forever; an archived app can't be restored. Every write appends an event to the feeds, which are
one table, newest event first.
"""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from octosync.contract import APP
from octosync.model import Address, JsonObject, JsonValue
from octosync.server import response_models
from octosync.server.errors import app_archived, app_not_found, conflict
from octosync.server.handlers.handler import Call, event_json, handles, handles_body, list_page, record_event
from octosync.server.store import Row, Store
from octosync.server.validation import Body

SLUG_PATTERN = "^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$"
MAX_NAME = 255


class CreateAppRequest(Body):
    """The body of `apps.create`."""

    read_only: ClassVar[frozenset[str]] = APP.read_only - {"slug"}
    slug: str = Field(pattern=SLUG_PATTERN)
    name: str = Field(min_length=1, max_length=MAX_NAME)
    description: str | None = None


class UpdateAppRequest(Body):
    """The body of `apps.update`: absent fields don't change, a null `description` is removed."""

    read_only: ClassVar[frozenset[str]] = APP.read_only
    name: str = Field(default="", min_length=1, max_length=MAX_NAME)
    description: str | None = None


def app_by_slug(store: Store, slug: str) -> Row:
    """Return an app, archived or not. Raises 404."""
    app = store.row("SELECT * FROM apps WHERE slug = ?", slug)
    if app is None:
        raise app_not_found(slug)
    return app


def writable_app(store: Store, slug: str) -> Row:
    """Return an app that is not archived. Raises 404, or 409 if it is archived."""
    app = app_by_slug(store, slug)
    if app["archived_at"] is not None:
        raise app_archived(slug, app["archived_at"])
    return app


def insert_app(call: Call, slug: str, fields: JsonObject) -> Row:
    """Create an app. Raises 409 if an app, archived or not, has the slug."""
    store = call.store
    held = store.row("SELECT archived_at FROM apps WHERE slug = ?", slug)
    if held is not None:
        state = "an archived app" if held["archived_at"] else "an app"
        raise conflict(f"The slug '{slug}' is taken by {state}", app_slug=slug, archived_at=held["archived_at"])
    now = store.stamp()
    store.insert(
        "apps",
        id=store.new_id("app"),
        slug=slug,
        **fields,
        created_at=now,
        updated_at=now,
    )
    app = app_by_slug(store, slug)
    record_event(store, call.actor, app, "app.created", Address.of_app(slug), f"Created app {slug}")
    return app


def app_json(call: Call, row: Row) -> JsonValue:
    """Return the JSON of an app."""
    return {
        "id": row["id"],
        "org_id": call.plane.settings.org_id,
        "slug": row["slug"],
        **{name: row[name] for name in APP.writable},
        "archived_at": row["archived_at"],
        "created_at": row["created_at"],
        "updated_at": row["updated_at"],
    }


@handles_body("apps.create", CreateAppRequest, response=response_models.App, status=201)
def create(call: Call, body: CreateAppRequest) -> JsonValue:
    """Create an app."""
    return app_json(call, insert_app(call, body.slug, {name: getattr(body, name) for name in APP.writable}))


@handles("apps.list", response=response_models.Apps, query=("limit", "offset", "include_archived"))
def list_apps(call: Call) -> JsonValue:
    """List apps in the order of their creation, archived ones only with `include_archived=true`."""
    source = "apps" if call.flag("include_archived") else "apps WHERE archived_at IS NULL"
    return list_page(call, "apps", source, (), "seq", lambda row: app_json(call, row))


@handles("apps.get", response=response_models.App)
def get(call: Call) -> JsonValue:
    """Return an app, archived or not."""
    return app_json(call, app_by_slug(call.store, call.parameters["slug"]))


@handles_body("apps.update", UpdateAppRequest, response=response_models.App)
def update(call: Call, body: UpdateAppRequest) -> JsonValue:
    """Update the fields of the body; without a change there is no event and no new `updated_at`."""
    store, slug = call.store, call.parameters["slug"]
    app = writable_app(store, slug)
    changes = {name: getattr(body, name) for name in APP.writable if name in body.model_fields_set}
    changes = {name: value for name, value in changes.items() if value != app[name]}
    if changes:
        store.update("apps", app["id"], **changes, updated_at=store.stamp())
        message = f"Changed {', '.join(changes)} of app {slug}"
        record_event(store, call.actor, app, "app.updated", Address.of_app(slug), message)
    return app_json(call, app_by_slug(store, slug))


@handles("apps.archive", response=response_models.App)
def archive(call: Call) -> JsonValue:
    """Archive an app permanently. Its targets and slots stay, and no other app can use its slug or its targets' identifiers."""
    store, slug = call.store, call.parameters["slug"]
    app = writable_app(store, slug)
    now = store.stamp()
    store.run("UPDATE apps SET archived_at = ?, updated_at = ? WHERE id = ?", now, now, app["id"])
    record_event(store, call.actor, app, "app.archived", Address.of_app(slug), f"Archived app {slug}")
    return app_json(call, app_by_slug(store, slug))


@handles("apps.activity", response=response_models.Activity, query=("limit", "offset"))
def app_activity(call: Call) -> JsonValue:
    """Return an app's feed."""
    app = app_by_slug(call.store, call.parameters["slug"])
    return list_page(call, "events", "events WHERE app_id = ?", (app["id"],), "seq DESC", event_json)


@handles("activity.list", response=response_models.Activity, query=("limit", "offset"))
def org_activity(call: Call) -> JsonValue:
    """Return the org's feed."""
    return list_page(call, "events", "events", (), "seq DESC", event_json)


HANDLERS = (create, list_apps, get, update, archive, app_activity, org_activity)
