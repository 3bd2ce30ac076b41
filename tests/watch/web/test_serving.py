"""Serving over a socket, in an event loop with other tasks."""

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
from octosync.watch.web.server import Limits, advertised_address, parse_advertised


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("127.0.0.1:9900", ("127.0.0.1", 9900)),
        ("0.0.0.0:0", ("0.0.0.0", 0)),  # noqa: S104 — as in a cluster
        ("localhost:80", ("localhost", 80)),
        ("[::1]:9900", ("::1", 9900)),
    ],
)
def test_the_listen_address_is_parsed(text: str, expected: tuple[str, int]) -> None:
    """HOST:PORT, with IPv6 in brackets and port 0 for any free one."""
    assert parse_listen(text) == expected


@pytest.mark.parametrize("text", ["", "9900", ":9900", "localhost", "localhost:", "a:b", "::1:9900", "h:65536", "h:-1"])
def test_a_malformed_address_is_rejected_with_examples(text: str) -> None:
    """Text that is not HOST:PORT is a usage error with examples."""
    with pytest.raises(UsageError) as caught:
        parse_listen(text)
    assert caught.value.reference == "listen-malformed"
    assert "127.0.0.1:9900" in caught.value.hints[0]


@pytest.mark.parametrize("text", ["10.1.2.3:9900", "[2001:db8::7]:9900", "octosync-0.octosync.svc:9900"])
def test_the_advertised_address_is_a_host_and_a_port(text: str) -> None:
    """It is passed on as it is given, but for the brackets of an IPv6 address, which Kubernetes leaves out."""
    assert parse_advertised(text) == text
    assert parse_advertised(text.replace("[", "").replace("]", "")) == text


@pytest.mark.parametrize(
    "text", ["", "10.1.2.3", "10.1.2.3:0", "0.0.0.0:9900", "[::]:9900", ":::9900", "http://a:80", "a b:80", "é:80"]
)
def test_an_address_that_no_replica_can_connect_to_is_rejected(text: str) -> None:
    """A URL, a wildcard, or no port is a usage error with examples."""
    with pytest.raises(UsageError) as caught:
        parse_advertised(text)
    assert caught.value.reference == "advertise-malformed"


def test_the_default_of_the_advertised_address_is_that_of_the_listener() -> None:
    """For a wildcard it is an address of this machine, to which others can connect."""
    with bind("127.0.0.1", 0) as listener:
        assert advertised_address(listener) == f"127.0.0.1:{listener.getsockname()[1]}"
    with bind("0.0.0.0", 0) as listener:  # noqa: S104 — as in a cluster
        host, port = parse_listen(parse_advertised(advertised_address(listener)))
        with closing(socket.create_connection((host, port), timeout=5)):
            pass


async def test_it_serves_on_a_free_port_until_its_block_ends() -> None:
    """Port 0 is replaced by a real port, which the URL names. After the block nothing listens on it."""
    with bind("127.0.0.1", 0) as listener:
        async with serve(create_app(web_options(RecordingApi(current=busy_status()))), listener) as served:
            assert not served.url.endswith(":0")
            async with httpx.AsyncClient(base_url=served.url) as client:
                response = await client.get("/healthz")
                head = await client.head("/")
            assert (response.status_code, response.text) == (200, "ok\n")
            assert (head.status_code, head.content) == (200, b"")
            assert int(head.headers["content-length"]) > 1000
            assert "server" not in response.headers
    async with httpx.AsyncClient() as client:
        with pytest.raises(httpx.ConnectError):
            await client.get(served.url)


async def test_signals_stay_with_the_controller() -> None:
    """Serving changes no signal handler, so that the controller finishes its writes before it stops."""
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    with bind("127.0.0.1", 0) as listener:
        async with serve(create_app(web_options(RecordingApi(current=busy_status()))), listener):
            during = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    assert before == during


