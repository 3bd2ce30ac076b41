"""Serving over a socket, within a loop that has other things to do."""

from __future__ import annotations

import asyncio
import signal
import socket
from contextlib import closing, suppress

import httpx
import pytest
from tests.support.controller_http import AUTHORIZED, web_options
from tests.support.controller_statuses import RecordingApi, busy_status

from octosync.errors import ConfigError, UsageError
from octosync.watch.web import bind, create_app, parse_listen, serve
from octosync.watch.web.server import Limits


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("127.0.0.1:9900", ("127.0.0.1", 9900)),
        ("0.0.0.0:0", ("0.0.0.0", 0)),  # noqa: S104 — as in a cluster
        ("localhost:80", ("localhost", 80)),
        ("[::1]:9900", ("::1", 9900)),
    ],
)
def test_where_to_listen_is_read(text: str, expected: tuple[str, int]) -> None:
    """HOST:PORT, IPv6 in brackets, port 0 for any."""
    assert parse_listen(text) == expected


@pytest.mark.parametrize("text", ["", "9900", ":9900", "localhost", "localhost:", "a:b", "::1:9900", "h:65536", "h:-1"])
def test_anything_else_is_refused_with_examples(text: str) -> None:
    """What is no HOST:PORT is a usage error that shows some."""
    with pytest.raises(UsageError) as refused:
        parse_listen(text)
    assert refused.value.reference == "listen-malformed"
    assert "127.0.0.1:9900" in refused.value.hints[0]


async def test_it_answers_on_any_free_port_until_its_block_ends() -> None:
    """Port 0 is a real one that is told; after the block nobody listens there any more."""
    with bind("127.0.0.1", 0) as listener:
        async with serve(create_app(web_options(RecordingApi(current=busy_status()))), listener) as served:
            assert not served.url.endswith(":0")
            async with httpx.AsyncClient(base_url=served.url) as client:
                answer = await client.get("/healthz")
                head = await client.head("/")
            assert (answer.status_code, answer.text) == (200, "ok\n")
            assert (head.status_code, head.content) == (200, b"")
            assert int(head.headers["content-length"]) > 1000
            assert "server" not in answer.headers
    async with httpx.AsyncClient() as client:
        with pytest.raises(httpx.ConnectError):
            await client.get(served.url)


async def test_signals_stay_with_the_controller() -> None:
    """Serving touches no signal handler: the controller finishes its writes before it stops."""
    before = [signal.getsignal(one) for one in (signal.SIGINT, signal.SIGTERM)]
    with bind("127.0.0.1", 0) as listener:
        async with serve(create_app(web_options(RecordingApi(current=busy_status()))), listener):
            during = [signal.getsignal(one) for one in (signal.SIGINT, signal.SIGTERM)]
    assert before == during


async def test_an_open_connection_does_not_hold_up_the_end() -> None:
    """A browser that keeps its connection open is let go when the controller stops."""
    with bind("127.0.0.1", 0) as listener:
        async with serve(create_app(web_options(RecordingApi(current=busy_status()))), listener) as served:
            host, _, port = served.url.removeprefix("http://").partition(":")
            reader, writer = await asyncio.open_connection(host, int(port))
            writer.write(b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
            assert (await reader.readline()).startswith(b"HTTP/1.1 200")
        assert (await reader.read()).endswith(b"ok\n")
        writer.close()


async def test_a_large_body_is_refused_unread() -> None:
    """A body that says it is endless is answered at once."""
    with bind("127.0.0.1", 0) as listener:
        async with serve(create_app(web_options(RecordingApi(current=busy_status()))), listener) as served:
            host, _, port = served.url.removeprefix("http://").partition(":")
            reader, writer = await asyncio.open_connection(host, int(port))
            head = f"POST /suspend HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: {AUTHORIZED['Authorization']}\r\n"
            writer.write(f"{head}Content-Length: 99999999999\r\n\r\n".encode())
            assert (await reader.readline()).startswith(b"HTTP/1.1 400")
            writer.close()


_BEGUN = b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n"


async def test_one_connection_too_many_ends_the_idlest_and_the_newest_is_answered() -> None:
    """Whoever opens connections without end takes no file from the requests to the control plane, and no probe its answer."""
    limits = Limits(connections=3)
    with bind("127.0.0.1", 0) as listener:
        async with serve(create_app(web_options(RecordingApi(current=busy_status()))), listener, limits) as served:
            host, _, port = served.url.removeprefix("http://").partition(":")
            begun = []
            for _ in range(limits.connections):
                reader, writer = await asyncio.open_connection(host, int(port))
                writer.write(_BEGUN)
                begun.append((reader, writer))
            async with httpx.AsyncClient(base_url=served.url) as client:
                assert (await client.get("/healthz")).status_code == 200
            assert await asyncio.wait_for(begun[0][0].read(), 10) == b""
            for reader, writer in begun[1:]:
                writer.write(b"\r\n")
                assert (await reader.readline()).startswith(b"HTTP/1.1 200")
            await _closed(*(writer for _, writer in begun))


async def test_many_connections_at_the_same_moment_are_no_more_than_may_be() -> None:
    """They are counted as they come, not once the loop has got round to closing those that had to go."""
    limits = Limits(connections=3)
    with bind("127.0.0.1", 0) as listener:
        async with serve(create_app(web_options(RecordingApi(current=busy_status()))), listener, limits) as served:
            host, _, port = served.url.removeprefix("http://").partition(":")
            opened = await asyncio.gather(*(asyncio.open_connection(host, int(port)) for _ in range(30)))
            ended = asyncio.as_completed([reader.read() for reader, _ in opened], timeout=10)
            for _ in range(len(opened) - limits.connections):
                assert await next(ended) == b""
            await _closed(*(writer for _, writer in opened))
            for one in ended:
                await one


async def test_a_request_that_never_ends_is_let_go_and_a_connection_that_was_answered_is_not() -> None:
    """A request that comes byte by byte has as long as any other; between two requests that time doesn't run."""
    with bind("127.0.0.1", 0) as listener:
        async with serve(
            create_app(web_options(RecordingApi(current=busy_status()))), listener, Limits(seconds=0.2)
        ) as served:
            host, _, port = served.url.removeprefix("http://").partition(":")
            answered, asks = await asyncio.open_connection(host, int(port))
            asks.write(_BEGUN + b"\r\n")
            assert (await answered.readuntil(b"ok\n")).startswith(b"HTTP/1.1 200")
            for begun in (b"", _BEGUN):
                slow, begins = await asyncio.open_connection(host, int(port))
                begins.write(begun)
                assert await asyncio.wait_for(slow.read(), 10) == b""
                await _closed(begins)
            asks.write(_BEGUN + b"\r\n")
            assert (await answered.readuntil(b"ok\n")).startswith(b"HTTP/1.1 200")
            await _closed(asks)


async def _closed(*writers: asyncio.StreamWriter) -> None:
    for writer in writers:
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()


def test_a_taken_port_is_an_error_that_says_so() -> None:
    """Before anything else begins: which address, why, and what to do."""
    with closing(socket.create_server(("127.0.0.1", 0))) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ConfigError) as refused, bind("127.0.0.1", port):
            pass
    assert refused.value.reference == "address-unavailable"
    assert f"127.0.0.1 port {port}" in refused.value.message
    assert "--listen" in refused.value.hints[0]
