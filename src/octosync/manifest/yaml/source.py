"""A file's text and the positions in it that messages may not show, since they hold sensitive values."""

from __future__ import annotations

import re
import sys
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Protocol

from octosync.model import Origin, Sensitivity, truncated

# Longer lines, such as minified JSON, are not useful under a caret.
LONGEST_EXCERPT = 300
LONGEST_QUOTE = 60
_AT_ONCE = 64 * 1024

# All but YAML 1.2's printable characters, and NEL, LS and PS: libyaml reads these three as line breaks and folds them.
# The complement of what is printable would take ten times as long to compile, at every start.
NOT_PRINTABLE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff\ufeff\ufffe\uffff]")
_LINE_BREAK = re.compile("\r\n|\n|\r")
# Possessive, and from the first letter of a word only: a long word takes linear time.
_KEY_LIKE = re.compile(r"(?<![\w-])([\w-]++)[\"']?\s*+:")

Position = tuple[int, int]  # line and column, from 1


class HasPosition(Protocol):
    """A value with a position in a file: line and column from 1, and width in characters."""

    line: int
    column: int
    width: int


@dataclass(frozen=True, slots=True)
class Snippet:
    """A position as messages show it: its origin, the source line, the width of the value, and notes."""

    origin: Origin
    excerpt: str | None
    width: int
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _DocumentOrigin:
    """The origin of a rendered document: a position in a file that was read (`source`, `at`), or only its `path`.

    `nodes` maps the identity of a node here to the node and the equal node in that file.
    """

    path: str = ""
    source: Source | None = None
    at: HasPosition | None = None
    nodes: dict[int, tuple[HasPosition, HasPosition]] = field(default_factory=dict)


@dataclass(slots=True, eq=False)
class Source:
    """One file: its name as the user gave it, its text, and the positions of sensitive values. `base` is that of its origins."""

    name: str
    text: str
    sensitivity: Sensitivity
    base: str = ""
    _lines: list[str] | None = None
    # A set, since aliases hide the same span many times.
    _hidden: set[tuple[Position, Position]] = field(default_factory=set)
    _merged: tuple[list[Position], list[Position]] | None = None
    # The first lines of documents, with the origin of those that were rendered from other files.
    _starts: list[int] = field(default_factory=list)
    _origins: list[_DocumentOrigin | None] = field(default_factory=list)

    def origin_of(self, at: HasPosition) -> Origin:
        """Return a value's origin, in the file that it was rendered from if that is known."""
        return self.snippet(at).origin if self._origins else Origin(self.name, at.line, at.column, self.base)

    def set_origin(
        self, line: int, source: Source, at: HasPosition, pairs: Iterable[tuple[HasPosition, HasPosition]]
    ) -> None:
        """Record that the document at a line was rendered from another file's; `pairs` are equal nodes here and there.

        `set_origin`, `set_origin_path` and `set_own` are called in the order of the documents.
        """
        self._record(line, _DocumentOrigin("", source, at, {id(here): (here, there) for here, there in pairs}))

    def set_origin_path(self, line: int, path: str) -> None:
        """Record that the document at a line was rendered from a file of which only the path is known."""
        self._record(line, _DocumentOrigin(path))

    def set_own(self, line: int) -> None:
        """Record that the document at a line is this file's own."""
        if self._starts:
            self._record(line, None)

    def _record(self, line: int, origin: _DocumentOrigin | None) -> None:
        self._starts.append(line)
        self._origins.append(origin)

    def hide(self, start: Position, end: Position) -> None:
        """Record that the text between two positions, both included, is sensitive."""
        self._hidden.add((start, end))
        self._merged = None

    def hide_unread_lines(self, first_line: int, last_line: int | None = None) -> None:
        """Hide lines that were not read (None: to the end) if they hold a sensitive key, or no key: a secret may be bare."""
        lines = self.lines[first_line - 1 : last_line]
        keys: set[str] = set()
        for line in lines:
            for at in range(0, len(line), _AT_ONCE):  # a search in a long line blocks other threads
                keys.update(_KEY_LIKE.findall(line, at, at + _AT_ONCE + LONGEST_EXCERPT))
        if not keys or any(map(self.sensitivity.covers, keys)):
            self.hide((first_line, 1), (len(self.lines) + 1 if last_line is None else last_line, sys.maxsize))

    @property
    def lines(self) -> list[str]:
        """The text, line by line, without line breaks."""
        if self._lines is None:
            self._lines = _LINE_BREAK.split(self.text)
        return self._lines

    def origin(self, line: int, column: int) -> Origin:
        """Return the origin of a position in this file."""
        return Origin(self.name, line, column, self.base)

    def snippet(self, at: HasPosition) -> Snippet:
        """Return a value's snippet, from the file that it was rendered from if that is known."""
        excerpt = self.excerpt(at.line)
        here = Snippet(self.origin(at.line, at.column), excerpt, at.width or _rest(excerpt, at.column))
        document = self._origin_at(at.line)
        if document is None:
            return here
        if document.source is None or document.at is None:
            return replace(here, notes=(f"kustomize took the document from {quoted(document.path)}",))
        if (pair := document.nodes.get(id(at))) is not None:
            return document.source.snippet(pair[1])
        origin = document.source.origin(document.at.line, document.at.column)
        rendered = "" if excerpt is None else f": {excerpt.strip()}"
        return Snippet(origin, None, 1, (f"line {at.line} of {self.name}{rendered}",))

    def _origin_at(self, line: int) -> _DocumentOrigin | None:
        index = bisect_right(self._starts, line) - 1
        return self._origins[index] if index >= 0 else None

    def excerpt(self, line: int) -> str | None:
        """Return a line; None if it holds a sensitive value, is too long, or does not exist."""
        if self.hides_on(line):
            return None
        if not 1 <= line <= len(self.lines) or len(self.lines[line - 1]) > LONGEST_EXCERPT:
            return None
        return NOT_PRINTABLE.sub("\ufffd", self.lines[line - 1])

    def written(self, at: HasPosition) -> str:
        """Return the text of a value, up to the end of its first line."""
        start = at.column - 1
        return self.lines[at.line - 1][start : start + at.width] if at.line <= len(self.lines) else ""

    def hides_on(self, line: int) -> bool:
        """Return whether a line holds a sensitive value."""
        return self._hides((line, sys.maxsize), (line, 0))

    def hides(self, line: int, column: int) -> bool:
        """Return whether a position is in a sensitive value."""
        return self._hides((line, column), (line, column))

    def _hides(self, last: Position, first: Position) -> bool:
        """Return whether a hidden span overlaps the positions from `first` to `last`."""
        if not self._hidden:
            return False
        starts, ends = self._merged or self._merge()
        index = bisect_right(starts, last) - 1
        return index >= 0 and first <= ends[index]

    def _merge(self) -> tuple[list[Position], list[Position]]:
        starts: list[Position] = []
        ends: list[Position] = []
        for start, end in sorted(self._hidden):
            if ends and start <= ends[-1]:
                ends[-1] = max(ends[-1], end)
            else:
                starts.append(start)
                ends.append(end)
        self._merged = (starts, ends)
        return self._merged


