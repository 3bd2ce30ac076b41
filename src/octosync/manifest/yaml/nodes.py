"""YAML and JSON values with their positions, and the loader's working state.

Lines and columns count from 1, columns in characters. `width` is the number of characters that a value takes on its first
line, 0 for the rest of that line. Aliased nodes are shared, so nodes never change after variables are replaced.
"""

from __future__ import annotations

from collections.abc import Mapping as Mapping_
from dataclasses import dataclass, field
from typing import Final, Protocol, TypeAlias

from octosync.model import JsonValue, Sensitivity, truncated

MOST_CHARACTERS: Final = 16 * 1024 * 1024  # of text in a file, aliases expanded
# Longer keys are cut in paths: paths are for people, and every finding has one.
LONGEST_KEY: Final = 100


class UnreadText(str):
    """The text of a value or key that could not be read. It is reported already, so later checks skip it."""

    __slots__ = ()


@dataclass(slots=True)
class Scalar:
    """A string, number, boolean or null."""

    value: bool | int | float | str | None
    line: int
    column: int
    width: int


@dataclass(slots=True)
class Sequence:
    """A list."""

    items: list[Node]
    line: int
    column: int
    width: int = 1


@dataclass(slots=True)
class Mapping:
    """An object: its keys with their positions, and their values, in the order of the text.

    `repeated` holds the entries with duplicate keys: they are reported and checked, and otherwise ignored.
    """

    entries: dict[str, tuple[Scalar, Node]]
    line: int
    column: int
    width: int = 1
    repeated: list[tuple[Scalar, Node]] = field(default_factory=list)

    def get(self, key: str) -> Node | None:
        """Return the value under a key."""
        entry = self.entries.get(key)
        return entry[1] if entry else None

    @property
    def has_unread_key(self) -> bool:
        """Return whether a key could not be read, so a field that seems to be missing may exist."""
        return any(isinstance(key.value, UnreadText) for key, _ in (*self.entries.values(), *self.repeated))


Node: TypeAlias = Scalar | Sequence | Mapping


@dataclass(frozen=True, slots=True, kw_only=True)
class YamlDocument:
    """One YAML document or JSON text.

    `templates` holds the scalars that contain `${`; `has_sensitive` is true if a sensitive key occurs at any depth.
    """

    root: Node
    templates: tuple[Scalar, ...] = field(default=())
    has_sensitive: bool = False


def plain(node: Node) -> JsonValue:
    """Return the JSON value of a node, without positions."""
    match node:
        case Scalar():
            return node.value
        case Sequence():
            return [plain(item) for item in node.items]
        case Mapping():
            return {key: plain(value) for key, (_, value) in node.entries.items()}


_BY_DEFAULT: Final = Sensitivity()


def paths_of(root: Node) -> Mapping_[int, str]:
    """Return the path of every node below a root, by identity. An aliased node has the path of its first occurrence."""
    paths: dict[int, str] = {}
    waiting: list[tuple[str, Node]] = [("", root)]
    while waiting:
        path, node = waiting.pop()
        if id(node) in paths:
            continue
        paths[id(node)] = path
        below: list[tuple[str, Node]] = []
        match node:
            case Mapping():
                below = [(join(path, key), value) for key, (_, value) in node.entries.items()]
            case Sequence():
                below = [(join(path, index), item) for index, item in enumerate(node.items)]
        waiting.extend(reversed(below))
    return paths


def join(path: str, key: str | int) -> str:
    """Return a path extended by a key or index: `spec.slots[1].servingPolicy`.

    Keys with special characters are quoted, without a value that was typed into them. Long keys are cut.
    """
    if isinstance(key, int):
        return f"{path}[{key}]"
    key = truncated(key, LONGEST_KEY)
    written = key if key.replace("-", "").replace("_", "").isalnum() else f'"{_BY_DEFAULT.shown_key(key)}"'
    return f"{path}.{written}" if path else written


def may_be_secret(node: Node) -> bool:
    """Return whether a node holds any text, as `model.may_be_secret` does."""
    match node:
        case Scalar():
            return isinstance(node.value, str)
        case Sequence():
            return any(map(may_be_secret, node.items))
        case Mapping():
            return bool(node.entries)


def type_name(node: Node) -> str:
    """Return a node's JSON type as messages name it."""
    match node:
        case Sequence():
            return "a list"
        case Mapping():
            return "an object"
        case Scalar(value=bool()):
            return "a boolean"
        case Scalar(value=None):
            return "null"
        case Scalar(value=str()):
            return "a string"
        case Scalar():
            return "a number"


class Mark(Protocol):
    """A position in the text. Everything counts from 0, in characters."""

    index: int
    line: int
    column: int


class YamlEvent(Protocol):
    """The attributes of libyaml's events; every event type has some of them."""

    start_mark: Mark
    end_mark: Mark
    value: str
    style: str
    tag: str | None
    anchor: str | None


class SkipDocument(Exception):
    """A document exceeds a limit or contains itself: the rest of it is not read."""


class StopReading(Exception):
    """A file exceeds a limit: the rest of it is not read."""


@dataclass(slots=True)
class OpenContainer:
    """A list or object that is being read. `height` counts the levels below it.

    `before` and `characters` are the counts of nodes and characters at its start.
    """

    node: Sequence | Mapping
    before: int
    characters: int
    anchor: str | None
    key: Scalar | None = None
    height: int = 0


@dataclass(slots=True)
class Anchor:
    """A complete node with an anchor: the nodes, characters and levels that each alias adds, and the end of the node."""

    node: Node
    size: int
    characters: int
    height: int
    end: tuple[int, int]


@dataclass(slots=True)
class PendingFinding:
    """A finding that waits until the document is read and its sensitive values are known.

    `{}` in the summary is replaced by a space and the quoted value, or by nothing if the value is sensitive. If `cut` is true,
    `path` ends at a sensitive key and is safe to show.
    """

    rule: str
    at: Scalar
    summary: str
    path: str
    cut: bool
    value: object = ""
    suggestion: str | None = None
    notes: tuple[str, ...] = ()
