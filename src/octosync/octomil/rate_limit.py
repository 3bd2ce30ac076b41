"""The rate limiter: a sliding window with priorities, shares, joint reservations and pauses.

A request occupies the window from the moment it is sent until one window length after its *response*, because the server
counts it somewhere between the two: network jitter can't push one request too many into a minute of the server's. The
whole budget is available at once; background reads may use a part of it only, which leaves room for urgent requests.
(aiolimiter is a leaky bucket, asyncio-throttle polls; pyrate-limiter keeps a true log, but stamps a request when it is
admitted, and has no priorities, shares, pause or joint reservation.)
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
    """A sliding window for one group of requests: at most `limit` (0: any number) in `seconds`, `max_in_flight` at once.

    A place is occupied from the sending of a request until `seconds` after its response. All times are the limiter's.
    """

    limit: int
    max_in_flight: int
    _seconds: float
    unfinished: int = 0  # places whose requests are sent, or about to be
    _in_flight: int = 0
    # When each place becomes free, ascending; never more of them than the limit.
    _expiries: deque[float] = field(default_factory=deque)

    def share(self, percent: int) -> Window:
        """Return a window with `percent` of both limits, and at least one of each."""
        limit = max(1, self.limit * percent // 100) if self.limit else 0
        return Window(limit, max(1, self.max_in_flight * percent // 100), self._seconds)

    def used(self, now: float) -> int:
        """Return the number of occupied places."""
        while self._expiries and self._expiries[0] <= now:
            self._expiries.popleft()
        return self.unfinished + len(self._expiries)

    def free_at(self, places: int, *, counts_in_flight: bool, now: float) -> float:
        """Return when this many places are free: a time, `AT_ONCE`, or `FOREVER` while that depends on a response."""
        if counts_in_flight and self._in_flight >= self.max_in_flight:
            return FOREVER
        excess = self.used(now) + places - self.limit if self.limit else 0
        if excess <= 0:
            return AT_ONCE
        return FOREVER if excess > len(self._expiries) else self._expiries[excess - 1]

    def seconds_for(self, places: int, now: float) -> float:
        """Return in how many seconds the last of `places` more requests can be sent, if each is answered at once."""
        if not self.limit or places <= 0:
            return 0.0
        occupied = self.used(now)
        free_at = [*[now] * (self.limit - occupied), *self._expiries, *[now + self._seconds] * self.unfinished]
        rounds, place = divmod(places - 1, self.limit)
        return free_at[place] + rounds * self._seconds - now

    def take(self, places: int, *, counts_in_flight: bool) -> None:
        """Occupy places."""
        self.unfinished += places
        self._in_flight += counts_in_flight

    def release(self, now: float, *, sent: bool, counts_in_flight: bool) -> None:
        """Free a place: at once if nothing was sent, otherwise when it has left the window."""
        self.unfinished -= 1
        self._in_flight -= counts_in_flight
        if sent and self.limit:
            self._expiries.append(now + self._seconds)


@dataclass(slots=True)
class Pause:
    """The pause that the control plane asked for, and the total of all pauses."""

    until: float = AT_ONCE
    _since: float = AT_ONCE
    _before: float = 0.0  # seconds of the pauses before the latest

    def extend(self, now: float, seconds: float) -> None:
        """Pause for `seconds` from now, unless a longer pause is in effect."""
        if now >= self.until:
            self._before = self.total(now)
            self._since = now
        self.until = max(self.until, now + seconds)

    def end(self, now: float) -> None:
        """End the pause now."""
        self.until = min(self.until, now)

    def left(self, now: float) -> float:
        """Return the seconds until the pause ends."""
        return max(0.0, self.until - now)

    def total(self, now: float) -> float:
        """Return the seconds of all pauses up to now; overlapping ones count once."""
        return self._before + (0.0 if self._since == AT_ONCE else min(now, self.until) - self._since)


# The codes of responses that arrived and could not be read.
UNREADABLE_CODES = frozenset(
    {"html-answer", "truncated-answer", "unreadable-answer", "redirected", "answer-too-large", "not-http"}
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """The request budget at one moment, in requests and seconds; with `limit` 0 there is none, and nothing is counted.

    `used` is the number of occupied places in the window, requests in flight included, `background_used` how many of them
    background reads occupy. `free_in` is how long until the next place is free, pauses aside: 0 if one is free, None while
    that depends on a response. `throttled_for` is how much longer the control plane's pause lasts,
    `throttled_seconds_total` the total of its pauses since the start, whether or not a request waited: overlapping pauses
    count once, and it never decreases.
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
        """How many requests may be sent now; 0 if there is no limit."""
        return max(0, self.limit - self.used)


@dataclass(frozen=True, slots=True)
class SentRequest:
    """A request that was sent, for metrics.

    `operation` is its id. `code` is the status of the response, "200". Without a response, or for a success that can't be
    read, it is the reference of the error: "connection-refused", "answer-timed-out", "html-answer", "redirected", …; it is
    "cancelled" if the call was cancelled.
    `seconds` is the time from sending to the complete response; `background` whether it was a background read.
    """

    operation: str
    code: str
    seconds: float
    background: bool


