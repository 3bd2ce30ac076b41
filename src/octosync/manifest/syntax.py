"""libyaml's errors in words that say what to do."""

from __future__ import annotations

import yaml

from octosync.manifest.findings import Reporter
from octosync.manifest.nodes import Scalar

# What libyaml says → what it means for whoever wrote the file.
_EXPLAINED = {
    "found character that cannot start any token": "this character can't begin a value: put the value in quotes",
    "mapping values are not allowed in this context": "a second `: ` on the line, or wrong indentation: quote the value",
    "did not find expected key": "the indentation doesn't fit the lines above, or a line lacks its `key:`",
    "could not find expected ':'": "a key without its `:`",
    "found unexpected end of stream": "the file ends inside quotes or brackets that were opened here",
    "did not find expected ',' or ']'": "a list in brackets lacks a `,` or its `]`",
    "did not find expected ',' or '}'": "an object in braces lacks a `,` or its `}`",
    "did not find expected '-' indicator": "a line of the list doesn't begin with `- ` at the list's indentation",
    "found unknown escape character": "an unknown escape in double quotes: write \\\\ for a backslash, or use single quotes",
    "found undefined tag handle": "tags are refused: manifests are plain data",
    "found duplicate %YAML directive": "a document has one %YAML line at most",
    "found incompatible YAML document": "the %YAML line asks for another version than 1.2",
}


def report_syntax(error: yaml.YAMLError, reporter: Reporter) -> None:
    """Report why a file could not be read any further."""
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    problem = str(getattr(error, "problem", None) or getattr(error, "reason", None) or "the text is not YAML")
    at = Scalar(None, mark.line + 1, mark.column + 1, 1) if mark else Scalar(None, 1, 1, 1)
    lines = reporter.source.lines
    line = lines[at.line - 1] if at.line <= len(lines) else ""
    indentation = line[: len(line) - len(line.lstrip())]
    if "\t" in indentation:
        at = Scalar(None, at.line, indentation.index("\t") + 1, 1)
        reporter.report("tab-indentation", at, "a tab can't indent YAML: use spaces")
        return
    if problem == "found invalid Unicode character escape code":
        summary = "this escape is half of a surrogate pair, or no character at all"
        reporter.report("lone-surrogate", at, summary)
        return
    context = getattr(error, "context_mark", None)
    if problem == "found unexpected end of stream" and context is not None:
        at = Scalar(None, context.line + 1, context.column + 1, 1)
    notes = ("inside braces and brackets, ${NAME} needs quotes",) if "${" in line else ()
    reporter.report("yaml-syntax", at, _EXPLAINED.get(problem, problem), notes=notes)
