"""Pacing: never more than the limit in any window of time, as the server sees it.

A request takes a place in the window from its sending until a window's length after its *answer*, because the server
counts it somewhere between the two: so jitter on the way can't push one more into somebody's minute. The whole budget is
there at once. (aiolimiter is a leaky bucket, asyncio-throttle polls; pyrate-limiter keeps a true log, but stamps a request
when it is admitted, and has no priorities, pause or joint reservation.)
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

WINDOW_SECONDS = 60.0
# The server's clock and ours need not run alike; a window that ends a little late costs nothing.
SLACK_SECONDS = 0.05


class Priority(IntEnum):
    """Who goes first; within one priority it is first come, first served."""

    URGENT = 0  # a retry inside a reservation: something is half done
    WRITE = 1
    READ = 2


class WaitReason(Enum):
    """Why requests wait."""

    RATE_LIMIT = "rate limit"
    THROTTLED = "throttled by the control plane"
    RETRY = "retry"


@dataclass(frozen=True, slots=True)
class Waiting:
    """What waits: `requests` many, the first for `seconds` from now. 0 requests: nothing waits any more."""

    requests: int
    seconds: float = 0.0
    reason: WaitReason = WaitReason.RATE_LIMIT


Sleep = Callable[[float], Awaitable[None]]
OnWait = Callable[[Waiting], None]


class Permit:
    """The right to send one request. Released exactly once; whatever comes later is ignored."""

    __slots__ = ("_pacer", "_takes_lane")

    def __init__(self, pacer: Pacer, *, takes_lane: bool) -> None:
        self._pacer: Pacer | None = pacer
        self._takes_lane = takes_lane

    def release(self, *, sent: bool = True) -> None:
        """Say that the answer is there (or lost), or (`sent` False) that nothing ever left: then the place is free at once."""
        if self._pacer is not None:
            self._pacer._release(sent=sent, takes_lane=self._takes_lane)  # noqa: SLF001 — a permit is a part of its pacer
            self._pacer = None


@dataclass(slots=True)
class Reservation:
    """Permits that were got together; each request inside takes one, and what is left is given back at the end."""

    permits: list[Permit] = field(default_factory=list)

    def take(self) -> Permit | None:
        """Take a permit, None when none is left."""
        return self.permits.pop() if self.permits else None


@dataclass(slots=True, order=True)
class _Waiter:
    priority: Priority
    number: int
    places: int = field(compare=False)
    takes_lane: bool = field(compare=False)
    admitted: asyncio.Future[list[Permit]] = field(compare=False)


class Pacer:
    """A sliding window of `limit` requests (0: none), at most `concurrency` of them under way.

    `clock` and `sleep` are in seconds. Nothing polls: one timer runs while something waits for time, none otherwise.
    """

    def __init__(
        self,
        limit: int,
        *,
        concurrency: int = 16,
        window: float = WINDOW_SECONDS,
        clock: Callable[[], float] = time.monotonic,
        sleep: Sleep = asyncio.sleep,
        on_wait: OnWait | None = None,
    ) -> None:
        self._limit = limit
        self._window = window + SLACK_SECONDS
        self._clock = clock
        self._sleep = sleep
        self._on_wait = on_wait
        self._lanes = concurrency
        self._under_way = 0  # permits out: sent, or about to be
        self._answered: deque[float] = deque()  # when each place becomes free, rising
        self._paused_until = float("-inf")
        self._waiters: list[_Waiter] = []
        self._numbers = count()
        self._timer: asyncio.Task[None] | None = None
        self._timer_at = float("inf")
        self._told = (0, float("inf"))

    async def acquire(self, priority: Priority = Priority.READ) -> Permit:
        """Wait for the right to send one request."""
        (permit,) = await self._admission(priority, places=1, takes_lane=True)
        return permit

    @asynccontextmanager
    async def reserve(self, places: int) -> AsyncIterator[Reservation]:
        """Wait for several permits together, so that once the first request went nothing holds up the last.

        More than the limit can't be had together: then it is the limit, and the rest queues. Reserved permits don't count
        for the concurrency.
        """
        if self._limit:
            places = min(places, self._limit)
        reservation = Reservation(await self._admission(Priority.WRITE, places=places, takes_lane=False))
        try:
            yield reservation
        finally:
            while permit := reservation.take():
                permit.release(sent=False)

    def pause(self, seconds: float) -> None:
        """Send nothing for so long, whoever asks: the control plane has said so."""
        self._paused_until = max(self._paused_until, self._clock() + seconds)
        self._admit()

    async def _admission(self, priority: Priority, *, places: int, takes_lane: bool) -> list[Permit]:
        admitted: asyncio.Future[list[Permit]] = asyncio.get_running_loop().create_future()
        waiter = _Waiter(priority, next(self._numbers), places, takes_lane, admitted)
        heapq.heappush(self._waiters, waiter)
        self._admit()
        try:
            return await admitted
        except asyncio.CancelledError:
            if admitted.done() and not admitted.cancelled():  # cancelled in the very moment it was let in
                for permit in admitted.result():
                    permit.release(sent=False)
            elif waiter in self._waiters:
                self._waiters.remove(waiter)
                heapq.heapify(self._waiters)
                self._admit()
            raise

    def _admit(self) -> None:
        """Let in whoever may go, strictly in order: a big reservation is never starved by small requests behind it."""
        now = self._clock()
        while self._answered and self._answered[0] <= now:
            self._answered.popleft()
        while self._waiters:
            waiter = self._waiters[0]
            if not waiter.admitted.cancelled() and self._free_at(waiter) > now:
                break
            heapq.heappop(self._waiters)
            if waiter.admitted.cancelled():
                continue
            self._under_way += waiter.places
            self._lanes -= waiter.takes_lane
            waiter.admitted.set_result([Permit(self, takes_lane=waiter.takes_lane) for _ in range(waiter.places)])
        self._arm(now)

    def _free_at(self, waiter: _Waiter) -> float:
        """When a waiter may go: a time, or infinity while it depends on an answer."""
        if waiter.takes_lane and self._lanes < 1:
            return float("inf")
        if not self._limit:
            return self._paused_until
        excess = self._under_way + len(self._answered) + waiter.places - self._limit
        if excess <= 0:
            return self._paused_until
        if excess > len(self._answered):
            return float("inf")
        return max(self._paused_until, self._answered[excess - 1])

    def _release(self, *, sent: bool, takes_lane: bool) -> None:
        self._under_way -= 1
        self._lanes += takes_lane
        if sent and self._limit:
            self._answered.append(self._clock() + self._window)
        self._admit()

    def _arm(self, now: float) -> None:
        """Have exactly one timer, for when the first in the queue may go; none when no time will help."""
        wake_at = self._free_at(self._waiters[0]) if self._waiters else float("inf")
        if wake_at != self._timer_at:
            if self._timer is not None:
                self._timer.cancel()
            self._timer_at = wake_at
            self._timer = None if wake_at == float("inf") else asyncio.ensure_future(self._wake(wake_at - now))
        self._tell(wake_at, now)

    async def _wake(self, delay: float) -> None:
        await self._sleep(delay)
        self._timer, self._timer_at = None, float("inf")
        self._admit()

    def _tell(self, wake_at: float, now: float) -> None:
        """Tell the observer when what waits for time has changed; waiting for an answer is not worth a word."""
        if self._on_wait is None:
            return
        requests = len(self._waiters) if wake_at != float("inf") else 0
        if (requests, wake_at) == self._told:
            return
        if requests:
            reason = WaitReason.THROTTLED if wake_at == self._paused_until else WaitReason.RATE_LIMIT
            self._on_wait(Waiting(requests, wake_at - now, reason))
        elif self._told[0]:
            self._on_wait(Waiting(0))
        self._told = (requests, wake_at)
