"""The schemas of an OpenAPI document and the fields of octosync's models, in comparable form.

`allOf` combines schemas, `anyOf` and `oneOf` are alternatives, references within the document are followed; one that leads
out of it makes its part unclear. Constraints of values (patterns, limits) are ignored.
"""

from __future__ import annotations

import types
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any, Final, Union, get_args, get_origin

from pydantic import AliasChoices, BaseModel
from pydantic.fields import FieldInfo

from octosync.contract.openapi.document import OpenApiDocument, list_of

_DEEPEST: Final = 120  # levels of nested schemas
_OBJECT, _ARRAY, _NULL = "object", "array", "null"


@dataclass(frozen=True, slots=True, kw_only=True)
class SchemaShape:
    """The content of a schema. `types` None means any.

    `fields` are the fields' schemas by name; `everywhere` the fields of every alternative; `required` the required ones;
    `barred` those that don't exist in this direction. `is_open`: other fields are allowed. `items` is the schema of a list's
    items. `unclear` is why a part of it is unknown.
    """

    types: frozenset[str] | None = None
    fields: Mapping[str, object] = field(default_factory=dict)
    everywhere: frozenset[str] = frozenset()
    required: frozenset[str] = frozenset()
    barred: frozenset[str] = frozenset()
    is_open: bool = False
    is_closed: bool = False
    items: object = None
    unclear: str | None = None

    @property
    def takes_anything(self) -> bool:
        """Whether it doesn't define its fields, or allows others."""
        return self.is_open or (not self.fields and not self.is_closed and self.may_be(_OBJECT))

    def may_be(self, type_: str) -> bool:
        """Return whether a value may be of this JSON type."""
        return self.types is None or type_ in self.types


class Schemas:
    """Reads a document's schemas, of requests (`sent` True) or of responses; each once."""

    def __init__(self, document: OpenApiDocument, *, sent: bool) -> None:
        self._document = document
        self._bar = "readOnly" if sent else "writeOnly"
        # The schema is kept with its shape, since its id is valid only as long as it exists.
        self._known: dict[int, tuple[object, SchemaShape]] = {}
        self._under_way: set[int] = set()

    def shape(self, schema: object) -> SchemaShape:
        """Return the shape of a schema; it is empty for anything but an object."""
        return self._shape(schema) or SchemaShape()

    def _shape(self, schema: object) -> SchemaShape | None:
        """Return the shape of a schema, None if it is being read already: a cycle adds nothing."""
        if not isinstance(schema, Mapping):
            return SchemaShape()
        if (known := self._known.get(id(schema))) is not None:
            return known[1]
        if id(schema) in self._under_way:
            return None
        if len(self._under_way) > _DEEPEST:
            return SchemaShape(unclear="it is nested too deep")
        self._under_way.add(id(schema))
        shape = self._read(schema)
        self._under_way.discard(id(schema))
        self._known[id(schema)] = (schema, shape)
        return shape

    def _read(self, schema: Mapping[str, Any]) -> SchemaShape:
        parts: list[SchemaShape | None] = [self._own(schema)]
        if isinstance(reference := schema.get("$ref"), str):
            target = self._document.resolve_pointer(reference)
            unknown = SchemaShape(unclear=f"{reference} leads out of the document")
            parts.append(self._shape(target) if isinstance(target, Mapping | bool) else unknown)
        parts += [self._shape(part) for part in list_of(schema.get("allOf"))]
        for key in ("anyOf", "oneOf"):
            alternatives = [self._shape(alternative) for alternative in list_of(schema.get(key))]
            if alternatives:
                parts.append(_any([alternative for alternative in alternatives if alternative is not None]))
        shape = _all([part for part in parts if part is not None])
        if schema.get("nullable") is True and shape.types is not None:
            return replace(shape, types=shape.types | {_NULL})
        return shape

    def _own(self, schema: Mapping[str, Any]) -> SchemaShape:
        properties = schema.get("properties")
        given = {str(name): value for name, value in properties.items()} if isinstance(properties, Mapping) else {}
        barred = frozenset(name for name, value in given.items() if self._is_barred(value))
        fields = {name: value for name, value in given.items() if name not in barred}
        more = schema.get("additionalProperties")
        return SchemaShape(
            types=_types(schema),
            fields=fields,
            everywhere=frozenset(fields),
            required=frozenset(name for name in list_of(schema.get("required")) if isinstance(name, str)) - barred,
            barred=barred,
            is_open=bool(more) or isinstance(more, Mapping) or bool(schema.get("patternProperties")),
            is_closed=more is False,
            items=schema.get("items"),
        )

    def _is_barred(self, schema: object) -> bool:
        resolved = self._document.resolved(schema)
        return any(isinstance(node, Mapping) and node.get(self._bar) is True for node in (schema, resolved))


def _all(parts: Sequence[SchemaShape]) -> SchemaShape:
    types = [part.types for part in parts if part.types is not None]
    return SchemaShape(
        types=frozenset.intersection(*map(_widened, types)) if types else None,
        fields=_combined("allOf", parts),
        everywhere=frozenset().union(*(part.everywhere for part in parts)),
        required=frozenset().union(*(part.required for part in parts)),
        barred=frozenset().union(*(part.barred for part in parts)),
        is_open=any(part.is_open for part in parts),
        is_closed=any(part.is_closed for part in parts),
        items=_items("allOf", parts),
        unclear=_unclear(parts),
    )


