"""What apply shows: its plan, what refuses it, what was written and waited for; text as it goes, all else at its end."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TextIO

import click

from octosync.cli.console import err, out_text, wants_colour
from octosync.cli.failing import report_failure
from octosync.cli.output import Outputs
from octosync.errors import ExitCode, GuardRefused, OctosyncError
from octosync.report import ApplyReport, PlanReport, idle_line, render_outcomes, render_plan, render_waited


@dataclass(frozen=True, slots=True, kw_only=True)
class ApplyOutput:
    """The output of one apply. `shows`: a person is shown the plan, and need not be told again what is wrong with it."""

    outputs: Outputs
    colour: str
    shows: bool
    journal: Path

    def show_plan(self, report: PlanReport) -> None:
        """Show the plan: on standard output, or, where that is for one document, to the person who is to confirm it."""
        if self.shows:
            stream: TextIO = sys.stdout if self._is_text else sys.stderr
            write: Callable[[str], None] = out_text if self._is_text else err
            write(render_plan(report, colour=wants_colour(stream, self.colour)))

    def show_idle(self, report: PlanReport) -> None:
        """Show that a change concerns no app."""
        if self._is_text and not report.all_diagnostics():
            out_text(idle_line(report.about))
        else:
            self.show_plan(report)

    def show_refusal(self, report: PlanReport, error: OctosyncError) -> ExitCode:
        """Show what forbids the first write, and return its exit code."""
        if self.shows and isinstance(error, GuardRefused):
            err("Nothing was written.\n")  # the plan shows what blocks it, and the ways out
        elif self.shows and report.plan.errored:
            err("".join(f"{line}\n" for line in (*error.hints, "Nothing was written.")))
        else:
            report_failure(error)
        self.outputs.close(replace(report, exit_code=error.exit_code, error=error))
        return error.exit_code

    def show_outcomes(self, report: ApplyReport, *, closes: bool) -> None:
        """Show what was written. Where that does not close the report, a document is left to its end."""
        with self._as_far_as_it_goes(report.exit_code):
            if self._is_text and report.run_id is not None:
                out_text(f"\n{render_outcomes(report, colour=self._colour, closes=closes)}")
        if closes:
            self._close(report)

    def show_wait(self, report: ApplyReport) -> None:
        """Show what became of what was waited for, and close the report."""
        with self._as_far_as_it_goes(report.exit_code):
            if self._is_text:
                apart = "\n" if report.run_id is None else ""
                out_text(f"{apart}{render_waited(report, colour=self._colour)}")
        self._close(report)

    def _close(self, report: ApplyReport) -> None:
        with self._as_far_as_it_goes(report.exit_code):
            self.outputs.close(report)

    @contextmanager
    def _as_far_as_it_goes(self, code: ExitCode) -> Iterator[None]:
        """Report something that is over: where that fails, it was done all the same, and the exit code says how it went."""
        try:
            yield
        except click.exceptions.Exit:
            return  # nobody reads it any more
        except OctosyncError as error:
            report_failure(error, written=f"The run is over (exit {int(code)}), and in the journal: {self.journal}")

    @property
    def _is_text(self) -> bool:
        return self.outputs.output == "text"

    @property
    def _colour(self) -> bool:
        return wants_colour(sys.stdout, self.colour)
