"""The activity feed of an org: one request per interval shows which apps were changed, and by which author.

The newest known event is the cursor. It is read before a resync starts, so that changes during a resync are new events after
it. Events only trigger reconciles; the live state is always read. While the circuit is open, the follower of the feed
sends the probe that may close it.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter, deque
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from octosync.errors import CredentialRefused, OctosyncError, RemoteError, Unavailable, Unreadable
from octosync.model import Address, Backoff, Event
from octosync.octomil import Octomil, read_org_events
from octosync.octomil.activity import Feed
from octosync.octomil.pagination import read_page
from octosync.state import Journal
from octosync.watch.checkpoint import POSITION_EVENTS
from octosync.watch.log import Log
from octosync.watch.loop.circuit_breaker import CircuitBreaker, CircuitReason
from octosync.watch.settings import Clock, wait_for

# The most pages that are read to find the cursor; if it is on none of them, there is a gap.
_MOST_PAGES = 4
_PAGES_BACK: Final = 5
# An event belongs to one of our own writes only if their times are this near.
_OWN_WITHIN = timedelta(seconds=5)
_OWN_REMEMBERED = timedelta(minutes=10)
_BACKOFF = Backoff(first=60.0, longest=3600.0)  # of a feed that is off
_REMEMBERED = timedelta(hours=24)
_MOST_EVENTS = 2_000
# In a row. A single bad page is no reason: nothing is lost by another poll.
_FAILURES_TO_TURN_OFF = 3
# Without a response it takes more: that is more likely an outage, which the circuit breaker is for.
_LOST_RESPONSES_TO_TURN_OFF = 8
_STATE_PROBE: Final = 1.0  # seconds for which a probe waits for a locked state file, or for the database


@dataclass(frozen=True, slots=True)
class FeedUpdate:
    """The result of a poll: new events, oldest first, and whether some were missed.

    `failed` is the error of an unsuccessful poll; the next poll returns the events that this one missed.
    """

    events: tuple[Event, ...] = ()
    gap: bool = False
    failed: RemoteError | None = None

    @property
    def may_concern_all(self) -> bool:
        """Whether other requests may fail in the same way."""
        return isinstance(self.failed, Unavailable | Unreadable) and self.failed.reference != "unknown-route"


@dataclass(slots=True)
class _OwnWrite:
    address: Address
    begun: datetime
    ended: datetime

    def nearest(self, events: Iterable[Event]) -> Event | None:
        """Return the event that is most likely of this write, None if none can be.

        A change that the write has reverted, or one directly after it, may have an event that is almost as near.
        """
        distances = [
            (max(self.begun - event.at, event.at - self.ended, timedelta()), event)
            for event in events
            if event.at is not None and (event.resource is None or event.is_about(self.address))
        ]
        distance, event = min(distances, key=lambda found: found[0], default=(_OWN_WITHIN, None))
        return event if distance <= _OWN_WITHIN else None


class ActivityFeed:
    """The feed of one org. While it can't be followed, `off` is why, and only resyncs find changes."""

    def __init__(self, remote: Octomil, *, clock: Clock, log: Log) -> None:
        self._clock = clock
        self._log = log
        self._remote = remote.prompt
        self._feed: Feed[Event] | None = None
        self._events: deque[Event] = deque()  # newest first
        self._newest: deque[Event] = deque(maxlen=POSITION_EVENTS)  # newest first, our own included
        self._slugs: dict[str, str] = {}
        self._own: list[_OwnWrite] = []
        self._reaches_back: datetime | None = None
        self._try_again: datetime | None = None
        self._failures: Counter[bool] = Counter()  # since the last successful poll, by whether they mean an outage
        self._deferred: dict[str, list[tuple[Event, datetime]]] = {}  # by app, with the time of receipt
        self._is_reported_off = False
        self._one_look_at_a_time = asyncio.Lock()
        self.off: RemoteError | None = None

    async def begin(
        self,
        reach: timedelta,
        reaches: Callable[[Sequence[Event]], bool] = lambda _: True,
        most_pages: int = _PAGES_BACK,
    ) -> tuple[Event, ...]:
        """Take the newest event as the cursor, and return it with older events, newest first; or turn the feed off.

        Older events are read within `reach`, for the authors, and until `reaches` is true of all of them, up to `most_pages`.
        Raises `RemoteError` for an outage, and for a refused credential.
        """
        while True:
            try:
                return await self._begin(reach, reaches, most_pages)
            except RemoteError as error:
                self._note_failure(error)
                if self.off is not None:
                    return ()
                if isinstance(error, Unavailable) and error.reference != "unknown-route":
                    raise

    async def _begin(
        self, reach: timedelta, reaches: Callable[[Sequence[Event]], bool], most_pages: int
    ) -> tuple[Event, ...]:
        feed = Feed(self._page, most_pages=_MOST_PAGES)
        since = self._clock.now() - max(reach, _OWN_WITHIN)
        newest = await feed.read_newest(100, to_follow=True)
        events = list(reversed(newest.entries))
        complete = newest.complete
        for page in range(1, most_pages):
            has_authors = not events or page >= _PAGES_BACK or (events[-1].at is not None and events[-1].at < since)
            if complete or (has_authors and reaches(events)):
                break
            older, complete = await self._page(page * 100, 100)
            known = {event.id for event in events}
            events.extend(event for event in older if event.id not in known)
        self._feed = feed
        self._events = deque(events)
        self._newest = deque(events[:POSITION_EVENTS], POSITION_EVENTS)
        self._reaches_back = None if complete else min((event.at for event in events if event.at), default=since)
        self._turn_on()
        return tuple(events)

    @property
    def newest(self) -> tuple[Event, ...]:
        """The newest events, newest first, as far as a position consists of them."""
        return tuple(self._newest)

    @property
    def has_begun(self) -> bool:
        """Whether there is a cursor, or the feed was turned off for want of one."""
        return self._feed is not None or self.off is not None

    @property
    def is_due(self) -> bool:
        """Whether the feed is on, or is due for a retry."""
        return self.off is None or self._try_again is None or self._clock.now() >= self._try_again

    async def poll(self) -> FeedUpdate:
        """Return what is new since the cursor, also if the feed was off meanwhile. Raises `CredentialRefused`."""
        async with self._one_look_at_a_time:
            try:
                if self._feed is None:
                    await self._begin(timedelta(), lambda _: True, _PAGES_BACK)
                    return FeedUpdate(gap=True)
                found = await self._feed.read_new()
            except RemoteError as error:
                self._note_failure(error)
                return FeedUpdate(failed=error)
            self._turn_on()
            self._take(found.entries)
        if found.gap:
            self._reaches_back = min((event.at for event in found.entries if event.at), default=self._clock.now())
        return FeedUpdate(found.entries, found.gap)

    def retry_now(self) -> None:
        """Let the next poll try a feed that is off, regardless of its backoff."""
        self._try_again = None

    def events_since(self, since: datetime) -> tuple[tuple[Event, ...] | RemoteError | None, bool]:
        """Return the known events, newest first, and whether they don't reach back that far; the error if the feed is off."""
        if self.off is not None:
            return self.off, False
        if self._feed is None:
            return None, False
        return tuple(self._events), self._reaches_back is not None and self._reaches_back > since

    def learn_slugs(self, slugs: Iterable[tuple[str, str]]) -> None:
        """Record the slugs of app ids, as (id, slug). A feed may name apps by their id alone."""
        self._slugs.update(slugs)

    def app_of(self, event: Event) -> str | None:
        """Return the slug of the app that an event is about; None if it isn't known."""
        return event.app or self._slugs.get(event.app_id or "")

    def record_write(self, address: Address, begun: datetime, ended: datetime) -> None:
        """Record one of our own writes, which comes back through the feed as an event."""
        horizon = ended - _OWN_REMEMBERED
        self._own = [*(write for write in self._own if write.ended >= horizon), _OwnWrite(address, begun, ended)]

    def take_own_writes(self, events: Iterable[Event]) -> Collection[Event]:
        """Return those of new events that belong to our own writes, and forget these writes: each has one event.

        Such an event is no longer the event of a change by someone else.
        """
        now = self._clock.now()
        return self._take_own_writes([(event, now) for event in events])

    def _take_own_writes(self, received: Collection[tuple[Event, datetime]]) -> Collection[Event]:
        """Take the event that is nearest to each write, of events and the times at which they were received."""
        own: list[Event] = []
        for write in tuple(self._own):
            # What was received before the write began may be the change that the write has reverted.
            candidates = [
                event
                for event, at in received
                if at >= write.begun and write.address.app == self.app_of(event) and event not in own
            ]
            event = write.nearest(candidates)
            if event is not None:
                own.append(event)
                self._own.remove(write)
                if event in self._events:
                    self._events.remove(event)
        return own

    def defer(self, slug: str, event: Event) -> None:
        """Keep an event of an app that is being reconciled: only at the end of it is known whether the event is our own."""
        self._deferred.setdefault(slug, []).append((event, self._clock.now()))

    def take_deferred(self, slug: str) -> tuple[Event, ...]:
        """Return the events of an app that were deferred and are not our own, and forget them."""
        deferred = self._deferred.pop(slug, [])
        own = self._take_own_writes(deferred)
        return tuple(event for event, _ in deferred if event not in own)

    def report_availability(self) -> None:
        """Log a change between a feed that can be followed and one that can't."""
        off = self.off
        if off is not None and not self._is_reported_off:
            self._log.warning(
                "feed_off",
                message=f"the activity feed can't be followed; only resyncs find changes: {off.message}",
                reference=off.reference,
                hints=list(off.hints),
            )
        elif off is None and self._is_reported_off:
            self._log.info("feed_on", message="the activity feed can be followed again")
        self._is_reported_off = off is not None

    async def _page(self, offset: int, limit: int) -> tuple[Sequence[Event], bool]:
        page = await read_org_events(self._remote, offset=offset, limit=limit)
        return page.events, page.is_last

    def _take(self, entries: Sequence[Event]) -> None:
        self._events.extendleft(entries)
        self._newest.extendleft(entries)
        horizon = self._clock.now() - _REMEMBERED
        while self._events and (
            len(self._events) > _MOST_EVENTS or (self._events[-1].at is not None and self._events[-1].at < horizon)
        ):
            dropped = self._events.pop()
            self._reaches_back = dropped.at or self._reaches_back

    def _turn_on(self) -> None:
        self._failures.clear()
        self.off, self._try_again = None, None

    def _note_failure(self, error: RemoteError) -> None:
        """Turn off a feed that is missing, unreadable or forbidden for this key, once that is certain.

        Raises `CredentialRefused`.
        """
        if isinstance(error, CredentialRefused):
            raise error
        has_no_response = isinstance(error, Unavailable) and error.reference != "unknown-route"
        self._failures[has_no_response] += 1
        excess = self._failures[has_no_response] - (
            _LOST_RESPONSES_TO_TURN_OFF if has_no_response else _FAILURES_TO_TURN_OFF
        )
        if self.off is not None or excess >= 0:
            self.off = error
            self._try_again = self._clock.now() + timedelta(seconds=_BACKOFF.bound(max(excess, 0) + 1))


