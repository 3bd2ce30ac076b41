"""Authors: who last changed what a plan would change back, as far as the activity feed tells. No feed, no claim.

Holding: what somebody changed a moment ago is announced before it is changed back, so that an emergency fix can stay.

The activity feed tells when: an object's newest change in it, or, where events don't say what they are about, its app's.

Questions of a plan: what guards, previews and authors make necessary to know, and what is known already.

Pure, like the plan: it says what to ask, and the remote asks it. Answers lead to a new plan, which may have new questions.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import cached_property
from typing import Final

from octosync.errors import RemoteError
from octosync.model import Address, Diagnostic, Event, Kind, Observation, Questions, Reason, Section
from octosync.plan.actions import (
    Action,
    ArchiveApp,
    DeleteSlot,
    OptimizeCapability,
    PutSlot,
    RemoveTarget,
    Verb,
)
from octosync.plan.diagnostics import finding

# So many apps' own feeds are read, where the org's does not reach back to their change.
MOST_APP_FEEDS: Final = 10

_SOMEBODYS: Final = frozenset({Reason.DRIFT, Reason.DIVERGED})


@dataclass(frozen=True, slots=True)
class LastChange:
    """The newest event about an object, or (`of_app`), where the feed does not say what it is about, of its app."""

    event: Event
    of_app: bool = False


def last_changes(
    actions: Iterable[Action], seen: Observation, drifted: Collection[Address] = ()
) -> Mapping[Address, LastChange]:
    """Find the last change of each object whose difference needs an author; one that `drifted` does, whatever its reason."""
    feeds = _Feeds(seen)
    found = {
        action.address: feeds.last_change_of(action.address)
        for action in actions
        if needs_author(action) or action.address in drifted
    }
    # An event that does not say who ends the search: an older one is not the last.
    return {at: change for at, change in sorted(found.items()) if change is not None and change.event.actor is not None}


def feeds_to_read(actions: Iterable[Action], seen: Observation, drifted: Collection[Address] = ()) -> tuple[str, ...]:
    """Name the apps whose own feed is to be read, once the org's was: the first few with a change that is older."""
    if not isinstance(seen.org_feed, tuple):
        return ()
    feeds = _Feeds(seen)
    apps = {
        action.address.app
        for action in actions
        if (needs_author(action) or action.address in drifted) and feeds.last_change_of(action.address) is None
    }
    # Those that were read count, whether they told or not: else each answer would make room for the next app.
    return tuple(sorted(apps - seen.app_feeds.keys())[: max(0, MOST_APP_FEEDS - len(seen.app_feeds))])


def newest_in_org_feed(seen: Observation) -> Callable[[Address], Event | None]:
    """Return what finds an object's newest event in the org's feed, whoever it names."""
    return _newest_in(replace(seen, app_feeds={}))


def newest_in_app_feeds(seen: Observation) -> Callable[[Address], Event | None]:
    """Return what finds an object's newest event in its app's own feed, where that was read, whoever it names."""
    return _newest_in(replace(seen, org_feed=None))


def _newest_in(seen: Observation) -> Callable[[Address], Event | None]:
    feeds = _Feeds(seen)

    def newest(address: Address) -> Event | None:
        last = feeds.last_change_of(address)
        return None if last is None else last.event

    return newest


def needs_author(action: Action) -> bool:
    """Say whether an action changes back what somebody changed."""
    return action.reason in _SOMEBODYS or (
        action.reason is Reason.DIFFERS and action.verb in {Verb.UPDATE, Verb.DELETE}
    )


@dataclass(frozen=True)
class _Feeds:
    """The events of each app, newest first."""

    _seen: Observation

    @cached_property
    def _by_app(self) -> Mapping[str, Sequence[Event]]:
        """The org's feed by app; sorted only where it is asked for, since most plans of a controller change nothing back."""
        seen, by_app = self._seen, dict[str, list[Event]]()
        slugs = {str(app.identity["id"]): app.slug for app in seen.state if "id" in app.identity}
        for event in seen.org_feed if isinstance(seen.org_feed, tuple) else ():
            slug = event.app or slugs.get(event.app_id or "")
            if slug is not None:
                by_app.setdefault(slug, []).append(event)
        return by_app

    def last_change_of(self, address: Address) -> LastChange | None:
        """Find the newest event about an object; of several feeds, the app's own knows more."""
        events: Iterable[Event] = self._seen.app_feeds.get(address.app, ()) or self._by_app.get(address.app, ())
        return next(_claims(events, address), None)


def _claims(events: Iterable[Event], address: Address) -> Iterator[LastChange]:
    for event in events:
        if event.resource is None:
            yield LastChange(event, of_app=True)
        elif event.is_about(address):
            yield LastChange(event)


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


# What the guards cover: during-canary, live-traffic.
UNSAFE_DURING_CANARY: Final = (PutSlot, DeleteSlot, RemoveTarget, OptimizeCapability)
UNSAFE_UNDER_TRAFFIC: Final = (ArchiveApp, DeleteSlot, RemoveTarget)


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadNeeds:
    """How much a run wants to know.

    `canaries` and `traffic` of apps where a guard would mind them: not where that guard is lifted; a slot that is deleted
    asks for deployments all the same, since the plan says which go on without it. `authors_since`: how far back the org's
    feed is read for who changed what, None: not at all.
    """

    canaries: bool = True
    traffic: bool = True
    authors_since: datetime | None = None


def questions_of(
    actions: Iterable[Action],
    seen: Observation,
    read_needs: ReadNeeds,
    *,
    previews: Iterable[Address] = (),
    checks: Iterable[Address] = (),
    canaries: bool = False,
    drifted: Collection[Address] = (),
) -> Questions:
    """Say what is still to be asked for a plan of these actions; what was asked before is not asked again.

    When a `drifted` object was changed decides whether it is held, be it a move by hand.
    """
    actions = tuple(actions)
    there = seen.state.apps
    minded = {
        action.address.app
        for action in actions
        if isinstance(action, UNSAFE_DURING_CANARY if read_needs.canaries else DeleteSlot)
    }
    exposed = {action.address.app for action in actions if isinstance(action, UNSAFE_UNDER_TRAFFIC)}
    wants_authors = read_needs.authors_since is not None and any(
        needs_author(action) or action.address in drifted for action in actions
    )
    return Questions(
        deployments=tuple(
            slug for slug in sorted(minded & there.keys()) if Section.DEPLOYMENTS not in there[slug].whole
        ),
        routing=tuple(slug for slug in sorted(exposed) if read_needs.traffic and slug not in seen.routing),
        previews=tuple(sorted(previews)),
        checks=tuple(sorted(checks)),
        canaries=canaries,
        org_feed_since=read_needs.authors_since if wants_authors and seen.org_feed is None else None,
        app_feeds=feeds_to_read(actions, seen, drifted) if wants_authors else (),
    )
