"""The explanation of a field by its path: its meaning, its values and what it owns, from the models of documents."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final, Union

from octosync.manifest.config.schema import ConfigurationFile
from octosync.manifest.schema.json_schema import field_example
from octosync.manifest.schema.models import KINDS
from octosync.manifest.schema.shapes import Field, Shape, Text, shape_of
from octosync.model import FieldExplanation, closest

_ABOUT: Final = {
    "app": "an app",
    "apptarget": "a target of an app as a separate document",
    "capabilityslot": "a slot of an app as a separate document",
    "inferenceconfig": "the inference config of an app as a separate document",
    "config": "octosync.yaml: contexts, paths, guards",
}
_ROOTS: Final = {**{kind.lower(): model for kind, model in KINDS.items()}, "config": ConfigurationFile}


class UnknownPathError(LookupError):
    """A field doesn't exist. `near` is the path that was probably meant, if any; `parent` the object that lacks it."""

    def __init__(self, near: str | None, parent: FieldExplanation | None) -> None:
        super().__init__(near)
        self.near = near
        self.parent = parent


def explained_roots() -> tuple[FieldExplanation, ...]:
    """Return the kinds of documents, with which paths begin."""
    return tuple(_explained(name, _root_field(name), deep=False) for name in _ROOTS)


def explain_path(path: str) -> FieldExplanation:
    """Return the explanation of a path. Raises `UnknownPathError`.

    Indices of lists (`slots[0]`) and names in a map (`config.contexts.local.url`) are optional. A path that begins with `spec`
    or `metadata`, as in a diagnostic, is an app's.
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
            in_map = field.shape.type is dict and not field.shape.is_opaque
        elif in_map:
            in_map = False  # a name in the map
        else:
            meant = closest(word, fields)
            near = ".".join((at, meant, *words[index + 1 :])) if meant else None
            raise UnknownPathError(near if near is None or _exists(near) else f"{at}.{meant}", _explained(at, field))
    return _explained(at, field)


def closest_root(word: str) -> str | None:
    """Return the kind of document that a word names, or probably means."""
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
    return Field(shape=shape_of(_ROOTS[name]), about=_ABOUT[name])


def _fields(shape: Shape) -> Mapping[str, Field]:
    return _fields(shape.parts[-1]) if shape.parts else shape.fields


def _explained(path: str, field: Field, *, deep: bool = True) -> FieldExplanation:
    text = _text(field.shape)
    return FieldExplanation(
        path=path,
        about=field.about,
        type=type_words(field.shape),
        required=field.required,
        default=field.default,
        choices=text.choices if text else (),
        known=text.known if text else (),
        others=text.others if text else "",
        meaning=text.meaning if text else "",
        owns=field.owns,
        example=field_example(field) if deep else None,
        fields=tuple(
            _explained(f"{path}.{name}", below, deep=False) for name, below in _fields(field.shape).items() if deep
        ),
    )


def _text(shape: Shape) -> Text | None:
    return _text(shape.parts[0]) if shape.type in (list, Union) else shape.text


def type_words(shape: Shape) -> str:
    """Return a shape in words: `a string`, `a list of objects`, `a whole number of at least 1 and at most 256`."""
    if shape.type in (int, float):
        least, most = shape.bounds.least, shape.bounds.most
        at_most = "" if most is None else f" and at most {most:g}"
        return f"a {'whole ' if shape.type is int else ''}number of at least {least:g}{at_most}"
    if shape.type is list:
        at_least = f", at least {shape.bounds.least}" if shape.bounds.least else ""
        key = f", one for each {' and '.join(shape.key)}" if shape.key else ""
        return f"a list of {_plural(shape.parts[0])}{at_least}{key}"
    if shape.type is dict and not shape.is_opaque:
        return f"an object with names of your own and {_plural(shape.parts[0])} as values"
    simple = {str: "a string", bool: "true or false", Union: "a name or an object", Any: "anything"}
    return simple.get(shape.type, "an object or null" if shape.nullable else "an object")


def _plural(shape: Shape) -> str:
    return (
        f"lists of {_plural(shape.parts[0])}" if shape.type is list else "strings" if shape.type is str else "objects"
    )
