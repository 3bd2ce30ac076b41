"""Shares: what reads in the background may take, and what is kept for writes, in every window and of the lanes."""

from __future__ import annotations

import asyncio
import gc
import itertools
import random
import tracemalloc
from collections import deque
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.virtual_time import run_in_virtual_time, virtual_clock

from octosync.octomil import pacing, window
from octosync.octomil.pacing import PERCENT_FOR_WRITES, SLACK_SECONDS, Pacer, Permit, Priority

WINDOW = 60.0
DUE = WINDOW + SLACK_SECONDS
BACKGROUND, READ, WRITE = Priority.BACKGROUND, Priority.READ, Priority.WRITE


def _pacer(limit: int, concurrency: int = 1000, percent_for_writes: int = PERCENT_FOR_WRITES) -> Pacer:
    return Pacer(limit, concurrency=concurrency, percent_for_writes=percent_for_writes, clock=virtual_clock)


async def _at(pacer: Pacer, priority: Priority) -> float:
    """Send one request, and say when it went."""
    (await pacer.acquire(priority)).release()
    return virtual_clock()


async def _burst(pacer: Pacer, priority: Priority, count: int) -> list[float]:
    return await asyncio.gather(*(_at(pacer, priority) for _ in range(count)))


async def _let_run() -> None:
    """Let every task come as far as it can at this moment."""
    for _ in range(5):
        await asyncio.sleep(0)


def test_background_takes_its_share_at_once_and_leaves_the_rest_to_all_others() -> None:
    """Of 100 places background reads get 60, other reads 30 more, writes all 100; and each goes on when a window has passed."""

    async def main() -> list[list[float]]:
        pacer = _pacer(100)
        return [
            await asyncio.wait_for(_burst(pacer, BACKGROUND, 60), 1),
            await asyncio.wait_for(_burst(pacer, READ, 30), 1),
            await asyncio.wait_for(_burst(pacer, WRITE, 10), 1),
            await _burst(pacer, BACKGROUND, 61),
        ]

    background, reads, writes, later = run_in_virtual_time(main())
    assert {*background, *reads, *writes} == {0.0}
    assert later == [DUE] * 60 + [2 * DUE]


def test_background_waits_for_its_share_though_the_window_has_room() -> None:
    """The 61st goes a window later, however little else is sent."""

    async def main() -> list[float]:
        return await _burst(_pacer(100), BACKGROUND, 61)

    assert run_in_virtual_time(main()) == [0.0] * 60 + [DUE]


def test_reads_leave_writes_their_part_only_where_that_is_asked_for() -> None:
    """A plan has the whole window for its reads; a process that reads and writes side by side keeps a tenth of it."""

    async def main(percent: int) -> list[float]:
        return await _burst(_pacer(100, percent_for_writes=percent), READ, 101)

    assert run_in_virtual_time(main(0)) == [0.0] * 100 + [DUE]
    assert run_in_virtual_time(main(PERCENT_FOR_WRITES)) == [0.0] * 90 + [DUE] * 11


def test_background_reads_take_nothing_of_what_is_kept_for_writes() -> None:
    """Where other reads have used all that reads may have, background reads wait, too, and a write goes."""

    async def main() -> tuple[float, float]:
        pacer = _pacer(100)
        await _burst(pacer, READ, 90)
        waiting = asyncio.create_task(_at(pacer, BACKGROUND))
        await _let_run()
        return await _at(pacer, WRITE), await waiting

    assert run_in_virtual_time(main()) == (0.0, DUE)


