"""A proxy between a client and a real server, which does to requests and answers what networks and load balancers do."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from tests.support.scripted_server import AfterReply, Reply, Request, read_request, reset_on_close


@dataclass(slots=True, eq=False)
class Exchange:
    """One request as it came through: `reached` says whether the server got it, `status` what the client was answered."""

    request: Request
    reached: bool = False
    status: int | None = None

    @property
    def line(self) -> str:
        """`METHOD /path`, without API prefix and query."""
        return f"{self.request.method} {self.request.target.partition('?')[0].removeprefix('/api/v1')}"

    @property
    def writes(self) -> bool:
        """Whether it may change something."""
        return self.request.method != "GET" and not self.line.endswith(("/preview", "/check-optimization"))


@dataclass(slots=True, eq=False)
class PendingExchange:
    """An exchange under way, in the hands of what happens to it."""

    exchange: Exchange
    proxy: Proxy
    writer: asyncio.StreamWriter
    raw: bytes
    released: asyncio.Event

    async def forward(self) -> bytes:
        """Have the server carry the request out, and return its answer."""
        reader, writer = await asyncio.open_connection(*self.proxy.upstream)
        try:
            writer.write(self.raw)
            self.exchange.reached = True
            return await _read_answer(reader)
        finally:
            writer.close()

    def answer(self, data: bytes) -> None:
        """Give the client an answer."""
        with suppress(IndexError, ValueError):  # garbage has no status
            self.exchange.status = int(data.split(b" ", 2)[1])
        self.writer.write(data)


# What happens to a request and its answer; returns whether the connection is good for another one.
Behavior = Callable[[PendingExchange], Awaitable[bool]]


async def pass_through(passage: PendingExchange) -> bool:
    """Let it pass."""
    passage.answer(await passage.forward())
    return True


async def drop_request(passage: PendingExchange) -> bool:
    """Reset the connection; the request never arrives."""
    reset_on_close(passage.writer)
    return False


async def lose_response(passage: PendingExchange) -> bool:
    """Have the request carried out, and reset the connection before there is an answer."""
    await passage.forward()
    reset_on_close(passage.writer)
    return False


async def cut_response(passage: PendingExchange) -> bool:
    """Have the request carried out, and reset the connection in the middle of the answer."""
    data = await passage.forward()
    passage.writer.write(data[: len(data) - 5])
    with suppress(ConnectionError):
        await passage.writer.drain()
    reset_on_close(passage.writer)
    return False


async def send_piecemeal(passage: PendingExchange) -> bool:
    """Give the answer in pieces of a few bytes."""
    data = await passage.forward()
    passage.answer(b"")
    for start in range(0, len(data), 7):
        passage.writer.write(data[start : start + 7])
        await passage.writer.drain()
        await asyncio.sleep(0)
    return True


async def never_respond(passage: PendingExchange) -> bool:
    """Say nothing, and let the request go nowhere, until the proxy heals."""
    await passage.released.wait()
    return False


async def delay_response(passage: PendingExchange) -> bool:
    """Have the request carried out, and the answer held back until the proxy heals."""
    data = await passage.forward()
    await passage.released.wait()
    passage.answer(data)
    return True


def reply_with(reply: Reply) -> Behavior:
    """Have something answered that is not the server's, which never gets the request."""

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
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)

    @property
    def url(self) -> str:
        """Its origin."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def injected(self) -> int:
        """How often what was asked for last has happened."""
        return self._rule.count if self._rule is not None else 0

    def lines(self) -> list[str]:
        """Return `METHOD /path` of every request."""
        return [one.line for one in self.exchanges]

    def writes(self) -> list[str]:
        """Return `METHOD /path` of those that may have changed something."""
        return [one.line for one in self.exchanges if one.writes]

    def inject(
        self, behavior: Behavior, *, which: Callable[[Exchange], bool] = lambda _: True, times: int | None = None
    ) -> None:
        """Have this happen to requests from now on, in place of what was asked for before; `times` None: to all of them."""
        self._rule = _Rule(behavior, which, times)

    def restore(self) -> None:
        """Let everything pass, and what was held go on."""
        self._rule = None
        self.released.set()
        self.released = asyncio.Event()

    async def listen(self) -> None:
        """Accept connections."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop_listening(self) -> None:
        """Refuse connections, and end those that there are."""
        if self._server is not None:
            self._server.close()
            self._server = None
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
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            while (request := await read_request(reader)) is not None:
                exchange = Exchange(request)
                self.exchanges.append(exchange)
                self.in_flight += 1
                try:
                    behavior = self._behavior_of(exchange)
                    goes_on = await behavior(PendingExchange(exchange, self, writer, _raw(request), self.released))
                    await writer.drain()
                finally:
                    self.in_flight -= 1
                if not goes_on:
                    break
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            writer.close()
            with suppress(OSError, asyncio.CancelledError):
                await writer.wait_closed()
            self._tasks.discard(task)


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


def repeated_writes(exchanges: Iterable[Exchange], ours: Callable[[Exchange], bool] = lambda _: True) -> list[str]:
    """Return our writes that were carried out and did what was done already: the same to the same object twice in a row.

    What others do to an object in between has to be among the exchanges, or a write that undoes it looks like a repetition.
    """
    latest: dict[str, tuple[str, bytes]] = {}
    found = []
    for one in exchanges:
        if not one.writes or not one.reached or (one.status or 200) >= 400:
            continue  # it changed nothing
        method, path = one.line.split(" ")
        effect = (method, one.request.body)
        # What is created has no path of its own yet.
        thing = f"{path} {one.request.body.decode()}" if method == "POST" else path
        if latest.get(thing) == effect and ours(one):
            found.append(f"{one.line} {one.request.body.decode()}")
        latest[thing] = effect
        if method == "DELETE":  # the same may be created anew
            beside = f"{path.rpartition('/')[0]} "
            latest = {name: done for name, done in latest.items() if not name.startswith(beside)}
    return found


def _raw(request: Request) -> bytes:
    kept = {name: value for name, value in request.headers.items() if name != "connection"}
    head = [f"{request.method} {request.target} HTTP/1.1", *(f"{name}: {value}" for name, value in kept.items())]
    return "\r\n".join([*head, "connection: close", "", ""]).encode() + request.body


async def _read_answer(reader: asyncio.StreamReader) -> bytes:
    """Read one whole answer of a connection that ends with it, and have the client's go on."""
    head, separator, body = (await reader.read()).partition(b"\r\n\r\n")
    if not separator:
        raise asyncio.IncompleteReadError(head, None)
    lines = [line for line in head.split(b"\r\n") if not line.lower().startswith(b"connection:")]
    return b"\r\n".join(lines) + separator + body
