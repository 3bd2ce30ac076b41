"""A random live org, written directly to an embedded control plane's database, with values that its API would reject.

Another control plane may have them: contradictory policies, platforms, capabilities and environments that octosync
doesn't know, control characters, secrets, texts that YAML reads as another type.
"""

from __future__ import annotations

from random import Random
from typing import Any

from tests.support.embedded_planes import EmbeddedPlane

from octosync.server.store import Store, to_json

SECRET = "hunter2-live"

TEXTS = (
    "Notes", "yes", "No", "null", "~", "1e3", "012", "0o17", "0x1F", "1_000", ".5", "12:30:45", "2024-01-31", "true",
    " before", "after ", "two\nlines\n", "two\nlines", "\nlast\n\n", "a: b", "a #b", "- a", "? a", "{a}", "[a]", "*a", "&a",
    "!a", "%a", "@a", "`a`", "'a'", '"a"', "a\\b", "\\ud83d\\ude00", "tab\there", "cr\r\nlf", "${HOME}", "$${HOME}", "$${", "${",
    "$$$${A:=b}", "Köln", "東京", "😀", "👩\u200d👧", "\u202eevil", "\u2028", "\x85", "\xa0", "---", "...", "<<", "=", "",
    "\x1b[31m", "\x00", "\ufeff", "# comment\nspec: {}", "x" * 300,
)  # fmt: skip
_POLICIES: tuple[Any, ...] = (
    *("local_first", "private", "local_only", "performance_first", "cloud_first", "cloud_only", "turbo"),
    {"routing_mode": "auto", "routing_preference": "local"},
    *(
        {
            "routing_mode": mode,
            "routing_preference": preference,
            "fallback": {"allow_cloud_fallback": cloud, "allow_local_fallback": local},
            **more,
        }
        for mode in ("auto", "local_only", "cloud_only", "teleport")
        for preference in ("performance", None)
        for cloud in (True, False)
        for local in (True, False)
        for more in ({}, {"revision": 7})
    ),
)  # fmt: skip
_CAPABILITIES = ("chat", "vision", "tts", "embedding", "keyboard_prediction", "mind_reading", "Chat!")
_PLATFORMS = ("ios", "android", "browser", "linux", "toaster")
_ENVIRONMENTS = ("production", "staging", "development", "qa")
_STATUSES = ("started", "active", "completed", "paused", "rolled_back", "levitating")
_KEYS = ("model", "parameters", "yes", "1", "null", "<<", "a b", "", "é", "${A}", "\x07", "k" * 1100)
NOW = "2026-03-01T12:00:00.000000Z"


def slugs(count: int) -> list[str]:
    """Return the slugs of an org with this number of apps; some are awkward as file names."""
    awkward = ["octosync", "kustomization", "null", "yes", "1e3", "012", "2024-01-31"]
    return sorted([*awkward, *(f"app-{number}" for number in range(count))][:count])


def fill(plane: EmbeddedPlane, count: int, seed: int) -> None:
    """Add apps; the same seed gives the same org."""
    rng, store = Random(seed), plane.running.app.state.plane.store  # noqa: S311 — repeatable on purpose
    with store.transaction():
        for number, slug in enumerate(slugs(count)):
            _add_app(store, rng, number, slug)


def _add_app(store: Store, rng: Random, number: int, slug: str) -> None:
    id_, stamps = f"app_{number}", {"created_at": NOW, "updated_at": NOW}
    archived = NOW if rng.random() < 0.1 else None
    description = rng.choice([None, *TEXTS])
    store.insert(
        "apps", id=id_, slug=slug, name=rng.choice(TEXTS), description=description, archived_at=archived, **stamps
    )
    for index, platform in enumerate(rng.sample(_PLATFORMS, rng.randrange(4))):
        identifier = f"{rng.choice(TEXTS)}{number}" if rng.random() < 0.9 else f"com.example.{number}"
        store.insert(
            "targets", id=f"t{number}-{index}", app_id=id_, platform=platform, identifier=identifier, created_at=NOW
        )
    for capability in rng.sample(_CAPABILITIES, rng.randrange(4)):
        store.insert("slots", id=f"s{number}-{capability}", app_id=id_, capability=capability, **_slot(rng), **stamps)
    if rng.random() < 0.7:
        store.insert("inference_configs", app_id=id_, config=to_json(_object(rng, 0)))
    for index in range(rng.randrange(4)):
        store.insert(
            "deployments",
            id=f"d{number}-{index}",
            app_id=id_,
            capability=rng.choice(_CAPABILITIES[:3]),
            environment=rng.choice(_ENVIRONMENTS),
            status=rng.choice(_STATUSES),
            model_variant_id="chat-swift-1b-q4",
            app_target_ids="[]",
            since=0.0,
            **stamps,
        )


def _slot(rng: Random) -> dict[str, Any]:
    return {
        "model_variant_id": rng.choice([None, "chat-swift-1b-q4", *TEXTS]),
        "serving_policy": to_json(rng.choice(_POLICIES)),
        "bindings": to_json([_binding(rng) for _ in range(rng.randrange(3))]),
        "preferred_engines": to_json(
            rng.choice([[], ["mlx", "coreml"], ["mlx", "mlx"], ["mine"], [rng.choice(TEXTS)]])
        ),
        "public_client_allowed": rng.random() < 0.5,
        "extra": to_json(rng.choice([{}, {"quota": 3}])),
    }


def _binding(rng: Random) -> dict[str, Any]:
    key = {"binding_key": rng.choice(["a", "b"])} if rng.random() < 0.8 else {}
    return {**key, "use_case": rng.choice(TEXTS), **(_object(rng, 2) if rng.random() < 0.3 else {})}


def _object(rng: Random, depth: int) -> dict[str, Any]:
    result = {rng.choice(_KEYS[:9]): _value(rng, depth + 1) for _ in range(rng.randrange(5))}
    if rng.random() < 0.08:
        result[rng.choice(_KEYS)] = _value(rng, depth + 1)
    if rng.random() < 0.06:
        result["api_key"] = SECRET
    return result


def _value(rng: Random, depth: int) -> Any:
    if depth < 4 and rng.random() < 0.4:
        return _object(rng, depth) if rng.random() < 0.5 else [_value(rng, depth + 1) for _ in range(rng.randrange(4))]
    numbers = (0, 1, -1, 1.5, 1e16, 1e-7, 10**30, 0.1, True, False, None)
    return rng.choice(TEXTS[:-5]) if rng.random() < 0.5 else rng.choice(numbers)
