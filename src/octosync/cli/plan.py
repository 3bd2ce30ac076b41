"""`octosync plan`."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Any

import click

from octosync.cli import signals
from octosync.cli.asking import asked_from, plan_and_apply_options
from octosync.cli.commands import Command
from octosync.cli.console import err, out_text, wants_colour
from octosync.cli.failing import report_failure
from octosync.cli.formats import FORMATS
from octosync.cli.options import option
from octosync.cli.outlets import Destination, Outlets, outlet_options
from octosync.cli.planfile import typed_selection, write_plan_file
from octosync.cli.progress import Waits
from octosync.cli.turning import Prepared, look_away, open_remote, prepare, take_look
from octosync.errors import ExitCode, OctosyncError, UsageError
from octosync.plan import PLAN_KEY, uncovered
from octosync.reconcile import Turn
from octosync.report import Planned, exit_code_of_plan, idle_line
from octosync.report.plain import visible
from octosync.report.words import listed


@click.command(cls=Command, epilog="Example:  octosync plan -f apps/ --context production --detailed-exitcode")
@plan_and_apply_options
@option("--plan-out", type=click.Path(path_type=Path), help="Write the plan to a file, for `octosync apply FILE`.")
@option(
    "--offline",
    is_flag=True,
    help="Take the base as live: what this change declares, without credential or request.",
)
@option("--detailed-exitcode", is_flag=True, help="Exit with 2 where there are changes.")
@outlet_options(*FORMATS)
def command(
    *,
    output: str,
    destinations: tuple[Destination, ...],
    plan_out: Path | None,
    detailed_exitcode: bool,
    **flags: Any,  # noqa: ANN401 — see asking
) -> ExitCode:
    """Show what apply would do. Reads the control plane, compares, and changes nothing."""
    asked = asked_from(flags, reviews=True)
    if asked.base.offline and plan_out is not None:
        raise UsageError(
            "offline-plan-out",
            "--offline with --plan-out: what was never compared with live can't be approved",
            hints=("Leave one of them out.",),
        )
    with Outlets(
        command="plan",
        output=output,
        destinations=destinations,
        plan_out=plan_out,
        max_bytes=asked.max_bytes,
        full=asked.full,
    ) as outlets:
        prepared = prepare(asked, outlets.saw)
        if isinstance(prepared, ExitCode):
            return prepared

        async def turned(_: signals.Stopping) -> Turn:
            waits = Waits()
            async with open_remote(prepared, waits) as remote:
                return await take_look(prepared, remote, waits)

        turn = look_away(prepared) if prepared.connection is None else signals.run(turned)
        code = exit_code_of_plan(turn.plan, turn.blocked, detailed=detailed_exitcode)
        strict = prepared.strict_error(turn)
        if strict is not None:
            code = ExitCode.ERROR
        _report(prepared, turn, outlets, code, strict)
        return code


def _report(prepared: Prepared, turn: Turn, outlets: Outlets, code: ExitCode, error: OctosyncError | None) -> None:
    info = prepared.info(turn, ("octosync", "apply", *prepared.invocation.arguments(), *prepared.typed_again))
    planned = outlets.plans(prepared.planned(turn, info, command="plan"))
    if outlets.plan_out is not None:
        write_plan_file(outlets.plan_out, planned.document(full=False))
    if outlets.output == "text":
        out_text(_text(prepared, planned))
    if error is not None:
        report_failure(error)
    outlets.close(outlets.ended(code, error=error))
    if outlets.plan_out is not None:
        err(_written(prepared, turn, outlets.plan_out))


def _text(prepared: Prepared, planned: Planned) -> str:
    if prepared.idle and not planned.all_diagnostics():
        return idle_line(planned.about)
    return planned.text(colour=wants_colour(sys.stdout, prepared.asked.colour))


def _written(prepared: Prepared, turn: Turn, file: Path) -> str:
    """Say where the plan is, and how to go on with it."""
    if turn.plan.errored:
        return f"{file} has the plan as far as it goes; it can't be applied.\n"
    if not turn.plan.actions:
        return f"{file} has the plan: nothing to apply.\n"
    again = (*typed_selection(prepared.asked), *prepared.typed_again, *prepared.typed_overrides)
    command = shlex.join(("octosync", "apply", str(file), *again))
    return f"{file} has the plan. To apply just that:  {command}\n{_not_covered(prepared, turn)}"


def _not_covered(prepared: Prepared, turn: Turn) -> str:
    """Say of which objects a change would go unnoticed between plan and apply."""
    acted_on = {action.address for action in turn.plan.actions}
    without = [str(one) for one in uncovered(turn.plan, prepared.fingerprinting) if one in acted_on]
    if not without:
        return ""
    return (
        f"Its fingerprints leave sensitive values out, so apply can't notice if these change before it: "
        f"{listed(map(visible, without), at_most=5)}.\n"
        f"To have them covered, set {PLAN_KEY} for plan and apply.\n"
    )
