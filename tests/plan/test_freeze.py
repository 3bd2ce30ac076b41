"""Freeze windows open at the times of their cron expression, in their time zone, for their duration."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from octosync.model import FreezeWindow, Origin
from octosync.plan import freeze_of, freezes_of, frozen_until
from octosync.plan.guards.freeze import HORIZON, check_cron, check_timezone, is_exempt

BERLIN = ZoneInfo("Europe/Berlin")


def window(cron: str, hours: float, **more: Any) -> FreezeWindow:
    """Return a window, in Berlin by default."""
    return FreezeWindow(cron=cron, duration=timedelta(hours=hours), **{"timezone": "Europe/Berlin", **more})


def at(text: str, zone: str | None = None) -> datetime:
    """Return a time: local in a zone, or with its own offset if it has one."""
    time = datetime.fromisoformat(text)
    return time.replace(tzinfo=ZoneInfo(zone or "Europe/Berlin")) if time.tzinfo is None else time


def until(now: str, *windows: FreezeWindow, slug: str = "search") -> str | None:
    """Return until when an app is frozen, in Berlin's time."""
    end = frozen_until(windows, slug, at(now))
    return None if end is None else end.astimezone(BERLIN).isoformat(timespec="seconds")


WEEKEND = window("0 18 * * FRI", 60)


@pytest.mark.parametrize(
    ("now", "end"),
    [
        ("2026-11-27T17:59:59.999999", None),
        ("2026-11-27T18:00:00", "2026-11-30T06:00:00+01:00"),
        ("2026-11-29T12:34:56.789", "2026-11-30T06:00:00+01:00"),
        ("2026-11-30T05:59:59.999999", "2026-11-30T06:00:00+01:00"),
        ("2026-11-30T06:00:00", None),
        ("2026-11-27T17:00:00+00:00", "2026-11-30T06:00:00+01:00"),
        ("2026-11-27T16:59:59+00:00", None),
    ],
)
def test_a_window_includes_its_start_and_excludes_its_end(now: str, end: str | None) -> None:
    """The first moment is frozen and the end is not, for `now` in any time zone."""
    assert until(now, WEEKEND) == end


@pytest.mark.parametrize(
    ("cron", "hours", "now", "end"),
    [
        # The clocks go forward an hour within it: 60 hours are 60 hours.
        ("0 18 * * FRI", 60, "2026-03-30T06:59:59", "2026-03-30T07:00:00+02:00"),
        ("0 18 * * FRI", 60, "2026-03-30T07:00:00", None),
        # They go back an hour within it.
        ("0 18 * * FRI", 60, "2026-10-26T04:59:59", "2026-10-26T05:00:00+01:00"),
        ("0 18 * * FRI", 60, "2026-10-26T05:00:00", None),
        # Its time is skipped: it opens when the clocks have changed.
        ("30 2 * * *", 1, "2026-03-29T01:59:59", None),
        ("30 2 * * *", 1, "2026-03-29T03:00:00", "2026-03-29T04:00:00+02:00"),
        ("30 2 * * *", 1, "2026-03-29T04:00:00", None),
        # Its time comes twice: the first counts, and the second opens nothing.
        ("30 2 * * *", 0.5, "2026-10-25T02:29:59+02:00", None),
        ("30 2 * * *", 0.5, "2026-10-25T02:30:00+02:00", "2026-10-25T02:00:00+01:00"),
        ("30 2 * * *", 0.5, "2026-10-25T02:59:59+02:00", "2026-10-25T02:00:00+01:00"),
        ("30 2 * * *", 0.5, "2026-10-25T02:00:00+01:00", None),
        ("30 2 * * *", 0.5, "2026-10-25T02:30:00+01:00", None),
        ("30 2 * * *", 0.5, "2026-10-25T02:45:00+01:00", None),
        ("30 2 * * *", 2, "2026-10-25T02:45:00+01:00", "2026-10-25T03:30:00+01:00"),
        # Every hour includes both doubled hours.
        ("0 * * * *", 0.5, "2026-10-25T02:29:00+02:00", "2026-10-25T02:30:00+02:00"),
        ("0 * * * *", 0.5, "2026-10-25T02:31:00+02:00", None),
        ("0 * * * *", 0.5, "2026-10-25T02:29:00+01:00", "2026-10-25T02:30:00+01:00"),
    ],
)  # fmt: skip
def test_changes_of_the_clocks(cron: str, hours: float, now: str, end: str | None) -> None:
    """A skipped time opens right after the gap, a doubled one the first time, and a duration is elapsed time."""
    assert until(now, window(cron, hours)) == end


