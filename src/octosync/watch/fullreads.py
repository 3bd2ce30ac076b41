"""Full reads: every declared app is read again now and then, last in the queue, so that what no event told of is found."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Collection
from datetime import datetime, timedelta

from octosync.errors import OctosyncError
from octosync.model import App
from octosync.octomil import MOST_READ_BY_SLUG, Octomil, Reading, apps_reading
from octosync.watch.clock import Clock
from octosync.watch.gate import CircuitBreaker, backoff
from octosync.watch.log import Log
from octosync.watch.queue import Priority, Queue
from octosync.watch.waiting import wait_for

_REQUESTS_PER_APP = 3  # targets, slots, and one of inference config and deployments


class Resync:
    """Begins full reads, one after the other, and knows how far the one that is under way has come.

    `every` is the wish: the next one begins when the last has ended, at a limited rate perhaps much later.
    """

    def __init__(
        self,
        *,
        remote: Octomil,
        queue: Queue,
        breaker: CircuitBreaker,
        clock: Clock,
        chance: random.Random,
        log: Log,
        every: timedelta,
    ) -> None:
        self._remote = remote
        self._queue = queue
        self._breaker = breaker
        self._clock = clock
        self._chance = chance
        self._log = log
        self.every = every
        self._listing: Reading[dict[str, App]] | None = None
        self._left: set[str] = set()
        self._ended = asyncio.Event()
        self._wanted = asyncio.Event()
        self.total = 0
        self.ended_at: datetime | None = None
        self.next_at: datetime | None = None
        self.took: timedelta | None = None
        self.unmanaged: int | None = None

    @property
    def done(self) -> int:
        """How many apps the full read that is under way has read."""
        return self.total - len(self._left)

    @property
    def expected(self) -> timedelta:
        """The time from the end of one to the end of the next, as far as can be known: the last one's, else by size and rate."""
        limit = self._remote.budget.background_limit  # in a minute
        estimated = timedelta(minutes=_REQUESTS_PER_APP * self.total / limit) if limit else timedelta()
        return max(self.every, estimated if self.took is None else self.took)

    @property
    def is_running(self) -> bool:
        """Whether one is under way."""
        return self.next_at is None

    def request(self) -> None:
        """Have the next one at once, or another one after the one that is under way."""
        self._wanted.set()

    def listed_apps(self, apps: Collection[str]) -> Reading[dict[str, App]] | None:
        """Return what the list showed of apps, where nothing has happened to them since; None: read them one by one."""
        listing = self._listing
        if listing is None or any(slug not in listing.value for slug in apps):
            return None
        return Reading({slug: listing.value[slug] for slug in sorted(apps)}, listing.at)

    def forget(self, slug: str) -> None:
        """Forget what the list showed of an app: something has happened to it since."""
        if self._listing is not None:
            self._listing.value.pop(slug, None)

    def record_read(self, apps: Collection[str]) -> None:
        """Take note that apps were read, whatever came of it."""
        self._left -= set(apps)
        if not self._left:
            self._ended.set()

    async def run(
        self, slugs: Callable[[], Collection[str]], begun: Callable[[], Awaitable[None]], ended: Callable[[], None]
    ) -> None:
        """Begin one full read after the other. `begun` is awaited before, `ended` called after each."""
        while True:
            started = self._clock.monotonic()
            self.next_at = None
            await self._begin(slugs, begun)
            await self._ended.wait()
            self._listing = None
            took = self._clock.monotonic() - started
            self.ended_at, self.took = self._clock.now(), timedelta(seconds=took)
            pause = max(0.0, self.every.total_seconds() * self._chance.uniform(0.9, 1.1) - took)
            self.next_at = self.ended_at + timedelta(seconds=pause)
            ended()
            await wait_for(self._wanted, pause, self._clock)
            self._wanted.clear()

    async def _begin(self, slugs: Callable[[], Collection[str]], begun: Callable[[], Awaitable[None]]) -> None:
        failures = 0
        while True:
            await self._breaker.until_closed()
            self._wanted.clear()
            try:
                await begun()
                apps = slugs()
                self._listing = await apps_reading(self._remote.background) if len(apps) > MOST_READ_BY_SLUG else None
            except OctosyncError as error:
                self._breaker.record_failure(error)
                failures += 1
                pause = backoff(failures, self._chance)
                next_try = self._clock.now() + timedelta(seconds=pause)
                self._log.warning(
                    "full_read_failed",
                    message=f"the full read could not begin: {error.message}",
                    reference=error.reference,
                    next_try=next_try.isoformat(timespec="seconds"),
                )
                await self._clock.sleep(pause)
                continue
            break
        if self._listing is not None:
            self.unmanaged = len(self._listing.value.keys() - set(apps))
        self.total = len(apps)
        self._ended.clear()
        # What backs off is tried again in its own time, and no full read waits for it.
        self._left = {slug for slug in apps if self._queue.add(slug, Priority.RESYNC)}
        self.record_read(())
