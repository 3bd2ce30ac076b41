"""The JSON Schema (2020-12) of a plan's document, for whoever reads `octosync plan -o json` or a plan file.

A new minor of `format_version` adds keys, so a key that is not described here is no mistake.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from octosync.model import JsonObject, JsonValue, Kind, Reason, Severity
from octosync.plan.actions import Verb
from octosync.plan.document import FORMAT_VERSION, NO_OP

_TEXT: Final[JsonObject] = {"type": "string"}
_COUNT: Final[JsonObject] = {"type": "integer", "minimum": 0}
_FLAG: Final[JsonObject] = {"type": "boolean"}
_TIME: Final[JsonObject] = {"type": "string", "format": "date-time"}
_ADDRESS: Final[JsonObject] = {"$ref": "#/$defs/address"}
_RATIOS: Final[JsonObject] = {"type": "object", "additionalProperties": {"type": "number"}}


def plan_schema() -> JsonObject:
    """Return the schema of the whole document."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "octosync plan",
        **_object("What `octosync apply` would do, and why.", _DOCUMENT),
        "$defs": _DEFINITIONS,
    }


def _object(about: str, fields: Mapping[str, JsonObject], *, optional: tuple[str, ...] = ()) -> JsonObject:
    required: list[JsonValue] = [name for name in fields if name not in optional]
    return {"description": about, "type": "object", "properties": fields, "required": required}


def _about(about: str, shape: JsonObject) -> JsonObject:
    return {"description": about, **shape}


def _nullable(shape: JsonObject) -> JsonObject:
    type_ = shape.get("type")
    if isinstance(type_, str) and "enum" not in shape:
        return {**shape, "type": [type_, "null"]}
    return {"anyOf": [shape, {"type": "null"}]}


def _list(item: JsonObject) -> JsonObject:
    return {"type": "array", "items": item}


def _one_of(*values: str) -> JsonObject:
    return {"type": "string", "enum": list(values)}


_ORIGIN: Final = _object(
    "Where it is declared.",
    {"file": _TEXT, "line": _nullable(_COUNT), "column": _nullable(_COUNT)},
)

_RANGE: Final = _object(
    "Where it is, null where it has no place.",
    {"filename": _TEXT, "start": _object("From where.", {"line": _COUNT, "column": _nullable(_COUNT)})},
)

_CHANGE: Final = _object(
    "What changes.",
    {
        "actions": _about("What is done: one of them.", _list(_one_of(*(verb.value for verb in Verb), NO_OP))),
        "before": _about("Live, null where it is not there; sensitive values are null.", {}),
        "after": _about("As declared, null where it is to go; sensitive values are null.", {}),
        "fields": _about(
            "Field by field.",
            _list(
                _object(
                    "One field.",
                    {
                        "path": _about("The wire's names.", _list({"type": ["string", "integer"]})),
                        "before": {},
                        "after": {},
                        "sensitive": _about("Whether a value is hidden.", _FLAG),
                    },
                )
            ),
        ),
    },
)

_LAST_CHANGE: Final = _object(
    "Who changed it last, as far as the activity feed tells.",
    {
        "actor": _nullable(_TEXT),
        "at": _nullable(_TIME),
        "event": _about("The event's id.", _nullable(_TEXT)),
        "of": _about("Whether the event is about the object or only its app.", _one_of("object", "app")),
    },
)

_PREVIEW: Final = _object(
    "What Octomil says that enabling or optimizing would do; `why` it says nothing where it does not.",
    {
        "variant": _nullable(_TEXT),
        "device_count": _nullable(_COUNT),
        "assignments": _list(_object("Devices of a platform.", {"platform": _TEXT, "device_count": _nullable(_COUNT)})),
        "warnings": _list(_TEXT),
        "why": _nullable(_TEXT),
        "reason": _nullable(_TEXT),
        "note": _nullable(_TEXT),
        "expected_improvement": _RATIOS,
    },
    optional=("device_count", "assignments", "warnings", "why", "reason", "note", "expected_improvement"),
)