@pytest.mark.parametrize(
    ("zone", "now", "end"),
    [
        ("UTC", "2026-06-01T12:00:00+00:00", "2026-06-01T13:00:00+00:00"),
        ("Asia/Kolkata", "2026-06-01T06:30:00+00:00", "2026-06-01T07:30:00+00:00"),
        ("Pacific/Chatham", "2026-05-31T23:15:00+00:00", "2026-06-01T00:15:00+00:00"),
        ("America/New_York", "2026-06-01T16:00:00+00:00", "2026-06-01T17:00:00+00:00"),
        ("America/New_York", "2026-12-01T17:00:00+00:00", "2026-12-01T18:00:00+00:00"),
    ],
)
def test_each_window_has_its_own_time_zone(zone: str, now: str, end: str) -> None:
    """Noon is noon in the zone of the window, offsets of half and quarter hours and summer time included."""
    noon = window("0 12 * * *", 1, timezone=zone)
    assert frozen_until([noon], "search", at(now)) == at(end)
    assert frozen_until([noon], "search", at(now) - timedelta(seconds=1)) is None


def test_a_day_of_25_hours_is_longer_than_24_hours() -> None:
    """A duration is elapsed time, so a daily window of `24h` leaves one hour of such a day free."""
    day = window("0 0 * * *", 24)
    assert until("2026-10-25T22:59:59", day) == "2026-10-25T23:00:00+01:00"
    assert until("2026-10-25T23:30:00", day) is None


def test_a_midnight_that_is_skipped() -> None:
    """In zones that change their clocks at midnight, a window of that day opens at 01:00."""
    day = window("0 0 * * *", 1, timezone="Africa/Cairo")
    assert frozen_until([day], "search", at("2026-04-23T21:59:59+00:00")) is None
    assert frozen_until([day], "search", at("2026-04-23T22:00:00+00:00")) == at("2026-04-23T23:00:00+00:00")


def test_a_window_of_a_month() -> None:
    """A window that opened weeks ago is in force, also across the end of a year."""
    december = window("0 0 15 12 *", 24 * 31)
    assert until("2027-01-14T23:59:59", december) == "2027-01-15T00:00:00+01:00"
    assert until("2027-01-15T00:00:00", december) is None
    assert until("2026-12-14T23:59:59", december) is None


def test_adjacent_windows_are_one() -> None:
    """Windows that cover every day of a month, by the hour or by the day, end with the month."""
    for cron, hours in (("0 0 * 12 *", 24), ("0 * * 12 *", 1), ("*/15 * * 12 *", 0.25), ("* * * 12 *", 1 / 60)):
        assert until("2026-12-03T10:17:30", window(cron, hours)) == "2027-01-01T00:00:00+01:00"
    assert until("2026-12-03T10:17:30", window("0 0 * 12 *", 23.5)) == "2026-12-03T23:30:00+01:00"


def test_overlapping_and_adjacent_windows_are_one() -> None:
    """The end is that of the last window, and every window of the chain is named, in the order of the file. A gap ends it."""
    first = window("0 8 24 12 *", 4, origin=Origin("octosync.yaml", 2))
    inside = window("0 9 24 12 *", 1, origin=Origin("octosync.yaml", 3))
    overlaps = window("0 11 24 12 *", 3, origin=Origin("octosync.yaml", 4))
    meets = window("0 14 24 12 *", 2, origin=Origin("octosync.yaml", 5))
    later = window("1 16 24 12 *", 2, origin=Origin("octosync.yaml", 6))
    found = freeze_of([meets, later, overlaps, inside, first], "search", at("2026-12-24T09:30:00"))
    assert found is not None
    assert (found.until, found.ends) == (at("2026-12-24T16:00:00"), True)
    assert found.windows == (meets, overlaps, inside, first)
    only = freeze_of([first, inside, later], "search", at("2026-12-24T08:30:00"))
    assert only is not None
    assert (only.until, only.windows) == (at("2026-12-24T12:00:00"), (first,))


def test_equal_windows_are_distinguished_by_their_position() -> None:
    """The result for one window never has the position of the other."""
    now = at("2026-11-28T00:00:00")
    for line in (4, 9):
        found = freeze_of([window("0 18 * * FRI", 60, origin=Origin("octosync.yaml", line))], "search", now)
        assert found is not None
        assert found.windows[0].origin == Origin("octosync.yaml", line)


@pytest.mark.parametrize(("cron", "hours"), [("* * * * *", 24), ("0 0 * * *", 24), ("* * * * *", 1 / 60)])
def test_a_freeze_without_a_foreseeable_end_is_marked(cron: str, hours: float) -> None:
    """It is frozen at least until the given time, and evaluating again at that time continues."""
    now = at("2026-11-28T00:00:00")
    always = window(cron, hours, timezone="UTC")
    found = freeze_of([always], "search", now)
    assert found is not None
    assert not found.ends
    assert now + timedelta(days=30) < found.until <= now + HORIZON + timedelta(days=2)
    assert freeze_of([always], "search", found.until) is not None


