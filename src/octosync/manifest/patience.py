"""Patience: after how long reading manifests is given up. What may take long asks now and then whether it may go on.

A thread can't be stopped from outside, so this is how a controller is rid of files that it should not have been given.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import timedelta
from typing import Final

from octosync.errors import OctosyncError

LOAD_GIVEN_UP: Final = "load-given-up"


class Patience:
    """A bound on time; `end` ends it early."""

    def __init__(self, span: timedelta) -> None:
        self._span = span
        self._until = time.monotonic() + span.total_seconds()

    def end(self) -> None:
        """Give up what is being read."""
        self._until = 0.0

    @property
    def is_over(self) -> bool:
        """Whether what is being read is to be given up."""
        return time.monotonic() >= self._until

    @property
    def error(self) -> OctosyncError:
        """Return what giving up is reported as."""
        return OctosyncError(
            LOAD_GIVEN_UP,
            f"reading the manifests was given up after {self._span.total_seconds():g} s",
            hints=(
                "Is there a huge file among them? What was declared before is in force until they can be read.",
                "A large set that takes longer for good reason: --load-timeout",
            ),
        )


_IN_FORCE: Final[ContextVar[Patience | None]] = ContextVar("patience", default=None)


@contextmanager
def patient(span: timedelta) -> Iterator[Patience]:
    """Bound what is read in this context, and in the threads that it is carried over to."""
    patience = Patience(span)
    before = _IN_FORCE.set(patience)
    try:
        yield patience
    finally:
        _IN_FORCE.reset(before)


def in_force() -> Patience | None:
    """Return the bound of this context; None if there is none."""
    return _IN_FORCE.get()


def go_on() -> None:
    """Raise `OctosyncError` if what is being read is to be given up."""
    patience = _IN_FORCE.get()
    if patience is not None and patience.is_over:
        raise patience.error
