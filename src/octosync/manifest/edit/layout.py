"""Layout: where in its text each value of a document stands, so that one can be replaced and all else left as it is.

The values are those of the strict loader, variables replaced; the places are libyaml's, put right where its own end of a
block is the beginning of whatever comes next. Places count characters from 0, and an end is the first one behind.

Lines of a text: where they begin and end, and which comments around an entry are its own.

Splices: what goes where into a text. They are made from one reading of it, and applied at once.

What an edit that can't be made without touching anything else says of itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import TypeAlias, cast

import yaml

from octosync.manifest.load.variables import Variables, variables_in
from octosync.manifest.schema.rules import Findings, Reporter
from octosync.manifest.yaml.loader import parse
from octosync.manifest.yaml.nodes import Mapping, Node, Scalar, Sequence, YamlDocument, YamlEvent
from octosync.manifest.yaml.scalars import SurrogatePairs
from octosync.model import Sensitivity


class EditError(Exception):
    """A value can't be put where it belongs. `why` is half a sentence, `lines` are others that it is about, from 1."""

    def __init__(self, why: str, *, lines: tuple[int, ...] = ()) -> None:
        super().__init__(why)
        self.why = why
        self.lines = lines


@dataclass(slots=True, kw_only=True)
class ScalarSpan:
    """A scalar. `style` is "" for a plain one, else the character that begins it; `variables` are those it is made of."""

    start: int
    end: int
    style: str
    node: Node
    anchor: str | None = None
    variables: tuple[str, ...] = ()


@dataclass(slots=True, kw_only=True)
class MappingSpan:
    """An object; `flow` for one in braces."""

    start: int
    end: int
    flow: bool
    node: Node
    anchor: str | None = None
    entries: dict[str, tuple[ScalarSpan, NodeSpan]] = field(default_factory=dict)


@dataclass(slots=True, kw_only=True)
class SequenceSpan:
    """A list; `flow` for one in brackets."""

    start: int
    end: int
    flow: bool
    node: Node
    anchor: str | None = None
    items: list[NodeSpan] = field(default_factory=list)


@dataclass(slots=True, kw_only=True)
class AliasSpan:
    """An alias: its value stands elsewhere."""

    start: int
    end: int
    node: Node
    anchor: str | None = None


NodeSpan: TypeAlias = ScalarSpan | MappingSpan | SequenceSpan | AliasSpan


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """One document's text and all that stands in it. `aliases` are the lines, from 1, on which an anchor is repeated."""

    text: str
    root: NodeSpan
    aliases: dict[str, list[int]]


@dataclass(frozen=True, slots=True, kw_only=True)
class EditContext:
    """With what a document is read: which keys are sensitive, and what variables stand for."""

    sensitivity: Sensitivity
    variables: Variables


def read_layout(text: str, reading: EditContext) -> Layout:
    """Read one document. Raises `EditError` where there is none, or more than one, or one that can't be read."""
    findings = Findings()
    source, documents = parse("", text.encode(), reading.sensitivity, findings)
    if findings.has_errors or len(documents) != 1:
        raise EditError("the document can't be read once more")
    (document,) = documents
    written = {id(one): str(one.value) for one in document.templates}
    if document.templates:
        reading.variables.replace(document, Reporter(findings, source))
    if findings.has_errors:
        raise EditError("the document can't be read once more")
    return _LayoutReader(text, document, written).layout()


def document_places(text: str) -> list[tuple[int, int]]:
    """Return where each document of a file stands, comments before and after it included; the first begins the file."""
    starts = [event.start_mark.index for event in _events(text) if _begins_document(event)]
    starts[:1] = [0]
    return list(zip(starts, [*starts[1:], len(text)], strict=True))


def _events(text: str) -> Iterator[YamlEvent]:
    parser = yaml.CSafeLoader(SurrogatePairs(text).text)
    try:
        while (event := parser.get_event()) is not None:
            yield cast("YamlEvent", event)
    except yaml.YAMLError:
        raise EditError("the file can't be read once more") from None
    finally:
        parser.dispose()


def _begins_document(event: object) -> bool:
    return isinstance(event, yaml.DocumentStartEvent)


