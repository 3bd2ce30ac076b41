"""Plain scalars as YAML 1.2's core schema reads them, octals excepted: `on`, `no`, dates, `017` and `0o17` stay text."""

from __future__ import annotations

import math
import re

_CONSTANTS: dict[str, bool | None] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
# A number with a leading zero is text: it is an octal in YAML 1.1, and more often a code of some kind.
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
    """Return the value of a plain scalar. Raises `NotJson` for infinities, not-a-number and numbers beyond JSON's."""
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
