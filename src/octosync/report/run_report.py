"""The report of a run: the value from which every text and document about the run is made.

A run that ends before its plan has a `RunReport`, one with a plan a `PlanReport`, an apply that started to write an
`ApplyReport`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, fields
from itertools import filterfalse
from typing import TYPE_CHECKING, Any, Final

from octosync import __version__
from octosync.contract import Contract
from octosync.errors import ExitCode, OctosyncError
from octosync.model import Severity

if TYPE_CHECKING:
    from octosync.model import Diagnostic, JsonObject, Outcome, Policy, RolloutStatus, Sensitivity
    from octosync.plan import Override, Plan, Refusal, RunInfo

VALIDATE: Final = "validate"
NOTHING_WRITTEN: Final = "Nothing was written."


@dataclass(frozen=True, slots=True, kw_only=True)
class RunReport:
    """A run without a plan.

    `diagnostics` are those of the manifests; `files` and `apps` count what was read; `policies` are those in force.
    `strict` makes warnings errors. `error` ended the run; it is None if only diagnostics did. `written` describes the effect on
    the control plane; it is "" if the effect is unknown. `touched` are the apps that the manifests declare otherwise than the
    base, None without a base.
    """

    command: str
    exit_code: ExitCode = ExitCode.DONE
    version: str = __version__
    diagnostics: Sequence[Diagnostic] = ()
    files: int = 0
    apps: int = 0
    policies: Sequence[Policy] = ()
    strict: bool = False
    error: OctosyncError | None = None
    written: str = NOTHING_WRITTEN
    touched: frozenset[str] | None = None

    @property
    def is_validation(self) -> bool:
        """Whether the run was a completed `octosync validate`."""
        return self.command == VALIDATE and self.error is None

    def all_diagnostics(self) -> tuple[Diagnostic, ...]:
        """Return the diagnostics of the manifests and of planning, by position."""
        return tuple(sorted(self.diagnostics, key=lambda diagnostic: diagnostic.sort_key))

    def is_unrelated(self, diagnostic: Diagnostic) -> bool:
        """Return whether a diagnostic is about apps that the change does not touch."""
        return self.touched is not None and bool(diagnostic.apps) and self.touched.isdisjoint(diagnostic.apps)


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


def is_valid(diagnostics: Iterable[Diagnostic], *, strict: bool = False) -> bool:
    """Return whether manifests with these diagnostics are valid; `strict` rejects warnings."""
    rejected = {Severity.ERROR, Severity.WARNING} if strict else {Severity.ERROR}
    return all(diagnostic.severity not in rejected for diagnostic in diagnostics)


def strict_error(diagnostics: Iterable[Diagnostic]) -> OctosyncError | None:
    """Return the error of a run that fails only because of `--strict`; None otherwise."""
    found = tuple(diagnostics)
    if not is_valid(found) or is_valid(found, strict=True):
        return None
    return OctosyncError(
        "strict",
        "there are warnings, and --strict makes them errors",
        hints=("Fix the warnings, or omit --strict.",),
    )
