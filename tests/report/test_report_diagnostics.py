from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.golden import assert_golden

from octosync.model import Diagnostic, Origin, Severity
from octosync.report import VALIDATE, RunReport, is_valid, render_diagnostics, render_validation, validate_document
from octosync.report.text import cells

GOLDEN = Path(__file__).parent / "golden"
ANSI = re.compile(r"\x1b\[\d+m")


def finding(**more: Any) -> Diagnostic:
    facts: dict[str, Any] = {
        "severity": Severity.ERROR,
        "rule": "unknown-field",
        "summary": "`servingPolcy` is not a field of a slot",
        "origin": Origin("apps/demo.yaml", 12, 7),
    }
    return Diagnostic(**{**facts, **more})


TYPO = finding(
    path="spec.slots[0].servingPolcy",
    excerpt="      servingPolcy: local_first",
    width=12,
    suggestion="servingPolicy",
    notes=("A slot has: capability, variant, servingPolicy, preferredEngines, publicClientAllowed, bindings, deploy",),
)
FOUND = (
    finding(
        severity=Severity.NOTICE,
        rule="other-group",
        summary="apps/v1 is not an API version of octosync, ignored",
        origin=None,
    ),
    TYPO,
    finding(
        severity=Severity.WARNING,
        rule="unknown-capability",
        summary="`chatt` is not a capability that octosync knows",
        origin=Origin("apps/demo.yaml", 104, 19),
        path="spec.slots[1].capability",
        excerpt="    - capability: chatt",
        width=5,
    ),
    finding(
        rule="required-field", summary="a target needs `identifier`", origin=Origin("apps/a.yaml", 3, 1), excerpt=None
    ),
    finding(
        rule="bad-value",
        summary="`maxDeletes` must be a number",
        origin=None,
        path="guards.maxDeletes",
        suggestion="10",
    ),
)


def caret_of(excerpt: str, column: int, width: int = 1) -> tuple[str, str]:
    """Render one line, and return it and the line below it, both without the gutter."""
    text = render_diagnostics(
        [finding(excerpt=excerpt, width=width, origin=Origin("f", 1, column))], files=1, colour=False
    )
    rows = [line[4:] for line in text.splitlines() if line[:3] in {"1 |", "  |"}]
    return rows[1], rows[2]


def marked_text(excerpt: str, column: int, width: int = 1) -> str:
    """Return the part of the shown line above the carets."""
    source, carets = caret_of(excerpt, column, width)
    indent, under = len(carets) - len(carets.lstrip()), cells(carets.strip())
    columns = [character for character in source for _ in range(cells(character))]
    shown = columns[indent : indent + under]
    return "".join(character for at, character in enumerate(shown) if not at or cells(character) == 1 or at % 2 == 0)


def test_diagnostics_are_the_golden_ones() -> None:
    """Severity, rule, position, path, source line, caret, suggestion, notes, and the counts at the end; sorted by position."""
    assert_golden(GOLDEN / "diagnostics.txt", render_diagnostics(FOUND, files=14, colour=False))


def test_colour_only_adds_colour_to_diagnostics() -> None:
    """The coloured text without its colours is the plain text."""
    coloured = render_diagnostics(FOUND, files=14, colour=True)
    assert ANSI.sub("", coloured) == render_diagnostics(FOUND, files=14, colour=False)
    assert "^^^^^^^^^^^^\x1b[0m did you mean" in coloured


@pytest.mark.parametrize(
    ("excerpt", "column", "width", "source", "caret"),
    [
        ("a: b", 4, 1, "a: b", "   ^"),
        ("\tname: x", 2, 4, "    name: x", "    ^^^^"),
        ("a\tb: x", 3, 1, "a    b: x", "     ^"),
        ("名前: x", 5, 1, "名前: x", "      ^"),
        ("x: 名前", 4, 2, "x: 名前", "   ^^^^"),
        ("e\u0301e\u0301: x", 6, 1, "e\u0301e\u0301: x", "   ^"),
        ("a: \x1b[2J", 4, 4, "a: \\x1b[2J", "   ^^^^^^^"),
        ("a: b", 99, 5, "a: b", "    ^"),
        ("a: b", 4, 99, "a: b", "   ^"),
        ("a: b", 4, 0, "a: b", "   ^"),
        ("a: b\r\n", 1, 1, "a: b", "^"),
        ("", 1, 1, "", "^"),
    ],
)
def test_carets_are_under_the_marked_text(excerpt: str, column: int, width: int, source: str, caret: str) -> None:
    """Tabs, wide, combining and control characters shift the caret as they shift the source line."""
    assert caret_of(excerpt, column, width) == (source, caret)


