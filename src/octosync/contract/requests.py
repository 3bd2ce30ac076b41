"""What octosync sends: the bodies of its requests as models. A field without a default is in every request.

The bodies themselves are made where they are decided (`plan`); tests hold every one that is sent to its model here.
"""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict


class Sent(BaseModel):
    """Base of all bodies: nothing beyond the fields."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, protected_namespaces=())


class SentApp(Sent):
    """A new app (assumed)."""

    slug: str
    name: str
    description: str = ""


class SentAppChange(Sent):
    """The fields of an app that change (assumed); a `null` removes the description."""

    name: str = ""
    description: str | None = None


class SentTarget(Sent):
    """A new target (assumed)."""

    platform: str
    identifier: str


class SentFallback(Sent):
    """Where a request may go when its route fails (public)."""

    allow_cloud_fallback: bool
    allow_local_fallback: bool


class SentPolicy(Sent):
    """A serving policy, always expanded (public)."""

    routing_mode: str
    routing_preference: str = ""
    fallback: SentFallback


class SentSlot(Sent):
    """A whole slot (assumed, its policy public): what is live and undeclared is sent as it was answered."""

    serving_policy: SentPolicy
    bindings: list[dict[str, Any]]
    preferred_engines: list[str] = []
    public_client_allowed: bool = False
    model_variant_id: str = ""


class SentEnvironment(Sent):
    """Where a capability is previewed, checked, enabled or optimized (assumed)."""

    environment: str


class SentBootstrap(Sent):
    """A new app with its first target and keys (assumed)."""

    slug: str
    name: str
    platform: str
    identifier: str
