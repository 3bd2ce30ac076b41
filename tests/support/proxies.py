"""Proxies between a client and a real server that can behave as faulty networks and load balancers do: for HTTP and TCP."""

from __future__ import annotations

import asyncio
import re
import secrets
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field, replace
from threading import Thread
from urllib.parse import urlsplit

from tests.support.scripted_server import AfterReply, Reply, Request, let_handlers_start, read_request, reset_on_close


def free_port() -> int:
    """Return a free port below those of outgoing connections, so that a stopped server can use it again."""
    for _ in range(100):
        port = 20000 + secrets.randbelow(12000)
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise AssertionError("no free port")


@dataclass(slots=True, eq=False)
class Exchange:
    """A request: `reached` is whether the server got it, `status` is the status that the client received."""

    request: Request
    reached: bool = False
    status: int | None = None

    @property
    def line(self) -> str:
        """`METHOD /path`, without API prefix and query."""
        return f"{self.request.method} {self.request.target.partition('?')[0].removeprefix('/api/v1')}"

    @property
    def writes(self) -> bool:
        """Whether the request may change something."""
        return self.request.method != "GET" and not self.line.endswith(("/preview", "/check-optimization"))


@dataclass(slots=True, eq=False)
class PendingExchange:
    """An exchange in flight: what a behavior can do with the request and the response."""

    exchange: Exchange
    proxy: Proxy
    writer: asyncio.StreamWriter
    raw: bytes
    released: asyncio.Event

    async def forward(self) -> bytes:
        """Send the request to the server, and return the response."""
        reader, writer = await asyncio.open_connection(*self.proxy.upstream)
        try:
            writer.write(self.raw)
            self.exchange.reached = True
            return await _read_answer(reader)
        finally:
            writer.close()

    def answer(self, data: bytes) -> None:
        """Send a response to the client."""
        with suppress(IndexError, ValueError):  # garbage has no status
            self.exchange.status = int(data.split(b" ", 2)[1])
        self.writer.write(data)


# Handles a request and its response; returns whether the connection can be used again.
Behavior = Callable[[PendingExchange], Awaitable[bool]]


async def pass_through(passage: PendingExchange) -> bool:
    """Pass the request and the response through."""
    passage.answer(await passage.forward())
    return True


async def drop_request(passage: PendingExchange) -> bool:
    """Reset the connection before the request reaches the server."""
    reset_on_close(passage.writer)
    return False


async def lose_response(passage: PendingExchange) -> bool:
    """Let the server carry out the request, and reset the connection before the response."""
    await passage.forward()
    reset_on_close(passage.writer)
    return False


async def cut_response(passage: PendingExchange) -> bool:
    """Let the server carry out the request, and reset the connection in the middle of the response."""
    data = await passage.forward()
    passage.writer.write(data[: len(data) - 5])
    with suppress(ConnectionError):
        await passage.writer.drain()
    reset_on_close(passage.writer)
    return False


async def send_piecemeal(passage: PendingExchange) -> bool:
    """Send the response in pieces of a few bytes."""
    data = await passage.forward()
    passage.answer(b"")
    for start in range(0, len(data), 7):
        passage.writer.write(data[start : start + 7])
        await passage.writer.drain()
        await asyncio.sleep(0)
    return True


async def never_respond(passage: PendingExchange) -> bool:
    """Hold the request back and send nothing until the proxy is restored."""
    await passage.released.wait()
    return False


async def delay_response(passage: PendingExchange) -> bool:
    """Let the server carry out the request, and hold the response back until the proxy is restored."""
    data = await passage.forward()
    await passage.released.wait()
    passage.answer(data)
    return True


def reply_with(reply: Reply) -> Behavior:
    """Return a behavior that sends this reply; the request never reaches the server."""

    async def behavior(passage: PendingExchange) -> bool:
        passage.answer(reply.data)
        if reply.then is AfterReply.RESET:
            reset_on_close(passage.writer)
        return reply.then is AfterReply.KEEP

    return behavior


@dataclass(slots=True, eq=False)
class _Rule:
    behavior: Behavior
    applies: Callable[[Exchange], bool]
    left: int | None
    count: int = 0


