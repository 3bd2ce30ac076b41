"""Serving over a socket, within a loop that has other things to do."""

from __future__ import annotations

import asyncio
import signal
import socket
from contextlib import closing

import httpx
import pytest
from tests.support.serving import AUTHORIZED, source_of
from tests.support.standings import Noting, busy_standing

from octosync.errors import ConfigError, UsageError
from octosync.watch.web import create_app, listening, parse_listen, serving


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
    with listening("127.0.0.1", 0) as listener:
        async with serving(create_app(source_of(Noting(said=busy_standing()))), listener) as served:
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
    with listening("127.0.0.1", 0) as listener:
        async with serving(create_app(source_of(Noting(said=busy_standing()))), listener):
            during = [signal.getsignal(one) for one in (signal.SIGINT, signal.SIGTERM)]
    assert before == during


async def test_an_open_connection_does_not_hold_up_the_end() -> None:
    """A browser that keeps its connection open is let go when the controller stops."""
    with listening("127.0.0.1", 0) as listener:
        async with serving(create_app(source_of(Noting(said=busy_standing()))), listener) as served:
            host, _, port = served.url.removeprefix("http://").partition(":")
            reader, writer = await asyncio.open_connection(host, int(port))
            writer.write(b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
            assert (await reader.readline()).startswith(b"HTTP/1.1 200")
        assert (await reader.read()).endswith(b"ok\n")
        writer.close()


async def test_a_large_body_is_refused_unread() -> None:
    """A body that says it is endless is answered at once."""
    with listening("127.0.0.1", 0) as listener:
        async with serving(create_app(source_of(Noting(said=busy_standing()))), listener) as served:
            host, _, port = served.url.removeprefix("http://").partition(":")
            reader, writer = await asyncio.open_connection(host, int(port))
            head = f"POST /suspend HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: {AUTHORIZED['Authorization']}\r\n"
            writer.write(f"{head}Content-Length: 99999999999\r\n\r\n".encode())
            assert (await reader.readline()).startswith(b"HTTP/1.1 400")
            writer.close()


def test_a_taken_port_is_an_error_that_says_so() -> None:
    """Before anything else begins: which address, why, and what to do."""
    with closing(socket.create_server(("127.0.0.1", 0))) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ConfigError) as refused, listening("127.0.0.1", port):
            pass
    assert refused.value.reference == "address-unavailable"
    assert f"127.0.0.1 port {port}" in refused.value.message
    assert "--listen" in refused.value.hints[0]
