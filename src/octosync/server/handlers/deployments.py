"""Deployments: their rows, the devices assigned to them, their progress with server time, and the coverage of slots.

`started` becomes `active` after 60 s, `active` becomes `completed` after another 60 s. A canary starts at 10% and gains 10
percentage points every 60 s; at 100% the deployment is `completed` without a canary, and deployment and slot have the
candidate. `paused` stops the clock of both, `rolled_back` ends them.
"""

from __future__ import annotations

from collections.abc import Sequence

from octosync.model import Address, JsonValue
from octosync.server import response_models
from octosync.server.fleet import Plane, device_counts
from octosync.server.handlers.apps import app_by_slug
from octosync.server.handlers.handler import SYSTEM, Call, handles, record_event
from octosync.server.store import Row, Store, from_json, to_json

STAGE_SECONDS = 60.0
CANARY_STEP = 10  # percent
_NEXT = {"started": "active", "active": "completed"}
SERVING = ("started", "active", "completed")


def deployment_json(row: Row) -> JsonValue:
    """Return the JSON of a deployment; `canary` is null unless one runs."""
    canary: JsonValue = None
    if row["candidate_variant_id"] is not None:
        canary = {"percentage": row["percentage"], "candidate_variant_id": row["candidate_variant_id"]}
    return {
        "id": row["id"],
        "app_id": row["app_id"],
        "capability": row["capability"],
        "environment": row["environment"],
        "status": row["status"],
        "model_variant_id": row["model_variant_id"],
        "app_target_ids": from_json(row["app_target_ids"]),
        "canary": canary,
        "created_at": row["created_at"],
        "updated_at": row["updated_at"],
    }


def live_deployment(store: Store, app: Row, capability: str, environment: str) -> Row | None:
    """Return the deployment of a capability to an environment that is not rolled back; there is at most one."""
    return store.row(
        "SELECT * FROM deployments WHERE app_id = ? AND capability = ? AND environment = ? AND status <> 'rolled_back'",
        *(app["id"], capability, environment),
    )


def insert_deployment(
    plane: Plane, app: Row, capability: str, environment: str, variant_id: str, target_ids: list[str]
) -> Row:
    """Create a deployment, assign the devices of its targets, and start it."""
    store = plane.store
    id_, now = store.new_id("dep"), store.stamp()
    store.insert(
        "deployments",
        id=id_,
        app_id=app["id"],
        capability=capability,
        environment=environment,
        status="started",
        model_variant_id=variant_id,
        app_target_ids=to_json(target_ids),
        since=store.now().timestamp(),
        created_at=now,
        updated_at=now,
    )
    assign_devices(store, app["id"])
    plane.next_change_at = 0.0
    return store.rows("SELECT * FROM deployments WHERE id = ?", id_)[0]


def release_target(store: Store, app_id: str, target_id: str) -> None:
    """Remove a target from `app_target_ids` of all deployments of the app, before the target is deleted."""
    now = store.stamp()
    for row in store.rows("SELECT id, app_target_ids FROM deployments WHERE app_id = ?", app_id):
        targets = from_json(row["app_target_ids"])
        if target_id in targets:
            remaining = to_json([id_ for id_ in targets if id_ != target_id])
            store.update("deployments", row["id"], app_target_ids=remaining, updated_at=now)


def assign_devices(store: Store, app_id: str) -> None:
    """Recompute the devices that are assigned to each deployment of the app, by the deployment's targets.

    A device belongs to a target by platform and identifier (bundle id). A rolled-back deployment has no devices.
    """
    store.run(
        "DELETE FROM assignments WHERE deployment_id IN (SELECT id FROM deployments WHERE app_id = ?)",
        app_id,
    )
    store.run(
        "INSERT INTO assignments SELECT deployments.id, targets.id, device_class, count"
        " FROM deployments, json_each(deployments.app_target_ids) AS reached"
        " JOIN targets ON targets.id = reached.value"
        " JOIN devices ON devices.platform = targets.platform AND devices.identifier = targets.identifier"
        " WHERE deployments.app_id = ? AND status <> 'rolled_back'",
        app_id,
    )


