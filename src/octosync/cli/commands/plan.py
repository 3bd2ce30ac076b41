"""`octosync plan`."""

from __future__ import annotations

import shlex
import sys
from dataclasses import replace
from pathlib import Path

import click

from octosync.cli import signals
from octosync.cli.command import Command
from octosync.cli.console import err, out_text, wants_colour
from octosync.cli.failing import report_failure
from octosync.cli.formats import FORMATS
from octosync.cli.options import option, run_options
from octosync.cli.output import Destination, Outputs, output_options
from octosync.cli.planfile import write_plan_file
from octosync.cli.progress import Waits
from octosync.cli.run import Run, open_client, plan_offline, plan_online, prepare
from octosync.cli.run_options import RunRequest
from octosync.errors import ExitCode, UsageError
from octosync.plan import PLAN_KEY, Plan, uncovered
from octosync.reconcile import ReviewedPlan
from octosync.report import PlanReport, RunReport, exit_code_of_plan, idle_line, render_plan
from octosync.report.text import visible
from octosync.report.words import listed


@click.command(cls=Command, epilog="Example:  octosync plan -f apps/ --context production --detailed-exitcode")
@run_options(reviews=True)
@option("--plan-out", type=click.Path(path_type=Path), help="Write the plan to a file, for `octosync apply FILE`.")
@option(
    "--offline",
    is_flag=True,
    help="Plan without an API key and without requests, with the base as live state.",
)
@option("--detailed-exitcode", is_flag=True, help="Exit with 2 if there are changes.")
@output_options(*FORMATS)
def command(
    *,
    output: str,
    destinations: tuple[Destination, ...],
    plan_out: Path | None,
    detailed_exitcode: bool,
    request: RunRequest,
) -> ExitCode:
    """Show the changes that apply would make. Reads the control plane and changes nothing."""
    if request.base.offline and plan_out is not None:
        raise UsageError(
            "offline-plan-out",
            "--offline with --plan-out: what was never compared with live can't be approved",
            hints=("Leave one of them out.",),
        )
    with Outputs(
        report=RunReport(command="plan"),
        output=output,
        destinations=destinations,
        plan_out=plan_out,
        max_bytes=request.max_bytes,
        full=request.full,
    ) as outputs:
        run = prepare(request, outputs.loaded)
        reviewed = plan_offline(run) if run.connection is None else signals.run(lambda _: _plan(run))
        strict = run.strict_error(reviewed)
        code = exit_code_of_plan(reviewed.plan, reviewed.refusals, detailed=detailed_exitcode)
        report = run.report(reviewed, command="plan", typed=("octosync", "apply", *run.typed_again))
        report = replace(report, exit_code=code if strict is None else ExitCode.ERROR, error=strict)
        _show(run, report, outputs)
        return report.exit_code


async def _plan(run: Run) -> ReviewedPlan:
    waits = Waits()
    async with open_client(run, waits) as remote:
        return await plan_online(run, remote, waits)


def _show(run: Run, report: PlanReport, outputs: Outputs) -> None:
    outputs.planned(report)
    if outputs.plan_out is not None:
        write_plan_file(outputs.plan_out, report.document())
    if outputs.output == "text":
        idle = run.idle and not report.all_diagnostics()
        colour = wants_colour(sys.stdout, run.request.colour)
        out_text(idle_line(report.about) if idle else render_plan(report, colour=colour))
    if report.error is not None:
        report_failure(report.error)
    outputs.close(report)
    if outputs.plan_out is not None:
        err(_written(run, report.plan, outputs.plan_out))


def _written(run: Run, plan: Plan, file: Path) -> str:
    """Return where the plan is, and how to go on with it."""
    if plan.errored:
        return f"{file} has the plan as far as it goes; it can't be applied.\n"
    if not plan.actions:
        return f"{file} has the plan: nothing to apply.\n"
    again = (*run.request.typed_selection, *run.request.typed_again, *run.typed_overrides)
    command = shlex.join(("octosync", "apply", str(file), *again))
    return f"{file} has the plan. To apply just that:  {command}\n{_not_covered(run, plan)}"


def _not_covered(run: Run, plan: Plan) -> str:
    """Return which objects could change unnoticed between plan and apply."""
    acted_on = {action.address for action in plan.actions}
    without = [str(address) for address in uncovered(plan, run.fingerprinting) if address in acted_on]
    if not without:
        return ""
    return (
        f"Its fingerprints leave sensitive values out, so apply can't notice if these change before it: "
        f"{listed(map(visible, without), at_most=5)}.\n"
        f"To have them covered, set {PLAN_KEY} for plan and apply.\n"
    )
