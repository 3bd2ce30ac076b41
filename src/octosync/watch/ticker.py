"""The ticker: one look at the org's feed a tick; while the gate is closed, the probe that may open it."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from datetime import timedelta

from octosync.errors import OctosyncError
from octosync.octomil import Octomil
from octosync.octomil.paging import read_page
from octosync.watch.clock import Clock
from octosync.watch.gate import CircuitBreaker, CircuitReason
from octosync.watch.orgfeed import ActivityFeed, FeedUpdate
from octosync.watch.waiting import wait_for


class FeedFollower:
    """`heard` is told what each look at the feed came to, `opened` that the control plane can be asked again.

    `state_is_free` waits for a locked state file, outside of the loop, and raises `StateLocked` where it waits in vain.
    """

    def __init__(
        self,
        *,
        remote: Octomil,
        state_is_free: Callable[[], Awaitable[None]],
        feed: ActivityFeed,
        breaker: CircuitBreaker,
        clock: Clock,
        chance: random.Random,
        every: timedelta,
        heard: Callable[[FeedUpdate], None],
        opened: Callable[[], None],
    ) -> None:
        self._remote = remote
        self._state_is_free = state_is_free
        self._feed = feed
        self._breaker = breaker
        self._clock = clock
        self._chance = chance
        self._every = every.total_seconds()
        self._heard = heard
        self._opened = opened
        self._woken = asyncio.Event()
        self.heartbeat = clock.monotonic()

    def wake(self) -> None:
        """Have the next tick at once."""
        self._woken.set()

    async def poll_now(self) -> None:
        """Look at the feed at once, between two ticks: something has changed that it has not told of yet."""
        if self._breaker.is_closed:
            await self._tick()

    async def run(self) -> None:
        """Tick for ever. The first tick, too, is not at once: of many controllers that start together, each has its own."""
        while True:
            await wait_for(self._woken, self._pause(), self._clock)
            self._woken.clear()
            self.heartbeat = self._clock.monotonic()
            if self._breaker.is_closed:
                await self._tick()
            elif not self._breaker.seconds_to_probe():
                await self._probe()
            self.heartbeat = self._clock.monotonic()

    def _pause(self) -> float:
        if self._breaker.is_closed:
            return self._every * self._chance.uniform(0.9, 1.1)
        return min(self._every, self._breaker.seconds_to_probe())

    async def _tick(self) -> None:
        if not self._feed.has_begun or not self._feed.is_due:
            return
        was_off = self._feed.off is not None
        try:
            news = await self._feed.news()
        except OctosyncError as error:
            self._breaker.record_failure(error, "the feed")
            return
        if news.failed is None:
            self._breaker.record_success()
        elif news.may_concern_all:
            self._breaker.record_failure(news.failed, "the feed")
            if self._breaker.is_closed:
                await self._ask_for_more()
        if news.events or news.gap or (self._feed.off is not None) is not was_off:
            self._heard(news)

    async def _ask_for_more(self) -> None:
        """Find out whether the feed fails alone, though nothing else is to be asked for now."""
        self.heartbeat = self._clock.monotonic()  # each may have taken all the time that its attempts have
        try:
            await self._ask_for_one_app()
        except OctosyncError as error:
            self._breaker.record_failure(error)
            return
        self._breaker.record_success()

    async def _probe(self) -> None:
        try:
            if self._breaker.reason is CircuitReason.STATE_LOCKED:
                await self._state_is_free()
            else:
                await self._ask_for_one_app()
        except OctosyncError as error:
            self._breaker.probe_failed(error)
            return
        self._breaker.probe_succeeded()
        self._opened()

    async def _ask_for_one_app(self) -> None:
        """Ask for what must work, whatever else is missing; a success that is no list of apps is none."""
        await read_page(
            self._remote.prompt, "apps.list", {}, plural=self._remote.contract.shapes["app"].plural, limit=1
        )
