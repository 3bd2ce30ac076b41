"""Edits: which document of a file, which place in it, and what stands there then."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from octosync.manifest.edit.editor import Path, is_known_by, put
from octosync.manifest.edit.layout import Reading, document_places, read_layout
from octosync.manifest.editing.lines import next_line
from octosync.manifest.editing.unplaceable import Unplaceable
from octosync.manifest.schema.models import API_VERSION
from octosync.manifest.yaml.nodes import plain
from octosync.model import JsonObject, JsonValue

_BYTE_ORDER_MARK = "\ufeff"


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a thing may be declared: at a path of a document of this kind whose spec has these fields.

    Where `item` is given, the path is a list, and this place is meant only if the list has such an item. `change` makes the
    value there another one; None takes the whole document away. `compact`: objects of the list stand on one line each.
    """

    kind: str
    path: Path = ()
    known_by: JsonObject = field(default_factory=dict)
    item: JsonObject | None = None
    change: Callable[[JsonValue], JsonValue] | None = None
    compact: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Edit:
    """One edit of one file: at the first of the places that there is, in a document that speaks of the app."""

    app: str
    places: tuple[Place, ...]


def edited(data: bytes, edits: Iterable[Edit], reading: Reading) -> bytes:
    """Make the edits of a file, and return its bytes: byte order mark, line breaks and end as they were.

    Raises `Unplaceable` for the first that can't be made.
    """
    text = data.decode()
    mark = _BYTE_ORDER_MARK if text.startswith(_BYTE_ORDER_MARK) else ""
    text = text.removeprefix(mark)
    as_json = _is_json(text)
    for edit in edits:
        text = _edited(text, edit, reading, as_json=as_json)
        if as_json and not _is_json(text):
            raise Unplaceable("it would no longer be JSON")
    return (mark + text).encode()


def _edited(text: str, edit: Edit, reading: Reading, *, as_json: bool) -> str:
    documents = document_places(text)
    for start, end in documents:
        document = text[start:end]
        place = _place(document, edit, reading)
        if place is None:
            continue
        if place.change is None:
            if len(documents) == 1:
                raise Unplaceable("it is all that the file holds: remove the file")
            return text[: start + _head(document)] + text[end:]
        try:
            new = put(document, place.path, place.change, reading, as_json=as_json, compact=place.compact)
        except Unplaceable as error:
            above = text.count("\n", 0, start)
            raise Unplaceable(error.why, lines=tuple(line + above for line in error.lines)) from None
        return text[:start] + new + text[end:]
    raise Unplaceable("it can't be found there")


def _place(document: str, edit: Edit, reading: Reading) -> Place | None:
    try:
        root = plain(read_layout(document, reading).root.node)
    except Unplaceable:
        return None  # a document of somebody else's
    if not isinstance(root, dict) or root.get("apiVersion") != API_VERSION:
        return None
    return next((place for place in edit.places if _is_there(root, place, edit.app)), None)


def _is_there(root: JsonObject, place: Place, app: str) -> bool:
    spec = _object(root.get("spec"))
    slug = _object(root.get("metadata")).get("name") if place.kind == "App" else spec.get("app")
    if root.get("kind") != place.kind or slug != app:
        return False
    if any(spec.get(key) != value for key, value in place.known_by.items()):
        return False
    path = place.path if place.item is None else (*place.path, place.item)
    return bool(_reached([root], path))


def _reached(values: list[JsonValue], path: Path) -> list[JsonValue]:
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
