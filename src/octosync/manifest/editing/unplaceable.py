"""What an edit that can't be made without touching anything else says of itself."""

from __future__ import annotations


class Unplaceable(Exception):
    """A value can't be put where it belongs. `why` is half a sentence; `line` counts from 1 in the document, 0: not known."""

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.why = why
