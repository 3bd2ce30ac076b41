"""A standby: it forwards requests to the leader, and shows what it knows itself if the leader does not respond."""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from typing import Any, cast

import httpx
import pytest
from tests.support.controller_http import AUTHORIZED, BROWSER, URL, web_options
from tests.support.controller_statuses import ADMIN_TOKEN, RecordingApi, ago, busy_status, quiet_app, status_of
from tests.support.scripted_server import let_handlers_start

from octosync.model import Secret
from octosync.watch.log import Log
from octosync.watch.settings import SystemClock
from octosync.watch.status import ReplicaRole, ReplicaStatus
from octosync.watch.web import bind, create_app, serve
from octosync.watch.web.forward import MARK, TERM, ForwardLimits

KEY = Secret("key-of-term-7")
LEADER = ReplicaStatus(role=ReplicaRole.LEADER, name="a", leader="a", since=ago(hours=2), epoch=7, key=KEY)
STANDBY = replace(LEADER, role=ReplicaRole.STANDBY, name="b")
Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def leading_api() -> RecordingApi:
    return RecordingApi(current=replace(busy_status(), replica=LEADER))


def standby_api(address: str = "", **more: Any) -> RecordingApi:
    """Return the API of a standby that knows two apps."""
    replica = replace(STANDBY, address=address, **more)
    return RecordingApi(current=status_of(quiet_app("billing"), quiet_app("camera"), replica=replica, can_post=False))


@asynccontextmanager
async def client_of(
    api: RecordingApi, address: str = "10.0.0.9", host: str = "127.0.0.1:9900", **more: Any
) -> AsyncIterator[httpx.AsyncClient]:
    """Yield a client at an address."""
    app = create_app(web_options(api, **more))
    transport = httpx.ASGITransport(app=app, raise_app_exceptions=False, client=(address, 4711))
    async with httpx.AsyncClient(transport=transport, base_url=f"http://{host}") as client:
        yield client


@asynccontextmanager
async def served(api: RecordingApi, **more: Any) -> AsyncIterator[str]:
    """Serve over a socket; yield the address."""
    with bind("127.0.0.1", 0) as listener:
        async with serve(create_app(web_options(api, **more)), listener) as at:
            yield at.url.removeprefix("http://")


@asynccontextmanager
async def server_of(handler: Handler) -> AsyncIterator[str]:
    """Serve anything over a socket; yield the address."""
    connections: set[asyncio.Task[None]] = set()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connections.add(cast("asyncio.Task[None]", asyncio.current_task()))
        with suppress(OSError, EOFError):
            await handler(reader, writer)
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()

    async with await asyncio.start_server(handle, "127.0.0.1", 0) as server:
        host, port = server.sockets[0].getsockname()[:2]
        yield f"{host}:{port}"
    await let_handlers_start()
    await asyncio.gather(*connections)


async def test_a_standby_returns_the_pages_of_the_leader() -> None:
    """Pages, the document, errors, unknown paths and HEAD requests are the leader's, with the same headers.

    The host of the request is one of the standby only.
    """
    leader, host = leading_api(), "10.0.0.2:9900"
    async with (
        served(leader) as address,
        client_of(standby_api(address), host=host) as standby,
        client_of(leader, host=host) as direct,
    ):
        for path in ("/", "/apps?state=held", "/apps/photos", "/apps/a%2Fb%20c", "/api/status", "/sign-in", "/x?y=%22"):
            for method in ("GET", "HEAD"):
                expected = await direct.request(method, path, headers=BROWSER)
                response = await standby.request(method, path, headers=BROWSER)
                assert (response.status_code, response.text) == (expected.status_code, expected.text)
                assert dict(response.headers) == dict(expected.headers)
        known = await standby.get("/", headers={"If-None-Match": (await direct.get("/")).headers["etag"]})
        assert known.status_code == 304
        assert (await standby.get("/api/status")).json()["replica"]["role"] == "leader"


