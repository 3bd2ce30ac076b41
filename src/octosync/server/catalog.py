"""The catalog: which model variants exist. A default one is always there, `PUT /_local/catalog` replaces it.

Latency and quality are relative to 1.0: lower latency and higher quality are better. The default's names and numbers are
made up, and chosen so that platform, device class, latency and quality all matter for which variant is best.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Final

from octosync.model import JsonValue
from octosync.server.store import Store, from_json, to_json

_KEY = "catalog"

_NATIVE = ("ios", "android", "macos", "linux", "windows")
_DESKTOP = ("macos", "linux", "windows")
_ALL = (*_NATIVE, "browser")


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """A model variant: `platforms` it runs on, from `min_device_class` upwards; `size_bytes` is its download."""

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
    """Return the catalog in force."""
    stored = store.meta(_KEY)
    if stored is None:
        return DEFAULT_CATALOG
    return tuple(Variant(**{**one, "platforms": tuple(one["platforms"])}) for one in from_json(stored))


def replace_catalog(store: Store, variants: tuple[Variant, ...]) -> None:
    """Put another catalog in force; what is deployed stays deployed."""
    store.put_meta(_KEY, to_json([asdict(variant) for variant in variants]))


def catalog_json(variants: tuple[Variant, ...]) -> JsonValue:
    """Return a catalog in the form in which it is replaced."""
    return {"variants": [asdict(variant) for variant in variants]}
