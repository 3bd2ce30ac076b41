"""Signals that are only taken note of, for a run of short steps which had better not be torn apart in the middle of one."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from octosync.cli.signals import SIGNAL_CODES, interrupted
from octosync.errors import ExitCode


class Noted:
    """The first signal that has come, for those who look; the one after it acts as ever."""

    def __init__(self) -> None:
        self._before = {number: signal.getsignal(number) for number in SIGNAL_CODES}
        self._code: ExitCode | None = None

    def note(self, number: int, frame: FrameType | None) -> None:
        """Take note of a signal."""
        del frame
        self._code = SIGNAL_CODES[signal.Signals(number)]
        self.forget()

    def forget(self) -> None:
        """Let signals act as before."""
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def check(self) -> None:
        """Raise `Interrupted` where a signal has come."""
        if self._code is not None:
            raise interrupted(self._code)


@contextmanager
def noted() -> Iterator[Noted]:
    """Only take note of a signal until the block ends.

    An exception out of a signal handler would be swallowed or disguised where it hits an import or a destructor.
    """
    noted = Noted()
    for number in SIGNAL_CODES:
        signal.signal(number, noted.note)
    try:
        yield noted
    finally:
        noted.forget()
