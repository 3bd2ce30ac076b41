"""JSON of answers: read only where it can be compared, shown and written again."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable
from typing import NoReturn

from octosync.model import JsonValue

# Manifests have at most 32 levels; what walks a value by recursion has to stay far from Python's limit.
DEEPEST = 100

_SURROGATE = re.compile(rb"(?i)\\ud[89a-f][0-9a-f]{2}")


def parse(body: bytes) -> JsonValue:
    """Parse an answer's body. Raises `ValueError`.

    It refuses what JSON can't write or octosync can't walk: NaN, numbers beyond a float, half a surrogate pair, and more
    than `DEEPEST` levels.
    """
    try:
        value: JsonValue = json.loads(body, parse_constant=_no_constant, parse_float=_finite)
    except RecursionError:
        raise ValueError("it is nested too deep") from None
    if _SURROGATE.search(body):
        json.dumps(value, ensure_ascii=False).encode()
    if body.count(b"[") + body.count(b"{") > DEEPEST:  # fewer can't nest deeper
        _check_depth(value)
    return value


def parse_or_none(body: bytes) -> JsonValue:
    """Parse the body of an error answer, None for one that is not JSON."""
    try:
        return parse(body)
    except ValueError:
        return None


def is_cut(body: bytes, problem: ValueError) -> bool:
    """Say whether what `parse` refused is the beginning of JSON, and ends too early."""
    if not isinstance(problem, json.JSONDecodeError) or body.lstrip()[:1] not in b"{[":
        return False
    return problem.msg.startswith("Unterminated string") or problem.pos >= len(problem.doc.rstrip())


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _finite(text: str) -> float:
    if math.isinf(number := float(text)):
        raise ValueError("a number is too large")
    return number


def _check_depth(value: JsonValue) -> None:
    level = [value]
    for _ in range(DEEPEST):
        level = [inner for item in level for inner in _inside(item) if isinstance(inner, dict | list)]
        if not level:
            return
    raise ValueError("it is nested too deep")


def _inside(value: JsonValue) -> Iterable[JsonValue]:
    match value:
        case dict():
            return value.values()
        case list():
            return value
    return ()
