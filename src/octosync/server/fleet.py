"""The fleet: the devices that were seen, and which of an app's targets they belong to, by platform and identifier."""

from __future__ import annotations

from octosync.contract import PLATFORMS
from octosync.model import JsonObject
from octosync.server.orchestrator import ASSUMED_CLASS, Fleet
from octosync.server.store import Row, Store

_JOIN = (
    " FROM targets JOIN devices ON devices.platform = targets.platform AND devices.identifier = targets.identifier"
    " WHERE targets.app_id = ?"
)


def targets_of(store: Store, app: Row) -> list[Row]:
    """Return an app's targets in the order of their registration."""
    return store.rows("SELECT * FROM targets WHERE app_id = ? ORDER BY seq", app["id"])


def fleet_of(store: Store, app: Row) -> Fleet:
    """Return the devices of an app's targets; where there are none, one `mid` device a platform (all, without targets)."""
    rows = store.rows(
        f"SELECT targets.platform, device_class, sum(count) AS devices{_JOIN} GROUP BY 1, 2 ORDER BY 1, 2",
        app["id"],
    )
    if rows:
        return Fleet({(row["platform"], row["device_class"]): row["devices"] for row in rows})
    platforms = sorted({row["platform"] for row in targets_of(store, app)}) or PLATFORMS
    return Fleet(dict.fromkeys(((platform, ASSUMED_CLASS) for platform in platforms), 1), assumed=True)


def device_counts(store: Store, app: Row) -> dict[str, int]:
    """Return how many devices each of an app's targets has."""
    seen = store.rows(f"SELECT targets.id, sum(count) AS devices{_JOIN} GROUP BY 1", app["id"])
    counts = {row["id"]: row["devices"] for row in seen}
    return {target["id"]: counts.get(target["id"], 0) for target in targets_of(store, app)}


def add_devices(store: Store, platform: str, identifier: str, device_class: str, count: int) -> JsonObject:
    """Let devices be seen; return all of that platform, identifier and class."""
    store.run(
        "INSERT INTO devices VALUES (?, ?, ?, ?)"
        " ON CONFLICT (platform, identifier, device_class) DO UPDATE SET count = count + excluded.count",
        *(platform, identifier, device_class, count),
    )
    total = store.number(
        "SELECT count FROM devices WHERE platform = ? AND identifier = ? AND device_class = ?",
        *(platform, identifier, device_class),
    )
    return {"platform": platform, "identifier": identifier, "device_class": device_class, "count": total}
