"""`octosync history`: show the runs in the journal."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from octosync.cli.commands.history import HistoryFilters
from octosync.cli.console import err, out_json, out_text, wants_colour
from octosync.cli.run_options import RemoteFlags, StateFlag
from octosync.cli.state_location import find_state
from octosync.errors import UsageError
from octosync.model import JournalledRun, counted
from octosync.report import history_document, render_history, render_run, run_document
from octosync.report.text import listed
from octosync.state import JournalReader

_NEWEST = "last"
_NAMED_AT_MOST = 5


def run(
    *,
    run: str | None,
    limit: int,
    filters: HistoryFilters,
    journal: StateFlag,
    config: Path | None,
    context: str | None,
    output: str,
    colour: str,
) -> None:
    """Run `octosync history`."""
    if run is not None and filters.given:
        raise UsageError(
            "run-with-filters", "RUN names a run, and filters select from the list", hints=("Remove one of them.",)
        )
    location = find_state(journal, RemoteFlags(context=context), config).location
    with JournalReader(location) as recorded:
        runs = recorded.runs()
        empty = "" if runs else _emptiness(recorded)
        if run is not None:
            selected = _find_run(run, runs, empty or f"{location} has no run ID with this beginning")
            actions = recorded.actions(selected.id)
            if output == "json":
                out_json(run_document(selected, actions, journal=str(location)))
            else:
                out_text(render_run(selected, actions, colour=wants_colour(sys.stdout, colour)))
            return
        matching = filters.select(runs, recorded)
        actions_of = recorded.actions_of([listed_run.id for listed_run in matching[:limit]])
        shown = [(listed_run, actions_of[listed_run.id]) for listed_run in matching[:limit]]
    if output == "json":
        out_json(history_document(shown, journal=str(location)))
    elif shown:
        out_text(render_history(shown, total=len(matching), colour=wants_colour(sys.stdout, colour)))
    if empty:
        err(f"No runs: {empty}. Select another journal with --state FILE.\n")
    elif not shown:
        err(f"No matching runs: {location} has {counted(len(runs), 'run')}.\n")


def _emptiness(recorded: JournalReader) -> str:
    location = recorded.location
    place = location.absolute() if isinstance(location, Path) else location
    return f"{location} is empty" if recorded.exists else f"there is no journal at {place}"


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
