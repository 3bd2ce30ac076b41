"""What `octosync validate` says: the diagnostics, and whether the manifests are good."""

from __future__ import annotations

from collections.abc import Iterable

from octosync.errors import OctosyncError
from octosync.model import Diagnostic, JsonObject, Severity, counted
from octosync.plan import FORMAT_VERSION, diagnostic_row
from octosync.report.diagnostics import diagnostic_lines, severities
from octosync.report.documents import error_row
from octosync.report.errors import error_lines
from octosync.report.ink import Ink
from octosync.report.run_report import RunReport
from octosync.report.text import text_of


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


def render_validation(report: RunReport, *, colour: bool) -> str:
    """Render the diagnostics by place, and last whether the manifests are valid."""
    ink, found = Ink(colour), report.all_diagnostics()
    lines = [line for diagnostic in found for line in (*diagnostic_lines(diagnostic, ink), "")]
    verdict = ink.green("Valid") if is_valid(found, strict=report.strict) else ink.red("Not valid")
    error = strict_error(found) if report.strict else None
    why = () if error is None else error_lines(error, ink)
    closing = f"{verdict}: {counted(report.apps, 'app')} in {counted(report.files, 'file')}. {severities(found)}."
    return text_of((*lines, *why, closing))


def validate_document(report: RunReport) -> JsonObject:
    """Return the same as JSON; the diagnostics have the plan document's shape."""
    found = report.all_diagnostics()
    error = strict_error(found) if report.strict else None
    return {
        "format_version": FORMAT_VERSION,
        "valid": is_valid(found, strict=report.strict),
        "files": report.files,
        "apps": report.apps,
        "diagnostics": [diagnostic_row(diagnostic).as_json() for diagnostic in found],
        "errors": [] if error is None else [error_row(error)],
    }
