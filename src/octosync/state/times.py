"""Times as the file has them: texts in UTC, all of one length in a column, so that they sort as times do."""

from __future__ import annotations

from datetime import UTC, datetime


def time_text(at: datetime) -> str:
    """Write a time, to the microsecond."""
    return at.astimezone(UTC).isoformat(timespec="microseconds")


def journal_time_text(at: datetime) -> str:
    """Write a time as the journal has it, to the millisecond."""
    return at.astimezone(UTC).isoformat(timespec="milliseconds")


def time_of(text: str) -> datetime:
    """Read a time. Raises `ValueError` for anything else."""
    return datetime.fromisoformat(text)