async def test_a_person_signs_in_through_a_standby_and_acts_through_either() -> None:
    """The session is the leader's, whichever replica a request arrives at, and the address is the browser's."""
    leader = leading_api()
    async with served(leader) as address, client_of(standby_api(address)) as standby:
        origin = {"Origin": "http://127.0.0.1:9900"}
        form = {"token": ADMIN_TOKEN, "name": "Ana", "next": "/apps/photos"}
        signed_in = await standby.post("/sign-in", data=form, headers=origin)
        assert (signed_in.status_code, signed_in.headers["location"]) == (303, "/apps/photos")
        cookie = signed_in.headers["set-cookie"].partition(";")[0]
        async with httpx.AsyncClient(headers={"Host": "127.0.0.1:9900", "Cookie": cookie}) as direct:
            page = await direct.get(f"http://{address}/actions/suspend")
        assert "Signed in as Ana" in page.text
        csrf = page.text.partition('name="csrf" value="')[2].partition('"')[0]
        done = await standby.post("/actions/suspend", data={"csrf": csrf, "reason": "incident 4711"}, headers=origin)
        assert done.status_code == 303
    assert leader.calls == [("suspend", {"reason": "incident 4711"})]


async def test_a_post_with_the_token_is_done_by_the_leader() -> None:
    """The token, the query and the response are passed on; without the token nothing is done."""
    leader, behind = leading_api(), standby_api()
    async with served(leader) as address:
        behind.current = standby_api(address).current
        async with client_of(behind) as standby:
            done = await standby.post("/hold?app=photos&for=4h&reason=a%20b", headers=AUTHORIZED)
            assert done.json()["hold"]["reason"] == "a b"
            refused = await standby.post("/resume")
            assert (refused.status_code, refused.headers["www-authenticate"][:6]) == (401, "Bearer")
            too_large = await standby.post("/sign-in", content=_endless_body(), headers={"Origin": URL, **_FORM})
            assert (too_large.status_code, "larger than" in too_large.text) == (400, True)
    assert [name for name, _ in leader.calls] == ["hold"]
    assert behind.calls == []


async def _endless_body() -> AsyncIterator[bytes]:
    """Yield more than any form has, and fail if even more is read."""
    for _ in range(20):
        yield b"x" * 1_000
    raise AssertionError("the body is read on")


_FORM = {"Content-Type": "application/x-www-form-urlencoded"}


async def test_wrong_tokens_block_only_their_own_address() -> None:
    """A client is blocked across replicas, and keeps out neither others behind the same standby nor the standby itself."""
    leader = leading_api()
    async with served(leader) as address:
        behind = standby_api(address)
        async with client_of(behind, address="10.0.0.9") as guessing, client_of(behind, address="10.0.0.8") as honest:
            answers = [(await guessing.post("/resume")).status_code for _ in range(11)]
            assert answers == [401] * 10 + [429]
            assert (await honest.post("/resume", headers=AUTHORIZED)).status_code == 200


async def test_only_a_replica_can_name_the_address_of_a_client() -> None:
    """A mark without the key of the term is not accepted: the request is refused, and its address counts for nothing."""
    leader = leading_api()
    async with client_of(leader) as client:
        forged = {MARK: f"10.0.0.8 {'ab' * 32}", **AUTHORIZED}
        refused = await client.post("/resume", headers=forged)
        assert (refused.status_code, refused.json()["error"]["reference"]) == (503, "not-leading")
        assert TERM not in refused.headers
        # Nor does it open other hosts.
        elsewhere = await client.get("/", headers={MARK: f"10.0.0.8 {'ab' * 32}", "Host": "evil.example"})
        assert elsewhere.status_code == 421
    assert leader.calls == []