class FeedFollower:
    """Polls the feed every `interval`, and gives what is new to `schedule`. `heartbeat` is when it last did something.

    `save` is called after each poll: what it has changed is saved together with the position in the feed. `recover` is called
    when the state can be used again, before anything else; if it raises, the circuit stays open.
    """

    def __init__(
        self,
        feed: ActivityFeed,
        schedule: Callable[[FeedUpdate], None],
        *,
        remote: Octomil,
        journal: Journal,
        breaker: CircuitBreaker,
        interval: timedelta,
        clock: Clock,
        chance: random.Random,
    ) -> None:
        self._feed = feed
        self._schedule = schedule
        self._remote = remote
        self._journal = journal
        self._breaker = breaker
        self._interval = interval.total_seconds()
        self._clock = clock
        self._chance = chance
        self._woken = asyncio.Event()
        self.save: Callable[[], None] = lambda: None
        self.recover: Callable[[], None] = lambda: None
        self.heartbeat = clock.monotonic()

    async def run(self) -> None:
        """Poll for ever. The first poll waits, too, so that controllers that start together don't poll at the same time."""
        while True:
            await wait_for(self._woken, self._pause(), self._clock)
            self._woken.clear()
            self.heartbeat = self._clock.monotonic()
            if self._breaker.is_closed:
                await self._poll()
            elif not self._breaker.seconds_to_probe():
                await self._probe()
            self.save()
            self.heartbeat = self._clock.monotonic()

    async def poll_now(self) -> None:
        """Poll the feed between two intervals, since there is a change without an event yet."""
        if self._breaker.is_closed:
            await self._poll()
            self.save()

    def probe_now(self) -> None:
        """Check at once whether an open circuit can be closed, and whether a feed that is off works again."""
        if not self._breaker.is_closed:
            self._breaker.probe_now()
            self._woken.set()
        elif self._feed.off is not None:
            self._feed.retry_now()
            self._woken.set()

    def _pause(self) -> float:
        if self._breaker.is_closed:
            return self._interval * self._chance.uniform(0.9, 1.1)
        return min(self._interval, self._breaker.seconds_to_probe())

    async def _poll(self) -> None:
        if not self._feed.has_begun or not self._feed.is_due:
            return
        was_off = self._feed.off is not None
        try:
            update = await self._feed.poll()
        except OctosyncError as error:
            self._breaker.record_failure(error, "the feed")
            return
        if update.failed is None:
            self._breaker.record_success()
        elif update.may_concern_all:
            self._breaker.record_failure(update.failed, "the feed")
            if self._breaker.is_closed:
                await self._check_control_plane()
        if update.events or update.gap or (self._feed.off is not None) is not was_off:
            self._schedule(update)

    async def _check_control_plane(self) -> None:
        """Check with another request whether only the feed fails."""
        self.heartbeat = self._clock.monotonic()  # each of the two may have taken all the time that its attempts have
        try:
            await read_one_app(self._remote)
        except OctosyncError as error:
            self._breaker.record_failure(error)
            return
        self._breaker.record_success()

    async def _probe(self) -> None:
        try:
            if self._breaker.reason in {CircuitReason.STATE_LOCKED, CircuitReason.STATE_UNAVAILABLE}:
                await asyncio.to_thread(self._journal.wait_until_usable, _STATE_PROBE)
                self._journal.confirm()
                self.recover()
            else:
                await read_one_app(self._remote)
        except OctosyncError as error:
            self._breaker.probe_failed(error)
            return
        self._breaker.probe_succeeded()
        self.probe_now()  # of a feed that is off


async def read_one_app(remote: Octomil) -> None:
    """Send the request that must succeed in any case; a response without a list of apps is a failure. Raises `RemoteError`."""
    await read_page(remote.prompt, "apps.list", {}, plural=remote.contract.shapes["app"].plural, limit=1)
