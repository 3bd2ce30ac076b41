"""Progress on standard error: a bar on a terminal, otherwise a line every 10 seconds, so quick stages print nothing."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Final, Self

from octosync.cli.console import is_quiet
from octosync.octomil import WaitNotice, WaitReason
from octosync.report.text import about_seconds_words

if TYPE_CHECKING:
    from rich.progress import Progress

_LINE_EVERY_SECONDS: Final = 10.0
# The shortest waits that get a line, in seconds. A short retry gets none: if it fails, its error has the details.
_WORTH_A_LINE: Final = {WaitReason.RATE_LIMIT: 1.5, WaitReason.THROTTLED: 1.5, WaitReason.RETRY: 5.0}


def with_countdown(words: str, seconds: float) -> str:
    """Return the description of a wait with its seconds."""
    return f"{words} in {seconds:.0f} s"


def left_words(seconds: float) -> str:
    """Return the time left in words."""
    return f"{about_seconds_words(seconds)} left"


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
    """Shows the progress of a stage, how long it takes to its end, and why and how long its requests wait.

    `seconds_for` returns how long a number of requests waits for the rate limit, and an item of the stage takes
    `requests_each`. Used as a context manager.
    """

    def __init__(
        self,
        stage: str,
        pace: int,
        seconds_for: Callable[[int], float] = lambda _: 0.0,
        *,
        requests_each: float = 1.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._stage = stage
        self._pace = pace
        self._seconds_for = seconds_for
        self._requests_each = requests_each
        self._clock = clock
        self._began = self._last_line = clock()
        self._last_wait = float("-inf")
        self._waits_since: float | None = None
        self._waited = 0.0
        self._items = (0, 0)  # done, in all
        self._bar: Progress | None = None
        self._is_shown = not is_quiet()
        if self._is_shown and sys.stderr.isatty():
            from octosync.cli.terminal_bar import make_bar  # without a terminal, a run starts faster without rich

            self._bar = make_bar(clock)
            self._task = self._bar.add_task(stage, total=None)

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
        self._items = (done, total)
        if self._bar is not None:
            self._bar.update(self._task, completed=done, total=total, end=self._end())
        elif self._clock() - self._last_line >= _LINE_EVERY_SECONDS:
            self._line(self._progress_words())

    def waiting(self, waiting: WaitNotice) -> None:
        """Show why requests wait, and for how long."""
        now = self._clock()
        if self._waits_since is not None:
            self._waited += now - self._waits_since
        self._waits_since = now if waiting.requests else None
        if not waiting.requests:
            if self._bar is not None:
                self._bar.update(self._task, wait=None)
            return
        words = wait_description(waiting, self._pace)
        if self._bar is not None:
            is_expected = waiting.reason is WaitReason.RATE_LIMIT
            self._bar.update(self._task, wait=(words, now + waiting.seconds, is_expected), end=self._end())
        elif waiting.seconds >= _WORTH_A_LINE[waiting.reason] and now - self._last_wait >= _LINE_EVERY_SECONDS:
            # The first of several waits is shown at once: a log should explain a pause when it begins.
            self._last_wait = now
            known = f"{self._progress_words()}; " if self._items[0] else ""
            self._line(f"{known}{with_countdown(words, waiting.seconds)}")

    def _progress_words(self) -> str:
        done, total = self._items
        end = self._end()
        left = f", {left_words(end - self._clock())}" if end is not None else ""
        return f"{done} of {total}{left}"

    def _end(self) -> float | None:
        """Return when the stage ends: by the rate limit, else by its speed so far without waits. None if it is not known."""
        done, total = self._items
        if not 0 < done < total:
            return None
        now, left = self._clock(), total - done
        if not (seconds := self._seconds_for(math.ceil(left * self._requests_each))):
            waited = self._waited + (now - self._waits_since if self._waits_since is not None else 0.0)
            seconds = (now - self._began - waited) / done * left
        return now + seconds

    def _line(self, text: str) -> None:
        self._last_line = self._clock()
        if not self._is_shown:
            return
        sys.stderr.write(f"{self._stage}: {text}\n")
        sys.stderr.flush()


@dataclass(slots=True)
class WaitDisplay:
    """Passes wait notices of the client to the stage that is being displayed: `show`, None if there is none."""

    show: Callable[[WaitNotice], None] | None = None

    def __call__(self, waiting: WaitNotice) -> None:
        """Show a wait."""
        if self.show is not None:
            self.show(waiting)
