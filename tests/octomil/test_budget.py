"""The report of each request, and the request budget."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import httpx
import pytest
from tests.support.clients import KEY, connection_to
from tests.support.scripted_server import AfterReply, Reply, http_reply, json_reply, scripted_server
from tests.support.virtual_time import run_in_virtual_time, run_ready_tasks, virtual_clock

from octosync.errors import OctosyncError
from octosync.octomil import Budget, Connection, Octomil, RateLimiter, RateOptions, RequestPriority, SentRequest

WINDOW = 60.05


def _codes(reports: list[SentRequest]) -> list[tuple[str, str]]:
    return [(request.operation, request.code) for request in reports]


def _reporting_client(url: str, reports: list[SentRequest], **settings: Any) -> Octomil:
    return Octomil(connection_to(url, **settings), on_request=reports.append)


async def test_every_attempt_is_reported_with_its_operation_and_status() -> None:
    """A retry counts as a request. Reads are marked as background, writes are not."""
    reports: list[SentRequest] = []
    async with (
        scripted_server(http_reply(503), json_reply({}), json_reply({}, 404), json_reply({})) as server,
        _reporting_client(server.url, reports) as client,
    ):
        await client.call("apps.get", {"slug": "a"})
        with pytest.raises(OctosyncError):
            await client.background.call("apps.get", {"slug": "b"})
        await client.background.call("apps.put_slot", {"slug": "a", "capability": "chat"}, body={})
    codes = [("apps.get", "503"), ("apps.get", "200"), ("apps.get", "404"), ("apps.put_slot", "200")]
    assert _codes(reports) == codes
    assert [request.background for request in reports] == [False, False, True, False]
    assert all(request.seconds >= 0.0 for request in reports)


@pytest.mark.parametrize(
    ("reply", "code"),
    [
        (Reply(b"", AfterReply.CLOSE), "connection-lost"),
        (Reply(b"no HTTP\r\n\r\n", AfterReply.CLOSE), "not-http"),
        (Reply(b"", AfterReply.HANG), "answer-timed-out"),
        (http_reply(200, "no JSON"), "unreadable-answer"),
    ],
)
async def test_a_lost_response_is_reported_by_its_error_reference(reply: Reply, code: str) -> None:
    """Without a status, the code is the error reference, from a small fixed set."""
    reports: list[SentRequest] = []
    async with (
        scripted_server(reply) as server,
        _reporting_client(server.url, reports, attempts=1, response_timeout=0.1, connect_timeout=0.1) as client,
    ):
        with pytest.raises(OctosyncError):
            await client.call("apps.get", {"slug": "a"})
    assert _codes(reports) == [("apps.get", code)]


async def test_an_unreachable_host_and_a_cancelled_request_are_reported() -> None:
    """A request that was never sent is counted with the reason, a cancelled one as cancelled."""
    reports: list[SentRequest] = []
    async with _reporting_client("http://127.0.0.1:1", reports, attempts=1) as client:
        with pytest.raises(OctosyncError):
            await client.call("apps.get", {"slug": "a"})
        assert client.requests == 0
    async with scripted_server(Reply(b"", AfterReply.HANG)) as server, _reporting_client(server.url, reports) as client:
        hanging = asyncio.create_task(client.call("apps.get", {"slug": "a"}))
        await server.requested.wait()
        hanging.cancel()
        with pytest.raises(asyncio.CancelledError):
            await hanging
    assert [request.code for request in reports] == ["connection-refused", "cancelled"]


async def test_reports_contain_no_sent_or_returned_values() -> None:
    """A report has no path, no body and no key: only an operation id, a code and a duration."""
    reports: list[SentRequest] = []
    async with (
        scripted_server(json_reply({"code": KEY, "message": "hunter2000"}, 422)) as server,
        _reporting_client(server.url, reports) as client,
    ):
        with pytest.raises(OctosyncError):
            await client.call("apps.put_slot", {"slug": "secret-app", "capability": "chat"}, body={"key": "hunter2000"})
    assert not any(word in repr(reports) for word in (KEY, "hunter2000", "secret-app", "127.0.0.1"))


# The budget.


def _in_virtual_time(use: Callable[[RateLimiter], Coroutine[Any, Any, list[Budget]]], limit: int = 10) -> list[Budget]:
    async def main() -> list[Budget]:
        return await use(RateLimiter(limit, clock=virtual_clock))

    return run_in_virtual_time(main())


def test_the_budget_counts_requests_in_progress_and_in_the_window() -> None:
    """The budget has used and free places and the part of the background. It is full again after one window."""

    async def use(limiter: RateLimiter) -> list[Budget]:
        seen = [limiter.budget]
        permits = [
            await limiter.acquire(priority)
            for priority in (RequestPriority.READ, RequestPriority.BACKGROUND, RequestPriority.BACKGROUND)
        ]
        seen.append(limiter.budget)
        permits.pop().release()
        permits.pop().release(sent=False)
        seen.append(limiter.budget)
        permits.pop().release()
        await asyncio.sleep(WINDOW + 0.01)
        return [*seen, limiter.budget]

    seen = _in_virtual_time(use)
    assert [(budget.used, budget.remaining, budget.background_used) for budget in seen] == [
        (0, 10, 0),
        (3, 7, 2),
        (2, 8, 1),
        (0, 10, 0),
    ]
    assert {(budget.limit, budget.background_limit, budget.free_in, budget.throttled_for) for budget in seen} == {
        (10, 6, 0.0, 0.0)
    }


def test_the_budget_knows_when_the_next_place_is_free() -> None:
    """The next place is free at once, in some seconds, or at an unknown time that depends on a response."""

    async def use(limiter: RateLimiter) -> list[Budget]:
        permits = [await limiter.acquire(), await limiter.acquire()]
        seen = [limiter.budget]
        permits.pop().release()
        await asyncio.sleep(20)
        return [*seen, limiter.budget]

    waiting, answered = _in_virtual_time(use, limit=2)
    assert waiting.free_in is None
    assert answered.free_in == pytest.approx(WINDOW - 20)
    assert waiting.remaining == answered.remaining == 0


def test_throttled_time_is_counted_once_and_only_grows() -> None:
    """The metric counts the elapsed seconds in which the control plane allowed no requests, overlapping ones once."""

    async def use(limiter: RateLimiter) -> list[Budget]:
        seen = [limiter.budget]
        limiter.pause(30)
        await asyncio.sleep(10)
        limiter.pause(5)
        limiter.pause(40)
        seen.append(limiter.budget)
        await asyncio.sleep(100)
        seen.append(limiter.budget)
        limiter.pause(7)
        limiter.pause(0)
        await asyncio.sleep(8)
        return [*seen, limiter.budget]

    seen = _in_virtual_time(use)
    assert [budget.throttled_seconds_total for budget in seen] == [0.0, 10.0, 50.0, 57.0]
    assert [budget.throttled_for for budget in seen] == [0.0, 40.0, 0.0, 0.0]


def test_without_a_limit_nothing_is_counted() -> None:
    """Without a limit no place is ever used. The time of pauses is still counted."""

    async def use(limiter: RateLimiter) -> list[Budget]:
        for _ in range(3):
            (await limiter.acquire(RequestPriority.BACKGROUND)).release()
        limiter.pause(5)
        return [limiter.budget]

    (budget,) = _in_virtual_time(use, limit=0)
    assert budget == Budget(limit=0, throttled_for=5.0)


def test_a_client_reports_its_budget_including_a_429() -> None:
    """All views of a client share one budget, and `Retry-After` counts as throttled time."""
    seen: list[Budget] = []
    script = [httpx.Response(429, headers={"Retry-After": "17"}), *(httpx.Response(200, json={}) for _ in range(2))]

    async def main() -> None:
        connection = Connection(url="https://api.octomil.com", requests_per_minute=10)
        transport = httpx.MockTransport(lambda _: script.pop(0))
        async with Octomil(connection, rate=RateOptions(clock=virtual_clock), transport=transport) as client:
            reading = asyncio.create_task(client.background.call("apps.get", {"slug": "a"}))
            await run_ready_tasks()
            seen.append(client.budget)
            await reading
            await client.call("apps.get", {"slug": "a"})
            seen.append(client.background.budget)

    run_in_virtual_time(main())
    assert [(budget.used, budget.background_used) for budget in seen] == [(1, 1), (3, 2)]
    assert [budget.throttled_seconds_total for budget in seen] == [0.0, 17.0]
