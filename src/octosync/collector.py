"""Python's garbage collector, paused around work that creates many values and no cycles."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import cycle
from typing import Final

_PAUSES_WITH_A_VISIT: Final = cycle((*(False,) * 9, True))


@contextmanager
def collector_paused() -> Iterator[None]:
    """Pause the collector: it would visit the values again and again, which takes up to half of the time of large sets.

    The pause alone would only defer the work: if a collection is due, the next value that is created makes the collector visit
    all of them. Freezing and unfreezing moves them to the oldest generation without a visit.

    That also restarts Python's count to the next collection of the oldest generation. In a process that pauses often it would
    never be collected, so every tenth time it is collected here. No command but `watch` gets that far.
    """
    if not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        if gc.get_count()[0] > gc.get_threshold()[0]:
            if next(_PAUSES_WITH_A_VISIT):
                gc.collect()
            else:
                gc.freeze()
                gc.unfreeze()
        gc.enable()
