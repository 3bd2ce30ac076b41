"""The JSON Schema (2020-12) of `/api/status`, for whoever reads it.

A new minor of `format_version` adds keys, so a key that is not described here is no mistake. Changes, refusals,
recommendations and diagnostics are the plan's, and described as there.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from octosync.model import JsonObject, JsonValue, Status
from octosync.plan import plan_schema
from octosync.watch.settings import WriteMode
from octosync.watch.standing import AppState
from octosync.watch.web.document import STATUS_FORMAT_VERSION

_TEXT: Final[JsonObject] = {"type": "string"}
_MAYBE_TEXT: Final[JsonObject] = {"type": ["string", "null"]}
_COUNT: Final[JsonObject] = {"type": "integer", "minimum": 0}
_FLAG: Final[JsonObject] = {"type": "boolean"}
_TIME: Final[JsonObject] = {"type": "string", "format": "date-time"}
_MAYBE_TIME: Final[JsonObject] = {"type": ["string", "null"], "format": "date-time"}
_SECONDS: Final[JsonObject] = {"type": "number", "minimum": 0}
_ADDRESS: Final[JsonObject] = {"$ref": "#/$defs/address"}


def watch_schema() -> JsonObject:
    """Return the schema of the whole document."""
    planned = plan_schema()
    rows = planned["properties"]
    assert isinstance(rows, Mapping)  # noqa: S101 — as it is written there
    app: dict[str, JsonObject] = {
        **_APP,
        "blocked": _said("What guards refuse, with the ways out.", rows["blocked"]),
        "resource_changes": {
            "description": "What its latest plan comes to; null before the first.",
            "anyOf": [rows["resource_changes"], {"type": "null"}],
        },
        "recommendations": _said("Better variants that are not rolled out.", rows["recommendations"]),
    }
    manifests = _object(
        "What was loaded. `valid` false: `error` or `diagnostics` say why, and the last good ones are in force.",
        {
            "valid": _FLAG,
            "files": _COUNT,
            "revision": _MAYBE_TEXT,
            "loaded_at": _MAYBE_TIME,
            "changed_at": _MAYBE_TIME,
            "error": _or_null(_object("Why they can't be read at all.", _ERROR)),
            "diagnostics": _said("What was found in them.", rows["diagnostics"]),
        },
    )
    document = {**_DOCUMENT, "manifests": manifests, "apps": _list(_object("One app, in order of slugs.", app))}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "octosync watch status",
        **_object("How everything stands, as `octosync watch` answers it at /api/status.", document),
        "$defs": planned["$defs"],
    }


def _said(about: str, shape: JsonValue) -> JsonObject:
    return {"description": about, **shape} if isinstance(shape, Mapping) else {"description": about}


def _object(about: str, fields: Mapping[str, JsonObject]) -> JsonObject:
    return {"description": about, "type": "object", "properties": fields, "required": list(fields)}


def _or_null(shape: JsonObject) -> JsonObject:
    return {"anyOf": [shape, {"type": "null"}]}


def _list(item: JsonObject) -> JsonObject:
    return {"type": "array", "items": item}


def _one_of(*values: str) -> JsonObject:
    return {"type": "string", "enum": list(values)}


_HOLD: Final = _object(
    "That a person holds an app's drift.", {"app": _TEXT, "until": _TIME, "reason": _TEXT, "at": _TIME}
)

_DRIFT: Final = _object(
    "One object that somebody changed: who and when as far as the feed tells. `until` null: it is not changed back by itself.",
    {
        "address": _ADDRESS,
        "actor": _MAYBE_TEXT,
        "at": _MAYBE_TIME,
        "first_seen": _TIME,
        "until": _MAYBE_TIME,
        "contested": _FLAG,
        "heals": _COUNT,
    },
)

_CANARY: Final = _object(
    "A rollout under way; `percentage` of the devices have the candidate.",
    {
        "address": _ADDRESS,
        "deployment": _TEXT,
        "status": _TEXT,
        "variant": _MAYBE_TEXT,
        "candidate": _MAYBE_TEXT,
        "percentage": {"type": ["number", "null"]},
    },
)

_COVERAGE: Final = _object(
    "An enabled capability whose deployments don't reach all devices; null is what the control plane doesn't state.",
    {
        "capability": _TEXT,
        "status": _TEXT,
        "covered_devices": {"type": ["integer", "null"], "minimum": 0},
        "total_devices": {"type": ["integer", "null"], "minimum": 0},
    },
)

_ERROR: Final[Mapping[str, JsonObject]] = {"reference": _TEXT, "message": _TEXT, "hints": _list(_TEXT)}

_APP: Final[Mapping[str, JsonObject]] = {
    "slug": _TEXT,
    "state": _one_of(*(state.value for state in AppState)),
    "since": _MAYBE_TIME,
    "read_at": _MAYBE_TIME,
    "source": _said("The file that declares it.", _MAYBE_TEXT),
    "error": _or_null(_object("Why it fails.", _ERROR)),
    "next_try": _MAYBE_TIME,
    "why_waiting": _MAYBE_TEXT,
    "frozen_until": _MAYBE_TIME,
    "hold": _or_null(_HOLD),
    "run": _said("The last run that wrote to it.", _MAYBE_TEXT),
    "drift": _list(_DRIFT),
    "canaries": _list(_CANARY),
    "uncovered": _list(_COVERAGE),
}

_OUTCOME: Final = _object(
    "What became of one action.",
    {
        "address": _ADDRESS,
        "action": _TEXT,
        "status": _one_of(*(status.value for status in Status)),
        "message": _TEXT,
        "reference": _TEXT,
        "hints": _list(_TEXT),
        "request_ids": _list(_TEXT),
    },
)

_BLOCKED_SET: Final = _object(
    "What one guard blocks of one change, in all its apps: it is approved as a whole.",
    {
        "guard": _TEXT,
        "message": _TEXT,
        "apps": _list(_TEXT),
        "addresses": _list(_ADDRESS),
        "actions": _said("How many actions can be approved.", _COUNT),
        "seen": _said("The digest that names this very set; null where nothing can be approved.", _MAYBE_TEXT),
        "approve": _said("The POST that approves exactly this set, once; null where none can.", _MAYBE_TEXT),
    },
)

_RUN: Final = _object(
    "One of the last runs, newest first; `ended` null: under way.",
    {
        "run": _TEXT,
        "apps": _list(_TEXT),
        "why": _MAYBE_TEXT,
        "started": _TIME,
        "ended": _MAYBE_TIME,
        "actions": _COUNT,
        "outcomes": _list(_OUTCOME),
    },
)

_DOCUMENT: Final[Mapping[str, JsonObject]] = {
    "format_version": {"const": STATUS_FORMAT_VERSION},
    "octosync_version": _TEXT,
    "timestamp": _TIME,
    "started": _TIME,
    "sentence": _said("How everything stands, for people.", _TEXT),
    "mode": _said("What is written by itself (`--heal`).", _one_of(*(heal.value for heal in WriteMode))),
    "healthy": _FLAG,
    "ready": _FLAG,
    "can_post": _said("Whether there is an admin token, so that POSTs are taken.", _FLAG),
    "control_plane": _object("Where.", {"url": _TEXT, "org_id": _MAYBE_TEXT, "context": _MAYBE_TEXT}),
    "alarms": _object(
        "The problems that stop everything, and those of the feed and of coverage: a sentence each, or null.",
        dict.fromkeys(
            (
                "credential",
                "outage",
                "unreadable",
                "throttled",
                "state_locked",
                "key_unusable",
                "state_damaged",
                "feed_off",
                "coverage_unread",
            ),
            _MAYBE_TEXT,
        ),
    ),
    "suspended": _or_null(_object("That everything is suspended.", {"at": _TIME, "reason": _TEXT})),
    "holds": _list(_HOLD),
    "counts": _object("How many apps are in each state.", {state.value: _COUNT for state in AppState}),
    "unmanaged": _said("Apps that no manifest declares; null where that was not read.", {"type": ["integer", "null"]}),
    "budget": _object(
        "Requests of the current window; `limit` 0: none.",
        {
            "limit": _COUNT,
            "used": _COUNT,
            "remaining": _COUNT,
            "throttled_until": _MAYBE_TIME,
            "throttled_seconds": _SECONDS,
        },
    ),
    "queue": {"description": "How many apps wait, by priority.", "type": "object", "additionalProperties": _COUNT},
    "full_read": _object(
        "The last and the next read of everything; `done` of `total` apps where one is under way.",
        {
            "ended_at": _MAYBE_TIME,
            "next_at": _MAYBE_TIME,
            "due_at": _MAYBE_TIME,
            "done": _COUNT,
            "total": _COUNT,
            "resync_seconds": _SECONDS,
            "resync_in_fact_seconds": {"type": ["number", "null"]},
        },
    ),
    "blocked": _list(_BLOCKED_SET),
    "last_success": _MAYBE_TIME,
    "runs": _list(_RUN),
}
