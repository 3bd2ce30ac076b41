"""Progress on standard error: a bar on a terminal, otherwise a line every 10 seconds, so quick stages print nothing."""

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
# The shortest waits that get a line, in seconds. A short retry gets none: if it fails, its error has the details.
_WORTH_A_LINE: Final = {WaitReason.RATE_LIMIT: 1.5, WaitReason.THROTTLED: 1.5, WaitReason.RETRY: 5.0}


class _WaitColumn(ProgressColumn):
    """A countdown of the current wait. The task's `wait` is None, or a description and the time at which the wait ends."""

    def render(self, task: Task) -> Text:
        """Return the description with the seconds left."""
        wait: tuple[str, float] | None = task.fields["wait"]
        return Text(_with_countdown(*wait) if wait and wait[1] > time.monotonic() else "")


def _with_countdown(words: str, end: float) -> str:
    return f"{words} in {end - time.monotonic():.0f} s"


def wait_description(waiting: WaitNotice, pace: int) -> str:
    """Return why requests wait; the seconds follow it. `pace` is in requests per minute, 0 for no limit."""
    match waiting.reason:
        case WaitReason.RETRY:
            return "no response, retrying"
        case WaitReason.THROTTLED:
            return f"throttled by the control plane, {waiting.requests} waiting, next"
        case WaitReason.RATE_LIMIT:
            limit = f"rate limit of {pace} requests per minute" if pace else "rate limit"
            return f"{limit}, {waiting.requests} waiting, next"


class ProgressBar:
    """Shows the progress of a stage, and why and how long its requests wait. Used as a context manager."""

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
        """Show that `done` of `total` items are done."""
        if self._bar is not None:
            self._bar.update(self._task, completed=done, total=total)
        elif time.monotonic() - self._last_line >= _LINE_EVERY_SECONDS:
            self._line(f"{self._stage}: {done} of {total}")

    def waiting(self, waiting: WaitNotice) -> None:
        """Show why requests wait, and for how long."""
        if not waiting.requests:
            if self._bar is not None:
                self._bar.update(self._task, wait=None)
            return
        wait = (wait_description(waiting, self._pace), time.monotonic() + waiting.seconds)
        if self._bar is not None:
            self._bar.update(self._task, wait=wait)
        elif (
            waiting.seconds >= _WORTH_A_LINE[waiting.reason]
            and time.monotonic() - self._last_wait >= _LINE_EVERY_SECONDS
        ):
            # The first of several waits is shown at once: a log should explain a pause when it begins.
            self._last_wait = time.monotonic()
            self._line(f"{self._stage}: {_with_countdown(*wait)}")

    def _line(self, text: str) -> None:
        self._last_line = time.monotonic()
        sys.stderr.write(f"{text}\n")
        sys.stderr.flush()


@dataclass(slots=True)
class WaitDisplay:
    """Passes wait notices of the client to the stage that is being displayed: `show`, None if there is none."""

    show: Callable[[WaitNotice], None] | None = None

    def __call__(self, waiting: WaitNotice) -> None:
        """Show a wait."""
        if self.show is not None:
            self.show(waiting)
