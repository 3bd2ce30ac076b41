"""The rate limiter: an exact sliding window, with priorities, pauses and reservations."""

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


def _limiter(limit: int, concurrency: int = 1000, notices: list[WaitNotice] | None = None) -> RateLimiter:
    return RateLimiter(
        limit, concurrency=concurrency, clock=virtual_clock, on_wait=None if notices is None else notices.append
    )


def _most_in_any_window(times: list[float]) -> int:
    return max((sum(1 for time in times if start <= time < start + WINDOW) for start in times), default=0)


@dataclass
class _Load:
    """One request of a schedule: its time, and how long the request and the response travel."""

    wanted_at: float
    request_seconds: float
    response_seconds: float


_loads = st.lists(
    st.builds(_Load, st.floats(0, 200), st.floats(0, 20), st.floats(0, 20)),
    min_size=1,
    max_size=40,
)


@given(loads=_loads, limit=st.integers(1, 8), concurrency=st.integers(1, 6))
@examples(150)
def test_no_window_of_a_minute_ever_holds_more_than_the_limit(loads: list[_Load], limit: int, concurrency: int) -> None:
    """However requests arrive and travel, no 60 s contain more than N, neither at the client nor at the server."""
    sent: list[float] = []
    arrived: list[float] = []
    in_progress = [0, 0]

    async def request(limiter: RateLimiter, load: _Load) -> None:
        await asyncio.sleep(load.wanted_at)
        permit = await limiter.acquire()
        in_progress[0] += 1
        in_progress[1] = max(in_progress)
        sent.append(virtual_clock())
        await asyncio.sleep(load.request_seconds)
        arrived.append(virtual_clock())
        await asyncio.sleep(load.response_seconds)
        in_progress[0] -= 1
        permit.release()

    async def main() -> None:
        limiter = _limiter(limit, concurrency)
        await asyncio.gather(*(request(limiter, load) for load in loads))

    run_in_virtual_time(main())
    assert len(arrived) == len(loads)
    assert _most_in_any_window(sent) <= limit
    assert _most_in_any_window(sorted(arrived)) <= limit
    assert in_progress[1] <= concurrency


async def _acquire(
    limiter: RateLimiter, order: list[str], name: str, priority: RequestPriority = RequestPriority.READ
) -> None:
    permit = await limiter.acquire(priority)
    order.append(name)
    permit.release()


def test_the_whole_budget_is_available_at_once() -> None:
    """The first N requests are not delayed. The next one is sent as soon as the window allows it."""

    async def main() -> tuple[float, float]:
        limiter, order = _limiter(100), list[str]()
        for number in range(100):
            await _acquire(limiter, order, str(number))
        burst = virtual_clock()
        await _acquire(limiter, order, "next")
        return burst, virtual_clock()

    assert run_in_virtual_time(main()) == (0.0, WINDOW + SLACK_SECONDS)


@given(
    limit=st.integers(1, 8),
    sent=st.integers(0, 20),
    later=st.floats(0, 200),
    more=st.integers(1, 30),
    pause=st.booleans(),
)
@examples(150)
def test_the_estimated_wait_is_the_wait(limit: int, sent: int, later: float, more: int, pause: bool) -> None:
    """After any requests, the estimate for more of them is when the last of them is admitted."""

    async def main() -> tuple[float, float]:
        limiter, order = _limiter(limit), list[str]()
        for number in range(sent):
            await _acquire(limiter, order, str(number))
        await asyncio.sleep(later)
        if pause:
            limiter.pause(30)
        start, estimated = virtual_clock(), limiter.seconds_for(more)
        for number in range(more):
            await _acquire(limiter, order, str(number))
        return estimated, virtual_clock() - start

    estimated, waited = run_in_virtual_time(main())
    if not pause:
        assert estimated == pytest.approx(waited)
    else:
        assert 30 - 1e-6 <= estimated <= waited + 1e-6


def test_requests_in_flight_are_part_of_the_estimate() -> None:
    """They have a place already, and it is free a window after the response at the earliest."""

    async def main() -> tuple[float, float]:
        limiter = _limiter(2)
        permit = await limiter.acquire()
        estimates = limiter.seconds_for(2), limiter.seconds_for(3)
        permit.release()
        return estimates

    assert run_in_virtual_time(main()) == (0.0, WINDOW + SLACK_SECONDS)


def test_no_limit_never_waits() -> None:
    """A limit of 0 means no limit."""

    async def main() -> float:
        limiter = _limiter(0)
        for _ in range(1000):
            (await limiter.acquire()).release()
        return virtual_clock()

    assert run_in_virtual_time(main()) == 0.0


def test_writes_go_before_reads_and_otherwise_first_come_first_served() -> None:
    """A later request overtakes only if it is a write, or completes a pair that has begun."""

    async def main() -> list[str]:
        limiter, order = _limiter(0, concurrency=1), list[str]()
        permit = await limiter.acquire()
        requests = [
            ("read 1", RequestPriority.READ),
            ("write 1", RequestPriority.WRITE),
            ("read 2", RequestPriority.READ),
            ("urgent", RequestPriority.URGENT),
            ("write 2", RequestPriority.WRITE),
        ]
        tasks = [asyncio.create_task(_acquire(limiter, order, name, priority)) for name, priority in requests]
        await asyncio.sleep(0)
        permit.release()
        await asyncio.gather(*tasks)
        return order

    assert run_in_virtual_time(main()) == ["urgent", "write 1", "write 2", "read 1", "read 2"]


