"""The document `/openapi.json`: request bodies, parameters and errors are added, since FastAPI can't derive them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from fastapi import FastAPI
from pydantic.json_schema import models_json_schema

from octosync.contract import PLATFORMS
from octosync.server import response_models
from octosync.server.fleet import OrgPolicy, org_policy
from octosync.server.handlers.handler import Handler, NoBody
from octosync.server.handlers.slots import CAPABILITY_PATTERN

# The server rejects control characters other than tab and line breaks, and lone surrogates, in every text.
_CLEAN = {"pattern": "^[^\\u0000-\\u0008\\u000b\\u000c\\u000e-\\u001f\\u007f-\\u009f]*$"}
_JSON_BODY = "UTF-8 JSON of at most 1 MiB and 64 levels, without duplicate keys."
_REF = "#/components/schemas/{model}"
_QUERY: Mapping[str, Mapping[str, Any]] = {
    "limit": {"type": "integer", "minimum": 1, "maximum": 100, "default": 50},
    "offset": {"type": "integer", "minimum": 0, "maximum": 2**31, "default": 0},
    "include_archived": {"type": "boolean", "default": False},
    "app_id": {"type": "string"},
    "org_id": {"type": "string"},
}
_PATH: Mapping[str, Mapping[str, Any]] = {"capability": {"type": "string", "pattern": f"^{CAPABILITY_PATTERN}$"}}


def openapi_extra(handler: Handler[Any]) -> dict[str, Any]:
    """Return an operation's parameters, request body and error response, for FastAPI's `openapi_extra`."""
    parameters = [
        {"name": name, "in": "path", "required": True, "schema": _PATH.get(name, {"type": "string"})}
        for name in re.findall(r"{(\w+)}", handler.path)
    ] + [
        {"name": name, "in": "query", "required": False, "schema": _QUERY[name]} for name in (*handler.query, "org_id")
    ]
    extra: dict[str, Any] = {
        "parameters": parameters,
        "security": [{"bearer": []}],
        "responses": {"default": {"description": "An error", "content": _json("Error")}},
    }
    if handler.body is not NoBody:
        extra["requestBody"] = {
            "description": _JSON_BODY,
            "required": not handler.body_optional,
            "content": _json(handler.body.__name__),
        }
    return extra


def document(app: FastAPI, handlers: Iterable[Handler[Any]]) -> dict[str, Any]:
    """Return FastAPI's document with the schemas of request bodies and errors, under the org's current policy."""
    policy = org_policy(app.state.plane.store)
    spec = FastAPI.openapi(app)
    components = spec.setdefault("components", {})
    schemas = components.setdefault("schemas", {})
    for body in dict.fromkeys(handler.body for handler in handlers if handler.body is not NoBody):
        _, definitions = models_json_schema([(body, "validation")], ref_template=_REF)
        schemas.update({name: _with_server_rules(schema, policy) for name, schema in definitions["$defs"].items()})
    schemas["JsonValue"] = _ANY_JSON
    _, definitions = models_json_schema([(response_models.Error, "serialization")], ref_template=_REF)
    schemas.update(definitions["$defs"])
    components["securitySchemes"] = {"bearer": {"type": "http", "scheme": "bearer"}}
    return spec


_ANY_JSON: Mapping[str, Any] = {
    "description": "Any JSON value without control characters.",
    "anyOf": [
        {"type": ["null", "boolean", "number"]},
        {"type": "string", **_CLEAN},
        {"type": "array", "items": {"$ref": _REF.format(model="JsonValue")}},
        {
            "type": "object",
            "propertyNames": _CLEAN,
            "additionalProperties": {"$ref": _REF.format(model="JsonValue")},
        },
    ],
}


def _with_server_rules(schema: Any, policy: OrgPolicy) -> Any:  # noqa: ANN401  any part of a JSON Schema
    """Return a request's schema with the rules that no model has: control characters, platforms, the org's slot fields."""
    if isinstance(schema, list):
        return [_with_server_rules(item, policy) for item in schema]
    if not isinstance(schema, dict):
        return schema
    found = {key: _with_server_rules(value, policy) for key, value in schema.items()}
    if found.get("type") == "string" and not found.keys() & {"enum", "pattern", "const"}:
        found |= _CLEAN
    if found.get("type") == "object" and found.get("additionalProperties"):
        # A slot and its policy allow no further fields, unless the org's policy has some.
        is_closed = found.get("properties") and not policy.slot_fields
        anything = {"propertyNames": _CLEAN, "additionalProperties": {"$ref": _REF.format(model="JsonValue")}}
        found |= {"additionalProperties": False} if is_closed else anything
    if isinstance(found.get("properties"), dict) and "platform" in found["properties"]:
        found["properties"]["platform"] = {"type": "string", "enum": [*PLATFORMS, *policy.platforms]}
    return found


def _json(schema: str) -> dict[str, Any]:
    return {"application/json": {"schema": {"$ref": _REF.format(model=schema)}}}
