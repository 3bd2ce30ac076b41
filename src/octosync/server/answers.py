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
