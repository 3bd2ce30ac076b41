"""Reports for machines: the text of a JSON document, and what an apply did."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Annotated

from octosync.errors import OctosyncError
from octosync.model import JsonObject, Outcome, Status
from octosync.plan import FORMAT_VERSION, AddressText, Document, one_of
from octosync.report.errors import request_ids
from octosync.report.run_report import ApplyReport, PlanReport
from octosync.report.waiting import waited_rows


class OutcomeDocument(Document):
    """What became of one action."""

    address: AddressText
    action: str
    status: Annotated[str, one_of(Status)]
    message: str
    reference: str
    hints: list[str]
    request_ids: list[str]


def json_text(document: JsonObject) -> str:
    """Return a document as text: its keys in their own order, and ASCII, so that no terminal or locale changes it."""
    return json.dumps(document, indent=2, allow_nan=False) + "\n"


def json_line(document: JsonObject) -> str:
    """Return a document as one line of text, for streams of them; likewise ASCII."""
    return json.dumps(document, allow_nan=False) + "\n"


def outcome_row(outcome: Outcome) -> OutcomeDocument:
    """Return what became of one action."""
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
    """Return what an apply did: the document of the plan that it executed, and one outcome per action, in order.

    `run` is None, and there are no outcomes, if the plan was not applied. `waited` is None if it did not wait. `error` is
    what refused the plan or ended the run.
    """
    outcomes: Sequence[Outcome] = ()
    run_id, waited = None, None
    if isinstance(report, ApplyReport):
        outcomes, run_id, waited = report.outcomes, report.run_id, report.waited
    return {
        "format_version": FORMAT_VERSION,
        "run": run_id,
        "plan": report.document(full=full),
        "outcomes": [outcome_row(outcome).as_json() for outcome in outcomes],
        "waited": None if waited is None else waited_rows(waited),
        "error": None if report.error is None else error_row(report.error),
        "summary": {status.value: sum(outcome.status is status for outcome in outcomes) for status in Status},
        "exit_code": int(report.exit_code),
    }


def with_error(plan_document: JsonObject, error: OctosyncError) -> JsonObject:
    """Return a plan's document with an error that is no app's own: the plan is shown, and the run failed."""
    errors = plan_document["errors"]
    known = errors if isinstance(errors, list) else []
    return {**plan_document, "errored": True, "errors": [*known, error_row(error)]}


def error_row(error: OctosyncError) -> JsonObject:
    """Return an error that is no app's own as a plan's document has errors."""
    return {
        "app": None,
        "reference": error.reference,
        "message": error.message,
        "hints": list(error.hints),
        "request_id": next(iter(request_ids(error)), None),
    }
