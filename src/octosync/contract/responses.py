"""The wire models of responses. They are tolerant: unknown fields are kept, missing optional ones are never an error.

All shapes are assumed unless noted otherwise. Plans depend on which deployments count as live; that is defined here, next to
the shape, so that the client, plans and the embedded control plane agree.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, model_validator

from octosync.contract.resources import DEPLOYED_STATUSES_FAILED, DEPLOYED_STATUSES_NOT_LIVE, DEPLOYED_STATUSES_STARTING


class Wire(BaseModel):
    """The base of all wire models: frozen, unknown fields kept, a `null` in an optional field equal to its absence."""

    model_config = ConfigDict(extra="allow", frozen=True, protected_namespaces=())

    @model_validator(mode="before")
    @classmethod
    def _null_is_absent(cls, raw: object) -> object:
        if not isinstance(raw, Mapping):
            return raw
        optional = _optional_fields(cls)
        return {key: value for key, value in raw.items() if value is not None or key not in optional}


@cache
def _optional_fields(model: type[Wire]) -> frozenset[str]:
    return frozenset(name for name, field in model.model_fields.items() if not field.is_required())


class WireApp(Wire):
    """An app.

    `id` is a string of at most 36 characters (public), which octosync only keeps. `archived_at` matters only as set or not:
    absent, `null`, `false` and "" are not set.
    """

    slug: str
    id: Any = None
    org_id: Any = None
    name: str | None = None
    description: str | None = None
    archived_at: Any = None


class WireTarget(Wire):
    """A registered (platform, identifier). `id` is a part of the path that removes it: a string (assumed), or a number."""

    id: str | int
    platform: str = Field(min_length=1)
    identifier: str = Field(min_length=1)
    app_id: Any = None


class WireBootstrapResult(Wire):
    """The response to a bootstrap (assumed), the only one that contains the keys; the other fields are optional."""

    app_key: str = Field(pattern=r"^[\x21-\x7e]+$")
    publishable_key: str | None = Field(default=None, pattern=r"^[\x21-\x7e]*$")
    app: Any = None
    target: Any = None


class WireSlot(Wire):
    """A capability slot. The policy's shape is public: a preset's name or the expanded object."""

    capability: str
    model_variant_id: str | None = None
    serving_policy: str | dict[str, Any] | None = None
    bindings: list[Any] | None = None
    preferred_engines: list[str] | None = None
    public_client_allowed: bool | None = None


class WireVariant(Wire):
    """A catalog variant as previews and checks name it."""

    id: str
    name: str | None = None
    reason: str | None = None


class WireAssignment(Wire):
    """How many devices of one target get a deployment."""

    target_id: str | None = None
    platform: str | None = None
    device_count: int = 0


class WirePreview(Wire):
    """The effect that enable would have."""

    recommended_variant: WireVariant | None = None
    assignments: list[WireAssignment] = Field(default_factory=list)
    device_count: int = 0
    warnings: list[str] = Field(default_factory=list)


class WireOptimizationCheck(Wire):
    """Whether a better variant is available; improvements are relative (0.18 is 18%), lower latency counts as positive."""

    available: bool
    current_variant_id: str | None = None
    suggested_variant: WireVariant | None = None
    expected_improvement: dict[str, Any] = Field(default_factory=dict)
    reason: str | None = None


class WireCanary(Wire):
    """A canary's progress in percent."""

    percentage: FiniteFloat | None = None
    candidate_variant_id: str | None = None


class WireDeployment(Wire):
    """A deployment of a capability to an environment. No status enum is public.

    An org may have deployments of another kind, which name no capability.
    """

    id: str
    status: str
    app_id: str | None = None
    capability: str | None = None
    environment: str | None = None
    model_variant_id: str | None = None
    app_target_ids: list[str] = Field(default_factory=list)
    canary: WireCanary | None = None
    created_at: str | None = None

    @property
    def is_live(self) -> bool:
        """Whether it is live: every status but `rolled_back`; an unknown one is neither success nor failure, and live."""
        return self.status not in DEPLOYED_STATUSES_NOT_LIVE

    @property
    def has_running_canary(self) -> bool:
        """Whether a canary is present and the deployment is neither completed nor rolled back."""
        return self.canary is not None and self.status not in {"completed", "rolled_back"}

    @property
    def is_starting(self) -> bool:
        """Whether it was just started and its coverage is not complete yet."""
        return self.status in DEPLOYED_STATUSES_STARTING

    @property
    def has_failed(self) -> bool:
        """Whether it has failed for good."""
        return self.status in DEPLOYED_STATUSES_FAILED


class WireResource(Wire):
    """The object of an event."""

    type: str | None = None
    key: str | None = None


class WireActor(Wire):
    """The originator of an event."""

    type: str | None = None
    id: str | None = None
    name: str | None = None


class WireEvent(Wire):
    """One event of the activity feed."""

    id: str
    type: str | None = None
    app_id: str | None = None
    app_slug: str | None = None
    resource: WireResource | None = None
    actor: WireActor | None = None
    message: str | None = None
    created_at: str | None = None


class WireCoverage(Wire):
    """One slot's coverage."""

    capability: str
    status: str
    active_deployments: int | None = None
    covered_devices: int | None = None
    total_devices: int | None = None


class WireHealth(Wire):
    """An app's coverage, slot by slot."""

    status: str
    slots: list[WireCoverage] = Field(default_factory=list)


class WireRoutingStats(Wire):
    """The number of requests by route. Latency is in milliseconds."""

    total_requests: int
    local_requests: int | None = None
    cloud_requests: int | None = None
    average_latency_ms: FiniteFloat | None = None


class WireRoutingDecision(Wire):
    """The route of a request: `local` or `cloud`."""

    id: str
    route: str | None = None
    capability: str | None = None
    model_variant_id: str | None = None
    latency_ms: FiniteFloat | None = None
    created_at: str | None = None


class WireFirstRequest(Wire):
    """Whether any inference request was received: stated to count cloud requests and on-device events."""

    received: bool
    first_request_at: str | None = None
