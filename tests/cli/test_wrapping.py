"""Reports at a terminal: their lines fit its width, and their bytes don't depend on it elsewhere."""

from __future__ import annotations

import io
import re
from pathlib import Path

import pytest

from octosync.cli.wrapping import terminal_width, wrapped

_STYLING = re.compile(r"\x1b\[[0-9;]*m")


@pytest.mark.parametrize(
    ("line", "lines"),
    [
        ("A short line.", ["A short line."]),
        (
            "error: not-found: the control plane has no app of this name",
            ["error: not-found: the control plane has", "  no app of this name"],
        ),
        (
            "  last change    ana, 2026-03-01 14:02 UTC (slot.updated)",
            ["  last change    ana, 2026-03-01 14:02", "    UTC (slot.updated)"],
        ),
        (
            "  note  ana, 2026-03-01 14:02 UTC (slot.updated)",
            ["  note  ana, 2026-03-01 14:02 UTC", "        (slot.updated)"],
        ),
        (
            "  = the rules are in `octosync explain app.spec.slots`",
            ["  = the rules are in", "    `octosync explain app.spec.slots`"],
        ),
        (
            "octosync plan · production (api.octomil.com, org 8f1c5b0e)",
            ["octosync plan · production", "  (api.octomil.com, org 8f1c5b0e)"],
        ),
        (
            "To continue: octosync apply -f apps -f 'more apps' --context production (plans again)",
            [
                "To continue:",
                "    octosync apply -f apps \\",
                "        -f 'more apps' \\",
                "        --context production",
                "  (plans again)",
            ],
        ),
        ("demo  manifests/assistants/of-all-teams/demo.yaml", ["demo", "      manifests/assistants/of…/demo.yaml"]),
        (
            "See https://example.com/a/very/long/path/to/a/page",
            ["See", "  https://example.com/a/very/long/path/to/a/page"],
        ),
    ],
)
def test_a_long_line_is_wrapped(line: str, lines: list[str]) -> None:
    """Text has a hanging indent, a command can be pasted, a path is shortened in the middle, and a URL remains whole."""
    assert wrapped(f"{line}\n", 40) == "".join(f"{part}\n" for part in lines)


def test_styles_continue_on_the_next_line() -> None:
    """Each line of a wrapped one has the style of its words, and ends it."""
    text = wrapped(f"\x1b[31m{'red words ' * 8}\x1b[0m\n", 40)
    assert all(re.fullmatch(r"( *\x1b\[31m)[a-z ]+\x1b\[0m", line) for line in text.splitlines())
    assert _STYLING.sub("", text).split() == ["red", "words"] * 8


@pytest.mark.parametrize("column", [5, 30, 70, 120])
def test_the_caret_remains_below_its_column(column: int) -> None:
    """A long source line is cut around the caret, and advice that doesn't fit is on a line of its own."""
    source = f"{'x' * column}HERE{'y' * 60}"
    text = wrapped(f"12 | {source}\n   | {' ' * column}^^^^ did you mean `something else`?\n", 40)
    shown, carets, *advice = text.splitlines()
    assert shown[carets.index("^") : carets.rindex("^") + 1] == "HERE"
    assert max(map(len, text.splitlines())) <= 40
    assert " ".join((carets, *advice)).endswith("did you mean `something else`?")


def test_paths_are_relative_to_the_current_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The beginning of a path is left out only if it is the current directory."""
    monkeypatch.chdir(tmp_path)
    assert (
        wrapped(f"{tmp_path}/apps/a.yaml and /other{tmp_path}/b.yaml", 200)
        == f"apps/a.yaml and /other{tmp_path}/b.yaml"
    )


def test_without_a_terminal_nothing_is_wrapped() -> None:
    """The text for a pipe, a file or a log does not depend on a width."""
    long = "word " * 100
    assert terminal_width(io.StringIO()) is None
    assert wrapped(long, None) == long
