"""The shares of background reads and writes, in every window and of the requests in progress."""

from __future__ import annotations

import asyncio

import pytest
from tests.support.virtual_time import run_in_virtual_time, run_ready_tasks, virtual_clock

from octosync.octomil import PERCENT_FOR_WRITES, RateLimiter, RequestPriority
from octosync.octomil.rate_limit import SLACK_SECONDS

WINDOW = 60.0
DUE = WINDOW + SLACK_SECONDS
BACKGROUND, READ, WRITE = RequestPriority.BACKGROUND, RequestPriority.READ, RequestPriority.WRITE


def _limiter(limit: int, concurrency: int = 1000, percent_for_writes: int = PERCENT_FOR_WRITES) -> RateLimiter:
    return RateLimiter(limit, concurrency=concurrency, percent_for_writes=percent_for_writes, clock=virtual_clock)


async def _at(limiter: RateLimiter, priority: RequestPriority) -> float:
    """Send one request and return its time."""
    (await limiter.acquire(priority)).release()
    return virtual_clock()


async def _burst(limiter: RateLimiter, priority: RequestPriority, count: int) -> list[float]:
    return await asyncio.gather(*(_at(limiter, priority) for _ in range(count)))


def test_background_reads_get_their_share_and_leave_the_rest_to_others() -> None:
    """Of 100 places background reads get 60, other reads 30 more, and writes all 100. Each share is free again after a window."""

    async def main() -> list[list[float]]:
        limiter = _limiter(100)
        return [
            await asyncio.wait_for(_burst(limiter, BACKGROUND, 60), 1),
            await asyncio.wait_for(_burst(limiter, READ, 30), 1),
            await asyncio.wait_for(_burst(limiter, WRITE, 10), 1),
            await _burst(limiter, BACKGROUND, 61),
        ]

    background, reads, writes, later = run_in_virtual_time(main())
    assert {*background, *reads, *writes} == {0.0}
    assert later == [DUE] * 60 + [2 * DUE]


def test_background_reads_wait_for_their_share_even_if_the_window_has_room() -> None:
    """The 61st is sent a window later, even if nothing else is sent."""

    async def main() -> list[float]:
        return await _burst(_limiter(100), BACKGROUND, 61)

    assert run_in_virtual_time(main()) == [0.0] * 60 + [DUE]


def test_reads_leave_a_share_to_writes_only_if_configured() -> None:
    """A plan may use the whole window for its reads. A process that reads and writes concurrently keeps a tenth for writes."""

    async def main(percent: int) -> list[float]:
        return await _burst(_limiter(100, percent_for_writes=percent), READ, 101)

    assert run_in_virtual_time(main(0)) == [0.0] * 100 + [DUE]
    assert run_in_virtual_time(main(PERCENT_FOR_WRITES)) == [0.0] * 90 + [DUE] * 11


def test_background_reads_never_use_the_share_of_writes() -> None:
    """If other reads have used the share of reads, background reads wait too, and a write is sent."""

    async def main() -> tuple[float, float]:
        limiter = _limiter(100)
        await _burst(limiter, READ, 90)
        waiting = asyncio.create_task(_at(limiter, BACKGROUND))
        await run_ready_tasks()
        return await _at(limiter, WRITE), await waiting

    assert run_in_virtual_time(main()) == (0.0, DUE)


