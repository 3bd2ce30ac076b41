"""The reports of runs with a plan: a run that has one has a `PlanReport`, an apply that started to write an `ApplyReport`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from itertools import filterfalse
from typing import TYPE_CHECKING, Any

from octosync.contract import Contract
from octosync.errors import ExitCode
from octosync.report.run_report import RunReport

if TYPE_CHECKING:
    from octosync.model import Diagnostic, JsonObject, Outcome, RolloutStatus, Sensitivity
    from octosync.plan import Override, Plan, Refusal, RunInfo


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanReport(RunReport):
    """A run with a plan, and the context that its reports need.

    `full` includes unchanged objects, and shows values unclipped. `summary_only`: text and Markdown have only the table that
    counts the changes.
    """

    command: str = "plan"
    plan: Plan
    about: RunInfo
    sensitivity: Sensitivity
    contract: Contract = field(default_factory=Contract)
    blocked: Sequence[Refusal] = ()
    overrides: Sequence[Override] = ()
    full: bool = False
    summary_only: bool = False

    def document(self, *, full: bool = False, streamed: bool = False) -> JsonObject:
        """Return the plan's JSON document. With `streamed`, `json_text` makes the rows while it writes the document."""
        from octosync.plan import plan_document

        document = plan_document(
            self.plan,
            about=self.about,
            contract=self.contract,
            sensitivity=self.sensitivity,
            blocked=self.blocked,
            overrides=self.overrides,
            diagnostics=self.diagnostics,
            full=full,
        )
        return document if streamed else {**document, "resource_changes": [*document["resource_changes"].as_json()]}

    def all_diagnostics(self) -> tuple[Diagnostic, ...]:
        """Return the diagnostics of the manifests and of the plan, by position."""
        from octosync.plan import all_diagnostics

        return all_diagnostics(self.plan, self.diagnostics)

    def listed_diagnostics(self) -> tuple[Diagnostic, ...]:
        """Return the diagnostics that reports for people list; with `--changed-only`, they only count unrelated ones."""
        found = self.all_diagnostics()
        return tuple(filterfalse(self.is_unrelated, found)) if self.about.invocation.changed_only else found

    def unlisted_diagnostics(self) -> tuple[Diagnostic, ...]:
        """Return the diagnostics that reports for people only count."""
        found = self.all_diagnostics()
        return tuple(filter(self.is_unrelated, found)) if self.about.invocation.changed_only else ()

    def applied(self, **facts: Any) -> ApplyReport:
        """Return the report of an apply of this plan, with the additional fields."""
        return ApplyReport(**{field.name: getattr(self, field.name) for field in fields(PlanReport)}, **facts)


@dataclass(frozen=True, slots=True, kw_only=True)
class ApplyReport(PlanReport):
    """An apply: the outcomes of its writes, and the rollouts that it waited for.

    `run_id` is None if there was nothing to write. `write_code` is the exit code of the writes alone. The commands for the
    next steps: `resume_command` continues the apply, `history` shows every request of the run, `status_command` shows
    apps. `waited` is None if it did not wait; `timeout` is the limit of the wait.
    """

    command: str = "apply"
    outcomes: Sequence[Outcome] = ()
    run_id: str | None = None
    write_code: ExitCode = ExitCode.DONE
    resume_command: str = ""
    history: str | None = None
    status_command: str = ""
    waited: Sequence[RolloutStatus] | None = None
    timeout: str = ""
