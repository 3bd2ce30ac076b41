"""The background view of a client: the same control plane, with reads of low priority."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import httpx
import pytest
from tests.support.clients import client_of, connection_to
from tests.support.scripted_server import json_reply, scripted_server
from tests.support.virtual_time import run_in_virtual_time, run_ready_tasks, virtual_clock

from octosync.octomil import PERCENT_FOR_WRITES, Connection, Octomil, RateLimiter, RateOptions, read_org_events
from octosync.server import ServerSettings, running_server

DUE = 60.05


def _sent(
    use: Callable[[Octomil], Coroutine[Any, Any, None]],
    *statuses: int,
    seconds: float = 0.0,
    percent_for_writes: int = PERCENT_FOR_WRITES,
    **settings: Any,
) -> list[tuple[str, float]]:
    """Run `use` against responses with these statuses, then 200, each after a delay in seconds.

    Return each request with its time.
    """
    log: list[tuple[str, float]] = []
    script = list(statuses)

    async def handle(request: httpx.Request) -> httpx.Response:
        log.append((request.url.path.rpartition("/")[2], virtual_clock()))
        await asyncio.sleep(seconds)
        return httpx.Response(script.pop(0) if script else 200, json={})

    async def main() -> None:
        connection = Connection(url="https://api.octomil.com", **settings)
        transport = httpx.MockTransport(handle)
        async with Octomil(
            connection,
            rate=RateOptions(clock=virtual_clock, percent_for_writes=percent_for_writes),
            transport=transport,
        ) as client:
            await use(client)

    run_in_virtual_time(main())
    return log


async def _read(client: Octomil, slug: str = "a") -> None:
    await client.call("apps.get", {"slug": slug})


async def _write(client: Octomil, capability: str = "chat") -> None:
    await client.call("apps.put_slot", {"slug": "a", "capability": capability}, body={})


def test_background_reads_use_six_tenths_of_the_limit_and_go_last() -> None:
    """Of ten reads of a resync, six are sent, then the later read of a changed app, then the other four."""

    async def use(client: Octomil) -> None:
        reread = asyncio.gather(*(_read(client.background, f"old-{number}") for number in range(10)))
        await run_ready_tasks()
        await _read(client, "changed")
        await reread

    sent = _sent(use, requests_per_minute=10)
    assert [at for _, at in sent] == [0.0] * 7 + [DUE] * 4
    assert sent[6] == ("changed", 0.0)


def test_a_retried_read_stays_in_the_background() -> None:
    """A retry of a background read never uses the share of others: if its own share is used up, it waits."""

    async def use(client: Octomil) -> None:
        await asyncio.gather(*(_read(client.background, f"{number}") for number in range(6)))

    sent = _sent(use, 503, requests_per_minute=10, backoff=0.0)
    assert [at for _, at in sent] == [0.0] * 6 + [DUE]


def test_a_write_through_the_background_view_has_normal_priority() -> None:
    """Reverts that follow from a resync are written at once, however much of the limit the reads used."""

    async def use(client: Octomil) -> None:
        await asyncio.gather(*(_read(client.background, f"{number}") for number in range(6)))
        await asyncio.gather(*(_read(client, f"{number}") for number in range(3)))
        await _write(client.background)

    assert _sent(use, requests_per_minute=10)[-1] == ("chat", 0.0)


def test_background_reads_leave_a_connection_to_others() -> None:
    """Slow responses to a resync do not delay the read of a changed app."""

    async def use(client: Octomil) -> None:
        reread = asyncio.gather(*(_read(client.background, f"{number}") for number in range(5)))
        await asyncio.sleep(1)
        await _read(client, "changed")
        await reread

    sent = _sent(use, seconds=10.0, concurrency=4, requests_per_minute=0)
    assert sent == [("0", 0.0), ("1", 0.0), ("changed", 1.0), ("2", 10.0), ("3", 10.0), ("4", 20.0)]


def test_a_client_without_a_share_for_writes_reads_with_its_whole_limit() -> None:
    """Plan and apply have no background reads, so their reads may use the whole limit."""

    async def use(client: Octomil) -> None:
        await asyncio.gather(*(_read(client, f"{number}") for number in range(100)))

    assert {at for _, at in _sent(use, percent_for_writes=0, requests_per_minute=100)} == {0.0}


async def test_views_share_one_connection_pool_and_count_their_own_requests() -> None:
    """All views share the connections, the key and the contract. `requests` counts the requests of one view."""
    async with scripted_server(json_reply({})) as server:
        async with client_of(server.url, org="org") as client:
            background = client.background
            assert background is client.background is background.background
            assert (background.connection, background.contract) == (client.connection, client.contract)
            for view in (client, background, background):
                await _read(view)
            assert (client.requests, background.requests, server.connections) == (1, 2, 1)
        with pytest.raises(RuntimeError, match="not open"):
            await _read(background)


async def test_requests_that_wait_when_the_client_closes_fail() -> None:
    """No request hangs when its client is closed."""
    queued = asyncio.Event()
    async with scripted_server(json_reply({})) as server:
        connection = connection_to(server.url, requests_per_minute=1)
        async with Octomil(connection, on_wait=lambda _: queued.set()) as client:
            await _read(client)
            waiting = asyncio.create_task(_read(client.background))
            await queued.wait()
        with pytest.raises(RuntimeError, match="closed"):
            await waiting


@pytest.mark.parametrize("events", [0, 1, 100, 250])
async def test_a_poll_of_the_feed_is_one_request(events: int) -> None:
    """Whatever the size and the growth of the org's feed, a poll costs one request."""
    listed = [{"id": f"e{number}", "type": "app.updated"} for number in range(events)]
    body = {"events": listed, "total": 10_000, "limit": 100, "offset": 0}
    async with scripted_server(json_reply(body)) as server, client_of(server.url) as client:
        page = await read_org_events(client, limit=100)
        assert len(page.events) == events
        assert server.lines == ["GET /api/v1/activity?limit=100&offset=0"]


