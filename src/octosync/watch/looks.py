"""Looks: since when each object can be the way it is, as earlier looks at it tell.

An event from before the last look at which an object was otherwise is not about what it is now, though it may be the newest
that the feed has told so far: neither its author nor its age is that of the change.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from octosync.errors import RemoteError
from octosync.model import Address, Event, Observation

# The control plane's clock, which events have their times from, and ours need not agree.
_SLACK = timedelta(seconds=5)
_WRITTEN = ""  # no fingerprint


@dataclass(frozen=True, slots=True)
class _Known:
    fingerprint: str
    at: datetime
    since: datetime | None


class ObjectHistory:
    """What was seen of each object at the last look at it."""

    def __init__(self) -> None:
        self._known: dict[str, dict[Address, _Known]] = {}

    def record(self, apps: Collection[str], fingerprints: Mapping[Address, str], at: datetime) -> None:
        """Take note of a look at apps that began at a time."""
        for slug in apps:
            before = self._known.get(slug, {})
            self._known[slug] = {
                address: _next(before.get(address), fingerprint, at)
                for address, fingerprint in fingerprints.items()
                if address.app == slug
            }

    def record_write(self, address: Address, at: datetime) -> None:
        """Take note that an object was written, at that time: however it is seen next, it has changed since."""
        known = self._known.setdefault(address.app, {})
        known[address] = _Known(_WRITTEN, at, None)

    def forget(self, apps: Iterable[str]) -> None:
        """Forget apps that nothing is to be done about any more."""
        for slug in apps:
            self._known.pop(slug, None)

    def without_stale_events(self, seen: Observation, changed: Collection[Address]) -> Observation:
        """Leave out the events that can't be what changed these objects. What comes back is the same where that is none."""
        since = {at: known.since for at in changed if (known := self._known.get(at.app, {}).get(at)) and known.since}
        if not since:
            return seen
        slugs = {str(app.identity["id"]): app.slug for app in seen.state if "id" in app.identity}

        def tells(event: Event, slug: str | None) -> bool:
            mine = {at: since.get(at) for at in changed if at.app == slug}
            about = [start for at, start in mine.items() if event.resource is None or event.is_about(at)]
            return not about or event.at is None or any(start is None or event.at >= start - _SLACK for start in about)

        org: tuple[Event, ...] | RemoteError | None = seen.org_feed
        if isinstance(org, tuple):
            org = tuple(one for one in org if tells(one, one.app or slugs.get(one.app_id or "")))
        own = {slug: tuple(one for one in events if tells(one, slug)) for slug, events in seen.app_feeds.items()}
        if org == seen.org_feed and own == seen.app_feeds:
            return seen
        return replace(seen, org_feed=org, app_feeds=own)


def _next(before: _Known | None, fingerprint: str, at: datetime) -> _Known:
    if before is None:
        return _Known(fingerprint, at, None)
    same = before.fingerprint == fingerprint
    return _Known(fingerprint, at, before.since if same else before.at)
