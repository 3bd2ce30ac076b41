"""The JSON Lines events of a run, named as in Terraform if they mean the same. The writer of the stream adds the time.

`type` is `version`, `diagnostic`, `planned_change`, `change_summary`, `apply_start`, `apply_progress`, `apply_complete` or
`apply_errored`; `@message` is for people, and all other keys are named as in the plan document.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from octosync.errors import ExitCode, OctosyncError
from octosync.model import Diagnostic, JsonObject, JsonValue, Outcome, RolloutStatus, Severity, Status
from octosync.plan import FORMAT_VERSION, Action, diagnostic_row, error_row
from octosync.report.outcomes import STATUS_WORDS, rollout_name, rollout_rows, rollout_words
from octosync.report.plan import nothing_words, totals_words
from octosync.report.plan_report import ApplyReport, PlanReport
from octosync.report.run import outcome_row
from octosync.report.text import visible

_LEVELS: Final = {Severity.ERROR: "error", Severity.WARNING: "warn", Severity.NOTICE: "info"}


def _event(type_: str, text: str, level: str = "info", **more: JsonValue) -> JsonObject:
    return {"@level": level, "@message": visible(text), "type": type_, **more}


def version_event(version: str) -> JsonObject:
    """Return the first event of a stream."""
    return _event("version", f"octosync {version}", octosync_version=version, format_version=FORMAT_VERSION)


def diagnostic_event(diagnostic: Diagnostic) -> JsonObject:
    """Return the event of a diagnostic."""
    message, row = f"{diagnostic.rule}: {diagnostic.summary}", diagnostic_row(diagnostic)
    return _event("diagnostic", message, _LEVELS[diagnostic.severity], diagnostic=row.as_json())


def error_event(error: OctosyncError, *, app: str | None = None) -> JsonObject:
    """Return the event of an error that ended the run, or kept it from planning `app`."""
    row = error_row(error, app=app)
    return _event("diagnostic", f"{error.reference}: {error.message}", "error", error=row.as_json())


def plan_events(report: PlanReport) -> Iterator[JsonObject]:
    """Yield the events of a plan: its diagnostics and errors, each change and refusal, and the summary."""
    yield from map(diagnostic_event, report.all_diagnostics())
    yield from (error_event(error, app=slug) for slug, error in sorted(report.plan.errors.items()))
    document = report.document()
    changes, blocked = document["resource_changes"], document["blocked"]
    for row in changes if isinstance(changes, list) else ():
        yield _event("planned_change", f"{row['address']}: to {_verb(row)}", change=row)
    for refusal in blocked if isinstance(blocked, list) else ():
        yield _event(
            "diagnostic", f"blocked by guard {refusal['guard']}: {refusal['message']}", "error", blocked=refusal
        )
    words = totals_words(report.plan.actions, report.plan.held)
    message = f"Plan: {words}." if words else nothing_words(report.plan)
    summary = _event(
        "change_summary", message, operation="plan", changes=document["summary"], errored=document["errored"]
    )
    yield {**summary, **({"pending": document["pending"]} if "pending" in document else {})}


def _verb(row: Mapping[str, JsonValue]) -> str:
    change = row["change"]
    actions = change["actions"] if isinstance(change, Mapping) else ()
    return ", ".join(map(str, actions)) if isinstance(actions, list) else ""


def start_event(action: Action) -> JsonObject:
    """Return the event of an action that is being sent."""
    about = {"address": str(action.address), "action": action.verb.value}
    return _event("apply_start", f"{action.verb.value} {action.address}", **about)


def outcome_event(outcome: Outcome, *, done: int, total: int) -> JsonObject:
    """Return the event of an outcome: the `done`-th of `total`."""
    is_done = outcome.status is Status.DONE
    details = f": {outcome.message}" if outcome.message else ""
    return _event(
        "apply_complete" if is_done else "apply_errored",
        f"{outcome.verb} {outcome.address} {STATUS_WORDS[outcome.status]}{details}",
        "info" if is_done else "error" if outcome.status in {Status.FAILED, Status.NOT_KEPT} else "warn",
        **outcome_row(outcome).as_json(),
        done=done,
        total=total,
    )


def waiting_event(*, reason: str, requests: int, seconds: float) -> JsonObject:
    """Return the event of a run that waits before its next request: why, and for how many seconds."""
    message = f"{requests} waiting ({reason}), next in {seconds:.0f} s"
    return _event(
        "apply_progress", message, waiting={"reason": reason, "requests": requests, "seconds": round(seconds)}
    )


def rollout_event(rollout: RolloutStatus) -> JsonObject:
    """Return the progress event of a rollout that the run waits for after its writes."""
    message = f"waiting for {rollout_name(rollout)}: {rollout_words(rollout)}"
    return _event("apply_progress", message, standing=rollout_rows([rollout])[0])


def applied_event(report: ApplyReport) -> JsonObject:
    """Return the last event of an apply that wrote."""
    statuses = [outcome.status for outcome in report.outcomes]
    counts = {status.value: statuses.count(status) for status in Status}
    words = ", ".join(f"{statuses.count(status)} {STATUS_WORDS[status]}" for status in Status if status in statuses)
    return _event(
        "change_summary",
        f"Apply: {words}.",
        "info" if report.exit_code is ExitCode.DONE else "error",
        operation="apply",
        changes=counts,
        run=report.run_id,
        waited=None if report.waited is None else rollout_rows(report.waited),
        exit_code=int(report.exit_code),
    )
