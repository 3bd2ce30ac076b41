"""Pacing: never more than the limit in any window of time, as the server sees it.

A request takes a place in the window from its sending until a window's length after its *answer*, because the server
counts it somewhere between the two: so jitter on the way can't push one more into somebody's minute. The whole budget is
there at once; background reads take a part of it only, so that what is urgent finds room. (aiolimiter is a leaky bucket,
asyncio-throttle polls; pyrate-limiter keeps a true log, but stamps a request when it is admitted, and has no priorities,
shares, pause or joint reservation.)
"""

from __future__ import annotations

import asyncio
import heapq
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from enum import Enum, IntEnum
from itertools import count

from octosync.octomil.counting import Budget
from octosync.octomil.window import FOREVER, Pause, Window

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


class Priority(IntEnum):
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
class Waiting:
    """What waits: `requests` many, the first for `seconds` from now. 0 requests: nothing waits any more."""

    requests: int
    seconds: float = 0.0
    reason: WaitReason = WaitReason.RATE_LIMIT


Sleep = Callable[[float], Awaitable[None]]
OnWait = Callable[[Waiting], None]


class Permit:
    """The right to send one request. Released exactly once; whatever comes later is ignored."""

    __slots__ = ("_pacer", "_waiter")

    def __init__(self, pacer: Pacer, waiter: _Waiter) -> None:
        self._pacer: Pacer | None = pacer
        self._waiter = waiter

    def release(self, *, sent: bool = True) -> None:
        """Say that the answer is there (or lost), or (`sent` False) that nothing ever left: then the place is free at once."""
        if self._pacer is not None:
            self._pacer._release(self._waiter, sent=sent)  # noqa: SLF001 — a permit is a part of its pacer
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How a client paces its requests: the share of its limit that is kept from reads, and its clock, in seconds."""

    percent_for_writes: int = 0
    clock: Callable[[], float] = time.monotonic
    sleep: Sleep = asyncio.sleep


class Pacer:
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

    async def acquire(self, priority: Priority = Priority.READ) -> Permit:
        """Wait for the right to send one request."""
        (permit,) = await self._admission(priority, places=1, takes_lane=True)
        return permit

    @asynccontextmanager
    async def reserve(self, places: int, priority: Priority = Priority.WRITE) -> AsyncIterator[Reservation]:
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

    async def _admission(self, priority: Priority, *, places: int, takes_lane: bool) -> list[Permit]:
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

    def _windows(self, priority: Priority) -> tuple[Window, ...]:
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
            self._on_wait(Waiting(requests, wake_at - now, reason))
        elif self._told[0]:
            self._on_wait(Waiting(0))
        self._told = (requests, wake_at)
