"""The feed follower: one request per interval for new events; while the circuit is open, the probe that may close it."""

from __future__ import annotations

import asyncio
import random
from datetime import timedelta
from typing import Final

from octosync.errors import OctosyncError
from octosync.octomil import Octomil
from octosync.octomil.pagination import read_page
from octosync.state import Journal
from octosync.watch.loop.activity_feed import ActivityFeed
from octosync.watch.loop.circuit_breaker import CircuitBreaker, CircuitReason
from octosync.watch.loop.scheduler import Scheduler
from octosync.watch.settings import Clock, wait_for

_STATE_PROBE: Final = 1.0  # seconds for which a probe waits for a locked state file


class FeedFollower:
    """Polls the feed every `interval`, and gives what is new to the scheduler. `heartbeat` is when it last did something."""

    def __init__(
        self,
        feed: ActivityFeed,
        scheduler: Scheduler,
        *,
        remote: Octomil,
        journal: Journal,
        breaker: CircuitBreaker,
        interval: timedelta,
        clock: Clock,
        chance: random.Random,
    ) -> None:
        self._feed = feed
        self._scheduler = scheduler
        self._remote = remote
        self._journal = journal
        self._breaker = breaker
        self._interval = interval.total_seconds()
        self._clock = clock
        self._chance = chance
        self._woken = asyncio.Event()
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
            self.heartbeat = self._clock.monotonic()

    async def poll_now(self) -> None:
        """Poll the feed between two intervals, since there is a change without an event yet."""
        if self._breaker.is_closed:
            await self._poll()

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
            self._scheduler.handle(update)

    async def _check_control_plane(self) -> None:
        """Check with another request whether only the feed fails."""
        self.heartbeat = self._clock.monotonic()  # each of the two may have taken all the time that its attempts have
        try:
            await self._read_one_app()
        except OctosyncError as error:
            self._breaker.record_failure(error)
            return
        self._breaker.record_success()

    async def _probe(self) -> None:
        try:
            if self._breaker.reason is CircuitReason.STATE_LOCKED:
                await asyncio.to_thread(self._journal.wait_until_free, _STATE_PROBE)
            else:
                await self._read_one_app()
        except OctosyncError as error:
            self._breaker.probe_failed(error)
            return
        self._breaker.probe_succeeded()
        self.probe_now()  # of a feed that is off

    async def _read_one_app(self) -> None:
        """Send the request that must succeed in any case; a response without a list of apps is a failure."""
        await read_page(
            self._remote.prompt, "apps.list", {}, plural=self._remote.contract.shapes["app"].plural, limit=1
        )
