"""The request body, query and response of each operation, as models: the second half of the operation table.

A body's field without a default is in every request. `plan` builds the bodies; tests check each one that is sent against its
model. The models are also what is compared with an OpenAPI document, or with a real response.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

from pydantic import BaseModel, ConfigDict

from octosync.contract.resources import APP, DECISIONS, DEPLOYMENTS, EVENTS, SLOT, TARGET
from octosync.contract.responses import (
    Wire,
    WireApp,
    WireBootstrapResult,
    WireDeployment,
    WireEvent,
    WireFirstRequest,
    WireHealth,
    WireOptimizationCheck,
    WirePreview,
    WireRoutingDecision,
    WireRoutingStats,
    WireSlot,
    WireTarget,
)


class RequestBody(BaseModel):
    """The base of all bodies, without additional fields."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, protected_namespaces=())


class AppBody(RequestBody):
    """A new app (assumed)."""

    slug: str
    name: str
    description: str = ""


class AppChangeBody(RequestBody):
    """The fields of an app that change (assumed); a `null` removes the description."""

    name: str = ""
    description: str | None = None


class TargetBody(RequestBody):
    """A new target (assumed)."""

    platform: str
    identifier: str


class FallbackBody(RequestBody):
    """Where a request may be routed if its first route fails (public)."""

    allow_cloud_fallback: bool
    allow_local_fallback: bool


class PolicyBody(RequestBody):
    """A serving policy, always expanded (public)."""

    routing_mode: str
    routing_preference: str = ""
    fallback: FallbackBody


class SlotBody(RequestBody):
    """A complete slot (assumed, its policy public): undeclared live fields are sent as they were returned."""

    serving_policy: PolicyBody
    bindings: list[dict[str, Any]]
    preferred_engines: list[str] = []
    public_client_allowed: bool = False
    model_variant_id: str = ""


class EnvironmentBody(RequestBody):
    """The environment in which a capability is previewed, checked, enabled or optimized (assumed)."""

    environment: str


class BootstrapBody(RequestBody):
    """A new app with its first target and keys (assumed)."""

    slug: str
    name: str
    platform: str
    identifier: str


MAX_PAGE_SIZE: Final = 100  # public: the largest page, which octosync requests


@dataclass(frozen=True, slots=True, kw_only=True)
class Exchange:
    """The request and response of an operation.

    `body` is None if none is sent; with `any_body`, it is an object that manifests declare, sent unchanged. `response` is the
    model of the response, or of each item of the list named `plural`; `needed` are fields that are optional in the model, but
    that octosync needs. `options` are query parameters that are sent on request only. `by` are the commands that send it.
    """

    by: tuple[str, ...] = ()
    body: type[RequestBody] | None = None
    any_body: bool = False
    response: type[Wire] | None = None
    any_response: bool = False
    plural: str | None = None
    options: tuple[str, ...] = ()
    needed: frozenset[str] = frozenset()

    @property
    def query(self) -> tuple[str, ...]:
        """The parameters of pagination. In addition, `org_id` is sent if an org is configured."""
        return ("limit", "offset") if self.plural is not None else ()


_PLAN, _TURN, _STATUS = ("plan", "apply"), ("apply",), ("status",)
_LOOK = (*_PLAN, *_STATUS)
_KEEP = ("export", "accept")
# Without them, a deployment can't be assigned to a capability and an environment.
_PLACED = frozenset({"capability", "environment"})

EXCHANGES: Final[Mapping[str, Exchange]] = MappingProxyType(
    {
        "apps.activity": Exchange(by=(*_LOOK, "activity"), response=WireEvent, plural=EVENTS),
        "apps.archive": Exchange(by=_TURN),
        "apps.bootstrap": Exchange(by=("bootstrap",), body=BootstrapBody, response=WireBootstrapResult),
        "apps.capabilities.check_optimization": Exchange(
            by=_PLAN, body=EnvironmentBody, response=WireOptimizationCheck
        ),
        "apps.capabilities.enable": Exchange(by=_TURN, body=EnvironmentBody),
        "apps.capabilities.optimize": Exchange(by=_TURN, body=EnvironmentBody),
        "apps.capabilities.preview": Exchange(by=_PLAN, body=EnvironmentBody, response=WirePreview),
        "apps.create": Exchange(by=_TURN, body=AppBody),
        "apps.list": Exchange(by=(*_LOOK, *_KEEP), response=WireApp, plural=APP.plural, options=("include_archived",)),
        "apps.create_target": Exchange(by=_TURN, body=TargetBody),
        "apps.list_targets": Exchange(by=(*_PLAN, *_KEEP, "bootstrap"), response=WireTarget, plural=TARGET.plural),
        "apps.delete_slot": Exchange(by=_TURN),
        "apps.get_slot": Exchange(by=(*_PLAN, *_KEEP), response=WireSlot),
        "apps.put_slot": Exchange(by=_TURN, body=SlotBody),
        "apps.delete_target": Exchange(by=_TURN),
        "apps.deployments": Exchange(
            by=(*_LOOK, "export"), response=WireDeployment, plural=DEPLOYMENTS, needed=_PLACED
        ),
        "apps.first_request": Exchange(by=_STATUS, response=WireFirstRequest),
        "apps.get": Exchange(by=(*_LOOK, *_KEEP, "bootstrap"), response=WireApp),
        "apps.update": Exchange(by=_TURN, body=AppChangeBody),
        "apps.health": Exchange(by=("apply", *_STATUS), response=WireHealth),
        "apps.delete_inference_config": Exchange(by=_TURN),
        "apps.get_inference_config": Exchange(by=(*_PLAN, *_KEEP), any_response=True),
        "apps.put_inference_config": Exchange(by=_TURN, any_body=True),
        "apps.list_slots": Exchange(by=(*_LOOK, *_KEEP), response=WireSlot, plural=SLOT.plural),
        "apps.routing_decisions": Exchange(by=("decisions",), response=WireRoutingDecision, plural=DECISIONS),
        "apps.routing_stats": Exchange(by=(*_LOOK, "decisions"), response=WireRoutingStats),
        "activity.list": Exchange(by=_LOOK, response=WireEvent, plural=EVENTS),
        "deployments.list": Exchange(
            by=(*_LOOK, "export"), response=WireDeployment, plural=DEPLOYMENTS, needed=_PLACED
        ),
    }
)
