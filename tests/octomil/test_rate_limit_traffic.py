"""Mixed traffic, as the server sees it: no window contains more than the limit or a share."""

from __future__ import annotations

import asyncio
import gc
import itertools
import random
import tracemalloc
from collections import deque
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.examples import examples
from tests.support.virtual_time import run_in_virtual_time, run_ready_tasks, virtual_clock

from octosync.octomil import RateLimiter, RequestPriority, rate_limit

pytestmark = pytest.mark.no_cover  # long; the code it runs is measured by the other tests of this folder

WINDOW = 60.0
BACKGROUND, READ, WRITE = RequestPriority.BACKGROUND, RequestPriority.READ, RequestPriority.WRITE


def _limiter(limit: int, concurrency: int, percent_for_writes: int = 10) -> RateLimiter:
    return RateLimiter(limit, concurrency=concurrency, percent_for_writes=percent_for_writes, clock=virtual_clock)


@dataclass(slots=True)
class _Server:
    """Counts the requests of the last 60 s by priority, and keeps the maximum. It stores nothing older."""

    arrived: deque[tuple[float, RequestPriority]] = field(default_factory=deque)
    total: int = 0
    most: dict[str, int] = field(default_factory=lambda: dict.fromkeys(("all", "reads", "background"), 0))

    def take(self, priority: RequestPriority) -> None:
        now = virtual_clock()
        self.total += 1
        self.arrived.append((now, priority))
        while self.arrived[0][0] <= now - WINDOW:
            self.arrived.popleft()
        groups = (("all", RequestPriority.URGENT), ("reads", READ), ("background", BACKGROUND))
        for group, lowest in groups:
            self.most[group] = max(self.most[group], sum(priority >= lowest for _, priority in self.arrived))


@dataclass(slots=True)
class _Load:
    """One request: its time, how long it travels, after which wait it is cancelled, and whether it is sent at all."""

    wanted_at: float
    priority: RequestPriority
    request_seconds: float
    response_seconds: float
    patience: float = float("inf")
    is_sent: bool = True


async def _send(limiter: RateLimiter, server: _Server, load: _Load) -> None:
    await asyncio.sleep(load.wanted_at)
    try:
        async with asyncio.timeout(load.patience if load.patience < 1e9 else None):
            permit = await limiter.acquire(load.priority)
    except TimeoutError:
        return
    await asyncio.sleep(load.request_seconds)
    if load.is_sent:
        server.take(load.priority)
    await asyncio.sleep(load.response_seconds)
    permit.release(sent=load.is_sent)


_loads = st.lists(
    st.builds(
        _Load,
        st.floats(0, 100),
        st.sampled_from([READ, BACKGROUND, BACKGROUND, *RequestPriority]),
        st.floats(0, 5),
        st.floats(0, 5),
        st.one_of(st.just(float("inf")), st.floats(0, 100)),
        st.booleans(),
    ),
    min_size=1,
    max_size=50,
)


@given(loads=_loads, limit=st.integers(1, 12), concurrency=st.integers(1, 6), percent=st.sampled_from([0, 10, 50]))
@examples(100)
def test_no_window_ever_holds_more_than_a_share(loads: list[_Load], limit: int, concurrency: int, percent: int) -> None:
    """However requests are made, cancelled or lost, no 60 s at the server contain more than the limit of any kind."""
    server = _Server()

    async def main() -> None:
        limiter = _limiter(limit, concurrency, percent)
        await asyncio.gather(*(_send(limiter, server, load) for load in loads))
        budget = limiter.budget
        assert 0 <= budget.background_used <= budget.used <= limit

    run_in_virtual_time(main())
    assert server.most["all"] <= limit
    assert server.most["reads"] <= max(1, limit * (100 - percent) // 100)
    assert server.most["background"] <= max(1, limit * min(60, 100 - percent) // 100)


def _memory() -> int:
    """Return the bytes that the code of the limiter holds."""
    gc.collect()
    files = [
        tracemalloc.Filter(inclusive=True, filename_pattern=module.__file__ or "")
        for module in (rate_limit, rate_limit)
    ]
    return sum(statistic.size for statistic in tracemalloc.take_snapshot().filter_traces(files).statistics("filename"))


class _Traffic:
    """Reproducible traffic of every kind. `waits` is how long each request of the feed waited."""

    def __init__(self) -> None:
        self.server = _Server()
        self.waits: list[float] = []
        self._chance = random.Random(7)  # noqa: S311 — the same every time

    def work(self) -> Iterator[Callable[[RateLimiter], Coroutine[Any, Any, None]]]:
        """Yield the concurrent kinds of traffic, each endless."""
        yield from (*itertools.repeat(self._resync, 8), self._feed, self._changes)

    async def _request(self, limiter: RateLimiter, priority: RequestPriority) -> None:
        request_seconds, response_seconds = self._chance.uniform(0, 2), self._chance.uniform(0, 2)
        load = _Load(0, priority, request_seconds, response_seconds, is_sent=self._chance.random() > 0.01)
        await _send(limiter, self.server, load)

    async def _resync(self, limiter: RateLimiter) -> None:
        while True:
            await self._request(limiter, BACKGROUND)

    async def _feed(self, limiter: RateLimiter) -> None:
        while True:
            started = virtual_clock()
            await self._request(limiter, READ)
            self.waits.append(virtual_clock() - started)
            await asyncio.sleep(30)

    async def _changes(self, limiter: RateLimiter) -> None:
        while True:
            await asyncio.sleep(self._chance.uniform(0, 900))
            for priority in (READ, WRITE):
                await asyncio.gather(*(self._request(limiter, priority) for _ in range(self._chance.randrange(6))))
            if self._chance.random() < 0.1:
                limiter.pause(30)


def test_hours_of_traffic_stay_within_the_limit_and_leak_nothing() -> None:
    """Endless resyncs, a feed, bursts of changes, 429s: no 60 s exceed the limit or a share, and memory does not grow."""
    limit, hours, traffic = 10, 3, _Traffic()

    async def main() -> list[int]:
        limiter = _limiter(limit, concurrency=5)
        tasks = [asyncio.create_task(work(limiter)) for work in traffic.work()]
        held = []
        for hour in (1, hours):
            await asyncio.sleep(3600.0 * hour - virtual_clock())
            held.append(_memory())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        limiter.close()
        await run_ready_tasks()
        assert len(asyncio.all_tasks()) == 1
        return held

    tracemalloc.start()
    try:
        early, late = run_in_virtual_time(main())
    finally:
        tracemalloc.stop()
    assert traffic.server.total > 0.6 * limit * hours * 60 * 0.9, (
        "background reads alone do not use nearly their whole share"
    )
    assert traffic.server.most == {"all": limit, "reads": 9, "background": 6}
    assert max(traffic.waits) < 2 * WINDOW, "background reads delayed the feed"
    assert late < early + 16 * 1024
