"""Deployments of capabilities to environments: their rollout, their coverage, and the routing of inference requests."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum

from octosync.errors import OctosyncError
from octosync.model.address import Address
from octosync.model.values import JsonValue


@dataclass(frozen=True, slots=True, kw_only=True)
class Canary:
    """A running canary to another variant. `percentage` of the devices have it (0 to 100); None if Octomil doesn't report it."""

    candidate: str | None = None
    percentage: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployment:
    """One deployment as it was read. `live`, `starting`, `failed` and `canary` follow from its `status`, by the contract.

    `canary` is None unless one runs; `targets` are the ids of the targets that it is assigned to. `starting`: it was just
    started; `failed`: it did not become active.
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
        """`app/<slug>/capability/<capability>@<environment>`; an old and a new deployment share it."""
        return Address.of_capability(self.app, self.capability, self.environment)


@dataclass(frozen=True, slots=True, kw_only=True)
class Assignment:
    """The number of devices on a platform that would get a variant."""

    platform: str | None
    devices: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Preview:
    """What enabling would do: which variant, why, for how many devices. `variant` is None if the orchestrator finds none."""

    variant: str | None
    reason: str | None = None
    devices: int = 0
    assignments: tuple[Assignment, ...] = ()
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class OptimizationCheck:
    """Whether there is a better variant than the deployed one. `improvement` is relative, by metric: 0.18 is 18%."""

    available: bool
    current: str | None = None
    suggested: str | None = None
    improvement: Mapping[str, JsonValue] = field(default_factory=dict)
    reason: str | None = None

    @property
    def largest(self) -> float | None:
        """The largest improvement of a metric; None if no improvement is a number."""
        return max((value for value, _ in self._numbers()), default=None)

    @property
    def worst(self) -> tuple[float, str] | None:
        """The smallest improvement, negative for a regression, and its metric; None if no improvement is a number."""
        return min(self._numbers(), default=None)

    def _numbers(self) -> Iterator[tuple[float, str]]:
        for metric, value in self.improvement.items():
            if isinstance(value, int | float) and not isinstance(value, bool):
                yield float(value), metric


@dataclass(frozen=True, slots=True, kw_only=True)
class Coverage:
    """Whether a slot's devices have its capability: `covered`, `partial`, `uncovered`, or another word of the control plane."""

    capability: str
    status: str
    active_deployments: int | None = None
    covered_devices: int | None = None
    total_devices: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """An app's coverage, and the coverage of each of its slots, by capability."""

    status: str
    slots: tuple[Coverage, ...] = ()


class RolloutResult(Enum):
    """The result of a rollout that a run waited for.

    `COVERED` its devices have it, and no canary runs · `FAILED` its status is a failure · `ROLLED_BACK` it, or its canary,
    was rolled back · `TIMED_OUT` none of these before the timeout · `UNREADABLE` its status could not be read. A run doesn't
    wait for two more: `NO_DEVICES` there is no device to cover · `AWAITING_APPROVAL` a person must approve it in Octomil.
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
        """Whether the rollout did not succeed although the run waited for it."""
        return self in {
            RolloutResult.FAILED,
            RolloutResult.ROLLED_BACK,
            RolloutResult.TIMED_OUT,
            RolloutResult.UNREADABLE,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class RolloutStatus:
    """The rollout of one capability in one environment, as it was last read; None is what is not known.

    `result` is None while the run waits for it. `deployment`, `status` and `variant` are those of the deployment, `canary` is
    the running canary, `ended` the last canary that ended without completing. `covered` of `devices` have the capability,
    counted over all environments of the slot. `error` is why the latest read failed.
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
    """An app's inference requests by route; None is what Octomil doesn't report. Latency is in milliseconds."""

    total: int
    local: int | None = None
    cloud: int | None = None
    average_latency_ms: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RoutingDecision:
    """The route of one request: `local`, `cloud` or another word of the control plane. Latency is in milliseconds."""

    id: str
    route: str | None = None
    capability: str | None = None
    variant: str | None = None
    latency_ms: float | None = None
    at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class FirstRequest:
    """Whether the app has received a request, by either route, and when the first one was (None if not reported)."""

    received: bool
    at: datetime | None = None
