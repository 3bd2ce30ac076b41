"""A run that is over, however far it came: the one value that every format is made from, and it as text, JSON and Markdown."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from octosync.errors import ExitCode, GuardRefused, OctosyncError
from octosync.model import Diagnostic, JsonObject, Outcome, Standing
from octosync.plan import FORMAT_VERSION, diagnostic_document
from octosync.report.diagnostics import render_diagnostics
from octosync.report.documents import error_row, outcomes_document, with_error
from octosync.report.error import NOTHING_WRITTEN, render_error
from octosync.report.failed_markdown import render_failure_markdown
from octosync.report.markdown import render_outcomes_markdown, render_plan_markdown
from octosync.report.outcomes import render_outcomes
from octosync.report.planned import Planned
from octosync.report.validation import is_valid, render_validation, strict_error, validate_document
from octosync.report.waiting import render_waited

VALIDATE: Final = "validate"


@dataclass(frozen=True, slots=True, kw_only=True)
class Applied:
    """What an apply did, as far as it came to writing and waiting.

    `run_id` is None where there was nothing to write. `code` is the exit code of the writes alone; `go_on` the command line
    that goes on where the run leaves off, `history` the one that shows every request of it, `look` the one that shows apps.
    `waited` is None where it did not wait, `timeout` how long it was to wait at most.
    """

    outcomes: Sequence[Outcome] = ()
    run_id: str | None = None
    code: ExitCode = ExitCode.DONE
    go_on: str = ""
    history: str | None = None
    look: str = ""
    waited: Sequence[Standing] | None = None
    timeout: str = ""

    def outcomes_text(self, planned: Planned, *, colour: bool, closes: bool) -> str:
        """Return what became of the writes for people; "" where there were none."""
        if self.run_id is None:
            return ""
        return render_outcomes(
            planned.plan,
            self.outcomes,
            run_id=self.run_id,
            command=self.go_on,
            history=self.history,
            exit_code=self.code,
            colour=colour,
            closes=closes,
        )

    def waited_text(self, code: ExitCode, *, colour: bool, closes: bool) -> str:
        """Return what became of what was waited for; "" where nothing was."""
        if self.waited is None:
            return ""
        return render_waited(
            self.waited,
            timeout=self.timeout,
            command=self.go_on,
            look=self.look,
            run_id=self.run_id if closes else None,
            is_partial=self.code is not ExitCode.DONE,
            history=self.history,
            exit_code=code,
            colour=colour,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """A run that is over.

    `planned` is None where it did not come to a plan; then `error`, and the `diagnostics` of so many manifests' `files` and
    `apps`, say what ended it; `strict` makes warnings errors. `applied` is None for what never was to write; an apply that
    ends before its first write has `error`. `written` is what that means for the control plane, "" where it can't be told.
    """

    command: str
    exit_code: ExitCode
    version: str
    diagnostics: Sequence[Diagnostic] = ()
    files: int = 0
    apps: int = 0
    strict: bool = False
    planned: Planned | None = None
    applied: Applied | None = None
    error: OctosyncError | None = None
    written: str = NOTHING_WRITTEN

    @property
    def checked(self) -> bool:
        """Whether the run was to check the manifests and nothing else, and did."""
        return self.command == VALIDATE and self.error is None

    def all_diagnostics(self) -> tuple[Diagnostic, ...]:
        """Return all that was found in the manifests, and by planning, by place."""
        if self.planned is not None:
            return self.planned.all_diagnostics()
        return tuple(sorted(self.diagnostics, key=lambda one: one.sort_key))


def ended_text(ended: Ended) -> str:
    """Return all that a person is shown of a run, without colour."""
    if ended.checked:
        found, strict = ended.diagnostics, ended.strict
        return render_validation(found, files=ended.files, apps=ended.apps, colour=False, strict=strict)
    planned, applied = ended.planned, ended.applied
    texts = [] if planned is None else [planned.text(colour=False)]
    if planned is None and ended.diagnostics:
        texts.append(render_diagnostics(ended.diagnostics, files=ended.files, colour=False))
    if planned is not None and applied is not None:
        texts.append(applied.outcomes_text(planned, colour=False, closes=applied.waited is None))
        texts.append(applied.waited_text(ended.exit_code, colour=False, closes=True))
    if ended.error is not None:
        texts.append(_error_text(ended, ended.error))
    return "\n".join(filter(None, texts))


def _error_text(ended: Ended, error: OctosyncError) -> str:
    if isinstance(error, GuardRefused) and ended.planned is not None:
        return f"{ended.written}\n"  # the plan has said what blocks it, and the ways out
    return render_error(error, written=ended.written)


def ended_document(ended: Ended, *, full: bool) -> JsonObject:
    """Return a run as JSON: a plan's document, an apply's around it, or, where there is neither, why."""
    if ended.checked:
        found, strict = ended.diagnostics, ended.strict
        return validate_document(found, files=ended.files, apps=ended.apps, strict=strict)
    if ended.planned is None:
        return failure_document(ended)
    plan = ended.planned.document(full=full)
    if ended.command != "apply":
        return plan if ended.error is None else with_error(plan, ended.error)
    applied = ended.applied or Applied()
    return outcomes_document(
        plan,
        applied.outcomes,
        run_id=applied.run_id,
        exit_code=ended.exit_code,
        waited=applied.waited,
        error=ended.error,
    )


def failure_document(ended: Ended) -> JsonObject:
    """Return a run without a plan; what is in it has the plan document's names and shapes."""
    error = ended.error or (strict_error(ended.diagnostics) if ended.strict else None)
    return {
        "format_version": FORMAT_VERSION,
        "octosync_version": ended.version,
        "errored": True,
        "diagnostics": [diagnostic_document(one) for one in ended.all_diagnostics()],
        "errors": [] if error is None else [error_row(error)],
        "exit_code": int(ended.exit_code),
    }


