"""Freeze windows: when nothing is to be applied."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta

from octosync.model.origin import Origin


@dataclass(frozen=True, slots=True, kw_only=True)
class FreezeWindow:
    """From each time that `cron` (five fields) names in `timezone`, nothing is applied for `duration`, which is elapsed time.

    `exempt` are patterns of the apps that it doesn't hold. `origin` is where it was said, which makes no other window of it.
    """

    cron: str
    duration: timedelta
    timezone: str = "UTC"
    exempt: tuple[str, ...] = ()
    origin: Origin | None = field(default=None, compare=False)
