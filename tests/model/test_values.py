"""JSON values: one definition of equality, and one canonical text for equal values."""

from __future__ import annotations

import copy
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.json_values import json_objects, json_values

from octosync.model import JsonValue, canonical_json, digest_of, json_equal


@given(json_values(), json_values())
def test_equality_and_canonical_text_agree(left: JsonValue, right: JsonValue) -> None:
    """Two values are equal exactly if their canonical texts are: plan, approval and freshness can't disagree."""
    assert json_equal(left, right) is (canonical_json(left) == canonical_json(right))
    assert json_equal(left, right) is json_equal(right, left)


@given(json_values())
def test_a_value_equals_itself_and_what_its_text_says(value: JsonValue) -> None:
    """The canonical text of a value is JSON, loses nothing, and is its own canonical text."""
    read: JsonValue = json.loads(canonical_json(value))
    assert json_equal(value, copy.deepcopy(value))
    assert json_equal(value, read)
    assert canonical_json(read) == canonical_json(value)
    assert digest_of(read) == digest_of(value)


@given(json_objects(), st.randoms(use_true_random=False))
def test_key_order_means_nothing(value: dict[str, JsonValue], random: object) -> None:
    """The order of keys changes neither text nor digest."""
    keys = list(value)
    random.shuffle(keys)  # type: ignore[attr-defined]  # hypothesis' Random has no public type
    shuffled = {key: value[key] for key in keys}
    assert canonical_json(shuffled) == canonical_json(value)
    assert digest_of(shuffled) == digest_of(value)


@pytest.mark.parametrize(
    ("left", "right", "same"),
    [
        (1, 1.0, True),
        (0, -0.0, True),
        (2**53, float(2**53), True),
        (2**53 + 1, float(2**53), False),
        (10**400, 10**400, True),
        (10**400, 1e300, False),
        (int(1e300), 1e300, True),
        (1, 1.5, False),
        (True, 1, False),
        (False, 0, False),
        (True, True, True),
        (None, False, False),
        ("1", 1, False),
        ("null", None, False),
        ([1, 2], (1, 2.0), True),
        ([1, 2], [2, 1], False),
        ([1], [1, 1], False),
        ([True], [1], False),
        ([], {}, False),
        ({"a": None}, {}, False),
        ({"a": 1}, {"a": True}, False),
        ({"a": {"b": [1.0]}}, {"a": {"b": [1]}}, True),
    ],
)
def test_numbers_are_equal_by_value_and_nothing_else_is_converted(
    left: JsonValue, right: JsonValue, same: bool
) -> None:
    """A server may return 1.0 for 1; a boolean, a text or a null never equals a number."""
    assert json_equal(left, right) is same
    assert (canonical_json(left) == canonical_json(right)) is same


@pytest.mark.parametrize("value", [float("nan"), float("inf"), [float("-inf")]])
def test_what_json_cannot_say_has_no_text(value: JsonValue) -> None:
    """Infinities and NaN are not JSON, and are never written as if they were."""
    with pytest.raises(ValueError, match="JSON compliant"):
        canonical_json(value)


def test_a_digest_says_its_algorithm() -> None:
    """Digests name their algorithm, and accept the lone surrogates that JSON can contain in escaped form."""
    assert digest_of({}).startswith("sha256:")
    assert digest_of({"a": "\ud800"}) != digest_of({"a": "\ud801"})
