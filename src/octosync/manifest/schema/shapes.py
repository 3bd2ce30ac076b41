"""The vocabulary of the models of documents, and how validators, messages, schemas and explanations read a model.

A model describes a document once: its shape. A document is validated by pydantic's validator in Rust, built from the shape.
The models are not pydantic's own classes: their import takes as long as everything else in a short run.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cache, cached_property
from types import NoneType, UnionType
from typing import Annotated, Any, Final, TypeVar, Union, get_args, get_origin, get_type_hints

from pydantic_core import CoreSchema, SchemaValidator, ValidationError, core_schema

from octosync.model import JsonValue

T = TypeVar("T")

_STRICT: Final = core_schema.CoreConfig(strict=True, hide_input_in_errors=True)


class _ModelType(type):
    """The type of models. mypy knows that a class is hashable only by its own type."""


class ObjectModel(metaclass=_ModelType):
    """An object with known fields: the annotated attributes, each described by a `field`.

    The keys of fields are their names in camel case. `title` is the object's name in messages, as in "not a field of a slot".
    """

    _title = ""

    def __init_subclass__(cls, title: str = "") -> None:
        super().__init_subclass__()
        cls._title = title or cls._title


@dataclass(frozen=True, slots=True)
class _Description:
    default: Any
    about: str
    example: Any
    key: str | None


def field(default: Any = ..., *, description: str, example: object = None, key: str | None = None) -> Any:  # noqa: ANN401
    """Describe an attribute of a model. A field without a default is required; `example` is a typical value."""
    return _Description(default, description, example, key)


@dataclass(frozen=True, slots=True, kw_only=True)
class Text:
    """Annotates text: `pattern` must match all of it, `meaning` is the pattern in words, `choices` are all allowed values.

    `known` are names of an open set, and `others` states what happens to other names.
    """

    pattern: re.Pattern[str] | None = None
    meaning: str = ""
    choices: tuple[str, ...] = ()
    known: tuple[str, ...] = ()
    others: str = "others are accepted, too"
    rule: str = "invalid-value"
    may_be_empty: bool = False

    def validator(self) -> CoreSchema:
        """Return what text is validated by."""
        if self.choices:
            return core_schema.literal_schema(list(self.choices))
        if self.pattern is None:
            return core_schema.str_schema(min_length=0 if self.may_be_empty else 1)
        return core_schema.str_schema(pattern=rf"\A(?:{self.pattern.pattern})\Z", regex_engine="python-re")


class InvalidText(ValueError):
    """A validator rejects a text of the right shape. `rule` and `notes` are those of the finding.

    If `quotes` is set, the finding's summary begins with the quoted text. The name among `names` that is closest to the text is
    suggested. If `hides` is set, the text may be a secret: neither the text nor its line is shown.
    """

    def __init__(
        self,
        summary: str,
        *,
        rule: str = "invalid-value",
        quotes: bool = True,
        notes: tuple[str, ...] = (),
        names: Iterable[str] = (),
        hides: bool = False,
    ) -> None:
        super().__init__(summary)
        self.summary = summary
        self.rule = rule
        self.quotes = quotes
        self.notes = notes
        self.names = names
        self.hides = hides


@dataclass(frozen=True, slots=True)
class Check:
    """Annotates text: a function that raises `InvalidText` for a text that is not valid."""

    function: Callable[[str], str]


@dataclass(frozen=True, slots=True)
class Bounds:
    """Annotates a number: the smallest and the largest, None for no limit; a list: the length of the shortest."""

    least: float
    most: float | None = None


@dataclass(frozen=True, slots=True)
class Owns:
    """Annotates a field: which part of the live app a declaration owns."""

    what: str


@dataclass(frozen=True, slots=True)
class Key:
    """Annotates a list: the fields that together make an item unique in it."""

    fields: tuple[str, ...]


class _NotNull:
    """Annotates an optional field that may not be null. None means that it is absent."""


Maybe = Annotated[T | None, _NotNull()]
AnyText = Annotated[str, Text(may_be_empty=True)]
Name = Annotated[str, Text()]
Count = Annotated[int, Bounds(0)]


@dataclass(frozen=True, kw_only=True)
class Shape:
    """An annotation of an attribute. `type` is an `ObjectModel`, a type of JSON, `Any`, or `Union` for a name or an object.

    `facts` are the annotation's metadata. `parts` are the shape of a list's items or an object's values, or both alternatives:
    the name, then the object.
    """

    type: Any
    facts: tuple[object, ...] = ()
    parts: tuple[Shape, ...] = ()
    nullable: bool = False

    @cached_property
    def text(self) -> Text | None:
        """The annotation of text, None for other types."""
        return next((fact for fact in self.facts if isinstance(fact, Text)), None)

    @cached_property
    def is_model(self) -> bool:
        """Whether it is an object with known fields."""
        return isinstance(self.type, type) and issubclass(self.type, ObjectModel)

    @cached_property
    def is_plain(self) -> bool:
        """Whether no model, list or name is inside, so that values are taken as they are."""
        return self.is_opaque or not (self.parts or self.is_model)

    @cached_property
    def is_opaque(self) -> bool:
        """Whether it is an object with any content, sent as it is."""
        return self.type is dict and self.parts[0].type is Any

    @property
    def bounds(self) -> Bounds:
        """The bounds of a number or of a list's length."""
        return next((fact for fact in self.facts if isinstance(fact, Bounds)), Bounds(0))

    @property
    def key(self) -> tuple[str, ...]:
        """The fields that together make an item of a list unique in it."""
        return next((fact.fields for fact in self.facts if isinstance(fact, Key)), ())

    @cached_property
    def fields(self) -> Mapping[str, Field]:
        """The fields of an object with known fields, none for other types."""
        return fields_of(self.type) if self.is_model else {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """A field of an object: its shape, and its meaning in one line.

    `default` is the value of an absent field, None if there is none. `example` is a typical value.
    """

    shape: Shape
    about: str
    required: bool = False
    default: JsonValue = None
    example: JsonValue = None
    owns: str = ""


@cache
def attributes_of(model: type[ObjectModel]) -> tuple[tuple[str, str, Shape], ...]:
    """Return the attributes of a model: name, key in documents, shape."""
    return tuple(
        (name, getattr(model, name).key or _camel_case(name), shape_of(annotation))
        for name, annotation in get_type_hints(model, include_extras=True).items()
    )


@cache
def fields_of(model: type[ObjectModel]) -> Mapping[str, Field]:
    """Return the fields of a model by their keys in documents."""
    return {key: _field(getattr(model, name), shape) for name, key, shape in attributes_of(model)}


def title_of(model: type[ObjectModel]) -> str:
    """Return the name of an object in messages."""
    return model._title  # noqa: SLF001 - of this module


def _camel_case(name: str) -> str:
    first, *words = name.split("_")
    return first + "".join(map(str.capitalize, words))


def shape_of(annotation: Any, facts: tuple[object, ...] = ()) -> Shape:  # noqa: ANN401 - a type, or what typing makes of one
    """Return the shape that an annotation describes."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return shape_of(arguments[0], (*arguments[1:], *facts))
    if origin in (Union, UnionType):
        nullable = NoneType in arguments and not any(isinstance(fact, _NotNull) for fact in facts)
        members = [member for member in arguments if member is not NoneType]
        if len(members) == 1:
            return replace(shape_of(members[0], facts), nullable=nullable)
        return Shape(type=Union, facts=facts, parts=tuple(map(shape_of, members)), nullable=nullable)
    if origin in (list, dict):
        return Shape(type=origin, facts=facts, parts=(shape_of(arguments[-1]),))
    return Shape(type=annotation, facts=facts)


def _field(description: _Description, shape: Shape) -> Field:
    required = description.default is ...
    return Field(
        shape=shape,
        about=description.about,
        required=required,
        default=None if required else description.default,
        example=description.example,
        owns=next((fact.what for fact in shape.facts if isinstance(fact, Owns)), ""),
    )


@cache
def validator_of(model: type[ObjectModel]) -> SchemaValidator:
    """Return the validator of plain values of JSON. It accepts what a model describes, and changes nothing."""
    return SchemaValidator(
        _core_schema(shape_of(model)), core_schema.CoreConfig(strict=True, hide_input_in_errors=True)
    )


def is_valid(values: Mapping[str, Any], model: type[ObjectModel]) -> bool:
    """Return whether plain values match a model, without a report: `validate.check` finds the errors."""
    try:
        validator_of(model).validate_python(values)
    except ValidationError:
        return False
    return True


def _core_schema(shape: Shape) -> CoreSchema:
    inner = _core_schema_without_null(shape)
    for fact in shape.facts:
        if isinstance(fact, Check):
            inner = core_schema.no_info_after_validator_function(fact.function, inner)
    return core_schema.nullable_schema(inner) if shape.nullable else inner


def _core_schema_without_null(shape: Shape) -> CoreSchema:
    bounds = shape.bounds
    if shape.is_model:
        return core_schema.typed_dict_schema(
            {
                key: core_schema.typed_dict_field(_core_schema(field.shape), required=field.required)
                for key, field in shape.fields.items()
            },
            extra_behavior="forbid",
            config=_STRICT,  # it doesn't inherit that of the validator
        )
    if shape.type is Union:
        name, model = map(_core_schema, shape.parts)
        return core_schema.tagged_union_schema({"name": name, "object": model}, _kind_of_value)
    if shape.type is list:
        return core_schema.list_schema(_core_schema(shape.parts[0]), min_length=int(bounds.least))
    if shape.type is dict:
        return core_schema.dict_schema(core_schema.str_schema(), _core_schema(shape.parts[0]))
    if shape.type is int:
        number = core_schema.int_schema(ge=int(bounds.least), le=None if bounds.most is None else int(bounds.most))
        return core_schema.no_info_before_validator_function(_whole, number)
    if shape.type is float:
        return core_schema.float_schema(ge=bounds.least, le=bounds.most)
    if shape.text is not None:
        return shape.text.validator()
    return core_schema.bool_schema() if shape.type is bool else core_schema.any_schema()


def _kind_of_value(value: object) -> str | None:
    return "object" if isinstance(value, dict) else "name" if isinstance(value, str) else None


def _whole(value: object) -> object:
    return int(value) if isinstance(value, float) and value.is_integer() else value
