"""Text for a terminal, in lines that fit its width.

Reports don't depend on a terminal. Here their lines are wrapped, with a hanging indent: below the last column of a table if
there is space, else two spaces further in. A command that doesn't fit has lines of its own that can be pasted: they end in a
backslash. Paths below the current directory are relative, and longer ones are shortened in the middle. Source lines of
diagnostics are cut around the caret. Other words that are wider than the terminal remain whole, so that they can be copied.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from pkgutil import iter_modules
from typing import Final, Self, TextIO

from octosync.cli import commands
from octosync.model import ELLIPSIS
from octosync.report.text import cells, cut

_NARROWEST: Final = 40  # columns; text is not wrapped more tightly
_LEAST: Final = 24  # columns of a last column that its text is wrapped in
_HANGING: Final = 2
_SEPARATOR: Final = " · "

_STYLING: Final = re.compile(r"\x1b\[([0-9;]*)m")
# Code in backquotes, a quoted word or command, or a word; each with the spaces before it.
_WORD: Final = re.compile(r" *(?:[^\s`']*`[^`]+`\S*|[^\s`']*'[^']+'\S*|\S+)")
_GAP: Final = re.compile(r"(?<=\S) {2,}(?=\S)")
# The indent of a line and the symbol before its text, which further lines are aligned with.
_LEAD: Final = re.compile(r" *(?:[^\w\s`'\"([{@/.]{1,3} +)?")
# A command after a label or an indent, to the end of the line or a remark.
_NAMES: Final = "|".join(module.name for module in iter_modules(commands.__path__))
_COMMAND: Final = re.compile(
    rf"(?:(?<=: )|(?<= {{2}})|(?<=^\$ ))(?:octosync (?:{_NAMES})(?![\w-])|(?:git|kubectl) [a-z])[^·]*?(?=$| \()"
)
# An option with its value, or an argument.
_ARGUMENT: Final = re.compile(r"(?:--?[a-z][\w-]* (?!-))?(?:[^\s'\"]|'[^']*'|\"[^\"]*\")+")
_EXCERPT: Final = re.compile(r"( *\d* \|)( ?)")
_PATH: Final = re.compile(r"(?![a-z+]+://)[^\s:]*/[^\s/]*")


def terminal_width(stream: TextIO) -> int | None:
    """Return the columns of the terminal that a stream writes to; None if it is not a terminal."""
    return max(_NARROWEST, shutil.get_terminal_size().columns) if stream.isatty() else None


def wrapped(text: str, width: int | None) -> str:
    """Return a report in lines of at most `width` columns; unchanged if it is None."""
    if width is None:
        return text
    here = str(Path.cwd())
    if len(here) > 1 and here in text:
        text = re.sub(rf"(?<![\w./~-]){re.escape(here)}/(?=\S)", "", text)
    lines = text.split("\n")
    around = zip(["", *lines], lines, [*lines[1:], ""], strict=False)
    return "\n".join(part for before, line, after in around for part in _wrapped_line(before, line, after, width))


def _wrapped_line(before: str, line: str, after: str, width: int) -> Iterator[str]:
    """Yield the lines of a line. The line `before` or `after` it has the source of its caret, or its caret."""
    too_long = _is_too_long(line, width)
    plain = _STYLING.sub("", line) if too_long or "^" in line else ""
    if (excerpt := _EXCERPT.match(plain)) and (too_long or _is_too_long(before, width)):
        caret = _STYLING.sub("", after).find("^") if excerpt[1].strip(" |") else plain.find("^")
        is_cut = caret >= width - _LEAST and (too_long if excerpt[1].strip(" |") else _is_too_long(before, width))
        shift = caret - (excerpt.end() + width) // 2 if is_cut else 0
        parts = _excerpt_lines(_Styled.from_line(line), excerpt, shift, width)
    elif not too_long:
        yield line
        return
    elif command := _COMMAND.search(plain):
        parts = _command_lines(_Styled.from_line(line), command, width)
    else:
        parts = _filled(_Styled.from_line(line), width)
    yield from (str(part).rstrip() for part in parts)


def _is_too_long(line: str, width: int) -> bool:
    return not (line.isascii() and len(line) <= width) and cells(_STYLING.sub("", line)) > width


@dataclass(frozen=True, slots=True)
class _Styled:
    """Visible text with the style of each character: the escape sequences that precede it."""

    text: str
    styles: tuple[str, ...]

    @classmethod
    def from_line(cls, line: str) -> Self:
        """Return the text of a line and its styles."""
        text, style, start = "", "", 0
        styles: list[str] = []
        for found in _STYLING.finditer(line):
            text += line[start : found.start()]
            styles += [style] * (found.start() - start)
            style, start = "" if found[1] in {"", "0"} else style + found[0], found.end()
        rest = line[start:]
        return cls(text + rest, (*styles, *[style] * len(rest)))

    def __getitem__(self, part: slice) -> _Styled:
        return _Styled(self.text[part], self.styles[part])

    def __add__(self, other: _Styled) -> _Styled:
        return _Styled(self.text + other.text, self.styles + other.styles)

    def __str__(self) -> str:
        written: list[str] = []
        current = ""
        for character, style in zip(self.text, self.styles, strict=True):
            if style != current:
                written += ["\x1b[0m" if current else "", style]
                current = style
            written.append(character)
        return "".join((*written, "\x1b[0m" if current else ""))


def _plain(text: str) -> _Styled:
    return _Styled(text, ("",) * len(text))


def _filled(line: _Styled, width: int) -> Iterator[_Styled]:
    """Yield the lines of a text, broken between words; the head of a report between its facts."""
    text = line.text
    hanging = _hanging_indent(text, width)
    words = [found.span() for found in _WORD.finditer(text)]
    if text.startswith("octosync ") and _SEPARATOR in text:
        facts = [found.span() for found in re.finditer(r"[^·]+·?", text)]
        if all(cells(text[start:stop]) <= width - hanging for start, stop in facts):
            words = facts
    begin = end = indent = 0
    for start, stop in words:
        if end > begin and indent + cells(text[begin:stop].rstrip()) > width:
            yield _plain(" " * indent) + _shortened(line[begin:end], width - indent)
            indent, begin = hanging, start + len(text[start:stop]) - len(text[start:stop].lstrip())
        end = stop
    yield _plain(" " * indent) + _shortened(line[begin:end], width - indent)


def _hanging_indent(text: str, width: int) -> int:
    """Return the column at which further lines begin: that of the last column of a table, else of the text."""
    columns = [cells(text[: gap.end()]) for gap in _GAP.finditer(text)]
    if fitting := [column for column in columns if column <= width - _LEAST]:
        return fitting[-1]
    lead = _LEAD.match(text)
    symbol = lead[0] if lead is not None else ""
    return len(symbol) if symbol.strip() else len(symbol) + _HANGING


def _shortened(line: _Styled, width: int) -> _Styled:
    """Return a line with its longest path shortened in the middle, if it is too long; a URL remains whole."""
    paths = [found for found in _PATH.finditer(line.text) if found.start() == 0 or line.text[found.start() - 1] == " "]
    excess = cells(line.text.rstrip()) - width
    if excess <= 0 or not paths:
        return line
    path = max(paths, key=lambda found: len(found[0]))
    name = path[0].rindex("/")
    kept = name - excess - 1  # of the folders, with an ellipsis
    if kept < 0:
        return line
    return line[: path.start() + kept] + _plain(ELLIPSIS) + line[path.start() + name :]


def _command_lines(line: _Styled, command: re.Match[str], width: int) -> Iterator[_Styled]:
    """Yield the text before a command, the command, and the text after it."""
    label, rest = line[: command.start()], line[command.end() :]
    indent = len(label.text) - len(label.text.lstrip())
    if label.text.strip() not in {"", "$"}:
        yield from _filled(label, width)
        label = _plain(" " * (indent + 2 * _HANGING))
    begin = command.start()
    end = begin
    for argument in _ARGUMENT.finditer(line.text, begin, command.end()):
        if end > begin and cells(label.text) + cells(line.text[begin : argument.end()]) > width - 2:
            yield label + line[begin:end] + _plain(" \\")
            label, begin = _plain(" " * (indent + 4 * _HANGING)), argument.start()
        end = argument.end()
    yield label + line[begin:end]
    if rest.text.strip():
        spaces = len(rest.text) - len(rest.text.lstrip())
        yield from _filled(_plain(" " * (indent + _HANGING)) + rest[spaces:], width)


def _excerpt_lines(line: _Styled, excerpt: re.Match[str], shift: int, width: int) -> Iterator[_Styled]:
    """Yield a source line, or the line with its caret, without the first `shift` characters of the source."""
    gutter = excerpt.end()
    if excerpt[1].strip(" |"):
        mark = _plain(ELLIPSIS if shift else "")
        yield _cut(line[:gutter] + mark + line[gutter + shift + len(mark.text) :], width)
        return
    advice = re.search(r"(?<=\^) (?=[^^ ])", line.text)
    end = advice.start() if advice is not None else len(line.text)
    shown = line[:gutter] + line[gutter + shift :]
    if advice is None or cells(shown.text) <= width:
        yield _cut(shown, width)
        return
    yield _cut(line[:gutter] + line[gutter + shift : end], width)
    yield from _filled(_plain(f"{excerpt[1][:-1]}= ") + line[advice.end() :], width)


def _cut(line: _Styled, width: int) -> _Styled:
    length = len(cut(line.text, width))
    return line if length > len(line.text) or cells(line.text) <= width else line[: length - 1] + _plain(ELLIPSIS)
