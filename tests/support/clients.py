"""Clients for tests: they retry at once and have no rate limit, and are like real ones otherwise."""

from __future__ import annotations

import errno
from typing import Any

import aiohttp
import httpx
from aiohttp.client_reqrep import ConnectionKey

from octosync.model import Secret
from octosync.octomil import Connection, Octomil
from octosync.octomil.transport import HttpRequest, RawResponse

KEY = "oct_test_0123456789a91f"


def connection_to(url: str, **settings: Any) -> Connection:
    """Return a connection without a rate limit that retries at once."""
    defaults: dict[str, Any] = {
        "token": Secret(KEY),
        "token_source": "OCTOMIL_API_KEY",
        "requests_per_minute": 0,
        "backoff": 0.0,
    }
    return Connection(url=url, **{**defaults, **settings})


def client_of(url: str, **settings: Any) -> Octomil:
    """Return a client for the control plane at a URL, not yet entered."""
    return Octomil(connection_to(url, **settings))


class HttpxTransport:
    """A transport of httpx in place of the network, for example `httpx.MockTransport` or `httpx.ASGITransport`."""

    def __init__(self, inner: httpx.AsyncBaseTransport) -> None:
        self._inner = inner

    async def send(self, request: HttpRequest, connection: Connection) -> RawResponse:
        """Send a request, and return or raise what aiohttp does."""
        timeout = httpx.Timeout(connection.response_timeout, connect=connection.connect_timeout)
        sent = httpx.Request(
            request.method,
            request.url,
            headers=request.headers,
            content=request.body,
            extensions={"timeout": timeout.as_dict()},
        )
        try:
            response = await self._inner.handle_async_request(sent)
            body = await response.aread()
        except httpx.ConnectError as refused:
            key = ConnectionKey(sent.url.host, sent.url.port, False, True, None, None, None)
            raise aiohttp.ClientConnectorError(key, OSError(errno.ECONNREFUSED, "refused")) from refused
        except httpx.TimeoutException as late:
            raise aiohttp.SocketTimeoutError from late
        except httpx.TransportError as lost:
            raise aiohttp.ServerDisconnectedError from lost
        return RawResponse(response.status_code, response.headers, body)

    async def aclose(self) -> None:
        """Close the connections."""
        await self._inner.aclose()
