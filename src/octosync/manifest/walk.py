"""The walk over a document: checks every value against its shape, and keeps what is sound with its place."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from difflib import get_close_matches
from functools import partial
from typing import Final

from octosync.manifest.findings import Reporter
from octosync.manifest.nodes import Mapping, Node, Reported, Scalar, Sequence, join, plain, type_name
from octosync.manifest.shapes import (
    Flag,
    Ignored,
    ListOf,
    MapOf,
    Number,
    Opaque,
    Record,
    Shape,
    Text,
    TextOrRecord,
)
from octosync.model import JsonObject


@dataclass(slots=True)
class Fields:
    """A checked record: its sound values by key, its node, and its path in the document.

    Values are `Fields` for records, lists of values for lists, JSON for everything else. What is wrong is not in it, but for
    the items of a list, which keep their places: `WRONG` stands for one, and no method returns it.
    """

    node: Mapping
    path: str
    values: dict[str, object] = field(default_factory=dict)

    def __contains__(self, key: str) -> bool:
        return key in self.values

    def text(self, key: str) -> str | None:
        """Return a text, None where it is absent or wrong."""
        value = self.values.get(key)
        return value if isinstance(value, str) else None

    def flag(self, key: str) -> bool | None:
        """Return a truth value, None where it is absent or wrong."""
        value = self.values.get(key)
        return value if isinstance(value, bool) else None

    def number(self, key: str) -> float | None:
        """Return a number, None where it is absent or wrong."""
        value = self.values.get(key)
        return value if isinstance(value, int | float) and not isinstance(value, bool) else None

    def whole(self, key: str) -> int | None:
        """Return a whole number, None where it is absent or wrong."""
        value = self.number(key)
        return None if value is None else int(value)

    def texts(self, key: str) -> tuple[str, ...]:
        """Return a list of texts, empty where it is absent."""
        value = self.values.get(key)
        return tuple(item for item in value if isinstance(item, str)) if isinstance(value, list) else ()

    def text_map(self, key: str) -> dict[str, str]:
        """Return an object of texts, empty where it is absent."""
        value = self.values.get(key)
        items = value.items() if isinstance(value, dict) else ()
        return {name: one for name, one in items if isinstance(name, str) and isinstance(one, str)}

    def text_lists(self, key: str) -> dict[str, tuple[str, ...]]:
        """Return an object of lists of texts, empty where it is absent."""
        value = self.values.get(key)
        items = value.items() if isinstance(value, dict) else ()
        lists = ((str(name), texts) for name, texts in items if isinstance(texts, list))
        return {name: tuple(one for one in texts if isinstance(one, str)) for name, texts in lists}

    def json(self, key: str) -> JsonObject | None:
        """Return an opaque object, None where it is absent, wrong or null."""
        value = self.values.get(key)
        return value if isinstance(value, dict) else None

    def record(self, key: str) -> Fields | None:
        """Return a record, None where it is absent or wrong."""
        value = self.values.get(key)
        return value if isinstance(value, Fields) else None

    def records(self, key: str) -> list[Fields]:
        """Return a list of records, empty where it is absent."""
        value = self.values.get(key)
        return [item for item in value if isinstance(item, Fields)] if isinstance(value, list) else []

    def record_map(self, key: str) -> dict[str, Fields]:
        """Return an object of records, empty where it is absent."""
        value = self.values.get(key)
        return {name: one for name, one in value.items() if isinstance(one, Fields)} if isinstance(value, dict) else {}

    def at(self, key: str) -> Node:
        """Return the node of a value, the record's own where it is absent."""
        found = self.node.get(key)
        return self.node if found is None else found

    def key_at(self, key: str) -> Scalar | Mapping:
        """Return where a key is written, the record's own place where it is absent."""
        entry = self.node.entries.get(key)
        return entry[0] if entry else self.node

    def items(self, key: str) -> Iterator[tuple[str, object, Node]]:
        """Yield path, value and node of each sound item of a list."""
        node, values = self.node.get(key), self.values.get(key)
        if isinstance(node, Sequence) and isinstance(values, list):
            for index, (value, item) in enumerate(zip(values, node.items, strict=True)):
                if value is not WRONG:
                    yield join(self.below(key), index), value, item

    def below(self, key: str | int) -> str:
        """Return the path of something in this record."""
        return join(self.path, key)


class _Wrong:
    """Stands for a value that was reported and is left out."""


WRONG: Final = _Wrong()


