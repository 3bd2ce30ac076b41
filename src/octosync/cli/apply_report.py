"""What apply says, as text or as one document: its plan, what refuses it, what was written, what was waited for."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

import click

from octosync.cli.console import err, out, out_json, wants_colour
from octosync.cli.failing import report_failure
from octosync.cli.options import typed_history
from octosync.cli.turning import Prepared
from octosync.errors import ExitCode, GuardRefused, OctosyncError
from octosync.model import Outcome, Standing
from octosync.plan import RunInfo
from octosync.reconcile import Turn
from octosync.report import (
    outcomes_document,
    render_outcomes,
    render_outcomes_markdown,
    render_plan_markdown,
    render_waited,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """What was written: the outcomes, the run in the journal (None: there was nothing to write), the exit code so far."""

    outcomes: tuple[Outcome, ...] = ()
    run: str | None = None
    code: ExitCode = ExitCode.DONE


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """The report of one apply.

    `shows`: a person is shown the plan, and need not be told again what is wrong with it. `go_on` is the command line that
    goes on where the run leaves off.
    """

    prepared: Prepared
    turn: Turn
    info: RunInfo
    output: str
    shows: bool
    journal: Path
    go_on: str

    def plan(self) -> None:
        """Show the plan: on standard output, or, where that is for one document, to the person who is to confirm it."""
        if self.shows:
            stream: TextIO = sys.stdout if self.output == "text" else sys.stderr
            write: Callable[[str], None] = out if self.output == "text" else err
            colour = wants_colour(stream, self.prepared.asked.colour)
            write(self.prepared.text(self.turn, self.info, colour=colour, command="apply"))

    def refused(self, error: OctosyncError) -> ExitCode:
        """Say what forbids the first write."""
        if self.shows and isinstance(error, GuardRefused):
            err("Nothing was written.\n")  # the plan has said what blocks it, and the ways out
        elif self.shows and self.turn.plan.errored:
            err("".join(f"{line}\n" for line in (*error.hints, "Nothing was written.")))
        else:
            report_failure(error)
        if self.output != "text":
            self._document(Written(code=error.exit_code), error.exit_code, refused=error)
        return error.exit_code

    def written(self, written: Written, *, closes: bool) -> None:
        """Say what was written. Where that does not close the report, a document is left to its end."""
        with self._as_far_as_it_goes(written.code):
            if self.output != "text":
                if closes:
                    self._document(written, written.code)
            elif written.run is not None:
                out(f"\n{self._outcomes(written, written.run, closes=closes)}")

    def waited(self, written: Written, standings: tuple[Standing, ...], code: ExitCode, *, timeout: str) -> None:
        """Say what became of what was waited for at most `timeout` long, and close the report."""
        with self._as_far_as_it_goes(code):
            if self.output == "text":
                apart = "\n" if written.run is None else ""
                out(f"{apart}{self._standings(written, standings, code, timeout, closes=True)}")
            else:
                said = self._standings(written, standings, code, timeout, closes=False)
                self._document(written, code, standings, said=said)

    @contextmanager
    def _as_far_as_it_goes(self, code: ExitCode) -> Iterator[None]:
        """Report something that is over: where that fails, it was done all the same, and the exit code says how it went."""
        try:
            yield
        except click.exceptions.Exit:
            return  # nobody reads it any more
        except OctosyncError as error:
            report_failure(error, written=f"The run is over (exit {int(code)}), and in the journal: {self.journal}")

    def _document(
        self,
        written: Written,
        code: ExitCode,
        waited: tuple[Standing, ...] | None = None,
        *,
        said: str = "",
        refused: OctosyncError | None = None,
    ) -> None:
        if self.output == "markdown":
            out(self._markdown(written, code, said, refused))
            return
        plan = self.prepared.document(self.turn, self.info, full=self.prepared.asked.full)
        out_json(outcomes_document(plan, written.outcomes, run_id=written.run, exit_code=code, waited=waited))

    def _markdown(self, written: Written, code: ExitCode, said: str, refused: OctosyncError | None) -> str:
        planned = self.prepared.planned(self.turn, self.info, command="apply")
        max_bytes = self.prepared.asked.max_bytes
        if written.run is None and not said:
            return render_plan_markdown(planned, max_bytes=max_bytes, refused=refused)
        return render_outcomes_markdown(
            planned,
            written.outcomes,
            run_id=written.run,
            go_on=self.go_on if written.code is not ExitCode.DONE else None,
            history=self._history(written),
            exit_code=code,
            waited=said,
            max_bytes=max_bytes,
        )

    def _history(self, written: Written) -> str | None:
        return None if written.run is None else typed_history(written.run, self.journal)

    def _outcomes(self, written: Written, run: str, *, closes: bool) -> str:
        return render_outcomes(
            self.turn.plan,
            written.outcomes,
            run_id=run,
            command=self.go_on,
            history=self._history(written),
            exit_code=written.code,
            colour=wants_colour(sys.stdout, self.prepared.asked.colour),
            closes=closes,
        )

    def _standings(
        self, written: Written, standings: tuple[Standing, ...], code: ExitCode, timeout: str, *, closes: bool
    ) -> str:
        return render_waited(
            standings,
            timeout=timeout,
            command=self.go_on,
            look=shlex.join(("octosync", "status", *self.prepared.typed_to_look)),
            run_id=written.run if closes else None,
            is_partial=written.code is not ExitCode.DONE,
            history=self._history(written),
            exit_code=code,
            colour=self.output == "text" and wants_colour(sys.stdout, self.prepared.asked.colour),
        )
