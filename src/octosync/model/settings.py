"""Freeze windows: when nothing is to be applied.

Receivers: whom the controller tells of what happens, as octosync.yaml says it.

What people asked a running controller to leave alone.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import Enum

from octosync.model.address import Origin
from octosync.model.redaction import Secret


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


class NotifyEvent(Enum):
    """What a receiver can be told of.

    `APPLIED` a run has written · `FAILED` an app can't be read or written, or the control plane refuses it · `DRIFT` somebody
    changed something on the control plane, and it is changed back now, or never in this mode · `HELD` the same, and it is left
    alone until a time · `BLOCKED` a guard refuses something · `CONTESTED` an object was changed back three times in 24 hours,
    changed again each time, and is left alone · `UNCOVERED` an enabled capability doesn't reach all devices of its app ·
    `RESOLVED` something of that is over.
    """

    APPLIED = "applied"
    FAILED = "failed"
    DRIFT = "drift"
    HELD = "held"
    BLOCKED = "blocked"
    CONTESTED = "contested"
    UNCOVERED = "uncovered"
    RESOLVED = "resolved"


@dataclass(frozen=True, slots=True, kw_only=True)
class Receiver:
    """A URL that gets a POST for each of some events, signed with the secret in the variable `secret_env`, if any.

    The URL is a secret like one, since many receivers know the sender by nothing else: it stands in the file (`url`), or in
    the environment variable `url_env`. `origin` is where it was said, which makes no other receiver of it.
    """

    url: Secret | None = None
    url_env: str | None = None
    events: tuple[NotifyEvent, ...] = tuple(NotifyEvent)
    secret_env: str | None = None
    origin: Origin | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Hold:
    """That a person holds an app's drift: until when, why, and since when."""

    app: str
    until: datetime
    reason: str
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class ControllerSuspension:
    """That everything is suspended: since when, and why."""

    at: datetime
    reason: str = ""
