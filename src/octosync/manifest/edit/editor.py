"""Edits of manifest files: find the document and the value, change it with the fewest splices, and show it as a patch.

An edit removes one difference at a time. The document is read again after every splice.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import SequenceMatcher, unified_diff
from itertools import takewhile
from typing import TypeAlias, cast

from octosync.contract.resources import pair_bindings
from octosync.errors import OctosyncError
from octosync.manifest.edit import styles
from octosync.manifest.edit.layout import (
    AliasSpan,
    EditContext,
    EditError,
    Layout,
    MappingSpan,
    NodeSpan,
    ScalarSpan,
    SequenceSpan,
    Splice,
    apply_splices,
    document_spans,
    next_line,
    read_layout,
)
from octosync.manifest.edit.styles import inline
from octosync.manifest.schema.models import API_VERSION
from octosync.manifest.schema.rules import Findings
from octosync.manifest.yaml.loader import parse
from octosync.manifest.yaml.nodes import plain
from octosync.model import JsonObject, JsonValue, Sensitivity, canonical_json, json_equal

# A key, or the fields that identify a list item, such as {capability: chat}.
PathStep: TypeAlias = "str | JsonObject"
NodePath: TypeAlias = tuple[PathStep, ...]

_MOST_EDITS = 10_000


def put(
    text: str,
    path: NodePath,
    change: Callable[[JsonValue], JsonValue],
    context: EditContext,
    *,
    as_json: bool = False,
    compact: bool = False,
) -> str:
    """Return a document's text with the value at a path replaced by the result of `change`.

    Objects change key by key, lists item by item. With `compact`, new objects in a list are written on one line.
    Raises `EditError` if that is not possible without changing anything else.
    """
    layout = read_layout(text, context)
    at = _Cursor(layout, path, as_json=as_json, compact=compact)
    wanted = change(plain(at.value.node))
    for _ in range(_MOST_EDITS):
        splices = at.next_edit(wanted)
        if not splices:
            return layout.text
        layout = read_layout(apply_splices(layout.text, splices), context)
        at = _Cursor(layout, path, as_json=as_json, compact=compact)
    raise EditError("it differs in too many places")


class _Cursor:
    """A value in a layout, and its parent."""

    def __init__(self, layout: Layout, path: NodePath, *, as_json: bool, compact: bool) -> None:
        self._layout = layout
        self._text = layout.text
        self._as_json = as_json
        self._compact = compact
        self._refuse_aliased(layout.root)
        self._holder: MappingSpan | SequenceSpan | None = None
        self._at: str | int = 0
        self.value: NodeSpan = layout.root
        for step in path:
            self._enter_step(step)

    def _enter_step(self, step: PathStep) -> None:
        holder = self.value
        if isinstance(step, str) and isinstance(holder, MappingSpan) and step in holder.entries:
            self._enter(holder, step)
        elif isinstance(step, dict) and isinstance(holder, SequenceSpan):
            found = [index for index, item in enumerate(holder.items) if has_fields(plain(item.node), step)]
            if len(found) != 1:
                raise EditError("it can't be found in its list")
            self._enter(holder, found[0])
        else:
            raise EditError("it can't be found")

    def _enter(self, holder: MappingSpan | SequenceSpan, at: str | int) -> None:
        self._holder, self._at = holder, at
        self.value = holder.entries[str(at)][1] if isinstance(holder, MappingSpan) else holder.items[cast("int", at)]
        self._refuse_aliased(self.value)

    @property
    def _is_in_flow(self) -> bool:
        return self._holder is not None and self._holder.flow

    def _refuse_aliased(self, value: NodeSpan) -> None:
        if isinstance(value, AliasSpan):
            raise EditError("it is an alias, and its anchor is used in several places")
        lines = self._layout.aliases.get(value.anchor or "")
        if lines:
            why = f"it is repeated by *{value.anchor}, so it would change in several places"
            raise EditError(why, lines=tuple(lines))

    def next_edit(self, wanted: JsonValue) -> list[Splice]:
        """Return the splices of the first edit towards the desired value; none if the value equals it."""
        old = self.value
        if json_equal(plain(old.node), wanted):
            return []
        if isinstance(old, MappingSpan) and isinstance(wanted, dict) and wanted and old.entries.keys() & wanted.keys():
            return self._in_mapping(old, wanted)
        if isinstance(old, SequenceSpan) and isinstance(wanted, list) and wanted and (old.items or self._is_in_flow):
            return self._in_sequence(old, wanted)
        return self._replace(old, wanted)

    def _in_mapping(self, old: MappingSpan, wanted: JsonObject) -> list[Splice]:
        for name in old.entries:
            if name in wanted and not json_equal(plain(old.entries[name][1].node), wanted[name]):
                self._enter(old, name)
                return self.next_edit(wanted[name])
        names = list(old.entries)
        if (gone := next((name for name in names if name not in wanted), None)) is not None:
            if old.flow:
                return styles.remove_flow(self._text, old, names.index(gone))
            return styles.remove_entry(self._text, old, gone)
        name, value = next((name, value) for name, value in wanted.items() if name not in old.entries)
        *_, before = (names[-1], *takewhile(old.entries.__contains__, wanted))
        if old.flow:
            element = f"{inline(name, as_json=self._as_json)}: {inline(value, as_json=self._as_json)}"
            return styles.insert_flow(self._text, old, names.index(before) + 1, element)
        return styles.insert_entry(self._text, old, before, name, value)

    def _in_sequence(self, old: SequenceSpan, wanted: list[JsonValue]) -> list[Splice]:
        before, after = [canonical_json(plain(item.node)) for item in old.items], list(map(canonical_json, wanted))
        if (move := _first_move(before, after)) is not None:
            return self._move(old, *move)
        codes = SequenceMatcher(None, before, after, autojunk=False).get_opcodes()
        code, first, last, new, new_last = next(opcode for opcode in codes if opcode[0] != "equal")
        if code == "replace":
            fewer = (last - first) - (new_last - new)
            code = "replace" if not fewer or _alike(plain(old.items[first].node), wanted[new]) else "delete"
            code = "insert" if code == "delete" and fewer < 0 else code
        if code == "replace":
            self._enter(old, first)
            return self.next_edit(wanted[new])
        if code == "insert":
            return self._insert(old, first, wanted[new])
        if old.flow:
            return styles.remove_flow(self._text, old, first)
        return styles.remove_item(self._text, old, first)

    def _move(self, old: SequenceSpan, index: int, before: int) -> list[Splice]:
        if not old.flow:
            return styles.move_item(self._text, old, index, before)
        if not self._as_json and "#" in self._text[old.start : old.end] and "\n" in self._text[old.start : old.end]:
            raise EditError("it contains comments, and its items change order")
        return styles.remove_flow(self._text, old, index)  # the next edit inserts it

    def _insert(self, old: SequenceSpan, index: int, value: JsonValue) -> list[Splice]:
        if old.flow:
            return styles.insert_flow(self._text, old, index, inline(value, as_json=self._as_json))
        return styles.insert_item(self._text, old, index, value, compact=self._compact)

    def _replace(self, old: NodeSpan, value: JsonValue) -> list[Splice]:
        if isinstance(old, ScalarSpan) and old.variables:
            raise EditError(f"its value comes from the variable {', '.join(old.variables)}")
        style = old.style if isinstance(old, ScalarSpan) else ""
        holder = self._holder
        if holder is None:
            raise EditError("it is the whole document")
        if holder.flow:
            return styles.set_flow(self._text, old, inline(value, style, as_json=self._as_json))
        if isinstance(holder, MappingSpan):
            key = holder.entries[str(self._at)][0]
            return styles.set_value(self._text, key, old, value, compact=self._compact)
        return styles.set_item(self._text, old, value, compact=self._compact)


def _first_move(before: Sequence[str], after: Sequence[str]) -> tuple[int, int] | None:
    """Return the index of the first item that moves up, and its new index; None if the order stays.

    Moving keeps the comments beside a value with the value.
    """
    both = Counter(before) & Counter(after)
    stay, order = _first_indexes(before, both), _first_indexes(after, both)
    for now, later in zip(stay, order, strict=True):
        if before[now] != after[later]:
            return next(index for index in stay if index > now and before[index] == after[later]), now
    return None


def _first_indexes(values: Sequence[str], counts: Counter[str]) -> list[int]:
    """Return the indexes of the first `counts[value]` occurrences of every value."""
    left = Counter(counts)
    return [index for index, value in enumerate(values) if left[value] > 0 and not left.subtract((value,))]


def has_fields(value: JsonValue, known_by: JsonObject) -> bool:
    """Return whether an item is an object with these fields."""
    return isinstance(value, dict) and all(value.get(key) == wanted for key, wanted in known_by.items())


def _alike(old: JsonValue, new: JsonValue) -> bool:
    """Return whether two objects have a field in common, so one may be a changed version of the other."""
    if not isinstance(old, dict) or not isinstance(new, dict):
        return False
    return any(key in new and json_equal(value, new[key]) for key, value in old.items())


_BYTE_ORDER_MARK = "\ufeff"


@dataclass(frozen=True, slots=True, kw_only=True)
class EditTarget:
    """A position that may declare an object: a path in a document of a kind whose spec has the fields `known_by`.

    If `item` is given, the path is a list, and the target exists only if the list has such an item. `change` returns the new
    value; None removes the whole document. With `compact`, new objects in the list are written on one line.
    """

    kind: str
    path: NodePath = ()
    known_by: JsonObject = field(default_factory=dict)
    item: JsonObject | None = None
    change: Callable[[JsonValue], JsonValue] | None = None
    compact: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Edit:
    """One edit of one file: at the first of the targets that exists, in a document of the app."""

    app: str
    targets: tuple[EditTarget, ...]


def apply_edits(data: bytes, edits: Iterable[Edit], context: EditContext) -> bytes:
    """Return a file's bytes with the edits applied; byte order mark, line breaks and the end of the file stay.

    Raises `EditError` for the first edit that is not possible.
    """
    text = data.decode()
    mark = _BYTE_ORDER_MARK if text.startswith(_BYTE_ORDER_MARK) else ""
    text = text.removeprefix(mark)
    as_json = _is_json(text)
    for edit in edits:
        text = _apply_edit(text, edit, context, as_json=as_json)
        if as_json and not _is_json(text):
            raise EditError("it would no longer be JSON")
    return (mark + text).encode()


def _apply_edit(text: str, edit: Edit, context: EditContext, *, as_json: bool) -> str:
    documents = document_spans(text)
    for start, end in documents:
        document = text[start:end]
        target = _matching_target(document, edit, context)
        if target is None:
            continue
        if target.change is None:
            if len(documents) == 1:
                raise EditError("it is all that the file holds: remove the file")
            return text[: start + _header_end(document)] + text[end:]
        try:
            new = put(document, target.path, target.change, context, as_json=as_json, compact=target.compact)
        except EditError as error:
            above = text.count("\n", 0, start)
            raise EditError(error.why, lines=tuple(line + above for line in error.lines)) from None
        return text[:start] + new + text[end:]
    raise EditError("it can't be found there")


def _matching_target(document: str, edit: Edit, context: EditContext) -> EditTarget | None:
    try:
        root = plain(read_layout(document, context).root.node)
    except EditError:
        return None  # another program's document
    if not isinstance(root, dict) or root.get("apiVersion") != API_VERSION:
        return None
    return next((target for target in edit.targets if _exists(root, target, edit.app)), None)


def _exists(root: JsonObject, target: EditTarget, app: str) -> bool:
    spec = _object(root.get("spec"))
    slug = _object(root.get("metadata")).get("name") if target.kind == "App" else spec.get("app")
    if root.get("kind") != target.kind or slug != app:
        return False
    if any(spec.get(key) != value for key, value in target.known_by.items()):
        return False
    path = target.path if target.item is None else (*target.path, target.item)
    return bool(_values_at([root], path))


def _values_at(values: list[JsonValue], path: NodePath) -> list[JsonValue]:
    """Return the values at a path below any of the values."""
    for step in path:
        if isinstance(step, str):
            values = [value[step] for value in values if isinstance(value, dict) and step in value]
        else:
            values = [item for items in values if isinstance(items, list) for item in items if has_fields(item, step)]
    return values


def _object(value: JsonValue) -> JsonObject:
    return value if isinstance(value, dict) else {}


def _header_end(document: str) -> int:
    """Return the end of the comments and blank lines at the start of a file: they describe the whole file."""
    end = 0
    while end < len(document):
        line = document[end : next_line(document, end)].strip()
        if line and not line.startswith("#"):
            break
        end = next_line(document, end)
    return end if not document.startswith("---") else 0


def _is_json(text: str) -> bool:
    if not text.lstrip().startswith("{"):
        return False
    try:
        json.loads(text)
    except ValueError:
        return False
    return True


Change: TypeAlias = Callable[[JsonValue], JsonValue]


def accepted_bindings(declared: JsonValue, live: JsonValue) -> list[JsonValue]:
    """Return the bindings to declare: the declared ones with their live counterparts' values, then the other live ones."""
    old = list(declared) if isinstance(declared, list | tuple) else []
    new = list(live) if isinstance(live, list | tuple) else []
    pairs = pair_bindings(old, new)
    kept = [_restricted(new[index], binding) for binding, index in zip(old, pairs, strict=True) if index is not None]
    return [*kept, *(binding for index, binding in enumerate(new) if index not in pairs)]


