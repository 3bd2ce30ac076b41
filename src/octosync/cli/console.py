"""Standard output and standard error: data on the one, everything else on the other, colour where it is wanted."""

from __future__ import annotations

import os
import sys
from typing import TextIO

from octosync.model import JsonObject
from octosync.report import json_text


def wants_colour(stream: TextIO, choice: str) -> bool:
    """Say whether to colour what goes to a stream: as asked for, else on a terminal where NO_COLOR is not set."""
    if choice != "auto":
        return choice == "always"
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def may_prompt() -> bool:
    """Say whether there is a person to ask: a terminal on both sides, and no CI."""
    return sys.stdin is not None and sys.stdin.isatty() and sys.stderr.isatty() and not os.environ.get("CI")


def out(text: str) -> None:
    """Write to standard output."""
    sys.stdout.write(text)
    sys.stdout.flush()


def err(text: str) -> None:
    """Write to standard error."""
    sys.stderr.write(text)
    sys.stderr.flush()


def out_json(document: JsonObject) -> None:
    """Write a document to standard output."""
    out(json_text(document))