def test_a_pause_delays_everything_until_its_end() -> None:
    """After a 429 nothing is sent until the requested time has passed. A shorter pause does not end a longer one."""

    async def main() -> list[float]:
        limiter, at = _limiter(100), list[float]()
        limiter.pause(30)
        limiter.pause(10)
        for priority in (RequestPriority.READ, RequestPriority.WRITE):
            (await limiter.acquire(priority)).release()
            at.append(virtual_clock())
        return at

    assert run_in_virtual_time(main()) == [30.0, 30.0]


def test_a_wait_and_its_end_are_reported_once() -> None:
    """The user sees how many requests wait, how long the first one waits and why, and that the wait is over."""
    notices: list[WaitNotice] = []

    async def main() -> None:
        limiter, order = _limiter(1, notices=notices), list[str]()
        await _acquire(limiter, order, "first")
        await asyncio.sleep(20)
        await _acquire(limiter, order, "second")
        limiter.pause(90)
        await _acquire(limiter, order, "third")

    run_in_virtual_time(main())
    assert [(waiting.requests, round(waiting.seconds, 3), waiting.reason) for waiting in notices] == [
        (1, 40 + SLACK_SECONDS, WaitReason.RATE_LIMIT),
        (0, 0.0, WaitReason.RATE_LIMIT),
        (1, 90.0, WaitReason.THROTTLED),
        (0, 0.0, WaitReason.RATE_LIMIT),
    ]


def test_the_places_of_a_reservation_are_granted_together() -> None:
    """Both halves of a move have a place before the first is sent, even if other requests queue behind it."""

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


def test_unused_places_of_a_reservation_are_free_at_once() -> None:
    """A move that ends after its first half returns the other place immediately."""

    async def main() -> float:
        limiter = _limiter(2)
        async with limiter.reserve(2) as reservation:
            permit = reservation.take()
            assert permit is not None
            permit.release()
        (await limiter.acquire()).release()
        return virtual_clock()

    assert run_in_virtual_time(main()) == 0.0


def test_without_a_limit_a_reservation_never_waits() -> None:
    """Without a limit there is no queue, and both places are available."""

    async def main() -> int:
        async with _limiter(0).reserve(2) as reservation:
            return len(reservation.permits)

    assert run_in_virtual_time(main()) == 2


def test_a_reservation_above_the_limit_gets_what_is_possible() -> None:
    """At one request per minute a move is still made, with its second half later."""

    async def main() -> int:
        limiter = _limiter(1)
        async with limiter.reserve(2) as reservation:
            return len(reservation.permits)

    assert run_in_virtual_time(main()) == 1


def test_an_unsent_request_takes_no_place() -> None:
    """A refused connection costs nothing of the budget, and a permit is released once, however often `release` is called."""

    async def main() -> float:
        limiter = _limiter(1)
        permit = await limiter.acquire()
        permit.release(sent=False)
        permit.release()
        (await limiter.acquire()).release()
        return virtual_clock()

    assert run_in_virtual_time(main()) == 0.0


def test_a_request_in_progress_holds_its_place_until_its_response() -> None:
    """A place is held for a minute after a slow response, since the server may have counted the request only then."""

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


def test_a_cancelled_waiter_holds_no_place() -> None:
    """A request that is cancelled in the queue, or at the moment of its admission, occupies no place."""

    async def main() -> list[str]:
        limiter, order = _limiter(0, concurrency=1), list[str]()
        permit = await limiter.acquire()
        queued, admitted, last = (
            asyncio.create_task(_acquire(limiter, order, name)) for name in ("queued", "admitted", "last")
        )
        await asyncio.sleep(0)
        queued.cancel()
        await asyncio.sleep(0)
        permit.release()  # admits "admitted", which has not run yet
        admitted.cancel()
        await asyncio.gather(queued, admitted, last, return_exceptions=True)
        return order

    assert run_in_virtual_time(main()) == ["last"]


def test_a_waiter_cancelled_together_with_a_release_is_passed_over() -> None:
    """A cancellation that was not noticed yet does not consume the place that becomes free."""

    async def main() -> list[str]:
        limiter, order = _limiter(0, concurrency=1), list[str]()
        permit = await limiter.acquire()
        tasks = [asyncio.create_task(_acquire(limiter, order, name)) for name in ("cancelled", "next")]
        await asyncio.sleep(0)
        tasks[0].cancel()
        permit.release()
        with pytest.raises(asyncio.CancelledError):
            await tasks[0]
        await tasks[1]
        return order

    assert run_in_virtual_time(main()) == ["next"]


def test_no_timer_outlives_its_waiters() -> None:
    """When the last waiter is gone, no timer of the limiter is left."""

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