_RESOURCE_CHANGE: Final = _object(
    "One change of one object.",
    {
        "address": _ADDRESS,
        "app": _about("The app's slug.", _TEXT),
        "type": _about("What kind of object it is.", _one_of(*(kind.value for kind in Kind))),
        "name": _TEXT,
        "labels": _about("The app's labels.", {"type": "object"}),
        "change": {"$ref": "#/$defs/change"},
        "action_reason": _about("Why it is planned.", _nullable(_one_of(*(reason.value for reason in Reason)))),
        "drift": _nullable({"$ref": "#/$defs/last_change"}),
        "held_until": _about("Until when fresh drift is left alone.", _nullable(_TIME)),
        "held": _about("True where it is left alone without an end: `held_until` is null then.", _FLAG),
        "operation": _nullable(_object("The request that apply sends.", {"id": _TEXT, "method": _TEXT, "path": _TEXT})),
        "preview": _nullable({"$ref": "#/$defs/preview"}),
        "depends_on": _about("What has to happen before.", _list(_ADDRESS)),
        "destructive": _about("Whether something is lost for good.", _FLAG),
        "source": _nullable(_ORIGIN),
    },
    optional=("held",),
)

_DIAGNOSTIC: Final = _object(
    "One thing to know, from the manifests or from what is live.",
    {
        "severity": _one_of(*(severity.value for severity in Severity)),
        "rule": _about("`octosync explain RULE` says what it means.", _TEXT),
        "summary": _TEXT,
        "range": _nullable(_RANGE),
        "path": _TEXT,
        "suggestion": _TEXT,
        "notes": _list(_TEXT),
    },
    optional=("path", "suggestion", "notes"),
)

_LEFT_ALONE: Final = _object(
    "What is not touched, and would be told otherwise.",
    {
        "orphan_apps": _about("Apps that the base declared and the manifests no longer do.", _list(_TEXT)),
        "unmanaged_apps": _about("Live apps that nobody declares; null where no list was read.", _nullable(_COUNT)),
        "suspended": _list({}),
        "stale": _about("What has moved on since the base: this branch is to be rebased.", _list({})),
        "released": _about("Sections that are no longer declared, and left as they are.", _list({})),
        "held": _about("Fresh drift.", _list({})),
        "unknown_targets": _about("Targets on platforms that octosync doesn't know.", _list(_ADDRESS)),
        "undeclared_deployments": _list(_ADDRESS),
        "rolled_back": _list(_ADDRESS),
    },
)

_DEFINITIONS: Final[JsonObject] = {
    "address": _about(
        "app/<slug>, app/<slug>/target/<platform>:<identifier>, app/<slug>/slot/<capability>, app/<slug>/inference-config "
        "or app/<slug>/capability/<capability>@<environment>.",
        {"type": "string", "pattern": "^app/"},
    ),
    "change": _CHANGE,
    "last_change": _LAST_CHANGE,
    "preview": _PREVIEW,
    "resource_change": _RESOURCE_CHANGE,
    "diagnostic": _DIAGNOSTIC,
}

