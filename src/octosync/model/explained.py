"""Explanations: what a field of a document, or a name that octosync uses in its messages, means."""

from __future__ import annotations

from dataclasses import dataclass

from octosync.model.values import JsonValue


@dataclass(frozen=True, slots=True, kw_only=True)
class ExplainedField:
    """A field, or a whole document, by its `path` as it is typed: `app.spec.slots.servingPolicy`.

    `type` is in words; `choices` closes the set of values, `known` are names of an open one. `default` and `example` are None
    where there is none. `fields` are those below it, each without its own.
    """

    path: str
    about: str
    type: str
    required: bool = False
    default: JsonValue = None
    choices: tuple[str, ...] = ()
    known: tuple[str, ...] = ()
    meaning: str = ""
    owns: str = ""
    example: JsonValue = None
    fields: tuple[ExplainedField, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ExplainedName:
    """A name from a message, and what it is a name of: a rule, a finding, a guard or an outcome.

    `severity` is that of a rule or finding, "" otherwise; `situation`, `example` and `configuration` (an octosync.yaml) show
    when it happens; `ways_out` are what to do.
    """

    name: str
    of: str
    meaning: str
    severity: str = ""
    situation: str = ""
    example: str = ""
    configuration: str = ""
    ways_out: tuple[str, ...] = ()