class Walk:
    """Checks values of one file against shapes. `root` is what `octosync explain` calls its documents."""

    def __init__(self, reporter: Reporter, root: str) -> None:
        self._reporter = reporter
        self._root = root

    def record(self, node: Node, shape: Record, path: str = "") -> Fields | None:
        """Check a record; None where the node isn't an object at all."""
        found = self._record(node, shape, path)
        return found if isinstance(found, Fields) else None

    def _value(self, node: Node, shape: Shape, path: str) -> object:
        if isinstance(node, Scalar) and isinstance(node.value, Reported):
            return WRONG
        match shape:
            case Text():
                return self._text(node, shape, path)
            case Flag():
                return self._flag(node, path)
            case Number():
                return self._number(node, shape, path)
            case ListOf():
                return self._list(node, shape, path)
            case MapOf():
                return self._map(node, shape, path)
            case Opaque():
                return self._opaque(node, shape, path)
            case Record():
                return self._record(node, shape, path)
            case TextOrRecord():
                return self._text_or_record(node, shape, path)
            case Ignored():
                return None

    def _record(self, node: Node, shape: Record, path: str) -> object:
        if not isinstance(node, Mapping):
            return self._wrong_type(node, f"{shape.title}, an object,", path, notes=_about_colon(node))
        found = Fields(node, path)
        meant: set[str | None] = set()
        for key, (key_node, value) in node.entries.items():
            known = shape.fields.get(key)
            if known is None:
                if not isinstance(key_node.value, Reported):
                    meant.add(self._unknown(key, key_node, shape, path))
                continue
            checked = self._value(value, known.shape, join(path, key))
            if checked is not WRONG:
                found.values[key] = checked
        for key_node, value in node.repeated:
            key = str(key_node.value)
            if (known := shape.fields.get(key)) is not None:
                self._value(value, known.shape, join(path, key))
        for key, known in shape.fields.items():
            if known.required and key not in node.entries and key not in meant and not node.has_unread_key:
                self._reporter.report(
                    "missing-field",
                    Scalar(None, node.line, node.column, 1),
                    f"{shape.title} needs `{key}`: {known.about}",
                    path=join(path, key),
                )
        return found

    def _unknown(self, key: str, at: Scalar, shape: Record, path: str) -> str | None:
        """Report an unknown field, and return the one that was probably meant, which then isn't missing."""
        meant = closest(key, shape.fields)
        hidden = self._reporter.source.hides(at.line, at.column)
        self._reporter.report(
            "unknown-field",
            at,
            f"{self._reporter.quote(key, at)} is not a field of {shape.title}",
            path=path if hidden else join(path, key),
            suggestion=None if hidden else meant,
            notes=(
                f"its fields: {', '.join(shape.fields)}",
                f"`octosync explain {explained_as(self._root, path)}` says what they mean",
            ),
        )
        return meant

    def _text(self, node: Node, shape: Text, path: str) -> object:
        if not isinstance(node, Scalar) or not isinstance(node.value, str):
            suggestion = self._in_quotes(node, shape)
            meaning = shape.meaning or ", ".join(shape.choices)
            notes = (f"wanted is {meaning}",) if meaning else ()
            return self._wrong_type(node, "text", path, suggestion=suggestion, notes=notes)
        text = node.value
        quote = partial(self._reporter.quote, text, node)
        if shape.choices and text not in shape.choices:
            hidden = self._reporter.source.hides(node.line, node.column)
            self._reporter.report(
                shape.rule,
                node,
                f"{quote() if text else 'an empty text'} is none of {', '.join(shape.choices)}",
                path=path,
                suggestion=None if hidden else closest(text, shape.choices),
            )
            return WRONG
        if shape.pattern is not None and not shape.pattern.fullmatch(text):
            hidden = self._reporter.source.hides(node.line, node.column)
            suggestion = None if hidden else _respelled(text, shape.pattern)
            summary = f"{quote() if text else 'an empty text'} is not {shape.meaning}"
            self._reporter.report(shape.rule, node, summary, path=path, suggestion=suggestion)
            return WRONG
        if not text and not shape.may_be_empty:
            self._reporter.report(shape.rule, node, "the text is empty", path=path)
            return WRONG
        return text

    def _in_quotes(self, node: Node, shape: Text) -> str | None:
        """Return a number or boolean as the text that it would be in quotes, where that text would be right."""
        if not isinstance(node, Scalar) or node.value is None:
            return None
        text = str(node.value).lower() if isinstance(node.value, bool) else self._reporter.source.written(node)
        fits = not shape.pattern or shape.pattern.fullmatch(text)
        return f'"{text}"' if fits and (not shape.choices or text in shape.choices) else None

    def _flag(self, node: Node, path: str) -> object:
        if isinstance(node, Scalar) and isinstance(node.value, bool):
            return node.value
        meant = {"yes": "true", "on": "true", "true": "true", "no": "false", "off": "false", "false": "false"}
        suggestion = meant.get(str(node.value).lower()) if isinstance(node, Scalar) else None
        return self._wrong_type(node, "true or false", path, suggestion=suggestion)

    def _number(self, node: Node, shape: Number, path: str) -> object:
        value = node.value if isinstance(node, Scalar) else None
        bounds = f"at least {shape.least:g}" + ("" if shape.most is None else f" and at most {shape.most:g}")
        wanted = "a whole number" if shape.whole else "a number"
        if isinstance(value, bool) or not isinstance(value, int | float):
            return self._wrong_type(node, wanted, path, notes=(f"wanted is {wanted} of {bounds}",))
        if shape.whole and isinstance(value, float) and not value.is_integer():
            return self._wrong_type(node, wanted, path)
        if value < shape.least or (shape.most is not None and value > shape.most):
            self._reporter.report(
                "invalid-value", node, f"{self._reporter.quote(value, node)} must be {bounds}", path=path
            )
            return WRONG
        return int(value) if shape.whole else value

    def _list(self, node: Node, shape: ListOf, path: str) -> object:
        if not isinstance(node, Sequence):
            return self._wrong_type(node, "a list", path)
        if len(node.items) < shape.least:
            self._reporter.report("invalid-value", node, f"the list needs at least {shape.least}", path=path)
            return WRONG
        return [self._value(item, shape.item, join(path, index)) for index, item in enumerate(node.items)]

    def _map(self, node: Node, shape: MapOf, path: str) -> object:
        if not isinstance(node, Mapping):
            return self._wrong_type(node, "an object", path)
        checked = {key: self._value(value, shape.value, join(path, key)) for key, (_, value) in node.entries.items()}
        return {key: value for key, value in checked.items() if value is not WRONG}

    def _opaque(self, node: Node, shape: Opaque, path: str) -> object:
        if isinstance(node, Mapping) or (shape.nullable and isinstance(node, Scalar) and node.value is None):
            return plain(node)
        return self._wrong_type(node, "an object or null" if shape.nullable else "an object", path)

    def _text_or_record(self, node: Node, shape: TextOrRecord, path: str) -> object:
        if isinstance(node, Mapping):
            return self._record(node, shape.record, path)
        if isinstance(node, Scalar) and isinstance(node.value, str):
            return self._text(node, shape.text, path)
        return self._wrong_type(node, "a name or an object", path)

    def _wrong_type(
        self, node: Node, wanted: str, path: str, *, suggestion: str | None = None, notes: tuple[str, ...] = ()
    ) -> _Wrong:
        if isinstance(node, Mapping) and node.has_unread_key:
            return WRONG  # such as {{ name }}: that it is an object is part of what was reported
        hidden = self._reporter.source.hides(node.line, node.column)
        self._reporter.report(
            "wrong-type",
            node,
            f"{wanted} is wanted here, not {type_name(node)}",
            path=path,
            suggestion=None if hidden else suggestion,
            notes=(*notes, *_about_null(node, path)),
            shows_line=path != "",  # a file that is bare text may be a key
        )
        return WRONG