@pytest.mark.parametrize("limit", [1, 2, 3, 5, 7, 33])
def test_a_small_limit_leaves_everybody_one(limit: int) -> None:
    """However small a share is, what has it alone comes to an end."""

    async def main() -> float:
        pacer = _pacer(limit, concurrency=1)
        await _burst(pacer, BACKGROUND, 2)
        return virtual_clock()

    assert run_in_virtual_time(main()) == (0.0 if limit * 6 // 10 > 1 else DUE)


@pytest.mark.parametrize("priority", [READ, WRITE, Priority.URGENT])
def test_a_background_read_that_waits_for_its_share_holds_up_nobody(priority: Priority) -> None:
    """It was first in the queue; whoever comes later and may go, goes."""

    async def main() -> tuple[float, float]:
        pacer = _pacer(10)
        await _burst(pacer, BACKGROUND, 6)
        waiting = asyncio.create_task(_at(pacer, BACKGROUND))
        await _let_run()
        went = await _at(pacer, priority)
        return went, await waiting

    assert run_in_virtual_time(main()) == (0.0, DUE)


def test_a_reservation_is_not_held_up_by_a_background_read_that_waits() -> None:
    """A move behind a capped background read has its places at once."""

    async def main() -> float:
        pacer = _pacer(10)
        waiting = asyncio.create_task(_burst(pacer, BACKGROUND, 7))
        await _let_run()
        async with pacer.reserve(4) as move:
            assert len(move.permits) == 4
            went = virtual_clock()
        await waiting
        return went

    assert run_in_virtual_time(main()) == 0.0


def test_a_big_reservation_is_not_starved_by_reads_of_either_kind() -> None:
    """Reads that never end get nothing of what a reservation waits for: it goes as soon as its places are free."""

    async def main() -> float:
        pacer = _pacer(10)
        await _burst(pacer, READ, 9)
        await asyncio.sleep(1)

        async def for_ever(priority: Priority) -> None:
            while True:
                await _at(pacer, priority)

        reserving = asyncio.create_task(_reserve(pacer, 10))
        await _let_run()
        readers = [asyncio.create_task(for_ever(priority)) for priority in (READ, BACKGROUND) for _ in range(5)]
        went = await reserving
        for reader in readers:
            reader.cancel()
        await asyncio.gather(*readers, return_exceptions=True)
        return went

    assert run_in_virtual_time(main()) == DUE


async def _reserve(pacer: Pacer, places: int) -> float:
    async with pacer.reserve(places):
        return virtual_clock()


def test_other_reads_go_before_background_reads_that_have_waited_longer() -> None:
    """When places become free, a changed app is read first, however many background reads queue."""

    async def main() -> list[str]:
        pacer, order = _pacer(0, concurrency=1), list[str]()

        async def one(name: str, priority: Priority) -> None:
            permit = await pacer.acquire(priority)
            order.append(name)
            permit.release()

        held = await pacer.acquire()
        asked = [("background 1", BACKGROUND), ("background 2", BACKGROUND), ("read", READ), ("write", WRITE)]
        tasks = [asyncio.create_task(one(*each)) for each in asked]
        await _let_run()
        held.release()
        await asyncio.gather(*tasks)
        return order

    assert run_in_virtual_time(main()) == ["write", "read", "background 1", "background 2"]


@pytest.mark.parametrize("limit", [0, 1000])
def test_background_reads_leave_lanes_free(limit: int) -> None:
    """While background reads are under way on all the lanes that they may have, a read of a changed app starts at once."""

    async def main() -> tuple[bool, bool, bool]:
        pacer = _pacer(limit, concurrency=10)
        slow = [await pacer.acquire(BACKGROUND) for _ in range(6)]
        waiting = asyncio.create_task(pacer.acquire(BACKGROUND))
        await _let_run()
        before = waiting.done()
        others = [await asyncio.wait_for(pacer.acquire(READ), 1) for _ in range(3)]
        others.append(await asyncio.wait_for(pacer.acquire(WRITE), 1))
        others.pop().release()
        still = waiting.done()
        slow.pop().release()
        await _let_run()
        return before, still, waiting.done()

    assert run_in_virtual_time(main()) == (False, False, True)


def test_a_share_is_held_until_a_window_after_the_answer() -> None:
    """A slow background read holds its part of the share as it holds its place; one that never left gives both back."""

    async def main() -> list[float]:
        pacer = _pacer(2)
        (await pacer.acquire(BACKGROUND)).release(sent=False)
        slow = await pacer.acquire(BACKGROUND)
        next_one = asyncio.create_task(_at(pacer, BACKGROUND))
        await asyncio.sleep(100)
        slow.release()
        return [await next_one]

    assert run_in_virtual_time(main()) == [100 + DUE]


def test_who_still_waits_when_it_closes_is_turned_away() -> None:
    """Nobody waits for ever for a client that is gone, no timer is left, and a cancellation stays one."""

    async def main() -> tuple[list[type[BaseException]], int]:
        pacer = _pacer(1)
        await _at(pacer, WRITE)
        waiting = [asyncio.create_task(pacer.acquire(priority)) for priority in (WRITE, READ, BACKGROUND)]
        await _let_run()
        pacer.close()
        waiting[0].cancel()
        ends = await asyncio.gather(*waiting, return_exceptions=True)
        await _let_run()
        return [type(end) for end in ends if isinstance(end, BaseException)], len(asyncio.all_tasks())

    assert run_in_virtual_time(main()) == ([asyncio.CancelledError, RuntimeError, RuntimeError], 1)


# What any traffic comes to, as the server sees it.


@dataclass(slots=True)
class _Server:
    """Counts what arrived in the last 60 s, by priority, and keeps the most there ever was; it stores nothing older."""

    arrived: deque[tuple[float, Priority]] = field(default_factory=deque)
    total: int = 0
    most: dict[str, int] = field(default_factory=lambda: dict.fromkeys(("all", "reads", "background"), 0))

    def take(self, priority: Priority) -> None:
        now = virtual_clock()
        self.total += 1
        self.arrived.append((now, priority))
        while self.arrived[0][0] <= now - WINDOW:
            self.arrived.popleft()
        groups = (("all", Priority.URGENT), ("reads", READ), ("background", BACKGROUND))
        for group, lowest in groups:
            self.most[group] = max(self.most[group], sum(one >= lowest for _, one in self.arrived))


@dataclass(slots=True)
class _Load:
    """One request: when it is wanted, how long it travels, after which wait it is given up, and whether it leaves at all."""

    wanted_at: float
    priority: Priority
    there: float
    back: float
    patience: float = float("inf")
    leaves: bool = True


async def _send(pacer: Pacer, server: _Server, load: _Load) -> None:
    await asyncio.sleep(load.wanted_at)
    permit: Permit
    try:
        async with asyncio.timeout(load.patience if load.patience < 1e9 else None):
            permit = await pacer.acquire(load.priority)
    except TimeoutError:
        return
    await asyncio.sleep(load.there)
    if load.leaves:
        server.take(load.priority)
    await asyncio.sleep(load.back)
    permit.release(sent=load.leaves)


_loads = st.lists(
    st.builds(
        _Load,
        st.floats(0, 100),
        st.sampled_from(Priority),
        st.floats(0, 20),
        st.floats(0, 20),
        st.one_of(st.just(float("inf")), st.floats(0, 100)),
        st.booleans(),
    ),
    min_size=1,
    max_size=50,
)


@given(loads=_loads, limit=st.integers(1, 12), concurrency=st.integers(1, 6), percent=st.sampled_from([0, 10, 50]))
@settings(max_examples=100, deadline=None)
def test_no_window_ever_holds_more_than_a_share(loads: list[_Load], limit: int, concurrency: int, percent: int) -> None:
    """Whatever is asked for, given up or lost: in no 60 s does the server see more of anything than there may be."""
    server = _Server()

    async def main() -> None:
        pacer = _pacer(limit, concurrency, percent)
        await asyncio.gather(*(_send(pacer, server, load) for load in loads))
        budget = pacer.budget
        assert 0 <= budget.background_used <= budget.used <= limit

    run_in_virtual_time(main())
    assert server.most["all"] <= limit
    assert server.most["reads"] <= max(1, limit * (100 - percent) // 100)
    assert server.most["background"] <= max(1, limit * min(60, 100 - percent) // 100)


def _memory() -> int:
    """Return the bytes that the pacer's own code holds."""
    gc.collect()
    files = [tracemalloc.Filter(inclusive=True, filename_pattern=module.__file__ or "") for module in (pacing, window)]
    return sum(one.size for one in tracemalloc.take_snapshot().filter_traces(files).statistics("filename"))


def test_a_day_of_traffic_stays_within_the_limit_and_leaves_nothing_behind() -> None:
    """Re-reads without end, a feed, changes in bursts, 429s: no 60 s above the limit or a share, and no memory that grows."""
    limit, hour, chance = 10, 3600.0, random.Random(7)  # noqa: S311 — the same every time
    server = _Server()
    waits: list[float] = []

    async def one(pacer: Pacer, priority: Priority) -> None:
        there, back = chance.uniform(0, 2), chance.uniform(0, 2)
        await _send(pacer, server, _Load(0, priority, there, back, leaves=chance.random() > 0.01))

    async def resync(pacer: Pacer) -> None:
        while True:
            await one(pacer, BACKGROUND)

    async def feed(pacer: Pacer) -> None:
        while True:
            asked = virtual_clock()
            await one(pacer, READ)
            waits.append(virtual_clock() - asked)
            await asyncio.sleep(30)

    async def changes(pacer: Pacer) -> None:
        while True:
            await asyncio.sleep(chance.uniform(0, 900))
            for priority in (READ, WRITE):
                await asyncio.gather(*(one(pacer, priority) for _ in range(chance.randrange(6))))
            if chance.random() < 0.1:
                pacer.pause(30)

    async def main() -> list[int]:
        pacer = _pacer(limit, concurrency=5)
        tasks = [asyncio.create_task(work(pacer)) for work in (*itertools.repeat(resync, 8), feed, changes)]
        held = []
        for until in (hour, 24 * hour):
            await asyncio.sleep(until - virtual_clock())
            held.append(_memory())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        pacer.close()
        await _let_run()
        assert len(asyncio.all_tasks()) == 1
        return held

    tracemalloc.start()
    try:
        early, late = run_in_virtual_time(main())
    finally:
        tracemalloc.stop()
    assert server.total > 0.6 * limit * 24 * 60 * 0.9, "background alone makes nearly full use of its share"
    assert server.most == {"all": limit, "reads": 9, "background": 6}
    assert max(waits) < 2 * WINDOW, "the feed is never pushed out by what is read in the background"
    assert late < early + 16 * 1024
