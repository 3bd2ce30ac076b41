"""The reader of simple files: plain values in one pass over libyaml's events, several times faster than the strict loader.

A file is simple if the strict loader finds nothing in it, and if it has no tags, anchors, aliases, variables and sensitive keys.
Any doubt makes a file not simple: then the strict loader reads it. So this reader reports nothing. It records the few positions
that become origins; nodes with all positions are read by the strict loader, should a later finding need one.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
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
from octosync.manifest.yaml.loader import MOST_LEVELS, parse
from octosync.manifest.yaml.nodes import Mapping as MappingNode
from octosync.manifest.yaml.nodes import Mark
from octosync.manifest.yaml.scalars import NotJson, resolve
from octosync.manifest.yaml.source import NOT_PRINTABLE, NotText, Source, decode
from octosync.model import Sensitivity

# By the identity of an object's values: its start (None), and the starts of those of its keys that are `_MARKED_KEYS`.
Marks: TypeAlias = Mapping[tuple[int, str | None], Mark]

_MARKED_KEYS: Final = frozenset({"targets", "slots", "inferenceConfig", "config"})
# A node takes a character, or two of three: the limits on nodes can't be exceeded by less text.
_MOST_CHARACTERS: Final = 2_500_000
_MOST_CHARACTERS_OF_A_DOCUMENT: Final = 60_000
# The first characters of plain scalars that may be no text.
_NO_TEXT: Final = frozenset("0123456789+-.~nNtTfF")
_PRINTABLE_ASCII: Final = bytes((0x09, 0x0A, 0x0D, *range(0x20, 0x7F)))
# Anchors, aliases and tags are at the start of a node.
_PROPERTY: Final = re.compile(r"(?<![^\s\[{,:?-])(?:!|[&*]\S)")


@dataclass(frozen=True, slots=True)
class SimpleDocument:
    """A document: its values, and its position among the file's documents."""

    values: dict[str, Any]
    index: int


@dataclass(frozen=True)
class SimpleFile:
    """A simple file: its source, its non-empty documents and the positions that were recorded."""

    source: Source
    data: bytes
    documents: list[SimpleDocument]
    marks: Marks

    def root(self, index: int) -> MappingNode:
        """Return the node of a document."""
        return cast("MappingNode", self._roots[index])

    @cached_property
    def _roots(self) -> list[object]:
        source = self.source
        _, documents = parse(source.name, self.data, source.sensitivity, Findings(), base=source.base)
        return [document.root for document in documents]


def read_simple(name: str, data: bytes, sensitivity: Sensitivity, base: str = "") -> SimpleFile | None:
    """Return a simple file; None if it isn't simple."""
    text = _text(data)
    if text is None or "${" in text or _has_surrogates(text) or _has_properties(text):
        return None
    reader = _Reader(text, sensitivity)
    try:
        documents = reader.read()
    except (_NotSimple, NotJson, yaml.YAMLError):
        return None
    return SimpleFile(Source(name, text, sensitivity, base), data, documents, reader.marks)


def _text(data: bytes) -> str | None:
    if len(data) > _MOST_CHARACTERS:
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


class _NotSimple(Exception):
    """The file is not simple."""


class _Keys(dict[str, str]):
    """The simple keys, each as one string however often it occurs. A lookup of another key raises `_NotSimple`."""

    def __init__(self, sensitivity: Sensitivity, *, plain: bool) -> None:
        super().__init__()
        self._sensitivity = sensitivity
        self._is_plain = plain

    def __missing__(self, key: str) -> str:
        if ":" in key or self._sensitivity.covers(key) or NOT_PRINTABLE.search(key) is not None:
            raise _NotSimple
        if self._is_plain and (key == "<<" or type(resolve(key)) is not str):
            raise _NotSimple
        self[key] = key
        return key


class _Reader:
    """Reads the documents of one file. The limits are the strict loader's, or narrower."""

    def __init__(self, text: str, sensitivity: Sensitivity) -> None:
        self.marks: dict[tuple[int, str | None], Mark] = {}
        self._parser = yaml.CSafeLoader(text)
        self._next: Callable[[], Any] = self._parser.get_event
        self._plain_keys = _Keys(sensitivity, plain=True)
        self._quoted_keys = _Keys(sensitivity, plain=False)
        self._has_escapes = "\\" in text
        self._end = 0  # the last position at which a list or object of the document may start

    def read(self) -> list[SimpleDocument]:
        """Return the documents. Raises `_NotSimple`, `NotJson` and `YAMLError`."""
        documents: list[SimpleDocument] = []
        try:
            self._next()
            while type(event := self._next()) is DocumentStartEvent:
                check_deadline()
                self._end = cast("Mark", event.end_mark).index + _MOST_CHARACTERS_OF_A_DOCUMENT
                root = self._value(self._next(), 0)
                end = self._next()
                if root is None:
                    continue
                if type(root) is not dict or end.end_mark.index > self._end:
                    raise _NotSimple
                documents.append(SimpleDocument(root, len(documents)))
        finally:
            self._parser.dispose()
        if type(event) is not StreamEndEvent:
            raise _NotSimple
        return documents

    def _value(self, event: Any, level: int) -> Any:  # noqa: ANN401 - libyaml's events, and JSON
        kind = type(event)
        if kind is ScalarEvent:
            return self._scalar(event)
        if level == MOST_LEVELS or event.start_mark.index > self._end:
            raise _NotSimple
        if kind is MappingStartEvent:
            return self._object(event.start_mark, level + 1)
        if kind is SequenceStartEvent:
            items = []
            while type(event := self._next()) is not SequenceEndEvent:
                items.append(self._value(event, level + 1))
            return items
        raise _NotSimple

    def _object(self, start: Mark, level: int) -> dict[str, Any]:
        read: Callable[[], Any] = self._next
        scalar: Any = ScalarEvent
        keys, quoted_keys, marks = self._plain_keys, self._quoted_keys, self.marks
        values: dict[str, Any] = {}
        marks[id(values), None] = start
        while type(event := read()) is scalar:
            key = (quoted_keys if event.style else keys)[event.value]
            if key in values:
                raise _NotSimple
            if key in _MARKED_KEYS:
                marks[id(values), key] = event.start_mark
            event = read()
            # Most values are plain text: this spares them two calls.
            if type(event) is scalar and not event.style and (text := event.value) and text[0] not in _NO_TEXT:
                values[key] = text
            else:
                values[key] = self._value(event, level)
        if type(event) is not MappingEndEvent:
            raise _NotSimple
        return values

    def _scalar(self, event: Any) -> bool | int | float | str | None:  # noqa: ANN401 - an event
        text: str = event.value
        if not event.style:
            return resolve(text)
        if event.style == '"' and self._has_escapes and NOT_PRINTABLE.search(text) is not None:
            raise _NotSimple
        return text
