"""State: apps with their targets, slots, inference config and deployments. Desired and live state have the same types.

`fields` are wire names with normalised wire values. In desired state, a field that is absent from `fields` is not declared,
and so not owned; in live state, it doesn't exist. `complete_sections` names the sections whose entire list is known: in
desired state the lists that the manifests own, in live state the lists that were read.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum
from typing import TYPE_CHECKING

from octosync.model.address import Address, Origin
from octosync.model.optimize import Optimize

if TYPE_CHECKING:  # a load of manifests doesn't need them
    from octosync.model.deployment import Deployment
    from octosync.model.values import JsonObject


class Section(Enum):
    """The parts of an app that are read and owned separately."""

    TARGETS = "targets"
    SLOTS = "slots"
    INFERENCE_CONFIG = "inference_config"
    DEPLOYMENTS = "deployments"

    __hash__ = object.__hash__  # as that of `Kind`


@dataclass(frozen=True, slots=True, kw_only=True)
class Deploy:
    """The environments in which a slot's capability is enabled.

    `min_improvement` and `max_regression` are relative: 0.05 is 5%. A `max_regression` of None is `MAX_REGRESSION`.
    """

    environments: tuple[str, ...]
    optimize: Optimize = Optimize.SUGGEST
    min_improvement: float | None = None
    max_regression: float | None = None
    origin: Origin | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A (platform, identifier) tuple, unique in the org. `server_fields` are the wire's read-only fields, such as `id`."""

    app: str
    platform: str
    identifier: str
    server_fields: JsonObject = field(default_factory=dict)
    origin: Origin | None = None

    @property
    def unique_key(self) -> tuple[str, str]:
        """The (platform, identifier) tuple, which is unique in an org."""
        return (self.platform, self.identifier)

    @property
    def address(self) -> Address:
        """`app/<slug>/target/<platform>:<identifier>`."""
        return Address.of_target(self.app, self.platform, self.identifier)


@dataclass(frozen=True, slots=True, kw_only=True)
class Slot:
    """A capability slot.

    `fields`: `serving_policy` (always expanded), `bindings`, `preferred_engines`,
    `public_client_allowed`, `model_variant_id`, and in live state any other field that the control plane returns. `preset` is
    the preset name that the manifest declares as the policy, if any: shown to people, never compared or sent.
    """

    app: str
    capability: str
    fields: JsonObject = field(default_factory=dict)
    server_fields: JsonObject = field(default_factory=dict)
    preset: str | None = None
    deploy: Deploy | None = None
    origin: Origin | None = None

    @property
    def address(self) -> Address:
        """`app/<slug>/slot/<capability>`."""
        return Address.of_slot(self.app, self.capability)


@dataclass(frozen=True, slots=True, kw_only=True)
class InferenceConfig:
    """The app's inference config, opaque; `config` None: there is none (live), or it is deleted (desired)."""

    app: str
    config: JsonObject | None
    origin: Origin | None = None

    @property
    def address(self) -> Address:
        """`app/<slug>/inference-config`."""
        return Address.of_inference_config(self.app)


@dataclass(frozen=True, slots=True)
class Suspension:
    """The suspension of an app, until a time or (None) until its annotation is removed."""

    until: datetime | None = None

    def is_active(self, now: datetime) -> bool:
        """Return whether the suspension is in force at a time (both with a zone)."""
        return self.until is None or now < self.until


@dataclass(frozen=True, slots=True, kw_only=True)
class App:
    """An app and the sections that are declared or were read.

    `fields`: `name`, `description`, in live state any other field. `declared` is False in desired state if only child
    documents name the app: then it must exist, and only those children are owned. `inference_config` None: not declared,
    or not read. `deployments` are set in live state only; the slots' `deploy` declares them. `labels` are never sent.
    In desired state, `section_origins` are the positions of complete lists, from which removed objects are missing.
    """

    slug: str
    fields: JsonObject = field(default_factory=dict)
    archived: bool = False
    declared: bool = True
    complete_sections: frozenset[Section] = frozenset()
    targets: tuple[Target, ...] = ()
    slots: tuple[Slot, ...] = ()
    inference_config: InferenceConfig | None = None
    deployments: tuple[Deployment, ...] = ()
    labels: Mapping[str, str] = field(default_factory=dict)
    protected: bool = False
    suspension: Suspension | None = None
    server_fields: JsonObject = field(default_factory=dict)
    origin: Origin | None = None
    section_origins: Mapping[Section, Origin] = field(default_factory=dict, compare=False)

    @property
    def address(self) -> Address:
        """`app/<slug>`."""
        return Address.of_app(self.slug)

    @property
    def addresses(self) -> tuple[Address, ...]:
        """The addresses of the app, and of the objects and deployments that it declares."""
        deployments = (Address.of_capability(self.slug, *placement) for placement in self.placements)
        config = () if self.inference_config is None else (self.inference_config.address,)
        targets, slots = ([child.address for child in children] for children in (self.targets, self.slots))
        return (self.address, *targets, *slots, *config, *deployments)

    @property
    def sections(self) -> frozenset[Section]:
        """The sections that declare anything, and therefore have to be read."""
        found = set(self.complete_sections)
        if self.targets:
            found.add(Section.TARGETS)
        if self.slots:
            found.add(Section.SLOTS)
        if self.inference_config is not None:
            found.add(Section.INFERENCE_CONFIG)
        if any(slot.deploy is not None for slot in self.slots):
            found.add(Section.DEPLOYMENTS)
        return frozenset(found)

    @property
    def placements(self) -> tuple[tuple[str, str], ...]:
        """The (capability, environment) pairs in which slots declare a deployment."""
        return tuple(
            (slot.capability, environment)
            for slot in self.slots
            if slot.deploy is not None
            for environment in slot.deploy.environments
        )

    def origin_of_list(self, section: Section) -> Origin | None:
        """Return the position of the list of a section, or of the app if it has none."""
        return self.section_origins.get(section, self.origin)

    def slot(self, capability: str) -> Slot | None:
        """Return the slot of a capability, None if there is none."""
        return next((slot for slot in self.slots if slot.capability == capability), None)

    def deployments_at(self, address: Address) -> tuple[Deployment, ...]:
        """Return all deployments, past ones included, of a capability to an environment."""
        return tuple(deployment for deployment in self.deployments if deployment.address == address)

    def live_deployment(self, address: Address) -> Deployment | None:
        """Return the live deployment of a capability to an environment, None if there is none."""
        return next((deployment for deployment in self.deployments_at(address) if deployment.live), None)


@dataclass(frozen=True, slots=True)
class State:
    """Apps by slug, in slug order."""

    apps: Mapping[str, App] = field(default_factory=dict)

    @classmethod
    def from_apps(cls, *apps: App) -> State:
        """Return the state of these apps; it is sorted here, so that everything made from it is sorted too."""
        return cls({app.slug: app for app in sorted(apps, key=lambda app: app.slug)})

    def __iter__(self) -> Iterator[App]:
        return iter(self.apps.values())
