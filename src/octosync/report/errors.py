"""Errors, diagnostics and the refusals of guards as text.

An error has its message in the first line and hints below. A diagnostic shows the source line with a caret. A refusal is
followed by the exact flag or commit line that allows it.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Final

from octosync.errors import OctosyncError, RemoteError
from octosync.model import ELLIPSIS, Diagnostic, Severity, counted
from octosync.report.run_report import NOTHING_WRITTEN
from octosync.report.text import Style, cells, listed, text_of, visible

if TYPE_CHECKING:
    from octosync.plan import Override, Refusal
    from octosync.report.plan_report import PlanReport


def render_error(
    error: OctosyncError, *, notes: Iterable[str] = (), written: str = NOTHING_WRITTEN, colour: bool = False
) -> str:
    """Render one error and notes; `written` describes what the run had written by then ("" if unknown)."""
    lines = [*error_lines(error, Style(colour)), *(f"  {visible(note)}" for note in notes)]
    return text_of((*lines, f"  {visible(written)}") if written else lines)


def error_lines(error: OctosyncError, style: Style, *, about: str = "") -> Iterator[str]:
    """Yield the lines of one error; `about` is the app that it concerns, if any."""
    where = f"{visible(about)}: " if about else ""
    yield f"{style.red('error')}: {visible(error.reference)}: {where}{with_requests(error.message, request_ids(error))}"
    yield from (f"  {visible(hint)}" for hint in error.hints)


def request_ids(error: OctosyncError) -> tuple[str, ...]:
    """Return the request ID of a failed request, if there is one."""
    return (error.request_id,) if isinstance(error, RemoteError) and error.request_id else ()


def with_requests(message: str, ids: tuple[str, ...]) -> str:
    """Return a message with those of the request IDs that it does not contain."""
    missing = [visible(id_) for id_ in ids if id_ not in message]
    noun = "request" if len(missing) == 1 else "requests"
    return f"{visible(message)} ({noun} {', '.join(missing)})" if missing else visible(message)


_TAB: Final = " " * 4
_LONGEST: Final = 120  # columns of a source line
_LEAD: Final = 40  # columns before the caret in a line that is cut


def render_diagnostics(diagnostics: Iterable[Diagnostic], *, files: int, colour: bool) -> str:
    """Render diagnostics by position, and their counts; `files` is the number of files that were read."""
    found = sorted(diagnostics, key=lambda diagnostic: diagnostic.sort_key)
    style = Style(colour)
    lines = [line for diagnostic in found for line in (*diagnostic_lines(diagnostic, style), "")]
    where = f" in {counted(files, 'file')}" if files else ""
    return text_of((*lines, f"{severities(found)}{where}. Nothing was sent."))


def severities(diagnostics: Iterable[Diagnostic]) -> str:
    """Return the counts by severity, most severe first: `2 errors, 1 warning`."""
    found = [diagnostic.severity for diagnostic in diagnostics]
    counts = [counted(found.count(severity), severity.value) for severity in Severity if severity in found]
    return ", ".join(counts) or "No problems"


def unlisted_words(report: PlanReport) -> str:
    """Return how many diagnostics are about other apps, and the command that lists them; "" for none."""
    from octosync.plan import Invocation

    if not (unlisted := report.unlisted_diagnostics()):
        return ""
    given = report.about.invocation
    command = shlex.join(
        ("octosync", "validate", *Invocation(paths=given.paths, kustomize=given.kustomize).arguments())
    )
    return f"In apps that this change does not touch: {severities(unlisted)}. To list them:  {visible(command)}"


def diagnostic_lines(diagnostic: Diagnostic, style: Style) -> Iterator[str]:
    """Yield the lines of one diagnostic."""
    paint = {Severity.ERROR: style.red, Severity.WARNING: style.yellow, Severity.NOTICE: style.cyan}[
        diagnostic.severity
    ]
    yield f"{paint(diagnostic.severity.value)}: {visible(diagnostic.rule)}: {visible(diagnostic.summary)}"
    origin, advice = diagnostic.origin, _advice(diagnostic.suggestion)
    gutter = " " * (len(str(origin.line)) if origin else 1)
    if origin is not None:
        path = f"   {visible(diagnostic.path)}" if diagnostic.path else ""
        yield f"{gutter}{style.cyan('-->')} {visible(str(origin))}{path}"
    elif diagnostic.path:
        yield f"{gutter}{style.cyan('-->')} {visible(diagnostic.path)}"
    if origin is not None and diagnostic.excerpt is not None:
        source, caret = _excerpt(diagnostic.excerpt, origin.column, diagnostic.width)
        yield f"{gutter} {style.cyan('|')}"
        yield f"{style.cyan(str(origin.line))} {style.cyan('|')} {source}"
        yield f"{gutter} {style.cyan('|')} {paint(caret)}{advice and f' {advice}'}"
        advice = ""
    for note in filter(None, (advice, *map(visible, diagnostic.notes))):
        yield f"{gutter} {style.cyan('=')} {note}"


def _advice(suggestion: str | None) -> str:
    return "" if suggestion is None else f"did you mean `{visible(suggestion)}`?"


def _excerpt(line: str, column: int, width: int) -> tuple[str, str]:
    """Return a source line as it is shown, cut around the caret if it is long, and the line with the caret below it."""
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


def override_words(override: Override) -> str:
    """Return an override as it was given: a flag with its value, or the guard and the source of the override."""
    if override.source.startswith("--"):
        return visible(f"{override.source} {override.value}".rstrip())
    value = f"={override.value}" if override.value else ""
    return visible(f"{override.guard}{value} ({override.source})")


def blocked_lines(report: PlanReport, style: Style, *, mark: str = "!") -> Iterator[str]:
    """Yield each refusal, then one command line that allows all of them and keeps the flags already given.

    `mark` is the mark of the refused changes in the plan below.
    """
    from octosync.plan import trailer_of, way_out_of

    blocked, overrides, about = report.blocked, report.overrides, report.about
    for refusal in blocked:
        yield f"{style.red('Blocked')}: {visible(refusal.message)} (guard {refusal.guard})"
        if refusal.override is not None and refusal.addresses:
            yield f"  {listed((visible(str(address)) for address in refusal.addresses), at_most=1)}, marked {mark} below"
        if (way_out := way_out_of(refusal, about)) is not None:
            yield f"  Next step: {visible(way_out)}"
    flags = tuple(dict.fromkeys(refusal.override for refusal in blocked if refusal.override is not None))
    if flags:
        remaining = any(refusal.override is None for refusal in blocked)
        label = "To allow the rest, after that:" if remaining else "To allow this:"
        yield f"  {label}   {visible(' '.join((about.apply_command, *_in_force(blocked, overrides), *flags)))}"
    trailers = {refusal.guard: trailer_of(refusal, about) for refusal in blocked}
    if lines := [line for line in trailers.values() if line is not None]:
        allows = " ".join(line.removeprefix("Octosync-Allow: ") for line in lines)
        others = [guard for guard, line in trailers.items() if line is None]
        rest = f"   (not possible for {' or '.join(others)})" if others else ""
        yield f"  In a commit:     {visible(f'Octosync-Allow: {allows}')}{rest}"


def _in_force(blocked: Sequence[Refusal], overrides: Sequence[Override]) -> Iterator[str]:
    # A guard that still refuses gets a new value; repeating its old one would contradict that.
    refusing = {refusal.guard for refusal in blocked}
    for override in overrides:
        if override.guard not in refusing and override.source.startswith("--"):
            yield override_words(override)
