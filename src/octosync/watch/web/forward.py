"""Requests that a standby forwards to the leader, and those that the leader receives from a standby.

All sessions and all actions are the leader's. So a browser sees one server, whichever replica a Service selects, and a standby
stores no cookie and checks no token. A forwarded request is marked by a header, and never forwarded again.

The leader counts wrong admin tokens by the address of the client, and checks the host of a request. Both have been seen by the
standby only, so the mark contains the address of the client, and a proof: a keyed digest of the address and the request. Its key
is a secret of the leader's term in the shared state, so no other client can claim an address or a host.
"""

from __future__ import annotations

import asyncio
import hmac
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import Final

import httpx
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from octosync.errors import UsageError
from octosync.model import Secret
from octosync.report.text import time_words
from octosync.watch.log import Log
from octosync.watch.status import ControllerStatus, ReplicaRole, ReplicaStatus
from octosync.watch.web.pages import asset_at
from octosync.watch.web.responses import refusal
from octosync.watch.web.server import parse_listen
from octosync.watch.web.sessions import address_of

MARK: Final = "Octosync-Forwarded"  # of a request: the address of the client, and the proof
TERM: Final = "Octosync-Term"  # of the leader's response to a request with a proof: the number of its term
_LOCAL: Final = ("/healthz", "/readyz", "/metrics")  # every replica's own
_METHODS: Final = frozenset({"GET", "HEAD", "POST"})  # others are refused everywhere
_OWN_PAGES: Final = ("/", "/apps", "/api/status")  # and those of single apps: what a standby can show by itself
# Of the headers, those that the endpoints read, and those that they set. All responses get the headers of this replica, too.
_SENT: Final = frozenset(b"accept authorization content-type cookie host if-none-match origin sec-fetch-site".split())
_RETURNED: Final = frozenset(
    b"allow cache-control content-type date etag location retry-after set-cookie www-authenticate".split()
)
_BODILESS: Final = frozenset({204, 304})
_LARGEST_REQUEST: Final = 16 * 1024 + 1  # bytes: the leader rejects a form that is larger, and reads no other body
_CONNECT_SECONDS: Final = 2.0
_RETRY_AFTER: Final = {"Retry-After": "5"}


@dataclass(frozen=True, slots=True, kw_only=True)
class ForwardLimits:
    """`seconds` is the time for a request to the leader and its response, `size` the maximum of a response in bytes.

    `requests` are forwarded at once; others wait.
    """

    seconds: float = 5.0
    size: int = 32 * 1024 * 1024
    requests: int = 8


class LeaderFailure(Exception):
    """The leader did not respond. `is_sent`: it may have received the request."""

    def __init__(self, words: str, *, is_sent: bool) -> None:
        super().__init__(words)
        self.words = words
        self.is_sent = is_sent


