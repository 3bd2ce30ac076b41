"""A plan with all that its reports say beside it: the one value that they are made from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from octosync.contract import Contract
from octosync.model import Diagnostic, JsonObject, Sensitivity
from octosync.plan import Override, Plan, Refusal, RunInfo, all_diagnostics, plan_document
from octosync.report.changes import Group
from octosync.report.plan import groups_of, render_plan


@dataclass(frozen=True, slots=True, kw_only=True)
class Planned:
    """A plan, and all that its reports say beside it.

    `diagnostics` are those of the manifests. `full` shows what is as declared too, and every value in its whole length.
    `command` is the one that ran.
    """

    plan: Plan
    about: RunInfo
    sensitivity: Sensitivity
    contract: Contract = field(default_factory=Contract)
    blocked: Sequence[Refusal] = ()
    overrides: Sequence[Override] = ()
    diagnostics: Sequence[Diagnostic] = ()
    full: bool = False
    command: str = "plan"

    def document(self, *, full: bool) -> JsonObject:
        """Return the plan JSON."""
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

    def text(self, *, colour: bool) -> str:
        """Return the plan for people."""
        return render_plan(
            self.plan,
            about=self.about,
            blocked=self.blocked,
            overrides=self.overrides,
            diagnostics=self.diagnostics,
            sensitivity=self.sensitivity,
            colour=colour,
            full=self.full,
            command=self.command,
        )

    def groups(self) -> tuple[Group, ...]:
        """Return the plan's rows by app."""
        return groups_of(self.plan, self.blocked, self.sensitivity, full=self.full)

    def all_diagnostics(self) -> tuple[Diagnostic, ...]:
        """Return the manifests' diagnostics and the plan's own."""
        return all_diagnostics(self.plan, self.diagnostics)
