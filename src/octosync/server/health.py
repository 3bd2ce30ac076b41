"""Health: has each slot enough coverage, by its deployments that serve and the devices assigned to them."""

from __future__ import annotations

from collections.abc import Sequence

from octosync.model import JsonValue
from octosync.server import response_models
from octosync.server.fleet import device_counts
from octosync.server.handlers.apps import app_by_slug
from octosync.server.handlers.deployments import SERVING
from octosync.server.handlers.handler import Call, handles
from octosync.server.store import Row, Store, to_json


@handles("apps.health", answer=response_models.SlotCoverage)
def health(call: Call) -> JsonValue:
    """Answer `covered` where every device of the app's targets is assigned, `uncovered` where none is, else `partial`.

    A device counts once, in however many environments it is assigned. An app without slots is uncovered.
    """
    store = call.store
    app = app_by_slug(store, call.parameters["slug"])
    total = sum(device_counts(store, app).values())
    slots = [
        _slot_coverage(store, app, row["capability"], total)
        for row in store.rows("SELECT capability FROM slots WHERE app_id = ? ORDER BY capability", app["id"])
    ]
    return {"status": _overall([status for status, _ in slots]), "slots": [shown for _, shown in slots]}


def _slot_coverage(store: Store, app: Row, capability: str, total: int) -> tuple[str, JsonValue]:
    scope = (app["id"], capability, to_json(SERVING))
    of_slot = "app_id = ? AND capability = ? AND status IN (SELECT value FROM json_each(?))"
    active = store.number(f"SELECT count(*) FROM deployments WHERE {of_slot}", *scope)  # noqa: S608  a constant
    covered = store.number(
        "SELECT sum(devices) FROM (SELECT max(device_count) AS devices FROM assignments JOIN deployments"  # noqa: S608  likewise
        f" ON deployments.id = deployment_id AND {of_slot} GROUP BY target_id, device_class)",
        *scope,
    )
    status = "uncovered" if not covered else "covered" if covered == total else "partial"
    return status, {
        "capability": capability,
        "status": status,
        "active_deployments": active,
        "covered_devices": covered,
        "total_devices": total,
    }


def _overall(statuses: Sequence[str]) -> str:
    distinct = set(statuses)
    if len(distinct) == 1:
        return distinct.pop()
    return "partial" if distinct else "uncovered"


HANDLERS = (health,)
