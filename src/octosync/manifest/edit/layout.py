"""The layout of a document: the span of every value in the text, so that one value can be replaced and nothing else.

The values come from the strict loader, with variables replaced. The spans come from libyaml, corrected where its end of a
block is the start of the next value. They count characters from 0; an end is exclusive.
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
    """An edit is not possible without changing anything else. `why` is a clause; `lines` are related lines, from 1."""

    def __init__(self, why: str, *, lines: tuple[int, ...] = ()) -> None:
        super().__init__(why)
        self.why = why
        self.lines = lines


@dataclass(slots=True, kw_only=True)
class ScalarSpan:
    """A scalar. `style` is "" for a plain one, else its first character; `variables` are the variables that it refers to."""

    start: int
    end: int
    style: str
    node: Node
    anchor: str | None = None
    variables: tuple[str, ...] = ()


@dataclass(slots=True, kw_only=True)
class MappingSpan:
    """An object; `flow` is true if it is in braces."""

    start: int
    end: int
    flow: bool
    node: Node
    anchor: str | None = None
    entries: dict[str, tuple[ScalarSpan, NodeSpan]] = field(default_factory=dict)


@dataclass(slots=True, kw_only=True)
class SequenceSpan:
    """A list; `flow` is true if it is in brackets."""

    start: int
    end: int
    flow: bool
    node: Node
    anchor: str | None = None
    items: list[NodeSpan] = field(default_factory=list)


@dataclass(slots=True, kw_only=True)
class AliasSpan:
    """An alias: its value is written elsewhere."""

    start: int
    end: int
    node: Node
    anchor: str | None = None


NodeSpan: TypeAlias = ScalarSpan | MappingSpan | SequenceSpan | AliasSpan


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """A document's text and the spans of its values. `aliases` maps an anchor to the lines of its aliases, from 1."""

    text: str
    root: NodeSpan
    aliases: dict[str, list[int]]


@dataclass(frozen=True, slots=True, kw_only=True)
class EditContext:
    """How edited documents are read: the sensitive keys and the values of variables."""

    sensitivity: Sensitivity
    variables: Variables


def read_layout(text: str, context: EditContext) -> Layout:
    """Return the layout of a text's only document. Raises `EditError` if there is not exactly one, or it can't be read."""
    findings = Findings()
    source, documents = parse("", text.encode(), context.sensitivity, findings)
    if findings.has_errors or len(documents) != 1:
        raise EditError("the document can't be read again")
    (document,) = documents
    written = {id(scalar): str(scalar.value) for scalar in document.templates}
    if document.templates:
        context.variables.replace(document, Reporter(findings, source))
    if findings.has_errors:
        raise EditError("the document can't be read again")
    return _LayoutReader(text, document, written).layout()


def document_spans(text: str) -> list[tuple[int, int]]:
    """Return the span of every document of a file, with the comments around it; the first one starts at 0."""
    starts = [event.start_mark.index for event in _events(text) if _is_document_start(event)]
    starts[:1] = [0]
    return list(zip(starts, [*starts[1:], len(text)], strict=True))


def _events(text: str) -> Iterator[YamlEvent]:
    parser = yaml.CSafeLoader(SurrogatePairs(text).text)
    try:
        while (event := parser.get_event()) is not None:
            yield cast("YamlEvent", event)
    except yaml.YAMLError:
        raise EditError("the file can't be read again") from None
    finally:
        parser.dispose()


def _is_document_start(event: object) -> bool:
    return isinstance(event, yaml.DocumentStartEvent)


class _LayoutReader:
    """Pairs the events of a document with its values."""

    def __init__(self, text: str, document: YamlDocument, written: dict[int, str]) -> None:
        self._text = text
        self._document = document
        self._written = written
        self._aliases: dict[str, list[int]] = {}
        self._stream = _events(text)

    def layout(self) -> Layout:
        _, _, first = islice(self._stream, 3)  # after the starts of stream and document
        return Layout(text=self._text, root=self._node_span(first, self._document.root), aliases=self._aliases)

    def _node_span(self, event: YamlEvent, node: Node) -> NodeSpan:
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
        raise EditError("the document can't be read again")

    def _mapping(self, laid: MappingSpan, node: Mapping) -> MappingSpan:
        for key, (key_node, value) in node.entries.items():
            event = next(self._stream)
            name = self._node_span(event, key_node)
            if not isinstance(name, ScalarSpan):
                raise EditError("a key of it is an alias")
            below = self._node_span(next(self._stream), value)
            laid.entries[key] = (name, below)
            laid.end = max(laid.end, below.end, name.end)
        last = next(self._stream)
        if laid.flow:
            laid.end = last.end_mark.index
        return laid

    def _sequence(self, laid: SequenceSpan, node: Sequence) -> SequenceSpan:
        for item in node.items:
            laid.items.append(self._node_span(next(self._stream), item))
            laid.end = max(laid.end, laid.items[-1].end)
        last = next(self._stream)
        if laid.flow:
            laid.end = last.end_mark.index
        return laid

    def _scalar_end(self, event: YamlEvent, start: int, end: int) -> int:
        """Return the end of a scalar; a block scalar ends before the line breaks that are not part of its value."""
        if event.style not in ("|", ">"):
            return end
        header = self._text[start:end].partition("\n")[0].partition("#")[0]
        if "+" in header:
            return end - 1 if end > start and self._text[end - 1] == "\n" else end
        return start + len(self._text[start:end].rstrip())


def line_start(text: str, position: int) -> int:
    """Return the start of the line of a position."""
    return text.rfind("\n", 0, position) + 1


def line_end(text: str, position: int) -> int:
    """Return the end of the line of a position: its line break, or the end of the text."""
    end = text.find("\n", position)
    if end < 0:
        return len(text)
    return end - 1 if end > position and text[end - 1] == "\r" else end


def next_line(text: str, position: int) -> int:
    """Return the start of the next line; the end of the text if there is none."""
    end = text.find("\n", position)
    return len(text) if end < 0 else end + 1


def column(text: str, position: int) -> int:
    """Return the column of a position, from 0."""
    return position - line_start(text, position)


def begins_line(text: str, position: int) -> bool:
    """Return whether only spaces precede a position on its line."""
    return not text[line_start(text, position) : position].strip()


def line_break(text: str) -> str:
    """Return the line break that a text uses."""
    return "\r\n" if "\r\n" in text else "\n"


def past_entry(text: str, end: int, indent: int) -> int:
    """Return the start of the line after an entry, which ends at `end` and starts in column `indent`.

    Comments right after it that are indented deeper belong to the entry.
    """
    past = position = next_line(text, end)
    while position < len(text):
        line = text[position : line_end(text, position)]
        content = line.lstrip(" ")
        position = next_line(text, position)
        if content.startswith("#") and len(line) - len(content) > indent:
            past = position
        elif content.strip():
            break
    return past


def with_comments_above(text: str, start: int, past: int, indent: int) -> int:
    """Return the start of an entry whose first line starts at `start`, including the comments above that belong to it.

    They belong to it if the next entry is separated from it: by a blank line, a comment of its own, or the end of the list.
    Otherwise they may describe all entries that follow.
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
    """A replacement of the text from `start` to `end` by `text`."""

    start: int
    end: int
    text: str


def apply_splices(text: str, splices: Iterable[Splice]) -> str:
    """Return the text with all splices applied. They must not overlap."""
    for splice in sorted(splices, reverse=True):
        text = text[: splice.start] + splice.text + text[splice.end :]
    return text
