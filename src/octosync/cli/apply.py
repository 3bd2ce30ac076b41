"""`octosync apply`."""

from __future__ import annotations

import asyncio
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from octosync.apply import Applied, Progress, Record, to_follow
from octosync.cli import signals
from octosync.cli.apply_report import Report, Written
from octosync.cli.asking import asked_from, plan_and_apply_options
from octosync.cli.console import ask, err, may_prompt, out_text
from octosync.cli.failing import report_failure
from octosync.cli.following import Timeout, follow, wait_option
from octosync.cli.formats import FORMATS
from octosync.cli.options import CommandWithBareOptions, option, state_option
from octosync.cli.outlets import Destination, Outlets, outlet_options
from octosync.cli.planfile import check_asked, check_base, read_plan_file, typed_selection
from octosync.cli.progress import ProgressBar, Waits
from octosync.cli.turning import Asked, Prepared, look_away, open_remote, prepare, take_look
from octosync.errors import ExitCode, GuardRefused, Interrupted, OctosyncError, StalePlan, UsageError, worst
from octosync.octomil import Octomil, Waiting
from octosync.plan import Approval, RunInfo, check_plan_key, what_moved
from octosync.reconcile import Turn, act, refuse_unsafe
from octosync.report import Planned, exit_code_of_outcomes, exit_code_of_standings, idle_line
from octosync.state import Journal


@click.command(
    cls=CommandWithBareOptions,
    epilog="Example:  octosync apply -f apps/ --context production --yes --wait=15m",
)
@click.argument("planfile", required=False, type=click.Path(path_type=Path), metavar="[PLANFILE]")
@plan_and_apply_options
@option(
    "--attempted",
    multiple=True,
    metavar="REV",
    help="A revision that an apply began and did not finish: what it declared is no drift. Repeatable.",
)
@option("--yes", env=False, is_flag=True, help="Apply without asking; needed where there is no terminal.")
@wait_option
@state_option
@outlet_options(*FORMATS)
def command(
    *,
    planfile: Path | None,
    output: str,
    destinations: tuple[Destination, ...],
    yes: bool,
    wait: Timeout | None,
    journal: Path,
    **flags: Any,  # noqa: ANN401 — see asking
) -> ExitCode:
    """Make the control plane what the manifests declare: plan, guard, confirm, apply.

    With a PLANFILE from `octosync plan --plan-out`, apply only what it approves. Give -f, --app, --base and the like as for
    the plan: the manifests are planned again, and the result must be the same.
    """
    asked = asked_from(flags, reviews=False)
    with Outlets(
        command="apply", output=output, destinations=destinations, max_bytes=asked.max_bytes, full=asked.full
    ) as outlets:
        try:
            return _apply(asked, outlets, planfile, yes=yes, wait=wait, journal=journal)
        except _CutShort as error:
            outlets.failed(error, written="")
            return report_failure(error, written="")


def _apply(
    asked: Asked, outlets: Outlets, planfile: Path | None, *, yes: bool, wait: Timeout | None, journal: Path
) -> ExitCode:
    approval = read_plan_file(planfile) if planfile is not None else None
    if approval is not None:
        check_asked(asked, approval, str(planfile))
    elif not yes and not may_prompt():
        raise UsageError(
            "nobody-to-ask",
            "apply asks before it writes, and there is nobody to ask: no terminal, or CI is set",
            hints=("Give --yes, or apply a reviewed plan: octosync plan --plan-out FILE, then octosync apply FILE",),
        )
    prepared = prepare(asked, outlets.saw)
    if isinstance(prepared, ExitCode):
        return prepared
    if approval is not None:
        check_base(prepared, approval, str(planfile))
        check_plan_key(approval, prepared.fingerprinting, file=str(planfile))
    typed = (
        "octosync",
        "apply",
        *((str(planfile), *typed_selection(asked)) if planfile else prepared.invocation.arguments()),
        *prepared.typed_again,
        *(wait.typed if wait else ()),
    )
    application = _Application(
        prepared=prepared, outlets=outlets, yes=yes, wait=wait, journal=journal, approval=approval, typed=typed
    )
    return application.rest() if prepared.connection is None else signals.run(application.run)


