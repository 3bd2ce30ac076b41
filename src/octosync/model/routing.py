"""Routing: where an app's inference requests went, the device or the cloud."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class RoutingStats:
    """How many requests an app had, and where they went; None where that is not said. Latency is in milliseconds."""

    total: int
    local: int | None = None
    cloud: int | None = None
    average_latency_ms: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RoutingDecision:
    """Where one request went (`route` is `local`, `cloud` or a word of the control plane's own). Latency is in milliseconds."""

    id: str
    route: str | None = None
    capability: str | None = None
    variant: str | None = None
    latency_ms: float | None = None
    at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class FirstRequest:
    """Whether any request of the app was seen, by either route, and when the first one was (with a zone, if it is said)."""

    received: bool
    at: datetime | None = None
