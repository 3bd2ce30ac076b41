"""A TCP server that sends exactly the given bytes, then keeps, closes or resets the connection, or hangs."""

from __future__ import annotations

import asyncio
import json
import socket
import struct
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from enum import Enum
from typing import Any


class AfterReply(Enum):
    """What happens to the connection after a reply."""

    KEEP = "keep the connection for the next request"
    CLOSE = "close the connection properly"
    RESET = "reset the connection"
    HANG = "send nothing more"


@dataclass(frozen=True, slots=True)
class Reply:
    """The bytes of a reply, and what happens after them."""

    data: bytes = b""
    then: AfterReply = AfterReply.KEEP


@dataclass(frozen=True, slots=True)
class Request:
    """A request as it was received."""

    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes


@dataclass(slots=True)
class ScriptedServer:
    """A scripted server: `url` has no path, `received` are its requests, and the first one sets `requested`."""

    url: str
    received: list[Request] = field(default_factory=list)
    connections: int = 0
    requested: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def lines(self) -> list[str]:
        """`METHOD target` of each request."""
        return [f"{request.method} {request.target}" for request in self.received]


Responder = Callable[[Request], Reply]


def http_reply(
    status: int = 200,
    body: bytes | str = b"",
    *,
    headers: Mapping[str, str] | None = None,
    then: AfterReply = AfterReply.KEEP,
    claims: int | None = None,
) -> Reply:
    """Return a valid HTTP response; `claims` is a Content-Length other than the true one."""
    content = body.encode() if isinstance(body, str) else body
    length = len(content) if claims is None else claims
    lines = [f"HTTP/1.1 {status} Whatever", f"Content-Length: {length}"]
    lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
    return Reply("\r\n".join([*lines, "", ""]).encode() + content, then)


def json_reply(value: Any, status: int = 200, *, request_id: str = "req_1", **headers: str) -> Reply:
    """Return a JSON response with a request id; `Retry_After="3"` becomes the header `Retry-After`."""
    named = {name.replace("_", "-"): text for name, text in headers.items()}
    head = {"Content-Type": "application/json", "X-Request-Id": request_id, **named}
    return http_reply(status, json.dumps(value), headers=head)


@asynccontextmanager
async def scripted_server(*replies: Reply | Responder, greeting: bytes = b"") -> AsyncIterator[ScriptedServer]:
    """Serve on a free port of loopback: the replies in order, over all connections, the last one for ever.

    A function in place of a reply is called with the request. With a `greeting`, a connection gets nothing else.
    """
    script = list(replies)
    finished = asyncio.Event()
    tasks: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        served.connections += 1
        try:
            writer.write(greeting)
            while not greeting and (request := await read_request(reader)) is not None:
                served.received.append(request)
                served.requested.set()
                step = script.pop(0) if len(script) > 1 else script[0]
                reply = step if isinstance(step, Reply) else step(request)
                writer.write(reply.data)
                await writer.drain()
                if reply.then is AfterReply.HANG:
                    await finished.wait()
                if reply.then is AfterReply.RESET:
                    reset_on_close(writer)
                if reply.then is not AfterReply.KEEP:
                    break
        except (ConnectionError, asyncio.CancelledError):
            pass
        finally:
            writer.close()
            with suppress(ConnectionError, asyncio.CancelledError):
                await writer.wait_closed()
            tasks.discard(task)

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    served = ScriptedServer(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}")
    try:
        yield served
    finally:
        finished.set()
        server.close()
        await let_handlers_start()
        for task in list(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def read_request(reader: asyncio.StreamReader) -> Request | None:
    """Read one request; None if it is incomplete."""
    try:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        first, *rest = head.rstrip("\r\n").split("\r\n")
        method, target, _ = first.split(" ")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in rest)}
        body = await reader.readexactly(int(headers.get("content-length", "0")))
    except (asyncio.IncompleteReadError, ConnectionError, ValueError):
        return None
    return Request(method, target, headers, body)


async def let_handlers_start() -> None:
    """Let connections that were accepted just before reach their handlers, which close them: otherwise they stay open."""
    for _ in range(3):
        await asyncio.sleep(0)


def reset_on_close(writer: asyncio.StreamWriter) -> None:
    """Make the close of the connection send RST instead of FIN."""
    connection: socket.socket = writer.get_extra_info("socket")
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
