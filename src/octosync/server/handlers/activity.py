"""The activity feeds of an app and of the org, newest event first. Every write appends an event to their one table."""

from __future__ import annotations

from octosync.model import JsonValue
from octosync.server import response_models
from octosync.server.handlers.apps import app_by_slug
from octosync.server.handlers.handler import Call, event_json, handles, list_page


@handles("apps.activity", response=response_models.Activity, query=("limit", "offset"))
def app_activity(call: Call) -> JsonValue:
    """Return an app's feed."""
    app = app_by_slug(call.store, call.parameters["slug"])
    return list_page(call, "events", "events WHERE app_id = ?", (app["id"],), "seq DESC", event_json)


@handles("activity.list", response=response_models.Activity, query=("limit", "offset"))
def org_activity(call: Call) -> JsonValue:
    """Return the org's feed."""
    return list_page(call, "events", "events", (), "seq DESC", event_json)


HANDLERS = (app_activity, org_activity)
