"""Serving policies: presets, expansion, comparison and contradictions."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.json_values import json_values

from octosync.contract import PRESETS, contradiction_in, expand_policy, field_equal, merge_policy, preset_of
from octosync.contract.resources import ROUTING_MODES, ROUTING_PREFERENCES
from octosync.model import JsonObject, JsonValue

# The published table: a name, its mode and preference, then whether it allows cloud fallback and local fallback.
TABLE = [
    ("private", "local_only", None, False, True),
    ("local_only", "local_only", None, False, True),
    ("local_first", "auto", "local", True, True),
    ("performance_first", "auto", "performance", True, True),
    ("cloud_first", "auto", "cloud", True, True),
    ("cloud_only", "cloud_only", None, True, False),
]


def policy(mode: str, preference: str | None, cloud: bool, local: bool) -> dict[str, JsonValue]:
    head = {"routing_mode": mode} | ({} if preference is None else {"routing_preference": preference})
    return {**head, "fallback": {"allow_cloud_fallback": cloud, "allow_local_fallback": local}}


policies = st.one_of(
    st.sampled_from([row[0] for row in TABLE]),
    st.builds(
        policy,
        st.sampled_from(ROUTING_MODES),
        st.one_of(st.none(), st.sampled_from(ROUTING_PREFERENCES)),
        st.booleans(),
        st.booleans(),
    ),
    json_values(),
)


@pytest.mark.parametrize(("name", "mode", "preference", "cloud", "local"), TABLE)
def test_a_preset_matches_the_published_table(
    name: str, mode: str, preference: str | None, cloud: bool, local: bool
) -> None:
    """A name expands to its row, a `–` in it is not sent, and the name means the same as the object."""
    expanded = policy(mode, preference, cloud, local)
    assert expand_policy(name) == expanded
    assert field_equal("serving_policy", expand_policy(name), expand_policy(expanded))
    assert preset_of(name) == preset_of(expanded) == ("local_only" if name == "private" else name)


def test_there_are_no_other_presets() -> None:
    """The table has exactly the published names."""
    assert set(PRESETS) == {row[0] for row in TABLE}


@pytest.mark.parametrize(("first", "second"), list(itertools.product([row[0] for row in TABLE], repeat=2)))
def test_presets_differ_except_private_and_local_only(first: str, second: str) -> None:
    """A switch between `private` and `local_only` is not a change. Any other switch is."""
    same = first == second or {first, second} == {"private", "local_only"}
    assert field_equal("serving_policy", expand_policy(first), expand_policy(second)) is same


@given(policies)
def test_expansion_is_idempotent(given_policy: JsonValue) -> None:
    """Expanding an expanded policy changes nothing, and other values are returned unchanged."""
    once = expand_policy(given_policy)
    assert expand_policy(once) == once


@pytest.mark.parametrize("mode", ["local_only", "cloud_only"])
def test_a_preference_without_auto_is_neither_sent_nor_compared(mode: str) -> None:
    """A server may return a preference that has no effect: that is not a difference."""
    bare = policy(mode, None, cloud=mode == "cloud_only", local=mode == "local_only")
    assert expand_policy({**bare, "routing_preference": "cloud"}) == bare


def test_a_null_preference_is_absent() -> None:
    """A null of a known key is absence. A null of a key that only the control plane knows is kept."""
    bare = policy("auto", "local", cloud=True, local=True)
    answered = {**policy("local_only", None, cloud=False, local=True), "routing_preference": None, "region": None}
    assert expand_policy(answered) == {**policy("local_only", None, cloud=False, local=True), "region": None}
    assert not field_equal("serving_policy", bare, expand_policy({**bare, "routing_preference": None}))


def test_unknown_live_keys_are_carried_over_and_not_a_difference() -> None:
    """Keys of a policy that only the control plane knows, even nested, are never a difference and never lost."""
    desired = policy("auto", "local", cloud=True, local=True)
    old = policy("auto", "cloud", cloud=True, local=False)
    extras = {"region": "eu", "limits": {"rps": 1}, "note": None}
    live = {**old, **extras, "fallback": {"allow_cloud_fallback": True, "allow_local_fallback": False, "after_ms": 50}}
    merged = merge_policy(desired, live)
    fallback = {"allow_cloud_fallback": True, "allow_local_fallback": True, "after_ms": 50}
    assert merged == {**desired, **extras, "fallback": fallback}
    assert field_equal("serving_policy", desired, merged)
    assert not field_equal("serving_policy", desired, live)


def test_the_known_keys_are_one_value() -> None:
    """A known key that the declared policy lacks is not copied from the live one."""
    desired: JsonObject = {"routing_mode": "local_only"}
    live = {**policy("auto", "local", cloud=True, local=True), "fallback": {"allow_cloud_fallback": True, "x": 1}}
    assert merge_policy(desired, live) == desired


@pytest.mark.parametrize("live", [None, "turbo", 3, ["auto"], {"routing_mode": "auto", "fallback": True}])
def test_an_invalid_live_policy_contributes_nothing(live: JsonValue) -> None:
    """A response without a policy, or with an unknown preset, differs, and adds nothing."""
    desired = expand_policy("local_first")
    assert merge_policy(desired, live) == desired
    assert not field_equal("serving_policy", desired, live)


@pytest.mark.parametrize(
    ("mode", "preference", "cloud", "local"),
    list(itertools.product(ROUTING_MODES, (None, "local"), (True, False), (True, False))),
)
def test_exactly_two_policies_contradict_themselves(
    mode: str, preference: str | None, cloud: bool, local: bool
) -> None:
    """The two are `local_only` with cloud fallback and `cloud_only` with local fallback."""
    contradictory = (mode == "local_only" and cloud) or (mode == "cloud_only" and local)
    found = contradiction_in(policy(mode, preference, cloud, local))
    assert (found is not None) is contradictory
    assert found is None or mode in found


@pytest.mark.parametrize("value", [None, "local_only", {"routing_mode": "local_only"}, {"fallback": True}])
def test_a_policy_without_fallbacks_contradicts_nothing(value: JsonValue) -> None:
    """Without a fallback there is no contradiction."""
    assert contradiction_in(value) is None


@pytest.mark.parametrize("name", PRESETS)
def test_no_preset_contradicts_itself(name: str) -> None:
    """Every preset can be declared."""
    assert contradiction_in(expand_policy(name)) is None


def test_a_custom_policy_has_no_name() -> None:
    """A policy that matches no row of the table is custom."""
    assert preset_of(policy("auto", "local", cloud=True, local=False)) is None
    assert preset_of("turbo") is None
