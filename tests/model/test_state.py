"""Apps, suspensions, origins and findings."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from tests.support.states import child_app, desired_app, live_app

from octosync.model import Diagnostic, Origin, Section, Severity, State, Suspension

UNTIL = datetime(2030, 6, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("until", "now", "holds"),
    [
        (None, UNTIL, True),
        (UNTIL, UNTIL - timedelta(microseconds=1), True),
        (UNTIL, UNTIL, False),
        (UNTIL, UNTIL + timedelta(days=1), False),
        (UNTIL.astimezone(timezone(timedelta(hours=9))), UNTIL - timedelta(minutes=1), True),
        (UNTIL.astimezone(timezone(timedelta(hours=9))), UNTIL, False),
    ],
)
def test_a_suspension_holds_until_its_time_and_no_longer(until: datetime | None, now: datetime, holds: bool) -> None:
    """A suspension has ended at its time; without a time it has no end; the time zone doesn't matter."""
    assert Suspension(until).is_active(now) is holds


@pytest.mark.parametrize(
    ("given", "sections"),
    [
        (desired_app("a"), set()),
        (desired_app("a", targets=[]), {Section.TARGETS}),
        (desired_app("a", slots={}), {Section.SLOTS}),
        (desired_app("a", config=None), {Section.INFERENCE_CONFIG}),
        (child_app("a", targets=["ios:x"]), {Section.TARGETS}),
        (child_app("a", slots={"chat": {}}), {Section.SLOTS}),
        (child_app("a", config={}), {Section.INFERENCE_CONFIG}),
        (live_app("a"), set(Section)),
    ],
)
def test_only_sections_of_which_something_is_declared_are_read(given: object, sections: set[Section]) -> None:
    """An owned list, even if empty, and a child each make their section one that is read; nothing else does."""
    assert given.sections == sections  # type: ignore[attr-defined]  # parametrised with App values


def test_a_slot_is_found_by_its_capability() -> None:
    """An app returns its slot for a capability, None if it has none."""
    app = desired_app("a", slots={"chat": {}, "tts": {}})
    assert app.slot("tts") == app.slots[1]
    assert app.slot("vision") is None


def test_a_state_is_in_slug_order_however_it_was_given() -> None:
    """Apps are sorted in the state, so everything that is made of them is sorted too."""
    assert [app.slug for app in State.from_apps(desired_app("b"), desired_app("c"), desired_app("a"))] == [
        "a",
        "b",
        "c",
    ]


def test_objects_know_their_addresses() -> None:
    """App, target, slot and config each have their address."""
    app = desired_app("a", targets=["ios:x"], slots={"chat": {}}, config={})
    found = [app.address, app.targets[0].address, app.slots[0].address, getattr(app.inference_config, "address", None)]
    assert list(map(str, found)) == ["app/a", "app/a/target/ios:x", "app/a/slot/chat", "app/a/inference-config"]
    assert app.targets[0].unique_key == ("ios", "x")


def test_an_origin_is_written_as_editors_read_it() -> None:
    """The format is `file:line:column`, and origins sort by position."""
    assert str(Origin("apps/a.yaml", 3, 5)) == "apps/a.yaml:3:5"
    assert Origin("a", 9) < Origin("a", 10) < Origin("b", 1)


def test_findings_sort_by_place_then_gravity_and_those_without_a_place_last() -> None:
    """The order of findings depends only on the findings."""

    def finding(severity: Severity, origin: Origin | None, summary: str = "") -> Diagnostic:
        return Diagnostic(severity=severity, rule="r", summary=summary, origin=origin)

    wanted = [
        finding(Severity.WARNING, Origin("a", 1)),
        finding(Severity.ERROR, Origin("a", 2)),
        finding(Severity.NOTICE, Origin("a", 2)),
        finding(Severity.ERROR, Origin("b", 1), "x"),
        finding(Severity.ERROR, Origin("b", 1), "y"),
        finding(Severity.ERROR, None),
    ]
    assert sorted(wanted[3:] + wanted[:3], key=lambda diagnostic: diagnostic.sort_key) == wanted
