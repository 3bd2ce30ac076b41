"""Signals: the first one asks a run to stop, the second one ends it at once.

`deferred_signals` defers them to the end of a step, for runs of short steps that must not be interrupted.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType
from typing import TYPE_CHECKING, Final, NoReturn, TypeVar

from octosync.cli.console import show_library_warnings
from octosync.errors import ExitCode, Interrupted

if TYPE_CHECKING:
    import asyncio  # only a run needs it

T = TypeVar("T")

SIGNAL_CODES: Final = {signal.SIGINT: ExitCode.INTERRUPTED, signal.SIGTERM: ExitCode.TERMINATED}


@dataclass(slots=True)
class StopSignal:
    """The signals that a run received: the first one sets `requested`, and `code` to its exit code.

    While `graceful` is False (no write is in flight), the first signal already ends the run. Once `is_over` is True, signals
    are ignored: only the report is still written.
    """

    requested: asyncio.Event
    code: ExitCode | None = None
    graceful: bool = False
    is_over: bool = False

    def receive(self, number: signal.Signals, task: asyncio.Task[object]) -> None:
        """Record a signal, and cancel the task if it must end now."""
        if self.is_over:
            return
        first = self.code is None
        self.code = self.code or SIGNAL_CODES[number]
        self.requested.set()
        if not first or not self.graceful:
            task.cancel()


@contextmanager
def interruptible() -> Iterator[list[ExitCode]]:
    """Raise `KeyboardInterrupt` at the first SIGINT or SIGTERM, end at the second; yield the exit codes of those received.

    Afterwards, Python's default handlers are restored. A signal that is ignored, as in a shell's background job, stays ignored.
    """
    received: list[ExitCode] = []

    def receive(number: int, frame: FrameType | None) -> NoReturn:
        del frame
        code = SIGNAL_CODES[signal.Signals(number)]
        if received:
            os._exit(code)
        received.append(code)
        raise KeyboardInterrupt

    handled = [number for number in SIGNAL_CODES if signal.getsignal(number) is not signal.SIG_IGN]
    for number in handled:
        signal.signal(number, receive)
    try:
        yield received
    finally:
        for number in handled:
            signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)


def interrupted_error(code: ExitCode = ExitCode.INTERRUPTED) -> Interrupted:
    """Return the error of a run that a signal has ended."""
    return Interrupted("interrupted", "the run was interrupted", exit_code=code)


def run(main: Callable[[StopSignal], Awaitable[T]]) -> T:
    """Run a coroutine until it ends. Raises `Interrupted` if a signal ended it."""
    import asyncio

    # Not the result of the loop's task: when the loop ends, `signal` formats the handler with its task and all of the result,
    # which for a plan of 10,000 apps takes a second and 160 MB.
    results: list[T] = []
    show_library_warnings()
    asyncio.run(_run(main, results))
    return results[0]


async def _run(main: Callable[[StopSignal], Awaitable[T]], results: list[T]) -> None:
    import asyncio

    stop_signal = StopSignal(requested=asyncio.Event())
    task = asyncio.ensure_future(main(stop_signal))
    loop = asyncio.get_running_loop()
    before = {number: signal.getsignal(number) for number in SIGNAL_CODES}
    for number in SIGNAL_CODES:
        loop.add_signal_handler(number, stop_signal.receive, number, task)
    try:
        results.append(await task)
    except asyncio.CancelledError:
        if stop_signal.code is None:
            raise
        raise interrupted_error(stop_signal.code) from None
    finally:
        for number, handler in before.items():
            loop.remove_signal_handler(number)
            signal.signal(number, handler)  # the loop restores the default handler, not the previous one


class DeferredSignals:
    """Defers the first signal until `check` is called; the second one acts at once."""

    def __init__(self) -> None:
        self._before = {number: signal.getsignal(number) for number in SIGNAL_CODES}
        self._code: ExitCode | None = None

    def defer(self, number: int, frame: FrameType | None) -> None:
        """Record a signal and restore the previous handlers."""
        del frame
        self._code = SIGNAL_CODES[signal.Signals(number)]
        self.restore()

    def restore(self) -> None:
        """Restore the previous handlers."""
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def check(self) -> None:
        """Raise `Interrupted` if a signal was received."""
        if self._code is not None:
            raise interrupted_error(self._code)


@contextmanager
def deferred_signals() -> Iterator[DeferredSignals]:
    """Defer signals until the block ends.

    An exception of a signal handler could be swallowed or replaced by an import or a destructor that it interrupts.
    """
    deferred = DeferredSignals()
    for number in SIGNAL_CODES:
        signal.signal(number, deferred.defer)
    try:
        yield deferred
    finally:
        deferred.restore()
