"""Lost responses: which requests are retried, and the errors of the others, over real sockets."""

from __future__ import annotations

import errno
import gzip
import json
import ssl
import traceback
from base64 import b64encode
from typing import Any

import aiohttp
import httpx
import pytest
from aiohttp.client_reqrep import ConnectionKey
from tests.support.clients import KEY, client_of, connection_to
from tests.support.encodings import REFUSED_ENCODINGS, body_in, bomb, limited_memory
from tests.support.scripted_server import AfterReply, Reply, http_reply, json_reply, scripted_server

from octosync.errors import RemoteError, Unavailable, Unreadable
from octosync.octomil import Connection, Octomil, document_source, fetch_document
from octosync.octomil import transport as wire
from octosync.octomil.failures import failure_of
from octosync.octomil.retry import RetryPolicy

READ: dict[str, Any] = {"operation_id": "apps.get", "parameters": {"slug": "a"}}
WRITES: list[dict[str, Any]] = [
    {"operation_id": "apps.put_slot", "parameters": {"slug": "a", "capability": "chat"}, "body": {}},
    {"operation_id": "apps.delete_slot", "parameters": {"slug": "a", "capability": "chat"}},
    {"operation_id": "apps.update", "parameters": {"slug": "a"}, "body": {"name": "A"}},
    {"operation_id": "apps.create", "body": {"slug": "a", "name": "A"}},
]

LOST = {
    "connection-lost closed": (Reply(b"", AfterReply.CLOSE), "connection-lost"),
    "connection-lost reset": (Reply(b"", AfterReply.RESET), "connection-lost"),
    "cut headers": (Reply(b"HTTP/1.1 200 OK\r\nContent-", AfterReply.CLOSE), "connection-lost"),
    "cut body": (http_reply(200, '{"slug": "a', claims=500, then=AfterReply.CLOSE), "connection-lost"),
    "cut body by reset": (http_reply(200, '{"slug": "a', claims=500, then=AfterReply.RESET), "connection-lost"),
    "silence": (Reply(b"", AfterReply.HANG), "answer-timed-out"),
    "no more bytes in the body": (http_reply(200, '{"slug": "a', claims=500, then=AfterReply.HANG), "answer-timed-out"),
    "500": (json_reply({"detail": "boom"}, 500), "unavailable"),
    "502": (http_reply(502, "<html>Bad Gateway</html>"), "unavailable"),
    "503": (json_reply({"code": "busy", "message": "later"}, 503), "unavailable"),
    "504": (http_reply(504), "unavailable"),
    "520": (http_reply(520), "unavailable"),
}


def _patience(case: str, seconds: float) -> float:
    """Return the response timeout: short if the response never ends, otherwise long enough for a busy machine."""
    return seconds if LOST[case][0].then is AfterReply.HANG else 30


@pytest.mark.parametrize("case", LOST)
async def test_a_read_is_retried_after_any_loss(case: str) -> None:
    """A lost response to a read costs one more request and nothing else."""
    async with scripted_server(LOST[case][0], json_reply({"slug": "a"}, request_id="req_2")) as server:
        async with client_of(server.url, response_timeout=_patience(case, 0.5)) as client:
            response = await client.call(**READ)
        assert response.body == {"slug": "a"}
        assert response.request_ids[-1] == response.request_id == "req_2"
        assert client.requests == len(server.received) == 2


@pytest.mark.parametrize("case", LOST)
@pytest.mark.parametrize("write", WRITES, ids=lambda write: write["operation_id"])
async def test_a_lost_write_is_sent_once_and_marked_as_possibly_done(case: str, write: dict[str, Any]) -> None:
    """Neither the client nor its HTTP library sends a write twice: one attempt is one request at the socket."""
    async with scripted_server(LOST[case][0]) as server:
        async with client_of(server.url, response_timeout=_patience(case, 0.1)) as client:
            with pytest.raises(Unavailable) as lost:
                await client.call(**write)
        assert lost.value.reference == LOST[case][1]
        assert lost.value.sent
        assert lost.value.operation == write["operation_id"]
        assert client.requests == len(server.received) == 1


