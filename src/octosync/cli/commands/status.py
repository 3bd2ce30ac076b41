"""`octosync status`.

Looking again and again: a picture that is redrawn in place on a terminal, and written anew elsewhere, until a signal.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, Protocol

import click
from rich.console import Console
from rich.live import Live
from rich.text import Text

from octosync.cli.commands.approvals import Approvals
from octosync.cli.commands.coverage import FeedFormat, check_flags, read_by, show_declared
from octosync.cli.console import err, out, out_json, shows_blocks, wants_colour
from octosync.cli.options import (
    BareOption,
    CommandWithBareOptions,
    bundled,
    colour_option,
    manifest_options,
    option,
    output_option,
    remote_options,
    state_option,
    typed_options,
)
from octosync.cli.progress import ProgressBar, Waits, wait_words
from octosync.cli.run_options import ManifestFlags, RemoteFlags
from octosync.cli.session import Session, check_app_names, control_plane, converse, open_session, query
from octosync.cli.signals import Stopping
from octosync.errors import CredentialRefused, ExitCode, Interrupted, OctosyncError, UsageError
from octosync.manifest import closest
from octosync.model import App, AppStatus, JsonObject
from octosync.octomil import Connection, FoundApps, Octomil, WaitNotice, find_apps, is_glob, read_statuses
from octosync.report import StatusFacts, json_line, render_error, render_status, status_document

WATCH_SECONDS: Final = 10
Progress = Callable[[int, int], None]


class Picture(Protocol):
    """What a look comes to."""

    def text(self, *, colour: bool, blocks: bool) -> str:
        """Return it for people."""

    def document(self) -> JsonObject:
        """Return it for tools."""


def look_again(
    session: Session,
    look: Callable[[Octomil, Progress | None], Awaitable[Picture]],
    *,
    every: float,
    output: str,
    colour: str,
) -> ExitCode:
    """Look, show, and look again after so many seconds, until a signal; return its exit code.

    A look that fails is told, and the next one tried. Raises what the first one can't do without, a refused credential, and
    `UsageError` for a format that has an end.
    """
    if output == "json":
        raise UsageError(
            "endless-document",
            "--watch has no end, and a JSON document needs one",
            hints=("Use -o jsonl: each look is a line of its own.",),
        )

    async def led(remote: Octomil, waits: Waits, _: Stopping) -> None:
        with ExitStack() as stack:
            canvas = _Canvas(stack, session.connection.requests_per_minute, every, output, colour)
            picture: Picture | None = None
            while True:
                try:
                    picture = await _look(session, look, remote, waits, None if picture is None else canvas)
                except OctosyncError as error:
                    if isinstance(error, CredentialRefused) or (picture is None and not error.retryable):
                        raise
                    canvas.complain(error)
                else:
                    canvas.draw(picture)
                await asyncio.sleep(every)

    try:
        converse(session, led)
    except Interrupted as end:
        return end.exit_code  # how watching ends: nothing that was to be done is left undone
    raise AssertionError("watching ended by itself")


async def _look(
    session: Session,
    look: Callable[[Octomil, Progress | None], Awaitable[Picture]],
    remote: Octomil,
    waits: Waits,
    canvas: _Canvas | None,
) -> Picture:
    """Look once: with a bar the first time, when there is nothing to see yet."""
    if canvas is not None:
        waits.show = canvas.waiting
        return await look(remote, None)
    with ProgressBar("reading", session.connection.requests_per_minute) as bar:
        waits.show = bar.waiting
        return await look(remote, bar.advance)


class _Canvas:
    """Where pictures are drawn. On a terminal it is one place, with a line above it that says what goes on.

    Above, since what is too long for the screen is cut off below until watching ends.
    """

    def __init__(self, stack: ExitStack, pace: int, every: float, output: str, colour: str) -> None:
        self._stack = stack
        self._pace = pace
        self._as_lines = output == "jsonl"
        self._colour = wants_colour(sys.stdout, colour)
        self._blocks = shows_blocks(sys.stdout)
        self._console = Console(file=sys.stdout)
        self._in_place = sys.stdout.isatty() and not self._console.is_dumb_terminal and not self._as_lines
        self._live: Live | None = None
        self._rhythm = f"looks every {every:g} s, Ctrl-C ends"
        self._text = ""
        self._note = ""

    def draw(self, picture: Picture) -> None:
        """Show a picture in place of the one before."""
        if self._as_lines:
            out(json_line(picture.document()))
            return
        separator = "\n" if self._text and not self._in_place else ""
        self._text = picture.text(colour=self._colour, blocks=self._blocks)
        self._note = f"as of {datetime.now(UTC):%H:%M:%S} UTC, {self._rhythm}"
        if self._in_place:
            self._redraw(self._note)
        else:
            out(f"{separator}{self._text}")

    def complain(self, error: OctosyncError) -> None:
        """Say that a look failed, and that what is shown is older."""
        told = render_error(error, written="")
        if self._in_place:
            self._redraw(f"{told}{self._note or self._rhythm}")
        else:
            err(f"{told}  Trying again: {self._rhythm}.\n")

    def waiting(self, waiting: WaitNotice) -> None:
        """Say that a look is under way, and what it waits for."""
        if self._in_place:
            wait = f"; {wait_words(waiting, self._pace)} in {waiting.seconds:.0f} s" if waiting.requests else ""
            self._redraw(f"{self._note}{wait}")

    def _redraw(self, note: str) -> None:
        if self._live is None:
            self._live = self._stack.enter_context(Live(console=self._console, auto_refresh=False))
        self._live.update(Text.from_ansi(f"{note}\n\n{self._text.rstrip()}"), refresh=True)


@click.command(cls=CommandWithBareOptions, epilog="Example:  octosync status 'search-*' --context production")
@click.argument("apps", nargs=-1, metavar="[APP…]")
@option(
    "--watch",
    cls=BareOption,
    bare=str(WATCH_SECONDS),
    type=click.FloatRange(0.1, 3600),
    metavar="SECONDS",
    help=f"Refresh every SECONDS, {WATCH_SECONDS} by default, until Ctrl-C.",
)
@option("--archived", is_flag=True, help="Include archived apps.")
@state_option
@option("--declared", is_flag=True, help="Show how much of the org the manifests cover instead.")
@option(
    "--by",
    metavar="folder|label:KEY",
    callback=read_by,
    help="With --declared: group the declared apps by the folder of their manifest, or by a label.",
)
@option("--full", is_flag=True, help="With --declared: list every app.")
@manifest_options
@remote_options
@output_option("text", "json", "jsonl")
@colour_option
@bundled("shown", FeedFormat)
def command(
    *,
    apps: tuple[str, ...],
    watch: float | None,
    archived: bool,
    declared: bool,
    journal: Path,
    manifests: ManifestFlags,
    remote: RemoteFlags,
    shown: FeedFormat,
) -> ExitCode:
    """Show live state: coverage, deployments and canaries, traffic, the last change, and the model reference of each slot.

    APP is a slug or a pattern with *. The default is all apps that are not archived. An app needs at most 7 requests.

    --declared compares manifests with the list of apps of the org. Select manifests as for plan, with -f and the options after
    it.
    """
    check_app_names(apps)
    check_flags(typed_options(), declared=declared)
    if declared:
        return show_declared(apps, manifests, remote, shown)
    session = open_session(remote, manifests.config)
    approvals = Approvals(journal, session.connection)

    async def look(client: Octomil, progress: Progress | None = None) -> Seen:
        return await look_at(session, client, apps, approvals, archived=archived, progress=progress)

    if watch is not None:
        return look_again(session, look, every=watch, output=shown.output, colour=shown.colour)
    seen = query(session, "reading", lambda client, bar: look(client, foretelling(bar.advance, session.connection)))
    if shown.output == "json":
        out_json(seen.document())
    elif shown.output == "jsonl":
        out(json_line(seen.document()))
    else:
        out(seen.text(colour=wants_colour(sys.stdout, shown.colour), blocks=shows_blocks(sys.stdout)))
    return seen.exit_code


@dataclass(frozen=True, slots=True)
class Seen:
    """What one look at the control plane came to."""

    session: Session
    statuses: tuple[AppStatus, ...]
    facts: StatusFacts
    timestamp: datetime

    @property
    def exit_code(self) -> ExitCode:
        """What could not be read makes an error of the whole, though all else is shown."""
        return ExitCode.ERROR if any(status.errors for status in self.statuses) else ExitCode.DONE

    def document(self) -> JsonObject:
        """Return it for tools."""
        sensitivity = self.session.configuration.sensitivity
        return status_document(self.statuses, self.facts, timestamp=self.timestamp, sensitivity=sensitivity)

    def text(self, *, colour: bool, blocks: bool) -> str:
        """Return it for people."""
        return render_status(self.statuses, self.facts, colour=colour, blocks=blocks)


def foretelling(progress: Progress, connection: Connection) -> Progress:
    """Say, before it begins, what will take minutes at the pace in force; pass everything on."""

    def foretold(done: int, expected: int) -> None:
        pace = connection.requests_per_minute
        if not done and pace and expected > pace:
            err(
                f"{expected:,} requests at {pace:,} a minute take about {expected // pace:,} min."
                " Fewer apps take less: octosync status APP\n"
            )
        progress(done, expected)

    return foretold


async def look_at(
    session: Session,
    remote: Octomil,
    patterns: Sequence[str],
    approvals: Approvals,
    *,
    archived: bool,
    progress: Progress | None = None,
) -> Seen:
    """Read the apps that are meant. Raises `OctosyncError` for a pattern that means none."""
    before, now = remote.requests, datetime.now(UTC)
    found = await find_apps(remote, patterns, archived=archived)
    if found.unmatched:
        raise _no_such_app(found)
    statuses = await read_statuses(remote, found, progress=progress)
    plane = control_plane(session.connection, session.context, _org_of(statuses))
    facts = StatusFacts(
        control_plane=plane,
        requests=remote.requests - before,
        awaiting=approvals.of(statuses, plane.org_id, every=not patterns),
    )
    return Seen(session, statuses, facts, now)


def _no_such_app(found: FoundApps) -> OctosyncError:
    """Say which app is not there, and what was probably meant, as far as apps were listed."""
    first, *others = found.unmatched
    what = "matches no app" if is_glob(first) else "is no app of the org"
    more = f", nor {', '.join(others)}" if others else ""
    close = closest(first, found.listed) if found.listed else None
    hints = (f"Did you mean {close}?",) if close else ("`octosync status` without names lists the org's apps.",)
    return OctosyncError("no-such-app", f"{first} {what}{more}", hints=hints)


def _org_of(statuses: Sequence[AppStatus]) -> str | None:
    """Return the org that the answers name."""
    named = (status.app.server_fields.get("org_id") for status in statuses if isinstance(status.app, App))
    return next((str(org) for org in named if org), None)
