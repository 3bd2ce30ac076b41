"""Authors: who last changed what a plan would change back, as far as the activity feed tells. No feed, no claim."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Final

from octosync.model import Address, Event, Observation, Reason
from octosync.plan.actions import Action, Verb

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
        one.address.app
        for one in actions
        if (needs_author(one) or one.address in drifted) and feeds.last_change_of(one.address) is None
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


class _Feeds:
    """What the feeds say of each app, newest first."""

    def __init__(self, seen: Observation) -> None:
        self._seen = seen

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
