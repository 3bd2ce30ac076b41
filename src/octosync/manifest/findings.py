"""Findings: where every problem is collected, so that all of them are reported in one go."""

from __future__ import annotations

from typing import Final

from octosync.manifest.schema.rules import RULES
from octosync.manifest.yaml.source import Placed, Source, quoted
from octosync.model import Diagnostic, Origin, Severity

MOST_LISTED: Final = 1000
_UNLISTED: Final = "more-problems"
_GRAVEST_FIRST: Final = (Severity.ERROR, Severity.WARNING, Severity.NOTICE)


class Findings:
    """Collects diagnostics, a bounded number of them; the rest is counted. `RULES` says what a rule means and how grave it is.

    `file` is the one that all of them are about.
    """

    def __init__(self, file: str | None = None) -> None:
        self._file = file
        self._found: dict[Severity, list[Diagnostic]] = {severity: [] for severity in _GRAVEST_FIRST}
        self._counts = dict.fromkeys(_GRAVEST_FIRST, 0)
        self._unlisted: list[Diagnostic] = []  # what counts what is not listed of a file

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
        self._keep(
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
        for diagnostic in others:
            self._keep(diagnostic)

    def has_room(self, rule: str) -> bool:
        """Return whether another finding of a rule would be listed; else it is to be counted only."""
        return len(self._found[RULES[rule].severity]) < MOST_LISTED

    def add_unlisted(self, rule: str) -> None:
        """Count a finding that is not to be listed."""
        self._counts[RULES[rule].severity] += 1

    def _keep(self, diagnostic: Diagnostic) -> None:
        if diagnostic.rule == _UNLISTED:
            self._unlisted.append(diagnostic)
            return
        self._counts[diagnostic.severity] += 1
        found = self._found[diagnostic.severity]
        if len(found) < MOST_LISTED:
            found.append(diagnostic)

    @property
    def sorted(self) -> tuple[Diagnostic, ...]:
        """Return every finding once, by place, whatever the order in which they were found.

        Of more than `MOST_LISTED`, the gravest are listed, and a notice counts the others.
        """
        listed: list[Diagnostic] = []
        unlisted: list[str] = []
        for severity, found in self._found.items():
            unique = dict.fromkeys(found)
            room = MOST_LISTED - len(listed)
            listed += sorted(unique, key=_order)[:room]
            more = max(0, len(unique) - room) + self._counts[severity] - len(found)
            unlisted += [f"{more:,} {severity.value}{'s' if more > 1 else ''}"] if more else []
        listed += self._unlisted
        if unlisted:
            summary = f"{' and '.join(unlisted)} more are not listed"
            origin = Origin(self._file) if self._file is not None else None
            listed.append(
                Diagnostic(severity=RULES[_UNLISTED].severity, rule=_UNLISTED, summary=summary, origin=origin)
            )
        return tuple(sorted(listed, key=_order))

    @property
    def count(self) -> int:
        """How often something was found so far, repetitions included."""
        return sum(self._counts.values())

    @property
    def has_errors(self) -> bool:
        """Return whether any finding is an error."""
        return self._counts[Severity.ERROR] > 0


def _order(diagnostic: Diagnostic) -> tuple[object, ...]:
    return (*diagnostic.sort_key, diagnostic.path, diagnostic.notes)


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
        shows_line: bool = True,
    ) -> None:
        """Add a finding about a node, or whatever else has a place in the file; without the line if that may be a secret."""
        if not self.findings.has_room(rule):
            self.findings.add_unlisted(rule)
            return
        shown = self.source.shown(at)
        self.findings.add(
            rule,
            summary,
            origin=shown.origin,
            path=path,
            excerpt=shown.excerpt if shows_line else None,
            width=shown.width,
            suggestion=suggestion,
            notes=(*notes, *shown.notes),
        )

    def quote(self, value: object, at: Placed) -> str:
        """Quote a value for a message, unless it is sensitive where it stands."""
        return quoted(value) if not self.source.hides(at.line, at.column) else "a sensitive value"
