"""The report of a run: the one value that every text and document of it is made from, filled as far as the run came.

A run that ends before its plan has a `RunReport`, one with a plan a `PlanReport`, an apply that came to writing an
`ApplyReport`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, Final

from octosync import __version__
from octosync.contract import Contract
from octosync.errors import ExitCode, OctosyncError
from octosync.model import Diagnostic, JsonObject, Outcome, RolloutStatus, Sensitivity, Severity
from octosync.plan import Override, Plan, Refusal, RunInfo, all_diagnostics, plan_document

VALIDATE: Final = "validate"
NOTHING_WRITTEN: Final = "Nothing was written."


@dataclass(frozen=True, slots=True, kw_only=True)
class RunReport:
    """A run without a plan.

    `diagnostics` are those of the manifests, of which so many `files` and `apps` were read; `strict` makes warnings errors.
    `error` is what ended the run, None if only diagnostics did. `written` is what that means for the control plane, "" if
    that can't be known.
    """

    command: str
    exit_code: ExitCode = ExitCode.DONE
    version: str = __version__
    diagnostics: Sequence[Diagnostic] = ()
    files: int = 0
    apps: int = 0
    strict: bool = False
    error: OctosyncError | None = None
    written: str = NOTHING_WRITTEN

    @property
    def checked(self) -> bool:
        """Whether the run was to check the manifests and nothing else, and did."""
        return self.command == VALIDATE and self.error is None

    def all_diagnostics(self) -> tuple[Diagnostic, ...]:
        """Return the diagnostics of the manifests and of planning, by place."""
        return tuple(sorted(self.diagnostics, key=lambda diagnostic: diagnostic.sort_key))


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanReport(RunReport):
    """A run with a plan, and all that its reports need beside it.

    `full` shows what is as declared, too, and every value in its whole length.
    """

    command: str = "plan"
    plan: Plan
    about: RunInfo
    sensitivity: Sensitivity
    contract: Contract = field(default_factory=Contract)
    blocked: Sequence[Refusal] = ()
    overrides: Sequence[Override] = ()
    full: bool = False

    def document(self, *, full: bool = False) -> JsonObject:
        """Return the plan's JSON document."""
        return plan_document(
            self.plan,
            about=self.about,
            contract=self.contract,
            sensitivity=self.sensitivity,
            blocked=self.blocked,
            overrides=self.overrides,
            diagnostics=self.diagnostics,
            full=full,
        )

    def all_diagnostics(self) -> tuple[Diagnostic, ...]:
        """Return the manifests' diagnostics and the plan's own, by place."""
        return all_diagnostics(self.plan, self.diagnostics)

    def applied(self, **facts: Any) -> ApplyReport:  # noqa: ANN401 — fields of the report
        """Return the report of the apply of this plan, with the fields that it adds."""
        return ApplyReport(**{field.name: getattr(self, field.name) for field in fields(PlanReport)}, **facts)


@dataclass(frozen=True, slots=True, kw_only=True)
class ApplyReport(PlanReport):
    """An apply, as far as it came to writing and waiting.

    `run_id` is None if there was nothing to write. `write_code` is the exit code of the writes alone; `go_on` the command
    line that goes on where the run leaves off, `history` the one that shows every request of it, `look` the one that shows
    apps. `waited` is None if it did not wait, `timeout` how long it was to wait at most.
    """

    command: str = "apply"
    outcomes: Sequence[Outcome] = ()
    run_id: str | None = None
    write_code: ExitCode = ExitCode.DONE
    go_on: str = ""
    history: str | None = None
    look: str = ""
    waited: Sequence[RolloutStatus] | None = None
    timeout: str = ""


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
