"""Freeze windows: whether an app is inside one, and until when. Pure: the time is an input.

A window is open from each time that its cron expression names, that moment included, for its duration, the end excluded. The
expression is read in the window's time zone, as cron does it: a fixed time that a change of the clocks skips comes when they
have changed, and one that comes twice counts once, the first time. The duration is elapsed time.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from fnmatch import fnmatchcase
from functools import lru_cache
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from cronsim import CronSim, CronSimError

from octosync.model import FreezeWindow

# How far the end of windows that follow one another without a gap is looked for: in time, and in openings.
HORIZON: Final = timedelta(days=366)
_MOST_OPENINGS: Final = 50_000
# Any time will do to see whether an expression ever names one.
_SOME_TIME: Final = datetime(2024, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Freeze:
    """An app is frozen until a moment (UTC), by these windows: what is in force, and what prolongs it without a gap.

    If `ends` is False, no end was found within `HORIZON`: the app is frozen at least until `until`.
    """

    until: datetime
    ends: bool
    windows: tuple[FreezeWindow, ...]


def frozen_until(windows: Sequence[FreezeWindow], slug: str, now: datetime) -> datetime | None:
    """Return until when an app is frozen (UTC), None if it isn't.

    Windows that overlap or meet are one. If no end is found, it is a time until which the app is certainly frozen. `now` has
    a zone.
    """
    freeze = freeze_of(windows, slug, now)
    return None if freeze is None else freeze.until


def freeze_of(windows: Sequence[FreezeWindow], slug: str, now: datetime) -> Freeze | None:
    """Return what freezes an app at `now`, None if nothing does. Raises `ValueError` for a `now` without a zone."""
    if now.utcoffset() is None:
        raise ValueError("freeze windows are judged at a time with a zone")
    mine = tuple(window for window in windows if not is_exempt(window, slug))
    if not mine:
        return None
    # Windows begin and end with whole seconds, so within one nothing changes.
    found = _found(mine, now.astimezone(UTC).replace(microsecond=0))
    if found is None:
        return None
    until, ends, numbers = found
    return Freeze(until=until, ends=ends, windows=tuple(mine[number] for number in numbers))


def freezes_of(windows: Sequence[FreezeWindow], slugs: Iterable[str], now: datetime) -> Mapping[str, Freeze]:
    """Return what freezes each of these apps, by slug and in their order; an app that isn't frozen is not in it."""
    found = ((slug, freeze_of(windows, slug, now)) for slug in dict.fromkeys(slugs))
    return {slug: freeze for slug, freeze in found if freeze is not None}


def freeze_words(freeze: Freeze) -> str:
    """Name a freeze for people: `a freeze window (octosync.yaml:4), until 2026-11-30 05:00 UTC`; by then it is over."""
    places = dict.fromkeys(
        f"{window.origin.file}:{window.origin.line}" for window in freeze.windows if window.origin is not None
    )
    what = "a freeze window" if len(freeze.windows) == 1 else "freeze windows"
    where = f" ({', '.join(places)})" if places else ""
    return f"{what}{where}, {f'until {minute_words(freeze.until)}' if freeze.ends else 'with no end in sight'}"


def minute_words(at: datetime) -> str:
    """Return a time (UTC) in whole minutes, rounded up: by then, what ends at that time is over."""
    return f"{at + timedelta(seconds=-at.second % 60):%Y-%m-%d %H:%M} UTC"


def is_exempt(window: FreezeWindow, slug: str) -> bool:
    """Return whether a window does not freeze an app."""
    return any(fnmatchcase(slug, pattern) for pattern in window.exempt)


def check_cron(text: str) -> None:
    """Check a cron expression. Raises `ValueError` with what is wrong with it."""
    if len(text.split()) != 5:
        raise ValueError("it has not five fields")
    try:
        next(CronSim(text, _SOME_TIME))
    except CronSimError as error:
        raise ValueError(str(error)[:1].lower() + str(error)[1:]) from None
    except StopIteration:
        raise ValueError("it names no time that ever comes") from None


def check_timezone(name: str) -> None:
    """Check the name of a time zone. Raises `ValueError` for one that isn't known here."""
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        # A folder of the database, such as America, is an error of the operating system.
        raise ValueError("unknown time zone") from None


@lru_cache(maxsize=256)
def _found(windows: tuple[FreezeWindow, ...], now: datetime) -> tuple[datetime, bool, tuple[int, ...]] | None:
    """Return until when these windows freeze, whether that is the end, and which do, by number; None: they don't.

    Cached, since the apps of a plan mostly share their windows. Numbers, because equal windows can be in different places.
    """
    openings = [_openings(window, after=now - window.duration) for window in windows]
    ahead = [next(opening, None) for opening in openings]
    until, looked, by = now, 0, set[int]()
    moved = True
    while moved:
        moved = False
        for number, window in enumerate(windows):
            while (opening := ahead[number]) is not None and opening <= until:
                if opening > now + HORIZON or looked >= _MOST_OPENINGS:
                    return until, False, tuple(sorted(by))
                if opening + window.duration > until:
                    until, moved = opening + window.duration, True
                    by.add(number)
                ahead[number] = next(openings[number], None)
                looked += 1
    return (until, True, tuple(sorted(by))) if by else None


def _openings(window: FreezeWindow, *, after: datetime) -> Iterator[datetime]:
    """Yield the times (UTC) after a moment at which a window opens."""
    zone = ZoneInfo(window.timezone)
    for opening in CronSim(window.cron, after.astimezone(zone)):
        # In the hour that comes twice the library starts from the first, and may yield what has been.
        if (at := opening.astimezone(UTC)) > after:
            yield at
