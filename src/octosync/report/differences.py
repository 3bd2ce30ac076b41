"""What differs between two values, for people: every element of a list, every field of an object, every line of a text.

A plan compares objects field by field, and has a list or a text as one value. Here such a value is taken apart:

- a list of objects by the key that names its elements, such as `binding_key`, or else by index;
- a list of strings or numbers by index, unless it is short;
- a text of several lines as a line diff with a line of context, a long line by the words that differ.

No difference is left out, so that a reviewer can't miss one.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from itertools import accumulate
from typing import Final, Self, TypeAlias

from octosync.model import (
    ELLIPSIS,
    SENSITIVE,
    SENSITIVE_CHANGED,
    JsonValue,
    Kind,
    Sensitivity,
    canonical_json,
    truncated,
)
from octosync.plan import ABSENT, Absent, FieldChange
from octosync.report.fields import names_below, path_words
from octosync.report.text import NONE, key_words, padded, value_words, visible

# The first of these that all objects of both lists have, each with another value, names the elements; no sensitive key does.
_NAMING_KEYS: Final = ("binding_key", "key", "id", "name")
_LONGEST_NAME: Final = 100  # characters of an element's name
_CONTEXT: Final = 24  # characters around the words that differ in a long line
# Matching takes quadratic time or more: what is larger is only compared from both ends.
_MOST_PAIRS: Final = 250_000
_TOKEN: Final = re.compile(r"\w+|\s+|[^\w\s]")
_HIDDEN: Final = (SENSITIVE, SENSITIVE_CHANGED)
_TRAILING: Final = re.compile(r" +$")


@dataclass(frozen=True, slots=True)
class Difference:
    """A value that differs: its path, and both sides in words. For a text of several lines, `lines` is its line diff."""

    name: str
    before: str = ""
    after: str = ""
    lines: tuple[str, ...] = ()

    @property
    def words(self) -> str:
        """Both sides on one line: `auto → local_only`."""
        return self.after if (self.before, self.after) == _HIDDEN else f"{self.before} → {self.after}"

    def text_lines(self, width: int = 0) -> Iterator[str]:
        """Yield the difference as text, with the name in a column of `width`."""
        if self.lines:
            yield self.name
            yield from (f"  {line}" for line in self.lines)
        else:
            yield f"{padded(self.name, width)}   {self.words}"


class _Leaf(str):
    """A value that is compared as a whole, by its canonical text. `is_hidden`: it is sensitive."""

    __slots__ = ("is_hidden", "value")

    is_hidden: bool
    value: JsonValue

    def __new__(cls, value: JsonValue, *, is_hidden: bool = False) -> Self:
        leaf = super().__new__(cls, canonical_json(value))
        leaf.value, leaf.is_hidden = value, is_hidden
        return leaf


# A value as it is compared. Objects and lists become dictionaries whose keys can't be mistaken for each other: that of a field
# begins with a dot, that of an element with a bracket.
_Tree: TypeAlias = "dict[str, _Tree] | _Leaf"
_ORDER: Final = " (order)"  # the key of the order of named elements
_ADDED: Final = "+"  # ends the key of an element that only the second list has: its index is of that list
_PADDING: Final = re.compile(r"^\[ +")


def differences(
    kind: Kind, change: FieldChange, sensitivity: Sensitivity, *, limit: int | None
) -> Iterator[Difference]:
    """Yield everything that differs in a changed field of an object, in order of its path.

    Values longer than `limit` characters are taken apart; None: texts are shown whole. Sensitive values are masked, and so is
    everything below a sensitive key.
    """
    before, after = (
        None if isinstance(side, Absent) else _Leaf(side, is_hidden=sensitivity.hides_at(change.path, side))
        for side in (change.before, change.after)
    )
    comparison = _Comparison(sensitivity, limit, names_below(kind, change.path))
    yield from comparison.compare(path_words(kind, change.path), before, after)


@dataclass(frozen=True, slots=True)
class _Comparison:
    """A comparison of values; None is one that is absent. `names` are those of keys that are shown as others."""

    sensitivity: Sensitivity
    limit: int | None
    names: Mapping[str, str]

    def compare(self, name: str, before: _Leaf | None, after: _Leaf | None) -> Iterator[Difference]:
        """Yield what differs between two values."""
        sides = [side for side in (before, after) if side is not None]
        values = [side.value for side in sides]
        if any(side.is_hidden for side in sides):
            yield self._whole(name, before, after)
        elif len(sides) == 2 and _both_have_parts(*values):
            yield from self._compare_parts(name, values[0], values[1])
        elif self.limit is None or all(len(value_words(value, self.names)) <= self.limit for value in values):
            yield self._whole(name, before, after)
        elif all(isinstance(value, str) for value in values):
            yield from _text_differences(name, *(None if side is None else str(side.value) for side in (before, after)))
        elif all(isinstance(value, Mapping) for value in values) or all(
            isinstance(value, list | tuple) for value in values
        ):
            empty: JsonValue = {} if isinstance(values[0], Mapping) else []
            old, new = (empty if side is None else side.value for side in (before, after))
            yield from self._compare_parts(name, old, new)
        elif len(sides) == 2 and any(
            isinstance(value, Mapping | list | tuple) for value in values
        ):  # of different types
            yield from self.compare(name, before, None)
            yield from self.compare(name, None, after)
        else:
            yield self._whole(name, before, after)

    def _whole(self, name: str, before: _Leaf | None, after: _Leaf | None) -> Difference:
        old = self._words(before, SENSITIVE)
        new = self._words(after, SENSITIVE)
        if old == new:  # what differs is sensitive
            new = self._words(after, SENSITIVE_CHANGED)
        return Difference(name, old, new)

    def _words(self, side: _Leaf | None, replacement: str) -> str:
        if side is None:
            return NONE
        return (
            replacement if side.is_hidden else value_words(self.sensitivity.redact(side.value, replacement), self.names)
        )

    def _compare_parts(self, name: str, before: JsonValue, after: JsonValue) -> Iterator[Difference]:
        """Yield what differs within two objects or two lists."""
        from deepdiff import DeepDiff  # it takes long to import, and most plans change no list

        old, new = self._trees(before, after)
        compared = DeepDiff(old, new, view="tree", threshold_to_diff_deeper=0, ignore_private_variables=False)
        found = {
            tuple(map(str, level.path(output_format="list"))): level for group in compared.values() for level in group
        }
        for path, level in sorted(found.items()):
            sides = (side if isinstance(side, _Leaf) else None for side in (level.t1, level.t2))
            yield from self.compare(f"{name}{''.join(map(self._shown, path))}", *sides)

    def _trees(self, before: JsonValue, after: JsonValue) -> tuple[_Tree, _Tree]:
        """Return two objects or two lists as they are compared: what both have is taken apart, down to its values."""
        old: dict[str, _Tree] = {}
        new: dict[str, _Tree] = {}
        for key, (left, right) in _parts(before, after, self.sensitivity):
            sides = [None if isinstance(side, Absent) else self._leaf(key, side) for side in (left, right)]
            if (
                not (isinstance(left, Absent) or isinstance(right, Absent))
                and _both_have_parts(left, right)
                and not any(side.is_hidden for side in sides if side is not None)
            ):
                old[key], new[key] = self._trees(left, right)
                continue
            for tree, side in zip((old, new), sides, strict=True):
                if side is not None:
                    tree[key] = side
        return old, new

    def _leaf(self, key: str, value: JsonValue) -> _Leaf:
        return _Leaf(value, is_hidden=key[0] == "." and self.sensitivity.hides(key[1:], value))

    def _shown(self, key: str) -> str:
        if key[0] == ".":
            shown = self.sensitivity.shown_key(key[1:])
            return f".{key_words(self.names.get(shown, shown))}"
        return _PADDING.sub("[", key.removesuffix(_ADDED))


_Sides: TypeAlias = "tuple[JsonValue | Absent, JsonValue | Absent]"


def _both_have_parts(before: JsonValue, after: JsonValue) -> bool:
    """Return whether two values have parts to pair: two objects, or two lists that contain objects or lists."""
    if isinstance(before, Mapping) and isinstance(after, Mapping):
        return bool(before) and bool(after)
    return all(
        isinstance(value, list | tuple) and any(isinstance(item, Mapping | list | tuple) for item in value)
        for value in (before, after)
    )


def _parts(before: JsonValue, after: JsonValue, sensitivity: Sensitivity) -> Iterator[tuple[str, _Sides]]:
    """Yield the fields of two objects, or the elements of two lists, in pairs."""
    if isinstance(before, Mapping) and isinstance(after, Mapping):
        for key in before.keys() | after.keys():
            yield f".{key}", (before.get(key, ABSENT), after.get(key, ABSENT))
    elif isinstance(before, list | tuple) and isinstance(after, list | tuple):
        naming = _naming_key(before, after, sensitivity)
        yield from _indexed_elements(before, after) if naming is None else _named_elements(before, after, naming)


def _naming_key(before: Sequence[JsonValue], after: Sequence[JsonValue], sensitivity: Sensitivity) -> str | None:
    """Return the key whose values name the objects of both lists; None if there is none.

    A key with sensitive values names nothing. Names are unique as they are shown, so that no element replaces another.
    """
    for key in _NAMING_KEYS:
        names = [[_element_name(item, key) for item in side] for side in (before, after)]
        is_unique = all(None not in side and len(side) == len({*side}) for side in names)
        if is_unique and not sensitivity.covers(key):
            return key
    return None


def _element_name(item: JsonValue, key: str) -> str | None:
    name = item.get(key) if isinstance(item, Mapping) else None
    return truncated(key_words(name), _LONGEST_NAME) if isinstance(name, str) else None


def _named_elements(before: Sequence[JsonValue], after: Sequence[JsonValue], key: str) -> Iterator[tuple[str, _Sides]]:
    old, new = ({str(_element_name(item, key)): item for item in side} for side in (before, after))
    for name in old.keys() | new.keys():
        yield f"[{name}]", (old.get(name, ABSENT), new.get(name, ABSENT))
    yield _ORDER, ([name for name in old if name in new], [name for name in new if name in old])


def _indexed_elements(before: Sequence[JsonValue], after: Sequence[JsonValue]) -> Iterator[tuple[str, _Sides]]:
    """Yield the elements that differ: in pairs where as many were removed as added, else those of one side."""
    width = len(str(max(len(before), len(after))))  # so that indexes sort as numbers
    for old, new in _changed_ranges(*(list(map(canonical_json, side)) for side in (before, after))):
        for index, other in zip(old, new, strict=False):
            yield f"[{index:>{width}}]", (before[index], after[other])
        for index in old[len(new) :]:
            yield f"[{index:>{width}}]", (before[index], ABSENT)
        for index in new[len(old) :]:
            yield f"[{index:>{width}}]{_ADDED}", (ABSENT, after[index])


def _changed_ranges(old: Sequence[str], new: Sequence[str]) -> Iterator[tuple[range, range]]:
    """Yield the ranges of two sequences that differ, in order; what is equal at both ends is skipped first."""
    start, shorter = 0, min(len(old), len(new))
    while start < shorter and old[start] == new[start]:
        start += 1
    end = 0
    while end < shorter - start and old[-1 - end] == new[-1 - end]:
        end += 1
    left, right = old[start : len(old) - end], new[start : len(new) - end]
    if len(left) * len(right) > _MOST_PAIRS:
        yield range(start, start + len(left)), range(start, start + len(right))
        return
    for tag, low, high, new_low, new_high in SequenceMatcher(None, left, right, autojunk=False).get_opcodes():
        if tag != "equal":
            yield range(start + low, start + high), range(start + new_low, start + new_high)


def _text_differences(name: str, before: str | None, after: str | None) -> Iterator[Difference]:
    """Yield what differs between two texts; None is one that is absent."""
    if before is None or after is None:
        present = before if after is None else after
        sign = "-" if after is None else "+"
        lines = (present or "").split("\n")
        if len(lines) > 1:
            yield Difference(name, lines=tuple(_line(sign, line) for line in lines))
        else:
            yield Difference(
                name, NONE if before is None else value_words(before), NONE if after is None else value_words(after)
            )
    elif "\n" in before or "\n" in after:
        yield Difference(name, lines=tuple(_line_diff(before.split("\n"), after.split("\n"))))
    else:
        yield from _word_differences(name, before, after)


def _line_diff(before: Sequence[str], after: Sequence[str]) -> Iterator[str]:
    """Yield the lines that differ, each with a sign, and a line of context around them."""
    shown = 0  # the first line of `before` that is not shown yet
    for old, new in _changed_ranges(before, after):
        if 0 < shown < old.start:
            yield _line(" ", before[shown])
            shown += 1
        start = max(shown, old.start - 1)
        if start > shown:
            yield f"  {ELLIPSIS}"
        yield from (_line(" ", line) for line in before[start : old.start])
        yield from (_line("-", before[index]) for index in old)
        yield from (_line("+", after[index]) for index in new)
        shown = old.stop
    if shown < len(before):
        yield _line(" ", before[shown])
    if shown + 1 < len(before):
        yield f"  {ELLIPSIS}"


def _line(sign: str, text: str) -> str:
    """Return a line of a diff. Spaces at its end, which would be invisible, are written as escapes."""
    return f"{sign} {_TRAILING.sub(lambda found: chr(92) + 'x20' * len(found[0]), visible(text))}".rstrip()


def _word_differences(name: str, before: str, after: str) -> Iterator[Difference]:
    """Yield the words that differ between two long lines, with some context."""
    tokens = _TOKEN.findall(before), _TOKEN.findall(after)
    ends = [[0, *accumulate(map(len, side))] for side in tokens]
    places: list[tuple[range, range]] = []
    for token_ranges in _changed_ranges(*tokens):
        old, new = (range(end[place.start], end[place.stop]) for end, place in zip(ends, token_ranges, strict=True))
        if places and old.start - places[-1][0].stop <= 2 * _CONTEXT:
            first_old, first_new = places.pop()
            old, new = range(first_old.start, old.stop), range(first_new.start, new.stop)
        places.append((old, new))
    for old, new in places:
        start = _common(before[old.start : old.stop], after[new.start : new.stop])
        end = _common(before[old.start + start : old.stop][::-1], after[new.start + start : new.stop][::-1])
        yield Difference(
            name,
            _excerpt(before, old.start + start, old.stop - end),
            _excerpt(after, new.start + start, new.stop - end),
        )


def _common(before: str, after: str) -> int:
    """Return how many characters two words have in common at their start, without those that are shown all the same."""
    shorter = min(len(before), len(after))
    return max(0, next((at for at in range(shorter) if before[at] != after[at]), shorter) - _CONTEXT)


def _excerpt(text: str, start: int, stop: int) -> str:
    first, last = max(0, start - _CONTEXT), min(len(text), stop + _CONTEXT)
    excerpt = f"{ELLIPSIS if first else ''}{text[first:last]}{ELLIPSIS if last < len(text) else ''}"
    return visible(json.dumps(excerpt, ensure_ascii=False))
