"""Drift: who made the changes that a plan would revert, how long they are held, and what must be read to know it.

The author of a change comes from the activity feed: the newest event about the object, or, if events don't name objects, about
its app. Without a feed there is no author.

Drift is announced and held before it is reverted, so that an emergency fix can stay. Its age comes from the same events.

What guards, previews and authors need is listed in the plan's follow-up reads. The client reads it, and a new plan is made
with the results, which may need further reads.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import cached_property
from typing import Final

from octosync.errors import RemoteError
from octosync.model import (
    Address,
    Diagnostic,
    Event,
    FollowUpReads,
    Hold,
    Kind,
    Observation,
    OperatorControls,
    Reason,
    Section,
)
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
from octosync.plan.guards.freeze import minute_words

# At most this many apps' own feeds are read for changes that are older than the org's feed.
MOST_APP_FEEDS: Final = 10

OTHERS_WORK: Final = frozenset({Reason.DRIFT, Reason.DIVERGED})


@dataclass(frozen=True, slots=True)
class LastChange:
    """The newest event about an object, or (`of_app`) about its app, if the event does not name an object."""

    event: Event
    of_app: bool = False


def last_changes(
    actions: Iterable[Action], seen: Observation, drifted: Collection[Address] = ()
) -> Mapping[Address, LastChange]:
    """Return the last change of each object whose difference needs an author; a `drifted` object always does."""
    if not isinstance(seen.org_feed, tuple) and not seen.app_feeds:
        return {}
    feeds = _Feeds(seen)
    found = {
        action.address: feeds.last_change_of(action.address)
        for action in actions
        if needs_author(action) or action.address in drifted
    }
    # An event without an actor ends the search: an older event is not the last change.
    return {
        address: change
        for address, change in sorted(found.items())
        if change is not None and change.event.actor is not None
    }


def feeds_to_read(actions: Iterable[Action], seen: Observation, drifted: Collection[Address] = ()) -> tuple[str, ...]:
    """Return the apps whose own feed must be read after the org's: the first few with a change that is older."""
    if not isinstance(seen.org_feed, tuple):
        return ()
    feeds = _Feeds(seen)
    apps = {
        action.address.app
        for action in actions
        if (needs_author(action) or action.address in drifted) and feeds.last_change_of(action.address) is None
    }
    # Feeds that were read count even without a result, or each response would make room for the next app.
    return tuple(sorted(apps - seen.app_feeds.keys())[: max(0, MOST_APP_FEEDS - len(seen.app_feeds))])


def newest_in_org_feed(seen: Observation) -> Callable[[Address], Event | None]:
    """Return a function that returns an object's newest event in the org's feed, with or without an actor."""
    return _newest_in(replace(seen, app_feeds={}))


def newest_in_app_feeds(seen: Observation) -> Callable[[Address], Event | None]:
    """Return a function that returns an object's newest event in its app's own feed, if that was read."""
    return _newest_in(replace(seen, org_feed=None))


def _newest_in(seen: Observation) -> Callable[[Address], Event | None]:
    feeds = _Feeds(seen)

    def newest(address: Address) -> Event | None:
        last = feeds.last_change_of(address)
        return None if last is None else last.event

    return newest


