"""Bundles: one notification for what happens together, such as everything that one commit comes to."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Final

from octosync.model import NotifyEvent, counted
from octosync.report.words import listed
from octosync.watch.notify.messages import Notice

_NAMED: Final = 3  # apps and messages in a sentence
_HINTS: Final = 8

_OVER: Final = {
    NotifyEvent.HELD: "is no longer held",
    NotifyEvent.DRIFT: "no longer drifts",
    NotifyEvent.CONTESTED: "is no longer contested",
    NotifyEvent.FAILED: "no longer fails",
    NotifyEvent.UNCOVERED: "is no longer uncovered",
}


def bundled(notices: Iterable[Notice]) -> Iterator[tuple[Notice, tuple[Notice, ...]]]:
    """Yield one notice for each event, guard and matter, with the notices that it stands for."""
    groups: dict[tuple[NotifyEvent, str | None, str], list[Notice]] = {}
    for notice in notices:
        kind = notice.message if notice.event is NotifyEvent.BLOCKED else notice.matter
        groups.setdefault((notice.event, notice.guard, kind), []).append(notice)
    for group in groups.values():
        yield (group[0] if len(group) == 1 else _together(group)), tuple(group)


def over(notice: Notice, at: datetime, app: str) -> Notice:
    """Return the notice that something is over."""
    if notice.event is NotifyEvent.BLOCKED:
        objects = counted(len(notice.addresses), "object")
        message = f"the guard {notice.guard} no longer blocks {objects if notice.addresses else 'anything'} of {app}"
    elif notice.matter:
        message = f"{notice.matter} can be used again"
    else:
        named = str(notice.addresses[0]) if len(notice.addresses) == 1 else app
        message = f"{named} {_OVER.get(notice.event, 'is as declared')}"
    return replace(notice, event=NotifyEvent.RESOLVED, at=at, message=message, hints=(), until=None, fingerprint="")


def _together(group: Sequence[Notice]) -> Notice:
    first = group[0]
    apps = tuple(sorted({slug for notice in group for slug in notice.slugs}))
    addresses = tuple(sorted({address for notice in group for address in notice.addresses}))
    actors = sorted({notice.actor or "somebody" for notice in group})
    runs = {notice.run for notice in group}
    made = replace(
        first,
        at=max(notice.at for notice in group),
        app=apps[0] if len(apps) == 1 else None,
        apps=apps,
        addresses=addresses,
        hints=tuple(dict.fromkeys(hint for notice in group for hint in notice.hints))[:_HINTS],
        actor=first.actor if len(actors) == 1 else None,
        until=min((notice.until for notice in group if notice.until is not None), default=None),
        run=first.run if len(runs) == 1 else None,
        unfinished=sum(notice.unfinished for notice in group),
    )
    return replace(made, message=_message(made, group, actors))


def _message(made: Notice, group: Sequence[Notice], actors: Sequence[str]) -> str:
    where = f"{counted(len(made.apps), 'app')} ({listed(made.apps, at_most=_NAMED)})"
    match made.event:
        case NotifyEvent.APPLIED:
            rest = f", {made.unfinished:,} not" if made.unfinished else ""
            return f"{counted(len(made.addresses), 'change')} applied in {where}{rest}"
        case NotifyEvent.BLOCKED:
            return f"{group[0].message}: {where}" if len(made.apps) > 1 else group[0].message
        case NotifyEvent.HELD:
            return f"{listed(actors, at_most=_NAMED)} changed {counted(len(made.addresses), 'object')} in {where}"
        case _:
            messages = tuple(dict.fromkeys(notice.message for notice in group))
            more = f"; and {len(messages) - _NAMED:,} more" if len(messages) > _NAMED else ""
            return "; ".join(messages[:_NAMED]) + more
