"""State: apps and what they hold. Desired and live are the same type, so one diff serves all.

`fields` hold wire names and normalised wire values. In desired state, what is absent from `fields` is not declared and
so not owned; in live state, it is not there. `complete_sections` names the sections whose entire list is known: in desired state
the lists that the manifests own, in live state the lists that were read.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum

from octosync.model.address import Address, Origin
from octosync.model.deployment import Deployment
from octosync.model.values import JsonObject


class Section(Enum):
    """The parts of an app that are read and owned separately."""

    TARGETS = "targets"
    SLOTS = "slots"
    INFERENCE_CONFIG = "inference_config"
    DEPLOYMENTS = "deployments"


class Optimize(Enum):
    """How far octosync goes when Octomil has a better variant, in rising order."""

    NEVER = "never"
    SUGGEST = "suggest"
    AUTO = "auto"


@dataclass(frozen=True, slots=True, kw_only=True)
class Deploy:
    """Where a slot's capability is to be enabled. `min_improvement` is relative: 0.05 is five percent."""

    environments: tuple[str, ...]
    optimize: Optimize = Optimize.SUGGEST
    min_improvement: float | None = None
    origin: Origin | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A (platform, identifier) tuple, unique in the org. `server_fields` holds the wire's read-only fields, `id` above all."""

    app: str
    platform: str
    identifier: str
    server_fields: JsonObject = field(default_factory=dict)
    origin: Origin | None = None

    @property
    def unique_key(self) -> tuple[str, str]:
        """What no two targets of an org may share."""
        return (self.platform, self.identifier)

    @property
    def address(self) -> Address:
        """`app/<slug>/target/<platform>:<identifier>`."""
        return Address.of_target(self.app, self.platform, self.identifier)


@dataclass(frozen=True, slots=True, kw_only=True)
class Slot:
    """A capability slot.

    `fields`: `serving_policy` (always expanded), `bindings`, `preferred_engines`,
    `public_client_allowed`, `model_variant_id`, and in live state whatever else the control plane answers. `preset` is the
    name by which the manifest declares the policy, where it does: shown to people, never compared or sent.
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
    """The app's one inference config, opaque; `config` None means that there is, or shall be, none."""

    app: str
    config: JsonObject | None
    origin: Origin | None = None

    @property
    def address(self) -> Address:
        """`app/<slug>/inference-config`."""
        return Address.of_inference_config(self.app)


@dataclass(frozen=True, slots=True)
class Suspension:
    """Leave this app alone, until a time or (None) until the annotation goes."""

    until: datetime | None = None

    def holds(self, now: datetime) -> bool:
        """Say whether the suspension is in force at a time (both with a zone)."""
        return self.until is None or now < self.until


@dataclass(frozen=True, slots=True, kw_only=True)
class App:
    """An app and the sections that are declared or were read.

    `fields`: `name`, `description`, in live state whatever else. `declared` is False in desired state where only child
    documents name the app: then it must exist, and only those children are owned. `inference_config` None: not declared,
    or not read. `deployments` are live state only: what is declared of them stands in the slots' `deploy`. `labels` never
    reach the wire.
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

    @property
    def address(self) -> Address:
        """`app/<slug>`."""
        return Address.of_app(self.slug)

    @property
    def sections(self) -> frozenset[Section]:
        """The sections of which anything is declared: what has to be read."""
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

    def slot(self, capability: str) -> Slot | None:
        """Find a slot by its capability."""
        return next((slot for slot in self.slots if slot.capability == capability), None)

    def deployments_at(self, address: Address) -> tuple[Deployment, ...]:
        """Find what is, or was, deployed of a capability to an environment."""
        return tuple(one for one in self.deployments if one.address == address)

    def live_deployment(self, address: Address) -> Deployment | None:
        """Find the live deployment of a capability to an environment."""
        return next((one for one in self.deployments_at(address) if one.live), None)


@dataclass(frozen=True, slots=True)
class State:
    """Apps by slug, in slug order."""

    apps: Mapping[str, App] = field(default_factory=dict)

    @classmethod
    def from_apps(cls, *apps: App) -> State:
        """Build a state, sorted at the source so that everything after it is."""
        return cls({app.slug: app for app in sorted(apps, key=lambda app: app.slug)})

    def __iter__(self) -> Iterator[App]:
        return iter(self.apps.values())
