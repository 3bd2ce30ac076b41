"""Random situations: a few apps that declare each other's targets and refer to each other's slots.

There are few names, so that moves, swaps, rotations, conflicts and references are frequent. Values come from a seeded
`Random`: drawing each of them through hypothesis took ten times as long as planning. For a smaller example of a
failure, set `use_true_random` to False below, and hypothesis shrinks it.
"""

from __future__ import annotations

from dataclasses import dataclass
from random import Random
from typing import Any

from hypothesis import strategies as st
from tests.support.simulated_plane import PlaneApp, SimulatedPlane
from tests.support.states import LIVE_SLOT, child_app, desired_app

from octosync.model import App, State

SLUGS = ("a", "b", "c", "d")
TARGETS = (("ios", "1"), ("ios", "2"), ("android", "3"), ("browser", "4"))
UNKNOWN_TARGETS = (("toaster", "5"), ("toaster", "6"))
CAPABILITIES = ("chat", "tts")
POLICIES = ("local_first", "private", "local_only", "cloud_only")

OFTEN, EVENLY, RARELY = 0.8, 0.5, 0.12


@dataclass
class Situation:
    """The live state and the declared state."""

    plane: SimulatedPlane
    desired: State


def situations() -> st.SearchStrategy[Situation]:
    """Draw a live org of up to four apps, and declarations of some of them that the loader would accept."""
    return st.randoms(use_true_random=True).map(_situation)


def changes() -> st.SearchStrategy[tuple[State, State]]:
    """Draw a base and a tree: some apps are equal in both, some differ, and some are in one of them only."""
    return st.randoms(use_true_random=True).map(_change)


def _change(rng: Random) -> tuple[State, State]:
    base, tree = _situation(rng).desired, _situation(rng).desired
    claimed = {target.unique_key for app in tree for target in app.targets}
    equal = (
        app
        for app in base
        if _is(rng, EVENLY) and not claimed.intersection(target.unique_key for target in app.targets)
    )
    return base, State.from_apps(*{**tree.apps, **{app.slug: app for app in equal}}.values())


def _situation(rng: Random) -> Situation:
    live = {slug: _plane_app(rng) for slug in SLUGS if _is(rng, OFTEN)}
    for number, key in enumerate((*TARGETS, *UNKNOWN_TARGETS)):
        if live and _is(rng, OFTEN):
            live[rng.choice(sorted(live))].targets[f"t{number}"] = key
    claims: dict[str, list[str]] = {slug: [] for slug in SLUGS}
    for platform, identifier in TARGETS:
        if _is(rng, OFTEN):
            claims[rng.choice(SLUGS)].append(f"{platform}:{identifier}")
    desired = [_declared_app(rng, slug, claims[slug]) for slug in SLUGS if _is(rng, OFTEN)]
    return Situation(SimulatedPlane(live), State.from_apps(*desired))


def _plane_app(rng: Random) -> PlaneApp:
    return PlaneApp(
        fields={"name": rng.choice("nm"), "description": rng.choice([None, "d"])},
        slots={capability: _live_slot(rng) for capability in CAPABILITIES if _is(rng, EVENLY)},
        config=_config(rng),
        archived=_is(rng, RARELY),
    )


def _declared_app(rng: Random, slug: str, claims: list[str]) -> App:
    slots = {capability: _declared_slot(rng) for capability in CAPABILITIES if _is(rng, EVENLY)}
    config: dict[str, Any] = {"config": _config(rng)} if _is(rng, EVENLY) else {}
    if _is(rng, RARELY):
        return child_app(slug, targets=claims, slots=slots, **config)
    return desired_app(
        slug,
        fields=_some(rng, name=rng.choice("nm"), description=rng.choice("de")),
        targets=claims if _is(rng, OFTEN) else None,
        slots=slots if _is(rng, OFTEN) else None,
        archived=_is(rng, RARELY),
        suspended=_is(rng, RARELY),
        protected=_is(rng, EVENLY),
        **config,
    )


def _declared_slot(rng: Random) -> dict[str, Any]:
    return _some(
        rng,
        serving_policy=rng.choice(POLICIES),
        bindings=[
            _some(rng, binding_key=key, use_case=rng.choice("xy")) or {"use_case": "z"}
            for key in "kl"
            if _is(rng, EVENLY)
        ],
        preferred_engines=rng.choice([[], ["mlx"], ["mlx", "coreml"]]),
        public_client_allowed=_is(rng, EVENLY),
        model_variant_id=rng.choice(["v1", "v2"]),
    )


def _live_slot(rng: Random) -> dict[str, Any]:
    """Return a slot, maybe with a field of the control plane's own in the slot and in each binding."""
    slot = {**LIVE_SLOT, **_declared_slot(rng)}
    bindings = [{**binding, "weight": index} for index, binding in enumerate(slot["bindings"])]
    return {**slot, "bindings": bindings, "quota": rng.choice([1, None])} if _is(rng, EVENLY) else slot


def _config(rng: Random) -> dict[str, Any] | None:
    model = f"@app/{rng.choice(SLUGS)}/{rng.choice(CAPABILITIES)}"
    return _some(rng, model=model, temperature=rng.choice([0, 1, None])) if _is(rng, OFTEN) else None


def _some(rng: Random, **values: Any) -> dict[str, Any]:
    return {key: value for key, value in values.items() if _is(rng, EVENLY)}


def _is(rng: Random, chance: float) -> bool:
    return rng.random() < chance
