"""When to try again, and how long to wait before it."""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from octosync.errors import RemoteError

MAX_BACKOFF = 20.0  # seconds
# Above this, waiting is not what a person or a CI job wants: the run ends with what the control plane asked for.
MAX_RETRY_AFTER = 120.0

# stamina logs each retry as a warning. Octosync shows waits its own way; whoever configures logging still gets them.
logging.getLogger("stamina").addHandler(logging.NullHandler())


class RetryableFailure(Exception):
    """An attempt failed in a way that another may not: `error` is what to raise when there is none, `delay` in seconds."""

    def __init__(self, error: RemoteError, delay: float) -> None:
        super().__init__(error.reference)
        self.error = error
        self.delay = delay


def retry_after(value: str | None, date: str | None = None) -> float | None:
    """Read a `Retry-After` in seconds or as an HTTP date into seconds from now, None where there is none to be understood.

    A date is taken against the answer's own `Date`, so that a clock that is off does no harm.
    """
    if value is None:
        return None
    text = value.strip()
    if text.isascii() and text.isdigit():
        return float(text[:9])
    until = _http_date(text)
    if until is None:
        return None
    now = _http_date(date or "") or datetime.now(UTC)
    return max(0.0, (until - now).total_seconds())


def _http_date(text: str) -> datetime | None:
    try:
        parsed = parsedate_to_datetime(text)
    except (ValueError, IndexError, TypeError, OverflowError):  # OverflowError: a year or zone of twenty digits
        return None
    return parsed.replace(tzinfo=UTC) if parsed.tzinfo is None else parsed
