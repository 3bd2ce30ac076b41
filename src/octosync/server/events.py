"""Events: how a write is recorded. `resource` names the object as an octosync address does: its kind and its name."""

from __future__ import annotations

from octosync.model import Address, JsonValue
from octosync.server.handlers.handler import Actor
from octosync.server.store import Row, Store


def record(  # noqa: PLR0917  an event's six parts, always in this order
    store: Store, actor: Actor, app: Row, type_: str, resource: Address, message: str
) -> None:
    """Append an event, in the transaction of the write that it tells of."""
    store.insert(
        "events",
        id=store.new_id("evt"),
        type=type_,
        app_id=app["id"],
        app_slug=app["slug"],
        resource_type=resource.kind.value,
        resource_key=resource.name,
        actor_type=actor.type,
        actor_id=actor.id,
        actor_name=actor.name,
        message=message,
        created_at=store.stamp(),
    )


def event_json(row: Row) -> JsonValue:
    """Return an event as the wire shows it."""
    actor: dict[str, JsonValue] = {"type": row["actor_type"], "id": row["actor_id"]}
    if row["actor_name"] is not None:
        actor["name"] = row["actor_name"]
    return {
        "id": row["id"],
        "type": row["type"],
        "app_id": row["app_id"],
        "app_slug": row["app_slug"],
        "resource": {"type": row["resource_type"], "key": row["resource_key"]},
        "actor": actor,
        "message": row["message"],
        "created_at": row["created_at"],
    }
