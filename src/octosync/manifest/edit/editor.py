"""Put: a value into a document, by the fewest edits: one difference at a time, each read anew before the next.

Edits: which document of a file, which place in it, and what stands there then.

Changes: what becomes of a value that stands in a manifest.

A patch: what an edit changes in a file, as `git apply` and `patch` read it.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import SequenceMatcher, unified_diff
from itertools import takewhile
from typing import TypeAlias, cast

from octosync.contract.normalize import pair_bindings
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
    document_places,
    next_line,
    read_layout,
)
from octosync.manifest.edit.styles import inline
from octosync.manifest.schema.models import API_VERSION
from octosync.manifest.schema.rules import Findings
from octosync.manifest.yaml.loader import parse
from octosync.manifest.yaml.nodes import plain
from octosync.model import JsonObject, JsonValue, Sensitivity, canonical_json, json_equal

# A key; an index; or what the item of a list is known by, such as {capability: chat}.
PathStep: TypeAlias = "str | JsonObject"
NodePath: TypeAlias = tuple[PathStep, ...]

_MOST_EDITS = 10_000


def put(
    text: str,
    path: NodePath,
    change: Callable[[JsonValue], JsonValue],
    reading: EditContext,
    *,
    as_json: bool = False,
    compact: bool = False,
) -> str:
    """Make the value at a path of a document what `change` makes of it, and return the document's text.

    Objects change key by key, lists item by item; a new object of a list is written on one line where it is `compact`.
    Raises `EditError` where that would touch anything else.
    """
    layout = read_layout(text, reading)
    at = _Cursor(layout, path, as_json=as_json, compact=compact)
    wanted = change(plain(at.value.node))
    for _ in range(_MOST_EDITS):
        splices = at.next_edit(wanted)
        if not splices:
            return layout.text
        layout = read_layout(apply_splices(layout.text, splices), reading)
        at = _Cursor(layout, path, as_json=as_json, compact=compact)
    raise EditError("it differs in too many places")


class _Cursor:
    """A value, with what holds it."""

    def __init__(self, layout: Layout, path: NodePath, *, as_json: bool, compact: bool) -> None:
        self._layout = layout
        self._text = layout.text
        self._as_json = as_json
        self._compact = compact
        self._refuse_repeated(layout.root)
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
            found = [index for index, one in enumerate(holder.items) if is_known_by(plain(one.node), step)]
            if len(found) != 1:
                raise EditError("it can't be found in its list")
            self._enter(holder, found[0])
        else:
            raise EditError("it can't be found")

    def _enter(self, holder: MappingSpan | SequenceSpan, at: str | int) -> None:
        self._holder, self._at = holder, at
        self.value = holder.entries[str(at)][1] if isinstance(holder, MappingSpan) else holder.items[cast("int", at)]
        self._refuse_repeated(self.value)

    @property
    def _is_in_flow(self) -> bool:
        return self._holder is not None and self._holder.flow

    def _refuse_repeated(self, value: NodeSpan) -> None:
        if isinstance(value, AliasSpan):
            raise EditError("it stands in an alias, and what that repeats is written elsewhere, for several places")
        lines = self._layout.aliases.get(value.anchor or "")
        if lines:
            why = f"it is repeated by *{value.anchor}, so it would change in several places"
            raise EditError(why, lines=tuple(lines))

    def next_edit(self, wanted: JsonValue) -> list[Splice]:
        """Return the first edit on the way to the wanted value; none where it is there."""
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
        there, then = [canonical_json(plain(one.node)) for one in old.items], [canonical_json(one) for one in wanted]
        if (move := _first_move(there, then)) is not None:
            return self._move(old, *move)
        codes = SequenceMatcher(None, there, then, autojunk=False).get_opcodes()
        code, first, last, new, new_last = next(one for one in codes if one[0] != "equal")
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
            raise EditError("comments stand in it, and its values change places")
        return styles.remove_flow(self._text, old, index)  # and the next edit inserts it

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


def _first_move(there: Sequence[str], then: Sequence[str]) -> tuple[int, int] | None:
    """Return the first item of a list that moves up, and the one that it goes before; None if the order stays.

    So that what is said beside a value in a comment stays with the value.
    """
    both = Counter(there) & Counter(then)
    stay, order = _first_of(there, both), _first_of(then, both)
    for now, later in zip(stay, order, strict=True):
        if there[now] != then[later]:
            return next(index for index in stay if index > now and there[index] == then[later]), now
    return None


def _first_of(values: Sequence[str], counts: Counter[str]) -> list[int]:
    """Return where the first so many of each value are."""
    left = Counter(counts)
    return [index for index, value in enumerate(values) if left[value] > 0 and not left.subtract((value,))]


def is_known_by(value: JsonValue, known_by: JsonObject) -> bool:
    """Say whether an item is the one that these of its fields name."""
    return isinstance(value, dict) and all(value.get(key) == one for key, one in known_by.items())


def _alike(old: JsonValue, new: JsonValue) -> bool:
    """Say whether two objects of a list may be one that changed: they have something in common."""
    if not isinstance(old, dict) or not isinstance(new, dict):
        return False
    return any(key in new and json_equal(value, new[key]) for key, value in old.items())


_BYTE_ORDER_MARK = "\ufeff"


@dataclass(frozen=True, slots=True, kw_only=True)
class EditTarget:
    """Where a thing may be declared: at a path of a document of this kind whose spec has these fields.

    Where `item` is given, the path is a list, and this place is meant only if the list has such an item. `change` makes the
    value there another one; None takes the whole document away. `compact`: objects of the list stand on one line each.
    """

    kind: str
    path: NodePath = ()
    known_by: JsonObject = field(default_factory=dict)
    item: JsonObject | None = None
    change: Callable[[JsonValue], JsonValue] | None = None
    compact: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Edit:
    """One edit of one file: at the first of the places that there is, in a document that speaks of the app."""

    app: str
    places: tuple[EditTarget, ...]


def apply_edits(data: bytes, edits: Iterable[Edit], reading: EditContext) -> bytes:
    """Make the edits of a file, and return its bytes: byte order mark, line breaks and end as they were.

    Raises `EditError` for the first that can't be made.
    """
    text = data.decode()
    mark = _BYTE_ORDER_MARK if text.startswith(_BYTE_ORDER_MARK) else ""
    text = text.removeprefix(mark)
    as_json = _is_json(text)
    for edit in edits:
        text = _apply_edit(text, edit, reading, as_json=as_json)
        if as_json and not _is_json(text):
            raise EditError("it would no longer be JSON")
    return (mark + text).encode()


def _apply_edit(text: str, edit: Edit, reading: EditContext, *, as_json: bool) -> str:
    documents = document_places(text)
    for start, end in documents:
        document = text[start:end]
        place = _matching_target(document, edit, reading)
        if place is None:
            continue
        if place.change is None:
            if len(documents) == 1:
                raise EditError("it is all that the file holds: remove the file")
            return text[: start + _head(document)] + text[end:]
        try:
            new = put(document, place.path, place.change, reading, as_json=as_json, compact=place.compact)
        except EditError as error:
            above = text.count("\n", 0, start)
            raise EditError(error.why, lines=tuple(line + above for line in error.lines)) from None
        return text[:start] + new + text[end:]
    raise EditError("it can't be found there")


def _matching_target(document: str, edit: Edit, reading: EditContext) -> EditTarget | None:
    try:
        root = plain(read_layout(document, reading).root.node)
    except EditError:
        return None  # a document of somebody else's
    if not isinstance(root, dict) or root.get("apiVersion") != API_VERSION:
        return None
    return next((place for place in edit.places if _is_there(root, place, edit.app)), None)


def _is_there(root: JsonObject, place: EditTarget, app: str) -> bool:
    spec = _object(root.get("spec"))
    slug = _object(root.get("metadata")).get("name") if place.kind == "App" else spec.get("app")
    if root.get("kind") != place.kind or slug != app:
        return False
    if any(spec.get(key) != value for key, value in place.known_by.items()):
        return False
    path = place.path if place.item is None else (*place.path, place.item)
    return bool(_values_at([root], path))


def _values_at(values: list[JsonValue], path: NodePath) -> list[JsonValue]:
    """Return what stands at a path, below any of the values."""
    for step in path:
        if isinstance(step, str):
            values = [one[step] for one in values if isinstance(one, dict) and step in one]
        else:
            values = [item for one in values if isinstance(one, list) for item in one if is_known_by(item, step)]
    return values


def _object(value: JsonValue) -> JsonObject:
    return value if isinstance(value, dict) else {}


def _head(document: str) -> int:
    """Return how far the comments and blank lines reach with which a file begins: they are about all of it."""
    place = 0
    while place < len(document):
        line = document[place : next_line(document, place)].strip()
        if line and not line.startswith("#"):
            break
        place = next_line(document, place)
    return place if not document.startswith("---") else 0


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
    """Return the bindings to declare: each declared one with its live partner's values, then what is live beside them."""
    old = list(declared) if isinstance(declared, list | tuple) else []
    there = list(live) if isinstance(live, list | tuple) else []
    partners = pair_bindings(old, there)
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


