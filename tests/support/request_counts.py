"""How many requests typical runs send: exact, by operation. Tests verify this table; the page about performance shows it.

All runs have `APPS` apps, each with a target, a slot and an inference config, and no deployments.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

APPS: Final = 12

_SECTIONS: Final = ("apps.list_targets", "apps.list_slots", "apps.get_inference_config")
_ALL: Final = {"apps.list": 1, **dict.fromkeys(_SECTIONS, APPS)}  # the list of apps, and every declared section
_ONE: Final = {"apps.get": 1, **dict.fromkeys(_SECTIONS, 1)}
_WRITES: Final = ("apps.create", "apps.create_target", "apps.put_slot", "apps.put_inference_config")

REQUEST_COUNTS: Final[Mapping[str, Mapping[str, int]]] = {
    "`plan`, nothing changed": _ALL,
    "`plan --app` of one app, nothing changed": _ONE,
    "`apply`, nothing live yet": {"apps.list": 1, "apps.get": APPS, **dict.fromkeys(_WRITES, APPS)},
    "`apply`, one slot changed": {**_ALL, "apps.deployments": 1, "activity.list": 1, "apps.put_slot": 1},
    "`apply`, nothing changed": _ALL,
    "`status` of one app": {
        "apps.get": 1,
        "apps.list_slots": 1,
        "apps.deployments": 1,
        "apps.health": 1,
        "apps.first_request": 1,
        "apps.routing_stats": 1,
        "apps.activity": 1,
    },
    "`status --short`": {"apps.list": 1, "deployments.list": 1, "activity.list": 1},
    "`status --declared`": {"apps.list": 1},
    "`doctor`": {"apps.list": 1, "activity.list": 1},
    "`export`": {**_ALL, "deployments.list": 1},
    "`watch`, first start": {**_ALL, "activity.list": 1},
    "`watch`, idle, per interval": {"activity.list": 1},
    "`watch`, one slot changed": {**_ONE, "apps.deployments": 1, "apps.put_slot": 1},
    "`watch`, restart": {"activity.list": 1},
}
