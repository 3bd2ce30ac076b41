"""Strategies for whole situations: a few apps that claim each other's targets and name each other's slots.

Names are few, so that moves, swaps, rotations, conflicts and references occur all the time.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from hypothesis import strategies as st
from tests.support.simulated_plane import PlaneApp, SimulatedPlane
from tests.support.states import child_app, desired_app

from octosync.model import App, State

SLUGS = ("a", "b", "c", "d")
TARGETS = (("ios", "1"), ("ios", "2"), ("android", "3"), ("browser", "4"))
UNKNOWN_TARGETS = (("toaster", "5"), ("toaster", "6"))
CAPABILITIES = ("chat", "tts")

policies = st.sampled_from(["local_first", "private", "local_only", "cloud_only"])
bindings = st.lists(
    st.fixed_dictionaries(
        {"use_case": st.sampled_from(["x", "y"])}, optional={"binding_key": st.sampled_from(["k", "l"])}
    ),
    max_size=2,
    unique_by=lambda binding: binding.get("binding_key", binding["use_case"]),
)
configs = st.fixed_dictionaries(
    {},
    optional={
        "model": st.builds("@app/{}/{}".format, st.sampled_from(SLUGS), st.sampled_from(CAPABILITIES)),
        "temperature": st.sampled_from([0, 1, None]),
    },
)
declared_slots = st.fixed_dictionaries(
    {},
    optional={
        "serving_policy": policies,
        "bindings": bindings,
        "preferred_engines": st.sampled_from([[], ["mlx"], ["mlx", "coreml"]]),
        "public_client_allowed": st.booleans(),
        "model_variant_id": st.sampled_from(["v1", "v2"]),
    },
)


@st.composite
def live_slots(draw: st.DrawFn) -> dict[str, Any]:
    """Draw a slot, with what only the control plane knows of it: a field, and a field in each binding."""
    declared = draw(declared_slots)
    known = {"serving_policy": "local_first", "bindings": [], "preferred_engines": [], "public_client_allowed": False}
    slot: dict[str, Any] = {**known, **declared}
    if draw(st.booleans()):
        slot["quota"] = draw(st.sampled_from([1, None]))
        slot["bindings"] = [{**binding, "weight": index} for index, binding in enumerate(slot["bindings"])]
    return slot


@dataclass
class Situation:
    """What is live, and what is declared."""

    plane: SimulatedPlane
    desired: State


@st.composite
def situations(draw: st.DrawFn) -> Situation:
    """Draw a live org of up to four apps, and a declaration of any of them that the loader would let through."""
    live: dict[str, PlaneApp] = {slug: draw(_plane_apps()) for slug in SLUGS if draw(st.integers(0, 4))}
    for number, key in enumerate((*TARGETS, *UNKNOWN_TARGETS)):
        if draw(st.booleans()) and live:
            live[draw(st.sampled_from(sorted(live)))].targets[f"t{number}"] = key
    claims: dict[str, list[str]] = {slug: [] for slug in SLUGS}
    for platform, identifier in TARGETS:
        if (slug := draw(st.sampled_from([*SLUGS, None]))) is not None:
            claims[slug].append(f"{platform}:{identifier}")
    desired = [draw(_declared_apps(slug, claims[slug])) for slug in SLUGS if draw(st.integers(0, 4))]
    return Situation(SimulatedPlane(live), State.of(*desired))


@st.composite
def _plane_apps(draw: st.DrawFn) -> PlaneApp:
    return PlaneApp(
        fields={"name": draw(st.sampled_from(["n", "m"])), "description": draw(st.sampled_from([None, "d"]))},
        slots=draw(st.dictionaries(st.sampled_from(CAPABILITIES), live_slots())),
        config=draw(st.one_of(st.none(), configs)),
        archived=draw(st.sampled_from([False] * 7 + [True])),
    )


@st.composite
def _declared_apps(draw: st.DrawFn, slug: str, claims: list[str]) -> App:
    slots = draw(st.dictionaries(st.sampled_from(CAPABILITIES), declared_slots))
    children: dict[str, Any] = {}
    if draw(st.booleans()):
        children["config"] = draw(st.one_of(st.none(), configs))
    if draw(st.integers(0, 3)) == 0:
        return child_app(slug, targets=claims, slots=slots, **children)
    owned_targets, owned_slots = draw(st.booleans()), draw(st.booleans())
    return desired_app(
        slug,
        fields=draw(
            st.fixed_dictionaries(
                {}, optional={"name": st.sampled_from(["n", "m"]), "description": st.sampled_from(["d", "e"])}
            )
        ),
        targets=claims if owned_targets else None,
        slots=slots if owned_slots else None,
        archived=draw(st.sampled_from([False, False, False, True])),
        suspended=draw(st.sampled_from([False, False, False, True])),
        protected=draw(st.booleans()),
        **children,
    )