class Forwarding:
    """Forwards the requests of a standby, and accepts those that a standby has forwarded to the leader.

    If the leader doesn't respond, `app` shows what this replica knows: `refresh` is awaited first, if the state can be used.
    """

    def __init__(
        self,
        app: ASGIApp,
        leader: LeaderConnection,
        *,
        replica: Callable[[], ReplicaStatus],
        refresh: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        self._app = app
        self._leader = leader
        self._replica = replica
        self._refresh = refresh

    def is_proven(self, scope: Scope) -> bool:
        """Return whether a standby has forwarded a request to this replica in its current term, as the leader."""
        replica, mark = self._replica(), Headers(scope=scope).get(MARK, "")
        if not mark or replica.role is not ReplicaRole.LEADER or not replica.key:
            return False
        client, _, proof = mark.rpartition(" ")
        return hmac.compare_digest(proof.encode(), _proof(replica.key, scope, client).encode())

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer."""
        replica = self._replica()
        if replica.role is ReplicaRole.ALONE:
            await self._app(scope, receive, send)
        elif MARK.lower() in Headers(scope=scope):
            await self._receive(scope, receive, send, replica)
        elif replica.role is ReplicaRole.LEADER or not _is_of_leader(scope):
            await self._app(scope, receive, send)
        else:
            await self._forward(scope, receive, send, replica)

    async def _receive(self, scope: Scope, receive: Receive, send: Send, replica: ReplicaStatus) -> None:
        """Serve a forwarded request as if its client had connected to this replica, which is the leader."""
        if not self.is_proven(scope):
            await not_leading(Request(scope), replica)(scope, receive, send)
            return
        client, _, _ = Headers(scope=scope)[MARK].rpartition(" ")

        async def marked(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message)[TERM] = str(replica.epoch)
            await send(message)

        await self._app({**scope, "client": (client, 0)}, receive, marked)

    async def _forward(self, scope: Scope, receive: Receive, send: Send, replica: ReplicaStatus) -> None:
        request = Request(scope, receive)
        try:
            response = await self._leader.response(request, replica)
        except ClientDisconnect:
            return
        except ValueError:
            message = "the URL of the request can't be forwarded to the leader"
            await refusal(request, 400, "parameters-wrong", message)(scope, receive, send)
            return
        except LeaderFailure as failure:
            await self._respond_alone(request, replica, failure, send)
            return
        await response(scope, receive, send)

    async def _respond_alone(
        self, request: Request, replica: ReplicaStatus, failure: LeaderFailure, send: Send
    ) -> None:
        """Respond without the leader: with a page of what this replica knows, or with the leader's address."""
        path, is_read = request.url.path, request.method in {"GET", "HEAD"}
        if is_read and (path in _OWN_PAGES or path.startswith("/apps/")):
            if self._refresh is not None and not replica.problem:
                await self._refresh()
            await self._app(request.scope, request.receive, send)
            return
        known = replace(replica, unreachable=failure.words if replica.address else "")
        unknown = failure.is_sent and not is_read
        response = response_lost(request, known) if unknown else not_leading(request, known)
        await response(request.scope, request.receive, send)


class LeaderConnection:
    """Sends requests to the leader. No connection is kept open, no redirect is followed, and no proxy is used.

    `unreachable` is why the leader did not respond to the last request, "" if it did, or if no replica leads.
    """

    def __init__(self, limits: ForwardLimits, log: Log | None = None) -> None:
        self._limits = limits
        self._log = log
        self._slots = asyncio.Semaphore(limits.requests)
        self.unreachable = ""

    async def response(self, request: Request, replica: ReplicaStatus) -> Response:
        """Return the leader's response to a request. Raise `LeaderFailure` if there is none, or one of another server.

        Raise `ValueError` for a URL that can't be sent as it is, such as one with dot segments.
        """
        body = await _body(request)
        if not replica.address:
            self.unreachable = ""
            raise LeaderFailure("no replica leads", is_sent=False)
        try:
            response = await self._response(request, body, replica)
        except LeaderFailure as failure:
            self._record(failure.words, replica)
            raise
        self._record("", replica)
        return response

    async def _response(self, request: Request, body: bytes, replica: ReplicaStatus) -> Response:
        sent, is_sent = _request_to(replica, request, body, self._limits.seconds), False
        try:
            async with asyncio.timeout(self._limits.seconds), self._slots:
                is_sent = True
                return await self._exchange(sent, replica)
        except (httpx.ConnectError, httpx.ConnectTimeout) as error:
            raise LeaderFailure(_words(error), is_sent=False) from error
        except (httpx.HTTPError, TimeoutError) as error:
            words = _words(error, self._limits.seconds) if is_sent else "too many requests wait for it"
            raise LeaderFailure(words, is_sent=is_sent) from error

    def _record(self, unreachable: str, replica: ReplicaStatus) -> None:
        """Record why the leader did not respond, and log it once."""
        was_reachable, self.unreachable = not self.unreachable, unreachable
        if self._log is None or was_reachable is not bool(unreachable):
            return
        facts = {"leader": replica.leader, "address": replica.address}
        if unreachable:
            message = f"the leader {replica.leader} does not respond: {unreachable}"
            self._log.warning("leader_unreachable", message=message, **facts)
        else:
            self._log.info("leader_reachable", message=f"the leader {replica.leader} responds again", **facts)

    async def _exchange(self, request: httpx.Request, replica: ReplicaStatus) -> Response:
        # `verify` would load certificates, which plain HTTP doesn't need. A pool for all requests would count a connection whose
        # request was cancelled before it was used as in use for ever.
        async with httpx.AsyncHTTPTransport(verify=False, trust_env=False) as transport:
            received = await transport.handle_async_request(request)
            try:
                if received.headers.get(TERM) != str(replica.epoch):
                    raise LeaderFailure(
                        f"what responds at {replica.address} is not the leader of term {replica.epoch}", is_sent=False
                    )
                body = bytearray()
                async for chunk in received.aiter_raw():
                    body += chunk
                    if len(body) > self._limits.size:
                        raise LeaderFailure(f"its response is larger than {self._limits.size:,} bytes", is_sent=True)
            finally:
                await received.aclose()
        return _response_from(received, bytes(body), is_head=request.method == "HEAD")


def not_leading(request: Request, replica: ReplicaStatus) -> Response:
    """Refuse what only the leader can do: it is not done."""
    if replica.leader:
        message = "this replica does not lead, and nothing is done"
        hints = [f"The leader is {replica.leader}, at {replica.address or 'no address'}."]
        if replica.unreachable:
            hints.append(f"It does not respond to this replica: {replica.unreachable}.")
    else:
        words = f"no replica has led since {time_words(replica.since)}" if replica.since else "no leader is known yet"
        message = f"{words}, and nothing is done"
        hints = ["A replica takes over as soon as it can use the shared state: try again in some seconds."]
    if replica.problem:
        hints.append(f"The shared state can't be used: {replica.problem}.")
    return refusal(request, 503, "not-leading", message, hints=tuple(hints), headers=dict(_RETRY_AFTER))


def response_lost(request: Request, replica: ReplicaStatus) -> Response:
    """Refuse to state whether a request is done: the leader may have received it."""
    return refusal(
        request,
        504,
        "response-lost",
        f"the leader {replica.leader} may have done this, but its response is lost: {replica.unreachable}",
        hints=("Open the status page, and repeat the action if it has had no effect.",),
    )


def status_with_leader(status: ControllerStatus, unreachable: str) -> ControllerStatus:
    """Return a status of a standby that shows why the leader does not respond to it."""
    replica = status.replica
    if replica.role is not ReplicaRole.STANDBY or replica.unreachable == unreachable:
        return status
    return replace(status, replica=replace(replica, unreachable=unreachable))


def _is_of_leader(scope: Scope) -> bool:
    """Return whether a standby forwards a request. A leader of another version has pages with other static files."""
    path, method = scope["path"], scope["method"]
    if path in _LOCAL or method not in _METHODS or not path.startswith("/"):
        return False
    return not path.startswith("/static/") or asset_at(path.removeprefix("/static/")) is None


async def _body(request: Request) -> bytes:
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) >= _LARGEST_REQUEST:
            break
    return bytes(body[:_LARGEST_REQUEST])


