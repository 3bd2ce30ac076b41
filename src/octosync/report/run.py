"""The report of a run as text, JSON and Markdown, and the values that a workflow's later steps use."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from octosync.errors import ExitCode, GuardRefused, OctosyncError
from octosync.model import JsonObject
from octosync.plan import FORMAT_VERSION, diagnostic_row
from octosync.report.diagnostics import render_diagnostics
from octosync.report.documents import apply_document, error_row, with_error
from octosync.report.errors import render_error
from octosync.report.failed_markdown import render_failure_markdown
from octosync.report.markdown import render_outcomes_markdown, render_plan_markdown
from octosync.report.outcomes import render_outcomes
from octosync.report.plan import render_plan
from octosync.report.run_report import ApplyReport, PlanReport, RunReport
from octosync.report.validation import is_valid, render_validation, strict_error, validate_document
from octosync.report.waiting import render_waited


def report_text(report: RunReport) -> str:
    """Return all that a person is shown of a run, without colour."""
    if report.checked:
        return render_validation(report, colour=False)
    texts = []
    if isinstance(report, PlanReport):
        texts.append(render_plan(report, colour=False))
    elif report.diagnostics:
        texts.append(render_diagnostics(report.diagnostics, files=report.files, colour=False))
    if isinstance(report, ApplyReport):
        texts.append(render_outcomes(report, colour=False, closes=report.waited is None))
        texts.append(render_waited(report, colour=False, closes=True))
    if report.error is not None:
        texts.append(_error_text(report, report.error))
    return "\n".join(filter(None, texts))


def _error_text(report: RunReport, error: OctosyncError) -> str:
    if isinstance(error, GuardRefused) and isinstance(report, PlanReport):
        return f"{report.written}\n"  # the plan shows what blocks it, and the ways out
    return render_error(error, written=report.written)


def report_document(report: RunReport, *, full: bool) -> JsonObject:
    """Return a run as JSON: a plan's document, an apply's around it, or, where there is neither, why."""
    if report.checked:
        return validate_document(report)
    if not isinstance(report, PlanReport):
        return failure_document(report)
    if report.command == "apply":
        return apply_document(report, full=full)
    plan = report.document(full=full)
    return plan if report.error is None else with_error(plan, report.error)


def failure_document(report: RunReport) -> JsonObject:
    """Return a run without a plan; what is in it has the plan document's names and shapes."""
    error = report.error or (strict_error(report.diagnostics) if report.strict else None)
    return {
        "format_version": FORMAT_VERSION,
        "octosync_version": report.version,
        "errored": True,
        "diagnostics": [diagnostic_row(diagnostic).as_json() for diagnostic in report.all_diagnostics()],
        "errors": [] if error is None else [error_row(error)],
        "exit_code": int(report.exit_code),
    }


def report_markdown(report: RunReport, *, max_bytes: int) -> str:
    """Return a run as Markdown, in at most so many bytes of UTF-8."""
    if not isinstance(report, PlanReport) or not report.written:
        return render_failure_markdown(report, verdict=_verdict(report), max_bytes=max_bytes)
    if isinstance(report, ApplyReport) and (report.run_id is not None or report.waited is not None):
        return render_outcomes_markdown(report, max_bytes=max_bytes)
    return render_plan_markdown(report, max_bytes=max_bytes)


def _verdict(report: RunReport) -> str:
    if report.checked:
        return "Valid." if report.exit_code is ExitCode.DONE else "Not valid."
    if report.error is None and is_valid(report.diagnostics):
        return f"{report.written[:-1]}: --strict makes warnings errors."
    return report.written or "Not finished."


def report_values(report: RunReport) -> Mapping[str, str]:
    """Return the outputs for a workflow's later steps: the exit code, and counts as far as they are known."""
    return {name: str(value) for name, value in _values(report)}


def _values(report: RunReport) -> Iterator[tuple[str, object]]:
    found = report.all_diagnostics()
    yield "exit-code", int(report.exit_code)
    yield "valid", str(is_valid(found, strict=report.strict)).lower()
    for severity in ("error", "warning", "notice"):
        yield f"{severity}s", sum(diagnostic.severity.value == severity for diagnostic in found)
    if not isinstance(report, PlanReport):
        return
    plan = report.plan
    yield "changes", len(plan.actions)
    summary = report.document()["summary"]
    if isinstance(summary, Mapping):
        yield from summary.items()
    yield "destructive", sum(action.destructive for action in plan.actions)
    yield "blocked", len(report.blocked)
    yield "errored", len(plan.errors)
    if isinstance(report, ApplyReport) and report.run_id is not None:
        yield "run", report.run_id
        statuses = [outcome.status.value for outcome in report.outcomes]
        yield from ((status.replace("_", "-"), statuses.count(status)) for status in sorted(set(statuses)))
