"""Field changes: the differences between two objects, field by field."""

from __future__ import annotations

from typing import Any

import pytest
from deepdiff import DeepDiff
from hypothesis import given
from tests.support.json_values import json_objects

from octosync.model import JsonValue, canonical_json, json_equal
from octosync.plan import ABSENT, Absent, field_changes

Paths = list[tuple[tuple[str, ...], Any, Any]]


@pytest.mark.parametrize(
    ("before", "after", "changes"),
    [
        ({}, {}, []),
        (None, None, []),
        ({"a": 1}, {"a": 1.0}, []),
        ({"a": [1, {"b": 2.0}]}, {"a": (1.0, {"b": 2})}, []),
        ({"a": 1}, {"a": True}, [(("a",), 1, True)]),
        ({"a": "1"}, {"a": 1}, [(("a",), "1", 1)]),
        ({"a": None}, {}, [(("a",), None, ABSENT)]),
        ({}, {"a": None}, [(("a",), ABSENT, None)]),
        (None, {"a": {"b": 1}}, [(("a",), ABSENT, {"b": 1})]),
        ({"a": {"b": 1, "c": 2}}, {"a": {"b": 1, "c": 3}}, [(("a", "c"), 2, 3)]),
        ({"a": {"b": 1}}, {"a": 1}, [(("a",), {"b": 1}, 1)]),
        ({"a": {"b": 1}}, {"a": {}}, [(("a", "b"), 1, ABSENT)]),
        ({"a": {}}, {"a": []}, [(("a",), {}, [])]),
        ({"a": [1, 2]}, {"a": [2, 1]}, [(("a",), [1, 2], [2, 1])]),
        ({"a": [{"b": 1}]}, {"a": [{"b": 2}]}, [(("a",), [{"b": 1}], [{"b": 2}])]),
        ({"a": "[1]"}, {"a": [1]}, [(("a",), "[1]", [1])]),
        ({"a": "x\ny"}, {"a": "x\nz"}, [(("a",), "x\ny", "x\nz")]),
        ({"__a": 1, "_b": {"__c": 1}}, {"__a": 2, "_b": {"__c": 2}}, [(("__a",), 1, 2), (("_b", "__c"), 1, 2)]),
        ({"a.b": 1, "a['b']": 1}, {"a.b": 2, "a['b']": 2}, [(("a.b",), 1, 2), (("a['b']",), 1, 2)]),
        ({"b": 1, "a": 1}, {"a": 2, "b": 2}, [(("a",), 1, 2), (("b",), 1, 2)]),
    ],
)
def test_a_change_is_a_path_and_two_values(before: Any, after: Any, changes: Paths) -> None:
    """A list is one value, absence is not null, equality is that of JSON, and changes are sorted by path."""
    assert [(change.path, change.before, change.after) for change in field_changes(before, after)] == changes


@given(json_objects(), json_objects())
def test_applying_the_changes_gives_the_second_object(
    before: dict[str, JsonValue], after: dict[str, JsonValue]
) -> None:
    """Every difference is listed, and nothing else is."""
    changes = field_changes(before, after)
    patched: Any = before
    for change in changes:
        patched = _with(patched, change.path, change.after)
        assert change.before is ABSENT or change.after is ABSENT or not json_equal(change.before, change.after)
    assert json_equal(patched, after)
    paths = [change.path for change in changes]
    assert paths == sorted(set(paths))
    assert not any(longer[: len(path)] == path for path in paths for longer in paths if longer != path)


@given(json_objects(), json_objects())
def test_the_changes_back_are_the_same_with_values_exchanged(
    before: dict[str, JsonValue], after: dict[str, JsonValue]
) -> None:
    """Undoing a change shows the same fields with their values exchanged."""
    forwards = [(change.path, change.before, change.after) for change in field_changes(before, after)]
    backwards = [(change.path, change.after, change.before) for change in field_changes(after, before)]
    assert forwards == backwards


def _with(value: Any, path: tuple[str, ...], new: JsonValue | Absent) -> Any:
    head, *rest = path
    others = {key: item for key, item in value.items() if key != head}
    if rest:
        return {**others, head: _with(value[head], tuple(rest), new)}
    return others if new is ABSENT else {**others, head: new}


@given(json_objects(), json_objects())
def test_the_changed_fields_are_those_that_deepdiff_finds(
    before: dict[str, JsonValue], after: dict[str, JsonValue]
) -> None:
    """DeepDiff finds the same paths in two objects whose other values are their canonical texts."""
    tree = DeepDiff(
        _texts(before), _texts(after), view="tree", threshold_to_diff_deeper=0, ignore_private_variables=False
    )
    paths = {tuple(map(str, level.path(output_format="list"))) for group in tree.values() for level in group}
    assert [change.path for change in field_changes(before, after)] == sorted(paths)


def _texts(value: JsonValue) -> Any:
    return {key: _texts(item) for key, item in value.items()} if isinstance(value, dict) else canonical_json(value)