async def test_a_reused_connection_that_drops_does_not_resend_a_write() -> None:
    """HTTP libraries may resend idempotent requests on a reused connection. This client does not."""
    async with scripted_server(json_reply({"slug": "a"}), Reply(b"", AfterReply.CLOSE)) as server:
        async with client_of(server.url) as client:
            await client.call(**READ)
            with pytest.raises(Unavailable, match="connection-lost"):
                await client.call(**WRITES[0])
        assert server.connections == 1
        assert [request.method for request in server.received] == ["GET", "PUT"]


async def test_reads_fail_after_the_last_attempt() -> None:
    """A broken control plane gets the configured number of attempts. The error is that of the last one."""
    async with scripted_server(json_reply({"detail": "boom"}, 500, request_id="req_9")) as server:
        async with client_of(server.url, attempts=4) as client:
            with pytest.raises(Unavailable) as gone:
                await client.call(**READ)
        assert client.requests == len(server.received) == 4
        assert gone.value.request_id == "req_9"
        assert gone.value.status == 500
        assert str(gone.value) == "unavailable: the control plane failed: boom (500, apps.get, request req_9)"


@pytest.mark.parametrize("call", [READ, WRITES[0]], ids=["read", "write"])
async def test_a_refused_connection_is_retried_and_counts_as_no_request(call: dict[str, Any]) -> None:
    """If the connection is refused, nothing was sent: a write is retried too, and a hint names the command to start."""
    async with scripted_server(Reply()) as server:
        url = server.url
    async with client_of(url) as client:
        with pytest.raises(Unavailable) as refused:
            await client.call(**call)
    assert refused.value.reference == "connection-refused"
    assert not refused.value.sent
    assert client.requests == 0
    assert "octosync server" in refused.value.hints[0]


async def test_tls_to_a_server_without_it_is_one_error() -> None:
    """https:// to a plain HTTP port is not retried and counts as unsent. The hint names the scheme of the URL."""
    async with scripted_server(greeting=http_reply(400).data) as server:
        async with client_of(server.url.replace("http://", "https://")) as client:
            with pytest.raises(RemoteError) as refused:
                await client.call(**WRITES[0])
        assert server.connections == 1
    assert refused.value.reference == "tls-failed"
    assert not refused.value.sent
    assert any("http://" in hint for hint in refused.value.hints)


async def test_an_unknown_host_is_one_error() -> None:
    """A host name without an address has its own error."""
    async with client_of("https://octomil.invalid", attempts=2) as client:
        with pytest.raises(Unavailable) as unknown:
            await client.call(**READ)
    assert unknown.value.reference == "host-unknown"
    assert "octomil.invalid" in unknown.value.message
    assert not unknown.value.sent


async def test_a_proxy_forwards_requests_and_gets_its_own_credentials() -> None:
    """With a proxy, the request is sent to it, with the whole URL."""
    async with scripted_server(json_reply({"slug": "a"})) as server:
        proxy = server.url.replace("http://", "http://u:p%40w@")
        async with client_of("http://octomil.invalid", insecure=True, proxy=proxy) as client:
            await client.call(**READ)
        assert server.received[0].target == "http://octomil.invalid/api/v1/apps/a"
        assert server.received[0].headers["proxy-authorization"] == f"Basic {b64encode(b'u:p@w').decode()}"
        assert server.received[0].headers["authorization"] == f"Bearer {KEY}"
        async with client_of("http://octomil.invalid", insecure=True, proxy=server.url) as client:
            await client.call(**READ)
        assert "proxy-authorization" not in server.received[1].headers


async def test_an_unreachable_proxy_is_one_error() -> None:
    """The error names the proxy as the cause and does not show its password."""
    async with scripted_server(Reply()) as server:
        port = server.url.rpartition(":")[2]
    async with client_of("http://octomil.invalid", insecure=True, proxy=f"http://u:hunter2@127.0.0.1:{port}") as client:
        with pytest.raises(Unavailable) as unreachable:
            await client.call(**READ)
    assert unreachable.value.reference == "connect-failed"
    assert "proxy" in unreachable.value.message
    assert "hunter2" not in str(unreachable.value)


