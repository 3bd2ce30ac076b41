"""Why a text can't be read, in words that say what to do: libyaml's errors, and characters that it never sees."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import islice
from typing import Final

import yaml

from octosync.manifest.findings import Findings, Reporter
from octosync.manifest.yaml.nodes import Scalar
from octosync.manifest.yaml.source import Source, control_characters

# What libyaml says → what it means for whoever wrote the file.
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
    """Report why a file could not be read any further."""
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
    """Yield what often is behind a syntax error."""
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
    """Report the first character that can't stand in a manifest, and how many more there are."""
    found = list(islice(control_characters(source.text), _MOST_COUNTED + 1))
    line, column, character = found[0]
    source.distrust(1)
    count = f"more than {_MOST_COUNTED:,}" if len(found) > _MOST_COUNTED else len(found) - 1
    more = (f"the file has {count} more of them",) if len(found) > 1 else ()
    binary = ("is this a binary file?",) if "\0" in source.text else ()
    place = Scalar(None, line, column, 1)
    Reporter(findings, source).report(
        "control-character",
        place,
        f"character U+{ord(character):04X} can't stand in a manifest",
        notes=(*more, *binary, "in double quotes, tab and line break are written \\t and \\n"),
    )
