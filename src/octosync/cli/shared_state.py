"""The shared state of a run: what it contains about the control plane, and the lock of runs that write."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from octosync.model import Diagnostic, RunUnderWay
from octosync.plan import FINDINGS, SharedState

_COMMIT: Final = 7  # characters of a commit's ID


def run_words(run: RunUnderWay) -> str:
    """Name a run under way: `apply 20261130-145412-3fa9 by ana on runner-7, commit 0a1b2c3, since 2026-11-30 14:54:12 UTC`."""
    commit = f", commit {run.revision[:_COMMIT]}" if run.revision else ""
    return f"{run.command} {run.run} by {run.actor} on {run.host}{commit}, since {run.since:%Y-%m-%d %H:%M:%S} UTC"


def shared_diagnostics(shared: SharedState) -> Iterator[Diagnostic]:
    """Yield a notice of a run that is under way, and a warning if the shared state could not be read."""
    if shared.under_way is not None:
        yield _finding(
            "run-under-way",
            "another run is under way, and may change what this plan has read",
            run_words(shared.under_way),
            "Plan again when it has ended. Apply waits for it, and plans after it.",
        )
    if shared.error is not None:
        yield _finding(
            "state-not-read",
            "holds, a suspension and a run under way are not known, since the shared state can't be read",
            shared.error.message,
            *shared.error.hints,
        )


def _finding(id_: str, subject: str, cause: str, *notes: str) -> Diagnostic:
    summary = f"{subject}: {cause}"
    return Diagnostic(severity=FINDINGS[id_].severity, rule=id_, summary=summary, subject=subject, notes=notes)
