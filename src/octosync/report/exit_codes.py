"""Exit codes, derived from what a report shows, so that the two can't disagree."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from octosync.errors import ExitCode, worst
from octosync.model import Outcome, Standing, Status
from octosync.plan import Plan, Refusal


def exit_code_of_plan(plan: Plan, blocked: Sequence[Refusal], *, detailed: bool) -> ExitCode:
    """Return a plan's exit code; `detailed` tells a plan with changes from one without."""
    return worst(
        *([ExitCode.ERROR] if plan.errored else []),
        *([ExitCode.GUARDED] if blocked else []),
        *([ExitCode.CHANGES] if detailed and plan.shown else []),
    )


def exit_code_of_outcomes(outcomes: Iterable[Outcome]) -> ExitCode:
    """Return an apply's exit code, interruptions aside: done, or applied in part."""
    return ExitCode.DONE if all(outcome.status is Status.DONE for outcome in outcomes) else ExitCode.PARTIAL


def exit_code_of_standings(standings: Iterable[Standing]) -> ExitCode:
    """Return the exit code of a wait: done, or something is not covered."""
    failed = any(one.fate is not None and one.fate.is_failure for one in standings)
    return ExitCode.UNCOVERED if failed else ExitCode.DONE
