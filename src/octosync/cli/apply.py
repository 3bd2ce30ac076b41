"""`octosync apply`."""

from __future__ import annotations

import asyncio
import shlex
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from octosync.apply import Applied, Record
from octosync.cli import signals
from octosync.cli.asking import asked_from, plan_and_apply_options
from octosync.cli.console import ask, err, may_prompt, out, out_json, wants_colour
from octosync.cli.failing import report_failure
from octosync.cli.options import option, output_option, state_option
from octosync.cli.planfile import asked_as_approved, check_configured_paths, read_plan_file
from octosync.cli.progress import ProgressBar, Waits
from octosync.cli.turning import Prepared, open_remote, prepare, take_look
from octosync.errors import ExitCode, GuardRefused, Interrupted, OctosyncError, StalePlan, UsageError
from octosync.octomil import Octomil
from octosync.plan import Approval, RunInfo, what_moved
from octosync.reconcile import Turn, act, refuse_unsafe
from octosync.report import exit_code_of_outcomes, outcomes_document, render_outcomes
from octosync.state import Journal


@click.command(epilog="Example:  octosync apply -f apps/ --context production --yes")
@click.argument("planfile", required=False, type=click.Path(path_type=Path), metavar="[PLANFILE]")
@plan_and_apply_options
@option("--yes", env=False, is_flag=True, help="Apply without asking; needed where there is no terminal.")
@state_option
@output_option("text", "json")
def command(*, planfile: Path | None, output: str, yes: bool, journal: Path, **flags: Any) -> ExitCode:  # noqa: ANN401 — see asking
    """Make the control plane what the manifests declare: plan, guard, confirm, apply.

    With a PLANFILE from `octosync plan --plan-out`, apply just what it approved: the same manifests are read again and
    planned again, and everything must come out the same.
    """
    asked = asked_from(flags)
    approval = read_plan_file(planfile) if planfile is not None else None
    if approval is not None:
        asked = asked_as_approved(asked, approval, str(planfile))
    elif not yes and not may_prompt():
        raise UsageError(
            "nobody-to-ask",
            "apply asks before it writes, and there is nobody to ask: no terminal, or CI is set",
            hints=("Give --yes, or apply a reviewed plan: octosync plan --plan-out FILE, then octosync apply FILE",),
        )
    prepared = prepare(asked)
    if isinstance(prepared, ExitCode):
        return prepared
    typed = (
        "octosync",
        "apply",
        *((str(planfile),) if planfile else prepared.invocation.arguments()),
        *prepared.typed_again,
    )
    application = _Application(
        prepared=prepared, output=output, yes=yes, journal=journal, approval=approval, typed=typed
    )
    if approval is not None and not flags["paths"]:
        check_configured_paths(prepared.gathered, approval, str(planfile))
    try:
        return signals.run(application.run)
    except _CutShort as error:
        return report_failure(error, written="")


