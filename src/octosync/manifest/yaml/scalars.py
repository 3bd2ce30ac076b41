"""Scalars: values of plain scalars, JSON's surrogate pairs, and messages for text that can't be read.

Plain scalars follow YAML 1.2's core schema without octals: `on`, `no`, dates, `017` and `0o17` are strings.
"""

from __future__ import annotations

import math
import re
from bisect import bisect_left
from collections.abc import Iterator
from itertools import islice
from typing import Final

import yaml

from octosync.manifest.schema.rules import Findings, Reporter
from octosync.manifest.yaml.nodes import Scalar
from octosync.manifest.yaml.source import Source, control_characters

_CONSTANTS: dict[str, bool | None] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
# A number with a leading zero is a string: YAML 1.1 reads it as an octal, and it is usually a code.
_INTEGER = re.compile(r"[-+]?(?:0|[1-9][0-9]*)\Z")
_HEXADECIMAL = re.compile(r"0x[0-9a-fA-F]+\Z")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+\.[0-9]*|[0-9]+(?=[eE]))(?:[eE][-+]?[0-9]+)?\Z")
_NOT_FINITE = re.compile(r"(?:[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))\Z")
_NUMBER_STARTS = frozenset("0123456789+-.")
# Longer integers lose digits in every JSON reader, and Python refuses to convert them.
_LONGEST_INTEGER = 300


class NotJson(ValueError):
    """A number that JSON can't hold."""


def resolve(text: str) -> bool | int | float | str | None:
    """Return the value of a plain scalar. Raises `NotJson` for infinities, NaN and numbers that JSON can't hold."""
    if text in _CONSTANTS:
        return _CONSTANTS[text]
    if text[0] not in _NUMBER_STARTS:
        return text
    if _INTEGER.match(text):
        if len(text) > _LONGEST_INTEGER:
            raise NotJson("the number is too long")
        return int(text)
    if _HEXADECIMAL.match(text):
        if len(text) > _LONGEST_INTEGER:
            raise NotJson("the number is too long")
        return int(text, 16)
    if _FLOAT.match(text):
        number = float(text)
        if math.isinf(number):
            raise NotJson("the number is too large")
        return number
    if _NOT_FINITE.match(text):
        raise NotJson("JSON has no infinity and no not-a-number")
    return text


_PAIR = re.compile(r"(?<!\\)((?:\\\\)*)(\\u([dD][89abAB][0-9a-fA-F]{2})\\u([dD][c-fC-F][0-9a-fA-F]{2}))")
# Escapes of control characters. One that the text does not use in any spelling is the filler.
_FILLERS = {"\\e": "\x1b", "\\a": "\x07", "\\v": "\x0b", "\\0": "\x00", "\\f": "\x0c", "\\b": "\x08"}


def _spellings(filler: str) -> tuple[str, ...]:
    code = ord(_FILLERS[filler])
    return (filler, f"\\x{code:02x}", f"\\u{code:04x}", f"\\U{code:08x}")


class SurrogatePairs:
    """A text with its surrogate pairs replaced, and the way back.

    JSON writes 😀 as two escapes, which libyaml rejects. Each pair becomes one escape of the same length, so that no column
    moves: ten characters for the code point, and two for an escape of an unused control character, the filler, which is
    removed from the scalar again. Outside double quotes the twelve characters are text and are put back.
    """

    def __init__(self, text: str) -> None:
        self._filler = "\\e"
        self._places: list[int] = []
        self._written: list[str] = []
        self.text = text
        if "\\u" in text and _PAIR.search(text):
            lowered = text.lower()
            unused = (filler for filler in _FILLERS if not any(form.lower() in lowered for form in _spellings(filler)))
            self._filler = next(unused, self._filler)
            self.text = self._join(text)
        self._escaped = re.compile(rf"\\U[0-9A-F]{{8}}{re.escape(self._filler)}")

    def __bool__(self) -> bool:
        return bool(self._places)

    def quoted(self, value: str) -> str:
        """Return the value of a double-quoted scalar."""
        return value.replace(_FILLERS[self._filler], "")

    def unquoted(self, value: str, start: int, end: int) -> str:
        """Return the value of a scalar that is not double-quoted, by its start and end in the text."""
        first, end = bisect_left(self._places, start), bisect_left(self._places, end)
        if first == end:
            return value
        written: dict[str, list[str]] = {}
        for index in range(first, end):
            written.setdefault(self._escape(self._written[index]), []).append(self._written[index])
        # From the end, since a comment in the header of a block scalar may contain pairs, too.
        parts: list[str] = []
        until = len(value)
        for found in reversed(list(self._escaped.finditer(value))):
            if forms := written.get(found.group()):
                parts += value[found.end() : until], forms.pop()
                until = found.start()
        return "".join((value[:until], *reversed(parts)))

    def _join(self, text: str) -> str:
        # The pattern also finds adjacent pairs: the character before the second pair is a digit, not a backslash.
        def join(found: re.Match[str]) -> str:
            self._places.append(found.start(2))
            self._written.append(found[2])
            return found[1] + self._escape(found[2])

        return _PAIR.sub(join, text)

    def _escape(self, written: str) -> str:
        high, low = int(written[2:6], 16), int(written[8:12], 16)
        return f"\\U{0x10000 + ((high - 0xD800) << 10) + (low - 0xDC00):08X}{self._filler}"


