"""Connections: no more than so many at once, and none that keeps the controller waiting.

The HTTP side shares its open files with the requests to the control plane. Whoever may read could else open connections until
no more are to be had, without a token and without a whole request, and so keep commits from being applied.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from uvicorn import Config
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.server import ServerState


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """`connections`: how many may be open. `seconds`: how long one has from its first byte to the last of the answer."""

    connections: int = 128
    seconds: float = 20


class LimitedConnection(H11Protocol):
    """HTTP/1.1, within limits. Where there are too many, the one that has done nothing for longest goes: probes get in."""

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, object],
        _loop: asyncio.AbstractEventLoop | None = None,
        *,
        limits: Limits,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._limits = limits
        self._deadline: asyncio.TimerHandle | None = None
        self._active_at = self.loop.time()

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Take it, and let another one go where it is one too many."""
        super().connection_made(transport)
        self._expect_an_end()
        others = [one for one in self.connections if isinstance(one, LimitedConnection) and one is not self]
        open_ones = [
            one for one in others if not one.transport.is_closing()
        ]  # one that was let go is there for a moment
        if len(open_ones) >= self._limits.connections:
            min(open_ones, key=lambda one: one._active_at).transport.abort()  # noqa: SLF001 — of the same class

    def data_received(self, data: bytes) -> None:
        """Read on, within the time that a request has."""
        self._expect_an_end()
        super().data_received(data)

    def on_response_complete(self) -> None:
        """Give the next request a time of its own; until it comes, uvicorn's keep-alive is what counts."""
        self._forget_deadline()
        self._active_at = self.loop.time()
        super().on_response_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        """Count it out."""
        self._forget_deadline()
        super().connection_lost(exc)

    def _expect_an_end(self) -> None:
        if self._deadline is None:
            self._deadline = self.loop.call_later(self._limits.seconds, self.transport.abort)

    def _forget_deadline(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
