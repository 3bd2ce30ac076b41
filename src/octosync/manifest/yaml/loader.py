"""The strict YAML loader: builds nodes with file positions from libyaml's events.

Strict means: UTF-8 only, no tags, no merge keys, string keys, no duplicate keys, and limits that count expanded aliases. An
alias shares its anchor's node and adds its size to the count, so an alias bomb is refused before it uses memory.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, cast

import yaml

from octosync.manifest.load.limits import check_deadline
from octosync.manifest.schema.rules import MOST_LISTED, Findings, Reporter
from octosync.manifest.yaml.nodes import (
    MOST_CHARACTERS,
    Anchor,
    Mapping,
    Node,
    OpenContainer,
    PendingFinding,
    Scalar,
    Sequence,
    SkipDocument,
    StopReading,
    UnreadText,
    YamlDocument,
    YamlEvent,
    join,
    may_be_secret,
)
from octosync.manifest.yaml.scalars import (
    TEMPLATE,
    NotJson,
    SurrogatePairs,
    report_control_characters,
    report_syntax,
    resolve,
)
from octosync.manifest.yaml.source import NOT_PRINTABLE, NotText, Source, decode, quoted
from octosync.model import Origin, Sensitivity

MOST_BYTES = 16 * 1024 * 1024
MOST_NODES = 100_000
MOST_NODES_OF_A_FILE = 4_000_000
MOST_LEVELS = 32


def parse(
    name: str, data: bytes, sensitivity: Sensitivity, findings: Findings, *, base: str = ""
) -> tuple[Source, list[YamlDocument]]:
    """Return a file's source and its readable, non-empty documents; `base` is that of all origins.

    Never raises: problems are added to `findings`.
    """
    if len(data) > MOST_BYTES:
        source = Source(name, "", sensitivity, base)
        summary = f"{name} is larger than {MOST_BYTES // 2**20} MiB"
        findings.add("file-too-large", summary, origin=Origin(name, base=base), notes=("split it",))
        return source, []
    try:
        source = Source(name, decode(data), sensitivity, base)
    except NotText as error:
        source = Source(name, "", sensitivity, base)
        findings.add("not-utf8", error.message, origin=source.origin(error.line, error.column), notes=_SAVE_AS_UTF8)
        return source, []
    if NOT_PRINTABLE.search(source.text) is not None:
        report_control_characters(source, findings)
        return source, []
    return source, _Reader(source, findings).read()


_KEY_AND_VALUE = re.compile(r"[\w-]+:\S.*")
_EVENTS_AT_ONCE = 4096
_NEAR = 100  # characters of a line around a place
_SAVE_AS_UTF8 = ("save it as UTF-8",)
_SPLIT = ("split it, or use fewer aliases",)


class _Reader:
    """Reads the documents of one file."""

    def __init__(self, source: Source, findings: Findings) -> None:
        self._source = source
        self._findings = findings
        self._joined = SurrogatePairs(source.text)
        self._documents: list[YamlDocument] = []
        self._problems: list[PendingFinding] = []
        self._sensitive: dict[str, bool] = {}
        self._nodes_of_file = 0
        self._characters = 0  # of the file
        self._started = 1  # the first line of the document
        self._reset()

    def _reset(self) -> None:
        self._root: Node | None = None
        self._stack: list[OpenContainer] = []
        self._nodes = 0
        self._anchors: dict[str, Anchor | None] = {}  # None: not complete yet
        self._templates: list[Scalar] = []
        self._has_sensitive = False
        self._has_tag = False
        self._end = (1, 1)  # the end of the last scalar

    def read(self) -> list[YamlDocument]:
        """Return all readable documents, and report the problems of all of them."""
        parser = yaml.CSafeLoader(self._joined.text)
        next_event = parser.get_event
        handlers: dict[type[yaml.Event], Callable[[Any], None]] = {
            yaml.ScalarEvent: self._scalar,
            yaml.MappingStartEvent: self._start,
            yaml.SequenceStartEvent: self._start,
            yaml.MappingEndEvent: self._finish,
            yaml.SequenceEndEvent: self._finish,
            yaml.AliasEvent: self._alias,
            yaml.DocumentStartEvent: self._start_document,
            yaml.DocumentEndEvent: self._finish_document,
            yaml.StreamStartEvent: lambda _: None,
        }
        read = 0
        try:
            while (event := next_event()) is not None and (handle := handlers.get(type(event))) is not None:
                read += 1
                if not read % _EVENTS_AT_ONCE:
                    check_deadline()
                try:
                    handle(event)
                except SkipDocument:
                    self._skip(next_event)
        except yaml.YAMLError as error:
            self._source.hide_unread_lines(self._started)
            report_syntax(error, Reporter(self._findings, self._source))
        except StopReading:
            self._source.hide_unread_lines(self._started)
        finally:
            parser.dispose()
        if self._problems:
            self._report()
        return self._documents

    def _skip(self, next_event: Callable[[], Any]) -> None:
        """Skip to the end of the document. The skipped lines were not checked for secrets, so messages may not show them."""
        skipped = 0
        try:
            while not isinstance(event := next_event(), yaml.DocumentEndEvent):
                skipped += 1
                if not skipped % _EVENTS_AT_ONCE:
                    check_deadline()
        except yaml.YAMLError:
            raise StopReading from None  # the document already has an error
        self._source.hide_unread_lines(self._started, cast("YamlEvent", event).end_mark.line + 1)
        self._nodes_of_file += self._nodes

    def _report(self) -> None:
        reporter = Reporter(self._findings, self._source)
        for problem in self._problems:
            hidden = self._source.hides(problem.at.line, problem.at.column)
            summary = problem.summary.format("" if hidden else f" {quoted(problem.value)}")
            reporter.report(
                problem.rule,
                problem.at,
                summary,
                path="" if hidden and not problem.cut else problem.path,
                suggestion=None if hidden else problem.suggestion,
                notes=problem.notes,
            )

    def _problem(self, rule: str, at: Scalar, summary: str, **more: Any) -> None:
        if len(self._problems) >= MOST_LISTED:
            self._findings.add_unlisted(rule)
            return
        path, cut = self._path()
        self._problems.append(PendingFinding(rule, at, summary, path, cut, **more))

    def _path(self) -> tuple[str, bool]:
        """Return the path of the current position and whether it is cut: it ends at a sensitive key."""
        path = ""
        for frame in self._stack:
            if isinstance(frame.node, Sequence):
                path = join(path, len(frame.node.items))
            elif frame.key is not None:
                path = join(path, str(frame.key.value))
                if self._is_sensitive(str(frame.key.value)):
                    return path, True
        return path, False

    # One handler per event. This is the hot loop: a file of 3.5 MB produces about 400,000 events.

    def _start_document(self, event: YamlEvent) -> None:
        self._reset()
        self._started = event.start_mark.line + 1

    def _finish_document(self, _: YamlEvent) -> None:
        self._nodes_of_file += self._nodes
        if self._root is None or (isinstance(self._root, Scalar) and self._root.value is None):
            return
        if self._has_tag:
            return  # tags mean that the document is for another reader: other findings would be noise
        self._documents.append(
            YamlDocument(root=self._root, templates=tuple(self._templates), has_sensitive=self._has_sensitive)
        )

    def _scalar(self, event: YamlEvent) -> None:
        start, end = event.start_mark, event.end_mark
        line = start.line
        text = event.value
        node = Scalar(text, line + 1, start.column + 1, end.column - start.column if end.line == line else 0)
        style = event.style
        if not style:
            if not text:
                node.width = 1  # an empty value, not the rest of the line
            try:
                node.value = resolve(text)
            except NotJson as error:
                self._problem("not-json-number", node, "number{} can't be sent as JSON: " + str(error), value=text)
                node.value = UnreadText(text)
        elif style == '"' and NOT_PRINTABLE.search(text) is not None:
            node.value = self._escaped(node, text)
        if self._joined and style != '"' and isinstance(node.value, str):
            node.value = self._joined.unquoted(node.value, start.index, end.index)
        if event.tag is not None:
            self._tag(event.tag, node)
        self._end = (end.line + 1, end.column + 1) if end.column else (end.line, 1)
        self._nodes += 1
        self._characters += len(text)
        if event.anchor is not None:
            self._anchors[event.anchor] = Anchor(node, 1, len(text), 0, self._end)
        self._place(node, plain=not style)

    def _escaped(self, node: Scalar, text: str) -> str:
        """Remove the filler from a double-quoted scalar, and report control characters written as escapes."""
        text = self._joined.quoted(text) if self._joined else text
        refused = [found for found in dict.fromkeys(NOT_PRINTABLE.findall(text)) if found not in "\x85\u2028\u2029"]
        for found in refused:
            self._problem("control-character", node, f"character U+{ord(found):04X} is not allowed in a manifest")
        return UnreadText(text) if refused else text

    def _start(self, event: YamlEvent) -> None:
        mark = event.start_mark
        node: Sequence | Mapping
        if isinstance(event, yaml.MappingStartEvent):
            node = Mapping({}, mark.line + 1, mark.column + 1)
        else:
            node = Sequence([], mark.line + 1, mark.column + 1)
        if event.tag is not None:
            self._tag(event.tag, Scalar(None, node.line, node.column, 1))
        self._stack.append(OpenContainer(node, self._nodes, self._characters, event.anchor))
        self._nodes += 1
        if event.anchor is not None:
            self._anchors[event.anchor] = None
        if len(self._stack) > MOST_LEVELS:
            self._too_deep(node)

    def _finish(self, _: YamlEvent) -> None:
        frame = self._stack.pop()
        if frame.anchor is not None:
            size, characters = self._nodes - frame.before, self._characters - frame.characters
            self._anchors[frame.anchor] = Anchor(frame.node, size, characters, frame.height + 1, self._end)
        if self._stack and self._stack[-1].height <= frame.height:
            self._stack[-1].height = frame.height + 1
        self._place(frame.node)

    def _alias(self, event: YamlEvent) -> None:
        mark = event.start_mark
        at = Scalar(None, mark.line + 1, mark.column + 1, event.end_mark.column - mark.column)
        self._end = (event.end_mark.line + 1, event.end_mark.column + 1)
        name = str(event.anchor)
        if name not in self._anchors:
            self._problem("unknown-alias", at, "no anchor{} is defined above this alias", value=f"&{name}")
            at.value = UnreadText(f"*{name}")
            self._nodes += 1
            self._place(at)
            return
        anchor = self._anchors[name]
        if anchor is None:
            self._problem("recursive-alias", at, "alias{} is inside its own anchor", value=f"*{name}")
            raise SkipDocument
        self._nodes += anchor.size
        self._characters += anchor.characters
        if self._characters > MOST_CHARACTERS:
            self._too_much_text(at)
        if len(self._stack) + anchor.height > MOST_LEVELS:
            self._too_deep(at)
        if self._stack and self._stack[-1].height < anchor.height:
            self._stack[-1].height = anchor.height
        key = self._stack[-1].key if self._stack else None
        if key is not None and self._is_sensitive(str(key.value)) and may_be_secret(anchor.node):
            self._source.hide((anchor.node.line, anchor.node.column), anchor.end)
        self._place(anchor.node, at=at)

    def _place(self, node: Node, *, plain: bool = False, at: Scalar | None = None) -> None:
        """Add a complete node to its parent: as the root, a list item, a key, or the value of the pending key."""
        if self._nodes > MOST_NODES or self._nodes_of_file + self._nodes > MOST_NODES_OF_A_FILE:
            self._too_many(at or node)
        if not self._stack:
            self._root = node
            return
        frame = self._stack[-1]
        if isinstance(frame.node, Sequence):
            if type(node) is Scalar and type(node.value) is str and "${" in node.value and at is None:
                self._templates.append(node)
            frame.node.items.append(node)
        elif frame.key is None:
            frame.key = self._key(node, plain=plain, at=at)
        else:
            if type(node) is Scalar and type(node.value) is str and "${" in node.value and at is None:
                self._templates.append(node)
            self._enter(frame.node, frame.key, node)
            frame.key = None

    def _enter(self, mapping: Mapping, key: Scalar, node: Node) -> None:
        name = str(key.value)
        sensitive = self._sensitive.get(name)
        if sensitive is None:
            sensitive = self._is_sensitive(name)
        if ":" in name:
            self._check_colon(key, node)
        if sensitive and may_be_secret(node):
            self._has_sensitive = True
            self._source.hide((key.line, key.column + (key.width or 1)), self._end)
        if name not in mapping.entries:
            mapping.entries[name] = (key, node)
            return
        mapping.repeated.append((key, node))
        if isinstance(key.value, UnreadText):
            return
        first = mapping.entries[name][0]
        note = f"first defined at {self._source.origin(first.line, first.column)}"
        self._problem("duplicate-key", key, "key{} is defined twice", value=name, notes=(note,))

    def _key(self, node: Node, *, plain: bool, at: Scalar | None) -> Scalar:
        place = at or Scalar(None, node.line, node.column, node.width)
        if not isinstance(node, Scalar):
            near = self._source.lines[place.line - 1][max(0, place.column - _NEAR) : place.column + _NEAR]
            notes = TEMPLATE if "{{" in near else ()
            self._problem("non-string-key", place, "a key must be a string, not a list or an object", notes=notes)
            return Scalar(UnreadText("?"), place.line, place.column, place.width)
        if not isinstance(node.value, str):
            written = "null" if node.value is None else str(node.value).lower()
            self._problem(
                "non-string-key",
                place,
                "key{} is not a string, and a key must be one",
                value=node.value,
                suggestion=f'"{written}"',
            )
            return Scalar(UnreadText(written), place.line, place.column, place.width)
        if plain and node.value == "<<":
            self._problem("merge-key", place, "merge keys are not YAML 1.2: repeat the fields, or use an overlay")
            place.value = UnreadText("<<")
            return place
        return node if at is None else Scalar(node.value, at.line, at.column, at.width)

    def _is_sensitive(self, key: str) -> bool:
        found = self._sensitive.get(key)
        if found is None:
            found = self._sensitive[key] = self._source.sensitivity.covers(key)
        return found

    def _check_colon(self, key: Scalar, node: Node) -> None:
        """Report a key such as `model:abc` without a value, probably a missing space; hide it if the key is sensitive."""
        name = str(key.value)
        if self._source.sensitivity.shown_key(name) != name:
            self._source.hide((key.line, key.column), self._end)
        if not isinstance(node, Scalar) or node.value is not None or not _KEY_AND_VALUE.fullmatch(name):
            return
        if not self._source.written(key).startswith(("'", '"')):
            summary = f"the key `{name.partition(':')[0]}:…` has no value"
            self._problem("colon-in-key", key, summary, notes=("a colon begins a value only with a space after it",))

    def _tag(self, tag: str, at: Scalar) -> None:
        self._has_tag = True
        self._problem(
            "tag", at, "tag{} is refused: manifests are plain data", value=tag, notes=("write the value without it",)
        )

    def _too_deep(self, node: Node) -> None:
        at = Scalar(None, node.line, node.column, 1)
        self._problem(
            "too-deep", at, f"the document is nested deeper than {MOST_LEVELS} levels", notes=("make it flatter",)
        )
        raise SkipDocument

    def _too_much_text(self, at: Scalar) -> None:
        summary = f"the file has more than {MOST_CHARACTERS // 2**20} MiB of text, aliases expanded"
        self._problem("too-much-text", at, summary, notes=_SPLIT)
        raise StopReading

    def _too_many(self, node: Node) -> None:
        at = Scalar(None, node.line, node.column, 1)
        if self._nodes > MOST_NODES:
            self._problem(
                "too-many-nodes", at, f"the document has more than {MOST_NODES:,} nodes, aliases expanded", notes=_SPLIT
            )
            raise SkipDocument
        self._problem(
            "too-many-nodes",
            at,
            f"the file has more than {MOST_NODES_OF_A_FILE:,} nodes, aliases expanded",
            notes=_SPLIT,
        )
        raise StopReading