def _any(parts: Sequence[SchemaShape]) -> SchemaShape:
    """Return the union of alternatives. Only those that may be an object contribute fields."""
    objects = [part for part in parts if part.may_be(_OBJECT)]
    shape = SchemaShape(
        types=None if any(part.types is None for part in parts) else frozenset().union(*(p.types or () for p in parts)),
        fields=_combined("anyOf", objects),
        is_open=any(part.takes_anything for part in objects),
        is_closed=bool(objects) and all(part.is_closed for part in objects),
        items=_items("anyOf", [part for part in parts if part.may_be(_ARRAY)]),
        unclear=_unclear(parts),
    )
    if not objects:
        return shape
    return replace(
        shape,
        everywhere=frozenset.intersection(*(part.everywhere for part in objects)),
        required=frozenset.intersection(*(part.required for part in objects)),
        barred=frozenset.intersection(*(part.barred for part in objects)) - shape.fields.keys(),
    )


def _combined(key: str, parts: Iterable[SchemaShape]) -> dict[str, object]:
    """Return the combined schema of each field; a schema that occurs once, or is the same everywhere, is unchanged."""
    schemas: dict[str, list[object]] = {}
    for part in parts:
        for name, schema in part.fields.items():
            known = schemas.setdefault(name, [])
            if all(known_schema is not schema for known_schema in known):
                known.append(schema)
    return {name: found[0] if len(found) == 1 else {key: found} for name, found in schemas.items()}


def _items(key: str, parts: Iterable[SchemaShape]) -> object:
    found = [part.items for part in parts if part.items is not None]
    return found[0] if len(found) == 1 else {key: found} if found else None


def _unclear(parts: Iterable[SchemaShape]) -> str | None:
    return next((part.unclear for part in parts if part.unclear is not None), None)


def _types(schema: Mapping[str, Any]) -> frozenset[str] | None:
    """Return the JSON types of a schema's values: `type` as text (3.0, with `nullable`) or as a list (3.1)."""
    given = schema.get("type")
    named = frozenset(name for name in (given if isinstance(given, list) else [given]) if isinstance(name, str))
    if not named:
        values = (
            schema["enum"] if isinstance(schema.get("enum"), list) else [schema["const"]] if "const" in schema else []
        )
        return frozenset(map(_type_of, values)) or None
    return named | {_NULL} if schema.get("nullable") is True else named


def _type_of(value: object) -> str:
    match value:
        case bool():
            return "boolean"
        case int():
            return "integer"
        case float():
            return "number"
        case str():
            return "string"
        case list():
            return _ARRAY
        case None:
            return _NULL
    return _OBJECT


def _widened(types: frozenset[str]) -> frozenset[str]:
    """Return the types, with integer if number is one of them."""
    return types | {"integer"} if "number" in types else types


def join_types(types: Iterable[str]) -> str:
    """Return JSON types as text, such as "array or null"."""
    return " or ".join(sorted(types))


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelField:
    """A field of a model: its possible names, aliases first, and the JSON types of its values, none for any.

    `needed`: it is always present. `inside` are the fields of its object, or of each object in its list.
    """

    names: tuple[str, ...]
    types: frozenset[str] = frozenset()
    needed: bool = True
    inside: Mapping[str, ModelField] = field(default_factory=dict)


_TYPES: Final[Mapping[Any, str]] = {
    str: "string",
    bool: "boolean",
    int: "integer",
    float: "number",
    type(None): "null",
    list: "array",
    dict: "object",
}


@cache
def fields_of_model(model: type[BaseModel]) -> Mapping[str, ModelField]:
    """Return a model's fields by name. No model is recursive."""
    return {name: _part(name, info) for name, info in model.model_fields.items()}


def _part(name: str, info: FieldInfo) -> ModelField:
    choices = tuple(_choices(info.annotation))
    known = all(choice in _TYPES or _is_model(choice) for choice, _ in choices)
    models = (model for choice in choices for model in choice if _is_model(model))
    inside = next(map(fields_of_model, models), {})
    return ModelField(
        names=tuple(dict.fromkeys((*_aliases(info), name))),
        types=frozenset(_TYPES.get(choice, "object") for choice, _ in choices) if known else frozenset(),
        needed=info.is_required(),
        inside=inside,
    )


def _choices(annotation: Any) -> Iterator[tuple[Any, Any]]:  # noqa: ANN401 — an annotation is anything
    """Yield each alternative of a type, and its item type if it is a list."""
    origin, inner = get_origin(annotation), get_args(annotation)
    if origin in {Union, types.UnionType}:
        for alternative in inner:
            yield from _choices(alternative)
    else:
        yield origin or annotation, inner[0] if origin is list else None


def _is_model(annotation: Any) -> bool:  # noqa: ANN401 — see above
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)


def _aliases(info: FieldInfo) -> Iterator[str]:
    alias = info.validation_alias
    for choice in alias.choices if isinstance(alias, AliasChoices) else (alias,):
        if isinstance(choice, str):
            yield choice
