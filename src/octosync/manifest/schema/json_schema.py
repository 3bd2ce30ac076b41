"""JSON Schema (2020-12) of manifests and octosync.yaml, from the models that the loader validates by.

A schema checks less than the loader: no relations between values or documents. What it rejects, the loader rejects too.

OpenAPI definitions for kustomize: by which keys lists are merged, so that a patch of one slot or target keeps the others.

kustomize reads them from the file that `openapi: {path: …}` of a kustomization names, and a base's hold in its overlays.
`x-kubernetes-patch-merge-key` takes one key a list; the two of a target go into `x-kubernetes-list-map-keys`, which kustomize
takes as well (seen with 5.5). Every other list is replaced as a whole. What no definition can change: a text is not patched by an
object, so a policy that the base declares by its preset's name is patched by another name.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final, Union

from octosync.manifest.config.schema import ConfigurationFile
from octosync.manifest.schema.models import API_VERSION, GROUP, KINDS
from octosync.manifest.schema.shapes import Field, Shape, Text, shape_of, title_of
from octosync.model import JsonObject, JsonValue
from octosync.plan.file.schema import DIALECT

# Text in a manifest may contain variables, whose values only the loader knows.
_WITH_VARIABLE: Final[JsonObject] = {"type": "string", "pattern": r"\$\{"}


def manifest_schema() -> JsonObject:
    """Return the schema of one document of a manifest. Documents of other groups than octosync's are accepted, as they are."""
    ours: JsonObject = {"properties": {"apiVersion": {"const": API_VERSION}}, "required": ["apiVersion"]}
    return {
        "$schema": DIALECT,
        "title": "octosync manifest",
        "description": f"A document of {API_VERSION}: what of an Octomil app is declared.",
        "type": "object",
        "required": ["apiVersion", "kind"],
        "properties": {
            "apiVersion": {
                "description": f"{API_VERSION}; documents of other groups are ignored",
                "anyOf": [{"const": API_VERSION}, {"type": "string", "not": {"pattern": rf"^{re.escape(GROUP)}(/|$)"}}],
            },
            "kind": {"description": f"one of {', '.join(KINDS)}", "type": "string"},
        },
        "if": ours,
        "then": {
            "properties": {"kind": {"enum": list(KINDS)}},
            "allOf": [
                {
                    "if": {"properties": {"kind": {"const": kind}}, "required": ["kind"]},
                    "then": {"$ref": f"#/$defs/{kind}"},
                }
                for kind in KINDS
            ],
        },
        "$defs": {kind: _schema(shape_of(model), _WITH_VARIABLE) for kind, model in KINDS.items()},
    }


def configuration_schema() -> JsonObject:
    """Return the schema of octosync.yaml."""
    return {
        "$schema": DIALECT,
        **_schema(shape_of(ConfigurationFile)),
        "description": "What octosync needs to know beside manifests; all of it is optional.",
    }


def field_example(field: Field) -> JsonValue:
    """Return a valid value of a field: its example, its default, or one made from its shape."""
    stated = field.default if field.example is None else field.example
    return _example(field.shape) if stated is None else stated


def _schema(shape: Shape, *variables: JsonObject) -> JsonObject:
    """Return the schema of a shape. `variables` are what any text may be instead."""
    made = _schema_without_null(shape, *variables)
    return {**made, "type": [made["type"], "null"]} if shape.nullable else made


def _schema_without_null(shape: Shape, *variables: JsonObject) -> JsonObject:
    if shape.is_model:
        return {
            "title": title_of(shape.type),
            "type": "object",
            "properties": {name: _property(field, *variables) for name, field in shape.fields.items()},
            **_if_any("required", [name for name, field in shape.fields.items() if field.required]),
            "additionalProperties": False,
        }
    if shape.type is Union:
        return {"anyOf": [_schema(part, *variables) for part in shape.parts]}
    if shape.type is list:
        items = _schema(shape.parts[0], *variables)
        return {"type": "array", "items": items, **_if_any("minItems", int(shape.bounds.least))}
    if shape.type is dict:
        return {"type": "object", **_if_any("additionalProperties", _schema(shape.parts[0], *variables))}
    if shape.type in (int, float):
        least, most = shape.bounds.least, shape.bounds.most
        kind = "integer" if shape.type is int else "number"
        return {"type": kind, "minimum": least, **({} if most is None else {"maximum": most})}
    if shape.text is not None:
        return _text(shape.text, *variables)
    return {"type": "boolean"} if shape.type is bool else {}


