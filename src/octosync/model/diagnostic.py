"""Diagnostics: what is wrong, or worth knowing, about what was declared or planned.

Explanations: what a field of a document, or a name that octosync uses in its messages, means.

What an export leaves out of a manifest.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum

from octosync.model.address import Address, Origin
from octosync.model.redaction import Redactor
from octosync.model.values import JsonValue


class Severity(Enum):
    """Errors stop the run, warnings stop it only under `--strict`, notices never do."""

    ERROR = "error"
    WARNING = "warning"
    NOTICE = "notice"


_RANK = {severity: rank for rank, severity in enumerate(Severity)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Diagnostic:
    """One finding.

    `rule` is stable and kebab-case. `path` is where in the document (`spec.slots[1].servingPolicy`), "" where none applies.
    `excerpt` is the source line, None where there is none or where it holds something sensitive; `width` how many of its
    characters from the origin's column are meant. `suggestion` is what to write instead, `notes` further places and facts.
    """

    severity: Severity
    rule: str
    summary: str
    origin: Origin | None = None
    path: str = ""
    excerpt: str | None = None
    width: int = 1
    suggestion: str | None = None
    notes: tuple[str, ...] = ()

    def masked(self, keys: Redactor) -> Diagnostic:
        """Return the diagnostic with every key masked."""

        def masked(text: str) -> str:
            return str(keys.masked(text))

        return replace(
            self,
            summary=masked(self.summary),
            path=masked(self.path),
            excerpt=None if self.excerpt is None else masked(self.excerpt),
            suggestion=None if self.suggestion is None else masked(self.suggestion),
            notes=tuple(map(masked, self.notes)),
        )

    @property
    def sort_key(self) -> tuple[bool, str, int, int, int, str, str]:
        """By place, those without one last; then gravest first."""
        at = self.origin
        place = (False, at.file, at.line, at.column) if at else (True, "", 0, 0)
        return (*place, _RANK[self.severity], self.rule, self.summary)


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldExplanation:
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
    fields: tuple[FieldExplanation, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class NameExplanation:
    """A name from a message, and what it is a name of: a rule, a finding, a guard or an outcome.

    `severity` is that of a rule or finding, "" otherwise; `situation`, `example` and `configuration` (an octosync.yaml) show
    when it happens; `ways_out` are what to do.
    """

    name: str
    category: str
    meaning: str
    severity: str = ""
    situation: str = ""
    example: str = ""
    configuration: str = ""
    ways_out: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ExportOmission:
    """Something live that a manifest doesn't declare: of which object, its name in manifests, and why."""

    address: Address
    name: str
    why: str
