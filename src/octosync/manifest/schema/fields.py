"""Shapes: what the models of documents are made of, and what can be read from a model: for messages, schemas and explanations.

A model says once what a document may hold. Pydantic checks by it and writes JSON Schema from it.
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
    """An object with known fields. The `title` of its configuration is its name in messages, as in "not a field of a slot"."""

    model_config = ConfigDict(
        strict=True, extra="forbid", frozen=True, alias_generator=to_camel, defer_build=True, hide_input_in_errors=True
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Text:
    """Annotates text. `pattern` must match all of it, `meaning` says in words what the pattern wants, `choices` closes the set.

    `known` are names of an open set: others are taken, too, some with a warning.
    """

    pattern: re.Pattern[str] | None = None
    meaning: str = ""
    choices: tuple[str, ...] = ()
    known: tuple[str, ...] = ()
    rule: str = "invalid-value"
    may_be_empty: bool = False

    def __get_pydantic_core_schema__(self, source: object, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Return what pydantic checks text by; JSON Schema finds this annotation in its metadata."""
        del source, handler
        metadata = {"text": self}
        if self.choices:
            return core_schema.literal_schema(list(self.choices), metadata=metadata)
        if self.pattern is None:
            return core_schema.str_schema(strict=True, min_length=0 if self.may_be_empty else 1, metadata=metadata)
        whole = rf"\A(?:{self.pattern.pattern})\Z"
        return core_schema.str_schema(strict=True, pattern=whole, regex_engine="python-re", metadata=metadata)


class Complaint(ValueError):
    """What a validator says of a text of the right shape: the rule that it breaks, and how that is said.

    The summary begins with the quoted text if it `quotes`. `names` are those one of which was probably meant. With `hides`, the
    text may be a secret: neither it nor its line is shown.
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
    """Annotates a field: what of the live app declaring it owns."""

    what: str


@dataclass(frozen=True, slots=True)
class Key:
    """Annotates a list: the fields that together make an item unique in it."""

    fields: tuple[str, ...]


class _NotNull:
    """Annotates a field that may be absent, which reads as None, and may not be null."""

    def __get_pydantic_core_schema__(self, source: object, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Return the schema of what is not None."""
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
    """What one annotation says. `type` is a record's model, a type of JSON, `Any`, or `Union` for a name or an object.

    `facts` are its annotations; `parts` the shape of a list's items or an object's values, or those of the name and the object.
    """

    type: Any
    facts: tuple[object, ...] = ()
    parts: tuple[Shape, ...] = ()
    nullable: bool = False

    @cached_property
    def text(self) -> Text | None:
        """What is said of text, None for what isn't."""
        return next((fact for fact in self.facts if isinstance(fact, Text)), None)

    @cached_property
    def is_model(self) -> bool:
        """Whether it is an object with known fields."""
        return isinstance(self.type, type) and issubclass(self.type, ObjectModel)

    @cached_property
    def is_plain(self) -> bool:
        """Whether its values are taken as they are written."""
        return self.is_opaque or not (self.parts or self.is_model)

    @cached_property
    def is_opaque(self) -> bool:
        """Whether it is an object that octosync doesn't look into."""
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
        """The fields of a record, none for anything else."""
        return fields_of(self.type) if self.is_model else {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """A field of a record: its shape, and one line that says what it means.

    `default` is the value that holds where the field is absent, None where none does; `example` one that stands for others.
    """

    shape: Shape
    about: str
    required: bool = False
    default: JsonValue = None
    example: JsonValue = None
    owns: str = ""


@cache
def fields_of(model: type[ObjectModel]) -> Mapping[str, Field]:
    """Return the fields of a model by their names in documents."""
    return {info.alias or name: _field(info) for name, info in model.model_fields.items()}


@cache
def attributes_of(model: type[ObjectModel]) -> tuple[tuple[str, str, Shape], ...]:
    """Return the attributes of a model, what documents call them, and their shapes."""
    fields = fields_of(model).items()
    return tuple((name, key, field.shape) for name, (key, field) in zip(model.model_fields, fields, strict=True))


def title_of(model: type[BaseModel]) -> str:
    """Return how messages call a record."""
    return model.model_config.get("title") or ""


def shape_of(annotation: Any, facts: tuple[object, ...] = ()) -> Shape:  # noqa: ANN401 - a type, or what typing makes of one
    """Return what an annotation says."""
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