def _restricted(live: JsonValue, declared: JsonValue) -> JsonValue:
    if isinstance(live, Mapping) and isinstance(declared, Mapping):
        return {key: live[key] for key in declared if key in live}
    return live


def with_fields(values: JsonObject, *, without: Iterable[str] = ()) -> Change:
    """Return a change that sets some fields of an object and removes others."""
    gone = set(without)

    def change(old: JsonValue) -> JsonValue:
        fields = old if isinstance(old, dict) else {}
        return {name: value for name, value in {**fields, **values}.items() if name not in gone}

    return change


def with_item(value: JsonValue) -> Change:
    """Return a change that adds an item to a list."""
    return lambda old: [*(old if isinstance(old, list) else []), value]


def without_item(known_by: JsonObject) -> Change:
    """Return a change that removes the items with these fields from a list."""

    def change(old: JsonValue) -> JsonValue:
        items = old if isinstance(old, list) else []
        return [item for item in items if not has_fields(item, known_by)]

    return change


_NO_LINE_BREAK = "\\ No newline at end of file\n"


def patch_of(name: str, before: bytes, after: bytes, *, sensitivity: Sensitivity) -> str:
    """Return the unified diff of a file, with up to three lines of context.

    Raises `OctosyncError` if it would show a sensitive value: one on a changed line, or on a line next to it.
    """
    hidden = _hidden_lines(before, sensitivity) | _hidden_lines(after, sensitivity)
    old, new = _lines(before), _lines(after)
    for context in (3, 2, 1):
        lines = list(unified_diff(old, new, f"a/{name}", f"b/{name}", n=context))
        if not any(line[1:].removesuffix(_NO_LINE_BREAK) in hidden for line in lines[2:]):
            return "".join(lines)
    raise OctosyncError(
        "sensitive-patch",
        f"a patch of {name} would show a sensitive value next to a change",
        hints=("Run it without --patch to edit the file without showing it.",),
    )


def _lines(data: bytes) -> list[str]:
    """Return the lines of a file; a missing line break at the end is marked as in patches."""
    lines = [f"{line}\n" for line in data.decode().split("\n")]
    *ended, last = lines
    return ended if last == "\n" else [*ended, last + _NO_LINE_BREAK]


def _hidden_lines(data: bytes, sensitivity: Sensitivity) -> set[str]:
    """Return the lines that hold a sensitive value."""
    source, _ = parse("", data, sensitivity, Findings())
    numbered = enumerate(data.decode().split("\n"), 1)
    return {line + "\n" for number, line in numbered if source.hides_on(number)}
