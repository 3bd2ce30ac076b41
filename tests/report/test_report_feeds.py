from __future__ import annotations

import json
import unicodedata
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.golden import assert_golden

from octosync.model import Event, RoutingDecision
from octosync.report.show.activity import ACTIVITY, DECISIONS, FeedFormat, Table, feed_document, feed_lines
from octosync.report.text import cells

GOLDEN = Path(__file__).parent / "golden"
NOON = datetime(2030, 1, 1, 12, tzinfo=UTC)

EVENTS = (
    Event(
        id="evt_1",
        type="slot.updated",
        app="demo",
        app_id="id-demo",
        resource=("slot", "vision"),
        actor="ana@example.com",
        message="Replaced slot vision",
        at=NOON,
    ),
    Event(
        id="evt_2",
        type="deployment.completed",
        app="demo",
        resource=("capability", "chat@production"),
        actor="system",
        at=datetime(2030, 1, 1, 14, 5, tzinfo=timezone(timedelta(hours=2))),
    ),
    Event(id="evt_3", type="app.frobnicated", message="Frobnicated"),
    Event(id="evt_4", type="target.created", resource=("target", "ios:com.octomil.demo"), actor="会話", at=NOON),
)
DECIDED = (
    RoutingDecision(id="r1", route="local", capability="chat", variant="phi-4-mini-q4", latency_ms=41.6, at=NOON),
    RoutingDecision(id="r2", route="cloud", capability="chat", variant="phi-4", latency_ms=1230, at=NOON),
    RoutingDecision(id="r3", route="local", capability="keyboard_prediction", variant="k", latency_ms=2.25, at=NOON),
    RoutingDecision(id="r4"),
)


def text_of(shown: FeedFormat[Any], entries: Any, **more: Any) -> str:
    table = Table(shown, entries, **more)
    return table.head() + table.rows(entries) + "".join(f"{line}\n" for line in shown.summary(entries))


def test_a_route_of_any_length_leaves_the_split_readable() -> None:
    """A name is cut as in the table, and the bars of the other routes stay aligned."""
    lines = list(DECISIONS.summary([*DECIDED, RoutingDecision(id="r5", route="x" * 5_000)]))
    assert max(map(cells, lines)) < 120


def test_activity_is_the_golden_text() -> None:
    """Time in UTC, actor, event, object and message; a value that the feed lacks is a dash."""
    assert_golden(GOLDEN / "activity.txt", text_of(ACTIVITY, EVENTS))


def test_decisions_are_the_golden_text() -> None:
    """Time, route, capability, latency, variant; and the split as bars, with shares and average latencies."""
    assert_golden(GOLDEN / "decisions.txt", text_of(DECISIONS, DECIDED))


@pytest.mark.parametrize(("shown", "entries"), [(ACTIVITY, EVENTS), (DECISIONS, DECIDED)])
def test_lines_fit_a_narrow_terminal(shown: FeedFormat[Any], entries: Any) -> None:
    """Lines are cut to the given width, in columns and not in characters; the first columns are kept."""
    for width in (80, 40):
        table = Table(shown, entries, width=width)
        assert all(cells(line) <= width for line in (table.head() + table.rows(entries)).splitlines())


def test_later_entries_use_the_same_columns() -> None:
    """A followed table keeps its columns for any later entry."""
    table = Table(ACTIVITY, EVENTS)
    later = Event(
        id="e", type="slot.updated", resource=("slot", "tts"), actor="a-very-long-name@long-domain.example", at=NOON
    )
    first, second = table.rows([EVENTS[0], later]).splitlines()
    assert first.index("slot.updated") < second.index("slot.updated")
    assert table.rows([EVENTS[0]]).splitlines() == [first]


def test_the_document_always_has_every_key() -> None:
    """JSON has the same keys for each entry, times in UTC, and null for unknown values. The JSON lines are the same."""
    document: Any = feed_document(ACTIVITY, "demo", EVENTS, complete=False)
    assert list(document) == ["format_version", "app", "complete", "events"]
    assert document["events"][1] == {
        "id": "evt_2",
        "at": "2030-01-01T12:05:00Z",
        "actor": "system",
        "type": "deployment.completed",
        "app": "demo",
        "resource": {"type": "capability", "key": "chat@production"},
        "message": None,
    }
    assert {tuple(event) for event in document["events"]} == {tuple(document["events"][0])}
    assert [json.loads(line) for line in feed_lines(ACTIVITY, EVENTS).splitlines()] == document["events"]
    decisions: Any = feed_document(DECISIONS, "demo", DECIDED, complete=True)
    assert decisions["complete"]
    assert decisions["decisions"][3] == dict.fromkeys(decisions["decisions"][0], None) | {"id": "r4"}


@given(st.text(st.sampled_from("\x1b]0;[2Jm\x07\x00\r\n\t\x9b\u202e\u2028\ud800ab'é")), st.sampled_from([None, 40]))
def test_hostile_texts_are_harmless(text: str, width: int | None) -> None:
    """For any text in a feed, a line stays one line, and no control character reaches the terminal."""
    events = [Event(id="e", type=text, resource=(text, f"k{text}"), actor=text, message=text, at=NOON)]
    decided = [RoutingDecision(id="d", route=text, capability=text, variant=text, at=NOON)]
    for report in (text_of(ACTIVITY, events, width=width), text_of(DECISIONS, decided, width=width)):
        assert not {c for c in report.replace("\n", "") if unicodedata.category(c) in {"Cc", "Cf", "Cs", "Zl", "Zp"}}
    assert text_of(ACTIVITY, events).count("\n") == 2
    for lines in (feed_lines(ACTIVITY, events), feed_lines(DECISIONS, decided)):
        assert lines.count("\n") == 1
        assert lines.isascii()