async def test_an_open_connection_does_not_delay_the_stop() -> None:
    """The open connection of a browser is closed when the controller stops."""
    with bind("127.0.0.1", 0) as listener:
        async with serve(create_app(web_options(RecordingApi(current=busy_status()))), listener) as served:
            host, _, port = served.url.removeprefix("http://").partition(":")
            reader, writer = await asyncio.open_connection(host, int(port))
            writer.write(b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
            assert (await reader.readline()).startswith(b"HTTP/1.1 200")
        assert (await reader.read()).endswith(b"ok\n")
        writer.close()


@pytest.mark.parametrize("path", ["/suspend", "/sign-in"])
async def test_a_large_body_is_rejected_unread(path: str) -> None:
    """A request with an endless body gets its response at once, or, for a form, as soon as the body is too large."""
    with bind("127.0.0.1", 0) as listener:
        async with serve(create_app(web_options(RecordingApi(current=busy_status()))), listener) as served:
            host, _, port = served.url.removeprefix("http://").partition(":")
            reader, writer = await asyncio.open_connection(host, int(port))
            head = f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: {AUTHORIZED['Authorization']}\r\n"
            form = "Origin: http://127.0.0.1\r\nContent-Type: application/x-www-form-urlencoded\r\n"
            writer.write(f"{head}{form}Content-Length: 99999999999\r\n\r\n{'x' * 20_000}".encode())
            assert (await reader.readline()).startswith(b"HTTP/1.1 400")
            writer.close()


_BEGUN = b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n"


async def test_a_connection_over_the_limit_replaces_the_idlest() -> None:
    """A client that opens connections without end blocks neither the requests to the control plane nor a probe."""
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


async def test_simultaneous_connections_are_limited() -> None:
    """Connections are counted when they open, not when the loop has closed the superfluous ones."""
    limits = Limits(connections=3)
    with bind("127.0.0.1", 0) as listener:
        async with serve(create_app(web_options(RecordingApi(current=busy_status()))), listener, limits) as served:
            host, _, port = served.url.removeprefix("http://").partition(":")
            opened = await asyncio.gather(*(asyncio.open_connection(host, int(port)) for _ in range(30)))
            ended = asyncio.as_completed([reader.read() for reader, _ in opened], timeout=10)
            for _ in range(len(opened) - limits.connections):
                assert await next(ended) == b""
            await _closed(*(writer for _, writer in opened))
            for closed in ended:
                await closed


async def test_an_endless_request_is_closed_and_an_idle_connection_is_not() -> None:
    """A request that comes byte by byte has the same time limit as any other.

    Between two requests the limit does not apply.
    """
    with bind("127.0.0.1", 0) as listener:
        async with serve(
            create_app(web_options(RecordingApi(current=busy_status()))), listener, Limits(seconds=0.2)
        ) as served:
            host, _, port = served.url.removeprefix("http://").partition(":")
            reader, writer = await asyncio.open_connection(host, int(port))
            writer.write(_BEGUN + b"\r\n")
            assert (await reader.readuntil(b"ok\n")).startswith(b"HTTP/1.1 200")
            for begun in (b"", _BEGUN):
                slow_reader, slow_writer = await asyncio.open_connection(host, int(port))
                slow_writer.write(begun)
                assert await asyncio.wait_for(slow_reader.read(), 10) == b""
                await _closed(slow_writer)
            writer.write(_BEGUN + b"\r\n")
            assert (await reader.readuntil(b"ok\n")).startswith(b"HTTP/1.1 200")
            await _closed(writer)


async def _closed(*writers: asyncio.StreamWriter) -> None:
    for writer in writers:
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()


def test_a_port_in_use_is_one_error() -> None:
    """Before anything else, the error names the address, the cause and what to do."""
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        port = listener.getsockname()[1]
        with pytest.raises(ConfigError) as caught, bind("127.0.0.1", port):
            pass
    assert caught.value.reference == "address-unavailable"
    assert f"127.0.0.1 port {port}" in caught.value.message
    assert "--listen" in caught.value.hints[0]
