"""Normalisation, and the values that it makes equal."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.json_values import json_objects, json_values

from octosync.contract import APP, PRESETS, SLOT, TARGET, field_equal, normalise_app_fields, normalise_slot_fields
from octosync.model import JsonValue, canonical_json

slot_fields = st.fixed_dictionaries(
    {},
    optional={
        "serving_policy": st.one_of(st.sampled_from(sorted(PRESETS)), json_values()),
        "bindings": st.one_of(st.none(), st.lists(json_objects(), max_size=4), json_values()),
        "preferred_engines": st.one_of(st.none(), st.lists(st.sampled_from(["mlx", "coreml"]))),
        "public_client_allowed": st.one_of(st.none(), st.booleans()),
        "model_variant_id": st.one_of(st.none(), st.just("var_1")),
        "colour": json_values(),
    },
)


@given(slot_fields)
def test_normalising_is_idempotent(fields: dict[str, JsonValue]) -> None:
    """A normalised value is not changed by normalising it again."""
    once = normalise_slot_fields(fields)
    assert canonical_json(normalise_slot_fields(once)) == canonical_json(once)
    app = normalise_app_fields(fields)
    assert normalise_app_fields(app) == app


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_name_and_its_object_are_equal(name: str) -> None:
    """Desired and live policies are equal in both forms, the name and the object."""
    assert normalise_slot_fields({"serving_policy": name}) == normalise_slot_fields({"serving_policy": PRESETS[name]})


@pytest.mark.parametrize("field", SLOT.writable)
def test_a_modelled_null_is_an_absent_slot_field(field: str) -> None:
    """For the fields that the contract knows, null and absence are the same."""
    assert normalise_slot_fields({field: None}) == {}


@pytest.mark.parametrize("field", APP.writable)
def test_a_modelled_null_is_an_absent_app_field(field: str) -> None:
    """An app without a description may return null or omit the field."""
    assert normalise_app_fields({field: None, "name": "n"} if field != "name" else {field: None}) == (
        {"name": "n"} if field != "name" else {}
    )


@pytest.mark.parametrize("fields", [{"colour": None}, {"bindings": [{"use_case": None}]}, {"colour": {"a": None}}])
def test_any_other_null_is_a_value(fields: dict[str, Any]) -> None:
    """In a field that the contract does not know, and inside a binding, a null is kept."""
    assert normalise_slot_fields(fields) == fields


@given(st.lists(json_objects(), max_size=5), st.randoms(use_true_random=False))
def test_the_order_of_bindings_is_normalised(bindings: list[JsonValue], random: Any) -> None:
    """Bindings have no order, so every order gives the same bytes. None is lost."""
    shuffled = list(bindings)
    random.shuffle(shuffled)
    first, second = (normalise_slot_fields({"bindings": given_})["bindings"] for given_ in (bindings, shuffled))
    assert canonical_json(first) == canonical_json(second)
    assert isinstance(first, list)
    assert sorted(map(canonical_json, first)) == sorted(map(canonical_json, bindings))


def test_the_order_of_engines_is_kept() -> None:
    """Preferred engines are a ranking."""
    assert normalise_slot_fields({"preferred_engines": ["mlx", "coreml"]})["preferred_engines"] == ["mlx", "coreml"]
    assert not field_equal("preferred_engines", ["mlx", "coreml"], ["coreml", "mlx"])


@pytest.mark.parametrize("name", ["serving_policy", "bindings", "preferred_engines", "model_variant_id"])
@pytest.mark.parametrize(
    ("desired", "live", "same"), [("x", "x", True), ("x", "y", False), (1, True, False), (1, 1.0, True)]
)
def test_unexpected_values_are_compared_as_json(name: str, desired: JsonValue, live: JsonValue, same: bool) -> None:
    """A field with an unexpected value is still compared, by JSON equality."""
    assert field_equal(name, desired, live) is same


@pytest.mark.parametrize("shape", [APP, TARGET, SLOT], ids=lambda shape: shape.name)
def test_no_field_is_both_writable_and_read_only(shape: Any) -> None:
    """Writable and read-only fields are disjoint, and every default belongs to a writable field."""
    assert not set(shape.writable) & shape.read_only
    assert set(shape.defaults) <= set(shape.writable)
    assert {"id", "org_id", "created_at", "updated_at"} <= shape.read_only
