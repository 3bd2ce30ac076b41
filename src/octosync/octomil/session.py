"""A session with a control plane: the way onto the wire and the key, which may change while requests are under way."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import replace

import httpx

from octosync.model import Concealer, JsonValue, Secret, Sensitivity
from octosync.octomil.connection import Connection
from octosync.octomil.transport import open_http

# The keys that are masked: the latest, and those before it, which answers under way may still echo.
_REMEMBERED_KEYS = 8


class Session:
    """What all views of a client share. `connection` is the one in force: what is sent from now on goes with its key.

    `keeps_trying` is asked before a request that failed is sent another time.
    """

    def __init__(
        self,
        connection: Connection,
        sensitivity: Sensitivity | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self.connection = connection
        self._sensitivity = sensitivity
        self._transport = transport
        self._keys: deque[Secret] = deque(maxlen=_REMEMBERED_KEYS)
        self._http: httpx.AsyncClient | None = None
        self.keeps_trying: Callable[[], bool] = lambda: True
        self._remember(connection.token)

    def open(self) -> None:
        """Make the HTTP client. Raises `ConfigError` where the certificate authorities can't be loaded."""
        self._http = open_http(self.connection, self._transport)

    async def close(self) -> None:
        """Close all its connections."""
        await self.http.aclose()
        self._http = None

    @property
    def http(self) -> httpx.AsyncClient:
        """The HTTP client, while it is open."""
        if self._http is None:
            raise RuntimeError("the client is not open: use `async with`")
        return self._http

    def use_token(self, token: Secret, source: str) -> None:
        """Take another key for whatever is sent from now on. Raises `ConfigError` for one that can't work, and keeps the old."""
        self.connection = replace(self.connection, token=token, token_source=source)
        self._remember(token)

    def authorise(self, request: httpx.Request) -> Connection:
        """Put the key in force into a request, which has to be sent at once; return the connection that it goes with."""
        if self.connection.token is not None:
            request.headers["Authorization"] = f"Bearer {self.connection.token.reveal()}"
        return self.connection

    def concealer(self, body: JsonValue = None) -> Concealer:
        """Return what masks the keys, and what a request's body holds under sensitive keys."""
        return Concealer(self._keys, self._sensitivity, body)

    def _remember(self, token: Secret | None) -> None:
        if token is None:
            return
        if token in self._keys:
            self._keys.remove(token)  # the one in force is always the last to be forgotten
        self._keys.append(token)
