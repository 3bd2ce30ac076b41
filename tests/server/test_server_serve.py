from __future__ import annotations

import logging
import signal
import socket
import threading
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.support.embedded_planes import client, ok, run_plane

from octosync.errors import ConfigError, OctosyncError, UsageError
from octosync.server import ServerSettings, Token, create_app, running_server, serve


def test_two_planes_run_side_by_side() -> None:
    """Each server has its own free port and its own state."""
    with run_plane() as one, run_plane() as two:
        one.with_app()
        assert one.running.url != two.running.url
        assert ok(two.api.get("/apps"))["total"] == 0


def test_a_stopped_plane_leaves_nothing_behind() -> None:
    """After the block there is no thread, and the port is free again."""
    with running_server(ServerSettings()) as plane:
        port = httpx.URL(plane.url).port or 0
    assert not [thread for thread in threading.enumerate() if thread.name == "octosync-server"]
    with running_server(ServerSettings(), port=port):
        pass


def test_it_serves_ipv6_too() -> None:
    """A bare IPv6 host becomes a URL with brackets."""
    with running_server(ServerSettings(), host="::1") as plane, client(plane.url) as caller:
        assert plane.url.startswith("http://[::1]:")
        ok(caller.get("/api/v1/apps"))


def test_a_request_in_flight_ends_before_the_plane_does(caplog: pytest.LogCaptureFixture) -> None:
    """A stop lets a request in progress end, and aborts one that takes too long, without a traceback."""
    with run_plane() as plane:
        plane.inject("apps.list", "delay", seconds=60)
        arrived = threading.Event()

        def ask() -> None:
            with client(str(plane.api.base_url)) as caller:
                arrived.set()
                try:
                    caller.get("/apps")
                except httpx.TransportError:
                    outcome.append("cut")

        outcome: list[str] = []
        asking = threading.Thread(target=ask)
        asking.start()
        arrived.wait()
        while not ok(plane.local.get("/faults"))["rules"][0]["acted"]:
            pass
    asking.join()
    assert outcome == ["cut"]
    assert caplog.records == []


def test_a_taken_port_is_an_error_that_says_what_to_do() -> None:
    """The error names host and port and suggests another port; nothing stays open."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ConfigError) as caught:
            serve(ServerSettings(), "127.0.0.1", port)
    assert str(port) in caught.value.message
    assert "--port" in caught.value.hints[0]


@pytest.mark.parametrize(("host", "port"), [("no.such.host.invalid", 0), ("127.0.0.1", 70000)])
def test_an_address_that_is_none_is_an_error(host: str, port: int) -> None:
    """A host that can't be resolved and a port out of range are octosync errors."""
    with pytest.raises(OctosyncError):
        serve(ServerSettings(tokens=(Token.parse("s"),)), host, port)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "", "example.com"])  # noqa: S104  what is refused
def test_beyond_loopback_tokens_are_needed(host: str) -> None:
    """Without tokens, and with the demo's public keys, the server listens on this machine only."""
    for settings in (ServerSettings(), ServerSettings(seed="demo", tokens=(Token.parse("s"),))):
        with pytest.raises(UsageError):
            serve(settings, host, 0)


def test_with_tokens_it_may_listen_on_every_address() -> None:
    """A host beyond loopback is allowed if there is a key."""
    with running_server(ServerSettings(tokens=(Token.parse("s"),)), host="0.0.0.0") as plane:  # noqa: S104  the point of the test
        port = httpx.URL(plane.url).port
        with client(f"http://127.0.0.1:{port}", "s") as caller:
            ok(caller.get("/api/v1/apps"))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_serve_returns_on_a_signal(number: signal.Signals, tmp_path: Path) -> None:
    """A signal is a normal end, and the database can be served again at once."""
    urls: list[str] = []

    def stop(url: str) -> None:
        urls.append(url)
        signal.raise_signal(number)

    for _ in range(2):
        serve(ServerSettings(db=tmp_path / "plane.db"), "localhost", 0, on_ready=stop)
    assert len(urls) == 2
    assert all(url.startswith("http://127.0.0.1:") for url in urls)


async def test_it_can_be_mounted_by_any_asgi_server() -> None:
    """Servers that use the lifespan protocol get their responses."""
    sent: list[Any] = []
    messages = iter(({"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}))

    async def receive() -> Any:
        return next(messages)

    async def send(message: Any) -> None:
        sent.append(message["type"])

    await create_app(ServerSettings())({"type": "lifespan", "asgi": {"version": "3.0"}}, receive, send)
    assert sent == ["lifespan.startup.complete", "lifespan.shutdown.complete"]


async def test_a_failure_while_sending_is_the_servers_to_handle(caplog: pytest.LogCaptureFixture) -> None:
    """After a response has started, no second one is sent: the failure is raised to the server."""
    scope = {
        "type": "http", "method": "GET", "path": "/api/v1/apps", "raw_path": b"/api/v1/apps", "query_string": b"",
        "headers": [], "client": ("127.0.0.1", 1), "server": ("plane", 80), "scheme": "http", "root_path": "",
    }  # fmt: skip

    async def receive() -> Any:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Any) -> None:
        raise OSError(message["type"])

    with pytest.raises(OSError, match=r"http\.response\.start"):
        await create_app(ServerSettings())(scope, receive, send)
    assert "failed" in caplog.text


async def test_a_client_that_goes_in_the_midst_of_its_body_is_no_failure(caplog: pytest.LogCaptureFixture) -> None:
    """The request is not carried out, there is no response, and no error in the log."""
    scope = {
        "type": "http", "method": "POST", "path": "/api/v1/apps", "raw_path": b"/api/v1/apps", "query_string": b"",
        "headers": [], "client": ("127.0.0.1", 1), "server": ("plane", 80), "scheme": "http", "root_path": "",
    }  # fmt: skip
    messages = iter(({"type": "http.request", "body": b"{", "more_body": True}, {"type": "http.disconnect"}))
    sent: list[Any] = []

    async def receive() -> Any:
        return next(messages)

    async def send(message: Any) -> None:
        sent.append(message)

    app = create_app(ServerSettings())
    await app(scope, receive, send)
    assert not sent
    assert not caplog.records
    assert [entry["status"] for entry in app.state.plane.log.to_json()] == [None]


async def test_a_crash_is_a_500_with_a_request_id(caplog: pytest.LogCaptureFixture) -> None:
    """If the control plane itself fails, the response is an error in the usual shape, and the log has the reason."""
    app = create_app(ServerSettings())
    app.state.plane.store.close()
    with caplog.at_level(logging.ERROR, "octosync.server"):
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://localhost") as caller:
            answer = await caller.get("/api/v1/apps")
    assert answer.status_code == 500
    assert answer.json()["error"]["request_id"] == answer.headers["X-Request-Id"]
    assert "closed database" in caplog.text
