"""Bindings: a complete, unordered list. Declared fields are compared, the others are carried over."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from octosync.contract import bindings_equal, field_equal, merge_bindings
from octosync.contract.resources import contains, pair_bindings
from octosync.model import JsonValue, json_equal

Binding = dict[str, JsonValue]

bindings: st.SearchStrategy[Binding] = st.dictionaries(
    st.sampled_from(["use_case", "model_ref"]), st.sampled_from(["x", "y"]), max_size=2
)
few = st.lists(bindings, max_size=4)
keyed: st.SearchStrategy[list[Binding]] = st.lists(
    st.fixed_dictionaries(
        {"binding_key": st.sampled_from(["a", "b", "c", "d"])}, optional={"use_case": st.sampled_from(["x", "y"])}
    ),
    max_size=4,
    unique_by=lambda binding: binding["binding_key"],
)


def _fits(desired: list[Binding], live: list[Binding]) -> bool:
    """Return whether some pairing gives every declared binding a live one that has all its fields. Tries all pairings."""
    return len(desired) == len(live) and any(
        all(contains(binding, declared) for binding, declared in zip(order, desired, strict=True))
        for order in itertools.permutations(live)
    )


@given(few, few)
def test_lists_are_equal_if_some_pairing_fits(desired: list[Binding], live: list[Binding]) -> None:
    """Two lists are equal if and only if each declared binding has a live one of its own with all its fields."""
    assert bindings_equal(desired, live) is _fits(desired, live)
    assert field_equal("bindings", desired, live) is _fits(desired, live)


@given(few, few, st.randoms(use_true_random=False))
def test_the_order_does_not_matter(desired: list[Binding], live: list[Binding], random: Any) -> None:
    """Shuffling either list does not change the result."""
    before = bindings_equal(desired, live)
    random.shuffle(desired)
    random.shuffle(live)
    assert bindings_equal(desired, live) is before


@given(st.one_of(few, keyed), st.one_of(few, keyed))
def test_a_merged_list_is_as_declared_and_merging_is_idempotent(desired: list[Binding], live: list[Binding]) -> None:
    """The sent list satisfies the declared one, so the next plan is empty. A live list that already does is sent unchanged."""
    merged = merge_bindings(desired, live)
    assert len(merged) == len(desired)
    assert bindings_equal(desired, merged)
    assert merge_bindings(desired, merged) == merged
    if bindings_equal(desired, live):
        assert sorted(merged, key=str) == sorted(live, key=str)


@given(st.one_of(few, keyed), st.one_of(few, keyed))
def test_no_live_binding_is_used_twice(desired: list[Binding], live: list[Binding]) -> None:
    """Every declared binding has at most one partner, and no two have the same one."""
    used = [place for place in pair_bindings(desired, live) if place is not None]
    assert len(used) == len(set(used)) <= len(live)


def test_a_key_identifies_its_binding_even_if_everything_else_changed() -> None:
    """A binding with a key is compared with, and carries over from, the live one with the same key."""
    live: list[Binding] = [
        {"binding_key": "a", "use_case": "old", "weight": 3},
        {"binding_key": "b", "use_case": "new", "weight": 7},
    ]
    desired: list[Binding] = [{"binding_key": "b", "use_case": "new"}, {"binding_key": "a", "use_case": "new"}]
    assert not bindings_equal(desired, live)
    assert merge_bindings(desired, live) == [
        {"binding_key": "a", "use_case": "new", "weight": 3},
        {"binding_key": "b", "use_case": "new", "weight": 7},
    ]


@pytest.mark.parametrize("key", [1, True, "1", 1.5])
def test_keys_are_compared_as_json(key: JsonValue) -> None:
    """A key of another JSON type is another key."""
    others = [value for value in (1, True, "1", 1.5) if not json_equal(value, key)]
    assert pair_bindings([{"binding_key": key}], [{"binding_key": value} for value in others]) == [None]
    assert pair_bindings(
        [{"binding_key": key}], [*({"binding_key": value} for value in others), {"binding_key": key}]
    ) == [3]


@pytest.mark.parametrize(
    ("desired", "live", "same"),
    [
        ([], [], True),
        ([], [{}], False),
        ([{}], [], False),
        ([{"use_case": "x"}], [{"use_case": "x", "id": "b1"}], True),
        ([{"use_case": "x", "id": None}], [{"use_case": "x"}], False),
        ([{"use_case": "x", "id": None}], [{"use_case": "x", "id": None}], True),
        ([{"use_case": "x"}, {"use_case": "x"}], [{"use_case": "x", "id": "b1"}, {"use_case": "x", "id": "b2"}], True),
        ([{"use_case": "x"}, {"use_case": "x"}], [{"use_case": "x", "id": "b1"}], False),
        ([{"use_case": "x"}, {"use_case": "x", "id": "b1"}], [{"use_case": "x", "id": "b1"}, {"use_case": "x"}], True),
        ([{"a": 1}, {"b": 1}], [{"a": 1, "b": 1}, {"a": 1}], True),
        ([{"a": 1}], [{"a": True}], False),
        ([{"a": 1}], [{"a": 1.0}], True),
        (["odd"], ["odd"], True),
        (["odd"], [{"odd": 1}], False),
        ([None], [None], True),
    ],
)
def test_duplicates_partial_and_unusual_bindings(desired: list[JsonValue], live: list[JsonValue], same: bool) -> None:
    """Duplicates count, null is a value, undeclared fields are not compared, and non-objects are compared as a whole."""
    assert bindings_equal(desired, live) is same
    if same:
        assert all(any(json_equal(merged, binding) for binding in live) for merged in merge_bindings(desired, live))


def test_bindings_without_a_key_keep_undeclared_fields_when_a_list_changes() -> None:
    """If a list gets another binding, the undeclared fields of the others are carried over."""
    live: list[Binding] = [{"use_case": "x", "id": "b1"}, {"use_case": "y", "id": "b2"}]
    merged = merge_bindings([{"use_case": "z"}, {"use_case": "y"}, {"use_case": "x"}], live)
    assert sorted(merged, key=str) == sorted([*live, {"use_case": "z"}], key=str)
