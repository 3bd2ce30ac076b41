"""The report of a run as text, JSON and Markdown, and as output values for the later steps of a workflow."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated

from pydantic import Field

from octosync.errors import ExitCode, GuardRefused, OctosyncError
from octosync.model import JsonObject, Outcome, Status
from octosync.plan import FORMAT_VERSION, AddressText, Document, diagnostic_row, error_row, one_of, summary_part
from octosync.report.errors import (
    render_diagnostics,
    render_error,
    unlisted_words,
)
from octosync.report.markdown import BlobLinks, render_failure_markdown, render_outcomes_markdown, render_plan_markdown
from octosync.report.outcomes import render_outcomes, render_rollouts, rollout_rows
from octosync.report.plan import base_words, render_plan
from octosync.report.plan_report import ApplyReport, PlanReport
from octosync.report.run_report import RunReport, is_valid, strict_error
from octosync.report.text import text_of
from octosync.report.validation import render_validation, validate_document


class OutcomeDocument(Document):
    """The outcome of one action."""

    address: AddressText = Field(description="The object.")
    action: str = Field(description="The action: create, update, delete, archive, enable or optimize.")
    status: Annotated[str, one_of(Status)] = Field(description="The outcome.")
    message: str = Field(description="What happened, in one sentence.")
    reference: str = Field(description="The stable name of the outcome.")
    hints: list[str] = Field(description="What to do, a sentence each.")
    request_ids: list[str] = Field(description="The IDs of its requests.")


def outcome_row(outcome: Outcome) -> OutcomeDocument:
    """Return the row of an outcome."""
    return OutcomeDocument(
        address=str(outcome.address),
        action=outcome.verb,
        status=outcome.status.value,
        message=outcome.message,
        reference=outcome.reference,
        hints=list(outcome.hints),
        request_ids=list(outcome.request_ids),
    )


def apply_document(report: PlanReport, *, full: bool) -> JsonObject:
    """Return the document of an apply: its plan, and one outcome per action, in order.

    `run` is None and `outcomes` is empty if the plan was not applied. `waited` is None if the run did not wait. `error`
    refused the plan or ended the run.
    """
    outcomes: Sequence[Outcome] = ()
    run_id, waited = None, None
    if isinstance(report, ApplyReport):
        outcomes, run_id, waited = report.outcomes, report.run_id, report.waited
    return {
        "format_version": FORMAT_VERSION,
        "run": run_id,
        "plan": report.document(full=full, streamed=True),
        "outcomes": [outcome_row(outcome).as_json() for outcome in outcomes],
        "waited": None if waited is None else rollout_rows(waited),
        "error": None if report.error is None else error_row(report.error).as_json(),
        "summary": {status.value: sum(outcome.status is status for outcome in outcomes) for status in Status},
        "exit_code": int(report.exit_code),
    }


def with_error(plan_document: JsonObject, error: OctosyncError) -> JsonObject:
    """Return a plan document with an additional error that ended the run and does not belong to an app."""
    errors = plan_document["errors"]
    known = errors if isinstance(errors, list) else []
    return {**plan_document, "errored": True, "errors": [*known, error_row(error).as_json()]}


def report_text(report: RunReport) -> str:
    """Return the whole text report of a run, without colour."""
    if report.is_validation:
        return render_validation(report, colour=False)
    texts = []
    if isinstance(report, PlanReport):
        texts.append(render_plan(report, colour=False))
    elif report.diagnostics:
        texts.append(render_diagnostics(report.diagnostics, files=report.files, colour=False))
    if isinstance(report, ApplyReport):
        texts.append(render_outcomes(report, colour=False, closes=report.waited is None))
        texts.append(render_rollouts(report, colour=False, closes=True))
    if report.error is not None:
        texts.append(_error_text(report, report.error))
    return "\n".join(filter(None, texts))


def _error_text(report: RunReport, error: OctosyncError) -> str:
    if isinstance(error, GuardRefused) and isinstance(report, PlanReport):
        return f"{report.written}\n"  # the plan shows what blocks it, and the ways out
    return render_error(error, written=report.written if report.command == "apply" else "")


def report_document(report: RunReport, *, full: bool) -> JsonObject:
    """Return the JSON document of a run: of a plan, an apply, a validation or a failure."""
    if report.is_validation:
        return validate_document(report)
    if not isinstance(report, PlanReport):
        return failure_document(report)
    if report.command == "apply":
        return apply_document(report, full=full)
    plan = report.document(full=full, streamed=True)
    return plan if report.error is None else with_error(plan, report.error)


def failure_document(report: RunReport) -> JsonObject:
    """Return the document of a run without a plan; its keys have the names and shapes of the plan document."""
    error = report.error or (strict_error(report.diagnostics) if report.strict else None)
    return {
        "format_version": FORMAT_VERSION,
        "octosync_version": report.version,
        "errored": True,
        "diagnostics": [diagnostic_row(diagnostic).as_json() for diagnostic in report.all_diagnostics()],
        "errors": [] if error is None else [error_row(error).as_json()],
        "exit_code": int(report.exit_code),
    }


def report_markdown(report: RunReport, *, max_bytes: int, links: BlobLinks | None = None) -> str:
    """Return a run as Markdown, in at most `max_bytes` of UTF-8. Positions are linked if `links` has their URLs."""
    if not isinstance(report, PlanReport) or not report.written:
        return render_failure_markdown(report, verdict=_verdict(report), max_bytes=max_bytes)
    if isinstance(report, ApplyReport) and (report.run_id is not None or report.waited is not None):
        return render_outcomes_markdown(report, max_bytes=max_bytes, links=links)
    return render_plan_markdown(report, max_bytes=max_bytes, links=links)


def _verdict(report: RunReport) -> str:
    if report.is_validation:
        return "Valid." if report.exit_code is ExitCode.DONE else "Not valid."
    if report.error is None and is_valid(report.diagnostics):
        return f"{report.written[:-1]}: --strict makes warnings errors."
    return report.written or "Not finished."


def report_values(report: RunReport) -> Mapping[str, str]:
    """Return the outputs for the later steps of a workflow: the exit code, and the known counts."""
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
    yield from summary_part(plan).as_json().items()
    yield "destructive", sum(action.destructive for action in plan.actions)
    yield "blocked", len(report.blocked)
    yield "errored", len(plan.errors)
    if isinstance(report, ApplyReport) and report.run_id is not None:
        yield "run", report.run_id
        statuses = [outcome.status.value for outcome in report.outcomes]
        yield from ((status.replace("_", "-"), statuses.count(status)) for status in sorted(set(statuses)))


def render_idle(report: PlanReport) -> str:
    """Return the text of a run in which no app differs from the base, and no request was sent."""
    about, git = report.about, report.about.manifests.git
    named, commit = about.invocation.base, None if git is None else git.base
    at = f" ({commit[:12]})" if commit is not None and named != commit else ""
    base = f" {base_words(about)}{at}" if named is not None else ""
    line = f"No app differs from the base{base}: nothing to do, no request sent."
    return text_of(filter(None, (line, unlisted_words(report))))
