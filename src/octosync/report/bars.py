"""Bars and shares: how much of a whole, to look at. The words beside a bar say the same, for those who can't see it."""

from __future__ import annotations

import math
from typing import Final

_WIDTH: Final = 10
_EIGHTHS: Final = "▏▎▍▌▋▊▉"


def bar(share: float | None, *, blocks: bool, width: int = _WIDTH) -> str:
    """Draw a share (0 to 1) so many columns wide; blank for an unknown one. `blocks` False: in ASCII.

    Nothing looks full that isn't, and nothing empty that isn't.
    """
    if share is None or not math.isfinite(share):
        return " " * width
    parts = min(max(share, 0.0), 1.0) * width * 8
    eighths = width * 8 if share >= 1 else 0 if share <= 0 else min(max(round(parts), 1), width * 8 - 1)
    if not blocks:
        hashes = width if share >= 1 else 0 if share <= 0 else min(max(round(parts / 8), 1), width - 1)
        return "#" * hashes + "." * (width - hashes)
    full, rest = divmod(eighths, 8)
    return ("█" * full + (_EIGHTHS[rest - 1] if rest else "")).ljust(width, "░")


def percent_words(share: float | None) -> str:
    """Write a share as a whole percentage, right-aligned, that is 0 or 100 for just that: `  0 %`, ` 78 %`, `100 %`."""
    if share is None or not math.isfinite(share):
        return "  ? %"
    percent = 100 if share >= 1 else 0 if share <= 0 else min(max(round(share * 100), 1), 99)
    return f"{percent:>3} %"


def share_of(part: int | None, whole: int | None) -> float | None:
    """Return a part of a whole as a share; None where either is unknown, or the whole is nothing."""
    return part / whole if part is not None and whole else None