@pytest.mark.parametrize("column", [1, 30, 500, 960, 1000])
def test_long_lines_are_cut_around_the_caret(column: int) -> None:
    """A line of a thousand columns is shown around the caret, which is still under the marked text."""
    line = "".join(f"{n:04}," for n in range(200))
    source, carets = caret_of(line, column, 4)
    assert cells(source) <= 123
    assert marked_text(line, column, 4) == line[column - 1 : column + 3]
    assert source.startswith("…") is (column > 41)
    assert len(carets) <= cells(source) + 1


@given(st.text(st.sampled_from("ab\t名\u0301\x1b,"), max_size=300), st.integers(1, 320), st.integers(0, 400))
def test_the_caret_never_leaves_the_line(excerpt: str, column: int, width: int) -> None:
    """There is a caret for any position, and it is never longer than the line."""
    source, carets = caret_of(f"{excerpt}.", column, width)
    assert re.fullmatch(r" *\^+", carets)
    assert len(carets) <= cells(source) + 1


def test_a_suggestion_without_a_source_line_is_a_note() -> None:
    """If the source line is hidden, the suggestion is shown before the other notes."""
    text = render_diagnostics([finding(suggestion="servingPolicy", notes=("See also.",))], files=1, colour=False)
    assert text.splitlines()[1:4] == [
        "  --> apps/demo.yaml:12:7",
        "   = did you mean `servingPolicy`?",
        "   = See also.",
    ]


@pytest.mark.parametrize(
    ("severities", "files", "line"),
    [
        ([Severity.ERROR, Severity.ERROR, Severity.WARNING], 14, "2 errors, 1 warning in 14 files. Nothing was sent."),
        ([Severity.NOTICE], 1, "1 notice in 1 file. Nothing was sent."),
        ([], 0, "No problems. Nothing was sent."),
    ],
)
def test_the_last_line_has_the_counts(severities: list[Severity], files: int, line: str) -> None:
    """The last line has the counts by severity, gravest first, and the number of files."""
    found = [finding(severity=severity) for severity in severities]
    assert render_diagnostics(found, files=files, colour=False).splitlines()[-1] == line


def test_a_validation_reports_whether_the_manifests_are_valid() -> None:
    """Manifests with warnings are valid unless strict; with errors they never are. Text and JSON agree."""
    warning, error = finding(severity=Severity.WARNING), finding()
    for found, strict, valid in (
        ((), False, True),
        ((warning,), False, True),
        ((warning,), True, False),
        ((error,), False, False),
    ):
        report = RunReport(command=VALIDATE, diagnostics=found, files=2, apps=1, strict=strict)
        text = render_validation(report, colour=False)
        assert is_valid(found, strict=strict) is valid
        assert text.splitlines()[-1].startswith("Valid: 1 app in 2 files." if valid else "Not valid: 1 app in 2 files.")
        assert validate_document(report)["valid"] is valid


def test_the_validate_document_has_the_diagnostics_of_the_text() -> None:
    """JSON has the same findings in the same order with position, path, suggestion and notes, and no source line."""
    document: Any = validate_document(RunReport(command=VALIDATE, diagnostics=FOUND, files=14, apps=3))
    assert list(document) == ["format_version", "valid", "files", "apps", "diagnostics", "errors"]
    assert (document["format_version"], document["files"], document["apps"]) == ("1.0", 14, 3)
    rules = re.findall(r"^\w+: ([a-z-]+):", render_diagnostics(FOUND, files=14, colour=False), re.MULTILINE)
    assert [diagnostic["rule"] for diagnostic in document["diagnostics"]] == rules
    assert document["diagnostics"][1] == {
        "severity": "error",
        "rule": "unknown-field",
        "summary": "`servingPolcy` is not a field of a slot",
        "range": {"filename": "apps/demo.yaml", "start": {"line": 12, "column": 7}},
        "path": "spec.slots[0].servingPolcy",
        "suggestion": "servingPolicy",
        "notes": list(TYPO.notes),
    }
    assert document["diagnostics"][-1]["range"] is None
