"""Routing: the recorded inference requests and their totals.

A request is served `local`, on the device, or by the `cloud`; `POST /_local/requests` adds some.
"""

from __future__ import annotations

from octosync.model import JsonObject, JsonValue
from octosync.server import response_models
from octosync.server.handlers.apps import app_by_slug
from octosync.server.handlers.handler import Call, handles, list_page
from octosync.server.handlers.slots import find_slot
from octosync.server.store import Row, Store

ROUTES = ("local", "cloud")


@handles("apps.routing_decisions", response=response_models.RoutingDecisions, query=("limit", "offset"))
def decisions(call: Call) -> JsonValue:
    """List an app's routing decisions, newest first."""
    app = app_by_slug(call.store, call.parameters["slug"])
    return list_page(call, "decisions", "inference_requests WHERE app_id = ?", (app["id"],), "seq DESC", _decision_json)


@handles("apps.routing_stats", response=response_models.RoutingStats)
def stats(call: Call) -> JsonValue:
    """Return the number of an app's requests by route, and their mean latency in milliseconds (null without requests)."""
    store = call.store
    app = app_by_slug(store, call.parameters["slug"])
    capabilities = store.rows(
        "SELECT DISTINCT capability FROM inference_requests WHERE app_id = ? ORDER BY 1", app["id"]
    )
    by_capability = [
        {"capability": row["capability"], **_sums(store, app, "AND capability = ?", row["capability"])}
        for row in capabilities
    ]
    return {**_sums(store, app), "by_capability": by_capability}


@handles("apps.first_request", response=response_models.FirstRequest)
def first_request(call: Call) -> JsonValue:
    """Return whether the app has received a request, by either route, and the time of the first one."""
    store = call.store
    app = app_by_slug(store, call.parameters["slug"])
    first = store.row("SELECT * FROM inference_requests WHERE app_id = ? ORDER BY seq LIMIT 1", app["id"])
    sums = _sums(store, app)
    return {
        "received": first is not None,
        "first_request_at": None if first is None else first["created_at"],
        "cloud_requests": sums["cloud_requests"],
        "local_requests": sums["local_requests"],
    }


def record_requests(store: Store, app: Row, capability: str, route: str, *, latency_ms: float, count: int) -> None:
    """Add `count` identical requests of an app, served by the slot's variant."""
    slot = find_slot(store, app, capability)
    variant = None if slot is None else slot["model_variant_id"]
    now, first = store.stamp(), store.new_id("rte")
    store.insert_many(
        "INSERT INTO inference_requests (id, app_id, capability, route, model_variant_id, latency_ms, created_at)"
        " VALUES (?, ?, ?, ?, ?, ?, ?)",
        [(f"{first}{n:05d}", app["id"], capability, route, variant, latency_ms, now) for n in range(count)],
    )


def _decision_json(row: Row) -> JsonValue:
    keys = ("id", "app_id", "capability", "route", "model_variant_id", "latency_ms", "created_at")
    return {key: row[key] for key in keys}


def _sums(store: Store, app: Row, condition: str = "", *values: object) -> JsonObject:
    row = store.rows(
        "SELECT count(*) AS total, count(*) FILTER (WHERE route = 'local') AS local, avg(latency_ms) AS latency"  # noqa: S608  the code's own text
        f" FROM inference_requests WHERE app_id = ? {condition}",
        *(app["id"], *values),
    )[0]
    return {
        "total_requests": row["total"],
        "local_requests": row["local"],
        "cloud_requests": row["total"] - row["local"],
        "average_latency_ms": None if row["latency"] is None else round(row["latency"], 3),
    }


HANDLERS = (decisions, stats, first_request)