@dataclass(slots=True)
class Proxy:
    """A proxy: `exchanges` are all requests in order of arrival."""

    upstream: tuple[str, int]
    port: int = 0
    exchanges: list[Exchange] = field(default_factory=list)
    released: asyncio.Event = field(default_factory=asyncio.Event)
    in_flight: int = 0
    _rule: _Rule | None = None
    _server: asyncio.Server | None = None
    _listens: bool = False
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)

    @property
    def url(self) -> str:
        """The proxy's URL."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def injected(self) -> int:
        """How often the last injected behavior was used."""
        return self._rule.count if self._rule is not None else 0

    def lines(self) -> list[str]:
        """Return `METHOD /path` of every request."""
        return [exchange.line for exchange in self.exchanges]

    def writes(self) -> list[str]:
        """Return `METHOD /path` of every request that may have changed something."""
        return [exchange.line for exchange in self.exchanges if exchange.writes]

    def inject(
        self, behavior: Behavior, *, which: Callable[[Exchange], bool] = lambda _: True, times: int | None = None
    ) -> None:
        """Use this behavior for matching requests from now on, in place of the last one; `times` None means all of them."""
        self._rule = _Rule(behavior, which, times)

    def restore(self) -> None:
        """Pass everything through again, and release the held requests and responses."""
        self._rule = None
        self.released.set()
        self.released = asyncio.Event()

    async def listen(self) -> None:
        """Accept connections."""
        self.port, self._listens = self.port or free_port(), True
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)

    async def stop_listening(self) -> None:
        """Refuse new connections, and close the open ones."""
        self._listens = False
        if self._server is not None:
            self._server.close()
            self._server = None
        await let_handlers_start()
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _behavior_of(self, exchange: Exchange) -> Behavior:
        rule = self._rule
        if rule is None or rule.left == 0 or not rule.applies(exchange):
            return pass_through
        rule.left = None if rule.left is None else rule.left - 1
        rule.count += 1
        return rule.behavior

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if not self._listens:  # accepted just before it has stopped
            reset_on_close(writer)
            writer.close()
            return
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            while (request := await read_request(reader)) is not None:
                request = _to_server(request)
                exchange = Exchange(request)
                self.exchanges.append(exchange)
                self.in_flight += 1
                try:
                    behavior = self._behavior_of(exchange)
                    keep_open = await behavior(PendingExchange(exchange, self, writer, _raw(request), self.released))
                    await writer.drain()
                finally:
                    self.in_flight -= 1
                if not keep_open:
                    break
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            writer.close()
            with suppress(OSError, asyncio.CancelledError):
                await writer.wait_closed()
            self._tasks.discard(task)


def _to_server(request: Request) -> Request:
    """Return a request as the server gets it: a client that uses this as its HTTP proxy sends a URL instead of a path."""
    path = re.sub("^http://[^/]*", "", request.target) or "/"
    if path == request.target:
        return request
    return replace(request, target=path, headers={**request.headers, "host": "127.0.0.1"})


@asynccontextmanager
async def run_proxy(url: str) -> AsyncIterator[Proxy]:
    """Run a proxy in front of a server, on a free port of loopback."""
    parts = urlsplit(url)
    proxy = Proxy((str(parts.hostname), int(parts.port or 80)))
    await proxy.listen()
    try:
        yield proxy
    finally:
        proxy.restore()
        await proxy.stop_listening()


@dataclass(slots=True)
class TcpProxy:
    """A proxy for any protocol over TCP, which runs in a thread of its own; `connections` counts the accepted ones.

    A call takes effect before it returns, for open and new connections.
    """

    upstream: tuple[str, int]
    port: int = 0
    connections: int = 0
    _thread: Thread = field(init=False)
    _delay: float = 0
    _lost: bytes = b""  # what the response contains that is lost
    _flows: asyncio.Event = field(default_factory=asyncio.Event)
    _loop: asyncio.AbstractEventLoop = field(default_factory=asyncio.new_event_loop)
    _server: asyncio.Server | None = None
    _listens: bool = False
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)

    def start(self) -> None:
        """Start the thread, and accept connections."""
        self._thread = Thread(target=self._loop.run_forever)
        self._thread.start()
        self.restore()

    def stop(self) -> None:
        """Reset all connections, and end the thread."""
        self.refuse()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def cut(self) -> None:
        """Reset all open connections. New ones work."""
        self._run(self._cut())

    def refuse(self) -> None:
        """Reset all open connections, and refuse new ones."""
        self._run(self._stop_listening())

    def hang(self) -> None:
        """Accept new connections, but pass nothing on, neither on open nor on new ones."""
        self._run(self._set_flow(flows=False))

    def delay(self, seconds: float) -> None:
        """Pass on everything this much later."""
        self._run(self._set_flow(delay=seconds))

    def lose_response(self, content: bytes) -> None:
        """Reset the next connection on which the server responds with this content, instead. New ones work."""
        self._lost = content

    def restore(self) -> None:
        """Accept connections, and pass on everything at once, also what was held back."""
        self._lost = b""
        self._run(self._set_flow())
        self._run(self._listen())

    def _run(self, step: Coroutine[object, object, None]) -> None:
        asyncio.run_coroutine_threadsafe(step, self._loop).result()

    async def _set_flow(self, *, flows: bool = True, delay: float = 0) -> None:
        self._delay = delay
        if flows:
            self._flows.set()
        else:
            self._flows.clear()

    async def _listen(self) -> None:
        if self._server is None:
            self.port, self._listens = self.port or free_port(), True
            self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)

    async def _cut(self) -> None:
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _stop_listening(self) -> None:
        self._listens = False
        if self._server is not None:
            self._server.close()
            self._server = None
        await let_handlers_start()
        await self._cut()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if not self._listens:  # accepted just before it has stopped
            reset_on_close(writer)
            writer.close()
            return
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self.connections += 1
        writers = [writer]
        try:
            await self._flows.wait()
            upstream_reader, upstream_writer = await asyncio.open_connection(*self.upstream)
            writers.append(upstream_writer)
            await _run_together(self._pass_on(reader, upstream_writer), self._pass_on(upstream_reader, writer))
        except (OSError, asyncio.CancelledError):
            for ended in writers:
                with suppress(OSError):  # it is closed
                    reset_on_close(ended)
        finally:
            for ended in writers:
                ended.close()
            self._tasks.discard(task)

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Pass on what is read, each part at its own time: what was sent without a pause arrives without one."""
        parts: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()

        async def read() -> None:
            data = b"?"
            while data:
                data = await reader.read(1 << 16)
                parts.put_nowait((self._loop.time() + self._delay, data))

        async def write() -> None:
            while True:
                due, data = await parts.get()
                await asyncio.sleep(due - self._loop.time())
                await self._flows.wait()
                if not data:
                    break
                if self._lost and self._lost in data:
                    self._lost = b""
                    raise ConnectionResetError
                writer.write(data)
                await writer.drain()
            writer.write_eof()

        await _run_together(read(), write())


