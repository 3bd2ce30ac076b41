"""The reader of simple files: plain values in one pass over libyaml's events, several times faster than the strict loader.

A file is simple if the strict loader finds nothing in it, and if it has no tags, anchors, aliases and sensitive keys.
Any doubt makes a file not simple: then the strict loader reads it. So this reader reports nothing. It records the few
origins of the state; nodes with all positions are read by the strict loader, should a later finding need one.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final, TypeAlias, cast

import yaml
from yaml import (
    DocumentStartEvent,
    MappingEndEvent,
    MappingStartEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
    StreamEndEvent,
)

from octosync.manifest.load.limits import check_deadline
from octosync.manifest.schema.rules import Findings
from octosync.manifest.yaml.loader import MOST_BYTES, MOST_LEVELS, MOST_NODES, MOST_NODES_OF_A_FILE, parse
from octosync.manifest.yaml.nodes import Mapping as MappingNode
from octosync.manifest.yaml.nodes import Mark, Node
from octosync.manifest.yaml.scalars import NotJson, resolve
from octosync.manifest.yaml.source import NOT_PRINTABLE, NotText, Source, decode
from octosync.model import Origin, Sensitivity

# By the identity of an object's values: its origin (None), and those of its keys. Only what the state needs is recorded.
Origins: TypeAlias = Mapping[tuple[int, str | None], Origin]

# The keys that have an origin, and those whose objects have one.
_ORIGIN_OF_KEY: Final = frozenset({"targets", "slots", "inferenceConfig", "config"})
_ORIGIN_OF_OBJECT: Final = frozenset({"spec", "targets", "slots", "deploy"})
# Less text can't exceed the strict loader's limits on nodes: an app takes one for five to ten characters.
_MOST_CHARACTERS_OF_A_DOCUMENT: Final = MOST_NODES // 2
# Each of these is followed by two nodes at most.
_SEPARATORS: Final = "\n,:-?[{"
# How many keys and values of plain scalars are kept: manifests repeat some hundreds.
_MOST_KEPT: Final = 10_000
_PRINTABLE_ASCII: Final = bytes((0x09, 0x0A, 0x0D, *range(0x20, 0x7F)))
# Anchors, aliases and tags are at the start of a node.
_PROPERTY: Final = re.compile(r"(?<![^\s\[{,:?-])(?:!|[&*]\S)")


@dataclass(frozen=True)
class SimpleFile:
    """A simple file: its source, the values of its non-empty documents, and their origins."""

    source: Source
    data: bytes
    documents: list[dict[str, Any]]
    origins: Origins

    @cached_property
    def has_templates(self) -> bool:
        """Whether a value may contain `${`: written as it is, or with an escape."""
        return "${" in self.source.text or "\\" in self.source.text

    def root(self, index: int) -> MappingNode:
        """Return the node of a document."""
        return cast("MappingNode", self._roots[index])

    @cached_property
    def _roots(self) -> list[Node]:
        source = self.source
        _, documents = parse(source.name, self.data, source.sensitivity, Findings(), base=source.base)
        return [document.root for document in documents]


# A text that contains `${`: its list or object, and its index or key.
PlainTemplate: TypeAlias = tuple[Any, str | int]


def templates_in(value: Any) -> Iterator[PlainTemplate]:  # noqa: ANN401 - JSON
    """Yield the texts that contain `${` at any depth, without keys."""
    for key, item in value.items() if type(value) is dict else enumerate(value):
        if type(item) is str:
            if "${" in item:
                yield value, key
        elif type(item) is dict or type(item) is list:
            yield from templates_in(item)


class SimpleReader:
    """Reads simple files. Equal keys and plain values of all of them are one object."""

    def __init__(self, sensitivity: Sensitivity) -> None:
        self._sensitivity = sensitivity
        self._keys = _Keys(sensitivity)
        self._plain_values = _PlainValues()

    def read(self, name: str, data: bytes, base: str = "") -> SimpleFile | None:
        """Return a simple file; None if it isn't simple."""
        text = _text(data)
        if text is None or _has_surrogates(text) or _has_properties(text) or _has_many_nodes(text):
            return None
        source = Source(name, text, self._sensitivity, base)
        reader = _DocumentReader(source, self._keys, self._plain_values)
        try:
            documents = reader.read()
        except (_NotSimple, NotJson, yaml.YAMLError):
            return None
        return SimpleFile(source, data, documents, reader.origins)


def _text(data: bytes) -> str | None:
    if len(data) > MOST_BYTES:
        return None
    try:
        text = decode(data)
    except NotText:
        return None
    # The search takes ten times as long as the translation.
    is_printable = not data.translate(None, _PRINTABLE_ASCII) if text.isascii() else not NOT_PRINTABLE.search(text)
    return text if is_printable else None


