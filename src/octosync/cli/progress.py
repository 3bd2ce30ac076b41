"""Progress on standard error: a bar on a terminal, a plain line now and then elsewhere, nothing for what is quick."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import Final, Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from octosync.octomil import Waiting, WaitReason

_LINE_EVERY_SECONDS: Final = 10.0
# Seconds of a wait that are worth a line. Retries that soon end in an error, which says more, are not.
_WORTH_A_LINE: Final = {WaitReason.RATE_LIMIT: 1.5, WaitReason.THROTTLED: 1.5, WaitReason.RETRY: 5.0}


class ProgressBar:
    """Shows how far a stage is, and what waits for the rate limit and how long. Used as a context manager."""

    def __init__(self, stage: str, pace: int) -> None:
        self._stage = stage
        self._pace = f"paced: {pace} requests a minute" if pace else "paced"
        self._last_line = time.monotonic()
        self._last_wait = float("-inf")
        self._bar: Progress | None = None
        if sys.stderr.isatty():
            self._bar = Progress(
                TextColumn("{task.description}"),
                BarColumn(),
                MofNCompleteColumn(),
                TextColumn("{task.fields[note]}"),
                console=Console(stderr=True),
                transient=True,
            )
            self._task = self._bar.add_task(stage, total=None, note="")

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
            self._bar.update(self._task, completed=done, total=total, note="")
        elif time.monotonic() - self._last_line >= _LINE_EVERY_SECONDS:
            self._line(f"{self._stage}: {done} of {total}")

    def waiting(self, waiting: Waiting) -> None:
        """Show what waits, and how long."""
        if not waiting.requests:
            return
        why = self._words(waiting)
        if self._bar is not None:
            self._bar.update(self._task, note=why)
        elif (
            waiting.seconds >= _WORTH_A_LINE[waiting.reason]
            and time.monotonic() - self._last_wait >= _LINE_EVERY_SECONDS
        ):
            # The first of several waits at once: whoever reads a log wants to know at its beginning why nothing moves.
            self._last_wait = time.monotonic()
            self._line(f"{self._stage}: {why}")

    def _words(self, waiting: Waiting) -> str:
        match waiting.reason:
            case WaitReason.RETRY:
                return f"no answer, trying again in {waiting.seconds:.0f} s"
            case WaitReason.THROTTLED:
                return f"the control plane throttles, {waiting.requests} waiting, next in {waiting.seconds:.0f} s"
            case WaitReason.RATE_LIMIT:
                return f"{self._pace}, {waiting.requests} waiting, next in {waiting.seconds:.0f} s"

    def _line(self, text: str) -> None:
        self._last_line = time.monotonic()
        sys.stderr.write(f"{text}\n")
        sys.stderr.flush()
