"""Which variant is best for a fleet: pure, deterministic, with its reasons.

A variant's worth for a fleet is the share of devices that can run it, times its quality squared, over the square root of
its latency: quality counts most, and a variant that leaves devices out must be that much better for the others. Ties go
to the smaller download, then to the lower id.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import sqrt

from octosync.contract import DEVICE_CLASSES
from octosync.model import JsonValue
from octosync.server.catalog import Variant

ASSUMED_CLASS = "mid"  # where no device has been seen yet


@dataclass(frozen=True, slots=True)
class Fleet:
    """Devices by platform and class. `assumed`: none was seen, each target's platform stands in with one `mid` device."""

    devices: Mapping[tuple[str, str], int]
    assumed: bool = False

    @property
    def total(self) -> int:
        """How many devices count in a choice."""
        return sum(self.devices.values())


@dataclass(frozen=True, slots=True)
class Choice:
    """A variant, how many of the fleet's devices can run it, what it is worth to them, and why it was chosen."""

    variant: Variant
    runs_on: int
    worth: float
    reason: str


def can_run(variant: Variant, platform: str, device_class: str) -> bool:
    """Say whether a device of this platform and class can run the variant."""
    return platform in variant.platforms and DEVICE_CLASSES.index(device_class) <= DEVICE_CLASSES.index(
        variant.min_device_class
    )


def choose(catalog: Iterable[Variant], capability: str, fleet: Fleet) -> Choice | None:
    """Choose the best variant of a capability; None where no device of the fleet can run any."""
    rated = [rate(variant, fleet) for variant in catalog if variant.capability == capability]
    runnable = [choice for choice in rated if choice.runs_on]
    best = min(runnable, key=lambda choice: (-choice.worth, choice.variant.size_bytes, choice.variant.id), default=None)
    if best is None:
        return None
    return Choice(best.variant, best.runs_on, best.worth, _reason(best, fleet, len(rated)))


def rate(variant: Variant, fleet: Fleet) -> Choice:
    """Rate a variant for a fleet, without comparing it."""
    runs_on = sum(count for (platform, class_), count in fleet.devices.items() if can_run(variant, platform, class_))
    share = runs_on / fleet.total if fleet.total else 0.0
    return Choice(variant, runs_on, share * variant.quality**2 / sqrt(variant.latency), "")


def improvement(current: Variant, candidate: Variant) -> JsonValue:
    """Return how much better the candidate is, relatively (0.18 is 18 %); lower latency counts as positive."""
    return {
        "latency": round((current.latency - candidate.latency) / current.latency, 4),
        "quality": round((candidate.quality - current.quality) / current.quality, 4),
    }


def warnings_for(variant: Variant, fleet: Fleet, platforms: Sequence[str]) -> list[str]:
    """Say what a person should know before this variant is deployed to this fleet."""
    warnings = []
    if not platforms:
        warnings.append("the app has no targets: nothing would be assigned")
    elif fleet.assumed:
        warnings.append("no devices have been seen yet: coverage is uncovered until some are")
    warnings += [
        f"{variant.id} does not run on {platform}"
        for platform in sorted(set(platforms))
        if platform not in variant.platforms
    ]
    below = sum(
        count
        for (platform, class_), count in fleet.devices.items()
        if platform in variant.platforms and not can_run(variant, platform, class_)
    )
    if below and not fleet.assumed:
        warnings.append(f"{below} of {fleet.total} devices are below class {variant.min_device_class}")
    return warnings


def _reason(choice: Choice, fleet: Fleet, candidates: int) -> str:
    variant = choice.variant
    runs = (
        f"fits {', '.join(sorted({platform for platform, _ in fleet.devices}))} at class {ASSUMED_CLASS}, no devices yet"
        if fleet.assumed
        else f"runs on {choice.runs_on} of {fleet.total} devices"
    )
    return f"{runs}; quality {variant.quality:g}, latency {variant.latency:g}; best of {candidates} variants"