async def test_a_proof_is_for_one_request_of_one_term() -> None:
    """What a standby has sent once can't be used for another request, another address, or in another term."""
    seen: list[bytes] = []

    async def record(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        seen.append(await reader.readuntil(b"\r\n\r\n"))

    async with server_of(record) as address, client_of(standby_api(address)) as standby:
        await standby.get("/apps?q=a")
    head = dict(line.split(": ", 1) for line in seen[0].decode().splitlines()[1:] if line)
    (mark,) = (value for name, value in head.items() if name.lower() == MARK.lower())
    _, _, proof = mark.rpartition(" ")
    assert KEY.reveal() not in seen[0].decode()
    api = leading_api()
    async with client_of(api) as client:
        assert (await client.get("/apps?q=a", headers={MARK: mark})).status_code == 200
        assert (await client.get("/apps?q=b", headers={MARK: mark})).status_code == 503
        assert (await client.post("/apps?q=a", headers={MARK: mark})).status_code == 503
        assert (await client.get("/apps?q=a", headers={MARK: f"10.0.0.8 {proof}"})).status_code == 503
        assert (await client.get("/apps?q=a", headers={MARK: mark, "Host": "localhost:9900"})).status_code == 503
        api.current = replace(api.current, replica=replace(LEADER, key=Secret("key-of-term-8"), epoch=8))
        assert (await client.get("/apps?q=a", headers={MARK: mark})).status_code == 503


async def test_a_request_is_forwarded_once() -> None:
    """A standby that takes another one for the leader, or itself, shows its own page: nothing goes round in circles."""
    first, second = standby_api(), standby_api()
    async with served(first) as address, served(second) as other_address:
        first.current, second.current = standby_api(other_address).current, standby_api(address).current
        async with client_of(first) as client:
            page = await client.get("/", headers=BROWSER)
            assert (page.status_code, "The leader does not respond to this standby" in page.text) == (200, True)
            assert "not the leader of term 7" in page.text
            refused = await client.post("/resume", headers=AUTHORIZED)
    error = refused.json()["error"]
    assert (refused.status_code, error["reference"]) == (503, "not-leading")
    assert f"The leader is a, at {other_address}." in error["hints"]
    assert first.calls == second.calls == []


async def test_a_url_is_forwarded_as_it_is_or_refused() -> None:
    """A path with `..` would be another page for the leader. That does not count as a leader that fails."""
    leader, written = leading_api(), io.StringIO()
    log = Log(written, SystemClock())
    async with served(leader) as address, served(standby_api(address), log=log) as standby:
        assert await _status(standby, b"POST /suspend?reason=%22a%22") == b"401"
        assert await _status(standby, b"GET /apps/../sign-in") == b"400"
        assert await _status(standby, b"GET /apps?q=a#b") == b"400"
        assert await _status(standby, b"CONNECT evil.example:443") == b"404"
    assert "does not respond" not in written.getvalue()


async def _status(address: str, request: bytes) -> bytes:
    """Send a request exactly as it is given; return the status."""
    host, _, port = address.partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(request + b" HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
    response = await reader.read()
    writer.close()
    return response.split()[1]


async def test_every_replica_serves_its_own_probes_metrics_and_assets() -> None:
    """A standby asks the leader for none of these: the leader that it knows isn't there."""
    async with client_of(standby_api("127.0.0.1:1")) as standby:
        for path in ("/healthz", "/readyz", "/metrics"):
            assert (await standby.get(path)).status_code == 200
        style = (await standby.get("/", headers=BROWSER)).text.partition('stylesheet" href="')[2].partition('"')[0]
        assert (await standby.get(style)).status_code == 200


@pytest.mark.parametrize(
    ("address", "leader", "problem"), [("127.0.0.1:1", "a", ""), ("", "", "db.example:5432: it does not respond")]
)
async def test_without_a_leader_a_standby_shows_what_it_knows(address: str, leader: str, problem: str) -> None:
    """Its page and document have the apps of the shared state and name the leader; it offers and does no action.

    The shared state is read again for each of them, unless it can't be used.
    """
    refreshed: list[bool] = []

    async def refresh() -> None:
        refreshed.append(True)

    api = standby_api(address, leader=leader, problem=problem)
    async with client_of(api, refresh=refresh) as standby:
        page = (await standby.get("/", headers=BROWSER)).text
        assert "As last known: all 2 apps in sync" in page
        assert problem in page
        assert ("Leader: a, at 127.0.0.1:1," in page) is bool(leader)
        assert ("No replica leads" in page) is not bool(leader)
        assert "<form" not in page.partition("<main")[2].replace('<form class="filter"', "")
        assert "Sign in" not in page
        assert (await standby.get("/apps/camera", headers=BROWSER)).status_code == 200
        document = (await standby.get("/api/status")).json()
        assert document["replica"]["leader_address"] == (address or None)
        assert document["counts"]["in_sync"] == 2
        assert len(refreshed) == (0 if problem else 3)
        for path in ("/sign-in", "/actions/suspend"):
            assert (await standby.get(path, headers=BROWSER)).status_code == 503
        refused = await standby.post("/resume", headers=AUTHORIZED)
        assert (refused.status_code, refused.headers["retry-after"]) == (503, "5")
    assert api.calls == []


async def _hang(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
    await reader.read()


async def _cut(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readuntil(b"\r\n\r\n")
    writer.write(_HEAD + b"content-length: 1000\r\n\r\n<p>half")


async def _endless(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readuntil(b"\r\n\r\n")
    writer.write(_HEAD + b"content-length: 999999999\r\n\r\n" + b"x" * 100_000)
    await reader.read()


async def _garbage(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readuntil(b"\r\n\r\n")
    writer.write(b"SSH-2.0-OpenSSH_9.2\r\n")


async def _drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readuntil(b"\r\n\r\n")
    writer.write(_HEAD + b"content-length: 100\r\n\r\n")
    for _ in range(100):
        writer.write(b"x")
        await writer.drain()
        await asyncio.sleep(0.05)


_HEAD = b"HTTP/1.1 200 OK\r\n" + f"{TERM}: 7\r\n".encode()


@pytest.mark.parametrize(
    ("handler", "seconds", "why"),
    [
        (_hang, 0.5, "no complete response within 0.5 s"),
        (_drip, 0.5, "no complete response within 0.5 s"),
        (_cut, 60, "the connection broke"),
        (_garbage, 60, "the connection broke"),
        (_endless, 60, "its response is larger than 50,000 bytes"),
    ],
)
async def test_a_leader_that_breaks_does_not_break_a_standby(handler: Handler, seconds: float, why: str) -> None:
    """A leader that hangs or is slow, or whose response is cut, too large or not HTTP, leads to the standby's own page.

    A POST that it may have received is not reported as undone.
    """
    limits = ForwardLimits(seconds=seconds, size=50_000)
    async with server_of(handler) as address, client_of(standby_api(address), forward=limits) as standby:
        page = await standby.get("/", headers=BROWSER)
        assert (page.status_code, why in page.text) == (200, True)
        lost = await standby.post("/resume", headers=AUTHORIZED)
        assert (lost.status_code, lost.json()["error"]["reference"]) == (504, "response-lost")


async def test_requests_that_wait_for_a_hanging_leader_do_not_keep_later_ones_from_it() -> None:
    """When more requests than can be forwarded at once have ended without a response, the next one is forwarded again."""
    hangs = True

    async def hang_or_respond(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        if hangs:
            await reader.read()
        else:
            writer.write(f"HTTP/1.1 200 OK\r\n{TERM}: 7\r\nContent-Length: 5\r\n\r\nright".encode())

    limits = ForwardLimits(seconds=0.2, requests=2)
    async with server_of(hang_or_respond) as address, client_of(standby_api(address), forward=limits) as standby:
        late = await asyncio.gather(*(standby.get("/sign-in") for _ in range(6)))
        assert [response.status_code for response in late] == [503] * 6
        hangs = False
        assert (await standby.get("/sign-in")).text == "right"