class _CutShort(Interrupted):
    """A second signal ended a run while requests were in flight."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Application:
    """One apply, from its first request to its report."""

    prepared: Prepared
    outlets: Outlets
    yes: bool
    wait: Timeout | None
    journal: Path
    approval: Approval | None
    typed: tuple[str, ...]

    async def run(self, stopping: signals.Stopping) -> ExitCode:
        """Plan, guard, confirm, apply, wait, report."""
        waits = Waits()
        async with open_remote(self.prepared, waits) as remote:
            turn = await take_look(self.prepared, remote, waits)
            info = self.prepared.info(turn, self.typed)
            planned = self.outlets.plans(self.prepared.planned(turn, info, command="apply"))
            report = self._report(planned)
            report.plan()
            refused = self._refusal(turn, planned)
            if refused is not None:
                return report.refused(refused)
            if turn.plan.actions and self._asks and not await _confirmed(turn, info):
                err("Nothing was written.\n")
                return ExitCode.ERROR
            written = await self._write(turn, info, remote, waits, stopping) if turn.plan.actions else Written()
            waiting = self.wait if written.code in {ExitCode.DONE, ExitCode.PARTIAL} else None
            report.written(written, closes=waiting is None)
            if waiting is None:
                return written.code
            standings = await follow(
                remote,
                to_follow(turn.plan, turn.seen.state, written.outcomes),
                turn.seen.state,
                within=waiting,
                waits=waits,
                stopping=stopping,
                on_look=self.outlets.stream.look,
            )
            code = stopping.code or worst(written.code, exit_code_of_standings(standings))
            report.waited(written, standings, code, timeout=waiting.text if waiting.seconds else "")
            return code

    def rest(self) -> ExitCode:
        """Report a change that concerns no app, without a single request."""
        turn = look_away(self.prepared)
        info = self.prepared.info(turn, self.typed)
        planned = self.outlets.plans(self.prepared.planned(turn, info, command="apply"))
        report = self._report(planned)
        refused = self._refusal(turn, planned)
        if refused is None and self.outlets.output == "text" and not planned.all_diagnostics():
            out_text(idle_line(info))
        else:
            report.plan()
        if refused is not None:
            return report.refused(refused)
        report.written(Written(), closes=True)
        return ExitCode.DONE

    def _report(self, planned: Planned) -> Report:
        return Report(
            prepared=self.prepared,
            planned=planned,
            outlets=self.outlets,
            shows=self.outlets.output == "text" or self._asks,
            journal=self.journal,
            go_on=self._go_on,
        )

    @property
    def _asks(self) -> bool:
        return self.approval is None and not self.yes

    @property
    def _go_on(self) -> str:
        """The command line that goes on where this run leaves off; a plan file would not: what it approved is half done."""
        return shlex.join(("octosync", "apply", *self._asked_again, *(self.wait.typed if self.wait else ())))

    @property
    def _plan_again(self) -> str:
        return shlex.join(("octosync", "plan", *self._asked_again, "--plan-out", self.typed[2]))

    @property
    def _asked_again(self) -> tuple[str, ...]:
        prepared = self.prepared
        return (*prepared.invocation.arguments(), *prepared.typed_again, *prepared.typed_overrides)

    def _refusal(self, turn: Turn, planned: Planned) -> OctosyncError | None:
        """Return what forbids the first write, the gravest first; None where nothing does."""
        try:
            refuse_unsafe(turn)
        except GuardRefused as error:
            return self._moved(planned) or error
        except OctosyncError as error:
            return error
        return self.prepared.strict_error(turn) or self._moved(planned)

    def _moved(self, planned: Planned) -> OctosyncError | None:
        moved = what_moved(self.approval, planned.document(full=False)) if self.approval else ()
        if not moved:
            return None
        return StalePlan(
            "plan-moved",
            "what would be applied now is not what was approved",
            hints=(*moved, f"Plan again, and have that reviewed:  {self._plan_again}"),
        )

    async def _write(
        self, turn: Turn, info: RunInfo, remote: Octomil, waits: Waits, stopping: signals.Stopping
    ) -> Written:
        """Carry the plan out. The run is over, and closed in the journal, when this returns."""
        plane = info.control_plane
        with Journal(self.journal) as journal:
            record = Record.begin(
                journal, control_plane=plane.url, org_id=plane.org_id, digest=self.prepared.gathered.manifests.digest
            )
            stopping.graceful = True
            with ProgressBar("applying", info.requests_per_minute) as bar:
                stream = self.outlets.stream

                def waiting(what: Waiting) -> None:
                    bar.waiting(what)
                    stream.waiting(what)

                def progressed(progress: Progress) -> None:
                    bar.advance(progress.done, progress.total)
                    stream.progress(progress)

                waits.show = waiting
                try:
                    applied = await act(
                        turn,
                        remote,
                        record=record,
                        resume=self._go_on,
                        sensitivity=self.prepared.gathered.configuration.sensitivity,
                        stop=stopping.requested,
                        on_progress=progressed,
                        on_start=stream.start,
                    )
                except asyncio.CancelledError:
                    raise self._cut_short(record.run, stopping) from None
            written = Written(outcomes=applied.outcomes, run=record.run, code=_code(applied, stopping))
            self._close(record, written.code)
        return written

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