def _rest(line: str | None, column: int) -> int:
    return len(line) + 1 - column if line else 1


def quoted(value: object) -> str:
    """Return a value as messages quote it: in backquotes, on one line, shortened."""
    text = "null" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
    text = text[: LONGEST_QUOTE + 1]
    text = NOT_PRINTABLE.sub("\ufffd", text.replace("\n", "⏎").replace("\r", "⏎").replace("\t", " "))
    return f"`{truncated(text, LONGEST_QUOTE)}`"


def decode(data: bytes) -> str:
    """Return a file's text. Raises `NotText` if it is not UTF-8; a byte order mark is dropped."""
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise NotText("UTF-16 or UTF-32 text; octosync reads UTF-8 only", 1, 1)
    try:
        return data.removeprefix(b"\xef\xbb\xbf").decode()
    except UnicodeDecodeError as error:
        before = data[: error.start].decode(errors="replace").removeprefix("\ufeff")
        lines = _LINE_BREAK.split(before)
        message = f"byte 0x{data[error.start]:02x} at offset {error.start} is not UTF-8"
        raise NotText(message, len(lines), len(lines[-1]) + 1) from error


class NotText(Exception):
    """Bytes that are not UTF-8, with the line and column of the first invalid byte."""

    def __init__(self, message: str, line: int, column: int) -> None:
        super().__init__(message)
        self.message = message
        self.line = line
        self.column = column


def control_characters(text: str) -> Iterator[tuple[int, int, str]]:
    """Yield line, column and character of everything that is not printable, a tab or a line break."""
    line, start = 1, 0
    at = 0
    for found in NOT_PRINTABLE.finditer(text):
        for break_ in _LINE_BREAK.finditer(text, at, found.start()):
            line, start = line + 1, break_.end()
        at = found.start()
        yield line, found.start() - start + 1, found.group()
