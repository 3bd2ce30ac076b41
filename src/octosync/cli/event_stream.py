"""The events of a run as JSON Lines: printed as they happen, each with its time, and kept if a file needs them."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final

import click

from octosync import __version__
from octosync.apply import Progress
from octosync.cli.console import out
from octosync.cli.root import report_failure
from octosync.errors import OctosyncError
from octosync.model import JsonObject, RolloutStatus
from octosync.octomil import WaitNotice
from octosync.plan import Action
from octosync.report import ApplyReport, PlanReport, RunReport, json_line, jsonl

_WAIT_EVERY_SECONDS: Final = 10.0


@dataclass(slots=True, kw_only=True)
class EventStream:
    """Writes the events of a run: `prints` to standard output at once, `keeps` for a file at the end. `is_read`: either."""

    prints: bool
    keeps: bool
    is_read: bool
    lines: list[str] = field(default_factory=list)
    _started: bool = False
    _planned: bool = False
    _last_wait: float = float("-inf")
    _last_events: dict[str, JsonObject] = field(default_factory=dict)

    def plan(self, report: PlanReport) -> None:
        """Write the events of a plan."""
        self._planned = True
        self._write(jsonl.plan_events(report))

    def start(self, action: Action) -> None:
        """Write the event of an action that is about to be sent."""
        if self.is_read:
            self._write([jsonl.start_event(action)])

    def progress(self, progress: Progress) -> None:
        """Write the outcome of an action."""
        if self.is_read:
            self._write([jsonl.outcome_event(progress.outcome, done=progress.done, total=progress.total)])

    def waiting(self, waiting: WaitNotice) -> None:
        """Write why requests wait, at most every 10 seconds."""
        if waiting.requests and waiting.seconds >= 1 and time.monotonic() - self._last_wait >= _WAIT_EVERY_SECONDS:
            self._last_wait = time.monotonic()
            reason = waiting.reason.name.lower()
            self._write([jsonl.waiting_event(reason=reason, requests=waiting.requests, seconds=waiting.seconds)])

    def rollouts(self, rollouts: Sequence[RolloutStatus]) -> None:
        """Write the rollouts that changed, of those that the run waits for."""
        for rollout in rollouts:
            event = jsonl.rollout_event(rollout)
            if self._last_events.get(str(rollout.address)) != event:
                self._last_events[str(rollout.address)] = event
                self._write([event])

    def end(self, report: RunReport) -> None:
        """Write the last events of a run."""
        if not self._planned:
            self._write(map(jsonl.diagnostic_event, report.all_diagnostics()))
        if report.error is not None:
            self._write([jsonl.error_event(report.error)])
        if isinstance(report, ApplyReport) and report.run_id is not None:
            self._write([jsonl.applied_event(report)])

    def _write(self, new: Iterable[JsonObject]) -> None:
        if not self.is_read:
            return
        if not self._started:
            self._started = True
            self._write([jsonl.version_event(__version__)])
        for event in new:
            now = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
            line = json_line({"@timestamp": now, **event})
            if self.keeps:
                self.lines.append(line)
            if self.prints:
                self._print(line)

    def _print(self, line: str) -> None:
        """Print a line. If standard output is closed or fails, the run continues without it."""
        try:
            out(line)
        except click.exceptions.Exit:
            self.prints = False
        except OctosyncError as error:
            self.prints = False
            report_failure(error, written="The run continues.")
