"""Changes: what becomes of a value that stands in a manifest."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TypeAlias

from octosync.contract.pairing import pair
from octosync.manifest.edit.editor import is_known_by
from octosync.model import JsonObject, JsonValue

Change: TypeAlias = Callable[[JsonValue], JsonValue]


def accepted_bindings(declared: JsonValue, live: JsonValue) -> list[JsonValue]:
    """Return the bindings to declare: each declared one with its live partner's values, then what is live beside them."""
    old = list(declared) if isinstance(declared, list | tuple) else []
    there = list(live) if isinstance(live, list | tuple) else []
    partners = pair(old, there)
    kept = [_restricted(there[place], one) for one, place in zip(old, partners, strict=True) if place is not None]
    return [*kept, *(one for place, one in enumerate(there) if place not in partners)]


def _restricted(live: JsonValue, declared: JsonValue) -> JsonValue:
    if isinstance(live, Mapping) and isinstance(declared, Mapping):
        return {key: live[key] for key in declared if key in live}
    return live


def with_fields(values: JsonObject, *, without: Iterable[str] = ()) -> Change:
    """Give an object these fields, and take others out."""
    gone = set(without)

    def change(old: JsonValue) -> JsonValue:
        fields = old if isinstance(old, dict) else {}
        return {name: value for name, value in {**fields, **values}.items() if name not in gone}

    return change


def with_item(value: JsonValue) -> Change:
    """Add an item to a list."""
    return lambda old: [*(old if isinstance(old, list) else []), value]


def without_item(known_by: JsonObject) -> Change:
    """Take the item out of a list that has these fields."""

    def change(old: JsonValue) -> JsonValue:
        items = old if isinstance(old, list) else []
        return [one for one in items if not is_known_by(one, known_by)]

    return change
