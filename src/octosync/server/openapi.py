"""`/openapi.json`: what FastAPI can't see in handlers that read their own bodies, from the same models that they read by."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from fastapi import FastAPI
from pydantic.json_schema import models_json_schema

from octosync.server import answers
from octosync.server.handling import Handler, NoBody

_REF = "#/components/schemas/{model}"
_QUERY: Mapping[str, Mapping[str, Any]] = {
    "limit": {"type": "integer", "minimum": 1, "maximum": 100, "default": 50},
    "offset": {"type": "integer", "minimum": 0, "maximum": 2**31, "default": 0},
    "include_archived": {"type": "boolean", "default": False},
    "app_id": {"type": "string"},
    "org_id": {"type": "string"},
}


def extra_of(handler: Handler[Any]) -> dict[str, Any]:
    """Return an operation's parameters, request body and error answer, for FastAPI's `openapi_extra`."""
    parameters = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
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
            "required": not handler.body_optional,
            "content": _json(f"{handler.body.__name__}Request"),
        }
    return extra


def document(app: FastAPI, handlers: Iterable[Handler[Any]]) -> dict[str, Any]:
    """Return FastAPI's document with the schemas of the request bodies and of errors added."""
    shown = FastAPI.openapi(app)
    components = shown.setdefault("components", {})
    schemas = components.setdefault("schemas", {})
    for body in dict.fromkeys(handler.body for handler in handlers if handler.body is not NoBody):
        _, definitions = models_json_schema([(body, "validation")], ref_template=_REF.format(model="{model}Request"))
        schemas.update({f"{name}Request": schema for name, schema in definitions["$defs"].items()})
    _, definitions = models_json_schema([(answers.Error, "serialization")], ref_template=_REF)
    schemas.update(definitions["$defs"])
    components["securitySchemes"] = {"bearer": {"type": "http", "scheme": "bearer"}}
    return shown


def _json(schema: str) -> dict[str, Any]:
    return {"application/json": {"schema": {"$ref": _REF.format(model=schema)}}}
