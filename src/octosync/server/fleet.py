"""The simulated orchestrator: the catalog of model variants, the fleet of devices, and the best variant for a fleet.

A variant's score is the share of devices that can run it, times its quality squared, divided by the square root of its
latency: quality counts most, and a variant that excludes devices must be that much better for the others. Ties go to the
smaller download, then to the lower id. Latency and quality are relative to 1.0. `PUT /_local/catalog` replaces the default
catalog, whose names and numbers are invented so that platform, device class, latency and quality all matter.

`Plane` is the state of the control plane. `OrgPolicy` names the environments that need an approval.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from math import sqrt
from typing import Final

from octosync.contract import DEVICE_CLASSES, PLATFORMS
from octosync.model import JsonObject, JsonValue
from octosync.server.faults import Faults
from octosync.server.rate_limit import RequestsLog, SlidingWindows
from octosync.server.settings import ServerSettings, Token
from octosync.server.store import Row, Store, from_json, to_json

_KEY = "catalog"

_NATIVE = ("ios", "android", "macos", "linux", "windows")
_DESKTOP = ("macos", "linux", "windows")
_ALL = (*_NATIVE, "browser")


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """A model variant: it runs on `platforms` from `min_device_class` upwards; `size_bytes` is its download size."""

    id: str
    name: str
    capability: str
    platforms: tuple[str, ...]
    min_device_class: str
    size_bytes: int
    latency: float
    quality: float


_MB = 1_000_000
_TABLE: Final = (
    # id                          name                         capability             platforms  class       MB   latency quality
    ("chat-swift-1b-q4",          "Swift 1B (4 bit)",          "chat",                _ALL,      "low",       640, 0.55, 0.78),
    ("chat-steady-3b-q4",         "Steady 3B (4 bit)",         "chat",                _NATIVE,   "mid",      1900, 1.00, 1.00),
    ("chat-steady-3b-webgpu",     "Steady 3B (WebGPU)",        "chat",                ("browser",), "high", 2100, 1.25, 0.98),
    ("chat-deep-8b-q4",           "Deep 8B (4 bit)",           "chat",                _DESKTOP,  "high",     4700, 1.60, 1.24),
    ("transcription-tiny",        "Tiny transcriber",          "transcription",       _ALL,      "low",        75, 0.50, 0.80),
    ("transcription-small",       "Small transcriber",         "transcription",       _NATIVE,   "mid",       480, 1.00, 1.00),
    ("transcription-large-turbo", "Large transcriber, turbo",  "transcription",       _NATIVE,   "flagship", 1600, 1.35, 1.15),
    ("text-completion-350m",      "Completion 350M",           "text_completion",     _ALL,      "low",       210, 0.60, 0.82),
    ("text-completion-1b",        "Completion 1B",             "text_completion",     _NATIVE,   "mid",       620, 1.00, 1.00),
    ("keyboard-nano",             "Keyboard nano",             "keyboard_prediction", _NATIVE,   "low",        12, 0.70, 0.90),
    ("keyboard-context",          "Keyboard with context",     "keyboard_prediction", ("ios", "android"), "mid", 48, 1.00, 1.05),
    ("embedding-mini",            "Embedding mini",            "embedding",           _ALL,      "low",        46, 0.60, 0.92),
    ("embedding-base",            "Embedding base",            "embedding",           _NATIVE,   "mid",       220, 1.00, 1.06),
    ("classification-lite",       "Classifier lite",           "classification",      _ALL,      "low",        18, 0.60, 0.90),
    ("classification-base",       "Classifier base",           "classification",      _NATIVE,   "mid",        95, 1.00, 1.05),
    ("reasoning-2b",              "Reasoner 2B",               "reasoning",           _NATIVE,   "mid",      1400, 0.80, 0.85),
    ("reasoning-7b",              "Reasoner 7B",               "reasoning",           _NATIVE,   "flagship", 4200, 1.50, 1.20),
    ("reasoning-7b-desktop",      "Reasoner 7B for desktops",  "reasoning",           _DESKTOP,  "high",     4300, 1.20, 1.18),
    ("vision-lite",               "Vision lite",               "vision",              _ALL,      "low",       140, 0.60, 0.85),
    ("vision-base",               "Vision base",               "vision",              _NATIVE,   "mid",       850, 1.00, 1.00),
    ("vision-detail",             "Vision with detail",        "vision",              _NATIVE,   "flagship", 2300, 1.55, 1.22),
    ("tts-compact",               "Compact voice",             "tts",                 _ALL,      "low",        60, 0.60, 0.88),
    ("tts-natural",               "Natural voice",             "tts",                 _NATIVE,   "mid",       310, 1.00, 1.04),
)  # fmt: skip

DEFAULT_CATALOG: Final = tuple(
    Variant(
        id=id_,
        name=name,
        capability=capability,
        platforms=platforms,
        min_device_class=class_,
        size_bytes=megabytes * _MB,
        latency=latency,
        quality=quality,
    )
    for id_, name, capability, platforms, class_, megabytes, latency, quality in _TABLE
)


def catalog_of(store: Store) -> tuple[Variant, ...]:
    """Return the current catalog."""
    stored = store.meta(_KEY)
    if stored is None:
        return DEFAULT_CATALOG
    return tuple(Variant(**{**variant, "platforms": tuple(variant["platforms"])}) for variant in from_json(stored))


def replace_catalog(store: Store, variants: tuple[Variant, ...]) -> None:
    """Replace the catalog; deployments don't change."""
    store.put_meta(_KEY, to_json([asdict(variant) for variant in variants]))


