"""Python's garbage collector, paused around work that creates many values and no cycles."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def collector_paused() -> Iterator[None]:
    """Pause the collector: it would visit the values again and again, which takes up to half of the time of large sets.

    The pause alone would only defer the work: if a collection is due, the next value that is created makes the collector visit
    all of them. Freezing and unfreezing moves them to the oldest generation without a visit.
    """
    if not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        if gc.get_count()[0] > gc.get_threshold()[0]:
            gc.freeze()
            gc.unfreeze()
        gc.enable()
