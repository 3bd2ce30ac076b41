"""Holding: what somebody changed a moment ago is announced before it is changed back, so that an emergency fix can stay.

The activity feed tells when: an object's newest change in it, or, where events don't say what they are about, its app's.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from octosync.errors import RemoteError
from octosync.model import Address, Diagnostic, Observation
from octosync.plan.actions import Action
from octosync.plan.authors import newest_in_org_feed
from octosync.plan.findings import finding


@dataclass(frozen=True, slots=True)
class Held:
    """A change that is planned, and not made before `until`."""

    action: Action
    until: datetime


def held_until(
    drifted: Collection[Address], seen: Observation, *, now: datetime, hold: timedelta | None
) -> Mapping[Address, datetime]:
    """Say until when each object that drifted is held; an object whose change is older, or in no feed, is not in it.

    Where the feed was not read back far enough to tell, a change is held as if it had just been made.
    """
    if not hold or not isinstance(seen.org_feed, tuple):
        return {}
    newest = newest_in_org_feed(seen)
    held = {}
    for address in sorted(drifted):
        event = newest(address)
        unknown = now if seen.org_feed_is_cut else None
        at = unknown if event is None else event.at
        if at is not None and at + hold > now:
            held[address] = at + hold
    return held


def unheld(
    drifted: Collection[Address], seen: Observation, actions: Collection[Action], hold: timedelta | None
) -> tuple[Diagnostic, ...]:
    """Say that drift is changed back at once, since the feed can't be read that would tell when it came about."""
    if not hold or not isinstance(seen.org_feed, RemoteError):
        return ()
    first = next((action for action in actions if action.address in drifted), None)
    if first is None:
        return ()
    words = f"when it was changed can't be told, so it is not held: {seen.org_feed.message}"
    return (finding("drift-not-held", first.address, words, origin=first.origin, notes=seen.org_feed.hints),)