@pytest.mark.parametrize(
    ("reply", "reference"),
    [
        (Reply(b"SSH-2.0-OpenSSH_9.6\r\n", AfterReply.CLOSE), "not-http"),
        (http_reply(200, b"\x00\x01", headers={"Content-Encoding": "gzip"}), "not-http"),
        (http_reply(200, "<html>Please log in</html>", headers={"Content-Type": "text/html"}), "html-answer"),
        (http_reply(200, '{"slug": "a", "name": "tr'), "truncated-answer"),
        (http_reply(200, '{"slug": "a",'), "truncated-answer"),
        (http_reply(200, "OK"), "unreadable-answer"),
        (http_reply(200, '{"a": NaN}'), "unreadable-answer"),
        (http_reply(200, b'{"a": "\\ud800"}'), "unreadable-answer"),
        (http_reply(200, b"\xff\xfe\xfd"), "unreadable-answer"),
        (http_reply(200, b"[" * 100_000 + b"]" * 100_000), "unreadable-answer"),
    ],
)
async def test_a_response_of_another_protocol_is_unreadable(reply: Reply, reference: str) -> None:
    """A login page, truncated JSON and another protocol are each one error, not retried, and a write may have taken effect."""
    async with scripted_server(reply) as server:
        async with client_of(server.url) as client:
            with pytest.raises(Unreadable) as unreadable:
                await client.call(**WRITES[0])
        assert len(server.received) == 1
    assert unreadable.value.reference == reference
    assert unreadable.value.sent
    assert unreadable.value.hints


async def test_a_response_beyond_the_size_limit_is_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    """A compressed response that expands beyond the limit is dropped and never held in memory."""
    monkeypatch.setattr(wire, "MAX_RESPONSE_BYTES", 1 << 20)
    bomb = gzip.compress(b" " * (4 << 20))
    async with (
        scripted_server(http_reply(200, bomb, headers={"Content-Encoding": "gzip"})) as server,
        client_of(server.url) as client,
    ):
        with pytest.raises(Unreadable, match="answer-too-large"):
            await client.call(**READ)


@pytest.mark.parametrize(
    ("status", "reference"),
    [
        ("000", "unreadable-answer"),
        ("099", "unreadable-answer"),
        ("101", "unreadable-answer"),
        ("206", "unreadable-answer"),
        ("207", "unreadable-answer"),
        ("226", "unreadable-answer"),
        ("305", "unreadable-answer"),
        ("302", "redirected"),
        ("308", "redirected"),
        ("600", "unreadable-answer"),
        ("999", "unreadable-answer"),
        ("499", "rejected"),
        ("599", "unavailable"),
    ],
)
async def test_an_unusual_status_is_named(status: str, reference: str) -> None:
    """A partial response never counts as the whole, and only a redirect is reported as a redirect."""
    reply = Reply(f"HTTP/1.1 {status} Odd\r\nContent-Length: 2\r\n\r\n[]".encode(), AfterReply.CLOSE)
    async with scripted_server(reply) as server, client_of(server.url, attempts=1) as client:
        with pytest.raises(RemoteError) as odd:
            await client.call("apps.list")
    assert odd.value.reference == reference
    assert f"({int(status)}, apps.list)" in odd.value.message


@pytest.mark.parametrize("encoding", REFUSED_ENCODINGS)
async def test_an_encoding_that_was_not_requested_is_refused(encoding: str) -> None:
    """A response is decoded once, and only from gzip, so nested encodings can't expand a kilobyte to fill the memory."""
    reply = http_reply(200, body_in(encoding), headers={"Content-Encoding": encoding})
    async with scripted_server(reply) as server, client_of(server.url) as client:
        with limited_memory():
            with pytest.raises(Unreadable, match="Content-Encoding") as refused:
                await client.call(**READ)
            with pytest.raises(Unreadable, match="Content-Encoding"):
                await fetch_document(server.url, document_source(server.url), largest=2**20)
        assert [request.headers["accept-encoding"] for request in server.received] == ["gzip", "gzip"]
    assert refused.value.reference == "unreadable-answer"
    assert len(refused.value.message) < 300


