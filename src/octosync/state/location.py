"""Where the state is: a file, or a database on a PostgreSQL server that several processes share."""

from __future__ import annotations

from pathlib import Path
from typing import TypeAlias

from octosync.model.state_url import StateUrl, parse_state_url

__all__ = ["StateLocation", "StateUrl", "parse_location"]

StateLocation: TypeAlias = Path | StateUrl


def parse_location(text: str) -> StateLocation:
    """Return the location that a text names: a `postgresql://` URL, or the path of a file.

    Raises `UsageError` (`state-url-invalid`) for a text that is almost a URL, without quoting it.
    """
    url = parse_state_url(text)
    return Path(text) if url is None else url
