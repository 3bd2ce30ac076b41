from __future__ import annotations

from dataclasses import replace
from itertools import permutations

from hypothesis import given
from hypothesis import strategies as st

from octosync.contract import CAPABILITIES, DEVICE_CLASSES, PLATFORMS
from octosync.server.fleet import DEFAULT_CATALOG, Fleet, Variant, can_run, choose, improvement, rate

BASE = Variant(
    id="a",
    name="A",
    capability="chat",
    platforms=("ios",),
    min_device_class="mid",
    size_bytes=9,
    latency=1.0,
    quality=1.0,
)
IOS = Fleet({("ios", "high"): 10})
_FLEETS = st.dictionaries(
    st.tuples(st.sampled_from(PLATFORMS), st.sampled_from(DEVICE_CLASSES)), st.integers(1, 1000), min_size=1
).map(Fleet)


def chosen(*variants: Variant, fleet: Fleet = IOS) -> str | None:
    """Return the id of the variant that is chosen for chat."""
    choice = choose(variants, "chat", fleet)
    return None if choice is None else choice.variant.id


def test_a_device_runs_what_its_platform_and_class_allow() -> None:
    """A variant runs on devices of its minimum class or better, on its platforms only."""
    assert [can_run(BASE, "ios", class_) for class_ in DEVICE_CLASSES] == [True, True, True, False]
    assert not can_run(BASE, "android", "flagship")


def test_better_quality_lower_latency_smaller_size_lower_id_in_this_order() -> None:
    """Each criterion decides only if the ones before it are equal."""
    assert chosen(BASE, replace(BASE, id="b", quality=1.1)) == "b"
    assert chosen(BASE, replace(BASE, id="b", latency=0.9)) == "b"
    assert chosen(BASE, replace(BASE, id="b", size_bytes=1)) == "b"
    assert chosen(replace(BASE, id="b"), BASE) == "a"


def test_a_variant_that_leaves_devices_out_must_be_better_for_the_rest() -> None:
    """The share of devices that can run a variant weighs its score."""
    demanding = replace(BASE, id="b", min_device_class="flagship", quality=1.2)
    assert chosen(BASE, demanding, fleet=Fleet({("ios", "flagship"): 9, ("ios", "mid"): 1})) == "b"
    assert chosen(BASE, demanding, fleet=Fleet({("ios", "flagship"): 1, ("ios", "mid"): 9})) == "a"


def test_nothing_runs_nowhere() -> None:
    """Without a device that can run any variant of the capability, no variant is chosen; an empty fleet has the score 0."""
    assert chosen(BASE, fleet=Fleet({("linux", "flagship"): 1})) is None
    assert chosen(replace(BASE, capability="tts")) is None
    assert rate(BASE, Fleet({})).score == 0


def test_improvements_are_relative_and_lower_latency_is_positive() -> None:
    """0.18 is 18%."""
    assert improvement(BASE, replace(BASE, latency=0.82, quality=1.05)) == {"latency": 0.18, "quality": 0.05}


@given(fleet=_FLEETS, capability=st.sampled_from(CAPABILITIES), data=st.data())
def test_a_choice_does_not_depend_on_the_order_of_the_catalog(
    fleet: Fleet, capability: str, data: st.DataObject
) -> None:
    """Any order of the catalog gives the same choice with the same reason, and no variant has a higher score."""
    shuffled = data.draw(st.permutations(DEFAULT_CATALOG))
    choice = choose(DEFAULT_CATALOG, capability, fleet)
    assert choose(shuffled, capability, fleet) == choice
    if choice is not None:
        rivals = [rate(variant, fleet).score for variant in DEFAULT_CATALOG if variant.capability == capability]
        assert choice.score == max(rivals)


def test_the_default_catalog_has_a_choice_for_each_capability_and_platform() -> None:
    """Every capability has variants that differ in requirements and benefits, and no two are equal."""
    for capability in CAPABILITIES:
        variants = [variant for variant in DEFAULT_CATALOG if variant.capability == capability]
        assert len(variants) > 1
        fleets = [Fleet({(platform, class_): 1}) for platform in PLATFORMS for class_ in DEVICE_CLASSES]
        assert len({chosen_id for fleet in fleets if (chosen_id := _id(capability, fleet))}) > 1
        for left, right in permutations(variants, 2):
            assert (left.latency, left.quality, left.platforms) != (right.latency, right.quality, right.platforms)


def _id(capability: str, fleet: Fleet) -> str | None:
    choice = choose(DEFAULT_CATALOG, capability, fleet)
    return None if choice is None else choice.variant.id