OnRequest = Callable[[SentRequest], None]


WINDOW_SECONDS = 60.0
# The server's clock may run at another speed; a window that ends a little late costs nothing.
SLACK_SECONDS = 0.05
# Of any window, and of the requests in flight. Background reads read everything: they could use up any budget.
BACKGROUND_PERCENT = 60
# What a process that reads and writes concurrently reserves for its writes. A change of an app takes up to three writes:
# three apps per minute can be changed while reads use their whole share.
PERCENT_FOR_WRITES = 10
# The share of requests that nothing waits for, writes included: the rest is for changes that arrive meanwhile.
PATIENT_PERCENT = 80


class RequestPriority(IntEnum):
    """The order of waiting requests; within one priority it is first come, first served."""

    URGENT = 0  # a retry inside a reservation: an app's change is incomplete
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
    """How many requests wait, and for how many `seconds` the first of them still does; 0 requests: the wait is over."""

    requests: int
    seconds: float = 0.0
    reason: WaitReason = WaitReason.RATE_LIMIT


Sleep = Callable[[float], Awaitable[None]]
OnWait = Callable[[WaitNotice], None]


@dataclass(frozen=True, slots=True)
class _Demand:
    """What a request, or a reservation of several, occupies."""

    priority: RequestPriority
    places: int
    counts_in_flight: bool


@dataclass(slots=True)
class Permit:
    """The right to send one request. It is released once; later calls are ignored."""

    _limiter: RateLimiter | None
    _demand: _Demand

    def release(self, *, sent: bool = True) -> None:
        """Free the place once the response has arrived or is lost; with `sent` False, nothing was sent: it is free at once."""
        if self._limiter is not None:
            self._limiter._release(self._demand, sent=sent)  # noqa: SLF001 — a permit is a part of its limiter
            self._limiter = None


@dataclass(slots=True)
class Reservation:
    """Permits that were acquired together; each request takes one, and the rest is released at the end."""

    permits: list[Permit] = field(default_factory=list)

    def take(self) -> Permit | None:
        """Return a permit, None if none is left."""
        return self.permits.pop() if self.permits else None