async def test_a_control_plane_counts_both_views_as_one_client() -> None:
    """Foreground and background requests together stay within the limit of the server, which never returns 429."""
    with running_server(ServerSettings(rate_limit=6, rate_window_seconds=0.2)) as server:
        connection = connection_to(server.url, attempts=1)
        async with Octomil(connection, limiter=RateLimiter(6, window=0.2)) as client:
            calls = (
                client.call("apps.list") if number % 3 else client.background.call("apps.list") for number in range(15)
            )
            await asyncio.gather(*calls)
            assert client.requests + client.background.requests == 15


def test_patient_writes_leave_room_for_others() -> None:
    """Of ten patient writes before a change, eight are sent. The change is read and written next, and the rest follow."""

    async def use(client: Octomil) -> None:
        filling = asyncio.gather(*(_write(client.patient, f"old-{number}") for number in range(10)))
        await run_ready_tasks()
        await _read(client, "changed")
        await _write(client, "changed-too")
        await filling

    sent = _sent(use, requests_per_minute=10)
    assert [name for name, at in sent if at == 0.0][-2:] == ["changed", "changed-too"]
    assert [at for _, at in sent] == [0.0] * 10 + [DUE] * 2


def test_a_patient_reservation_uses_the_share_of_patient_writes() -> None:
    """A patient write that was reserved together with its read waits like any other patient write, and is sent."""

    async def use(client: Octomil) -> None:
        for number in range(5):
            async with client.patient.reserve(2) as within:
                for _ in range(2):
                    await client.patient.call(
                        "apps.put_slot", {"slug": "a", "capability": f"old-{number}"}, body={}, within=within
                    )
        await _write(client, "changed")

    sent = _sent(use, requests_per_minute=10)
    assert [at for _, at in sent] == [0.0] * 8 + [DUE] * 3


def test_a_patient_reservation_larger_than_its_share_is_still_sent() -> None:
    """At a limit of one request per minute both requests of a move are sent, one after the other."""

    async def use(client: Octomil) -> None:
        async with client.patient.reserve(2) as within:
            for name in ("first", "second"):
                await client.patient.call("apps.put_slot", {"slug": "a", "capability": name}, body={}, within=within)

    assert [name for name, _ in _sent(use, requests_per_minute=1)] == ["first", "second"]
