"""The validation of a document: pydantic compares it with its model, and every error becomes a finding with its position."""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import KW_ONLY, dataclass, replace
from functools import partial
from typing import Any, Union

from pydantic_core import ValidationError

from octosync.manifest.schema.checked_object import WRONG, CheckedObject
from octosync.manifest.schema.rules import Reporter
from octosync.manifest.schema.shapes import InvalidText, ObjectModel, Shape, Text, shape_of, title_of, validator_of
from octosync.manifest.yaml.nodes import Mapping, Node, Scalar, Sequence, UnreadText, join, type_name
from octosync.model import closest


def check(node: Node, model: type[ObjectModel], reporter: Reporter, root: str) -> CheckedObject | None:
    """Check an object against its model, report every error, and return its fields; None if the node is no object.

    `root` is what `octosync explain` calls such documents.
    """
    errors = _ErrorReporter(reporter, root)
    if not isinstance(node, Mapping):
        errors.wrong_value(node, shape_of(model), "")
        return None
    return _Check(node, model, errors).run("")


@dataclass(frozen=True, slots=True)
class _Place:
    """A value of a document: its node, shape and path, and the container and key of the plain value."""

    node: Node
    shape: Shape
    path: str
    holder: Any = None
    key: str | int = ""

    @property
    def known(self) -> Shape:
        """The shape; for a name or an object, the alternative that the value is checked against."""
        return self.shape.parts[isinstance(self.node, Mapping)] if self.shape.type is Union else self.shape

    def inner(self, key: str | int, holder: Any = None) -> _Place | None:  # noqa: ANN401 - JSON
        """Return the place of a key or index; None if the model doesn't know it."""
        node, shape = self.node, self.known
        part = shape.fields[str(key)].shape if key in shape.fields else next(iter(shape.parts), None)
        if part is None or isinstance(node, Scalar):
            return None
        below = node.entries[str(key)][1] if isinstance(node, Mapping) else node.items[int(key)]
        return _Place(below, part, join(self.path, key), holder, key)


@dataclass(slots=True)
class _Check:
    """The check of an object and of everything in it."""

    _node: Mapping
    _model: type[ObjectModel]
    _errors: _ErrorReporter
    _: KW_ONLY
    _is_whole: bool = True
    _has_repeated: bool = False

    def run(self, path: str) -> CheckedObject:
        """Check the object, and return its fields."""
        values = self._values(self._node)
        try:
            validator_of(self._model).validate_python(values)
        except ValidationError as error:
            self._report(error, _Place(self._node, shape_of(self._model), path), values)
        if self._has_repeated:
            self._check_repeated(_Place(self._node, shape_of(self._model), path))
        return CheckedObject(values, lambda: (self._node, path))

    def _values(self, node: Node) -> Any:  # noqa: ANN401 - JSON
        if isinstance(node, Scalar):
            return node.value
        if isinstance(node, Sequence):
            return [self._values(item) for item in node.items]
        if node.repeated:
            self._has_repeated = True
        return {key: self._values(value) for key, (_, value) in node.entries.items()}

    def _report(self, error: ValidationError, top: _Place, values: dict[str, Any]) -> None:
        """Report the errors that pydantic found, and replace the values that they are about."""
        found = error.errors(include_url=False, include_input=False)
        meant: dict[tuple[str | int, ...], set[str | None]] = defaultdict(set)
        for problem in found:
            kind, loc = problem["type"], problem["loc"]
            if kind == "extra_forbidden":
                holder = _below(top, loc[:-1], values)
                meant[loc[:-1]].add(self._errors.unknown_field(str(loc[-1]), holder))
            elif kind != "missing":
                place = _below(top, loc, values)
                cause = problem.get("ctx", {}).get("error")
                if isinstance(cause, InvalidText):
                    self._errors.invalid_text(cause, place.node, place.path)
                else:
                    self._errors.wrong_value(place.node, place.shape, place.path)
                place.holder[place.key] = WRONG
        for loc in (problem["loc"] for problem in found if problem["type"] == "missing"):
            if loc[-1] not in meant[loc[:-1]] and (self._is_whole or len(loc) > 1):
                self._errors.missing_field(str(loc[-1]), _below(top, loc[:-1], values))

    def _check_repeated(self, place: _Place) -> None:
        """Check the values of repeated keys. They are not part of the result, but their errors are reported."""
        node, fields = place.node, place.known.fields
        for key_node, value in node.repeated if isinstance(node, Mapping) else ():
            if (key := str(key_node.value)) in fields:
                alone = Mapping({key: (key_node, value)}, node.line, node.column)
                _Check(alone, place.known.type, self._errors, _is_whole=False).run(place.path)
        keys = (
            node.entries if isinstance(node, Mapping) else range(len(node.items)) if isinstance(node, Sequence) else ()
        )
        for inner in filter(None, map(place.inner, keys)):
            self._check_repeated(inner)