def _property(field: Field, *variables: JsonObject) -> JsonObject:
    """Return the schema of a field. Its shape is in it, not behind a reference: some editors ignore the keys beside one."""
    owned = f"\n\nOwns {field.owns}." if field.owns else ""
    return {
        "description": f"{field.about}{owned}",
        **_schema(field.shape, *variables),
        **({} if field.default is None else {"default": field.default}),
        **({} if field.example is None else {"examples": [field.example]}),
    }


def _text(text: Text, *variables: JsonObject) -> JsonObject:
    """Return the schema of text. An editor can offer known names, though other text is valid too.

    A text with one choice, such as the kind of a document, can't be a variable.
    """
    if len(text.choices) == 1:
        return {"const": text.choices[0]}
    if text.choices:
        return _any_of([{"type": "string", "enum": list(text.choices)}, *variables])
    known: list[JsonObject] = [{"enum": list(text.known)}] if text.known else []
    if text.pattern is None:
        return _any_of([*known, {"type": "string", **({} if text.may_be_empty else {"minLength": 1})}])
    return _any_of([*known, {"type": "string", "pattern": f"^(?:{text.pattern.pattern})$"}, *variables])


def _any_of(choices: list[JsonObject]) -> JsonObject:
    return {"anyOf": choices} if len(choices) > 1 else choices[0]


def _if_any(key: str, value: Any) -> JsonObject:  # noqa: ANN401 - JSON
    return {key: value} if value else {}


def _example(shape: Shape) -> JsonValue:
    if shape.text is not None:
        return next(iter((*shape.text.choices, *shape.text.known)), "text")
    if shape.type is bool:
        return True
    if shape.type in (int, float):
        return shape.bounds.least
    if shape.type is list:
        return [_example(shape.parts[0])]
    if shape.type is Union:
        return _example(shape.parts[0])
    if shape.type is dict and not shape.is_opaque:
        return {"name": _example(shape.parts[0])}
    return {name: field_example(field) for name, field in shape.fields.items()}


def kustomize_definitions() -> JsonObject:
    """Return the OpenAPI document (Swagger 2.0, which is what kustomize reads) with a definition of each kind."""
    group, _, version = API_VERSION.partition("/")
    named = f"{'.'.join(reversed(group.split('.')))}.{version}"
    return {
        "swagger": "2.0",
        "info": {"title": "octosync", "version": version},
        "paths": {},
        "definitions": {
            f"{named}.{kind}": {
                **_merged(shape_of(model)),
                "x-kubernetes-group-version-kind": [{"group": group, "version": version, "kind": kind}],
            }
            for kind, model in KINDS.items()
        },
    }


def _merged(shape: Shape) -> JsonObject:
    if shape.is_model:
        return {"type": "object", "properties": {name: _merged(field.shape) for name, field in shape.fields.items()}}
    if shape.type is list:
        return {"type": "array", "items": _merged(shape.parts[0]), **(_keys(shape.key) if shape.key else {})}
    return {}  # what is a name in the base may be an object in the patch


def _keys(key: tuple[str, ...]) -> Mapping[str, JsonValue]:
    single = {"x-kubernetes-patch-merge-key": key[0]} if len(key) == 1 else {}
    return {
        "x-kubernetes-patch-strategy": "merge",
        **single,
        "x-kubernetes-list-type": "map",
        "x-kubernetes-list-map-keys": list(key),
    }
