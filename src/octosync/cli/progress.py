"""Progress on standard error: a bar on a terminal, a plain line now and then elsewhere, nothing for what is quick."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import Final, Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from octosync.octomil import Waiting

_LINE_EVERY_SECONDS: Final = 10.0
_WORTH_A_LINE_SECONDS: Final = 2.0


class ProgressBar:
    """Shows how far a stage is, and what waits for the rate limit and how long. Used as a context manager."""

    def __init__(self, stage: str, pace: int) -> None:
        self._stage = stage
        self._pace = f"paced: {pace} requests a minute" if pace else "paced"
        self._last_line = time.monotonic()
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
        why = f"{waiting.reason.value}; {self._pace}, {waiting.requests} waiting, next in {waiting.seconds:.0f} s"
        if self._bar is not None:
            self._bar.update(self._task, note=why)
        elif waiting.seconds >= _WORTH_A_LINE_SECONDS and time.monotonic() - self._last_line >= _WORTH_A_LINE_SECONDS:
            self._line(f"{self._stage}: {why}")

    def _line(self, text: str) -> None:
        self._last_line = time.monotonic()
        sys.stderr.write(f"{text}\n")
        sys.stderr.flush()
