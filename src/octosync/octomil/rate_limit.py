"""Pacing: never more than the limit in any window of time, as the server sees it.

A request takes a place in the window from its sending until a window's length after its *answer*, because the server
counts it somewhere between the two: so jitter on the way can't push one more into somebody's minute. The whole budget is
there at once; background reads take a part of it only, so that what is urgent finds room. (aiolimiter is a leaky bucket,
asyncio-throttle polls; pyrate-limiter keeps a true log, but stamps a request when it is admitted, and has no priorities,
shares, pause or joint reservation.)

A sliding window of time, as one group of requests sees it; and the pauses that the control plane asks for.

Requests are the currency: how much of it there is, and what each was spent on.
"""

from __future__ import annotations

import asyncio
import heapq
import time
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from enum import Enum, IntEnum
from itertools import count

FOREVER = float("inf")
AT_ONCE = float("-inf")


@dataclass(slots=True)
class Window:
    """A group of requests: at most `limit` of them (0: any number) in `seconds`, at most `lanes` of them under way at once.

    A place is taken from the sending of a request until `seconds` after its answer. All times are the limiter's.
    """

    limit: int
    lanes: int
    _seconds: float
    _under_way: int = 0  # places whose requests are sent, or about to be
    _lanes_taken: int = 0
    # When each place becomes free, rising; never more of them than the limit.
    _answered: deque[float] = field(default_factory=deque)

    def part(self, percent: int) -> Window:
        """Return a window for a part of the group: so many per cent of places and lanes, but one of each at least."""
        limit = max(1, self.limit * percent // 100) if self.limit else 0
        return Window(limit, max(1, self.lanes * percent // 100), self._seconds)

    def used(self, now: float) -> int:
        """Say how many places are taken."""
        while self._answered and self._answered[0] <= now:
            self._answered.popleft()
        return self._under_way + len(self._answered)

    def free_at(self, places: int, *, takes_lane: bool, now: float) -> float:
        """Say when so many places are free: a time, `AT_ONCE`, or `FOREVER` while that depends on an answer."""
        if takes_lane and self._lanes_taken >= self.lanes:
            return FOREVER
        excess = self.used(now) + places - self.limit if self.limit else 0
        if excess <= 0:
            return AT_ONCE
        return FOREVER if excess > len(self._answered) else self._answered[excess - 1]

    def take(self, places: int, *, takes_lane: bool) -> None:
        """Take places, and a lane."""
        self._under_way += places
        self._lanes_taken += takes_lane

    def give_back(self, now: float, *, sent: bool, takes_lane: bool) -> None:
        """Give a lane back, and its place: at once where nothing was sent, else when it has left the window."""
        self._under_way -= 1
        self._lanes_taken -= takes_lane
        if sent and self.limit:
            self._answered.append(now + self._seconds)


@dataclass(slots=True)
class Pause:
    """The time for which the control plane wants nothing sent, and how much of it there has been."""

    until: float = AT_ONCE
    _since: float = AT_ONCE
    _before: float = 0.0  # seconds of the pauses before the latest

    def extend(self, now: float, seconds: float) -> None:
        """Pause for so long from now; what a longer pause has said before stays."""
        if now >= self.until:
            self._before = self.total(now)
            self._since = now
        self.until = max(self.until, now + seconds)

    def end(self, now: float) -> None:
        """End it now, if it has not ended yet."""
        self.until = min(self.until, now)

    def left(self, now: float) -> float:
        """Return the seconds until its end."""
        return max(0.0, self.until - now)

    def total(self, now: float) -> float:
        """Return the seconds of all pauses up to now; overlapping ones count once."""
        return self._before + (0.0 if self._since == AT_ONCE else min(now, self.until) - self._since)


# The codes of answers that came, and can't be read.
UNREADABLE_CODES = frozenset(
    {"html-answer", "truncated-answer", "unreadable-answer", "redirected", "answer-too-large", "not-http"}
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """The budget at one moment, in requests and seconds; `limit` 0: none, and nothing is counted against it.

    `used` are the places taken in the window, those of requests under way included, `background_used` those of them that
    background reads hold. `free_in` is how long until the next place is free, pauses aside: 0 while there is one, None while
    that depends on an answer. `throttled_for` is how much longer the control plane wants nothing sent,
    `throttled_seconds_total` how long that has been so since the start, whether or not something waited for it: overlapping
    pauses count once, and it only ever grows.
    """

    limit: int
    used: int = 0
    free_in: float | None = 0.0
    background_limit: int = 0
    background_used: int = 0
    throttled_for: float = 0.0
    throttled_seconds_total: float = 0.0

    @property
    def remaining(self) -> int:
        """How many requests may go now; 0 where there is no limit."""
        return max(0, self.limit - self.used)


@dataclass(frozen=True, slots=True)
class SentRequest:
    """One request that was sent, as those who count them see it.

    `operation` is its id. `code` is the status of the answer, "200". Where there was no answer, or a success that can't be
    read, it is the reference of the error: "connection-refused", "answer-timed-out", "html-answer", "redirected", …;
    "cancelled" where nobody waited for one any more.
    `seconds` is the time from the sending to the whole answer; `background` whether it was a background read.
    """

    operation: str
    code: str
    seconds: float
    background: bool


OnRequest = Callable[[SentRequest], None]


WINDOW_SECONDS = 60.0
# The server's clock and ours need not run alike; a window that ends a little late costs nothing.
SLACK_SECONDS = 0.05
# Of any window, and of the lanes. What reads in the background reads everything: it could use up any budget.
BACKGROUND_PERCENT = 60
# What a process that reads and writes side by side keeps from its reads. An app's change is up to three writes: so three
# apps a minute are written to while reads take all that they may.
PERCENT_FOR_WRITES = 10
# What nobody waits for, writes included: the rest is for what changes meanwhile.
PATIENT_PERCENT = 80


class RequestPriority(IntEnum):
    """Who goes first; within one priority it is first come, first served."""

    URGENT = 0  # a retry inside a reservation: something is half done
    WRITE = 1
    READ = 2
    PATIENT = 3  # a write that nothing waits for
    BACKGROUND = 4  # a read that nothing waits for


class WaitReason(Enum):
    """Why requests wait."""

    RATE_LIMIT = "rate limit"
    THROTTLED = "throttled by the control plane"
    RETRY = "retry"


@dataclass(frozen=True, slots=True)
class WaitNotice:
    """What waits: `requests` many, the first for `seconds` from now. 0 requests: nothing waits any more."""

    requests: int
    seconds: float = 0.0
    reason: WaitReason = WaitReason.RATE_LIMIT


Sleep = Callable[[float], Awaitable[None]]
OnWait = Callable[[WaitNotice], None]


@dataclass(slots=True)
class Permit:
    """The right to send one request. Released exactly once; whatever comes later is ignored."""

    _limiter: RateLimiter | None
    _waiter: _Waiter

    def release(self, *, sent: bool = True) -> None:
        """Say that the answer is there (or lost), or (`sent` False) that nothing ever left: then the place is free at once."""
        if self._limiter is not None:
            self._limiter._release(self._waiter, sent=sent)  # noqa: SLF001 — a permit is a part of its limiter
            self._limiter = None


@dataclass(slots=True)
class Reservation:
    """Permits that were got together; each request inside takes one, and what is left is given back at the end."""

    permits: list[Permit] = field(default_factory=list)

    def take(self) -> Permit | None:
        """Take a permit, None when none is left."""
        return self.permits.pop() if self.permits else None


@dataclass(slots=True, order=True)
class _Waiter:
    priority: RequestPriority
    number: int
    places: int = field(compare=False)
    takes_lane: bool = field(compare=False)
    admitted: asyncio.Future[list[Permit]] = field(compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class RateOptions:
    """How a client paces its requests: the share of its limit that is kept from reads, and its clock, in seconds."""

    percent_for_writes: int = 0
    clock: Callable[[], float] = time.monotonic
    sleep: Sleep = asyncio.sleep


class RateLimiter:
    """A sliding window of `limit` requests (0: none), at most `concurrency` of them under way.

    Background reads hold at most `BACKGROUND_PERCENT` of both, patient writes and they together `PATIENT_PERCENT`, and with
    reads of any kind all but `percent_for_writes`: the shares hold in every window, and come to one at least. `clock` and
    `sleep` are in seconds. Nothing polls: one timer runs while something waits for time, none otherwise.
    """

    def __init__(
        self,
        limit: int,
        *,
        concurrency: int = 16,
        percent_for_writes: int = 0,
        window: float = WINDOW_SECONDS,
        clock: Callable[[], float] = time.monotonic,
        sleep: Sleep = asyncio.sleep,
        on_wait: OnWait | None = None,
    ) -> None:
        self._clock = clock
        self._sleep = sleep
        self._on_wait = on_wait
        self._all = Window(limit, concurrency, window + SLACK_SECONDS)
        self._reads = self._all.part(100 - percent_for_writes)
        self._patient = self._all.part(min(PATIENT_PERCENT, 100 - percent_for_writes))
        self._background = self._all.part(min(BACKGROUND_PERCENT, 100 - percent_for_writes))
        self._pause = Pause()
        self._waiters: list[_Waiter] = []
        self._numbers = count()
        self._timer: asyncio.Task[None] | None = None
        self._timer_at = FOREVER
        self._told = (0, FOREVER)

    async def acquire(self, priority: RequestPriority = RequestPriority.READ) -> Permit:
        """Wait for the right to send one request."""
        (permit,) = await self._admission(priority, places=1, takes_lane=True)
        return permit

    @asynccontextmanager
    async def reserve(
        self, places: int, priority: RequestPriority = RequestPriority.WRITE
    ) -> AsyncIterator[Reservation]:
        """Wait for several permits together, so that once the first request went nothing holds up the last.

        More than the limit, or the share of that priority, can't be had together: then it is that, and the rest queues.
        Reserved permits don't count for the concurrency.
        """
        if self._all.limit:
            places = min(places, *(window.limit for window in self._windows(priority)))
        reservation = Reservation(await self._admission(priority, places=places, takes_lane=False))
        try:
            yield reservation
        finally:
            while permit := reservation.take():
                permit.release(sent=False)

    def pause(self, seconds: float) -> None:
        """Send nothing for so long, whoever asks: the control plane has said so."""
        self._pause.extend(self._clock(), seconds)
        self._admit()

    def end_pause(self) -> None:
        """Send again now, though the control plane has asked for a longer pause."""
        self._pause.end(self._clock())
        self._admit()

    @property
    def budget(self) -> Budget:
        """How the budget stands."""
        now = self._clock()
        free_at = self._all.free_at(1, takes_lane=False, now=now)
        return Budget(
            limit=self._all.limit,
            used=self._all.used(now),
            free_in=None if free_at == FOREVER else max(0.0, free_at - now),
            background_limit=self._background.limit,
            background_used=self._background.used(now),
            throttled_for=self._pause.left(now),
            throttled_seconds_total=self._pause.total(now),
        )

    def close(self) -> None:
        """Turn away whoever still waits, and leave no timer behind. Raises `RuntimeError` in those who waited."""
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            if not waiter.admitted.done():
                waiter.admitted.set_exception(RuntimeError("closed while a request waited for its turn"))
        self._admit()

    async def _admission(self, priority: RequestPriority, *, places: int, takes_lane: bool) -> list[Permit]:
        admitted: asyncio.Future[list[Permit]] = asyncio.get_running_loop().create_future()
        waiter = _Waiter(priority, next(self._numbers), places, takes_lane, admitted)
        heapq.heappush(self._waiters, waiter)
        self._admit()
        try:
            return await admitted
        except asyncio.CancelledError:
            # Cancelled in the very moment it was let in, or turned away.
            if admitted.done() and not admitted.cancelled():
                for permit in admitted.result() if admitted.exception() is None else ():
                    permit.release(sent=False)
            elif waiter in self._waiters:
                self._waiters.remove(waiter)
                heapq.heapify(self._waiters)
                self._admit()
            raise

    def _admit(self) -> None:
        """Let in whoever may go, strictly in order: a big reservation is never starved by small requests behind it.

        Nor does a share hold up anybody else: whoever it holds up has none behind that it would let through.
        """
        now = self._clock()
        while self._waiters:
            waiter = self._waiters[0]
            if not waiter.admitted.cancelled() and self._free_at(waiter, now) > now:
                break
            heapq.heappop(self._waiters)
            if waiter.admitted.cancelled():
                continue
            for window in self._windows(waiter.priority):
                window.take(waiter.places, takes_lane=waiter.takes_lane)
            waiter.admitted.set_result([Permit(self, waiter) for _ in range(waiter.places)])
        self._arm(now)

    def _windows(self, priority: RequestPriority) -> tuple[Window, ...]:
        """Return the groups that a request belongs to: the lower its priority, the more of them, each within the one before."""
        nested = (self._all, self._reads, self._patient, self._background)
        return nested[: max(1, priority)]

    def _free_at(self, waiter: _Waiter, now: float) -> float:
        """When a waiter may go: a time, or `FOREVER` while it depends on an answer."""
        windows = self._windows(waiter.priority)
        free = (window.free_at(waiter.places, takes_lane=waiter.takes_lane, now=now) for window in windows)
        return max(self._pause.until, *free)

    def _release(self, waiter: _Waiter, *, sent: bool) -> None:
        now = self._clock()
        for window in self._windows(waiter.priority):
            window.give_back(now, sent=sent, takes_lane=waiter.takes_lane)
        self._admit()

    def _arm(self, now: float) -> None:
        """Have exactly one timer, for when the first in the queue may go; none when no time will help."""
        wake_at = self._free_at(self._waiters[0], now) if self._waiters else FOREVER
        if wake_at != self._timer_at:
            if self._timer is not None:
                self._timer.cancel()
            self._timer_at = wake_at
            self._timer = None if wake_at == FOREVER else asyncio.ensure_future(self._wake(wake_at - now))
        self._tell(wake_at, now)

    async def _wake(self, delay: float) -> None:
        await self._sleep(delay)
        self._timer, self._timer_at = None, FOREVER
        self._admit()

    def _tell(self, wake_at: float, now: float) -> None:
        """Tell the observer when what waits for time has changed; waiting for an answer is not worth a word."""
        if self._on_wait is None:
            return
        requests = len(self._waiters) if wake_at != FOREVER else 0
        if (requests, wake_at) == self._told:
            return
        if requests:
            reason = WaitReason.THROTTLED if wake_at == self._pause.until else WaitReason.RATE_LIMIT
            self._on_wait(WaitNotice(requests, wake_at - now, reason))
        elif self._told[0]:
            self._on_wait(WaitNotice(0))
        self._told = (requests, wake_at)
