"""Which operation a request is for, by the contract table alone: for the requests log and for injected faults."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from urllib.parse import unquote

from octosync.contract import OPERATIONS

PREFIX = "/api/v1"


def _by_shape() -> Mapping[tuple[str, int], list[tuple[str, list[str]]]]:
    table: defaultdict[tuple[str, int], list[tuple[str, list[str]]]] = defaultdict(list)
    # Paths with fewer parameters first, so that /apps/bootstrap is not an app's slug.
    for operation in sorted(OPERATIONS.values(), key=lambda operation: operation.path.count("{")):
        segments = operation.path.split("/")
        table[operation.method, len(segments)].append((operation.id, segments))
    return dict(table)


_TABLE = _by_shape()


def operation_at(method: str, path: str) -> tuple[str | None, Mapping[str, str]]:
    """Find the operation and its path parameters; (None, {}) for a path that is no operation's."""
    if not path.startswith(f"{PREFIX}/"):
        return None, {}
    segments = path.removeprefix(PREFIX).split("/")
    for id_, template in _TABLE.get((method, len(segments)), ()):
        parameters: dict[str, str] = {}
        for expected, segment in zip(template, segments, strict=True):
            if expected.startswith("{") and segment:
                parameters[expected[1:-1]] = unquote(segment)
            elif expected != segment:
                break
        else:
            return id_, parameters
    return None, {}
