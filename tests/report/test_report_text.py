"""Text widths: columns are aligned for any text."""

from __future__ import annotations

import pytest

from octosync.report.text import cells, cut, padded


@pytest.mark.parametrize(
    ("text", "width"), [("", 0), ("demo app", 8), ("a → b …", 7), ("東京", 4), ("e\u0301", 1), ("한국", 4), ("█▏", 2)]
)
def test_a_width_is_in_columns(text: str, width: int) -> None:
    """Wide characters take two columns, combining ones none."""
    assert cells(text) == width
    assert cells(padded(text, 9)) == 9


@pytest.mark.parametrize(
    ("text", "shown"), [("abcdef", "abc…"), ("東京都", "東…"), ("abcd", "abcd"), ("a東京", "a東…")]
)
def test_a_text_is_cut_to_columns(text: str, shown: str) -> None:
    """The ellipsis fits within the width, and no wide character is halved."""
    assert cut(text, 4) == shown
