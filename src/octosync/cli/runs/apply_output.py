"""The output of `octosync apply`: the plan, refusals, outcomes, and with --wait the rollouts.

Text is written during the run, the other formats at its end.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, Final, TextIO

import click

from octosync.apply import RolloutWaiter, RolloutWatch
from octosync.cli.commands.apply import Timeout
from octosync.cli.console import err, out_text, wants_colour
from octosync.cli.output import Outputs, shortened
from octosync.cli.progress import ProgressBar, WaitDisplay
from octosync.cli.root import report_failure
from octosync.cli.signals import StopSignal
from octosync.errors import ExitCode, GuardRefused, OctosyncError
from octosync.model import RolloutStatus, State
from octosync.octomil import Octomil
from octosync.report import (
    ApplyReport,
    PlanReport,
    render_idle,
    render_outcomes,
    render_plan,
    render_rollouts,
    rollout_name,
    rollout_share,
    rollout_words,
)
from octosync.state import StateLocation


@dataclass(frozen=True, slots=True, kw_only=True)
class ApplyOutput:
    """The output of one apply.

    `shows`: the plan is shown to a person, so its problems are not repeated; `asks`: the person has to confirm it.
    """

    outputs: Outputs
    colour: str
    shows: bool
    asks: bool
    state: StateLocation

    def show_plan(self, report: PlanReport) -> None:
        """Show the plan: as text on standard output, or on standard error to confirm it if standard output is a document."""
        if self.shows:
            stream: TextIO = sys.stdout if self._is_text else sys.stderr
            write: Callable[[str], None] = out_text if self._is_text else err
            write(render_plan(report if self.asks else shortened(report), colour=wants_colour(stream, self.colour)))

    def show_idle(self, report: PlanReport) -> None:
        """Report that a change concerns no app."""
        if self._is_text and not report.listed_diagnostics():
            out_text(render_idle(report))
        else:
            self.show_plan(report)

    def show_refusal(self, report: PlanReport, error: OctosyncError) -> ExitCode:
        """Report the error that forbids the first write, and return its exit code."""
        # The plan shows what blocks it, with the ways to resolve that, or why it is incomplete.
        if self.shows and (isinstance(error, GuardRefused) or report.plan.errored):
            err("".join(f"{line}\n" for line in (*error.hints, "Nothing was written.")))
        else:
            report_failure(error)
        self.outputs.close(replace(report, exit_code=error.exit_code, error=error))
        return error.exit_code

    def show_outcomes(self, report: ApplyReport, *, closes: bool) -> None:
        """Show the outcomes. `closes`: this is the end of the report, so its documents are written."""
        with self._reporting_failure(report.exit_code):
            if self._is_text and report.run_id is not None:
                out_text(f"\n{render_outcomes(report, colour=self._colour, closes=closes)}")
        if closes:
            self._close(report)

    def show_wait(self, report: ApplyReport) -> None:
        """Show the results of the rollouts, and close the report."""
        with self._reporting_failure(report.exit_code):
            if self._is_text:
                apart = "\n" if report.run_id is None else ""
                out_text(f"{apart}{render_rollouts(report, colour=self._colour)}")
        self._close(report)

    def _close(self, report: ApplyReport) -> None:
        with self._reporting_failure(report.exit_code):
            self.outputs.close(report)

    @contextmanager
    def _reporting_failure(self, code: ExitCode) -> Iterator[None]:
        """Report a failure of the output, without changing the exit code of the completed run."""
        try:
            yield
        except click.exceptions.Exit:
            return  # standard output is closed
        except OctosyncError as error:
            report_failure(
                error, written=f"The run is complete (exit {int(code)}), and recorded in the journal {self.state}"
            )

    @property
    def _is_text(self) -> bool:
        return self.outputs.output == "text"

    @property
    def _colour(self) -> bool:
        return wants_colour(sys.stdout, self.colour)


_MOST_ROWS: Final = 12  # of a terminal, for the pending rollouts


class RolloutBars(ProgressBar):
    """A progress bar for each pending rollout; without a terminal, a line whenever one has changed."""

    def __init__(self, pace: int) -> None:
        super().__init__("waiting", pace)
        self._rows: dict[str, Any] = {}
        self._printed: dict[str, str] = {}

    def show(self, rollouts: Sequence[RolloutStatus]) -> None:
        """Show the progress of each rollout."""
        pending = [rollout for rollout in rollouts if rollout.result is None]
        if self._bar is None:
            self._print_changes(pending)
            return
        self._bar.update(self._task, completed=len(rollouts) - len(pending), total=len(rollouts))
        shown = {rollout_name(rollout): rollout for rollout in pending[:_MOST_ROWS]}
        for name in self._rows.keys() - shown.keys():
            self._bar.remove_task(self._rows.pop(name))
        for name, rollout in shown.items():
            done, total = rollout_share(rollout) or (0.0, None)
            if name not in self._rows:
                self._rows[name] = self._bar.add_task(name, total=None)
            self._bar.update(
                self._rows[name], description=f"{name}  {rollout_words(rollout)}", completed=int(done), total=total
            )

    def _print_changes(self, pending: Sequence[RolloutStatus]) -> None:
        for rollout in pending:
            name, words = rollout_name(rollout), rollout_words(rollout)
            if self._printed.get(name) != words:
                self._printed[name] = words
                self._line(f"waiting for {name}: {words}")


async def wait_for_rollouts(
    remote: Octomil,
    rollouts: Sequence[RolloutWatch],
    live: State,
    *,
    within: Timeout,
    wait_display: WaitDisplay,
    stop_signal: StopSignal,
    on_read: Callable[[Sequence[RolloutStatus]], None],
) -> tuple[RolloutStatus, ...]:
    """Wait for the rollouts and show their progress. A signal ends the wait immediately, because nothing is being written."""
    if not any(watch.is_pending for watch in rollouts):
        return tuple(watch.rollout for watch in rollouts)
    stop_signal.graceful = False
    with RolloutBars(remote.connection.requests_per_minute) as bars:
        wait_display.show = bars.waiting

        def show_read(statuses: Sequence[RolloutStatus]) -> None:
            bars.show(statuses)
            on_read(statuses)

        waiter = RolloutWaiter(remote, rollouts, live, on_read=show_read)
        try:
            return await waiter.wait_until_settled(within.seconds)
        except asyncio.CancelledError:
            if stop_signal.code is None:
                raise
            return waiter.rollouts
        finally:
            wait_display.show = None
            stop_signal.is_over = True
