"""Progress on standard error: a bar on a terminal, a plain line now and then elsewhere, nothing for what is quick."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Final, Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TextColumn
from rich.text import Text

from octosync.octomil import WaitNotice, WaitReason

_LINE_EVERY_SECONDS: Final = 10.0
# Seconds of a wait that are worth a line. Retries that soon end in an error, which says more, are not.
_WORTH_A_LINE: Final = {WaitReason.RATE_LIMIT: 1.5, WaitReason.THROTTLED: 1.5, WaitReason.RETRY: 5.0}


class _WaitColumn(ProgressColumn):
    """What waits, counted down: the task's `wait` is None, or the words before the seconds and when they end."""

    def render(self, task: Task) -> Text:
        """Return the words for now."""
        wait: tuple[str, float] | None = task.fields["wait"]
        return Text(_until(*wait) if wait and wait[1] > time.monotonic() else "")


def _until(words: str, end: float) -> str:
    return f"{words} in {end - time.monotonic():.0f} s"


def wait_words(waiting: WaitNotice, pace: int) -> str:
    """Say what waits, up to the words `next` after which the seconds come; `pace` is in requests a minute, 0 for no limit."""
    match waiting.reason:
        case WaitReason.RETRY:
            return "no answer, trying again"
        case WaitReason.THROTTLED:
            return f"the control plane throttles, {waiting.requests} waiting, next"
        case WaitReason.RATE_LIMIT:
            paced = f"paced: {pace} requests a minute" if pace else "paced"
            return f"{paced}, {waiting.requests} waiting, next"


class ProgressBar:
    """Shows how far a stage is, and what waits for the rate limit and how long. Used as a context manager."""

    def __init__(self, stage: str, pace: int) -> None:
        self._stage = stage
        self._pace = pace
        self._last_line = time.monotonic()
        self._last_wait = float("-inf")
        self._bar: Progress | None = None
        if sys.stderr.isatty():
            self._bar = Progress(
                TextColumn("{task.description}", markup=False),
                BarColumn(),
                MofNCompleteColumn(),
                _WaitColumn(),
                console=Console(stderr=True),
                transient=True,
            )
            self._task = self._bar.add_task(stage, total=None, wait=None)

    def __enter__(self) -> Self:
        if self._bar is not None:
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def advance(self, done: int, total: int) -> None:
        """Show that `done` of `total` are done."""
        if self._bar is not None:
            self._bar.update(self._task, completed=done, total=total)
        elif time.monotonic() - self._last_line >= _LINE_EVERY_SECONDS:
            self._line(f"{self._stage}: {done} of {total}")

    def waiting(self, waiting: WaitNotice) -> None:
        """Show what waits, and how long."""
        if not waiting.requests:
            if self._bar is not None:
                self._bar.update(self._task, wait=None)
            return
        wait = (wait_words(waiting, self._pace), time.monotonic() + waiting.seconds)
        if self._bar is not None:
            self._bar.update(self._task, wait=wait)
        elif (
            waiting.seconds >= _WORTH_A_LINE[waiting.reason]
            and time.monotonic() - self._last_wait >= _LINE_EVERY_SECONDS
        ):
            # The first of several waits at once: whoever reads a log wants to know at its beginning why nothing moves.
            self._last_wait = time.monotonic()
            self._line(f"{self._stage}: {_until(*wait)}")

    def _line(self, text: str) -> None:
        self._last_line = time.monotonic()
        sys.stderr.write(f"{text}\n")
        sys.stderr.flush()


@dataclass(slots=True)
class Waits:
    """Passes on what waits for the rate limit, to whichever stage shows it at the moment."""

    show: Callable[[WaitNotice], None] | None = None

    def __call__(self, waiting: WaitNotice) -> None:
        """Pass it on."""
        if self.show is not None:
            self.show(waiting)