async def test_an_encoding_that_two_headers_name_is_refused() -> None:
    """A repeated header counts with all its values."""
    twice = http_reply(200, gzip.compress(b"{}")).data.replace(b"\r\n", b"\r\nContent-Encoding: gzip" * 2 + b"\r\n", 1)
    async with scripted_server(Reply(twice)) as server, client_of(server.url) as client:
        with pytest.raises(Unreadable, match="Content-Encoding"):
            await client.call(**READ)


@pytest.mark.parametrize("encoding", ["gzip, gzip", "br"])
async def test_a_refusal_is_recognised_by_its_status_in_any_encoding(encoding: str) -> None:
    """A body that can't be decoded does not change the error of its status: a 503 is an outage, a 404 is not an absence."""
    headers = {"Content-Encoding": encoding}
    replies = http_reply(503, bomb(), headers=headers), http_reply(404, bomb(), headers=headers)
    async with scripted_server(*replies) as server, client_of(server.url, attempts=1) as client:
        with limited_memory():
            with pytest.raises(Unavailable, match="503"):
                await client.call(**READ)
            with pytest.raises(Unreadable, match="404"):
                await client.call(**READ, absent=lambda _: True)


@pytest.mark.parametrize(
    "body",
    [gzip.compress(b"{}")[:-1], gzip.compress(b"{}") + gzip.compress(b"[]"), gzip.compress(b"{}") + b"x", b"{}"],
    ids=["cut off", "two members", "more after it", "plain"],
)
async def test_truncated_or_overlong_gzip_is_unreadable(body: bytes) -> None:
    """A part of a compressed body never counts as the whole."""
    reply = http_reply(200, body, headers={"Content-Encoding": "gzip"})
    async with scripted_server(reply) as server, client_of(server.url) as client:
        with pytest.raises(Unreadable, match="not-http"):
            await client.call(**READ)


@pytest.mark.parametrize("encoding", ["gzip", "x-gzip", " GZIP "])
async def test_compressed_responses_are_read(encoding: str) -> None:
    """Compression by a proxy and a body that arrives byte by byte do not change the result."""
    packed = gzip.compress(json.dumps({"slug": "a"}).encode())
    pieces = b"".join(b"1\r\n%c\r\n" % byte for byte in packed) + b"0\r\n\r\n"
    head = f"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Encoding: {encoding}\r\n\r\n".encode()
    async with (
        scripted_server(
            http_reply(200, packed, headers={"Content-Encoding": encoding}), Reply(head + pieces)
        ) as server,
        client_of(server.url) as client,
    ):
        assert (await client.call(**READ)).body == {"slug": "a"}
        assert (await client.call(**READ)).body == {"slug": "a"}
        assert len(server.received) == 2


async def test_a_second_response_to_one_request_never_answers_the_next_one() -> None:
    """A connection that delivered more than the response is closed: the rest is not read as the response about another app.

    An HTTP library that keeps such a connection returns every later response for the request after its own.
    """
    twice = Reply(json_reply({"slug": "a"}).data + json_reply({"code": "app_not_found"}, 404).data)
    async with scripted_server(twice, json_reply({"slug": "b"}), json_reply({"slug": "c"})) as server:
        async with client_of(server.url) as client:
            slugs = [
                (await client.call("apps.get", {"slug": slug}, absent=lambda _: True)).body for slug in ("a", "b", "c")
            ]
        assert slugs == [{"slug": "a"}, {"slug": "b"}, {"slug": "c"}]
        assert server.connections == 2


async def test_cookies_are_neither_kept_nor_sent() -> None:
    """A cookie of one response is not sent with the next request."""
    async with scripted_server(json_reply({}, Set_Cookie="session=1; Path=/")) as server:
        async with client_of(server.url) as client:
            await client.call(**READ)
            await client.call(**READ)
        assert [request.headers.get("cookie") for request in server.received] == [None, None]