def ended_markdown(ended: Ended, *, max_bytes: int) -> str:
    """Return a run as Markdown, in at most so many bytes of UTF-8."""
    planned, applied = ended.planned, ended.applied
    if planned is None or not ended.written:
        return render_failure_markdown(
            ended.command,
            ended.all_diagnostics(),
            ended.error,
            verdict=_verdict(ended),
            exit_code=ended.exit_code,
            max_bytes=max_bytes,
        )
    if applied is None or (applied.run_id is None and applied.waited is None):
        return render_plan_markdown(planned, max_bytes=max_bytes, refused=ended.error)
    return render_outcomes_markdown(
        planned,
        applied.outcomes,
        run_id=applied.run_id,
        go_on=applied.go_on if applied.code is not ExitCode.DONE else None,
        history=applied.history,
        exit_code=ended.exit_code,
        waited=applied.waited_text(ended.exit_code, colour=False, closes=False),
        max_bytes=max_bytes,
    )


def _verdict(ended: Ended) -> str:
    if ended.checked:
        return "Valid." if ended.exit_code is ExitCode.DONE else "Not valid."
    if ended.error is None and is_valid(ended.diagnostics):
        return f"{ended.written[:-1]}: --strict makes warnings errors."
    return ended.written or "Not finished."


def ended_values(ended: Ended) -> Mapping[str, str]:
    """Return what a workflow's later steps go by: the exit code, and counts as far as they are known."""
    return {name: str(value) for name, value in _values(ended)}


def _values(ended: Ended) -> Iterator[tuple[str, object]]:
    found = ended.all_diagnostics()
    yield "exit-code", int(ended.exit_code)
    yield "valid", str(is_valid(found, strict=ended.strict)).lower()
    for severity in ("error", "warning", "notice"):
        yield f"{severity}s", sum(one.severity.value == severity for one in found)
    if ended.planned is None:
        return
    plan = ended.planned.plan
    yield "changes", len(plan.actions)
    summary = ended.planned.document(full=False)["summary"]
    if isinstance(summary, Mapping):
        yield from summary.items()
    yield "destructive", sum(action.destructive for action in plan.actions)
    yield "blocked", len(ended.planned.blocked)
    yield "errored", len(plan.errors)
    if ended.applied is not None and ended.applied.run_id is not None:
        yield "run", ended.applied.run_id
        statuses = [outcome.status.value for outcome in ended.applied.outcomes]
        yield from ((status.replace("_", "-"), statuses.count(status)) for status in sorted(set(statuses)))
