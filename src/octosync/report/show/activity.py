"""Feeds of an app as tables and as documents: its activity, and its routing decisions."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, Generic, TypeVar

from octosync.model import Event, JsonObject, JsonValue, RoutingDecision
from octosync.plan import FORMAT_VERSION, utc_text
from octosync.report.documents import json_line
from octosync.report.text import Style, cells, cut, padded, text_of, visible

E = TypeVar("E")

_UNKNOWN: Final = "-"
_BAR: Final = 30  # columns of a whole bar
_ROUTE: Final = 24  # columns of a route's name at most
_BLOCKS: Final = ("", "▏", "▎", "▍", "▌", "▋", "▊", "▉")  # eighths of a column


@dataclass(frozen=True, slots=True)
class Column(Generic[E]):
    """A column of a feed: its title, the text of an entry, and its minimum and maximum width; numbers are right-aligned."""

    title: str
    cell: Callable[[E], str]
    least: int = 0
    most: int = 24
    right_aligned: bool = False


@dataclass(frozen=True, slots=True)
class FeedFormat(Generic[E]):
    """The format of a feed: `plural` is its key in documents, `nothing` the message for an empty one."""

    plural: str
    nothing: str
    columns: tuple[Column[E], ...]
    document: Callable[[E], JsonObject]
    summary: Callable[[Sequence[E]], Iterable[str]] = lambda _: ()


class Table(Generic[E]):
    """A table that grows: its columns have the widths that the first entries need.

    Lines are cut to `width` columns, if it is given.
    """

    def __init__(
        self, shown: FeedFormat[E], entries: Iterable[E], *, colour: bool = False, width: int | None = None
    ) -> None:
        first = tuple(entries)
        self._columns = shown.columns
        self._widths = [_width(column, first) for column in shown.columns]
        self._style = Style(colour)
        self._width = width

    def head(self) -> str:
        """Return the line with the titles."""
        return text_of([self._style.bold(self._line([column.title for column in self._columns]))])

    def rows(self, entries: Iterable[E]) -> str:
        """Return a line for each entry."""
        return text_of(map(self._row, entries))

    def _row(self, entry: E) -> str:
        line = self._line([column.cell(entry) for column in self._columns])
        time = self._widths[0]  # the first column has it
        return f"{self._style.dim(line[:time])}{line[time:]}"

    def _line(self, texts: Sequence[str]) -> str:
        shown = []
        for column, width, text in zip(self._columns, self._widths, texts, strict=True):
            clipped = cut(text, column.most)
            shown.append(" " * (width - cells(clipped)) + clipped if column.right_aligned else padded(clipped, width))
        return cut("  ".join(shown).rstrip(), self._width)


def feed_document(shown: FeedFormat[E], slug: str, entries: Sequence[E], *, complete: bool) -> JsonObject:
    """Return the newest entries of a feed as JSON, newest last; `complete`: there are no older ones."""
    return {
        "format_version": FORMAT_VERSION,
        "app": slug,
        "complete": complete,
        shown.plural: [shown.document(entry) for entry in entries],
    }


def feed_lines(shown: FeedFormat[E], entries: Iterable[E]) -> str:
    """Return each entry as a line of ASCII JSON, with the keys of the document."""
    return "".join(json_line(shown.document(entry)) for entry in entries)


def _width(column: Column[E], entries: Sequence[E]) -> int:
    texts = [cells(column.cell(entry)) for entry in entries]
    return max(cells(column.title), column.least, *(min(width, column.most) for width in texts), 0)


def _time(at: datetime | None) -> str:
    return _UNKNOWN if at is None else f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S}"


def _utc(at: datetime | None) -> JsonValue:
    return None if at is None else utc_text(at)


def _or_unknown(text: str | None) -> str:
    return visible(text) if text else _UNKNOWN


def _event_object(event: Event) -> str:
    """Return the object of an event, with its kind if the type of the event does not start with it."""
    kind, name = event.resource or ("", "")
    names_kind = name and (event.type or "").partition(".")[0] == kind
    return _or_unknown(name if names_kind else f"{kind} {name}".strip())


def _event_document(event: Event) -> JsonObject:
    kind, key = event.resource or (None, None)
    return {
        "id": event.id,
        "at": _utc(event.at),
        "actor": event.actor,
        "type": event.type,
        "app": event.app,
        "resource": None if event.resource is None else {"type": kind, "key": key},
        "message": event.message,
    }


ACTIVITY: Final[FeedFormat[Event]] = FeedFormat(
    plural="events",
    nothing="Its activity feed has no events yet.",
    columns=(
        Column("TIME (UTC)", lambda event: _time(event.at), least=19),
        Column("ACTOR", lambda event: _or_unknown(event.actor), least=9),
        Column("EVENT", lambda event: _or_unknown(event.type), least=12),
        Column("OBJECT", _event_object, most=60),
        Column("MESSAGE", lambda event: visible(event.message or ""), most=1000),
    ),
    document=_event_document,
)


def _latency(decision: RoutingDecision) -> str:
    return _UNKNOWN if decision.latency_ms is None else _milliseconds(decision.latency_ms)


def _milliseconds(value: float) -> str:
    return f"{value:,.0f} ms" if value >= 10 or value == int(value) else f"{value:.1f} ms"


def _decision_document(decision: RoutingDecision) -> JsonObject:
    return {
        "id": decision.id,
        "at": _utc(decision.at),
        "route": decision.route,
        "capability": decision.capability,
        "variant": decision.variant,
        "latency_ms": decision.latency_ms,
    }


def _split(decisions: Sequence[RoutingDecision]) -> Iterator[str]:
    """Yield a bar for each route: its share of the decisions, and their average latency."""
    routes = sorted({decision.route or "" for decision in decisions}, key=_rank)
    names = {route: cut(_or_unknown(route), _ROUTE) for route in routes}
    width = max(map(cells, names.values()), default=0)
    for route in routes:
        of_route = [decision for decision in decisions if (decision.route or "") == route]
        times = [decision.latency_ms for decision in of_route if decision.latency_ms is not None]
        share = len(of_route) / len(decisions)
        average = f"   {_milliseconds(sum(times) / len(times)):>8} on average" if times else ""
        yield f"{padded(names[route], width)}  {_bar(share)}  {share * 100:>3.0f}%  {len(of_route):>6,}{average}"


def _rank(route: str) -> tuple[int, str]:
    return {"local": 0, "cloud": 1}.get(route, 2), route


def _bar(share: float) -> str:
    eighths = max(1, round(share * _BAR * 8))
    return padded("█" * (eighths // 8) + _BLOCKS[eighths % 8], _BAR)


DECISIONS: Final[FeedFormat[RoutingDecision]] = FeedFormat(
    plural="decisions",
    nothing="It has no routing decisions yet.",
    columns=(
        Column("TIME (UTC)", lambda decision: _time(decision.at), least=19),
        Column("ROUTE", lambda decision: _or_unknown(decision.route), least=5),
        Column("CAPABILITY", lambda decision: _or_unknown(decision.capability), least=10),
        Column("LATENCY", _latency, least=9, right_aligned=True),
        Column("VARIANT", lambda decision: _or_unknown(decision.variant), most=1000),
    ),
    document=_decision_document,
    summary=_split,
)
