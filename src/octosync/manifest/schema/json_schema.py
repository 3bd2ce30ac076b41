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

from pydantic.json_schema import JsonSchemaValue
from pydantic_core import core_schema

from octosync.manifest.config.schema import ConfigurationFile
from octosync.manifest.schema.models import API_VERSION, GROUP, KINDS
from octosync.manifest.schema.shapes import Field, ObjectModel, Shape, Text, fields_of, shape_of, title_of
from octosync.model import JsonObject, JsonValue
from octosync.plan.file.schema import DIALECT, SchemaGenerator

# Text in a manifest may contain variables, whose values only the loader knows.
_WITH_VARIABLE: Final[JsonSchemaValue] = {"type": "string", "pattern": r"\$\{"}


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
        "$defs": {kind: _schema_of(model, _GeneratorWithVariables) for kind, model in KINDS.items()},
    }


def configuration_schema() -> JsonObject:
    """Return the schema of octosync.yaml."""
    return {
        "$schema": DIALECT,
        **_schema_of(ConfigurationFile, _Generator),
        "description": "What octosync needs to know beside manifests; all of it is optional.",
    }


def field_example(field: Field) -> JsonValue:
    """Return a valid value of a field: its example, its default, or one made from its shape."""
    stated = field.default if field.example is None else field.example
    return _example(field.shape) if stated is None else stated


class _Generator(SchemaGenerator):
    """Schemas with examples, defaults and titles, and with the names that text may be."""

    variables: list[JsonSchemaValue] = []  # noqa: RUF012 - replaced as a whole

    class ValidationsMapping(SchemaGenerator.ValidationsMapping):
        """The names of bounds, in the order of the output."""

        numeric = {"ge": "minimum", "le": "maximum"}  # noqa: RUF012 - as pydantic has it

    def model_schema(self, schema: core_schema.ModelSchema) -> JsonSchemaValue:
        """Return the schema of an object, with its title instead of its docstring, and what each field owns."""
        model: type[ObjectModel] = schema["cls"]
        made = super().model_schema(schema)
        del made["description"]
        for name, field in fields_of(model).items():
            if field.owns:
                made["properties"][name]["description"] += f"\n\nOwns {field.owns}."
        return {"title": title_of(model), "type": "object", **made}

    def default_schema(self, schema: core_schema.WithDefaultSchema) -> JsonSchemaValue:
        """Return the schema with the default, if there is one."""
        made = self.generate_inner(schema["schema"])
        return made if schema.get("default") is None else {**made, "default": schema["default"]}

    def dict_schema(self, schema: core_schema.DictSchema) -> JsonSchemaValue:
        """Return the schema of an object with free keys."""
        values = self.generate_inner(schema["values_schema"])
        return {"type": "object", **({"additionalProperties": values} if values else {})}

    def tagged_union_schema(self, schema: core_schema.TaggedUnionSchema) -> JsonSchemaValue:
        """Return the schema of a name or the object to which it refers."""
        return {"anyOf": [self.generate_inner(choice) for choice in schema["choices"].values()]}

    def str_schema(self, schema: core_schema.StringSchema) -> JsonSchemaValue:
        """Return the schema of text. An editor can offer known names, though other text is valid too."""
        text: Text = schema["metadata"]["text"]
        known: list[JsonSchemaValue] = [{"enum": list(text.known)}] if text.known else []
        if text.pattern is None:
            free: JsonSchemaValue = {"type": "string", **({} if text.may_be_empty else {"minLength": 1})}
            return _any_of([*known, free])
        return _any_of([*known, {"type": "string", "pattern": f"^(?:{text.pattern.pattern})$"}, *self.variables])

    def literal_schema(self, schema: core_schema.LiteralSchema) -> JsonSchemaValue:
        """Return the schema of a choice. The kind and the version of a document can't be variables."""
        choices = schema["expected"]
        if len(choices) == 1:
            return {"const": choices[0]}
        return _any_of([{"type": "string", "enum": choices}, *self.variables])


class _GeneratorWithVariables(_Generator):
    """Schemas of manifests, whose text may contain `${NAME}`."""

    variables = [_WITH_VARIABLE]  # noqa: RUF012


def _any_of(choices: list[JsonSchemaValue]) -> JsonSchemaValue:
    return {"anyOf": choices} if len(choices) > 1 else choices[0]


def _schema_of(model: type[ObjectModel], generator: type[_Generator]) -> JsonSchemaValue:
    made = model.model_json_schema(schema_generator=generator)
    parts = made.pop("$defs", {})
    return {key: _inlined(value, parts) for key, value in made.items()}


def _inlined(schema: Any, parts: JsonSchemaValue) -> Any:  # noqa: ANN401 - JSON
    """Replace references by what they refer to, and put descriptions first: some editors ignore the keys beside a reference."""
    if isinstance(schema, list):
        return [_inlined(item, parts) for item in schema]
    if not isinstance(schema, dict):
        return schema
    if isinstance(reference := schema.pop("$ref", None), str):
        schema = {**parts[reference.rpartition("/")[2]], **schema}
    if isinstance(schema.get("description"), str):  # else it is a field of this name
        schema = {"description": schema["description"]} | schema
    return {key: _inlined(value, parts) for key, value in schema.items()}


def _example(shape: Shape) -> JsonValue:
    if shape.text is not None:
        return next(iter((*shape.text.choices, *shape.text.known)), "text")
    if shape.type is bool:
        return True
    if shape.type in (int, float):
        return shape.least
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