async def _run_together(*steps: Coroutine[object, object, None]) -> None:
    """Run coroutines until all have ended; if one fails, cancel the others."""
    tasks = [asyncio.ensure_future(step) for step in steps]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@contextmanager
def run_tcp_proxy(port: int) -> Iterator[TcpProxy]:
    """Run a proxy in front of a port of loopback, on a free port."""
    proxy = TcpProxy(("127.0.0.1", port))
    proxy.start()
    try:
        yield proxy
    finally:
        proxy.stop()


def repeated_writes(exchanges: Iterable[Exchange], ours: Callable[[Exchange], bool] = lambda _: True) -> list[str]:
    """Return our successful writes that repeat the last write to the same object.

    A teammate's changes in between must be among the exchanges; otherwise a write that reverts one looks like a repetition.
    """
    latest: dict[str, tuple[str, bytes]] = {}
    repetitions = []
    for exchange in exchanges:
        if not exchange.writes or not exchange.reached or (exchange.status or 200) >= 400:
            continue  # it changed nothing
        method, path = exchange.line.split(" ")
        body = exchange.request.body
        effect = (method, body)
        # A new object has no path yet.
        target = f"{path} {body.decode()}" if method == "POST" else path
        if latest.get(target) == effect and ours(exchange):
            repetitions.append(f"{exchange.line} {body.decode()}")
        latest[target] = effect
        if method == "DELETE":  # the same object may be created again
            collection = f"{path.rpartition('/')[0]} "
            latest = {name: write for name, write in latest.items() if not name.startswith(collection)}
    return repetitions


def _raw(request: Request) -> bytes:
    kept = {name: value for name, value in request.headers.items() if name != "connection"}
    head = [f"{request.method} {request.target} HTTP/1.1", *(f"{name}: {value}" for name, value in kept.items())]
    return "\r\n".join([*head, "connection: close", "", ""]).encode() + request.body


async def _read_answer(reader: asyncio.StreamReader) -> bytes:
    """Read the whole response of a connection that closes after it; drop the header that would close the client's."""
    head, separator, body = (await reader.read()).partition(b"\r\n\r\n")
    if not separator:
        raise asyncio.IncompleteReadError(head, None)
    lines = [line for line in head.split(b"\r\n") if not line.lower().startswith(b"connection:")]
    return b"\r\n".join(lines) + separator + body
