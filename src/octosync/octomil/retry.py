"""When a failed request is retried: the policies, the limits of the waits, and the `Retry-After` header."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from enum import Enum

from octosync.errors import RemoteError

MAX_BACKOFF = 20.0  # seconds
# A person or a CI job doesn't wait longer than this: the run ends with an error that names the requested wait.
MAX_RETRY_AFTER = 120.0


class RetryPolicy(Enum):
    """Whether the same request may be retried."""

    NEVER = "never"
    READS = "reads"  # it may have been carried out, which is harmless for a read
    ALWAYS = "always"  # it certainly was not carried out


@dataclass(frozen=True, slots=True)
class RetryableFailure:
    """A failed attempt whose retry may succeed: `error` is raised if there is none, `delay` is the wait in seconds."""

    error: RemoteError
    delay: float


def retry_after(value: str | None, date: str | None = None) -> float | None:
    """Return the seconds that a `Retry-After` asks for, in seconds or as an HTTP date; None if it can't be parsed.

    A date is compared with the response's own `Date`, so that a wrong local clock does no harm.
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
