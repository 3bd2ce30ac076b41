"""What an edit that can't be made without touching anything else says of itself."""

from __future__ import annotations


class Unplaceable(Exception):
    """A value can't be put where it belongs. `why` is half a sentence, `lines` are others that it is about, from 1."""

    def __init__(self, why: str, *, lines: tuple[int, ...] = ()) -> None:
        super().__init__(why)
        self.why = why
        self.lines = lines