@pytest.mark.parametrize(
    ("patterns", "slug", "held"),
    [
        ((), "search", True),
        (("sandbox-*",), "sandbox-ana", False),
        (("sandbox-*",), "sandbox", True),
        (("sandbox-*", "search"), "search", False),
        (("Search",), "search", True),
        (("*",), "search", False),
    ],
)
def test_exempt_apps_are_not_frozen(patterns: tuple[str, ...], slug: str, held: bool) -> None:
    """Patterns are those of `--app`: `*` matches anything, and case counts."""
    weekend = window("0 18 * * FRI", 60, exempt=patterns)
    assert is_exempt(weekend, slug) is not held
    assert (until("2026-11-28T00:00:00", weekend, slug=slug) is not None) is held


def test_an_exemption_is_from_its_window_alone() -> None:
    """Another window in force still freezes the app, and the exempt one counts neither for the end nor for the names."""
    weekend, night = window("0 18 * * FRI", 60, exempt=("sandbox-*",)), window("0 22 * * *", 8)
    found = freezes_of([weekend, night], ["sandbox-a", "search", "sandbox-b"], at("2026-11-27T23:00:00"))
    assert list(found) == ["sandbox-a", "search", "sandbox-b"]
    assert (found["sandbox-a"].until, found["sandbox-a"].windows) == (at("2026-11-28T06:00:00"), (night,))
    assert (found["search"].until, found["search"].windows) == (at("2026-11-30T06:00:00"), (weekend, night)[:1])
    assert list(freezes_of([weekend], ["sandbox-a", "search"], at("2026-11-27T23:00:00"))) == ["search"]


def test_without_windows_nothing_is_frozen() -> None:
    """Nothing is frozen without windows, or by a window of no duration."""
    assert freeze_of([], "search", at("2026-11-28T00:00:00")) is None
    assert freeze_of([window("* * * * *", 0)], "search", at("2026-11-28T00:00:00")) is None


def test_a_time_without_a_zone_is_rejected() -> None:
    """The zone of 18:00 must not be guessed."""
    with pytest.raises(ValueError, match="zone"):
        frozen_until([WEEKEND], "search", at("2026-11-28T00:00:00").replace(tzinfo=None))


_CRONS = ["30 2 * * *", "0 18 * * FRI", "*/20 1-3 * * *", "15 0 * * SUN", "0 12 L * *"]
_ZONES = ["Europe/Berlin", "Africa/Cairo", "Australia/Lord_Howe", "America/New_York", "UTC"]


@example("30 2 * * *", "Europe/Berlin", 30, datetime(2026, 10, 25, 1, 15, tzinfo=UTC))
@example("30 2 * * *", "Europe/Berlin", 90, datetime(2026, 3, 29, 1, 0, tzinfo=UTC))
@given(
    st.sampled_from(_CRONS),
    st.sampled_from(_ZONES),
    st.integers(1, 1200),
    st.datetimes(datetime(2026, 1, 1), datetime(2027, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001 — bounds, in UTC
)
def test_a_freeze_lasts_exactly_until_its_end(cron: str, zone: str, minutes: int, now: datetime) -> None:
    """For any change of the clocks, the end is the same until a moment before it, and then the freeze is over."""
    windows = [FreezeWindow(cron=cron, duration=timedelta(minutes=minutes), timezone=zone)]
    found = freeze_of(windows, "search", now)
    if found is None:
        return
    assert found.until > now
    assert frozen_until(windows, "search", now + (found.until - now) / 2) == found.until
    assert frozen_until(windows, "search", found.until - timedelta(microseconds=1)) == found.until
    assert found.ends
    assert frozen_until(windows, "search", found.until) is None


@pytest.mark.parametrize(
    "text", ["0 18 * * FRI", " 0  18 * * fri ", "*/5 8-17 1,15 JAN-MAR *", "0 0 L * *", "0 0 * * 7", "0 0 29 2 *"]
)
def test_cron_expressions(text: str) -> None:
    """Five fields, names of months and days in either case, the last day of a month, Sunday as 0 and as 7."""
    check_cron(text)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("0 18 * *", "five fields"),
        ("0 0 18 * * FRI", "five fields"),
        ("@daily", "five fields"),
        ("60 * * * *", "minute"),
        ("0 24 * * *", "hour"),
        ("0 0 0 * *", "day-of-month"),
        ("0 0 30 2 *", "day-of-month"),
        ("0 0 * 13 *", "month"),
        ("0 0 * * FRI-MON", "day-of-week"),
    ],
)
def test_an_invalid_cron_expression(text: str, why: str) -> None:
    """The error names the wrong field, also for a day that never occurs."""
    with pytest.raises(ValueError, match=why):
        check_cron(text)


@pytest.mark.parametrize("name", ["Europe/Berln", "America", "", "../UTC", "/etc/localtime"])
def test_an_invalid_time_zone(name: str) -> None:
    """A name that doesn't exist, a folder of the database, a path."""
    check_timezone("Europe/Berlin")
    with pytest.raises(ValueError, match="unknown time zone"):
        check_timezone(name)