def catalog_json(variants: tuple[Variant, ...]) -> JsonValue:
    """Return a catalog as the body of `PUT /_local/catalog`."""
    return {"variants": [asdict(variant) for variant in variants]}


ASSUMED_CLASS = "mid"  # until a device has been seen


@dataclass(frozen=True, slots=True)
class Fleet:
    """Devices by platform and class. `assumed`: no device was seen, so each target's platform counts as one `mid` device."""

    devices: Mapping[tuple[str, str], int]
    assumed: bool = False

    @property
    def total(self) -> int:
        """The number of devices."""
        return sum(self.devices.values())


@dataclass(frozen=True, slots=True)
class Choice:
    """A variant with the number of the fleet's devices that can run it, its score, and why it was chosen."""

    variant: Variant
    runs_on: int
    score: float
    reason: str


def can_run(variant: Variant, platform: str, device_class: str) -> bool:
    """Return whether a device of this platform and class can run the variant."""
    return platform in variant.platforms and DEVICE_CLASSES.index(device_class) <= DEVICE_CLASSES.index(
        variant.min_device_class
    )


def choose(catalog: Iterable[Variant], capability: str, fleet: Fleet) -> Choice | None:
    """Return the best variant of a capability, None if no device of the fleet can run any."""
    rated = [rate(variant, fleet) for variant in catalog if variant.capability == capability]
    runnable = [choice for choice in rated if choice.runs_on]
    best = min(runnable, key=lambda choice: (-choice.score, choice.variant.size_bytes, choice.variant.id), default=None)
    if best is None:
        return None
    return Choice(best.variant, best.runs_on, best.score, _reason(best, fleet, len(rated)))


def rate(variant: Variant, fleet: Fleet) -> Choice:
    """Return a variant with its score for a fleet, without a reason."""
    runs_on = sum(count for (platform, class_), count in fleet.devices.items() if can_run(variant, platform, class_))
    share = runs_on / fleet.total if fleet.total else 0.0
    return Choice(variant, runs_on, share * variant.quality**2 / sqrt(variant.latency), "")


def improvement(current: Variant, candidate: Variant) -> JsonValue:
    """Return the candidate's relative improvement by metric (0.18 is 18%); lower latency counts as positive."""
    return {
        "latency": round((current.latency - candidate.latency) / current.latency, 4),
        "quality": round((candidate.quality - current.quality) / current.quality, 4),
    }


