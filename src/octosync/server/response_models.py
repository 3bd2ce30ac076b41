"""What operations answer, for `/openapi.json`. Shapes are assumed, but for the serving policy, which is public."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict


class Answer(BaseModel):
    """Base of all answers."""

    model_config = ConfigDict(protected_namespaces=())


class App(Answer):
    """An app."""

    id: str
    org_id: str
    slug: str
    name: str
    description: str | None
    archived_at: str | None
    created_at: str
    updated_at: str


class Paged(Answer):
    """A page of a list; `total` counts the whole."""

    total: int
    limit: int
    offset: int


class Apps(Paged):
    """A page of apps."""

    apps: list[App]


class Target(Answer):
    """A registered (platform, identifier)."""

    id: str
    app_id: str
    platform: str
    identifier: str
    created_at: str


class Targets(Paged):
    """A page of targets."""

    targets: list[Target]


class Fallback(Answer):
    """Where a request may go when its route fails."""

    allow_cloud_fallback: bool
    allow_local_fallback: bool


class ServingPolicy(Answer):
    """A serving policy, expanded."""

    routing_mode: str
    routing_preference: str | None = None
    fallback: Fallback


class Slot(Answer):
    """A capability slot."""

    id: str
    app_id: str
    capability: str
    model_variant_id: str | None
    serving_policy: ServingPolicy
    bindings: list[dict[str, Any]]
    preferred_engines: list[str]
    public_client_allowed: bool
    created_at: str
    updated_at: str


class Slots(Paged):
    """A page of slots."""

    slots: list[Slot]


class InferenceConfig(Answer):
    """The config itself: any object."""

    model_config = ConfigDict(extra="allow")


class Resource(Answer):
    """The object that an event is about, named as in an address."""

    type: str
    key: str


class Actor(Answer):
    """Who did something."""

    type: str
    id: str
    name: str | None = None


class Event(Answer):
    """An event of the activity feed."""

    id: str
    type: str
    app_id: str
    app_slug: str
    resource: Resource
    actor: Actor
    message: str
    created_at: str


class Activity(Paged):
    """A page of events, newest first."""

    events: list[Event]


class Canary(Answer):
    """A canary that runs: percent of the devices, and the variant they get."""

    percentage: int
    candidate_variant_id: str


class Deployment(Answer):
    """A deployment of a capability to an environment."""

    id: str
    app_id: str
    capability: str
    environment: str
    status: str
    model_variant_id: str
    app_target_ids: list[str]
    canary: Canary | None
    created_at: str
    updated_at: str


class Deployments(Paged):
    """A page of deployments."""

    deployments: list[Deployment]


class Variant(Answer):
    """A model variant, and why it is named."""

    id: str
    name: str
    size_bytes: int | None = None
    reason: str


class Assignment(Answer):
    """How many devices of a target would be assigned."""

    target_id: str
    platform: str
    device_count: int


class Preview(Answer):
    """What enable would do."""

    capability: str
    environment: str
    recommended_variant: Variant | None
    assignments: list[Assignment]
    device_count: int
    coverage: str
    warnings: list[str]


class OptimizationCheck(Answer):
    """Whether a better variant is available; improvements are relative, 0.18 is 18 %."""

    available: bool
    current_variant_id: str | None
    suggested_variant: Variant | None
    expected_improvement: dict[str, float]
    reason: str


class Coverage(Answer):
    """One slot's coverage: covered, partial or uncovered."""

    capability: str
    status: str
    active_deployments: int
    covered_devices: int
    total_devices: int


class SlotCoverage(Answer):
    """An app's coverage, slot by slot."""

    status: str
    slots: list[Coverage]


class RoutingDecision(Answer):
    """Where one request went: local or cloud."""

    id: str
    app_id: str
    capability: str
    route: str
    model_variant_id: str | None
    latency_ms: float
    created_at: str


class RoutingDecisions(Paged):
    """A page of decisions, newest first."""

    decisions: list[RoutingDecision]


class RoutingSums(Answer):
    """How many requests went where."""

    total_requests: int
    local_requests: int
    cloud_requests: int
    average_latency_ms: float | None


class CapabilityRouting(RoutingSums):
    """The sums of one capability."""

    capability: str


class RoutingStats(RoutingSums):
    """The sums of an app, and of each of its capabilities."""

    by_capability: list[CapabilityRouting]


class FirstRequest(Answer):
    """Whether any inference request was received."""

    received: bool
    first_request_at: str | None
    cloud_requests: int
    local_requests: int


class Bootstrapped(Answer):
    """What a bootstrap made; the keys are shown this once."""

    app: App
    target: Target
    app_key: str
    publishable_key: str | None = None


class ErrorDetail(Answer):
    """What went wrong."""

    code: str
    message: str
    details: Any | None = None
    request_id: str


class Error(Answer):
    """Every error that an operation answers."""

    error: ErrorDetail
