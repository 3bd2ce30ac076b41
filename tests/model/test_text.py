"""Text for people: counts and truncation."""

from __future__ import annotations

import pytest

from octosync.model import clipped, counted, truncated


@pytest.mark.parametrize(
    ("count", "words"), [(0, "0 apps"), (1, "1 app"), (2, "2 apps"), (1240, "1,240 apps"), (-1, "-1 apps")]
)
def test_a_count_has_its_noun(count: int, words: str) -> None:
    """One is singular, every other count plural, and thousands are separated."""
    assert counted(count, "app") == words


def test_an_irregular_plural_is_given() -> None:
    """A noun that doesn't take an "s" has its own plural."""
    assert [counted(count, "canary", "canaries") for count in (1, 2)] == ["1 canary", "2 canaries"]


@pytest.mark.parametrize(
    ("text", "limit", "shown"),
    [("abcdef", None, "abcdef"), ("abcdef", 6, "abcdef"), ("abcdef", 2, "ab… (6 characters)"), ("", 0, "")],
)
def test_a_clipped_text_says_how_long_it_is(text: str, limit: int | None, shown: str) -> None:
    """A text within its limit is unchanged, and so is every text without a limit."""
    assert clipped(text, limit) == shown


def test_the_length_of_a_long_text_is_separated() -> None:
    """Thousands of characters have separators as other counts have."""
    assert clipped("x" * 1240, 1) == "x… (1,240 characters)"


@pytest.mark.parametrize(("text", "shown"), [("abcd", "abcd"), ("abcde", "abc…"), ("", "")])
def test_a_truncated_text_has_its_length(text: str, shown: str) -> None:
    """The ellipsis counts towards the limit."""
    assert truncated(text, 4) == shown
