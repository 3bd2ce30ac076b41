"""What differs between two objects, as people and machines read it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from octosync.model import SENSITIVE, JsonObject, JsonValue, Sensitivity, canonical_json
from octosync.plan.actions import ABSENT, Absent, FieldChange


def field_changes(before: JsonObject | None, after: JsonObject | None) -> tuple[FieldChange, ...]:
    """List the fields that differ, sorted by path. A list is one value: an element alone would name a place, not a thing.

    Equality is JSON's (see `json_equal`), so all but objects are compared by their canonical text.
    """
    # Imported only here: it takes longer than the rest of the package, and most runs change nothing.
    from deepdiff import DeepDiff

    old, new = _comparable(before or {}), _comparable(after or {})
    # A key with two leading underscores is a key like any other here.
    tree = DeepDiff(old, new, view="tree", threshold_to_diff_deeper=0, ignore_private_variables=False)
    paths = {tuple(map(str, found.path(output_format="list"))) for group in tree.values() for found in group}
    return tuple(
        FieldChange(path, _value_at(before or {}, path), _value_at(after or {}, path)) for path in sorted(paths)
    )


def shown_changes(changes: Iterable[FieldChange], sensitivity: Sensitivity) -> tuple[FieldChange, ...]:
    """Return changes for output: a single one for everything under a sensitive key, whose inner names are secret too.

    Only the values of such a combined change are redacted here.
    """
    shown: dict[tuple[str, ...], FieldChange] = {}
    for change in changes:
        path = sensitivity.cut(change.path)
        if path == change.path:
            shown[path] = change
        else:
            shown[path] = FieldChange(path, SENSITIVE, SENSITIVE)
    return tuple(shown.values())


def _comparable(value: JsonValue) -> dict[str, object] | str:
    if isinstance(value, Mapping):
        return {key: _comparable(item) for key, item in value.items()}
    return canonical_json(value)


def _value_at(value: JsonValue, path: tuple[str, ...]) -> JsonValue | Absent:
    for key in path:
        if not isinstance(value, Mapping) or key not in value:
            return ABSENT
        value = value[key]
    return value
