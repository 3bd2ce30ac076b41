"""Deployments: a slot's capability on the devices of an environment, and what the orchestrator says of it.

Standings: how far a deployment is that a run waits for, and what became of it.

Routing: where an app's inference requests went, the device or the cloud.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum

from octosync.errors import OctosyncError
from octosync.model.address import Address
from octosync.model.values import JsonValue


@dataclass(frozen=True, slots=True, kw_only=True)
class Canary:
    """A rollout under way to another variant. `percentage` of the devices have it (0 to 100), None where that is not said."""

    candidate: str | None = None
    percentage: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployment:
    """One deployment as it was read. What its `status` means is the contract's to say: `live`, and whether a canary runs.

    `canary` is None unless one runs; `targets` are the ids of the targets that it is assigned to. `starting`: it was just
    started; `failed`: it came to nothing.
    """

    id: str
    app: str
    capability: str
    environment: str
    status: str
    live: bool
    variant: str | None = None
    canary: Canary | None = None
    targets: tuple[str, ...] = ()
    created_at: str | None = None
    starting: bool = False
    failed: bool = False

    @property
    def address(self) -> Address:
        """`app/<slug>/capability/<capability>@<environment>`, which an old and a new deployment share."""
        return Address.of_capability(self.app, self.capability, self.environment)


@dataclass(frozen=True, slots=True, kw_only=True)
class Assignment:
    """So many devices on a platform would get it."""

    platform: str | None
    devices: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Preview:
    """What enabling would do: which variant, why, for how many devices. `variant` None: the orchestrator finds none."""

    variant: str | None
    reason: str | None = None
    devices: int = 0
    assignments: tuple[Assignment, ...] = ()
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class OptimizationCheck:
    """Whether there is a better variant than the deployed one. `improvement` is relative by metric: 0.18 is 18 %."""

    available: bool
    current: str | None = None
    suggested: str | None = None
    improvement: Mapping[str, JsonValue] = field(default_factory=dict)
    reason: str | None = None

    @property
    def largest(self) -> float | None:
        """The largest metric's improvement, None where none is a number."""
        return max(
            (
                float(value)
                for value in self.improvement.values()
                if isinstance(value, int | float) and not isinstance(value, bool)
            ),
            default=None,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Coverage:
    """Whether a slot's devices have its capability: `covered`, `partial`, `uncovered`, or a word of the control plane's own."""

    capability: str
    status: str
    active_deployments: int | None = None
    covered_devices: int | None = None
    total_devices: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """An app's coverage, and that of each of its slots, by capability."""

    status: str
    slots: tuple[Coverage, ...] = ()


class RolloutResult(Enum):
    """What became of a deployment that was waited for.

    `COVERED` its devices have it, and no canary runs · `FAILED` its status says so · `ROLLED_BACK` it, or its canary, was
    taken back · `TIMED_OUT` neither in time · `UNREADABLE` how it stands could not be read. Two were not waited for:
    `NO_DEVICES` nothing can be covered · `AWAITING_APPROVAL` a person must approve it in Octomil.
    """

    COVERED = "covered"
    FAILED = "failed"
    ROLLED_BACK = "rolled_back"
    TIMED_OUT = "timed_out"
    UNREADABLE = "unreadable"
    NO_DEVICES = "no_devices"
    AWAITING_APPROVAL = "awaiting_approval"

    @property
    def is_failure(self) -> bool:
        """Whether it was waited for in vain."""
        return self in {
            RolloutResult.FAILED,
            RolloutResult.ROLLED_BACK,
            RolloutResult.TIMED_OUT,
            RolloutResult.UNREADABLE,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class RolloutStatus:
    """How one capability stands in one environment, as it was last read; None is what was not read, or is not said.

    `result` is None as long as it is waited for. `deployment`, `status` and `variant` are the deployment's, `canary` the one
    that runs, `ended` the last one that ran and ended otherwise. `covered` of `devices` have it, over all environments of
    the slot. `error` is why the latest read failed.
    """

    address: Address
    result: RolloutResult | None = None
    deployment: str | None = None
    status: str | None = None
    variant: str | None = None
    canary: Canary | None = None
    ended: Canary | None = None
    starting: bool = False
    coverage: str | None = None
    covered: int | None = None
    devices: int | None = None
    error: OctosyncError | None = None


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
