"""Positioned values: what the loader makes of YAML and JSON, each knowing where it was written.

Lines and columns count from 1, columns in characters. `width` is how many characters of its first line a value takes,
0 for the rest of that line. Aliased nodes are shared, so nodes are never changed once variables are replaced.

libyaml's events as the reader sees them, and what it keeps between one and the next.
"""

from __future__ import annotations

from collections.abc import Mapping as Mapping_
from dataclasses import dataclass, field
from typing import Final, Protocol, TypeAlias

from octosync.model import JsonValue, Sensitivity, truncated

MOST_CHARACTERS: Final = 16 * 1024 * 1024  # of text in a file, each alias counted like what it repeats
# A longer key is cut where a path has it: paths are for people, and each problem carries one.
LONGEST_KEY: Final = 100


class UnreadText(str):
    """What was written where a value or key could not be read: that was reported, and nothing more is said about it."""

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
    """An object: by key, where the key was written and its value, in order of the text.

    `repeated` are the entries whose key is there already: reported, checked, and otherwise left out.
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
        """Say whether a key could not be read, so that a field that seems to be missing may be there all the same."""
        return any(isinstance(key.value, UnreadText) for key, _ in (*self.entries.values(), *self.repeated))


Node: TypeAlias = Scalar | Sequence | Mapping


@dataclass(frozen=True, slots=True, kw_only=True)
class YamlDocument:
    """One YAML document or JSON text.

    `templates` are the scalars that hold a `${`; `has_sensitive` says that a sensitive key occurs at any depth.
    """

    root: Node
    templates: tuple[Scalar, ...] = field(default=())
    has_sensitive: bool = False


def plain(node: Node) -> JsonValue:
    """Return the JSON value of a node, positions dropped."""
    match node:
        case Scalar():
            return node.value
        case Sequence():
            return [plain(item) for item in node.items]
        case Mapping():
            return {key: plain(value) for key, (_, value) in node.entries.items()}


_BY_DEFAULT: Final = Sensitivity()


def paths_of(root: Node) -> Mapping_[int, str]:
    """Return the path of each node below a root, by identity. A node that aliases repeat has its first place."""
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
    """Extend a path: `spec.slots[1].servingPolicy`; keys that read badly are put in quotes, without a value typed in them.

    Long keys are cut.
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
    """Name a node's JSON type the way a message does."""
    match node:
        case Sequence():
            return "a list"
        case Mapping():
            return "an object"
        case Scalar(value=bool()):
            return "true or false"
        case Scalar(value=None):
            return "null"
        case Scalar(value=str()):
            return "text"
        case Scalar():
            return "a number"


class Mark(Protocol):
    """A place in the text: everything counts from 0, in characters."""

    index: int
    line: int
    column: int


class YamlEvent(Protocol):
    """What libyaml's events carry, each those that its type has."""

    start_mark: Mark
    end_mark: Mark
    value: str
    style: str
    tag: str | None
    anchor: str | None


class SkipDocument(Exception):
    """A limit is passed, or the document has no end: the rest of it is not read."""


class StopReading(Exception):
    """The file's limit is passed: the rest of it is not read."""


@dataclass(slots=True)
class OpenContainer:
    """A container that is being filled. `height` counts the levels below it.

    `before` and `characters` count the nodes and the text that were read when it began.
    """

    node: Sequence | Mapping
    before: int
    characters: int
    anchor: str | None
    key: Scalar | None = None
    height: int = 0


@dataclass(slots=True)
class Anchor:
    """A complete node that aliases may repeat: nodes, text and levels that each repetition adds, and where the node ends."""

    node: Node
    size: int
    characters: int
    height: int
    end: tuple[int, int]


@dataclass(slots=True)
class PendingFinding:
    """A finding that waits until the whole document tells what is sensitive.

    `{}` in the summary takes a space and the quoted value, or nothing where that is sensitive; `path` is safe to show where
    `cut` says that it ends at a sensitive key.
    """

    rule: str
    at: Scalar
    summary: str
    path: str
    cut: bool
    value: object = ""
    suggestion: str | None = None
    notes: tuple[str, ...] = ()