def _request_to(replica: ReplicaStatus, request: Request, body: bytes, seconds: float) -> httpx.Request:
    """Return the request to the leader. Raise `LeaderFailure` for a malformed address, `ValueError` for such a URL."""
    path, query = request.scope["raw_path"], request.scope["query_string"]
    try:
        host, port = parse_listen(replica.address)
    except UsageError as error:
        raise LeaderFailure(f"its address is malformed: {replica.address}", is_sent=False) from error
    try:
        url = httpx.URL(scheme="http", host=host, port=port, raw_path=path + (b"?" + query if query else b""))
    except httpx.InvalidURL as error:
        raise ValueError(str(error)) from error
    sent_path, _, sent_query = url.raw_path.partition(b"?")
    if sent_path != path:
        raise ValueError("httpx would send another path")
    headers = [(name, value) for name, value in request.scope["headers"] if name in _SENT]
    sent = httpx.Request(request.method, url, headers=headers, content=body)
    scope = {**request.scope, "query_string": sent_query}
    client = address_of(request)
    sent.headers[MARK] = f"{client} {_proof(replica.key, scope, client)}"
    sent.headers["Accept-Encoding"] = "identity"
    sent.headers["Connection"] = "close"
    timeout = httpx.Timeout(seconds, connect=_CONNECT_SECONDS)  # and `seconds` for everything together
    sent.extensions["timeout"] = timeout.as_dict()
    return sent


def _response_from(received: httpx.Response, body: bytes, *, is_head: bool) -> Response:
    response = Response(status_code=received.status_code)
    response.body = b"" if is_head else body
    headers = [(name.lower(), value) for name, value in received.headers.raw if name.lower() in _RETURNED]
    length = received.headers.get("content-length", "") if is_head else str(len(body))
    if length and received.status_code not in _BODILESS:
        headers.append((b"content-length", length.encode()))
    response.raw_headers = headers
    return response


def _proof(key: Secret, scope: Scope, client: str) -> str:
    """Return the proof that a replica has forwarded a request of a client: nothing else has the key."""
    host = Headers(scope=scope).get("host", "")
    parts = (scope["method"].encode(), scope["raw_path"], scope["query_string"], host.encode(), client.encode())
    return hmac.new(key.reveal().encode(), b"\n".join(parts), sha256).hexdigest()


def _words(error: Exception, seconds: float = _CONNECT_SECONDS) -> str:
    """Return why there is no response."""
    match error:
        case httpx.ConnectTimeout():
            return f"no connection within {_CONNECT_SECONDS:g} s"
        case httpx.ConnectError():
            return "the connection is refused, or there is no route to it"
        case httpx.TimeoutException() | TimeoutError():
            return f"no complete response within {seconds:g} s"
        case _:
            return "the connection broke before its response was complete"
