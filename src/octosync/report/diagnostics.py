"""Diagnostics as text: what is wrong, where, the source line with a caret, and what to write instead."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from octosync.model import ELLIPSIS, Diagnostic, Severity, counted
from octosync.report.ink import Ink
from octosync.report.text import cells, text_of, visible

_TAB: Final = " " * 4
_LONGEST: Final = 120  # columns of a source line
_LEAD: Final = 40  # of them before the caret, where the line is cut


def render_diagnostics(diagnostics: Iterable[Diagnostic], *, files: int, colour: bool) -> str:
    """Render diagnostics by place, and close with their count over so many manifests that were read, where any were."""
    found = sorted(diagnostics, key=lambda diagnostic: diagnostic.sort_key)
    ink = Ink(colour)
    lines = [line for diagnostic in found for line in (*diagnostic_lines(diagnostic, ink), "")]
    where = f" in {counted(files, 'file')}" if files else ""
    return text_of((*lines, f"{severities(found)}{where}. Nothing was sent."))


def severities(diagnostics: Iterable[Diagnostic]) -> str:
    """Count by severity, gravest first: `2 errors, 1 warning`."""
    found = [diagnostic.severity for diagnostic in diagnostics]
    counts = [counted(found.count(severity), severity.value) for severity in Severity if severity in found]
    return ", ".join(counts) or "No problems"


def diagnostic_lines(diagnostic: Diagnostic, ink: Ink) -> Iterator[str]:
    """Yield the lines of one diagnostic."""
    paint = {Severity.ERROR: ink.red, Severity.WARNING: ink.yellow, Severity.NOTICE: ink.cyan}[diagnostic.severity]
    yield f"{paint(diagnostic.severity.value)}: {visible(diagnostic.rule)}: {visible(diagnostic.summary)}"
    origin, advice = diagnostic.origin, _advice(diagnostic.suggestion)
    gutter = " " * (len(str(origin.line)) if origin else 1)
    if origin is not None:
        path = f"   {visible(diagnostic.path)}" if diagnostic.path else ""
        yield f"{gutter}{ink.cyan('-->')} {visible(str(origin))}{path}"
    elif diagnostic.path:
        yield f"{gutter}{ink.cyan('-->')} {visible(diagnostic.path)}"
    if origin is not None and diagnostic.excerpt is not None:
        source, caret = _excerpt(diagnostic.excerpt, origin.column, diagnostic.width)
        yield f"{gutter} {ink.cyan('|')}"
        yield f"{ink.cyan(str(origin.line))} {ink.cyan('|')} {source}"
        yield f"{gutter} {ink.cyan('|')} {paint(caret)}{advice and f' {advice}'}"
        advice = ""
    for note in filter(None, (advice, *map(visible, diagnostic.notes))):
        yield f"{gutter} {ink.cyan('=')} {note}"


def _advice(suggestion: str | None) -> str:
    return "" if suggestion is None else f"did you mean `{visible(suggestion)}`?"


def _excerpt(line: str, column: int, width: int) -> tuple[str, str]:
    """Return a source line as it is shown, cut around the caret where it is long, and the line with the caret below it."""
    pieces = [_TAB if character == "\t" else visible(character) for character in line.rstrip("\r\n")]
    at = min(column - 1, len(pieces))
    until = min(at + max(width, 1), len(pieces))
    start, stop = _window(pieces, at)
    cut_before, cut_after = ELLIPSIS if start else "", ELLIPSIS if stop < len(pieces) else ""
    source = f"{cut_before}{''.join(pieces[start:stop])}{cut_after}"
    indent = cells(cut_before) + cells("".join(pieces[start:at]))
    return source, " " * indent + "^" * max(1, cells("".join(pieces[at : min(until, stop)])))


def _window(pieces: list[str], at: int) -> tuple[int, int]:
    widths = [cells(piece) for piece in pieces]
    if sum(widths) <= _LONGEST:
        return 0, len(pieces)
    start, lead = at, 0
    while start and lead < _LEAD:
        start -= 1
        lead += widths[start]
    stop, total = start, 0
    while stop < len(pieces) and total < _LONGEST:
        total += widths[stop]
        stop += 1
    return start, stop
