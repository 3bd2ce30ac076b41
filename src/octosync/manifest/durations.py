"""Durations as octosync.yaml and flags write them: `30m`, `4h`, `1h30m`, `2d`, `0`."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Final

_UNITS: Final = {"d": "days", "h": "hours", "m": "minutes", "s": "seconds"}
DURATION: Final = re.compile(r"0|(?=\d)(?:\d{1,5}d)?(?:\d{1,5}h)?(?:\d{1,5}m)?(?:\d{1,6}s)?")
MEANING: Final = "a duration such as 30m, 4h or 1h30m"


def parse_duration(text: str) -> timedelta:
    """Read a duration. Raises `ValueError` for anything else."""
    if not DURATION.fullmatch(text):
        raise ValueError(f"{text!r} is not {MEANING}")
    parts = re.findall(r"(\d+)([dhms])", text)
    return timedelta(**{_UNITS[unit]: int(number) for number, unit in parts})