# libyaml's message → what to change in the file.
_EXPLAINED = {
    "found character that cannot start any token": "this character can't begin a value: put the value in quotes",
    "mapping values are not allowed in this context": "a second `: ` on the line, or wrong indentation: quote the value",
    "did not find expected key": "the indentation doesn't fit the lines above, or a line lacks its `key:`",
    "could not find expected ':'": "a key without its `:`",
    "did not find expected node content": "a value is missing here, or a bracket or brace above is not closed",
    "did not find expected alphabetic or numeric character": "a name is missing after * or &: quote the value if it is text",
    "did not find expected comment or line break": "nothing but a comment may follow | or > on its line",
    "did not find expected <document start>": "text behind the end of a document: separate documents with ---",
    "block sequence entries are not allowed in this context": "a list can't begin here: put `- ` on a line of its own",
    "mapping keys are not allowed in this context": "a key can't begin here: put it on a line of its own",
    "found a tab character that violates indentation": "a tab can't indent YAML: use spaces",
    "found unexpected end of stream": "the file ends inside quotes or brackets that were opened here",
    "did not find expected ',' or ']'": "a list in brackets lacks a `,` or its `]`",
    "did not find expected ',' or '}'": "an object in braces lacks a `,` or its `}`",
    "did not find expected '-' indicator": "a line of the list doesn't begin with `- ` at the list's indentation",
    "found unknown escape character": "an unknown escape in double quotes: write \\\\ for a backslash, or use single quotes",
    "found undefined tag handle": "tags are refused: manifests are plain data",
    "found duplicate %YAML directive": "a document has one %YAML line at most",
    "found incompatible YAML document": "the %YAML line asks for another version than 1.2",
}


TEMPLATE = ("{{ and {% belong to templates: render the file first, or put the value in quotes",)
_MOST_COUNTED: Final = 1000
_CONFLICT = re.compile(r"(<{7}|>{7}) ")


def report_syntax(error: yaml.YAMLError, reporter: Reporter) -> None:
    """Report the syntax error that ended the reading of a file."""
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    problem = str(getattr(error, "problem", None) or getattr(error, "reason", None) or "the text is not YAML")
    at = Scalar(None, mark.line + 1, mark.column + 1, 1) if mark else Scalar(None, 1, 1, 1)
    lines = reporter.source.lines
    line = lines[at.line - 1] if at.line <= len(lines) else ""
    indentation = line[: len(line) - len(line.lstrip())]
    if "\t" in indentation or line[at.column - 1 : at.column] == "\t":
        at = Scalar(None, at.line, indentation.index("\t") + 1 if "\t" in indentation else at.column, 1)
        reporter.report("tab-indentation", at, "a tab can't indent YAML: use spaces")
        return
    if problem == "found invalid Unicode character escape code":
        summary = "this escape is half of a surrogate pair, or no character at all"
        reporter.report("lone-surrogate", at, summary)
        return
    context = getattr(error, "context_mark", None)
    if problem == "found unexpected end of stream" and context is not None:
        at = Scalar(None, context.line + 1, context.column + 1, 1)
    reporter.report(
        "yaml-syntax", at, _EXPLAINED.get(problem, problem), notes=tuple(_notes(error, at, reporter.source))
    )


def _notes(error: yaml.YAMLError, at: Scalar, source: Source) -> Iterator[str]:
    """Yield the likely causes of a syntax error."""
    line = source.lines[at.line - 1] if at.line <= len(source.lines) else ""
    if "${" in line:
        yield "inside braces and brackets, ${NAME} needs quotes"
    if "{{" in line or "{%" in line:
        yield from TEMPLATE
    conflict = next((number for number, text in enumerate(source.lines, 1) if _CONFLICT.match(text)), None)
    if conflict is not None:
        yield f"a merge conflict is not resolved: {source.origin(conflict, 1)}"
    opened = getattr(error, "context_mark", None)
    if opened is not None and str(getattr(error, "context", "")).startswith("while parsing a flow"):
        place = (opened.line + 1, opened.column + 1)
        if place != (at.line, at.column):
            yield f"it was opened at {source.origin(*place)}"


def report_control_characters(source: Source, findings: Findings) -> None:
    """Report the first character that manifests may not contain, and the number of others."""
    found = list(islice(control_characters(source.text), _MOST_COUNTED + 1))
    line, column, character = found[0]
    source.hide_unread_lines(1)
    count = f"more than {_MOST_COUNTED:,}" if len(found) > _MOST_COUNTED else len(found) - 1
    more = (f"the file has {count} more of them",) if len(found) > 1 else ()
    binary = ("is this a binary file?",) if "\0" in source.text else ()
    place = Scalar(None, line, column, 1)
    Reporter(findings, source).report(
        "control-character",
        place,
        f"character U+{ord(character):04X} is not allowed in a manifest",
        notes=(*more, *binary, "in double quotes, tab and line break are written \\t and \\n"),
    )
