"""JSON Schema (2020-12) of manifests and octosync.yaml, made from the same shapes that the loader checks by.

A schema says less than the loader: not what two values must agree in, nor what a set of documents must. What it refuses, the
loader refuses, too.
"""

from __future__ import annotations

import re
from typing import Final

from octosync.manifest.configuration_schema import CONFIGURATION
from octosync.manifest.schema import API_VERSION, GROUP, KINDS
from octosync.manifest.shapes import (
    Field,
    Flag,
    Ignored,
    ListOf,
    MapOf,
    Number,
    Opaque,
    Record,
    Shape,
    Text,
    TextOrRecord,
)
from octosync.model import JsonObject, JsonValue

DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"

# A manifest's text may hold variables, and what they stand for only the loader knows.
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
        "$defs": {kind: _Maker(variables=True).record(record) for kind, record in KINDS.items()},
    }


def configuration_schema() -> JsonObject:
    """Return the schema of octosync.yaml."""
    made = _Maker(variables=False).record(CONFIGURATION)
    return {
        "$schema": DIALECT,
        **made,
        "description": "What octosync needs to know beside manifests; all of it is optional.",
    }


def field_example(field: Field) -> JsonValue:
    """Return a value of a field that is taken as it is: its example or default, or what its shape gives."""
    stated = field.default if field.example is None else field.example
    return _example(field.shape) if stated is None else stated


class _Maker:
    """Turns shapes into schemas; `variables`: whether text may hold `${NAME}`."""

    def __init__(self, *, variables: bool) -> None:
        self._variables = variables

    def record(self, shape: Record) -> JsonObject:
        required: list[JsonValue] = [name for name, field in shape.fields.items() if field.required]
        return {
            "title": shape.title,
            "type": "object",
            "properties": {name: self._field(field) for name, field in shape.fields.items()},
            **({"required": required} if required else {}),
            "additionalProperties": False,
        }

    def _field(self, field: Field) -> JsonObject:
        owns = f"\n\nOwns {field.owns}." if field.owns else ""
        made: dict[str, JsonValue] = {"description": f"{field.about}{owns}", **self._shape(field.shape)}
        if field.default is not None:
            made["default"] = field.default
        if field.example is not None:
            made["examples"] = [field.example]
        return made

    def _shape(self, shape: Shape) -> JsonObject:
        match shape:
            case Text():
                return self._text(shape)
            case Flag():
                return {"type": "boolean"}
            case Number():
                most = {} if shape.most is None else {"maximum": shape.most}
                return {"type": "integer" if shape.whole else "number", "minimum": shape.least, **most}
            case ListOf():
                least = {"minItems": shape.least} if shape.least else {}
                return {"type": "array", "items": self._shape(shape.item), **least}
            case MapOf():
                return {"type": "object", "additionalProperties": self._shape(shape.value)}
            case Opaque():
                return {"type": ["object", "null"] if shape.nullable else "object"}
            case Ignored():
                return {}
            case Record():
                return self.record(shape)
            case TextOrRecord():
                return {"anyOf": [self._text(shape.text), self.record(shape.record)]}

    def _text(self, shape: Text) -> JsonObject:
        if shape.choices:
            # A kind and its version are what a document is found by, before any variable is replaced.
            fixed = len(shape.choices) == 1
            made: JsonObject = {"const": shape.choices[0]} if fixed else {"type": "string", "enum": list(shape.choices)}
            return {"anyOf": [made, _WITH_VARIABLE]} if self._variables and not fixed else made
        if shape.pattern is None:
            plain: JsonObject = {"type": "string", **({} if shape.may_be_empty else {"minLength": 1})}
            # Names that an editor can offer, beside whatever else may stand there.
            return {"anyOf": [{"enum": list(shape.known)}, plain]} if shape.known else plain
        matched: JsonObject = {"type": "string", "pattern": f"^(?:{shape.pattern.pattern})$"}
        others = [{"enum": list(shape.known)}] if shape.known else []
        variable = [_WITH_VARIABLE] if self._variables else []
        return {"anyOf": [*others, matched, *variable]} if others or variable else matched


def _example(shape: Shape) -> JsonValue:
    match shape:
        case Text():
            return next(iter((*shape.choices, *shape.known)), "text")
        case Flag():
            return True
        case Number():
            return shape.least
        case ListOf():
            return [_example(shape.item)]
        case MapOf():
            return {"name": _example(shape.value)}
        case Record():
            return {name: field_example(field) for name, field in shape.fields.items()}
        case TextOrRecord():
            return _example(shape.text)
        case Opaque() | Ignored():
            return {}