class _CutShort(Interrupted):
    """A second signal ended a run while requests were in flight."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Application:
    """One apply, from its first request to its report."""

    prepared: Prepared
    output: str
    yes: bool
    journal: Path
    approval: Approval | None
    typed: tuple[str, ...]

    async def run(self, stopping: signals.Stopping) -> ExitCode:
        """Plan, guard, confirm, apply, report."""
        waits = Waits()
        async with open_remote(self.prepared, waits) as remote:
            turn = await take_look(self.prepared, remote, waits)
            info = self.prepared.info(turn, self.typed)
            self._show(turn, info)
            refused = self._refusal(turn, info)
            if refused is not None or not turn.plan.actions:
                return self._end_unapplied(turn, info, refused)
            if self._asks and not await _confirmed(turn, info):
                err("Nothing was written.\n")
                return ExitCode.ERROR
            return await self._write(turn, info, remote, waits, stopping)

    @property
    def _asks(self) -> bool:
        return self.approval is None and not self.yes

    @property
    def _go_on(self) -> str:
        """The command line that goes on where this run leaves off; a plan file would not: what it approved is half done."""
        return shlex.join(("octosync", "apply", *self._asked_again))

    @property
    def _plan_again(self) -> str:
        return shlex.join(("octosync", "plan", *self._asked_again, "--plan-out", self.typed[2]))

    @property
    def _asked_again(self) -> tuple[str, ...]:
        prepared = self.prepared
        return (*prepared.invocation.arguments(), *prepared.typed_again, *prepared.typed_overrides)

    @property
    def _shows(self) -> bool:
        """Whether the plan is shown to a person, who then need not be told again what is wrong with it."""
        return self.output == "text" or self._asks

    def _show(self, turn: Turn, info: RunInfo) -> None:
        """Show the plan: on standard output, or, where that is JSON, to the person who is to confirm it."""
        if self._shows:
            stream, write = (sys.stdout, out) if self.output == "text" else (sys.stderr, err)
            colour = wants_colour(stream, self.prepared.asked.colour)
            write(self.prepared.text(turn, info, colour=colour, command="apply"))

    def _refusal(self, turn: Turn, info: RunInfo) -> OctosyncError | None:
        """Return what forbids the first write, the gravest first; None where nothing does."""
        try:
            refuse_unsafe(turn)
        except GuardRefused as error:
            return self._moved(turn, info) or error
        except OctosyncError as error:
            return error
        if self.prepared.fails_strictly(turn):
            return OctosyncError(
                "strict", "the plan has warnings, and --strict makes them errors", hints=("Mend what they say.",)
            )
        return self._moved(turn, info)

    def _moved(self, turn: Turn, info: RunInfo) -> OctosyncError | None:
        moved = what_moved(self.approval, self.prepared.document(turn, info, full=False)) if self.approval else ()
        if not moved:
            return None
        return StalePlan(
            "plan-moved",
            "what would be applied now is not what was approved",
            hints=(*moved, f"Plan again, and have that reviewed:  {self._plan_again}"),
        )

    def _end_unapplied(self, turn: Turn, info: RunInfo, refused: OctosyncError | None) -> ExitCode:
        code = refused.exit_code if refused is not None else ExitCode.DONE
        if self._shows and isinstance(refused, GuardRefused):
            err("Nothing was written.\n")  # the plan has said what blocks it, and the ways out
        elif self._shows and turn.plan.errored and refused is not None:
            err("".join(f"{line}\n" for line in (*refused.hints, "Nothing was written.")))
        elif refused is not None:
            report_failure(refused)
        if self.output == "json":
            document = self.prepared.document(turn, info, full=self.prepared.asked.full)
            out_json(outcomes_document(document, (), run_id=None, exit_code=code))
        return code

    async def _write(
        self, turn: Turn, info: RunInfo, remote: Octomil, waits: Waits, stopping: signals.Stopping
    ) -> ExitCode:
        plane = info.control_plane
        with Journal(self.journal) as journal:
            record = Record.begin(journal, control_plane=plane.url, org_id=plane.org_id, digest=info.manifests.digest)
            stopping.graceful = True
            with ProgressBar("applying", info.requests_per_minute) as bar:
                waits.show = bar.waiting
                try:
                    applied = await act(
                        turn,
                        remote,
                        record=record,
                        resume=self._go_on,
                        sensitivity=self.prepared.gathered.configuration.sensitivity,
                        stop=stopping.requested,
                        on_progress=lambda progress: bar.advance(progress.done, progress.total),
                    )
                except asyncio.CancelledError:
                    raise self._cut_short(record.run, stopping) from None
            code = _code(applied, stopping)
            self._report(turn, info, applied, record.run, code)
            self._close(record, code)
        return code

    def _cut_short(self, run: str, stopping: signals.Stopping) -> _CutShort:
        error = _CutShort(
            "interrupted",
            "the run was ended at once: what was in flight may have taken effect, or not",
            hints=(
                f"To go on: {self._go_on} (reads first: what is applied is not sent twice)",
                f"Run {run}, journal {self.journal}",
            ),
        )
        error.exit_code = stopping.code or error.exit_code
        return error

    def _close(self, record: Record, code: ExitCode) -> None:
        """End the run in the journal. Where that fails, the report stands: what was done was done."""
        try:
            record.end(int(code))
        except OctosyncError as error:
            report_failure(error, written="The run is over; only its end is missing in the journal.")

    def _report(self, turn: Turn, info: RunInfo, applied: Applied, run: str, code: ExitCode) -> None:
        try:
            if self.output == "json":
                document = self.prepared.document(turn, info, full=self.prepared.asked.full)
                out_json(outcomes_document(document, applied.outcomes, run_id=run, exit_code=code))
            else:
                out(f"\n{self._text(turn, applied, run, code)}")
        except click.exceptions.Exit:
            return  # nobody reads it any more; the exit code says how it went
        except OctosyncError as error:
            report_failure(error, written=f"The run is over (exit {int(code)}), and in the journal: {self.journal}")

    def _text(self, turn: Turn, applied: Applied, run: str, code: ExitCode) -> str:
        return render_outcomes(
            turn.plan,
            applied.outcomes,
            run_id=run,
            command=self._go_on,
            journal=str(self.journal),
            exit_code=code,
            colour=wants_colour(sys.stdout, self.prepared.asked.colour),
        )


async def _confirmed(turn: Turn, info: RunInfo) -> bool:
    where = info.control_plane.context or info.control_plane.url
    count = len(turn.plan.actions)
    question = f"Apply {'this change' if count == 1 else f'these {count} changes'} to {where}? Only `yes` does: "
    return await ask(question) == "yes"


def _code(applied: Applied, stopping: signals.Stopping) -> ExitCode:
    if stopping.code is not None:
        return stopping.code
    if applied.stopped_by is not None and not applied.wrote:
        return applied.stopped_by.exit_code
    return exit_code_of_outcomes(applied.outcomes)
