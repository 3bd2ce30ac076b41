"""`octosync history`: show the runs in the journal."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import click

from octosync.cli.command import Command
from octosync.cli.console import err, out, out_json, wants_colour
from octosync.cli.options import colour_option, option, output_option, state_option
from octosync.errors import UsageError
from octosync.model import JournalledRun
from octosync.report import history_document, render_history, render_run, run_document
from octosync.report.text import listed
from octosync.state import JournalReader

_NEWEST = "last"
_NAMED_AT_MOST = 5


@click.command(cls=Command, epilog="Example:  octosync history last")
@click.argument("run", required=False, metavar="[RUN]")
@option(
    "--limit", type=click.IntRange(1), default=20, show_default=True, metavar="N", help="The number of runs to list."
)
@state_option
@output_option("text", "json")
@colour_option
def command(*, run: str | None, limit: int, journal: Path, output: str, colour: str) -> None:
    """Show the newest runs in the journal, or all actions of one run.

    RUN is a run ID, the beginning of one, or `last`. The command sends no request to the control plane.
    """
    with JournalReader(journal) as recorded:
        runs = recorded.runs()
        empty = "" if runs else _emptiness(recorded)
        if run is not None:
            selected = _find_run(run, runs, empty or f"{journal} has no run ID with this beginning")
            actions = recorded.actions(selected.id)
            if output == "json":
                out_json(run_document(selected, actions, journal=str(journal)))
            else:
                out(render_run(selected, actions, colour=wants_colour(sys.stdout, colour)))
            return
        shown = [(listed_run, recorded.actions(listed_run.id)) for listed_run in runs[:limit]]
    if output == "json":
        out_json(history_document(shown, journal=str(journal)))
    elif shown:
        out(render_history(shown, total=len(runs), colour=wants_colour(sys.stdout, colour)))
    if empty:
        err(f"No runs: {empty}. Select another journal with --state FILE.\n")


def _emptiness(recorded: JournalReader) -> str:
    return f"{recorded.path} is empty" if recorded.exists else f"there is no journal at {recorded.path.absolute()}"


def _find_run(name: str, runs: Sequence[JournalledRun], why_not: str) -> JournalledRun:
    """Return the run with this ID prefix, or the last one. Raise `UsageError` if no run or several have it."""
    if name == _NEWEST and runs:
        return runs[0]
    matches = [run for run in runs if name and run.id.startswith(name)]
    if not matches:
        raise UsageError(
            "no-such-run",
            f"there is no run `{name}`: {why_not}",
            hints=("octosync history lists the runs." if runs else "Select another journal with --state FILE.",),
        )
    if len(matches) > 1:
        raise UsageError(
            "ambiguous-run",
            f"`{name}` is the beginning of {len(matches):,} run IDs",
            hints=(f"Give more of the ID: {listed((run.id for run in matches), at_most=_NAMED_AT_MOST)}",),
        )
    return matches[0]