def advance(plane: Plane) -> None:
    """Advance deployments to the current server time, in a transaction of its own; cheap if none is due."""
    now = plane.store.now().timestamp()
    if plane.next_change_at is None or now < plane.next_change_at:
        return
    with plane.store.transaction():
        rows = plane.store.rows("SELECT * FROM deployments WHERE status IN ('started', 'active') ORDER BY seq")
        due_times = [_advance_deployment(plane.store, row, now) for row in rows]
    plane.next_change_at = min((due for due in due_times if due is not None), default=None)


def set_status(plane: Plane, row: Row, status: str) -> None:
    """Pause, resume (`active`), complete or roll back a deployment.

    Completing it completes its canary; a rollback ends its canary and its assignments. Setting its current status does
    nothing.
    """
    store = plane.store
    if status == row["status"]:
        return
    now = store.now().timestamp()
    if status == "completed" and row["candidate_variant_id"] is not None:
        _complete_canary(store, row, {"elapsed": None, "updated_at": store.stamp()})
        return
    changes: dict[str, object] = {"status": status, "updated_at": store.stamp()}
    if status == "paused":
        changes["elapsed"] = now - row["since"] if row["elapsed"] is None else row["elapsed"]
    else:
        changes |= {"since": now - (row["elapsed"] or 0), "elapsed": None}
    if status == "rolled_back":
        changes |= {"candidate_variant_id": None, "percentage": None}
    store.update("deployments", row["id"], **changes)
    assign_devices(store, row["app_id"])
    _record(store, row, status)
    plane.next_change_at = 0.0


def _advance_deployment(store: Store, row: Row, now: float) -> float | None:
    """Advance one deployment; return when it advances next, None for never."""
    stages = int((now - row["since"]) // STAGE_SECONDS)
    if stages < 1:
        return float(row["since"] + STAGE_SECONDS)
    changes: dict[str, object] = {"since": row["since"] + stages * STAGE_SECONDS, "updated_at": store.stamp()}
    if row["candidate_variant_id"] is not None:
        percentage = row["percentage"] + stages * CANARY_STEP
        if percentage >= 100:
            _complete_canary(store, row, changes)
            return None
        store.update("deployments", row["id"], percentage=percentage, **changes)
        return float(row["since"] + (stages + 1) * STAGE_SECONDS)
    status = row["status"]
    for _ in range(min(stages, len(_NEXT))):
        status = _NEXT.get(status, status)
    store.update("deployments", row["id"], status=status, **changes)
    _record(store, row, status)
    return None if status == "completed" else float(row["since"] + (stages + 1) * STAGE_SECONDS)


def _complete_canary(store: Store, row: Row, changes: dict[str, object]) -> None:
    candidate = row["candidate_variant_id"]
    store.update(
        "deployments",
        row["id"],
        status="completed",
        model_variant_id=candidate,
        candidate_variant_id=None,
        percentage=None,
        **changes,
    )
    store.run(
        "UPDATE slots SET model_variant_id = ?, updated_at = ? WHERE app_id = ? AND capability = ?",
        *(candidate, changes["updated_at"], row["app_id"], row["capability"]),
    )
    _record(store, row, "completed")


def _record(store: Store, row: Row, status: str) -> None:
    app = store.rows("SELECT * FROM apps WHERE id = ?", row["app_id"])[0]
    address = Address.of_capability(app["slug"], row["capability"], row["environment"])
    record_event(store, SYSTEM, app, f"deployment.{status}", address, f"Deployment of {address.name} is {status}")


@handles("apps.health", response=response_models.SlotCoverage)
def health(call: Call) -> JsonValue:
    """Return `covered` if every device of the app's targets is assigned, `uncovered` if none is, else `partial`.

    A device counts once, even if it is assigned in several environments. An app without slots is uncovered.
    """
    store = call.store
    app = app_by_slug(store, call.parameters["slug"])
    total = sum(device_counts(store, app).values())
    slots = [
        _slot_coverage(store, app, row["capability"], total)
        for row in store.rows("SELECT capability FROM slots WHERE app_id = ? ORDER BY capability", app["id"])
    ]
    return {"status": _overall([status for status, _ in slots]), "slots": [coverage for _, coverage in slots]}


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
