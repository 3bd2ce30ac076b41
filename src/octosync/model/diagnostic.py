"""Diagnostics of manifests and plans, explanations of fields and names for `octosync explain`, and omissions of an export."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import Enum

from octosync.model.address import Address, Origin
from octosync.model.redaction import Redactor
from octosync.model.values import JsonValue


class Severity(Enum):
    """How serious a diagnostic is: errors stop the run, warnings stop it only with `--strict`, notices never do."""

    ERROR = "error"
    WARNING = "warning"
    NOTICE = "notice"


_RANK = {severity: rank for rank, severity in enumerate(Severity)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Diagnostic:
    """A problem of a manifest or a plan, or a note about it.

    `rule` is a stable kebab-case name. `path` is the field in the document (`spec.slots[1].servingPolicy`), "" if none applies.
    `excerpt` is the source line, None if there is none or if it holds a sensitive value; `width` is how many of its characters
    are marked, from the origin's column. `suggestion` is what to write instead, `notes` are further places and facts. `apps` are
    the apps whose documents it is about; empty if it is about no document, or not a diagnostic of manifests. `subject` is
    the part of the summary that is the same in every run; empty if the whole summary is.
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
    apps: frozenset[str] = field(default=frozenset(), compare=False)
    subject: str = field(default="", compare=False)

    def masked(self, keys: Redactor) -> Diagnostic:
        """Return the diagnostic with all API keys masked."""

        def masked(text: str) -> str:
            return str(keys.masked(text))

        return replace(
            self,
            summary=masked(self.summary),
            subject=masked(self.subject),
            path=masked(self.path),
            excerpt=None if self.excerpt is None else masked(self.excerpt),
            suggestion=None if self.suggestion is None else masked(self.suggestion),
            notes=tuple(map(masked, self.notes)),
        )

    @property
    def sort_key(self) -> tuple[bool, str, int, int, int, str, str]:
        """The origin, diagnostics without one last; then the severity, most serious first."""
        origin = self.origin
        place = (False, origin.file, origin.line, origin.column) if origin else (True, "", 0, 0)
        return (*place, _RANK[self.severity], self.rule, self.summary)


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldExplanation:
    """The explanation of a field or a document, by the `path` that `explain` takes: `app.spec.slots.servingPolicy`.

    `type` is in words. `choices` are all allowed values. `known` are known values of an open set, and `others` is what happens to
    other values. `default` and `example` are None if there is none. `fields` are the fields below it, without their own `fields`.
    """

    path: str
    about: str
    type: str
    required: bool = False
    default: JsonValue = None
    choices: tuple[str, ...] = ()
    known: tuple[str, ...] = ()
    others: str = ""
    meaning: str = ""
    owns: str = ""
    example: JsonValue = None
    fields: tuple[FieldExplanation, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class NameExplanation:
    """The explanation of a name in a message; its `category` is rule, finding, guard, outcome or error.

    `severity` is set for rules and findings, "" otherwise. `situation`, `example` and `configuration` (an octosync.yaml) show
    when it happens; `ways_out` are the ways to resolve it.
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
    """A live value that an exported manifest doesn't declare: its object, its name in manifests, and why."""

    address: Address
    name: str
    why: str
