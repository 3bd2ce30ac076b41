"""Calls: the request on the wire, the waits before retries, and the rate limit."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from itertools import pairwise
from types import MappingProxyType
from typing import Any

import httpx
import pytest
from tests.support.clients import KEY, client_of, connection_to
from tests.support.scripted_server import AfterReply, Reply, http_reply, json_reply, scripted_server
from tests.support.virtual_time import run_in_virtual_time, virtual_clock

from octosync.contract import Contract
from octosync.errors import OctosyncError, RemoteError, Unavailable
from octosync.octomil import (
    Connection,
    Octomil,
    RateLimiter,
    RateOptions,
    WaitNotice,
    WaitReason,
    read_apps,
    retry_after,
)
from octosync.server import ServerSettings, running_server


async def test_a_request_carries_the_key_the_org_and_its_parameters_and_nothing_else() -> None:
    """Every call names the org if it is configured. Parameters are percent-encoded, so each stays one path segment."""
    async with scripted_server(json_reply({})) as server:
        async with client_of(server.url, org="org 7") as client:
            await client.call("apps.get_slot", {"slug": "a", "capability": "x/../y z%"}, query={"limit": 5})
        async with client_of(server.url, token=None) as client:
            await client.call("apps.put_slot", {"slug": "a", "capability": "chat"}, body={"b": (1.5,), "a": "é"})
        first, second = server.received
    assert first.target == "/api/v1/apps/a/slots/x%2F..%2Fy%20z%25?limit=5&org_id=org+7"
    assert first.headers["authorization"] == f"Bearer {KEY}"
    assert first.headers["user-agent"].startswith("octosync/")
    assert first.body == b""
    assert "authorization" not in second.headers
    assert second.headers["content-type"] == "application/json"
    assert second.body == b'{"a":"\\u00e9","b":[1.5]}'


async def test_a_frozen_mapping_is_sent_as_an_object() -> None:
    """Model values, read-only mappings among them, are sent as the JSON that they represent."""
    async with scripted_server(http_reply(204)) as server, client_of(server.url) as client:
        body = {"policy": MappingProxyType({"routing_mode": "auto"})}
        response = await client.call("apps.put_slot", {"slug": "a", "capability": "chat"}, body=body)
        assert (response.status, response.body, response.request_id, response.request_ids) == (204, None, None, ())
        assert json.loads(server.received[0].body) == {"policy": {"routing_mode": "auto"}}


@pytest.mark.parametrize("value", ["", ".", ".."])
async def test_a_parameter_that_would_change_the_path_is_not_sent(value: str) -> None:
    """An id of `..` would delete the app instead of the target: no request is sent."""
    async with scripted_server(http_reply(204)) as server, client_of(server.url) as client:
        with pytest.raises(RemoteError, match="name-unusable"):
            await client.call("apps.delete_target", {"slug": "a", "target_id": value})
        assert server.connections == 0


async def test_an_overridden_operation_uses_the_configured_path() -> None:
    """`api.operations` replaces the method and the path of a call."""
    contract = Contract().overridden(operations={"apps.get": {"path": "/v2/app/{slug}"}})
    async with scripted_server(json_reply({})) as server, Octomil(connection_to(server.url), contract) as client:
        await client.call("apps.get", {"slug": "a"})
        assert server.lines == ["GET /api/v1/v2/app/a"]


async def test_connections_are_kept_and_bounded() -> None:
    """Requests share connections, at most as many as the concurrency, however many callers wait."""
    async with scripted_server(json_reply({})) as server, client_of(server.url, concurrency=3) as client:
        await asyncio.gather(*(client.call("apps.get", {"slug": str(number)}) for number in range(60)))
        assert len(server.received) == client.requests == 60
        assert server.connections <= 3


async def test_a_cancelled_call_releases_its_connection() -> None:
    """After a cancellation the client stays usable, even with a single connection."""
    async with (
        scripted_server(Reply(b"", AfterReply.HANG), json_reply({})) as server,
        client_of(server.url, concurrency=1) as client,
    ):
        hanging = asyncio.create_task(client.call("apps.get", {"slug": "a"}))
        await server.requested.wait()
        hanging.cancel()
        with pytest.raises(asyncio.CancelledError):
            await hanging
        assert (await client.call("apps.get", {"slug": "b"})).status == 200
        assert client.requests == 2


async def test_a_call_that_may_not_retry_fails_at_once() -> None:
    """If retries are disabled, the first failure of a call is its error."""
    async with scripted_server(http_reply(503), http_reply(200, "{}")) as server, client_of(server.url) as client:
        client.keep_trying_while(lambda: False)
        with pytest.raises(Unavailable) as raised:
            await client.background.call("apps.get", {"slug": "a"})
        assert raised.value.status == 503
        assert len(server.received) == 1
        assert (await client.call("apps.get", {"slug": "a"})).status == 200


async def test_a_call_that_waits_for_its_next_attempt_can_be_given_up() -> None:
    """The call sends nothing more and ends with its previous failure."""
    async with (
        scripted_server(http_reply(503), http_reply(200, "{}")) as server,
        client_of(server.url, backoff=0.01) as client,
    ):
        may_retry = iter((True, False))
        client.keep_trying_while(lambda: next(may_retry))
        with pytest.raises(Unavailable):
            await client.call("apps.get", {"slug": "a"})
        assert len(server.received) == 1


async def test_retries_do_not_write_to_stderr(capfd: pytest.CaptureFixture[str]) -> None:
    """The command shows waits itself, so a retry logs no warning to stderr."""
    async with scripted_server(http_reply(503), json_reply({})) as server, client_of(server.url) as client:
        await client.call("apps.get", {"slug": "a"})
    assert capfd.readouterr() == ("", "")


async def test_a_control_plane_with_the_same_limit_never_throttles_us() -> None:
    """As the server counts, in its own window and by its own clock, the limit is never exceeded."""
    with running_server(ServerSettings(rate_limit=5, rate_window_seconds=0.2)) as server:
        connection = connection_to(server.url, attempts=1)
        async with Octomil(connection, limiter=RateLimiter(5, window=0.2)) as client:
            await asyncio.gather(*(read_apps(client) for _ in range(18)))
            assert client.requests == 18


# In virtual time: the transport of httpx replaces the network.


def _replying(*responses: httpx.Response | Exception, log: list[float]) -> httpx.MockTransport:
    script = list(responses)

    def handle(_: httpx.Request) -> httpx.Response:
        log.append(virtual_clock())
        step = script.pop(0)
        if isinstance(step, Exception):
            raise step
        return step

    return httpx.MockTransport(handle)


def _in_virtual_time(
    use: Callable[[Octomil], Coroutine[Any, Any, Any]],
    *responses: httpx.Response | Exception,
    notices: list[WaitNotice] | None = None,
    **settings: Any,
) -> list[float]:
    """Run `use` against scripted responses. Return the time of each request."""
    log: list[float] = []

    async def main() -> None:
        connection = Connection(url="https://api.octomil.com", **settings)
        on_wait = None if notices is None else notices.append
        transport = _replying(*responses, log=log)
        async with Octomil(
            connection, rate=RateOptions(clock=virtual_clock), transport=transport, on_wait=on_wait
        ) as client:
            await use(client)

    run_in_virtual_time(main())
    return log


async def _get(client: Octomil) -> None:
    await client.call("apps.get", {"slug": "a"})


async def _put(client: Octomil) -> None:
    await client.call("apps.put_slot", {"slug": "a", "capability": "chat"}, body={})


@pytest.mark.parametrize("use", [_get, _put])
def test_a_429_is_retried_when_the_control_plane_allows_it(use: Callable[[Octomil], Coroutine[Any, Any, None]]) -> None:
    """`Retry-After` in seconds is honoured for writes as well: a throttled write certainly had no effect."""
    throttled = httpx.Response(429, headers={"Retry-After": "17"})
    assert _in_virtual_time(use, throttled, httpx.Response(204)) == [0.0, 17.0]


def test_a_429_delays_every_other_request() -> None:
    """If another client used up the limit, no request is sent before the named time."""

    async def use(client: Octomil) -> None:
        await asyncio.gather(_get(client), _get(client), _put(client))

    notices: list[WaitNotice] = []
    throttled = httpx.Response(429, headers={"Retry-After": "30"})
    ok = [httpx.Response(200, json={}) for _ in range(3)]
    assert _in_virtual_time(use, throttled, *ok, concurrency=1, notices=notices) == [0.0, 30.0, 30.0, 30.0]
    assert notices[0].reason is WaitReason.THROTTLED
    assert notices[0].seconds == 30.0


def test_a_429_without_a_time_backs_off() -> None:
    """Without `Retry-After` the pause is random and bounded."""
    sent = _in_virtual_time(_get, httpx.Response(429), httpx.Response(200, json={}))
    assert 0.0 <= sent[1] <= 1.0


def test_a_control_plane_that_requests_too_long_a_wait_ends_the_run() -> None:
    """A CI job does not wait for an hour: the error states the requested wait."""

    async def use(client: Octomil) -> None:
        with pytest.raises(Unavailable) as throttled:
            await _get(client)
        assert throttled.value.reference == "throttled"
        assert "wait 3600 s" in throttled.value.message
        assert not throttled.value.sent

    assert _in_virtual_time(use, httpx.Response(429, headers={"Retry-After": "3600"})) == [0.0]


def test_retry_after_as_a_date_is_honoured() -> None:
    """A date is compared with the date of the response itself, so that our clock may be wrong."""
    then = datetime(2030, 1, 1, 12, 0, 0, tzinfo=UTC)
    dates = {
        "Date": format_datetime(then, usegmt=True),
        "Retry-After": format_datetime(then + timedelta(seconds=40), usegmt=True),
    }
    assert _in_virtual_time(_get, httpx.Response(503, headers=dates), httpx.Response(200, json={})) == [0.0, 40.0]


def test_a_backoff_is_reported() -> None:
    """The user sees that a request will be retried, and when."""
    notices: list[WaitNotice] = []
    busy = httpx.Response(503, headers={"Retry-After": "5"})
    _in_virtual_time(_get, busy, httpx.Response(200, json={}), notices=notices)
    assert notices == [WaitNotice(1, 5.0, WaitReason.RETRY)]


def test_the_rate_limit_includes_retries() -> None:
    """Every attempt takes a place in the window, so retries can't exceed the limit."""
    sent = _in_virtual_time(
        _get, httpx.Response(503), httpx.Response(503), httpx.Response(200, json={}), requests_per_minute=1, backoff=0.0
    )
    assert all(later - earlier >= 60.0 for earlier, later in pairwise(sent))


