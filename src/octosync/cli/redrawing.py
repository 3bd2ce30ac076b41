"""Looking again and again: a picture that is redrawn in place on a terminal, and written anew elsewhere, until a signal."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from datetime import UTC, datetime
from typing import Final, Protocol

from rich.console import Console
from rich.live import Live
from rich.text import Text

from octosync.cli.console import err, out, shows_blocks, wants_colour
from octosync.cli.progress import ProgressBar, Waits, wait_words
from octosync.cli.remote import Session, converse
from octosync.errors import CredentialRefused, ExitCode, Interrupted, OctosyncError, UsageError
from octosync.model import JsonObject
from octosync.octomil import Octomil, Waiting
from octosync.report import json_line, render_error

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

    async def led(remote: Octomil, waits: Waits) -> None:
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

    def waiting(self, waiting: Waiting) -> None:
        """Say that a look is under way, and what it waits for."""
        if self._in_place:
            wait = f"; {wait_words(waiting, self._pace)} in {waiting.seconds:.0f} s" if waiting.requests else ""
            self._redraw(f"{self._note}{wait}")

    def _redraw(self, note: str) -> None:
        if self._live is None:
            self._live = self._stack.enter_context(Live(console=self._console, auto_refresh=False))
        self._live.update(Text.from_ansi(f"{note}\n\n{self._text.rstrip()}"), refresh=True)