_NO_LINE_BREAK = "\\ No newline at end of file\n"


def patch_of(name: str, before: bytes, after: bytes, *, sensitivity: Sensitivity) -> str:
    """Return the patch of a file, with as much of its lines around as there is, up to three.

    Raises `OctosyncError` where it would show a sensitive value: a line of the edit has one, or one right beside.
    """
    hidden = _hidden_lines(before, sensitivity) | _hidden_lines(after, sensitivity)
    old, new = _lines(before), _lines(after)
    for context in (3, 2, 1):
        lines = list(unified_diff(old, new, f"a/{name}", f"b/{name}", n=context))
        if not any(line[1:].removesuffix(_NO_LINE_BREAK) in hidden for line in lines[2:]):
            return "".join(lines)
    raise OctosyncError(
        "sensitive-patch",
        f"a patch of {name} would show a sensitive value that stands beside what changes",
        hints=("Without --patch the file is edited, and nothing of it shown.",),
    )


def _lines(data: bytes) -> list[str]:
    """Return the lines of a file; one without a line break says so, as patches do."""
    lines = [f"{line}\n" for line in data.decode().split("\n")]
    *ended, last = lines
    return ended if last == "\n" else [*ended, last + _NO_LINE_BREAK]


def _hidden_lines(data: bytes, sensitivity: Sensitivity) -> set[str]:
    """Return the lines on which something sensitive stands."""
    source, _ = parse("", data, sensitivity, Findings())
    numbered = enumerate(data.decode().split("\n"), 1)
    return {line + "\n" for number, line in numbered if source.hides_on(number)}