@pytest.mark.parametrize("limit", [1, 2, 3, 5, 7, 33])
def test_a_small_limit_leaves_one_place_to_each_kind(limit: int) -> None:
    """Even with the smallest share, background reads finish."""

    async def main() -> float:
        limiter = _limiter(limit, concurrency=1)
        await _burst(limiter, BACKGROUND, 2)
        return virtual_clock()

    assert run_in_virtual_time(main()) == (0.0 if limit * 6 // 10 > 1 else DUE)


@pytest.mark.parametrize("priority", [READ, WRITE, RequestPriority.URGENT])
def test_a_background_read_that_waits_for_its_share_delays_no_other(priority: RequestPriority) -> None:
    """If the share of the first request in the queue is used up, later requests of another share are admitted."""

    async def main() -> tuple[float, float]:
        limiter = _limiter(10)
        await _burst(limiter, BACKGROUND, 6)
        waiting = asyncio.create_task(_at(limiter, BACKGROUND))
        await run_ready_tasks()
        went = await _at(limiter, priority)
        return went, await waiting

    assert run_in_virtual_time(main()) == (0.0, DUE)


def test_a_waiting_background_read_does_not_delay_a_reservation() -> None:
    """A move behind a background read without a free share gets its places at once."""

    async def main() -> float:
        limiter = _limiter(10)
        waiting = asyncio.create_task(_burst(limiter, BACKGROUND, 7))
        await run_ready_tasks()
        async with limiter.reserve(4) as move:
            assert len(move.permits) == 4
            went = virtual_clock()
        await waiting
        return went

    assert run_in_virtual_time(main()) == 0.0


def test_reads_never_starve_a_reservation() -> None:
    """Even with endless reads, a reservation is admitted as soon as its places are free."""

    async def main() -> float:
        limiter = _limiter(10)
        await _burst(limiter, READ, 9)
        await asyncio.sleep(1)

        async def for_ever(priority: RequestPriority) -> None:
            while True:
                await _at(limiter, priority)

        reserving = asyncio.create_task(_reserve(limiter, 10))
        await run_ready_tasks()
        readers = [asyncio.create_task(for_ever(priority)) for priority in (READ, BACKGROUND) for _ in range(5)]
        went = await reserving
        for reader in readers:
            reader.cancel()
        await asyncio.gather(*readers, return_exceptions=True)
        return went

    assert run_in_virtual_time(main()) == DUE


async def _reserve(limiter: RateLimiter, places: int) -> float:
    async with limiter.reserve(places):
        return virtual_clock()


def test_other_reads_precede_background_reads_that_waited_longer() -> None:
    """When places become free, a changed app is read first, however many background reads queue."""

    async def main() -> list[str]:
        limiter, order = _limiter(0, concurrency=1), list[str]()

        async def send(name: str, priority: RequestPriority) -> None:
            permit = await limiter.acquire(priority)
            order.append(name)
            permit.release()

        permit = await limiter.acquire()
        requests = [("background 1", BACKGROUND), ("background 2", BACKGROUND), ("read", READ), ("write", WRITE)]
        tasks = [asyncio.create_task(send(*request)) for request in requests]
        await run_ready_tasks()
        permit.release()
        await asyncio.gather(*tasks)
        return order

    assert run_in_virtual_time(main()) == ["write", "read", "background 1", "background 2"]


@pytest.mark.parametrize("limit", [0, 1000])
def test_background_reads_leave_connections_free(limit: int) -> None:
    """While background reads use all connections of their share, the read of a changed app starts at once."""

    async def main() -> tuple[bool, bool, bool]:
        limiter = _limiter(limit, concurrency=10)
        slow = [await limiter.acquire(BACKGROUND) for _ in range(6)]
        waiting = asyncio.create_task(limiter.acquire(BACKGROUND))
        await run_ready_tasks()
        before = waiting.done()
        others = [await asyncio.wait_for(limiter.acquire(READ), 1) for _ in range(3)]
        others.append(await asyncio.wait_for(limiter.acquire(WRITE), 1))
        others.pop().release()
        still = waiting.done()
        slow.pop().release()
        await run_ready_tasks()
        return before, still, waiting.done()

    assert run_in_virtual_time(main()) == (False, False, True)


def test_a_share_is_held_until_a_window_after_the_response() -> None:
    """A slow background read holds its place and its part of the share. An unsent one returns both."""

    async def main() -> list[float]:
        limiter = _limiter(2)
        (await limiter.acquire(BACKGROUND)).release(sent=False)
        slow = await limiter.acquire(BACKGROUND)
        next_one = asyncio.create_task(_at(limiter, BACKGROUND))
        await asyncio.sleep(100)
        slow.release()
        return [await next_one]

    assert run_in_virtual_time(main()) == [100 + DUE]


def test_requests_that_wait_at_close_fail() -> None:
    """No request waits for a closed client, no timer is left, and a cancellation stays a cancellation."""

    async def main() -> tuple[list[type[BaseException]], int]:
        limiter = _limiter(1)
        await _at(limiter, WRITE)
        waiting = [asyncio.create_task(limiter.acquire(priority)) for priority in (WRITE, READ, BACKGROUND)]
        await run_ready_tasks()
        limiter.close()
        waiting[0].cancel()
        ends = await asyncio.gather(*waiting, return_exceptions=True)
        await run_ready_tasks()
        return [type(end) for end in ends if isinstance(end, BaseException)], len(asyncio.all_tasks())

    assert run_in_virtual_time(main()) == ([asyncio.CancelledError, RuntimeError, RuntimeError], 1)
