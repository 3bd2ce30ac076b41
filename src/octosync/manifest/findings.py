"""Findings: where every problem is collected, so that all of them are reported in one go."""

from __future__ import annotations

from octosync.manifest.rules import RULES
from octosync.manifest.source import Placed, Source, quoted
from octosync.model import Diagnostic, Origin, Severity


class Findings:
    """Collects diagnostics. What a rule means and how grave it is stands in the table of rules."""

    def __init__(self) -> None:
        self._found: list[Diagnostic] = []

    def add(
        self,
        rule: str,
        summary: str,
        *,
        origin: Origin | None = None,
        path: str = "",
        excerpt: str | None = None,
        width: int = 1,
        suggestion: str | None = None,
        notes: tuple[str, ...] = (),
    ) -> None:
        """Add a finding of a rule."""
        self._found.append(
            Diagnostic(
                severity=RULES[rule].severity,
                rule=rule,
                summary=summary,
                origin=origin,
                path=path,
                excerpt=excerpt,
                width=max(width, 1),
                suggestion=suggestion,
                notes=notes,
            )
        )

    def extend(self, others: tuple[Diagnostic, ...]) -> None:
        """Take over what was found elsewhere."""
        self._found.extend(others)

    @property
    def sorted(self) -> tuple[Diagnostic, ...]:
        """Every finding once, by place, whatever the order in which they were found."""
        return tuple(sorted(dict.fromkeys(self._found), key=lambda one: (*one.sort_key, one.path, one.notes)))

    @property
    def count(self) -> int:
        """How often something was found so far, repetitions included."""
        return len(self._found)

    @property
    def has_errors(self) -> bool:
        """Say whether any finding is an error."""
        return any(one.severity is Severity.ERROR for one in self._found)


class Reporter:
    """Adds findings about one file, each with its source line unless that is sensitive."""

    def __init__(self, findings: Findings, source: Source) -> None:
        self.findings = findings
        self.source = source

    def report(
        self,
        rule: str,
        at: Placed,
        summary: str,
        *,
        path: str = "",
        suggestion: str | None = None,
        notes: tuple[str, ...] = (),
    ) -> None:
        """Add a finding about a node, or whatever else has a place in the file."""
        shown = self.source.shown(at)
        self.findings.add(
            rule,
            summary,
            origin=shown.origin,
            path=path,
            excerpt=shown.excerpt,
            width=shown.width,
            suggestion=suggestion,
            notes=(*notes, *shown.notes),
        )

    def quote(self, value: object, at: Placed) -> str:
        """Quote a value for a message, unless it is sensitive where it stands."""
        return quoted(value) if not self.source.hides(at.line, at.column) else "a sensitive value"