async def test_no_traceback_carries_the_key_or_a_foreign_exception() -> None:
    """The exceptions of httpx and aiohttp, which hold the request and its key, are not chained to errors."""
    async with scripted_server(Reply(b"", AfterReply.CLOSE)) as server, client_of(server.url, attempts=2) as client:
        for call in (READ, WRITES[0]):
            with pytest.raises(Unavailable) as lost:
                await client.call(**call)
            assert lost.value.__cause__ is None
            assert lost.value.__context__ is None
            shown = "".join(traceback.format_exception(lost.value))
            assert KEY not in shown
            assert "aiohttp" not in shown


def _unroutable() -> Exception:
    key = ConnectionKey("api.octomil.com", 443, True, True, None, None, None)
    return aiohttp.ClientConnectorError(key, OSError(errno.EHOSTUNREACH, "No route to host"))


@pytest.mark.parametrize(
    ("problem", "reference", "retry", "sent"),
    [
        (httpx.ConnectTimeout("slow"), "connect-timed-out", RetryPolicy.ALWAYS, False),
        (aiohttp.ConnectionTimeoutError("slow"), "connect-timed-out", RetryPolicy.ALWAYS, False),
        (_unroutable(), "connect-failed", RetryPolicy.ALWAYS, False),
        (aiohttp.ServerDisconnectedError(), "connection-lost", RetryPolicy.READS, True),
        (aiohttp.ClientOSError(104, "reset"), "connection-lost", RetryPolicy.READS, True),
        (OSError(113, "no route"), "connection-lost", RetryPolicy.READS, True),
        (TimeoutError(), "answer-timed-out", RetryPolicy.READS, True),
        (httpx.ReadTimeout("slow"), "answer-timed-out", RetryPolicy.READS, True),
    ],
)
def test_only_a_failure_to_connect_proves_that_nothing_was_sent(
    problem: Exception, reference: str, retry: RetryPolicy, sent: bool
) -> None:
    """A failure before sending is safe to retry. Any failure that may have come after it is not."""
    outcome = failure_of(problem, Connection(url="https://api.octomil.com"), "apps.get")
    assert outcome is not None
    assert (outcome.error.reference, outcome.retry, outcome.error.sent) == (reference, retry, sent)


def test_an_untrusted_certificate_has_its_own_error() -> None:
    """The error names the problem of the certificate, and how to trust a private authority."""
    reason = ssl.SSLCertVerificationError(1, "certificate verify failed")
    reason.verify_message = "self-signed certificate"
    key = ConnectionKey("api.octomil.com", 443, True, True, None, None, None)
    outcome = failure_of(
        aiohttp.ClientConnectorCertificateError(key, reason), Connection(url="https://api.octomil.com"), "apps.get"
    )
    assert outcome is not None
    assert outcome.error.reference == "tls-failed"
    assert "self-signed certificate" in outcome.error.message
    assert any("SSL_CERT_FILE" in hint for hint in outcome.error.hints)


def test_a_library_error_is_classified_by_its_cause() -> None:
    """A connect timeout of the transport whose cause is a connection lost after sending counts as sent."""
    problem = httpx.ConnectTimeout("Server disconnected")
    problem.__cause__ = aiohttp.ServerDisconnectedError()
    outcome = failure_of(problem, Connection(url="https://api.octomil.com"), "apps.create")
    assert outcome is not None
    assert outcome.error.sent
    assert outcome.retry is RetryPolicy.READS


async def test_a_bug_is_not_reported_as_a_network_error() -> None:
    """An exception of our own code is raised unchanged."""

    class Broken(httpx.AsyncBaseTransport):
        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            raise LookupError(request.method)

    async with Octomil(connection_to("http://127.0.0.1:1"), transport=Broken()) as client:
        with pytest.raises(LookupError, match="GET"):
            await client.call(**READ)


async def test_a_client_that_is_not_open_is_an_error() -> None:
    """Using a client without `async with` is reported as a programming error."""
    with pytest.raises(RuntimeError, match="async with"):
        await client_of("http://127.0.0.1:1").call(**READ)
