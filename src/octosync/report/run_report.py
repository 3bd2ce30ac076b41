"""The report of a run: the value from which every text and document about the run is made.

A run that ends before its plan has a `RunReport`. Those of runs with a plan are in `plan_report`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from octosync import __version__
from octosync.errors import ExitCode, OctosyncError
from octosync.model import Severity

if TYPE_CHECKING:
    from octosync.model import Diagnostic, Policy

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