def test_a_move_keeps_its_second_place_during_a_retry() -> None:
    """A first half that is retried does not take the place of the second half."""

    async def use(client: Octomil) -> None:
        async with client.reserve(2) as move:
            target = {"platform": "ios", "identifier": "x"}
            await client.call("apps.delete_target", {"slug": "a", "target_id": "t"}, within=move)
            await client.call("apps.create_target", {"slug": "b"}, body=target, within=move)

    busy = httpx.Response(429, headers={"Retry-After": "0"})
    sent = _in_virtual_time(
        use, busy, httpx.Response(204), httpx.Response(201, json={}), requests_per_minute=3, concurrency=1
    )
    assert sent == [0.0, 0.0, 0.0]


def test_an_attempt_that_was_never_sent_is_free() -> None:
    """A host that can't be reached costs nothing of the budget."""
    refused = httpx.ConnectError("refused")
    sent = _in_virtual_time(_put, refused, refused, httpx.Response(204), requests_per_minute=1)
    assert sent[-1] < 60.0


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("0", 0.0),
        (" 12 ", 12.0),
        ("-3", None),
        ("soon", None),
        ("", None),
        (None, None),
        ("1.5", None),
        ("9" * 400, 999999999.0),
        ("Mon, 01 Jan 99999999999999999999 00:00:00 GMT", None),
        ("Mon, 01 Jan 2024 00:00:00 +9999999999999999999", None),
    ],
)
def test_retry_after_is_read_in_seconds_or_ignored(value: str | None, seconds: float | None) -> None:
    """An invalid value counts as missing."""
    assert retry_after(value) == seconds


