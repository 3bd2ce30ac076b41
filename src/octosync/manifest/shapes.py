"""Shapes: what a value may look like, as data. The walk that checks them and any JSON Schema come from the same shapes."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from octosync.model import JsonValue


@dataclass(frozen=True, slots=True, kw_only=True)
class Text:
    """Text. `pattern` must match all of it, `meaning` says in words what the pattern wants, `choices` closes the set.

    `known` are names of an open set: others are taken, too, some with a warning.
    """

    pattern: re.Pattern[str] | None = None
    meaning: str = ""
    choices: tuple[str, ...] = ()
    known: tuple[str, ...] = ()
    rule: str = "invalid-value"
    may_be_empty: bool = False


@dataclass(frozen=True, slots=True)
class Flag:
    """True or false."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Number:
    """A number within bounds, both included."""

    least: float = 0
    most: float | None = None
    whole: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ListOf:
    """A list of one shape. `key` names the fields that together make an item unique in it."""

    item: Shape
    least: int = 0
    key: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class MapOf:
    """An object with free keys and values of one shape."""

    value: Shape


@dataclass(frozen=True, slots=True, kw_only=True)
class Opaque:
    """An object that octosync doesn't look into."""

    nullable: bool = False


@dataclass(frozen=True, slots=True)
class Ignored:
    """Anything at all, read by nobody."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """A field of a record: its shape, and one line that says what it means.

    `default` is the value that holds where the field is absent, None where none does; `example` one that stands for others,
    needed where the shape itself gives none. `owns` says what of the live app declaring the field owns.
    """

    shape: Shape
    about: str
    required: bool = False
    default: JsonValue = None
    example: JsonValue = None
    owns: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """An object with known fields; `title` is how a message calls it, as in "not a field of a slot"."""

    title: str
    fields: Mapping[str, Field] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class TextOrRecord:
    """A name, or the object it stands for."""

    text: Text
    record: Record


Shape: TypeAlias = Text | Flag | Number | ListOf | MapOf | Opaque | Ignored | Record | TextOrRecord
