"""The stream of events that `jsonl` is: told as they happen, each with its time; kept, where a file is to have them."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Final

import click

from octosync import __version__
from octosync.apply import Progress
from octosync.cli.console import out
from octosync.cli.failing import report_failure
from octosync.errors import OctosyncError
from octosync.model import JsonObject, Standing
from octosync.octomil import Waiting
from octosync.plan import Action
from octosync.report import ApplyReport, PlanReport, RunReport, events, json_line

_WAIT_EVERY_SECONDS: Final = 10.0


class Stream:
    """Tells a run's events: `prints` on standard output at once, `keeps` for a file at its end; else nothing is told."""

    def __init__(self, *, prints: bool, keeps: bool) -> None:
        self.lines: list[str] = []
        self._prints = prints
        self._keeps = keeps
        self._begun = False
        self._planned = False
        self._last_wait = float("-inf")
        self._stood: dict[str, JsonObject] = {}

    def plan(self, report: PlanReport) -> None:
        """Tell the plan."""
        if self._is_heard:
            self._planned = True
            self._tell(events.plan_events(report))

    def start(self, action: Action) -> None:
        """Tell that an action is being sent."""
        self._tell([events.start_event(action)])

    def progress(self, progress: Progress) -> None:
        """Tell what became of an action."""
        self._tell([events.outcome_event(progress.outcome, done=progress.done, total=progress.total)])

    def waiting(self, waiting: Waiting) -> None:
        """Tell now and then what writes wait for."""
        if waiting.requests and waiting.seconds >= 1 and time.monotonic() - self._last_wait >= _WAIT_EVERY_SECONDS:
            self._last_wait = time.monotonic()
            reason = waiting.reason.name.lower()
            self._tell([events.waiting_event(reason=reason, requests=waiting.requests, seconds=waiting.seconds)])

    def look(self, standings: Sequence[Standing]) -> None:
        """Tell what has moved of all that is waited for."""
        for one in standings:
            event = events.standing_event(one)
            if self._stood.get(str(one.address)) != event:
                self._stood[str(one.address)] = event
                self._tell([event])

    def end(self, report: RunReport) -> None:
        """Tell what is left to be told of a run that is over."""
        if not self._planned:
            self._tell(map(events.diagnostic_event, report.all_diagnostics()))
        if report.error is not None:
            self._tell([events.error_event(report.error)])
        if isinstance(report, ApplyReport) and report.run_id is not None:
            self._tell([events.applied_event(report)])

    @property
    def _is_heard(self) -> bool:
        return self._prints or self._keeps

    def _tell(self, told: Iterable[JsonObject]) -> None:
        if not self._is_heard:
            return
        if not self._begun:
            self._begun = True
            self._tell([events.version_event(__version__)])
        for event in told:
            now = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
            line = json_line({"@timestamp": now, **event})
            if self._keeps:
                self.lines.append(line)
            if self._prints:
                self._print(line)

    def _print(self, line: str) -> None:
        """Print a line. That nobody reads it, or that it can't be written, must not end a run that writes."""
        try:
            out(line)
        except click.exceptions.Exit:
            self._prints = False
        except OctosyncError as error:
            self._prints = False
            report_failure(error, written="The run goes on.")