def explained_as(root: str, path: str) -> str:
    """Write the place of a record as `octosync explain` wants it: without positions, as far as its keys are plain words."""
    return re.match(r"[\w-]+(\.[\w-]+)*", re.sub(r"\[\d+\]", "", join(root, path)))[0]  # type: ignore[index]


def closest(word: str, among: Iterable[str]) -> str | None:
    """Return the name that was probably meant: another spelling of it, or one a few letters away."""
    names = list(among)
    folded: dict[str, str] = {}
    for name in names:
        folded.setdefault(_fold(name), name)
    if (same := folded.get(_fold(word))) is not None:
        return same
    letters = sorted(_fold(word[:100]))
    if swapped := [name for name in folded if sorted(name) == letters]:
        return folded[swapped[0]]
    close = get_close_matches(_fold(word[:100]), folded, n=1, cutoff=0.7)
    return folded[close[0]] if close else None


def _respelled(text: str, pattern: re.Pattern[str]) -> str | None:
    """Return the same in lower case and with hyphens, where that is what the pattern wants."""
    lowered = text.strip().lower()
    return next((one for one in (lowered, re.sub(r"[\s_]+", "-", lowered)) if pattern.fullmatch(one)), None)


def _fold(name: str) -> str:
    return name.replace("_", "").replace("-", "").lower()


def _about_colon(node: Node) -> tuple[str, ...]:
    """Say why a `key:value` is text."""
    text = node.value if isinstance(node, Scalar) and isinstance(node.value, str) else ""
    return ("a colon begins a value only with a space behind it",) if re.match(r"[\w-]+:\S", text) else ()


def _about_null(node: Node, path: str) -> tuple[str, ...]:
    """Say what to do about a null: what is no list's item can be left out."""
    if not isinstance(node, Scalar) or node.value is not None or not path or path.endswith("]"):
        return ()
    return ("leave the key out if octosync is not to own it" if path.startswith("spec.") else "leave the key out",)