_DOCUMENT: Final[Mapping[str, JsonObject]] = {
    "format_version": _about(
        "A new minor adds keys, a new major changes them.",
        {"type": "string", "pattern": rf"^{FORMAT_VERSION.partition('.')[0]}\.\d+$"},
    ),
    "octosync_version": _TEXT,
    "timestamp": _about("When it was made, in UTC.", _TIME),
    "errored": _about("Whether an app could not be read; such a plan is never applied.", _FLAG),
    "control_plane": _object(
        "Whom it is for.", {"url": _TEXT, "org_id": _nullable(_TEXT), "context": _nullable(_TEXT)}
    ),
    "invocation": _object(
        "What was asked for.",
        {
            "paths": _list(_TEXT),
            "kustomize": _nullable(_TEXT),
            "apps": _list(_TEXT),
            "selector": _nullable(_TEXT),
            "base": _nullable(_TEXT),
            "changed_only": _FLAG,
            "optimize": _nullable(_TEXT),
            "previews": _FLAG,
        },
    ),
    "manifests": _object(
        "What it was made from.",
        {
            "digest": _about(
                "sha256:<hex> of all that was loaded but sensitive values, or hmac-sha256:<hex> of all of it.", _TEXT
            ),
            "files": _COUNT,
            "apps": _COUNT,
            "git": _nullable(
                _object(
                    "The commit, null outside a repository.",
                    {"revision": _nullable(_TEXT), "dirty": _FLAG, "base": _nullable(_TEXT)},
                )
            ),
        },
    ),
    "scope": _object(
        "What was read.",
        {
            "apps": _list(_TEXT),
            "sections": _about(
                "How many apps declare each section.", {"type": "object", "additionalProperties": _COUNT}
            ),
            "left_alone": _LEFT_ALONE,
        },
    ),
    "overrides": _about(
        "Guards that this run loosens.",
        _list(_object("One of them.", {"guard": _TEXT, "value": _TEXT, "source": _about("By what.", _TEXT)})),
    ),
    "resource_changes": _about("By address.", _list({"$ref": "#/$defs/resource_change"})),
    "blocked": _about(
        "What guards refuse.",
        _list(
            _object(
                "One refusal.",
                {
                    "guard": _about("`octosync explain GUARD` says what it refuses.", _TEXT),
                    "message": _TEXT,
                    "override": _about("The flag that allows it, null where none does.", _nullable(_TEXT)),
                    "trailer": _about("The line of a commit that allows it.", _nullable(_TEXT)),
                    "way_out": _about("What helps otherwise.", _nullable(_TEXT)),
                    "addresses": _list(_ADDRESS),
                },
            )
        ),
    ),
    "recommendations": _about(
        "Better variants that are not rolled out by this plan.",
        _list(
            _object(
                "One of them.",
                {
                    "address": _ADDRESS,
                    "current_variant": _nullable(_TEXT),
                    "suggested_variant": _nullable(_TEXT),
                    "expected_improvement": _about("Relative, by metric: 0.05 is five percent.", _RATIOS),
                    "reason": _nullable(_TEXT),
                    "waiting": _about("For what it waits, null where it waits for nothing.", _nullable(_TEXT)),
                },
            )
        ),
    ),
    "diagnostics": _list({"$ref": "#/$defs/diagnostic"}),
    "errors": _about(
        "Apps that could not be read, and what else failed the run.",
        _list(
            _object(
                "One of them.",
                {
                    "app": _about("Null where it is about no app, as with the reference `strict`.", _nullable(_TEXT)),
                    "reference": _TEXT,
                    "message": _TEXT,
                    "hints": _list(_TEXT),
                    "request_id": _nullable(_TEXT),
                },
            )
        ),
    ),
    "fingerprints": _about(
        "Of each object as it is live, by address.",
        {"type": "object", "propertyNames": _ADDRESS, "additionalProperties": _TEXT},
    ),
    "fingerprinting": _object(
        "What the fingerprints and the digest of the manifests cover.",
        {
            "key_check": _about(
                "Tells whether OCTOSYNC_PLAN_KEY is the same where the plan is applied; null where it is not set.",
                _nullable(_TEXT),
            ),
            "not_covered": _about(
                "Objects with sensitive values, which are left out: a change of these values can't be noticed.",
                _list(_ADDRESS),
            ),
        },
    ),
    "cost": _object(
        "In requests.",
        {
            "requests_used": _COUNT,
            "requests_to_apply": _COUNT,
            "seconds_at_rate_limit": {"type": "number", "minimum": 0},
        },
    ),
    "summary": _object(
        "How many of each.",
        {
            **{
                verb.value: _COUNT
                for verb in (Verb.CREATE, Verb.UPDATE, Verb.DELETE, Verb.ENABLE, Verb.OPTIMIZE, Verb.ARCHIVE)
            },
            "held": _COUNT,
            "unchanged": _COUNT,
        },
    ),
}
