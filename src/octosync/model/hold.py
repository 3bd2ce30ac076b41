"""What people asked a running controller to leave alone."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Hold:
    """That a person holds an app's drift: until when, why, and since when."""

    app: str
    until: datetime
    reason: str
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Suspended:
    """That everything is suspended: since when, and why."""

    at: datetime
    reason: str = ""
