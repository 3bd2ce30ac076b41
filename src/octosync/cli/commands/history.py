"""`octosync history`: its options and help."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Final

import click

from octosync.cli.command import Command, runs
from octosync.cli.options import (
    bundle_options,
    colour_option,
    config_option,
    context_option,
    option,
    output_option,
    state_option,
)
from octosync.model import UNKNOWN, Status

if TYPE_CHECKING:
    from octosync.model import JournalledAction, JournalledRun
    from octosync.state import JournalReader


class Moment(click.ParamType[datetime]):
    """A time as a date, a date with a time, or a duration before now. A date is its start in UTC, or its end with `ends`."""

    name = "time"

    def __init__(self, *, ends: bool = False) -> None:
        self._ends = ends

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        """Return the time, with its zone. Raises `BadParameter`."""
        from octosync.manifest import parse_duration

        text = str(value)
        try:
            return datetime.now(UTC) - parse_duration(text)
        except (OverflowError, ValueError):
            pass
        try:
            if _DATE.fullmatch(text):
                return datetime.fromisoformat(text).replace(tzinfo=UTC) + (_LAST_MOMENT if self._ends else timedelta())
            found = datetime.fromisoformat(text)
        except (OverflowError, ValueError):
            self.fail(
                f"{text!r} is neither a time such as 2026-03-01 or 2026-03-01T12:00Z nor a duration such as 7d",
                param,
                ctx,
            )
        return found if found.tzinfo is not None else found.replace(tzinfo=UTC)


_DATE: Final = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)


_OUTCOMES: Final = [*(status.value for status in Status), UNKNOWN]


_LAST_MOMENT: Final = timedelta(days=1) - timedelta(microseconds=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class HistoryFilters:
    """Which runs to list. An action of the run has to match both `apps` and `outcomes`."""

    apps: tuple[str, ...] = ()
    actors: tuple[str, ...] = ()
    since: datetime | None = None
    until: datetime | None = None
    outcomes: tuple[str, ...] = ()

    @property
    def given(self) -> bool:
        """Whether any run may be left out."""
        return self != HistoryFilters()

    def select(self, runs: Iterable[JournalledRun], recorded: JournalReader) -> list[JournalledRun]:
        """Return the runs that match; their actions are read only if they matter."""
        found = [run for run in runs if self._accept_run(run)]
        if not self.apps and not self.outcomes:
            return found
        actions = recorded.actions_of([run.id for run in found])
        return [run for run in found if any(map(self._accept_action, actions[run.id]))]

    def _accept_run(self, run: JournalledRun) -> bool:
        actor = "" if run.audit is None else run.audit.actor
        if self.actors and not _matches(actor.casefold(), [pattern.casefold() for pattern in self.actors]):
            return False
        is_before = self.since is not None and run.started_at < self.since
        return not is_before and (self.until is None or run.started_at <= self.until)

    def _accept_action(self, action: JournalledAction) -> bool:
        status = UNKNOWN if action.status is None else action.status.value
        app = action.address.partition("/")[2].partition("/")[0]
        return (not self.apps or _matches(app, self.apps)) and (not self.outcomes or status in self.outcomes)


def _matches(text: str, patterns: Iterable[str]) -> bool:
    return any(fnmatchcase(text, pattern) for pattern in patterns)


@click.command(cls=Command, example="octosync history --app search --since 7d --outcome failed")
@click.argument("run", required=False, metavar="[RUN]")
@option(
    "--limit", type=click.IntRange(1), default=20, show_default=True, metavar="N", help="The number of runs to list."
)
@bundle_options("filters", HistoryFilters)
@option(
    "--app",
    "apps",
    env=False,
    multiple=True,
    metavar="SLUG",
    help="List runs that changed an app, by slug or pattern with *. Repeatable.",
)
@option(
    "--actor",
    "actors",
    env=False,
    multiple=True,
    metavar="NAME",
    help="List runs of an actor or pattern with *. Repeatable.",
)
@option(
    "--since",
    env=False,
    type=Moment(),
    metavar="TIME",
    help="List runs since a time or date, or since a duration ago such as 7d.",
)
@option(
    "--until",
    env=False,
    type=Moment(ends=True),
    metavar="TIME",
    help="List runs until a time, the end of a date, or a duration ago.",
)
@option(
    "--outcome",
    "outcomes",
    env=False,
    multiple=True,
    type=click.Choice(_OUTCOMES),
    metavar="OUTCOME",
    help=f"List runs with an action of this outcome; with --app, an action on that app: {', '.join(_OUTCOMES)}. Repeatable.",
)
@state_option
@config_option
@context_option
@output_option("text", "json")
@colour_option
@runs("history")
def command() -> None:
    """Show the newest runs in the journal, or one run with its actions, its commit and its overrides.

    RUN is a run ID, the beginning of one, or `last`. Dates are in UTC. The command sends no request to the control plane.
    """
