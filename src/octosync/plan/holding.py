"""Holding: what somebody changed a moment ago is announced before it is changed back, so that an emergency fix can stay.

The activity feed tells when: an object's newest change in it, or, where events don't say what they are about, its app's.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from octosync.errors import RemoteError
from octosync.model import Address, Diagnostic, Kind, Observation
from octosync.plan.actions import Action
from octosync.plan.drift import newest_in_app_feeds, newest_in_org_feed
from octosync.plan.findings import finding


@dataclass(frozen=True, slots=True, kw_only=True)
class Holding:
    """How long drift is left alone.

    `span` is counted from the change, 0: changed back at once, None: never by itself. `first_seen` says when each object
    was first seen to have drifted (with a zone; what is not in it: now): with it, what the org's feed does not show is as
    old as the app's own feed says, else as that. Without it (None), what the org's feed does not show is older than `span`.

    Drift of `apps` is held until a time at least (with a zone), that of `never` without an end.
    """

    span: timedelta | None
    first_seen: Mapping[Address, datetime] | None = None
    apps: Mapping[str, datetime] = field(default_factory=dict)
    never: Collection[Address] = ()


@dataclass(frozen=True, slots=True)
class Held:
    """A change that is planned, and not made before `until`; None: not by itself."""

    action: Action
    until: datetime | None


def held_until(
    drifted: Collection[Address],
    seen: Observation,
    *,
    now: datetime,
    hold: Holding | None,
    presumed: Collection[str] = frozenset(),
) -> Mapping[Address, datetime | None]:
    """Say until when each object that drifted is held (None: without an end); one that is not held is not in it.

    Of `presumed` apps it is not known that anybody changed what differs: it is held where a feed says so. Where the feed
    was not read back far enough to tell, and nothing else does, a change is held as if it had just been made. Both halves
    of a move by hand are held as long as the longer one of them. An app that is not there at all was never archived by
    hand, since there is no way back from that: it is held whatever its age only where somebody asked for it.
    """
    if hold is None:
        return {}
    ages = _Ages(seen, hold, now)
    ends: dict[str, list[datetime | None]] = {}
    for address in sorted(drifted):
        known_drift = address.app not in presumed
        is_there = address.app in seen.state.apps
        changed_at = ages.of(address, known_drift=known_drift) if is_there else None
        is_contested = address in hold.never or (not is_there and Address.of_app(address.app) in hold.never)
        if is_contested or (hold.span is None and (known_drift or changed_at is not None)):
            ends.setdefault(_unit(address), []).append(None)
            continue
        until = [hold.apps[address.app]] if address.app in hold.apps else []
        if hold.span and changed_at is not None:
            until.append(changed_at + hold.span)
        ends.setdefault(_unit(address), []).extend(end for end in until if end > now)
    return {address: _latest(mine) for address in sorted(drifted) if (mine := ends[_unit(address)])}


def _unit(address: Address) -> str:
    """Name what is held together: a target in every app that has lost or got it, else the object alone."""
    return address.name if address.kind is Kind.TARGET else str(address)


def _latest(ends: Sequence[datetime | None]) -> datetime | None:
    known = [end for end in ends if end is not None]
    return max(known) if len(known) == len(ends) else None


class _Ages:
    """When each object was changed, as far as is known."""

    def __init__(self, seen: Observation, hold: Holding, now: datetime) -> None:
        self._first_seen, self._now = hold.first_seen, now
        self._is_cut = seen.org_feed_is_cut and isinstance(seen.org_feed, tuple)
        self._feeds = [newest_in_org_feed(seen)]
        if hold.first_seen is not None:
            self._feeds.append(newest_in_app_feeds(seen))

    def of(self, address: Address, *, known_drift: bool) -> datetime | None:
        """Say when an object was changed, None where nothing says so: then it was longer ago than anything is held."""
        events = [event for newest in self._feeds if (event := newest(address)) is not None]
        told = next((event.at for event in events if event.at is not None), None)
        if told is not None or not known_drift:
            return told
        if self._first_seen is not None:
            return self._first_seen.get(address, self._now)
        return self._now if self._is_cut and not events else None


def unheld(
    drifted: Collection[Address], seen: Observation, actions: Collection[Action], hold: Holding | None
) -> tuple[Diagnostic, ...]:
    """Say that drift is changed back at once, since the feed can't be read that would tell when it came about."""
    if hold is None or not hold.span or hold.first_seen is not None or not isinstance(seen.org_feed, RemoteError):
        return ()
    found = {action.address: action.origin for action in actions if action.address in drifted}
    if not found:
        return ()
    first, *others = sorted(found)
    words = f"when it was changed can't be told, so it is not held: {seen.org_feed.message}"
    also = (f"Not held either: {', '.join(map(str, others))}",) if others else ()
    return (finding("drift-not-held", first, words, origin=found[first], notes=(*also, *seen.org_feed.hints)),)