def _below(top: _Place, loc: tuple[str | int, ...], values: Any) -> _Place:  # noqa: ANN401 - JSON
    """Return the place of a pydantic location: keys, indices, and the tags of names and objects."""
    place = top
    for key in loc:
        if place.shape.type is Union:
            place = replace(place, shape=place.known)
        elif (inner := place.inner(key, values if place is top else place.holder[place.key])) is not None:
            place = inner
    return place


@dataclass(frozen=True, slots=True)
class _ErrorReporter:
    """Reports values that don't have their shapes."""

    _reporter: Reporter
    _root: str

    def missing_field(self, key: str, place: _Place) -> None:
        """Report that a required field is missing."""
        node = place.node
        if isinstance(node, Mapping) and node.has_unread_key:
            return
        about = place.shape.fields[key].about
        self._reporter.report(
            "missing-field",
            Scalar(None, node.line, node.column, 1),
            f"{title_of(place.shape.type)} needs `{key}`: {about}",
            path=join(place.path, key),
        )

    def unknown_field(self, key: str, place: _Place) -> str | None:
        """Report an unknown field, and return the one that was probably meant: it doesn't count as missing."""
        at = place.node.entries[key][0] if isinstance(place.node, Mapping) else Scalar(None, 1, 1, 1)
        if isinstance(at.value, UnreadText):
            return None
        fields = place.shape.fields
        meant = closest(key, fields)
        hidden = self._reporter.source.hides(at.line, at.column)
        self._reporter.report(
            "unknown-field",
            at,
            f"{self._reporter.quote(key, at)} is not a field of {title_of(place.shape.type)}",
            path=place.path if hidden else join(place.path, key),
            suggestion=None if hidden else meant,
            notes=(
                f"its fields: {', '.join(fields)}",
                f"`octosync explain {explained_as(self._root, place.path)}` explains them",
            ),
        )
        return meant

    def invalid_text(self, error: InvalidText, node: Node, path: str) -> None:
        """Report a text that a validator rejected."""
        source, value = self._reporter.source, node.value if isinstance(node, Scalar) else ""
        if isinstance(value, UnreadText):
            return
        if error.hides:
            source.hide((node.line, node.column), (node.line, node.column + node.width))
        quote = f"{self._reporter.quote(value, node)} " if error.quotes else ""
        suggestion = None if source.hides(node.line, node.column) else closest(str(value), error.names)
        summary = f"{quote}{error.summary}"
        self._reporter.report(error.rule, node, summary, path=path, suggestion=suggestion, notes=error.notes)

    def wrong_value(self, node: Node, shape: Shape, path: str) -> None:
        """Report a value that its field can't have."""
        if isinstance(node, Scalar) and isinstance(node.value, UnreadText):
            return
        if shape.is_model:
            self._wrong_type(node, f"{title_of(shape.type)}, an object,", path, notes=_about_colon(node))
        elif shape.type is str:
            self._text(node, shape.text or Text(), path)
        elif shape.type is bool:
            self._flag(node, path)
        elif shape.type in (int, float):
            self._number(node, shape, path)
        elif shape.type is list and isinstance(node, Sequence):
            self._reporter.report("invalid-value", node, f"the list needs at least {shape.bounds.least}", path=path)
        elif shape.type is Union:
            self._wrong_type(node, "a name or an object", path)
        else:
            expected = "a list" if shape.type is list else "an object or null" if shape.nullable else "an object"
            self._wrong_type(node, expected, path)

    def _text(self, node: Node, text: Text, path: str) -> None:
        if not isinstance(node, Scalar) or not isinstance(node.value, str):
            meaning = text.meaning or ", ".join(text.choices)
            notes = (f"expected {meaning}",) if meaning else ()
            self._wrong_type(node, "a string", path, suggestion=self._in_quotes(node, text), notes=notes)
            return
        value = node.value
        written = self._reporter.quote(value, node) if value else "an empty string"
        hidden = self._reporter.source.hides(node.line, node.column)
        report = partial(self._reporter.report, text.rule, node, path=path)
        if text.choices:
            suggestion = None if hidden else closest(value, text.choices)
            report(f"{written} is none of {', '.join(text.choices)}", suggestion=suggestion)
        elif text.pattern is not None:
            suggestion = None if hidden else _respelled(value, text.pattern)
            report(f"{written} is not {text.meaning}", suggestion=suggestion)
        else:
            report("the string is empty")

    def _in_quotes(self, node: Node, text: Text) -> str | None:
        """Return a number or boolean in quotes if that text would be valid."""
        if not isinstance(node, Scalar) or node.value is None:
            return None
        written = str(node.value).lower() if isinstance(node.value, bool) else self._reporter.source.written(node)
        fits = not text.pattern or text.pattern.fullmatch(written)
        return f'"{written}"' if fits and (not text.choices or written in text.choices) else None

    def _flag(self, node: Node, path: str) -> None:
        meant = {"yes": "true", "on": "true", "true": "true", "no": "false", "off": "false", "false": "false"}
        suggestion = meant.get(str(node.value).lower()) if isinstance(node, Scalar) else None
        self._wrong_type(node, "true or false", path, suggestion=suggestion)

    def _number(self, node: Node, shape: Shape, path: str) -> None:
        value = node.value if isinstance(node, Scalar) else None
        bounds = f"at least {shape.bounds.least:g}" + (
            "" if shape.bounds.most is None else f" and at most {shape.bounds.most:g}"
        )
        expected = "a whole number" if shape.type is int else "a number"
        if isinstance(value, bool) or not isinstance(value, int | float):
            self._wrong_type(node, expected, path, notes=(f"expected {expected} of {bounds}",))
        elif shape.type is int and isinstance(value, float) and not value.is_integer():
            self._wrong_type(node, expected, path)
        else:
            quote = self._reporter.quote(value, node)
            self._reporter.report("invalid-value", node, f"{quote} must be {bounds}", path=path)

    def _wrong_type(
        self, node: Node, expected: str, path: str, *, suggestion: str | None = None, notes: tuple[str, ...] = ()
    ) -> None:
        if isinstance(node, Mapping) and node.has_unread_key:
            return  # such as {{ name }}: that it is an object is part of what was reported
        hidden = self._reporter.source.hides(node.line, node.column)
        self._reporter.report(
            "wrong-type",
            node,
            f"expected {expected}, got {type_name(node)}",
            path=path,
            suggestion=None if hidden else suggestion,
            notes=(*notes, *_about_null(node, path)),
            shows_line=path != "",  # a file that is bare text may be a key
        )


