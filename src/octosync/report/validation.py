"""The result of `octosync validate` as text and as JSON."""

from __future__ import annotations

from octosync.model import JsonObject, counted
from octosync.report.errors import diagnostic_lines, error_lines, severities
from octosync.report.run_report import RunReport, is_valid, strict_error
from octosync.report.text import Style, text_of


def render_validation(report: RunReport, *, colour: bool) -> str:
    """Render the diagnostics by position, and whether the manifests are valid."""
    style, found = Style(colour), report.all_diagnostics()
    lines = [line for diagnostic in found for line in (*diagnostic_lines(diagnostic, style), "")]
    verdict = style.green("Valid") if is_valid(found, strict=report.strict) else style.red("Not valid")
    error = strict_error(found) if report.strict else None
    why = () if error is None else error_lines(error, style)
    closing = f"{verdict}: {counted(report.apps, 'app')} in {counted(report.files, 'file')}. {severities(found)}."
    return text_of((*lines, *why, closing))


def validate_document(report: RunReport) -> JsonObject:
    """Return the result of `octosync validate`; the diagnostics have the shape of those in the plan document."""
    from octosync.plan import FORMAT_VERSION, diagnostic_row, error_row

    found = report.all_diagnostics()
    error = strict_error(found) if report.strict else None
    return {
        "format_version": FORMAT_VERSION,
        "valid": is_valid(found, strict=report.strict),
        "files": report.files,
        "apps": report.apps,
        "diagnostics": [diagnostic_row(diagnostic).as_json() for diagnostic in found],
        "errors": [] if error is None else [error_row(error).as_json()],
    }