@dataclass(slots=True, order=True)
class _Waiter:
    priority: RequestPriority
    number: int
    demand: _Demand = field(compare=False)
    admitted: asyncio.Future[list[Permit]] = field(compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class RateOptions:
    """Options of a client's rate limiter: the percentage of the limit that is reserved for writes, and the clock."""

    percent_for_writes: int = 0
    clock: Callable[[], float] = time.monotonic
    sleep: Sleep = asyncio.sleep


class RateLimiter:
    """A sliding window of `limit` requests (0: no limit), at most `concurrency` of them in flight.

    Background reads use at most `BACKGROUND_PERCENT` of both, together with patient writes `PATIENT_PERCENT`, and together
    with all other reads everything but `percent_for_writes`. The shares hold in every window, and each is at least one
    request. `clock` and `sleep` are in seconds. Nothing polls: one timer runs while a request waits for time, none otherwise.
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
        self._reads = self._all.share(100 - percent_for_writes)
        self._patient = self._all.share(min(PATIENT_PERCENT, 100 - percent_for_writes))
        self._background = self._all.share(min(BACKGROUND_PERCENT, 100 - percent_for_writes))
        self._pause = Pause()
        self._waiters: list[_Waiter] = []
        self._numbers = count()
        self._timer: asyncio.Task[None] | None = None
        self._timer_at = FOREVER
        self._reported = (0, FOREVER)

    async def acquire(self, priority: RequestPriority = RequestPriority.READ) -> Permit:
        """Wait for the permit to send one request."""
        (permit,) = await self._admission(priority, places=1, counts_in_flight=True)
        return permit

    @asynccontextmanager
    async def reserve(
        self, places: int, priority: RequestPriority = RequestPriority.WRITE
    ) -> AsyncIterator[Reservation]:
        """Wait for several permits together, so that no request after the first one has to wait.

        At most the limit, or the share of that priority, can be reserved: the rest of the requests queue. Reserved permits
        don't count towards the concurrency.
        """
        if self._all.limit:
            places = min(places, *(window.limit for window in self._windows(priority)))
        reservation = Reservation(await self._admission(priority, places=places, counts_in_flight=False))
        try:
            yield reservation
        finally:
            while permit := reservation.take():
                permit.release(sent=False)

    def pause(self, seconds: float) -> None:
        """Send nothing for `seconds`, at any priority: the control plane asked for it."""
        self._pause.extend(self._clock(), seconds)
        self._admit()

    def end_pause(self) -> None:
        """Send again now, although the control plane asked for a longer pause."""
        self._pause.end(self._clock())
        self._admit()

    @property
    def budget(self) -> Budget:
        """The current budget."""
        now = self._clock()
        free_at = self._all.free_at(1, counts_in_flight=False, now=now)
        return Budget(
            limit=self._all.limit,
            used=self._all.used(now),
            free_in=None if free_at == FOREVER else max(0.0, free_at - now),
            background_limit=self._background.limit,
            background_used=self._background.used(now),
            throttled_for=self._pause.left(now),
            throttled_seconds_total=self._pause.total(now),
        )

    def seconds_for(self, requests: int, priority: RequestPriority = RequestPriority.READ) -> float:
        """Return how long `requests` wait for the window, pauses included. Requests that were sent already count among them."""
        now = self._clock()
        windows = self._windows(priority)
        waits = (window.seconds_for(requests - self._all.unfinished, now) for window in windows)
        return max(self._pause.left(now), *waits)

    def close(self) -> None:
        """Raise `RuntimeError` in all waiting requests, and stop the timer."""
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            if not waiter.admitted.done():
                waiter.admitted.set_exception(RuntimeError("closed while a request was waiting"))
        self._admit()

    async def _admission(self, priority: RequestPriority, *, places: int, counts_in_flight: bool) -> list[Permit]:
        demand = _Demand(priority, places, counts_in_flight)
        if not self._waiters and self._free_at(demand, now := self._clock()) <= now:
            return self._occupy(demand)
        admitted: asyncio.Future[list[Permit]] = asyncio.get_running_loop().create_future()
        waiter = _Waiter(priority, next(self._numbers), demand, admitted)
        heapq.heappush(self._waiters, waiter)
        self._admit()
        try:
            return await admitted
        except asyncio.CancelledError:
            # It may have been cancelled in the very moment in which it was admitted or rejected.
            if admitted.done() and not admitted.cancelled():
                for permit in admitted.result() if admitted.exception() is None else ():
                    permit.release(sent=False)
            elif waiter in self._waiters:
                self._waiters.remove(waiter)
                heapq.heapify(self._waiters)
                self._admit()
            raise

    def _admit(self) -> None:
        """Admit waiting requests, strictly in order: small requests never starve a large reservation.

        A share that is used up blocks no other request: all requests behind the first one are subject to the same share.
        """
        now = self._clock()
        while self._waiters:
            waiter = self._waiters[0]
            if not waiter.admitted.cancelled() and self._free_at(waiter.demand, now) > now:
                break
            heapq.heappop(self._waiters)
            if waiter.admitted.cancelled():
                continue
            waiter.admitted.set_result(self._occupy(waiter.demand))
        self._arm(now)

    def _occupy(self, demand: _Demand) -> list[Permit]:
        for window in self._windows(demand.priority):
            window.take(demand.places, counts_in_flight=demand.counts_in_flight)
        return [Permit(self, demand) for _ in range(demand.places)]

    def _windows(self, priority: RequestPriority) -> tuple[Window, ...]:
        """Return the windows that a request counts in: the lower its priority, the more; each is a part of the one before."""
        nested = (self._all, self._reads, self._patient, self._background)
        return nested[: max(1, priority)]

    def _free_at(self, demand: _Demand, now: float) -> float:
        """Return when a demand can be met: a time, or `FOREVER` while that depends on a response."""
        windows = self._windows(demand.priority)
        free = (window.free_at(demand.places, counts_in_flight=demand.counts_in_flight, now=now) for window in windows)
        return max(self._pause.until, *free)

    def _release(self, demand: _Demand, *, sent: bool) -> None:
        now = self._clock()
        for window in self._windows(demand.priority):
            window.release(now, sent=sent, counts_in_flight=demand.counts_in_flight)
        self._admit()

    def _arm(self, now: float) -> None:
        """Keep exactly one timer, for the time when the first waiter can be admitted; none if it waits for a response."""
        wake_at = self._free_at(self._waiters[0].demand, now) if self._waiters else FOREVER
        if wake_at != self._timer_at:
            if self._timer is not None:
                self._timer.cancel()
            self._timer_at = wake_at
            self._timer = None if wake_at == FOREVER else asyncio.ensure_future(self._wake(wake_at - now))
        self._report_wait(wake_at, now)

    async def _wake(self, delay: float) -> None:
        await self._sleep(delay)
        self._timer, self._timer_at = None, FOREVER
        self._admit()

    def _report_wait(self, wake_at: float, now: float) -> None:
        """Call `on_wait` if the requests that wait for time have changed; waits for a response are not reported."""
        if self._on_wait is None:
            return
        requests = len(self._waiters) if wake_at != FOREVER else 0
        if (requests, wake_at) == self._reported:
            return
        if requests:
            reason = WaitReason.THROTTLED if wake_at == self._pause.until else WaitReason.RATE_LIMIT
            self._on_wait(WaitNotice(requests, wake_at - now, reason))
        elif self._reported[0]:
            self._on_wait(WaitNotice(0))
        self._reported = (requests, wake_at)
