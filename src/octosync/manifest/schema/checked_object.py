"""A checked object: the values that are sound, and where each is written."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from collections.abc import Mapping as AnyMapping
from functools import partial
from typing import Any, Final, TypeAlias, Union, cast

from octosync.manifest.schema.shapes import ObjectModel, Shape, attributes_of
from octosync.manifest.yaml.nodes import Mapping, Node, Scalar, Sequence, UnreadText, join
from octosync.model import JsonObject

# Replaces a value that is wrong. It was reported, and no method returns it.
WRONG: Final = UnreadText()

# The node of an object, and its path in the document.
Location: TypeAlias = tuple[Mapping, str]


class CheckedObject:
    """A checked object: its values by key.

    A value that is wrong or unreadable is an `UnreadText`, and no method returns it. Node and path are located when they are
    needed: without a finding, nobody asks for most of them.
    """

    __slots__ = ("_locate", "_location", "values")

    def __init__(self, values: dict[str, Any], locate: Callable[[], Location]) -> None:
        self.values = values
        self._locate = locate
        self._location: Location | None = None

    @property
    def node(self) -> Mapping:
        """The node of the object."""
        return self._located[0]

    @property
    def path(self) -> str:
        """The path of the object in the document."""
        return self._located[1]

    @property
    def _located(self) -> Location:
        if self._location is None:
            self._location = self._locate()
        return self._location

    def __contains__(self, key: str) -> bool:
        return key in self.values and not isinstance(self.values[key], UnreadText)

    def text(self, key: str) -> str | None:
        """Return a text, None if it is absent or wrong."""
        value = self.values.get(key)
        return value if isinstance(value, str) and not isinstance(value, UnreadText) else None

    def flag(self, key: str) -> bool | None:
        """Return a truth value, None if it is absent or wrong."""
        value = self.values.get(key)
        return value if isinstance(value, bool) else None

    def number(self, key: str) -> float | None:
        """Return a number, None if it is absent or wrong."""
        value = self.values.get(key)
        return value if isinstance(value, int | float) and not isinstance(value, bool) else None

    def texts(self, key: str) -> tuple[str, ...]:
        """Return a list of texts, empty if it is absent."""
        value = self.values.get(key)
        return tuple(filter(_is_text, value)) if isinstance(value, list) else ()

    def text_map(self, key: str) -> dict[str, str]:
        """Return an object of texts, empty if it is absent."""
        return {name: value for name, value in self._items(key) if _is_text(value)}

    def json(self, key: str) -> JsonObject | None:
        """Return an opaque object, None if it is absent, wrong or null."""
        value = self.values.get(key)
        return value if isinstance(value, dict) else None

    def record(self, key: str) -> CheckedObject | None:
        """Return an object, None if it is absent or wrong."""
        value = self.values.get(key)
        return CheckedObject(value, partial(self._locate_below, key)) if isinstance(value, dict) else None

    def records(self, key: str) -> list[CheckedObject]:
        """Return a list of objects, empty if it is absent."""
        values = self.values.get(key)
        return [
            CheckedObject(value, partial(self._locate_below, key, index))
            for index, value in enumerate(values if isinstance(values, list) else ())
            if isinstance(value, dict)
        ]

    def record_map(self, key: str) -> dict[str, CheckedObject]:
        """Return an object of objects, empty if it is absent."""
        return {
            name: CheckedObject(value, partial(self._locate_below, key, name))
            for name, value in self._items(key)
            if isinstance(value, dict)
        }

    def _locate_below(self, *steps: str | int) -> Location:
        node, path = self._located
        below: Node = node
        for step in steps:
            below = (
                below.items[int(step)] if isinstance(below, Sequence) else cast("Mapping", below).entries[str(step)][1]
            )
            path = join(path, step)
        return cast("Mapping", below), path

    def attributes(self, model: type[ObjectModel]) -> dict[str, Any]:
        """Return the sound values by the names of the model's attributes, at any depth; lists as tuples."""
        return _attributes(self.values, model)

    def _items(self, key: str) -> Iterable[tuple[str, Any]]:
        value = self.values.get(key)
        return value.items() if isinstance(value, dict) else ()

    def value_node(self, key: str) -> Node:
        """Return the node of a value, the object's own if it is absent."""
        found = self.node.get(key)
        return self.node if found is None else found

    def key_node(self, key: str) -> Scalar | Mapping:
        """Return the node of a key, the object's own if it is absent."""
        entry = self.node.entries.get(key)
        return entry[0] if entry else self.node

    def items(self, key: str) -> Iterator[tuple[int, object]]:
        """Yield index and value of each sound item of a list."""
        values = self.values.get(key)
        for index, value in enumerate(values if isinstance(values, list) else ()):
            if not isinstance(value, UnreadText):
                yield index, value

    def item_node(self, key: str, index: int) -> Node:
        """Return the node of an item of a list."""
        return cast("Sequence", self.node.get(key)).items[index]

    def path_to(self, key: str, index: int | None = None) -> str:
        """Return the path of a value in this object, or of an item of a list."""
        path = join(self.path, key)
        return path if index is None else join(path, index)


def _is_text(value: object) -> bool:
    return isinstance(value, str) and not isinstance(value, UnreadText)


def _attributes(values: AnyMapping[str, Any], model: type[ObjectModel]) -> dict[str, Any]:
    return {
        name: value if shape.is_plain and shape.type is not int else _sound(value, shape)
        for name, key, shape in attributes_of(model)
        if key in values and not isinstance(value := values[key], UnreadText)
    }


def _sound(value: Any, shape: Shape) -> Any:  # noqa: ANN401 - JSON
    if shape.is_plain:
        return int(value) if shape.type is int else value
    if shape.type is Union:
        return _sound(value, shape.parts[1]) if isinstance(value, dict) else value
    if shape.is_model:
        return _attributes(value, shape.type)
    part = shape.parts[0]
    if shape.type is list:
        items = [item for item in value if not isinstance(item, UnreadText)]
        return tuple(items if part.is_plain else [_sound(item, part) for item in items])
    return {key: _sound(found, part) for key, found in value.items() if not isinstance(found, UnreadText)}
