"""Text for people: counts of things, and texts cut to a length."""

from __future__ import annotations

from typing import Final

ELLIPSIS: Final = "…"


def counted(count: int, noun: str, plural: str | None = None) -> str:
    """Return a count with its noun: `1 app`, `1,240 devices`. `plural` is for nouns with an irregular plural."""
    return f"{count:,} {noun if count == 1 else plural or f'{noun}s'}"


def clipped(text: str, limit: int | None) -> str:
    """Return the first `limit` characters of a longer text, with its full length; None: no limit."""
    if limit is None or len(text) <= limit:
        return text
    return f"{text[:limit]}{ELLIPSIS} ({len(text):,} characters)"


def truncated(text: str, length: int) -> str:
    """Return at most `length` characters of a text, the last of them an ellipsis if the text is longer."""
    return text if len(text) <= length else f"{text[: length - 1]}{ELLIPSIS}"
