"""The vocabulary of the models of documents, and how messages, schemas and explanations read a model.

A model describes a document once. Pydantic validates documents and generates JSON Schema by it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cache, cached_property
from types import NoneType, UnionType
from typing import Annotated, Any, Final, TypeVar, Union, get_args, get_origin

from pydantic import BaseModel, BeforeValidator, ConfigDict, Discriminator, GetCoreSchemaHandler, Tag
from pydantic import Field as PydanticField
from pydantic.alias_generators import to_camel
from pydantic.fields import FieldInfo
from pydantic_core import CoreSchema, core_schema

from octosync.model import JsonValue

T = TypeVar("T")


class ObjectModel(BaseModel):
    """An object with known fields. Its `title` is its name in messages, as in "not a field of a slot"."""

    model_config = ConfigDict(
        strict=True, extra="forbid", frozen=True, alias_generator=to_camel, defer_build=True, hide_input_in_errors=True
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Text:
    """Annotates text: `pattern` must match all of it, `meaning` is the pattern in words, `choices` are all allowed values.

    `known` are names of an open set: other names are accepted too, some with a warning.
    """

    pattern: re.Pattern[str] | None = None
    meaning: str = ""
    choices: tuple[str, ...] = ()
    known: tuple[str, ...] = ()
    rule: str = "invalid-value"
    may_be_empty: bool = False

    def __get_pydantic_core_schema__(self, source: object, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Return the schema that pydantic validates text by. Its metadata hold this annotation, for JSON Schema."""
        del source, handler
        metadata = {"text": self}
        if self.choices:
            return core_schema.literal_schema(list(self.choices), metadata=metadata)
        if self.pattern is None:
            return core_schema.str_schema(strict=True, min_length=0 if self.may_be_empty else 1, metadata=metadata)
        whole = rf"\A(?:{self.pattern.pattern})\Z"
        return core_schema.str_schema(strict=True, pattern=whole, regex_engine="python-re", metadata=metadata)


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
class Owns:
    """Annotates a field: which part of the live app a declaration owns."""

    what: str


@dataclass(frozen=True, slots=True)
class Key:
    """Annotates a list: the fields that together make an item unique in it."""

    fields: tuple[str, ...]


class _NotNull:
    """Annotates an optional field that may not be null. None means that it is absent."""

    def __get_pydantic_core_schema__(self, source: object, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Return the schema without null."""
        schema = handler(source)
        return schema["schema"] if schema["type"] == "nullable" else schema


Maybe = Annotated[T | None, _NotNull()]


def _whole(value: object) -> object:
    return int(value) if isinstance(value, float) and value.is_integer() else value


AnyText = Annotated[str, Text(may_be_empty=True)]
Name = Annotated[str, Text()]
WHOLE: Final = BeforeValidator(_whole)
Count = Annotated[int, PydanticField(ge=0), WHOLE]

# A name, or the object that it stands for: `Annotated[Annotated[str, …, AS_NAME] | Annotated[…, AS_OBJECT], NAME_OR_OBJECT]`.
AS_NAME: Final = Tag("name")
AS_OBJECT: Final = Tag("object")
NAME_OR_OBJECT: Final = Discriminator(
    lambda value: "object" if isinstance(value, dict | ObjectModel) else "name" if isinstance(value, str) else None
)


@dataclass(frozen=True, kw_only=True)
class Shape:
    """An annotation of an attribute. `type` is an `ObjectModel`, a type of JSON, `Any`, or `Union` for a name or an object.

    `facts` are the annotation's metadata. `parts` are the shape of a list's items or an object's values, or both alternatives.
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
    def least(self) -> float:
        """The smallest number, or the length of the shortest list."""
        return self._bound("ge", "min_length") or 0

    @property
    def most(self) -> float | None:
        """The largest number, None where there is none."""
        return self._bound("le")

    def _bound(self, *names: str) -> float | None:
        found = (getattr(fact, name, None) for fact in self.facts for name in names)
        return next((bound for bound in found if bound is not None), None)

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
def fields_of(model: type[ObjectModel]) -> Mapping[str, Field]:
    """Return the fields of a model by their keys in documents."""
    return {info.alias or name: _field(info) for name, info in model.model_fields.items()}


@cache
def attributes_of(model: type[ObjectModel]) -> tuple[tuple[str, str, Shape], ...]:
    """Return the attributes of a model: name, key in documents, shape."""
    fields = fields_of(model).items()
    return tuple((name, key, field.shape) for name, (key, field) in zip(model.model_fields, fields, strict=True))


def title_of(model: type[BaseModel]) -> str:
    """Return the name of an object in messages."""
    return model.model_config.get("title") or ""


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


def _field(info: FieldInfo) -> Field:
    return Field(
        shape=shape_of(info.annotation, tuple(info.metadata)),
        about=info.description or "",
        required=info.is_required(),
        default=None if info.is_required() else info.default,
        example=info.examples[0] if info.examples else None,
        owns=next((fact.what for fact in info.metadata if isinstance(fact, Owns)), ""),
    )