def _has_surrogates(text: str) -> bool:
    return "\\u" in text and ("\\ud" in text or "\\uD" in text)


def _has_properties(text: str) -> bool:
    """Return whether the text may have an anchor, alias or tag. Most texts have none of their characters."""
    return any(character in text for character in "&*!") and _PROPERTY.search(text) is not None


def _has_many_nodes(text: str) -> bool:
    """Return whether the text may have more nodes than the strict loader allows."""
    return len(text) > MOST_NODES_OF_A_FILE // 2 and 2 * sum(map(text.count, _SEPARATORS)) > MOST_NODES_OF_A_FILE


class _NotSimple(Exception):
    """The file is not simple."""


class _Keys(dict[str, str]):
    """The simple keys, quoted or not. A lookup of any other key raises `_NotSimple`."""

    def __init__(self, sensitivity: Sensitivity) -> None:
        super().__init__()
        self._sensitivity = sensitivity

    def __missing__(self, key: str) -> str:
        if ":" in key or self._sensitivity.covers(key) or NOT_PRINTABLE.search(key) is not None:
            raise _NotSimple
        if key == "<<" or type(resolve(key)) is not str:
            raise _NotSimple
        if len(self) < _MOST_KEPT:
            self[key] = key
        return key


class _PlainValues(dict[str, bool | int | float | str | None]):
    """The values of plain scalars, by their texts. A lookup raises `NotJson` as `resolve` does."""

    def __missing__(self, text: str) -> bool | int | float | str | None:
        value = resolve(text)
        if len(self) < _MOST_KEPT:
            self[text] = value
        return value


class _DocumentReader:
    """Reads the documents of one file. The limits are the strict loader's, or narrower."""

    def __init__(self, source: Source, keys: _Keys, plain_values: _PlainValues) -> None:
        self.origins: dict[tuple[int, str | None], Origin] = {}
        self._source = source
        self._parser = yaml.CSafeLoader(source.text)
        self._next: Callable[[], Any] = self._parser.get_event
        self._keys = keys
        self._plain_values = plain_values
        self._has_escapes = "\\" in source.text
        self._end = 0  # the last position at which a list or object of the document may start

    def read(self) -> list[dict[str, Any]]:
        """Return the values of the documents. Raises `_NotSimple`, `NotJson` and `YAMLError`."""
        documents = []
        try:
            self._next()
            while type(event := self._next()) is DocumentStartEvent:
                check_deadline()
                self._end = cast("Mark", event.end_mark).index + _MOST_CHARACTERS_OF_A_DOCUMENT
                root = self._value(self._next(), 0, True)
                end = self._next()
                if root is None:
                    continue
                if type(root) is not dict or end.end_mark.index > self._end:
                    raise _NotSimple
                documents.append(root)
        finally:
            self._parser.dispose()
        if type(event) is not StreamEndEvent:
            raise _NotSimple
        return documents

    def _value(self, event: Any, level: int, has_origin: bool) -> Any:  # noqa: ANN401 - libyaml's events, and JSON
        kind = type(event)
        if kind is ScalarEvent:
            if not event.style:
                return self._plain_values[event.value]
            if event.style == '"' and self._has_escapes and NOT_PRINTABLE.search(event.value) is not None:
                raise _NotSimple
            return event.value
        if level == MOST_LEVELS or event.start_mark.index > self._end:
            raise _NotSimple
        if kind is MappingStartEvent:
            values = self._object(level + 1)
            if has_origin:
                self.origins[id(values), None] = self._origin(event.start_mark)
            return values
        if kind is SequenceStartEvent:
            items = []
            while type(event := self._next()) is not SequenceEndEvent:
                items.append(self._value(event, level + 1, has_origin))
            return items
        raise _NotSimple

    def _object(self, level: int) -> dict[str, Any]:
        # This is the hot loop: local names, and no call for a plain scalar.
        read, keys, plain_values, scalar = self._next, self._keys, self._plain_values, cast("Any", ScalarEvent)
        values: dict[str, Any] = {}
        while type(event := read()) is scalar:
            key = keys[event.value]
            if key in values:
                raise _NotSimple
            if key in _ORIGIN_OF_KEY:
                self.origins[id(values), key] = self._origin(event.start_mark)
            event = read()
            if type(event) is scalar and not event.style:
                values[key] = plain_values[event.value]
            else:
                values[key] = self._value(event, level, key in _ORIGIN_OF_OBJECT)
        if type(event) is not MappingEndEvent:
            raise _NotSimple
        return values

    def _origin(self, mark: Mark) -> Origin:
        return Origin(self._source.name, mark.line + 1, mark.column + 1, self._source.base)
