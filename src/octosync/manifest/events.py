"""libyaml's events as the reader sees them, and what it keeps between one and the next."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from octosync.manifest.yaml.nodes import Mapping, Node, Scalar, Sequence


class Mark(Protocol):
    """A place in the text: everything counts from 0, in characters."""

    index: int
    line: int
    column: int


class Event(Protocol):
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
class Frame:
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
class Problem:
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