class _LayoutReader:
    """Goes through the events of a document beside its values."""

    def __init__(self, text: str, document: YamlDocument, written: dict[int, str]) -> None:
        self._text = text
        self._document = document
        self._written = written
        self._aliases: dict[str, list[int]] = {}
        self._stream = _events(text)

    def layout(self) -> Layout:
        _, _, first = islice(self._stream, 3)  # behind the beginnings of stream and document
        return Layout(text=self._text, root=self._laid(first, self._document.root), aliases=self._aliases)

    def _laid(self, event: YamlEvent, node: Node) -> NodeSpan:
        start, end = event.start_mark.index, event.end_mark.index
        if isinstance(event, yaml.AliasEvent):
            self._aliases.setdefault(str(event.anchor), []).append(event.start_mark.line + 1)
            return AliasSpan(start=start, end=end, node=node)
        if isinstance(event, yaml.ScalarEvent) and isinstance(node, Scalar):
            variables = tuple(variables_in(self._written.get(id(node), "")))
            style, end = event.style or "", self._scalar_end(event, start, end)
            return ScalarSpan(start=start, end=end, style=style, node=node, anchor=event.anchor, variables=variables)
        flow = bool(getattr(event, "flow_style", False))
        if isinstance(event, yaml.MappingStartEvent) and isinstance(node, Mapping):
            return self._mapping(MappingSpan(start=start, end=end, flow=flow, node=node, anchor=event.anchor), node)
        if isinstance(event, yaml.SequenceStartEvent) and isinstance(node, Sequence):
            return self._sequence(SequenceSpan(start=start, end=end, flow=flow, node=node, anchor=event.anchor), node)
        raise EditError("the document can't be read once more")

    def _mapping(self, laid: MappingSpan, node: Mapping) -> MappingSpan:
        for key, (key_node, value) in node.entries.items():
            event = next(self._stream)
            name = self._laid(event, key_node)
            if not isinstance(name, ScalarSpan):
                raise EditError("a key of it is an alias")
            below = self._laid(next(self._stream), value)
            laid.entries[key] = (name, below)
            laid.end = max(laid.end, below.end, name.end)
        last = next(self._stream)
        if laid.flow:
            laid.end = last.end_mark.index
        return laid

    def _sequence(self, laid: SequenceSpan, node: Sequence) -> SequenceSpan:
        for item in node.items:
            laid.items.append(self._laid(next(self._stream), item))
            laid.end = max(laid.end, laid.items[-1].end)
        last = next(self._stream)
        if laid.flow:
            laid.end = last.end_mark.index
        return laid

    def _scalar_end(self, event: YamlEvent, start: int, end: int) -> int:
        """Return where a scalar ends: one of several lines without the line breaks behind it that aren't part of it."""
        if event.style not in ("|", ">"):
            return end
        header = self._text[start:end].partition("\n")[0].partition("#")[0]
        if "+" in header:
            return end - 1 if end > start and self._text[end - 1] == "\n" else end
        return start + len(self._text[start:end].rstrip())


def line_start(text: str, place: int) -> int:
    """Return where the line of a place begins."""
    return text.rfind("\n", 0, place) + 1


def line_end(text: str, place: int) -> int:
    """Return where the line of a place ends: at its line break, or at the end of the text."""
    end = text.find("\n", place)
    if end < 0:
        return len(text)
    return end - 1 if end > place and text[end - 1] == "\r" else end


def next_line(text: str, place: int) -> int:
    """Return where the line after that of a place begins; the end of the text where there is none."""
    end = text.find("\n", place)
    return len(text) if end < 0 else end + 1


def column(text: str, place: int) -> int:
    """Return in which column a place is, from 0."""
    return place - line_start(text, place)


def begins_line(text: str, place: int) -> bool:
    """Say whether nothing but spaces stands before a place on its line."""
    return not text[line_start(text, place) : place].strip()


def line_break(text: str) -> str:
    """Return the line break that a text uses."""
    return "\r\n" if "\r\n" in text else "\n"


def past_entry(text: str, end: int, indent: int) -> int:
    """Return where the line begins that comes after an entry which ends at a place and begins in a column.

    Comments right after it that are indented deeper are about what is in it, and are still its own.
    """
    past = place = next_line(text, end)
    while place < len(text):
        line = text[place : line_end(text, place)]
        content = line.lstrip(" ")
        place = next_line(text, place)
        if content.startswith("#") and len(line) - len(content) > indent:
            past = place
        elif content.strip():
            break
    return past


def with_comments_above(text: str, start: int, past: int, indent: int) -> int:
    """Return where an entry begins whose first line begins at `start`, with the comments right above it that are its own.

    They are where what follows the entry is set apart from it: by a blank line, a comment of its own, or by ending the list.
    Otherwise they may be about all of what follows.
    """
    following = text[past : line_end(text, past)]
    content = following.strip()
    ends = past >= len(text) or (content and len(following) - len(following.lstrip(" ")) < indent)
    if content and not content.startswith("#") and not ends:
        return start
    while start:
        above = line_start(text, start - 1)
        line = text[above : start - 1].rstrip("\r")
        if line.lstrip(" ").startswith("#") and len(line) - len(line.lstrip(" ")) == indent:
            start = above
        else:
            break
    return start


@dataclass(frozen=True, slots=True, order=True)
class Splice:
    """`text` instead of what stands from `start` to `end`."""

    start: int
    end: int
    text: str


def apply_splices(text: str, splices: Iterable[Splice]) -> str:
    """Return the text with all splices made; they don't overlap."""
    for one in sorted(splices, reverse=True):
        text = text[: one.start] + one.text + text[one.end :]
    return text
