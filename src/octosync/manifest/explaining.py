"""Fields by their paths: what they mean, may hold and own, from the shapes that the loader checks by."""

from __future__ import annotations

import re
from typing import Final

from octosync.manifest.configuration_schema import CONFIGURATION
from octosync.manifest.json_schema import field_example
from octosync.manifest.schema import KINDS
from octosync.manifest.shapes import (
    Field,
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
from octosync.manifest.walk import closest
from octosync.model import ExplainedField

_ABOUT: Final = {
    "app": "an app with what it declares",
    "apptarget": "one target of an app, in a document of its own",
    "capabilityslot": "one slot of an app, in a document of its own",
    "inferenceconfig": "the inference config of an app, in a document of its own",
    "config": "octosync.yaml: contexts, paths, guards",
}
_ROOTS: Final = {**{kind.lower(): record for kind, record in KINDS.items()}, "config": CONFIGURATION}


class UnknownPathError(LookupError):
    """No such field. `near` is the path that was probably meant, None where none comes to mind; `parent` what there is."""

    def __init__(self, near: str | None, parent: ExplainedField | None) -> None:
        super().__init__(near)
        self.near = near
        self.parent = parent


def explained_roots() -> tuple[ExplainedField, ...]:
    """Return the documents that paths begin with."""
    return tuple(_explained(name, _root_field(name), deep=False) for name in _ROOTS)


def explain_path(path: str) -> ExplainedField:
    """Return what a path means. Raises `UnknownPathError`.

    Positions in lists may be given or left out (`slots[0]`), so may the names in a map (`config.contexts.local.url`), and a
    path as a diagnostic writes it, from `spec` or `metadata` on, is an app's.
    """
    words = _words(path)
    if words and words[0] in ("spec", "metadata"):
        words.insert(0, "app")
    root = closest_root(words[0]) if words else None
    if root is None or root not in _ROOTS:
        raise UnknownPathError(None, None)
    field, at = _root_field(root), root
    if root != words[0]:
        raise UnknownPathError(".".join((root, *words[1:])), None)
    in_map = False
    for index, word in enumerate(words[1:], 1):
        fields = _fields(field.shape)
        if word in fields:
            field, at = fields[word], f"{at}.{word}"
            in_map = isinstance(field.shape, MapOf)
        elif in_map:
            in_map = False  # a name that somebody has chosen
        else:
            meant = closest(word, fields)
            near = ".".join((at, meant, *words[index + 1 :])) if meant else None
            raise UnknownPathError(near if near is None or _exists(near) else f"{at}.{meant}", _explained(at, field))
    return _explained(at, field)


def closest_root(word: str) -> str | None:
    """Return the document that a word stands for, or probably does."""
    return word if word in _ROOTS else closest(word, _ROOTS)


def _words(path: str) -> list[str]:
    path = re.sub(r"^octosync\.yaml\b", "config", path.strip())
    words = [word for word in re.sub(r"\[[^\]]*\]", "", path).strip(".").split(".") if word]
    return [words[0].lower(), *words[1:]] if words else []


def _exists(path: str) -> bool:
    try:
        explain_path(path)
    except UnknownPathError:
        return False
    return True


def _root_field(name: str) -> Field:
    return Field(shape=_ROOTS[name], about=_ABOUT[name])


def _fields(shape: Shape) -> dict[str, Field]:
    match shape:
        case Record():
            return dict(shape.fields)
        case ListOf():
            return _fields(shape.item)
        case MapOf():
            return _fields(shape.value)
        case TextOrRecord():
            return _fields(shape.record)
    return {}


def _explained(path: str, field: Field, *, deep: bool = True) -> ExplainedField:
    text = _text(field.shape)
    return ExplainedField(
        path=path,
        about=field.about,
        type=type_words(field.shape),
        required=field.required,
        default=field.default,
        choices=text.choices if text else (),
        known=text.known if text else (),
        meaning=text.meaning if text else "",
        owns=field.owns,
        example=field_example(field) if deep else None,
        fields=tuple(
            _explained(f"{path}.{name}", below, deep=False) for name, below in _fields(field.shape).items() if deep
        ),
    )


def _text(shape: Shape) -> Text | None:
    match shape:
        case Text():
            return shape
        case ListOf():
            return _text(shape.item)
        case TextOrRecord():
            return shape.text
    return None


def type_words(shape: Shape) -> str:
    """Say what a value of a shape is: `text`, `a list of objects`, `a whole number of at least 1 and at most 256`."""
    match shape:
        case Text():
            return "text"
        case Flag():
            return "true or false"
        case Number():
            most = "" if shape.most is None else f" and at most {shape.most:g}"
            return f"a {'whole ' if shape.whole else ''}number of at least {shape.least:g}{most}"
        case ListOf():
            least = f", at least {shape.least}" if shape.least else ""
            key = f", one for each {' and '.join(shape.key)}" if shape.key else ""
            return f"a list of {_plural(shape.item)}{least}{key}"
        case MapOf():
            return f"an object with names of your own and {_plural(shape.value)} as values"
        case Opaque():
            return "an object or null" if shape.nullable else "an object"
        case Record():
            return "an object"
        case TextOrRecord():
            return "a name or an object"
        case Ignored():
            return "anything"


def _plural(shape: Shape) -> str:
    match shape:
        case Text():
            return "texts"
        case ListOf():
            return f"lists of {_plural(shape.item)}"
    return "objects"