def warnings_for(variant: Variant, fleet: Fleet, platforms: Sequence[str]) -> list[str]:
    """Return warnings about deploying this variant to this fleet."""
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


_JOIN = (
    " FROM targets JOIN devices ON devices.platform = targets.platform AND devices.identifier = targets.identifier"
    " WHERE targets.app_id = ?"
)


def targets_of(store: Store, app: Row) -> list[Row]:
    """Return an app's targets in the order of their registration."""
    return store.rows("SELECT * FROM targets WHERE app_id = ? ORDER BY seq", app["id"])


def fleet_of(store: Store, app: Row) -> Fleet:
    """Return the devices of an app's targets; without any, one `mid` device per platform (all platforms, without targets)."""
    rows = store.rows(
        f"SELECT targets.platform, device_class, sum(count) AS devices{_JOIN} GROUP BY 1, 2 ORDER BY 1, 2",
        app["id"],
    )
    if rows:
        return Fleet({(row["platform"], row["device_class"]): row["devices"] for row in rows})
    platforms = sorted({row["platform"] for row in targets_of(store, app)}) or PLATFORMS
    return Fleet(dict.fromkeys(((platform, ASSUMED_CLASS) for platform in platforms), 1), assumed=True)


def device_counts(store: Store, app: Row) -> dict[str, int]:
    """Return how many devices each of an app's targets has."""
    seen = store.rows(f"SELECT targets.id, sum(count) AS devices{_JOIN} GROUP BY 1", app["id"])
    counts = {row["id"]: row["devices"] for row in seen}
    return {target["id"]: counts.get(target["id"], 0) for target in targets_of(store, app)}


def add_devices(store: Store, platform: str, identifier: str, device_class: str, count: int) -> JsonObject:
    """Add devices; return the number of devices of that platform, identifier and class."""
    store.run(
        "INSERT INTO devices VALUES (?, ?, ?, ?)"
        " ON CONFLICT (platform, identifier, device_class) DO UPDATE SET count = count + excluded.count",
        *(platform, identifier, device_class, count),
    )
    total = store.number(
        "SELECT count FROM devices WHERE platform = ? AND identifier = ? AND device_class = ?",
        *(platform, identifier, device_class),
    )
    return {"platform": platform, "identifier": identifier, "device_class": device_class, "count": total}


@dataclass(slots=True)
class Plane:
    """The state that all requests share. `log`, `faults` and `windows` are in memory: a restart empties them."""

    settings: ServerSettings
    store: Store
    keys: tuple[Token, ...] = ()  # the configured tokens, and the demo's keys with its seed
    log: RequestsLog = field(default_factory=RequestsLog)
    faults: Faults = field(default_factory=Faults)
    windows: SlidingWindows = field(init=False)
    next_change_at: float | None = 0.0  # when a deployment next advances, in POSIX seconds; None: never

    def __post_init__(self) -> None:
        self.windows = SlidingWindows(self.settings.rate_limit, self.settings.rate_window_seconds)


_POLICY_KEY = "policy"


@dataclass(frozen=True, slots=True)
class OrgPolicy:
    """The org's rules: `require_approval` are the environments in which enable and optimize need a person's approval.

    `platforms` and `slot_fields` (`x`, or `serving_policy.x`) are further valid names, as a newer Octomil might have them.
    """

    require_approval: tuple[str, ...] = ()
    platforms: tuple[str, ...] = ()
    slot_fields: tuple[str, ...] = ()

    def to_json(self) -> JsonValue:
        """Return the rules as the body of `PUT /_local/policy`."""
        return {name: list(names) for name, names in asdict(self).items()}


def org_policy(store: Store) -> OrgPolicy:
    """Return the org's current rules."""
    stored = store.meta(_POLICY_KEY)
    return OrgPolicy() if stored is None else OrgPolicy(**{key: tuple(v) for key, v in from_json(stored).items()})


def replace_policy(store: Store, policy: OrgPolicy) -> None:
    """Replace the org's rules."""
    store.put_meta(_POLICY_KEY, to_json(policy.to_json()))
