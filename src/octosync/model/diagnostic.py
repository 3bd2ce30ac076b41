"""Diagnostics: what is wrong, or worth knowing, about what was declared or planned."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum

from octosync.model.origin import Origin
from octosync.model.redaction import Concealer


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

    def masked(self, keys: Concealer) -> Diagnostic:
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
