"""Freeze windows and notification receivers of octosync.yaml, and the holds and suspension of a running controller."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import Enum

from octosync.model.address import Origin
from octosync.model.redaction import Secret


@dataclass(frozen=True, slots=True, kw_only=True)
class FreezeWindow:
    """A window in which nothing is applied: it starts when `cron` (five fields, in `timezone`) matches and lasts `duration`.

    `duration` is elapsed time. `exempt` are patterns of the apps that are not frozen. `origin` is not compared.
    """

    cron: str
    duration: timedelta
    timezone: str = "UTC"
    exempt: tuple[str, ...] = ()
    origin: Origin | None = field(default=None, compare=False)


class NotifyEvent(Enum):
    """The events that a receiver can subscribe to.

    `APPLIED` changes were applied · `FAILED` an app can't be read or written, or the control plane rejects a change · `DRIFT` an
    object drifted and is reverted now, or never in this mode · `HELD` an object drifted and its drift is held until a time ·
    `BLOCKED` a guard refuses a change · `CONTESTED` an object was reverted three times in 24 hours, drifted again each time, and
    is no longer reverted · `UNCOVERED` an enabled capability doesn't reach all devices of its app · `RESOLVED` one of these is
    over.
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
    """A URL that receives a POST for each of the `events`, signed with the secret in the variable `secret_env`, if any.

    The URL is a secret, since many receivers authenticate the sender only by it. It is written in the file (`url`) or in the
    environment variable `url_env`. `origin` is not compared.
    """

    url: Secret | None = None
    url_env: str | None = None
    events: tuple[NotifyEvent, ...] = tuple(NotifyEvent)
    secret_env: str | None = None
    origin: Origin | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Hold:
    """A hold of an app's drift by a person: until when, why, and since when (`at`)."""

    app: str
    until: datetime
    reason: str
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class ControllerSuspension:
    """A suspension of the whole controller: since when (`at`), and why."""

    at: datetime
    reason: str = ""
