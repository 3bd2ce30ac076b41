"""Freeze windows, policies and notification receivers of octosync.yaml, and the holds and suspension of a running controller."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import Enum
from typing import Final

from octosync.model.address import Origin
from octosync.model.diagnostic import Severity
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


@dataclass(frozen=True, slots=True)
class Requirement:
    """One term of a selector: a label that must or must not have a value. A missing label has no value."""

    key: str
    value: str
    equal: bool

    def accepts(self, labels: Mapping[str, str]) -> bool:
        """Return whether labels match the term."""
        return (labels.get(self.key) == self.value) is self.equal


class Judges(Enum):
    """What a policy judges: each planned change, or each declared app."""

    CHANGE = "change"
    APP = "app"


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """A policy: its `rule`, an expression in CEL, must be true for everything that it judges.

    A violation of a policy with the severity error is refused, one of a warning is reported. `selector` chooses the apps that it
    is about by their labels. `origin` is the place of the rule, `excerpt` its source line if the rule is in one line, without
    quotes; neither is compared.
    """

    name: str
    rule: str
    message: str
    judges: Judges = Judges.CHANGE
    severity: Severity = Severity.ERROR
    link: str | None = None
    selector: tuple[Requirement, ...] = ()
    origin: Origin | None = field(default=None, compare=False)
    excerpt: str | None = field(default=None, compare=False)

    @property
    def id(self) -> str:
        """`policy:<name>`: the name of the guard that refuses violations, and of the rule that reports them."""
        return f"{POLICY}:{self.name}"

    def selects(self, labels: Mapping[str, str]) -> bool:
        """Return whether the policy is about an app with these labels."""
        return all(requirement.accepts(labels) for requirement in self.selector)


POLICY: Final = "policy"


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


@dataclass(frozen=True, slots=True, kw_only=True)
class OperatorControls:
    """What operators have asked of the controller of a control plane: active holds, by app, and a suspension."""

    holds: Mapping[str, Hold] = field(default_factory=dict)
    suspension: ControllerSuspension | None = None
