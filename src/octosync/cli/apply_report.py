"""What apply says: its plan, what refuses it, what was written and waited for; text as it goes, all else at its end."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

import click

from octosync.cli.console import err, out_text, wants_colour
from octosync.cli.failing import report_failure
from octosync.cli.options import typed_history
from octosync.cli.outlets import Outlets
from octosync.cli.turning import Prepared
from octosync.errors import ExitCode, GuardRefused, OctosyncError
from octosync.model import Outcome, Standing
from octosync.report import Applied, Planned


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
    planned: Planned
    outlets: Outlets
    shows: bool
    journal: Path
    go_on: str

    def plan(self) -> None:
        """Show the plan: on standard output, or, where that is for one document, to the person who is to confirm it."""
        if self.shows:
            stream: TextIO = sys.stdout if self._is_text else sys.stderr
            write: Callable[[str], None] = out_text if self._is_text else err
            write(self.planned.text(colour=wants_colour(stream, self.prepared.asked.colour)))

    def refused(self, error: OctosyncError) -> ExitCode:
        """Say what forbids the first write."""
        if self.shows and isinstance(error, GuardRefused):
            err("Nothing was written.\n")  # the plan has said what blocks it, and the ways out
        elif self.shows and self.planned.plan.errored:
            err("".join(f"{line}\n" for line in (*error.hints, "Nothing was written.")))
        else:
            report_failure(error)
        self.outlets.close(self.outlets.ended(error.exit_code, error=error))
        return error.exit_code

    def written(self, written: Written, *, closes: bool) -> None:
        """Say what was written. Where that does not close the report, a document is left to its end."""
        applied = self._applied(written)
        with self._as_far_as_it_goes(written.code):
            if self._is_text and written.run is not None:
                out_text(f"\n{applied.outcomes_text(self.planned, colour=self._colour, closes=closes)}")
        if closes:
            self._close(written.code, applied)

    def waited(self, written: Written, standings: tuple[Standing, ...], code: ExitCode, *, timeout: str) -> None:
        """Say what became of what was waited for at most `timeout` long, and close the report."""
        applied = self._applied(written, standings, timeout)
        with self._as_far_as_it_goes(code):
            if self._is_text:
                apart = "\n" if written.run is None else ""
                out_text(f"{apart}{applied.waited_text(code, colour=self._colour, closes=True)}")
        self._close(code, applied)

    def _close(self, code: ExitCode, applied: Applied) -> None:
        with self._as_far_as_it_goes(code):
            self.outlets.close(self.outlets.ended(code, applied=applied))

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
        return self.outlets.output == "text"

    @property
    def _colour(self) -> bool:
        return wants_colour(sys.stdout, self.prepared.asked.colour)

    def _applied(self, written: Written, standings: tuple[Standing, ...] | None = None, timeout: str = "") -> Applied:
        return Applied(
            outcomes=written.outcomes,
            run_id=written.run,
            code=written.code,
            go_on=self.go_on,
            history=None if written.run is None else typed_history(written.run, self.journal),
            look=shlex.join(("octosync", "status", *self.prepared.typed_to_look)),
            waited=standings,
            timeout=timeout,
        )
