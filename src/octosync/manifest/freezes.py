"""Reading `freeze` of octosync.yaml: the schema, which editors know too, has the form, and here it is asked what it means."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import timedelta
from typing import Final
from zoneinfo import available_timezones

from octosync.manifest.durations import parse_duration
from octosync.manifest.findings import Reporter
from octosync.manifest.walk import Fields, closest
from octosync.model import FreezeWindow
from octosync.plan.guards.freeze import check_cron, check_timezone

_CRON: Final = (
    "minute, hour, day of the month, month, day of the week; a range that goes round is a list: FRI,SAT,SUN,MON"
)
_ZONE: Final = "zones are named as in the IANA database, such as Europe/Berlin"


def read_freeze_window(fields: Fields, reporter: Reporter) -> FreezeWindow:
    """Turn one checked record into a window; a cron expression or a time zone that is none is reported."""
    cron, duration, zone = fields.text("cron"), fields.text("duration"), fields.text("timezone")
    _check(fields, "cron", check_cron, reporter, note=_CRON)
    _check(fields, "timezone", check_timezone, reporter, note=_ZONE, instead=available_timezones)
    return FreezeWindow(
        cron=cron or "",
        duration=parse_duration(duration) if duration else timedelta(),
        timezone=zone or "UTC",
        exempt=fields.texts("except"),
        origin=reporter.source.origin(fields.node.line, fields.node.column),
    )


def _check(
    fields: Fields,
    key: str,
    check: Callable[[str], None],
    reporter: Reporter,
    *,
    note: str,
    instead: Callable[[], Iterable[str]] = tuple,
) -> None:
    text = fields.text(key)
    try:
        if text is not None:
            check(text)
    except ValueError as error:
        at = fields.at(key)
        summary = f"{reporter.quote(text, at)} is not what `{key}` takes: {error}"
        suggestion = closest(text, sorted(instead())) if text is not None else None
        reporter.report("invalid-value", at, summary, path=fields.below(key), suggestion=suggestion, notes=(note,))
