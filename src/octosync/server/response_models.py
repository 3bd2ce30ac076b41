"""The responses of the operations, for `/openapi.json`. Shapes are assumed, except for the serving policy, which is public.

A shape that the client reads derives from the client's wire model, with all its optional fields required.
"""

from __future__ import annotations

from types import NoneType
from typing import Any, get_args

from pydantic import BaseModel, ConfigDict
from pydantic_core import PydanticUndefined

from octosync.contract import responses


class ResponseModel(BaseModel):
    """Base of all responses. Fields that a class inherits, for example from a wire model, are required and never null."""

    # Deferred: a schema is built from the fields as they are required below.
    model_config = ConfigDict(extra="ignore", defer_build=True, protected_namespaces=())

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: Any) -> None:
        """Require the inherited fields."""
        super().__pydantic_init_subclass__(**kwargs)
        for name, field in cls.model_fields.items():
            if name not in cls.__annotations__ and not field.is_required():
                kinds = get_args(field.annotation)
                field.annotation = kinds[0] if NoneType in kinds else field.annotation
                field.default, field.default_factory = PydanticUndefined, None


class App(responses.WireApp, ResponseModel):
    """An app."""

    id: str
    org_id: str
    description: str | None
    archived_at: str | None
    created_at: str
    updated_at: str


class ListPage(ResponseModel):
    """A page of a list; `total` counts the whole."""

    total: int
    limit: int
    offset: int


class Apps(ListPage):
    """A page of apps."""

    apps: list[App]


class Target(responses.WireTarget, ResponseModel):
    """A registered (platform, identifier) tuple."""

    id: str
    app_id: str
    created_at: str


class Targets(ListPage):
    """A page of targets."""

    targets: list[Target]


class Fallback(ResponseModel):
    """Where a request may go if its route fails."""

    allow_cloud_fallback: bool
    allow_local_fallback: bool


class ServingPolicy(ResponseModel):
    """A serving policy, expanded."""

    routing_mode: str
    routing_preference: str | None = None
    fallback: Fallback


class Slot(responses.WireSlot, ResponseModel):
    """A capability slot."""

    id: str
    app_id: str
    model_variant_id: str | None
    serving_policy: ServingPolicy  # type: ignore[assignment]  # a client accepts a preset's name, too
    bindings: list[dict[str, Any]]
    created_at: str
    updated_at: str


class Slots(ListPage):
    """A page of slots."""

    slots: list[Slot]


class InferenceConfig(ResponseModel):
    """The config itself: any object."""

    model_config = ConfigDict(extra="allow")


class Resource(responses.WireResource, ResponseModel):
    """The object of an event, named as in an address."""


class Actor(responses.WireActor, ResponseModel):
    """The actor of an event."""

    name: str | None = None


class Event(responses.WireEvent, ResponseModel):
    """An event of the activity feed."""

    resource: Resource
    actor: Actor


class Activity(ListPage):
    """A page of events, newest first."""

    events: list[Event]


class Canary(responses.WireCanary, ResponseModel):
    """A running canary: the percentage of devices, and the variant they get."""

    percentage: int


class Deployment(responses.WireDeployment, ResponseModel):
    """A deployment of a capability to an environment."""

    canary: Canary | None
    updated_at: str


class Deployments(ListPage):
    """A page of deployments."""

    deployments: list[Deployment]


class Variant(responses.WireVariant, ResponseModel):
    """A model variant, and why it was chosen."""

    size_bytes: int | None = None


class Assignment(responses.WireAssignment, ResponseModel):
    """The number of a target's devices that would be assigned."""


class Preview(responses.WirePreview, ResponseModel):
    """What enable would do."""

    capability: str
    environment: str
    recommended_variant: Variant | None
    assignments: list[Assignment]  # type: ignore[assignment]  # the list is never changed
    coverage: str


class OptimizationCheck(responses.WireOptimizationCheck, ResponseModel):
    """Whether a better variant is available; improvements are relative: 0.18 is 18%."""

    current_variant_id: str | None
    suggested_variant: Variant | None
    expected_improvement: dict[str, float]


class Coverage(responses.WireCoverage, ResponseModel):
    """One slot's coverage: covered, partial or uncovered."""


class SlotCoverage(responses.WireHealth, ResponseModel):
    """An app's coverage, slot by slot."""

    slots: list[Coverage]  # type: ignore[assignment]  # the list is never changed


class RoutingDecision(responses.WireRoutingDecision, ResponseModel):
    """The route of one request: local or cloud."""

    app_id: str
    model_variant_id: str | None


class RoutingDecisions(ListPage):
    """A page of decisions, newest first."""

    decisions: list[RoutingDecision]


class RoutingSums(responses.WireRoutingStats, ResponseModel):
    """The number of requests by route."""

    average_latency_ms: float | None


class CapabilityRouting(RoutingSums):
    """The requests of one capability."""

    capability: str


class RoutingStats(RoutingSums):
    """The requests of an app, and of each of its capabilities."""

    by_capability: list[CapabilityRouting]


class FirstRequest(responses.WireFirstRequest, ResponseModel):
    """Whether the app has received an inference request."""

    first_request_at: str | None
    cloud_requests: int
    local_requests: int


class BootstrapResult(responses.WireBootstrapResult, ResponseModel):
    """The app, the target and the keys of a bootstrap; the keys are returned only once."""

    app: App
    target: Target
    publishable_key: str | None = None


class ErrorDetail(ResponseModel):
    """The code, message and details of an error."""

    code: str
    message: str
    details: Any | None = None
    request_id: str


class Error(ResponseModel):
    """The error response of every operation."""

    error: ErrorDetail
