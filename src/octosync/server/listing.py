"""Lists: `{"<plural>": [...], "total", "limit", "offset"}`."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from octosync.model import JsonValue
from octosync.server.handlers.handler import Call
from octosync.server.store import Row


def listed(  # noqa: PLR0917  reads as the query it makes
    call: Call, plural: str, source: str, values: Sequence[object], order: str, shown: Callable[[Row], JsonValue]
) -> JsonValue:
    """Answer the asked-for page of `source`, the code's own SQL after FROM, with `values` for its marks."""
    page, store = call.page, call.store
    total = store.number(f"SELECT count(*) FROM {source}", *values)  # noqa: S608  no client text in it
    rows = store.rows(f"SELECT * FROM {source} ORDER BY {order} LIMIT ? OFFSET ?", *values, page.limit, page.offset)  # noqa: S608  likewise
    return {plural: [shown(row) for row in rows], "total": total, "limit": page.limit, "offset": page.offset}