def needs_author(action: Action) -> bool:
    """Return whether an action reverts a change on the control plane."""
    return action.reason in OTHERS_WORK or (
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
        slugs = {str(app.server_fields["id"]): app.slug for app in seen.state if "id" in app.server_fields}
        for event in seen.org_feed if isinstance(seen.org_feed, tuple) else ():
            slug = event.app or slugs.get(event.app_id or "")
            if slug is not None:
                by_app.setdefault(slug, []).append(event)
        return by_app

    def last_change_of(self, address: Address) -> LastChange | None:
        """Return the newest event about an object; the app's own feed, if it was read, has more than the org's."""
        events: Iterable[Event] = self._seen.app_feeds.get(address.app, ()) or self._by_app.get(address.app, ())
        return next(_claims(events, address), None)


def _claims(events: Iterable[Event], address: Address) -> Iterator[LastChange]:
    for event in events:
        if event.resource is None:
            yield LastChange(event, of_app=True)
        elif event.is_about(address):
            yield LastChange(event)


@dataclass(frozen=True, slots=True, kw_only=True)
class HoldPolicy:
    """How long drift is held.

    `span` counts from the change; 0: reverted at once, None: never automatically. `first_seen` has the time, with a zone, when
    the drift of each object was first seen; a missing object was first seen now. With it, the age of drift that the org's
    feed does not show comes from the app's own feed, else from `first_seen`. Without it (None), such drift is older than
    `span`.

    Drift of `apps` is held until a time at least (with a zone), that of `never` without an end, and that of `resumed` apps not at
    all: it may be a change of the manifests that was not applied during a suspension.
    """

    span: timedelta | None
    first_seen: Mapping[Address, datetime] | None = None
    apps: Mapping[str, datetime] = field(default_factory=dict)
    never: Collection[Address] = ()
    resumed: Collection[str] = ()


@dataclass(frozen=True, slots=True)
class HeldChange:
    """A change that is planned and not made before `until`; None: never automatically."""

    action: Action
    until: datetime | None


def held_until(
    drifted: Collection[Address],
    seen: Observation,
    *,
    now: datetime,
    hold: HoldPolicy | None,
    presumed: Collection[str] = frozenset(),
) -> Mapping[Address, datetime | None]:
    """Return until when each object that drifted is held (None: without an end); an object that is not held is not in it.

    A difference in a `presumed` app is not known to be a change on the control plane: it is held if a feed shows one. If the
    feed was not read back far enough, and nothing else has the age of a change, it is held as if it had just been made. Both
    halves of a move by hand are held as long as the longer one. An app that is missing was not archived by hand,
    or it would be live and archived: it is held only if that was asked for.
    """
    if hold is None:
        return {}
    ages = _Ages(seen, hold, now)
    ends: dict[str, list[datetime | None]] = {}
    resumed = {_unit(address) for address in drifted if address.app in hold.resumed}
    for address in sorted(address for address in drifted if _unit(address) not in resumed):
        known_drift = address.app not in presumed
        is_there = address.app in seen.state.apps
        changed_at = ages.changed_at(address, known_drift=known_drift) if is_there else None
        is_contested = address in hold.never or (not is_there and Address.of_app(address.app) in hold.never)
        if is_contested or (hold.span is None and (known_drift or changed_at is not None)):
            ends.setdefault(_unit(address), []).append(None)
            continue
        until = [hold.apps[address.app]] if address.app in hold.apps else []
        if hold.span and changed_at is not None:
            until.append(changed_at + hold.span)
        ends.setdefault(_unit(address), []).extend(end for end in until if end > now)
    return {address: _latest(mine) for address in sorted(drifted) if (mine := ends.get(_unit(address)))}


def _unit(address: Address) -> str:
    """Return the key of what is held together: a target in every app that has lost or got it, else the object alone."""
    return address.name if address.kind is Kind.TARGET else str(address)


def _latest(ends: Sequence[datetime | None]) -> datetime | None:
    known = [end for end in ends if end is not None]
    return max(known) if len(known) == len(ends) else None


class _Ages:
    """When each object was changed, if known."""

    def __init__(self, seen: Observation, hold: HoldPolicy, now: datetime) -> None:
        self._first_seen, self._now = hold.first_seen, now
        self._is_cut = seen.org_feed_is_cut and isinstance(seen.org_feed, tuple)
        self._feeds = [newest_in_org_feed(seen)]
        if hold.first_seen is not None:
            self._feeds.append(newest_in_app_feeds(seen))

    def changed_at(self, address: Address, *, known_drift: bool) -> datetime | None:
        """Return when an object was changed, None if that is not known: then it was longer ago than anything is held."""
        events = [event for newest in self._feeds if (event := newest(address)) is not None]
        at = next((event.at for event in events if event.at is not None), None)
        if at is not None or not known_drift:
            return at
        if self._first_seen is not None:
            return self._first_seen.get(address, self._now)
        return self._now if self._is_cut and not events else None


def unheld(
    drifted: Collection[Address], seen: Observation, actions: Collection[Action], hold: HoldPolicy | None
) -> tuple[Diagnostic, ...]:
    """Return the notice that drift is reverted at once, since the feed that has its age can't be read."""
    if hold is None or not hold.span or hold.first_seen is not None or not isinstance(seen.org_feed, RemoteError):
        return ()
    found = {action.address: action.origin for action in actions if action.address in drifted}
    if not found:
        return ()
    first, *others = sorted(found)
    words = "the age of the change is unknown, so it is not held"
    also = (f"Not held either: {', '.join(map(str, others))}",) if others else ()
    return (finding("drift-not-held", first, words, origin=found[first], notes=also, cause=seen.org_feed),)


def hold_words(hold: Hold) -> str:
    """Describe a hold for people: `on hold until 2026-11-30 18:54 UTC, since 2026-11-30 14:54 UTC: incident 4711`."""
    reason = f": {hold.reason}" if hold.reason else ""
    return f"on hold until {minute_words(hold.until)}, since {hold.at:%Y-%m-%d %H:%M} UTC{reason}"


def on_hold(held: Iterable[HeldChange], controls: OperatorControls) -> Iterator[Diagnostic]:
    """Yield a notice for each app whose drift is held because an operator asked for it."""
    first = {change.action.address.app: change.action.origin for change in reversed(tuple(held))}
    for slug in sorted(first.keys() & controls.holds.keys()):
        words = f"its drift is not reverted: {hold_words(controls.holds[slug])}"
        yield finding("app-on-hold", Address.of_app(slug), words, origin=first[slug])


# What the guards cover: during-canary, live-traffic.
UNSAFE_DURING_CANARY: Final = (PutSlot, DeleteSlot, RemoveTarget, OptimizeCapability)
UNSAFE_UNDER_TRAFFIC: Final = (ArchiveApp, DeleteSlot, RemoveTarget)


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadNeeds:
    """What a run has to read for its plan.

    `canaries` and `traffic` of apps, if their guard is not lifted; the deployments of a deleted slot are read anyway, since
    the plan lists those that continue. `authors_since`: how far back the org's feed is read for authors of changes, None: not
    at all.
    """

    canaries: bool = True
    traffic: bool = True
    authors_since: datetime | None = None


def questions_of(
    actions: Iterable[Action],
    seen: Observation,
    read_needs: ReadNeeds | None,
    *,
    previews: Iterable[Address] = (),
    checks: Iterable[Address] = (),
    canaries: bool = False,
    drifted: Collection[Address] = (),
) -> FollowUpReads:
    """Return what must still be read for a plan of these actions; what was read before is not read again.

    Without `read_needs`, nothing is. The age of a `drifted` object decides whether it is held, even if it is half a move by hand.
    """
    if read_needs is None:
        return FollowUpReads()
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
    return FollowUpReads(
        deployments=tuple(
            slug for slug in sorted(minded & there.keys()) if Section.DEPLOYMENTS not in there[slug].complete_sections
        ),
        routing=tuple(slug for slug in sorted(exposed) if read_needs.traffic and slug not in seen.routing),
        previews=tuple(sorted(previews)),
        checks=tuple(sorted(checks)),
        canaries=canaries,
        org_feed_since=read_needs.authors_since if wants_authors and seen.org_feed is None else None,
        app_feeds=feeds_to_read(actions, seen, drifted) if wants_authors else (),
    )
