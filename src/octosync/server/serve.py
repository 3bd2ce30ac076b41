"""Serving a control plane: in a thread for tests and the demo, or in the foreground for `octosync server`."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from signal import SIGINT, SIGTERM, Signals

import uvicorn
from fastapi import FastAPI
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

from octosync.errors import ConfigError, UsageError
from octosync.server.app import create_app
from octosync.server.middleware import is_loopback
from octosync.server.settings import ServerSettings


@dataclass(frozen=True, slots=True)
class RunningServer:
    """A control plane that is being served. `url` is its origin, without a trailing slash."""

    url: str
    app: FastAPI = field(repr=False)


@contextmanager
def running_server(settings: ServerSettings, *, host: str = "127.0.0.1", port: int = 0) -> Iterator[RunningServer]:
    """Serve in a thread, on a free port if `port` is 0, until the block ends. Raises the errors of `serve`."""
    app = create_app(replace(settings, hosts=(*settings.hosts, host)))
    try:
        with _listening(settings, host, port) as listener:
            ready = threading.Event()
            server = _Server(_config(app), ready.set, settings.grace_seconds)

            def run() -> None:
                try:
                    server.run([listener])
                finally:
                    ready.set()  # so that a failed start doesn't leave the caller waiting

            thread = threading.Thread(target=run, name="octosync-server", daemon=True)
            thread.start()
            ready.wait()
            try:
                yield RunningServer(_origin(listener), app)
            finally:
                server.stop()
                thread.join()
    finally:
        app.state.plane.store.close()


def serve(settings: ServerSettings, host: str, port: int, *, on_ready: Callable[[str], None] = lambda _: None) -> None:
    """Serve in the foreground until SIGINT or SIGTERM; `on_ready` is called with the origin once the server accepts requests.

    Raises `UsageError` for a host other than loopback without tokens, `ConfigError` if it can't listen on the address or
    can't use the database.
    """
    app = create_app(replace(settings, hosts=(*settings.hosts, host)))
    try:
        with _listening(settings, host, port) as listener:
            server = _Server(
                _config(app), lambda: on_ready(_origin(listener)), settings.grace_seconds, signals=(SIGINT, SIGTERM)
            )
            server.run([listener])
    finally:
        app.state.plane.store.close()


class _Server(uvicorn.Server):
    """A uvicorn server that stops at once instead of at its next tick: by `stop` from another thread, or by a signal."""

    def __init__(
        self,
        config: uvicorn.Config,
        on_ready: Callable[[], None],
        grace_seconds: float,
        signals: Sequence[Signals] = (),
    ) -> None:
        super().__init__(config)
        self._on_ready = on_ready
        self._grace_seconds = grace_seconds
        self._signals = signals
        self._stopping = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None

    def stop(self) -> None:
        """Stop serving. It must be ready."""
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._stopping.set)

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals to the event loop: uvicorn would raise them again after its shutdown, and SIGTERM would kill."""
        yield

    async def main_loop(self) -> None:
        """Serve until stopped."""
        self._loop = asyncio.get_running_loop()
        for signal in self._signals:
            self._loop.add_signal_handler(signal, self._stopping.set)
        self._on_ready()
        await self._stopping.wait()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Close idle connections, and wait only for requests in flight."""
        del sockets  # the caller closes them
        for server in self.servers:
            server.close()
        for connection in list(self.server_state.connections):
            connection.shutdown()
        if tasks := list(self.server_state.tasks):
            _, late = await asyncio.wait(tasks, timeout=self._grace_seconds)
            for task in late:
                task.cancel()
            if late:
                await asyncio.wait(late, timeout=self._grace_seconds)
        await asyncio.sleep(0)  # the loop's next iteration closes the connections


def _protocol(connections: dict[tuple[str, int], asyncio.Transport]) -> type[H11Protocol]:
    """Return uvicorn's protocol, which records open connections so that injected faults can cut them."""

    class Protocol(H11Protocol):
        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn's own
            super().connection_made(transport)
            if self.client is not None:
                connections[self.client] = transport

        def connection_lost(self, exc: Exception | None) -> None:
            if self.client is not None:
                connections.pop(self.client, None)
            super().connection_lost(exc)

    return Protocol


def _cut_at_stop(app: FastAPI) -> ASGIApp:
    """Return the app; when the server stops, requests that exceed the grace period lose their connection."""

    async def serve(scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await app(scope, receive, send)
        except asyncio.CancelledError:
            await app.state.plane.faults.cut(scope, receive)

    return serve


def _config(app: FastAPI) -> uvicorn.Config:
    return uvicorn.Config(
        _cut_at_stop(app),
        loop="asyncio",
        http=_protocol(app.state.plane.faults.connections),
        ws="none",
        proxy_headers=False,
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        date_header=False,
    )


def _listening(settings: ServerSettings, host: str, port: int) -> socket.socket:
    if settings.seed == "demo" and not is_loopback(host):
        raise UsageError(
            "demo-beyond-loopback",
            f"can't serve the demo seed on {host}: its API keys are public",
            hints=("Use 127.0.0.1, or omit the seed.",),
        )
    if not settings.tokens and not is_loopback(host):
        raise UsageError(
            "open-to-the-network",
            f"without API keys, anyone who can reach {host} could change everything",
            hints=("Set at least one key with --token-file or --token, or use 127.0.0.1.",),
        )
    # asyncio only sets TCP_NODELAY if IPPROTO_TCP is explicit; without it each response waits 40 ms for an ACK.
    listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(2048)
    except (OSError, OverflowError) as error:
        listener.close()
        raise ConfigError(
            "address-unavailable",
            f"can't listen on {host} port {port}: {getattr(error, 'strerror', None) or error}",
            hints=("Another program may use the port: choose another with --port, or --port 0 for any free port.",),
        ) from error
    return listener


def _origin(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
