"""`octosync status`: show live state, once or repeatedly.

With --watch, a terminal shows each new status in place of the last one; elsewhere each one is printed after the last.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol

from rich.console import Console
from rich.live import Live
from rich.text import Text

from octosync.cli.commands.status import CoverageOptions, StatusScope
from octosync.cli.console import err, note, out, out_json, out_text, wants_colour
from octosync.cli.options import (
    typed_options,
)
from octosync.cli.progress import ProgressBar, WaitDisplay, wait_description
from octosync.cli.run_options import ManifestFlags, RemoteFlags, StateFlag
from octosync.cli.runs.approvals import ApprovalReader
from octosync.cli.runs.coverage import check_flags, show_declared
from octosync.cli.session import Session, check_app_names, control_plane, open_session, query, run_with_client
from octosync.cli.shared_state import known_shared_state
from octosync.cli.signals import StopSignal
from octosync.cli.state_location import shown_state
from octosync.cli.wrapping import terminal_width
from octosync.errors import ConfigError, CredentialRefused, ExitCode, Interrupted, OctosyncError, UsageError
from octosync.model import App, AppOverview, AppStatus, JsonObject, closest
from octosync.octomil import (
    Connection,
    FoundApps,
    Octomil,
    WaitNotice,
    find_apps,
    is_glob,
    read_overviews,
    read_statuses,
)
from octosync.plan import SharedState
from octosync.report import StatusFacts, json_line, render_error, render_overviews, render_status, status_document
from octosync.state import StateLocation

Progress = Callable[[int, int], None]


class View(Protocol):
    """The result of one refresh."""

    def text(self, *, colour: bool, full: bool = False) -> str:
        """Return the text output."""

    def document(self) -> JsonObject:
        """Return the JSON output."""


def show_repeatedly(
    session: Session,
    read: Callable[[Octomil, Progress | None], Awaitable[View]],
    *,
    every: float,
    output: str,
    colour: str,
) -> ExitCode:
    """Read and show the status every `every` seconds, until a signal; return its exit code.

    A failed refresh is reported, and the next one is tried. Raises a permanent error of the first refresh, a rejected
    credential, and `UsageError` for the format json.
    """
    if output == "json":
        raise UsageError(
            "endless-document",
            "--watch has no end, so it can't write a single JSON document",
            hints=("Use -o jsonl: it writes one line per refresh.",),
        )

    async def refresh(remote: Octomil, wait_display: WaitDisplay, _: StopSignal) -> None:
        with ExitStack() as stack:
            canvas = _Canvas(stack, session.connection.requests_per_minute, every, output, colour)
            view: View | None = None
            while True:
                try:
                    view = await _read_view(session, read, remote, wait_display, None if view is None else canvas)
                except OctosyncError as error:
                    if isinstance(error, CredentialRefused) or (view is None and not error.retryable):
                        raise
                    canvas.show_error(error)
                else:
                    canvas.draw(view)
                await asyncio.sleep(every)

    try:
        run_with_client(session, refresh)
    except Interrupted as end:
        return end.exit_code  # the normal end of --watch
    raise AssertionError("--watch ended without a signal")


async def _read_view(
    session: Session,
    read: Callable[[Octomil, Progress | None], Awaitable[View]],
    remote: Octomil,
    wait_display: WaitDisplay,
    canvas: _Canvas | None,
) -> View:
    """Read once: with a progress bar the first time, when no canvas is given."""
    if canvas is not None:
        wait_display.show = canvas.waiting
        return await read(remote, None)
    with ProgressBar("reading", session.connection.requests_per_minute, remote.seconds_for) as bar:
        wait_display.show = bar.waiting
        return await read(remote, bar.advance)


class _Canvas:
    """The output of --watch. On a terminal it is redrawn in place, with a status line above it.

    The line is above because a view that is longer than the screen is cut off at the bottom.
    """

    def __init__(self, stack: ExitStack, pace: int, every: float, output: str, colour: str) -> None:
        self._stack = stack
        self._pace = pace
        self._as_lines = output == "jsonl"
        self._colour = wants_colour(sys.stdout, colour)
        self._console = Console(file=sys.stdout)
        self._in_place = sys.stdout.isatty() and not self._console.is_dumb_terminal and not self._as_lines
        self._live: Live | None = None
        self._rhythm = f"refreshes every {every:g} s, Ctrl-C to stop"
        self._text = ""
        self._note = ""

    def draw(self, view: View) -> None:
        """Show a view in place of the previous one."""
        if self._as_lines:
            out(json_line(view.document()))
            return
        separator = "\n" if self._text and not self._in_place else ""
        self._text = view.text(colour=self._colour)
        self._note = f"as of {datetime.now(UTC):%H:%M:%S} UTC, {self._rhythm}"
        if self._in_place:
            self._redraw(self._note)
        else:
            out_text(f"{separator}{self._text}")

    def show_error(self, error: OctosyncError) -> None:
        """Report a failed refresh, and the time of the view that is still shown."""
        message = render_error(error, written="")
        if self._in_place:
            self._redraw(f"{message}{self._note or self._rhythm}")
        else:
            err(f"{message}  Retrying: {self._rhythm}.\n")

    def waiting(self, waiting: WaitNotice) -> None:
        """Show that a refresh is in progress, and the reason for its wait."""
        if self._in_place:
            wait = f"; {wait_description(waiting, self._pace)} in {waiting.seconds:.0f} s" if waiting.requests else ""
            self._redraw(f"{self._note}{wait}")

    def _redraw(self, note: str) -> None:
        if self._live is None:
            self._live = self._stack.enter_context(Live(console=self._console, auto_refresh=False))
        self._live.update(Text.from_ansi(f"{note}\n\n{self._text.rstrip()}"), refresh=True)


def run(
    *,
    apps: tuple[str, ...],
    watch: float | None,
    scope: StatusScope,
    declared: bool,
    journal: StateFlag,
    manifests: ManifestFlags,
    remote: RemoteFlags,
    shown: CoverageOptions,
) -> ExitCode:
    """Run `octosync status`."""
    check_app_names(apps)
    check_flags(typed_options(), declared=declared)
    if scope.short and (declared or watch is not None or shown.full or shown.output != "text"):
        raise UsageError(
            "conflicting-flags",
            "--short can't be used with --declared, --watch, --full, -o json or -o jsonl",
            hints=("Run `octosync status --help` for usage.",),
        )
    if declared:
        return show_declared(apps, manifests, remote, shown)
    session = open_session(remote, manifests.config)
    if scope.short:
        return _show_overviews(session, apps, archived=scope.archived, colour=shown.colour)
    location: StateLocation | ConfigError
    try:
        location = shown_state(journal, session.configuration, session.context, manifests.config).location
    except ConfigError as error:  # the state is a small part of what is shown
        location = error
    approvals = ApprovalReader(location, session.connection)

    async def read(client: Octomil, progress: Progress | None = None) -> StatusView:
        return await read_status(session, client, apps, approvals, archived=scope.archived, progress=progress)

    if watch is not None:
        return show_repeatedly(session, read, every=watch, output=shown.output, colour=shown.colour)
    view = query(
        session, "reading", lambda client, bar: read(client, announcing_duration(bar.advance, session.connection))
    )
    if shown.output == "json":
        out_json(view.document())
    elif shown.output == "jsonl":
        out(json_line(view.document()))
    else:
        out_text(view.text(colour=wants_colour(sys.stdout, shown.colour), full=shown.full))
    return view.exit_code


def _show_overviews(session: Session, patterns: Sequence[str], *, archived: bool, colour: str) -> ExitCode:
    """Show one line for each app. Raise `OctosyncError` for a pattern that matches none."""

    async def read(remote: Octomil, _: ProgressBar) -> tuple[tuple[AppOverview, ...], int]:
        found = await find_apps(remote, patterns, archived=archived)
        if found.unmatched:
            raise _no_such_app(found)
        return await read_overviews(remote, found), remote.requests

    overviews, requests = query(session, "reading", read)
    plane = control_plane(session.connection, session.context, _org_of(overviews))
    facts = StatusFacts(control_plane=plane, requests=requests)
    out_text(render_overviews(overviews, facts, colour=wants_colour(sys.stdout, colour)))
    unread = (part for app in overviews for part in (app.app, app.deployments, app.last_change))
    return ExitCode.ERROR if any(isinstance(part, OctosyncError) for part in unread) else ExitCode.DONE


@dataclass(frozen=True, slots=True)
class StatusView:
    """The status of the selected apps at one time."""

    session: Session
    statuses: tuple[AppStatus, ...]
    facts: StatusFacts
    timestamp: datetime

    @property
    def exit_code(self) -> ExitCode:
        """ERROR if part of a status could not be read, though the rest is shown."""
        return ExitCode.ERROR if any(status.errors for status in self.statuses) else ExitCode.DONE

    def document(self) -> JsonObject:
        """Return the JSON output."""
        sensitivity = self.session.configuration.sensitivity
        return status_document(self.statuses, self.facts, timestamp=self.timestamp, sensitivity=sensitivity)

    def text(self, *, colour: bool, full: bool = False) -> str:
        """Return the text output."""
        width = terminal_width(sys.stdout)
        return render_status(self.statuses, self.facts, colour=colour, full=full, width=width)


def announcing_duration(progress: Progress, connection: Connection) -> Progress:
    """Wrap a progress callback: before the first request, print the duration if it is more than a minute."""

    def announced(done: int, expected: int) -> None:
        pace = connection.requests_per_minute
        if not done and pace and expected > pace:
            note(
                f"{expected:,} requests at {pace:,} per minute take about {expected // pace:,} min."
                " To read fewer apps: octosync status APP\n"
            )
        progress(done, expected)

    return announced


async def read_status(
    session: Session,
    remote: Octomil,
    patterns: Sequence[str],
    approvals: ApprovalReader,
    *,
    archived: bool,
    progress: Progress | None = None,
) -> StatusView:
    """Read the statuses of the selected apps. Raise `OctosyncError` for a pattern that matches none."""
    before, now = remote.requests, datetime.now(UTC)
    found = await find_apps(remote, patterns, archived=archived)
    if found.unmatched:
        raise _no_such_app(found)
    statuses = await read_statuses(remote, found, progress=progress)
    plane = control_plane(session.connection, session.context, _org_of(statuses))
    if isinstance(location := approvals.location, ConfigError):
        shared: SharedState | None = SharedState(location=None, error=location)
    else:
        shared = await known_shared_state(location, plane)
    facts = StatusFacts(
        control_plane=plane,
        requests=remote.requests - before,
        awaiting=approvals.pending(statuses, plane.org_id, every=not patterns),
        shared=shared,
    )
    return StatusView(session, statuses, facts, now)


def _no_such_app(found: FoundApps) -> OctosyncError:
    """Return the error for the apps that don't exist, with the nearest listed slug as a hint."""
    first, *others = found.unmatched
    what = "matches no app" if is_glob(first) else "is not an app of the org"
    more = f", nor {', '.join(others)}" if others else ""
    close = closest(first, found.listed) if found.listed else None
    hints = (f"Did you mean {close}?",) if close else ("`octosync status` without names lists the org's apps.",)
    return OctosyncError("no-such-app", f"{first} {what}{more}", hints=hints)


def _org_of(statuses: Sequence[AppStatus | AppOverview]) -> str | None:
    """Return the ID of the org that the apps name."""
    named = (status.app.server_fields.get("org_id") for status in statuses if isinstance(status.app, App))
    return next((str(org) for org in named if org), None)
