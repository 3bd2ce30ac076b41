"""Signals that are deferred until the end of a step, for runs of short steps that must not be interrupted within one."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from octosync.cli.signals import SIGNAL_CODES, interrupted
from octosync.errors import ExitCode


class DeferredSignals:
    """Keeps the first signal until `check` is called; the second one acts at once."""

    def __init__(self) -> None:
        self._before = {number: signal.getsignal(number) for number in SIGNAL_CODES}
        self._code: ExitCode | None = None

    def defer(self, number: int, frame: FrameType | None) -> None:
        """Keep a signal."""
        del frame
        self._code = SIGNAL_CODES[signal.Signals(number)]
        self.restore()

    def restore(self) -> None:
        """Restore the handlers that were there before."""
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def check(self) -> None:
        """Raise `Interrupted` if a signal has come."""
        if self._code is not None:
            raise interrupted(self._code)


@contextmanager
def deferred_signals() -> Iterator[DeferredSignals]:
    """Defer signals until the block ends.

    An exception out of a signal handler would be swallowed or disguised where it hits an import or a destructor.
    """
    deferred = DeferredSignals()
    for number in SIGNAL_CODES:
        signal.signal(number, deferred.defer)
    try:
        yield deferred
    finally:
        deferred.restore()
