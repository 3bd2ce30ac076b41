"""JSON of responses: a value that can't be compared, shown or sent again is rejected."""

from __future__ import annotations

import pytest

from octosync.octomil.response import MAX_DEPTH, is_cut, parse, parse_or_none


@pytest.mark.parametrize(
    "body",
    [
        '{"a": NaN}',
        '{"a": -Infinity}',
        '{"a": [1e999]}',
        '{"a": -1e999}',
        '{"a": "\\ud800"}',
        f'{{"a": {"9" * 5000}}}',
        "[" * (MAX_DEPTH + 1) + "]" * (MAX_DEPTH + 1),
        '{"a":' * 500 + "1" + "}" * 500,
        "[" * 100_000 + "]" * 100_000,
        "nothing",
    ],
)
def test_a_value_that_cannot_be_sent_again_is_refused(body: str) -> None:
    """Numbers beyond a float, unpaired surrogates and excessive nesting raise `ValueError` and nothing else."""
    with pytest.raises(ValueError, match=r"\S"):
        parse(body.encode())
    assert parse_or_none(body.encode()) is None


@pytest.mark.parametrize("opening", ["[", '{"a":'])
def test_the_deepest_allowed_value_is_read(opening: str) -> None:
    """The limit applies to levels of objects and lists, not to the number of objects."""
    closing = "]" if opening == "[" else "}"
    inner = "1" if opening != "[" else ""
    assert parse((opening * MAX_DEPTH + inner + closing * MAX_DEPTH).encode())
    assert parse(("[" + ",".join(["[[]]"] * 1000) + "]").encode()) == [[[]]] * 1000


def test_numbers_and_letters_are_unchanged() -> None:
    """Floats, big integers, surrogate pairs and a byte order mark are accepted."""
    assert parse(b'\xef\xbb\xbf{"a": 1e308, "b": 0.1, "c": 123456789012345678901234567890, "d": "\\ud83d\\ude00"}') == {
        "a": 1e308,
        "b": 0.1,
        "c": 123456789012345678901234567890,
        "d": "😀",
    }


@pytest.mark.parametrize(
    ("body", "cut"),
    [('{"a": "b', True), ('{"a": ', True), ("[1,", True), ('{"a" 1}', False), ("OK", False), ('{"a": NaN}', False)],
)
def test_a_truncated_response_is_recognised(body: str, cut: bool) -> None:
    """Only a body that begins as JSON and ends too early counts as truncated."""
    with pytest.raises(ValueError, match=r"\S") as problem:
        parse(body.encode())
    assert is_cut(body.encode(), problem.value) == cut
