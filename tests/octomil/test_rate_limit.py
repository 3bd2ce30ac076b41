"""Pacing: a true sliding window, with priorities, pauses and joint reservations."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.examples import examples
from tests.support.virtual_time import run_in_virtual_time, virtual_clock

from octosync.octomil import RateLimiter, RequestPriority, WaitNotice, WaitReason
from octosync.octomil.rate_limit import SLACK_SECONDS

WINDOW = 60.0


def _limiter(limit: int, concurrency: int = 1000, told: list[WaitNotice] | None = None) -> RateLimiter:
    return RateLimiter(
        limit, concurrency=concurrency, clock=virtual_clock, on_wait=None if told is None else told.append
    )


def _most_in_any_window(times: list[float]) -> int:
    return max((sum(1 for time in times if start <= time < start + WINDOW) for start in times), default=0)


@dataclass
class _Load:
    """One request of a schedule: when it is wanted, and how long the way there and back takes."""

    wanted_at: float
    there: float
    back: float


_loads = st.lists(
    st.builds(_Load, st.floats(0, 200), st.floats(0, 20), st.floats(0, 20)),
    min_size=1,
    max_size=40,
)


@given(loads=_loads, limit=st.integers(1, 8), concurrency=st.integers(1, 6))
@examples(150)
def test_no_window_of_a_minute_ever_holds_more_than_the_limit(loads: list[_Load], limit: int, concurrency: int) -> None:
    """Whatever is asked for and however long requests travel: no 60 s hold more than N, as sent and as they arrive."""
    sent: list[float] = []
    arrived: list[float] = []
    under_way = [0, 0]

    async def request(limiter: RateLimiter, load: _Load) -> None:
        await asyncio.sleep(load.wanted_at)
        permit = await limiter.acquire()
        under_way[0] += 1
        under_way[1] = max(under_way)
        sent.append(virtual_clock())
        await asyncio.sleep(load.there)
        arrived.append(virtual_clock())
        await asyncio.sleep(load.back)
        under_way[0] -= 1
        permit.release()

    async def main() -> None:
        limiter = _limiter(limit, concurrency)
        await asyncio.gather(*(request(limiter, load) for load in loads))

    run_in_virtual_time(main())
    assert len(arrived) == len(loads)
    assert _most_in_any_window(sent) <= limit
    assert _most_in_any_window(sorted(arrived)) <= limit
    assert under_way[1] <= concurrency


async def _one(
    limiter: RateLimiter, order: list[str], name: str, priority: RequestPriority = RequestPriority.READ
) -> None:
    permit = await limiter.acquire(priority)
    order.append(name)
    permit.release()


def test_the_whole_budget_is_there_at_once() -> None:
    """The first N requests wait for nothing, and the next goes the moment that the window lets it."""

    async def main() -> tuple[float, float]:
        limiter, order = _limiter(100), list[str]()
        for number in range(100):
            await _one(limiter, order, str(number))
        burst = virtual_clock()
        await _one(limiter, order, "next")
        return burst, virtual_clock()

    assert run_in_virtual_time(main()) == (0.0, WINDOW + SLACK_SECONDS)


def test_no_limit_never_waits() -> None:
    """A limit of 0 means none."""

    async def main() -> float:
        limiter = _limiter(0)
        for _ in range(1000):
            (await limiter.acquire()).release()
        return virtual_clock()

    assert run_in_virtual_time(main()) == 0.0


def test_writes_go_before_reads_and_otherwise_first_come_first_served() -> None:
    """What was asked for later goes earlier only if it writes, or finishes something half done."""

    async def main() -> list[str]:
        limiter, order = _limiter(0, concurrency=1), list[str]()
        held = await limiter.acquire()
        asked = [
            ("read 1", RequestPriority.READ),
            ("write 1", RequestPriority.WRITE),
            ("read 2", RequestPriority.READ),
            ("urgent", RequestPriority.URGENT),
            ("write 2", RequestPriority.WRITE),
        ]
        tasks = [asyncio.create_task(_one(limiter, order, name, priority)) for name, priority in asked]
        await asyncio.sleep(0)
        held.release()
        await asyncio.gather(*tasks)
        return order

    assert run_in_virtual_time(main()) == ["urgent", "write 1", "write 2", "read 1", "read 2"]


def test_a_pause_holds_everything_until_its_end() -> None:
    """After a 429 nothing is sent until the control plane's time has passed, and a shorter pause doesn't end a longer."""

    async def main() -> list[float]:
        limiter, at = _limiter(100), list[float]()
        limiter.pause(30)
        limiter.pause(10)
        for priority in (RequestPriority.READ, RequestPriority.WRITE):
            (await limiter.acquire(priority)).release()
            at.append(virtual_clock())
        return at

    assert run_in_virtual_time(main()) == [30.0, 30.0]


def test_what_waits_and_how_long_is_told_once_and_its_end_too() -> None:
    """A person sees how many requests wait, how long the first does and why; and that it is over."""
    told: list[WaitNotice] = []

    async def main() -> None:
        limiter, order = _limiter(1, told=told), list[str]()
        await _one(limiter, order, "first")
        await asyncio.sleep(20)
        await _one(limiter, order, "second")
        limiter.pause(90)
        await _one(limiter, order, "third")

    run_in_virtual_time(main())
    assert [(waiting.requests, round(waiting.seconds, 3), waiting.reason) for waiting in told] == [
        (1, 40 + SLACK_SECONDS, WaitReason.RATE_LIMIT),
        (0, 0.0, WaitReason.RATE_LIMIT),
        (1, 90.0, WaitReason.THROTTLED),
        (0, 0.0, WaitReason.RATE_LIMIT),
    ]


def test_a_reservation_gets_its_places_together_and_nothing_comes_between() -> None:
    """Both halves of a move have room before the first is sent, though others queue behind it."""

    async def main() -> list[tuple[str, float]]:
        limiter, events = _limiter(2), list[tuple[str, float]]()

        async def move() -> None:
            async with limiter.reserve(2) as reservation:
                for name in ("remove", "register"):
                    permit = reservation.take()
                    assert permit is not None
                    events.append((name, virtual_clock()))
                    await asyncio.sleep(1)
                    permit.release()
                assert reservation.take() is None

        async def read() -> None:
            permit = await limiter.acquire()
            events.append(("read", virtual_clock()))
            permit.release()

        await read()
        await asyncio.gather(move(), read(), read())
        return events

    due = WINDOW + SLACK_SECONDS
    events = run_in_virtual_time(main())
    assert [name for name, _ in events] == ["read", "remove", "register", "read", "read"]
    assert events[1:3] == [("remove", due), ("register", due + 1)]


def test_what_a_reservation_does_not_use_is_free_at_once() -> None:
    """A move that stops after its first half gives the other place back, and it costs no minute."""

    async def main() -> float:
        limiter = _limiter(2)
        async with limiter.reserve(2) as reservation:
            permit = reservation.take()
            assert permit is not None
            permit.release()
        (await limiter.acquire()).release()
        return virtual_clock()

    assert run_in_virtual_time(main()) == 0.0


def test_without_a_limit_a_reservation_waits_for_nothing() -> None:
    """No limit, no queue: both places are there."""

    async def main() -> int:
        async with _limiter(0).reserve(2) as reservation:
            return len(reservation.permits)

    assert run_in_virtual_time(main()) == 2


def test_more_than_the_limit_is_reserved_as_far_as_it_goes() -> None:
    """With one request a minute a move still happens, its second half later, instead of never."""

    async def main() -> int:
        limiter = _limiter(1)
        async with limiter.reserve(2) as reservation:
            return len(reservation.permits)

    assert run_in_virtual_time(main()) == 1


def test_what_never_left_takes_no_place() -> None:
    """A refused connection costs nothing of the budget, and a permit counts once however often it is released."""

    async def main() -> float:
        limiter = _limiter(1)
        permit = await limiter.acquire()
        permit.release(sent=False)
        permit.release()
        (await limiter.acquire()).release()
        return virtual_clock()

    assert run_in_virtual_time(main()) == 0.0


def test_a_request_under_way_holds_its_place_until_its_answer() -> None:
    """A slow answer keeps the place for a minute after it, since the server may have counted the request only then."""

    async def main() -> float:
        limiter = _limiter(1)
        permit = await limiter.acquire()
        second = asyncio.create_task(limiter.acquire())
        await asyncio.sleep(100)
        permit.release()
        (await second).release()
        return virtual_clock()

    assert run_in_virtual_time(main()) == 100 + WINDOW + SLACK_SECONDS


@dataclass
class _Cancelled:
    order: list[str] = field(default_factory=list)


def test_a_cancelled_waiter_leaves_no_trace() -> None:
    """A request that is cancelled in the queue, or in the moment of its admission, occupies no place."""

    async def main() -> list[str]:
        limiter, order = _limiter(0, concurrency=1), list[str]()
        held = await limiter.acquire()
        queued, admitted, last = (
            asyncio.create_task(_one(limiter, order, name)) for name in ("queued", "admitted", "last")
        )
        await asyncio.sleep(0)
        queued.cancel()
        await asyncio.sleep(0)
        held.release()  # lets "admitted" in, which hasn't run yet
        admitted.cancel()
        await asyncio.gather(queued, admitted, last, return_exceptions=True)
        return order

    assert run_in_virtual_time(main()) == ["last"]


def test_a_waiter_cancelled_together_with_a_release_is_passed_over() -> None:
    """A cancellation that hasn't been noticed yet doesn't swallow the place that becomes free."""

    async def main() -> list[str]:
        limiter, order = _limiter(0, concurrency=1), list[str]()
        held = await limiter.acquire()
        tasks = [asyncio.create_task(_one(limiter, order, name)) for name in ("cancelled", "next")]
        await asyncio.sleep(0)
        tasks[0].cancel()
        held.release()
        with pytest.raises(asyncio.CancelledError):
            await tasks[0]
        await tasks[1]
        return order

    assert run_in_virtual_time(main()) == ["next"]


def test_no_timer_outlives_its_waiters() -> None:
    """When the last one stops waiting for time, nothing of the limiter keeps running."""

    async def main() -> int:
        limiter = _limiter(1)
        (await limiter.acquire()).release()
        waiting = asyncio.create_task(limiter.acquire())
        await asyncio.sleep(1)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        await asyncio.sleep(0)
        return len(asyncio.all_tasks())

    assert run_in_virtual_time(main()) == 1
