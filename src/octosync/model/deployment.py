"""Deployments: a slot's capability on the devices of an environment, and what the orchestrator says of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

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