def test_a_date_without_a_date_of_the_response_uses_our_clock() -> None:
    """A date in the past means now. A future date means then."""
    ahead = format_datetime(datetime.now(UTC) + timedelta(seconds=100), usegmt=True)
    seconds = retry_after(ahead)
    assert seconds is not None
    assert 0.0 < seconds <= 100.0
    assert retry_after("Wed, 21 Oct 2015 07:28:00 GMT") == 0.0
    assert retry_after("Wed, 21 Oct 2015 07:28:00 -0000", "Wed, 21 Oct 2015 07:27:00 GMT") == 60.0


def test_the_error_after_all_attempts_is_the_last_one() -> None:
    """The final error is that of the last attempt."""

    async def use(client: Octomil) -> None:
        with pytest.raises(RemoteError) as last:
            await _get(client)
        assert last.value.status == 504

    responses = [httpx.Response(503), httpx.Response(504)]
    assert len(_in_virtual_time(use, *responses, attempts=2)) == 2


class _Lost(OctosyncError):
    """What a check raises."""


def _until(calls: int) -> Callable[[], None]:
    """Return a check that fails after this number of calls."""
    left = iter(range(calls))

    def check() -> None:
        if next(left, None) is None:
            raise _Lost("lease-lost", "another process leads")

    return check


def test_the_check_of_writes_precedes_every_attempt_after_its_wait() -> None:
    """A write that waited for a 429 is not sent any more once the check fails; its place in the budget is free again."""

    async def use(client: Octomil) -> None:
        client.guard_writes(_until(1))
        with pytest.raises(_Lost):
            await _put(client)
        client.guard_writes(None)
        await _put(client)

    throttled = httpx.Response(429, headers={"Retry-After": "17"})
    assert _in_virtual_time(use, throttled, httpx.Response(204), requests_per_minute=2) == [0.0, 17.0]


@pytest.mark.parametrize("calls", [1, 2])
async def test_a_check_that_fails_before_the_write_is_sent_keeps_it_from_being_sent(calls: int) -> None:
    """Connecting can take ten seconds, and a process may be suspended after it: the check is repeated before the first byte.

    Reads, previews too, need none.
    """
    async with scripted_server(json_reply({})) as server, client_of(server.url) as client:
        client.guard_writes(_until(calls))
        with pytest.raises(_Lost):
            await _put(client)
        await _get(client)
        await client.call("apps.capabilities.preview", {"slug": "a", "capability": "chat"}, body={})
        assert [line.split()[0] for line in server.lines] == ["GET", "POST"]
        assert client.requests == 2
