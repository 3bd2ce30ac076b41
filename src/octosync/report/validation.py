"""What `octosync validate` says: the diagnostics, and whether the manifests are good."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from octosync.errors import OctosyncError
from octosync.model import Diagnostic, JsonObject, Severity, counted
from octosync.plan import FORMAT_VERSION, diagnostic_document
from octosync.report.diagnostics import diagnostic_lines, severities
from octosync.report.documents import error_row
from octosync.report.error import error_lines
from octosync.report.ink import Ink
from octosync.report.plain import text_of


def is_valid(diagnostics: Iterable[Diagnostic], *, strict: bool = False) -> bool:
    """Say whether manifests with these diagnostics are good; under `strict` a warning is as bad as an error."""
    bad = {Severity.ERROR, Severity.WARNING} if strict else {Severity.ERROR}
    return all(diagnostic.severity not in bad for diagnostic in diagnostics)


def strict_error(diagnostics: Iterable[Diagnostic]) -> OctosyncError | None:
    """Return the error of a run that only `--strict` fails; None if the diagnostics fail it anyway, or not at all."""
    found = tuple(diagnostics)
    if not is_valid(found) or is_valid(found, strict=True):
        return None
    return OctosyncError(
        "strict",
        "there are warnings, and --strict makes them errors",
        hints=("Resolve the warnings, or leave out --strict.",),
    )


def render_validation(
    diagnostics: Sequence[Diagnostic], *, files: int, apps: int, colour: bool, strict: bool = False
) -> str:
    """Render the diagnostics by place, and last whether the manifests are valid."""
    ink = Ink(colour)
    found = sorted(diagnostics, key=lambda diagnostic: diagnostic.sort_key)
    lines = [line for diagnostic in found for line in (*diagnostic_lines(diagnostic, ink), "")]
    valid = is_valid(found, strict=strict)
    verdict = ink.green("Valid") if valid else ink.red("Not valid")
    error = strict_error(found) if strict else None
    why = () if error is None else error_lines(error, ink)
    closing = f"{verdict}: {counted(apps, 'app')} in {counted(files, 'file')}. {severities(found)}."
    return text_of((*lines, *why, closing))


def validate_document(diagnostics: Sequence[Diagnostic], *, files: int, apps: int, strict: bool = False) -> JsonObject:
    """Return the same as JSON; the diagnostics have the plan document's shape."""
    found = sorted(diagnostics, key=lambda diagnostic: diagnostic.sort_key)
    error = strict_error(found) if strict else None
    return {
        "format_version": FORMAT_VERSION,
        "valid": is_valid(found, strict=strict),
        "files": files,
        "apps": apps,
        "diagnostics": [diagnostic_document(diagnostic) for diagnostic in found],
        "errors": [] if error is None else [error_row(error)],
    }
