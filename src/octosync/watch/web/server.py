"""The HTTP server: it serves the pages in the event loop of the controller, with limits on connections and their duration.

The server shares the limit of open files with the requests to the control plane. Without limits, anyone who can reach the page
could open connections until none are left, without a token or a complete request, and so stop commits from being applied.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from ipaddress import IPv6Address, ip_address
from typing import Final, cast

import uvicorn
from starlette.types import ASGIApp
from uvicorn import Config
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.server import ServerState

from octosync.errors import ConfigError, UsageError
from octosync.watch.approvals import HOST


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """`connections` is the maximum number. `seconds` is the time from the first byte of a request to the last of its response."""

    connections: int = 128
    seconds: float = 20


class LimitedConnection(H11Protocol):
    """HTTP/1.1 within limits. If there are too many connections, the one that has been idle longest is closed."""

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
        """Accept the connection, and close an idle one if it is one too many."""
        super().connection_made(transport)
        self._expect_an_end()
        others = [
            connection
            for connection in self.connections
            if isinstance(connection, LimitedConnection) and connection is not self
        ]
        # A connection that was closed is listed for a moment longer.
        connected = [connection for connection in others if not connection.transport.is_closing()]
        if len(connected) >= self._limits.connections:
            min(connected, key=lambda connection: connection._active_at).transport.abort()  # noqa: SLF001 — of the same class

    def data_received(self, data: bytes) -> None:
        """Read more of the request, within its time limit."""
        self._expect_an_end()
        super().data_received(data)

    def on_response_complete(self) -> None:
        """End the time limit of this request; until the next one, uvicorn's keep-alive timeout applies."""
        self._forget_deadline()
        self._active_at = self.loop.time()
        super().on_response_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        """End the time limit of the connection."""
        self._forget_deadline()
        super().connection_lost(exc)

    def _expect_an_end(self) -> None:
        if self._deadline is None:
            self._deadline = self.loop.call_later(self._limits.seconds, self.transport.abort)

    def _forget_deadline(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None


_GRACE_SECONDS: Final = 1  # for responses that are in progress at a stop
_BACKLOG: Final = 128  # connections that wait to be accepted
_LIMITS: Final = Limits()


@dataclass(frozen=True, slots=True)
class ServerAddress:
    """The address that is served: `url` is the bare origin, without a trailing slash."""

    url: str


def parse_listen(text: str) -> tuple[str, int]:
    """Return host and port of `HOST:PORT`, an IPv6 host in brackets; port 0 is any free one. Raises `UsageError` otherwise."""
    host, separator, port = text.rpartition(":")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host:
        separator = ""
    if not separator or not host or not (port.isascii() and port.isdigit()) or int(port) > 65535:
        raise UsageError(
            "listen-malformed",
            f"--listen: {text!r} is not HOST:PORT",
            hints=("Such as 127.0.0.1:9900, 0.0.0.0:9900 in a cluster, [::1]:9900, or port 0 for any free one.",),
        )
    return host, int(port)


def parse_advertised(text: str) -> str:
    """Return the `HOST:PORT` at which other replicas reach this one. Raises `UsageError` for anything else.

    An IPv6 host may have no brackets: Kubernetes puts the address of a pod into a variable without them.
    """
    host, _, port_text = text.rpartition(":")
    with suppress(ValueError):
        text = f"[{IPv6Address(host)}]:{port_text}"
    with suppress(UsageError):
        host, port = parse_listen(text)
        if port and HOST.fullmatch(text) is not None and host not in _WILDCARDS:
            return text
    raise UsageError(
        "advertise-malformed",
        f"--advertise: {text!r} is not HOST:PORT of this replica",
        hints=(
            "Such as 10.1.2.3:9900, [2001:db8::1]:9900 or replica-0.example.com:9900. The other replicas connect to it.",
        ),
    )


def advertised_address(listener: socket.socket) -> str:
    """Return the `HOST:PORT` of a listener: for all addresses of this machine, that of its default route."""
    host, port = listener.getsockname()[:2]
    if host in _WILDCARDS:
        host = _address_of_this_machine(has_ipv6=listener.family == socket.AF_INET6)
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


_WILDCARDS: Final = frozenset({"0.0.0.0", "::"})  # noqa: S104 — compared only
# Addresses for documentation. Nothing is sent to them: connecting a UDP socket only selects its own address.
_ANYWHERE: Final = ((socket.AF_INET, "192.0.2.1"), (socket.AF_INET6, "2001:db8::1"))


def _address_of_this_machine(*, has_ipv6: bool) -> str:
    for family, anywhere in _ANYWHERE[: 2 if has_ipv6 else 1]:
        with suppress(OSError), socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect((anywhere, 9))
            return str(probe.getsockname()[0])
    return socket.gethostname()


def is_loopback(host: str) -> bool:
    """Return whether a host is the loopback interface."""
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


@contextmanager
def bind(host: str, port: int) -> Iterator[socket.socket]:
    """Listen, before anything else starts. Raises `ConfigError` if the address is not available."""
    # IPPROTO_TCP is explicit, since only then asyncio sets TCP_NODELAY, without which responses wait for an ACK.
    listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind((host, port))
            listener.listen(_BACKLOG)
        except OSError as error:
            raise ConfigError(
                "address-unavailable",
                f"can't listen on {host} port {port}: {error.strerror or error}",
                hints=("Another program may hold the port: name a free one with --listen HOST:PORT, port 0 for any.",),
            ) from error
        yield listener
    finally:
        listener.close()


@asynccontextmanager
async def serve(app: ASGIApp, listener: socket.socket, limits: Limits = _LIMITS) -> AsyncIterator[ServerAddress]:
    """Serve in the running loop until the block ends; responses in progress then have a second to finish."""
    server = _Server(_config(app, limits))
    task = asyncio.create_task(server.serve([listener]), name="octosync-web")
    try:
        started = asyncio.create_task(server.started_event.wait())
        await asyncio.wait({task, started}, return_when=asyncio.FIRST_COMPLETED)
        started.cancel()
        if task.done():
            await task  # raises what it failed with
        yield ServerAddress(_origin(listener))
    finally:
        server.stopping.set()
        with suppress(asyncio.CancelledError):
            await task


class _Server(uvicorn.Server):
    """A server that leaves signals to the controller, sets an event when it is ready, and stops at once."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.started_event = asyncio.Event()
        self.stopping = asyncio.Event()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals alone: the controller finishes its writes first."""
        yield

    async def main_loop(self) -> None:
        """Serve until stopped."""
        self.started_event.set()
        await self.stopping.wait()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Close idle connections, and wait only for responses in progress."""
        del sockets  # `bind` closes them
        for server in self.servers:
            server.close()
        for connection in list(self.server_state.connections):
            connection.shutdown()
        if tasks := list(self.server_state.tasks):
            _, late = await asyncio.wait(tasks, timeout=_GRACE_SECONDS)
            for task in late:
                task.cancel()
        await asyncio.sleep(0)  # the loop's next round closes what shutdown let go


def _config(app: ASGIApp, limits: Limits) -> uvicorn.Config:
    # uvicorn calls it to make one for each connection, and asks for no more than that.
    connection = cast("type[LimitedConnection]", partial(LimitedConnection, limits=limits))
    return uvicorn.Config(
        app,
        loop="asyncio",
        http=connection,
        ws="none",
        proxy_headers=False,
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        date_header=False,  # pages have the status's, and uvicorn would have to wake up for its own
        h11_max_incomplete_event_size=16 * 1024,
        timeout_keep_alive=30,
        backlog=_BACKLOG,
        timeout_graceful_shutdown=_GRACE_SECONDS,
    )


def _origin(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
