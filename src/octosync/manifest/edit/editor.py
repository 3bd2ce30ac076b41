"""Put: a value into a document, by the fewest edits: one difference at a time, each read anew before the next."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from difflib import SequenceMatcher
from itertools import takewhile
from typing import TypeAlias, cast

from octosync.manifest.edit import styles
from octosync.manifest.edit.layout import (
    Laid,
    LaidAlias,
    LaidMapping,
    LaidScalar,
    LaidSequence,
    Layout,
    Reading,
    read_layout,
)
from octosync.manifest.editing import flow
from octosync.manifest.editing.splices import Splice, spliced
from octosync.manifest.editing.unplaceable import Unplaceable
from octosync.manifest.editing.values import inline
from octosync.manifest.yaml.nodes import plain
from octosync.model import JsonObject, JsonValue, canonical_json, json_equal

# A key; an index; or what the item of a list is known by, such as {capability: chat}.
Step: TypeAlias = "str | JsonObject"
Path: TypeAlias = tuple[Step, ...]

_MOST_EDITS = 10_000


def put(
    text: str,
    path: Path,
    change: Callable[[JsonValue], JsonValue],
    reading: Reading,
    *,
    as_json: bool = False,
    compact: bool = False,
) -> str:
    """Make the value at a path of a document what `change` makes of it, and return the document's text.

    Objects change key by key, lists item by item; a new object of a list is written on one line where it is `compact`.
    Raises `Unplaceable` where that would touch anything else.
    """
    layout = read_layout(text, reading)
    at = _Place(layout, path, as_json=as_json, compact=compact)
    wanted = change(plain(at.value.node))
    for _ in range(_MOST_EDITS):
        splices = at.next_edit(wanted)
        if not splices:
            return layout.text
        layout = read_layout(spliced(layout.text, splices), reading)
        at = _Place(layout, path, as_json=as_json, compact=compact)
    raise Unplaceable("it differs in too many places")


class _Place:
    """A value, with what holds it."""

    def __init__(self, layout: Layout, path: Path, *, as_json: bool, compact: bool) -> None:
        self._layout = layout
        self._text = layout.text
        self._as_json = as_json
        self._compact = compact
        self._refuse_repeated(layout.root)
        self._holder: LaidMapping | LaidSequence | None = None
        self._at: str | int = 0
        self.value: Laid = layout.root
        for step in path:
            self._go(step)

    def _go(self, step: Step) -> None:
        holder = self.value
        if isinstance(step, str) and isinstance(holder, LaidMapping) and step in holder.entries:
            self._enter(holder, step)
        elif isinstance(step, dict) and isinstance(holder, LaidSequence):
            found = [index for index, one in enumerate(holder.items) if is_known_by(plain(one.node), step)]
            if len(found) != 1:
                raise Unplaceable("it can't be found in its list")
            self._enter(holder, found[0])
        else:
            raise Unplaceable("it can't be found")

    def _enter(self, holder: LaidMapping | LaidSequence, at: str | int) -> None:
        self._holder, self._at = holder, at
        self.value = holder.entries[str(at)][1] if isinstance(holder, LaidMapping) else holder.items[cast("int", at)]
        self._refuse_repeated(self.value)

    @property
    def _is_in_flow(self) -> bool:
        return self._holder is not None and self._holder.flow

    def _refuse_repeated(self, value: Laid) -> None:
        if isinstance(value, LaidAlias):
            raise Unplaceable("it stands in an alias, and what that repeats is written elsewhere, for several places")
        lines = self._layout.aliases.get(value.anchor or "")
        if lines:
            why = f"it is repeated by *{value.anchor}, so it would change in several places"
            raise Unplaceable(why, lines=tuple(lines))

    def next_edit(self, wanted: JsonValue) -> list[Splice]:
        """Return the first edit on the way to the wanted value; none where it is there."""
        old = self.value
        if json_equal(plain(old.node), wanted):
            return []
        if isinstance(old, LaidMapping) and isinstance(wanted, dict) and wanted and old.entries.keys() & wanted.keys():
            return self._in_mapping(old, wanted)
        if isinstance(old, LaidSequence) and isinstance(wanted, list) and wanted and (old.items or self._is_in_flow):
            return self._in_sequence(old, wanted)
        return self._replace(old, wanted)

    def _in_mapping(self, old: LaidMapping, wanted: JsonObject) -> list[Splice]:
        for name in old.entries:
            if name in wanted and not json_equal(plain(old.entries[name][1].node), wanted[name]):
                self._enter(old, name)
                return self.next_edit(wanted[name])
        names = list(old.entries)
        if (gone := next((name for name in names if name not in wanted), None)) is not None:
            if old.flow:
                return flow.remove_flow(self._text, old, names.index(gone))
            return styles.remove_entry(self._text, old, gone)
        name, value = next((name, value) for name, value in wanted.items() if name not in old.entries)
        *_, before = (names[-1], *takewhile(old.entries.__contains__, wanted))
        if old.flow:
            element = f"{inline(name, as_json=self._as_json)}: {inline(value, as_json=self._as_json)}"
            return flow.insert_flow(self._text, old, names.index(before) + 1, element)
        return styles.insert_entry(self._text, old, before, name, value)

    def _in_sequence(self, old: LaidSequence, wanted: list[JsonValue]) -> list[Splice]:
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
            return flow.remove_flow(self._text, old, first)
        return styles.remove_item(self._text, old, first)

    def _move(self, old: LaidSequence, index: int, before: int) -> list[Splice]:
        if not old.flow:
            return styles.move_item(self._text, old, index, before)
        if not self._as_json and "#" in self._text[old.start : old.end] and "\n" in self._text[old.start : old.end]:
            raise Unplaceable("comments stand in it, and its values change places")
        return flow.remove_flow(self._text, old, index)  # and the next edit inserts it

    def _insert(self, old: LaidSequence, index: int, value: JsonValue) -> list[Splice]:
        if old.flow:
            return flow.insert_flow(self._text, old, index, inline(value, as_json=self._as_json))
        return styles.insert_item(self._text, old, index, value, compact=self._compact)

    def _replace(self, old: Laid, value: JsonValue) -> list[Splice]:
        if isinstance(old, LaidScalar) and old.variables:
            raise Unplaceable(f"its value comes from the variable {', '.join(old.variables)}")
        style = old.style if isinstance(old, LaidScalar) else ""
        holder = self._holder
        if holder is None:
            raise Unplaceable("it is the whole document")
        if holder.flow:
            return flow.set_flow(self._text, old, inline(value, style, as_json=self._as_json))
        if isinstance(holder, LaidMapping):
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
