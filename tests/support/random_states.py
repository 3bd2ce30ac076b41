"""Whole situations by chance: a few apps that claim each other's targets and name each other's slots.

Names are few, so that moves, swaps, rotations, conflicts and references occur all the time. The dice are a seeded
`Random`: drawing every value through hypothesis took ten times as long as planning. For a smaller example of a failure,
set `use_true_random` to False below, and hypothesis shrinks it.
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

MOSTLY, EVENLY, SELDOM = 0.8, 0.5, 0.12


@dataclass
class Situation:
    """What is live, and what is declared."""

    plane: SimulatedPlane
    desired: State


def situations() -> st.SearchStrategy[Situation]:
    """Draw a live org of up to four apps, and a declaration of any of them that the loader would let through."""
    return st.randoms(use_true_random=True).map(_situation)


def changes() -> st.SearchStrategy[tuple[State, State]]:
    """Draw a base and a tree that declare some apps alike, some differently, and some on one side only."""
    return st.randoms(use_true_random=True).map(_change)


def _change(dice: Random) -> tuple[State, State]:
    base, tree = _situation(dice).desired, _situation(dice).desired
    claimed = {target.unique_key for app in tree for target in app.targets}
    alike = (
        app for app in base if _is(dice, EVENLY) and not claimed.intersection(one.unique_key for one in app.targets)
    )
    return base, State.from_apps(*{**tree.apps, **{app.slug: app for app in alike}}.values())


def _situation(dice: Random) -> Situation:
    live = {slug: _plane_app(dice) for slug in SLUGS if _is(dice, MOSTLY)}
    for number, key in enumerate((*TARGETS, *UNKNOWN_TARGETS)):
        if live and _is(dice, MOSTLY):
            live[dice.choice(sorted(live))].targets[f"t{number}"] = key
    claims: dict[str, list[str]] = {slug: [] for slug in SLUGS}
    for platform, identifier in TARGETS:
        if _is(dice, MOSTLY):
            claims[dice.choice(SLUGS)].append(f"{platform}:{identifier}")
    desired = [_declared_app(dice, slug, claims[slug]) for slug in SLUGS if _is(dice, MOSTLY)]
    return Situation(SimulatedPlane(live), State.from_apps(*desired))


def _plane_app(dice: Random) -> PlaneApp:
    return PlaneApp(
        fields={"name": dice.choice("nm"), "description": dice.choice([None, "d"])},
        slots={capability: _live_slot(dice) for capability in CAPABILITIES if _is(dice, EVENLY)},
        config=_config(dice),
        archived=_is(dice, SELDOM),
    )


def _declared_app(dice: Random, slug: str, claims: list[str]) -> App:
    slots = {capability: _declared_slot(dice) for capability in CAPABILITIES if _is(dice, EVENLY)}
    config: dict[str, Any] = {"config": _config(dice)} if _is(dice, EVENLY) else {}
    if _is(dice, SELDOM):
        return child_app(slug, targets=claims, slots=slots, **config)
    return desired_app(
        slug,
        fields=_some(dice, name=dice.choice("nm"), description=dice.choice("de")),
        targets=claims if _is(dice, MOSTLY) else None,
        slots=slots if _is(dice, MOSTLY) else None,
        archived=_is(dice, SELDOM),
        suspended=_is(dice, SELDOM),
        protected=_is(dice, EVENLY),
        **config,
    )


def _declared_slot(dice: Random) -> dict[str, Any]:
    return _some(
        dice,
        serving_policy=dice.choice(POLICIES),
        bindings=[
            _some(dice, binding_key=key, use_case=dice.choice("xy")) or {"use_case": "z"}
            for key in "kl"
            if _is(dice, EVENLY)
        ],
        preferred_engines=dice.choice([[], ["mlx"], ["mlx", "coreml"]]),
        public_client_allowed=_is(dice, EVENLY),
        model_variant_id=dice.choice(["v1", "v2"]),
    )


def _live_slot(dice: Random) -> dict[str, Any]:
    """Make a slot, with what only the control plane knows of it: a field, and a field in each binding."""
    slot = {**LIVE_SLOT, **_declared_slot(dice)}
    bindings = [{**binding, "weight": index} for index, binding in enumerate(slot["bindings"])]
    return {**slot, "bindings": bindings, "quota": dice.choice([1, None])} if _is(dice, EVENLY) else slot


def _config(dice: Random) -> dict[str, Any] | None:
    model = f"@app/{dice.choice(SLUGS)}/{dice.choice(CAPABILITIES)}"
    return _some(dice, model=model, temperature=dice.choice([0, 1, None])) if _is(dice, MOSTLY) else None


def _some(dice: Random, **values: Any) -> dict[str, Any]:
    return {key: value for key, value in values.items() if _is(dice, EVENLY)}


def _is(dice: Random, chance: float) -> bool:
    return dice.random() < chance
