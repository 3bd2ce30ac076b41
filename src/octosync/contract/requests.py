"""What octosync sends: the bodies of its requests as models. A field without a default is in every request.

The bodies themselves are made where they are decided (`plan`); tests hold every one that is sent to its model here.

What octosync sends with each operation, and what it needs of the answer: the second half of the operation table.

Bodies and answers are models, so that what is compared with a document, or with a real answer, is what is sent and read.
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
    WireBootstrapped,
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
    """Base of all bodies: nothing beyond the fields."""

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
    """Where a request may go when its route fails (public)."""

    allow_cloud_fallback: bool
    allow_local_fallback: bool


class PolicyBody(RequestBody):
    """A serving policy, always expanded (public)."""

    routing_mode: str
    routing_preference: str = ""
    fallback: FallbackBody


class SlotBody(RequestBody):
    """A whole slot (assumed, its policy public): what is live and undeclared is sent as it was answered."""

    serving_policy: PolicyBody
    bindings: list[dict[str, Any]]
    preferred_engines: list[str] = []
    public_client_allowed: bool = False
    model_variant_id: str = ""


class EnvironmentBody(RequestBody):
    """Where a capability is previewed, checked, enabled or optimized (assumed)."""

    environment: str


class BootstrapBody(RequestBody):
    """A new app with its first target and keys (assumed)."""

    slug: str
    name: str
    platform: str
    identifier: str


MAX_PAGE_SIZE: Final = 100  # public: the most that a page can have, and what octosync asks for


@dataclass(frozen=True, slots=True, kw_only=True)
class Exchange:
    """One operation's request and answer.

    `body` is None where none is sent; `any_body`: an object that manifests declare, sent as it is. `answer` is the model of
    the answer, or of each item of the list that is named `plural`; `also` are fields that octosync can't do without though
    the model can. `options` are parameters that are sent where somebody asks for what they do. `by` are the commands that send
    it.
    """

    by: tuple[str, ...] = ()
    body: type[RequestBody] | None = None
    any_body: bool = False
    answer: type[Wire] | None = None
    any_answer: bool = False
    plural: str | None = None
    options: tuple[str, ...] = ()
    also: frozenset[str] = frozenset()

    @property
    def query(self) -> tuple[str, ...]:
        """The parameters by which it is paged. Beside those there is `org_id`, wherever an org is configured."""
        return ("limit", "offset") if self.plural is not None else ()


_PLAN, _TURN, _STATUS = ("plan", "apply"), ("apply",), ("status",)
_LOOK = (*_PLAN, *_STATUS)
_KEEP = ("export", "accept")
# A deployment without them is none of a capability's, or can't be told from another environment's.
_PLACED = frozenset({"capability", "environment"})

EXCHANGES: Final[Mapping[str, Exchange]] = MappingProxyType(
    {
        "apps.activity": Exchange(by=(*_LOOK, "activity"), answer=WireEvent, plural=EVENTS),
        "apps.archive": Exchange(by=_TURN),
        "apps.bootstrap": Exchange(by=("bootstrap",), body=BootstrapBody, answer=WireBootstrapped),
        "apps.capabilities.check_optimization": Exchange(by=_PLAN, body=EnvironmentBody, answer=WireOptimizationCheck),
        "apps.capabilities.enable": Exchange(by=_TURN, body=EnvironmentBody),
        "apps.capabilities.optimize": Exchange(by=_TURN, body=EnvironmentBody),
        "apps.capabilities.preview": Exchange(by=_PLAN, body=EnvironmentBody, answer=WirePreview),
        "apps.create": Exchange(by=_TURN, body=AppBody),
        "apps.list": Exchange(by=(*_LOOK, *_KEEP), answer=WireApp, plural=APP.plural, options=("include_archived",)),
        "apps.create_target": Exchange(by=_TURN, body=TargetBody),
        "apps.list_targets": Exchange(by=(*_PLAN, *_KEEP, "bootstrap"), answer=WireTarget, plural=TARGET.plural),
        "apps.delete_slot": Exchange(by=_TURN),
        "apps.get_slot": Exchange(by=(*_PLAN, *_KEEP), answer=WireSlot),
        "apps.put_slot": Exchange(by=_TURN, body=SlotBody),
        "apps.delete_target": Exchange(by=_TURN),
        "apps.deployments": Exchange(by=(*_LOOK, "export"), answer=WireDeployment, plural=DEPLOYMENTS, also=_PLACED),
        "apps.first_request": Exchange(by=_STATUS, answer=WireFirstRequest),
        "apps.get": Exchange(by=(*_LOOK, *_KEEP, "bootstrap"), answer=WireApp),
        "apps.update": Exchange(by=_TURN, body=AppChangeBody),
        "apps.health": Exchange(by=("apply", *_STATUS), answer=WireHealth),
        "apps.delete_inference_config": Exchange(by=_TURN),
        "apps.get_inference_config": Exchange(by=(*_PLAN, *_KEEP), any_answer=True),
        "apps.put_inference_config": Exchange(by=_TURN, any_body=True),
        "apps.list_slots": Exchange(by=(*_LOOK, *_KEEP), answer=WireSlot, plural=SLOT.plural),
        "apps.routing_decisions": Exchange(by=("decisions",), answer=WireRoutingDecision, plural=DECISIONS),
        "apps.routing_stats": Exchange(by=(*_LOOK, "decisions"), answer=WireRoutingStats),
        "activity.list": Exchange(by=_LOOK, answer=WireEvent, plural=EVENTS),
        "deployments.list": Exchange(by=(*_LOOK, "export"), answer=WireDeployment, plural=DEPLOYMENTS, also=_PLACED),
    }
)
