"""A control plane in the process and event loop of the test: its application is called without sockets, server and threads.

Both clients take a third of the CPU time of requests to a server. Tests about connections use a server.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final, TypeVar

import httpx
from fastapi import FastAPI
from starlette.types import Message
from tests.support.local_client import LocalClient
from tests.support.plane import Plane

from octosync.server import ServerSettings, create_app
from octosync.server.faults import ConnectionCut

_URL: Final = "http://127.0.0.1:9"  # no server listens there
T = TypeVar("T")


class AppTransport(httpx.AsyncBaseTransport):
    """Sends the requests of a client to an application. Like a server, it executes a request whose client is cancelled."""

    def __init__(self, app: FastAPI) -> None:
        self._app = app
        self._running: set[asyncio.Task[httpx.Response]] = set()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request."""
        url = request.url
        answered = asyncio.ensure_future(
            call_app(self._app, request.method, url.raw_path, request.headers.raw, request.content)
        )
        self._running.add(answered)
        answered.add_done_callback(self._running.discard)
        done, _ = await asyncio.wait((answered,), timeout=request.extensions.get("timeout", {}).get("read"))
        if not done:
            raise httpx.ReadTimeout("the response is late")
        return answered.result()


class TransportWrapper(httpx.AsyncBaseTransport):
    """A transport that does something with requests and responses before `inner` or after it."""

    inner: httpx.AsyncBaseTransport  # set when it is used

    async def aclose(self) -> None:
        """Close the inner transport."""
        await self.inner.aclose()


class AppClient(LocalClient):
    """Calls an application; only a response that waits for something else is impossible."""

    def __init__(self, app: FastAPI) -> None:
        super().__init__(_URL, timeout=30)
        self._app = app

    def _send(self, method: str, path: str, body: bytes | None, headers: Mapping[str, str]) -> httpx.Response:
        sent = [(name.encode(), value.encode()) for name, value in headers.items()]
        response = _finished(call_app(self._app, method, path.encode(), [(b"host", b"127.0.0.1"), *sent], body or b""))
        response.request = httpx.Request(method, self.base_url if response.is_success else self.base_url.join(path))
        return response


@contextmanager
def local_plane(settings: ServerSettings) -> Iterator[Plane]:
    """Yield a control plane without a server. Its URL is only a name for it."""
    app = create_app(settings)
    try:
        with AppClient(app) as http:
            yield Plane(_URL, http, app)
    finally:
        app.state.plane.store.close()


async def call_app(
    app: FastAPI, method: str, target: bytes, headers: Iterable[tuple[bytes, bytes]], body: bytes
) -> httpx.Response:
    """Call an application once. Raises what a client of a server raises if the connection is cut."""
    path, _, query = target.partition(b"?")
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": httpx.URL(raw_path=path).path if b"%" in path else path.decode(),
        "raw_path": path,
        "root_path": "",
        "query_string": query,
        "headers": [(name.lower(), value) for name, value in headers],
        "client": ("127.0.0.1", 1),  # only this machine may use the local controls
        "server": ("127.0.0.1", 9),
    }
    start: dict[str, Any] = {}
    pieces: list[bytes] = []

    async def receive() -> Message:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: Message) -> None:
        if message["type"] == "http.response.start":
            start.update(message)
        else:
            pieces.append(message.get("body", b""))

    try:
        await app(scope, receive, send)
    except ConnectionCut as error:
        raise httpx.RemoteProtocolError(str(error)) from error
    response = httpx.Response(start["status"], headers=start["headers"], content=b"".join(pieces))
    if (length := dict(start["headers"]).get(b"content-length")) and int(length) != len(response.content):
        raise httpx.RemoteProtocolError("the response is incomplete")
    return response


def _finished(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine that never waits, without an event loop or within a running one."""
    try:
        coroutine.send(None)
    except StopIteration as end:
        result: T = end.value
        return result
    coroutine.close()
    raise AssertionError("the application waits, for example for an injected delay")
