"""A file's text, and what of it may be shown."""

from __future__ import annotations

import re
import sys
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Protocol

from octosync.model import Origin, Sensitivity, truncated

# Longer lines (minified JSON) help nobody under a caret.
LONGEST_EXCERPT = 300
LONGEST_QUOTE = 60
_AT_ONCE = 64 * 1024

# What YAML 1.2 calls printable, less NEL, LS and PS: libyaml would take these three for line breaks and fold them.
NOT_PRINTABLE = re.compile("[^\t\n\r\x20-\x7e\xa0-\u2027\u202a-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]")
_LINE_BREAK = re.compile("\r\n|\n|\r")
# Possessive, and from the first letter of a word only: a long word takes linear time.
_KEY_LIKE = re.compile(r"(?<![\w-])([\w-]++)[\"']?\s*+:")

Position = tuple[int, int]  # line and column, from 1


class HasPosition(Protocol):
    """Whatever has a place in a file: line and column from 1, and how many characters it is wide."""

    line: int
    column: int
    width: int


@dataclass(frozen=True, slots=True)
class Snippet:
    """How a place is shown: its origin, the source line and how much of that is meant, and what else is to be said of it."""

    origin: Origin
    excerpt: str | None
    width: int
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _DocumentOrigin:
    """Where a rendered document was taken from: a file that was read (`source`, `at`), or only its `path`.

    `nodes` are the places of what is the same there, each with its place here, by the latter's identity.
    """

    path: str = ""
    source: Source | None = None
    at: HasPosition | None = None
    nodes: dict[int, tuple[HasPosition, HasPosition]] = field(default_factory=dict)


@dataclass(slots=True, eq=False)
class Source:
    """One file: its name as the user gave it, its text, and where in it sensitive values stand."""

    name: str
    text: str
    sensitivity: Sensitivity
    _lines: list[str] | None = None
    # Aliases name the same place again and again.
    _hidden: set[tuple[Position, Position]] = field(default_factory=set)
    _merged: tuple[list[Position], list[Position]] | None = None
    # The lines on which documents begin that were taken from elsewhere.
    _starts: list[int] = field(default_factory=list)
    _taken: list[_DocumentOrigin | None] = field(default_factory=list)

    def place(self, at: HasPosition) -> Origin:
        """Name a place: in the file that it was taken from, where that is known."""
        return self.shown(at).origin if self._taken else Origin(self.name, at.line, at.column)

    def relocate(
        self, line: int, source: Source, at: HasPosition, pairs: Iterable[tuple[HasPosition, HasPosition]]
    ) -> None:
        """Note that the document at a line was taken from another file's: `pairs` are places here and there.

        These three are told of documents in their order.
        """
        self._take(line, _DocumentOrigin("", source, at, {id(here): (here, there) for here, there in pairs}))

    def note_origin(self, line: int, path: str) -> None:
        """Note that the document at a line was taken from a file of which only the path is known."""
        self._take(line, _DocumentOrigin(path))

    def keep(self, line: int) -> None:
        """Note that the document at a line is this file's own."""
        if self._starts:
            self._take(line, None)

    def _take(self, line: int, taken: _DocumentOrigin | None) -> None:
        self._starts.append(line)
        self._taken.append(taken)

    def hide(self, start: Position, end: Position) -> None:
        """Note that a sensitive value stands between two places, both included."""
        self._hidden.add((start, end))
        self._merged = None

    def distrust(self, first_line: int, last_line: int | None = None) -> None:
        """Hide lines (None: to the end) that weren't read, if a sensitive key is in them, or no key: a secret may be bare."""
        lines = self.lines[first_line - 1 : last_line]
        keys: set[str] = set()
        for line in lines:
            for at in range(0, len(line), _AT_ONCE):  # a search in all of a long line would let no other thread run
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
        """Name a place in this file."""
        return Origin(self.name, line, column)

    def shown(self, at: HasPosition) -> Snippet:
        """Say how a place is shown: in the file that it was taken from, where that is known."""
        excerpt = self.excerpt(at.line)
        here = Snippet(self.origin(at.line, at.column), excerpt, at.width or _rest(excerpt, at.column))
        taken = self._taken_at(at.line)
        if taken is None:
            return here
        if taken.source is None or taken.at is None:
            return replace(here, notes=(f"kustomize took the document from {quoted(taken.path)}",))
        if (pair := taken.nodes.get(id(at))) is not None:
            return taken.source.shown(pair[1])
        origin = taken.source.origin(taken.at.line, taken.at.column)
        rendered = "" if excerpt is None else f": {excerpt.strip()}"
        return Snippet(origin, None, 1, (f"line {at.line} of {self.name}{rendered}",))

    def _taken_at(self, line: int) -> _DocumentOrigin | None:
        index = bisect_right(self._starts, line) - 1
        return self._taken[index] if index >= 0 else None

    def excerpt(self, line: int) -> str | None:
        """Return a line, None where it holds something sensitive, is far too long, or is not there."""
        if self.hides_on(line):
            return None
        if not 1 <= line <= len(self.lines) or len(self.lines[line - 1]) > LONGEST_EXCERPT:
            return None
        return NOT_PRINTABLE.sub("\ufffd", self.lines[line - 1])

    def written(self, at: HasPosition) -> str:
        """Return what is written at a place, as far as it is on one line."""
        start = at.column - 1
        return self.lines[at.line - 1][start : start + at.width] if at.line <= len(self.lines) else ""

    def hides_on(self, line: int) -> bool:
        """Say whether a sensitive value stands on a line."""
        return self._hides((line, sys.maxsize), (line, 0))

    def hides(self, line: int, column: int) -> bool:
        """Say whether a sensitive value stands at a place."""
        return self._hides((line, column), (line, column))

    def _hides(self, last: Position, first: Position) -> bool:
        """Return whether a hidden span overlaps the places from first to last."""
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
    """Quote a value for a message: in backquotes, on one line, shortened."""
    text = "null" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
    text = text[: LONGEST_QUOTE + 1]
    text = NOT_PRINTABLE.sub("\ufffd", text.replace("\n", "⏎").replace("\r", "⏎").replace("\t", " "))
    return f"`{truncated(text, LONGEST_QUOTE)}`"


def decode(data: bytes) -> str:
    """Decode a file. Raises `NotText`: UTF-8 only, a byte order mark tolerated."""
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
    """Bytes that are not UTF-8 text; `line` and `column` say where."""

    def __init__(self, message: str, line: int, column: int) -> None:
        super().__init__(message)
        self.message = message
        self.line = line
        self.column = column


def control_characters(text: str) -> Iterator[tuple[int, int, str]]:
    """Yield line, column and character of whatever is neither printable nor a tab or line break."""
    line, start = 1, 0
    at = 0
    for found in NOT_PRINTABLE.finditer(text):
        for break_ in _LINE_BREAK.finditer(text, at, found.start()):
            line, start = line + 1, break_.end()
        at = found.start()
        yield line, found.start() - start + 1, found.group()