def explained_as(root: str, path: str) -> str:
    """Return a path as `octosync explain` takes it: without indices, up to the first key that is no plain word."""
    return re.match(r"[\w-]+(\.[\w-]+)*", re.sub(r"\[\d+\]", "", f"{root}.{path}"))[0]  # type: ignore[index]


def _respelled(text: str, pattern: re.Pattern[str]) -> str | None:
    """Return the text in lower case or with hyphens if that matches the pattern."""
    lowered = text.strip().lower()
    return next(
        (spelling for spelling in (lowered, re.sub(r"[\s_]+", "-", lowered)) if pattern.fullmatch(spelling)), None
    )


def _about_colon(node: Node) -> tuple[str, ...]:
    """Return the note that explains why `key:value` is text."""
    text = node.value if isinstance(node, Scalar) and isinstance(node.value, str) else ""
    return ("a colon begins a value only with a space behind it",) if re.match(r"[\w-]+:\S", text) else ()


def _about_null(node: Node, path: str) -> tuple[str, ...]:
    """Return the note on a null: unless it is an item of a list, it can be left out."""
    if not isinstance(node, Scalar) or node.value is not None or not path or path.endswith("]"):
        return ()
    return ("leave the key out if octosync is not to own it" if path.startswith("spec.") else "leave the key out",)
