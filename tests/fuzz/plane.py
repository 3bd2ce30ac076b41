"""The embedded control plane for the fuzzer: real sockets, with a layer that kills clients, changes responses and lags."""

from __future__ import annotations

import asyncio
import sqlite3
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest.mock import patch

from starlette.types import ASGIApp, Message, Receive, Scope, Send
from tests.support.embedded_planes import EmbeddedPlane, run_plane
from tests.support.workdirs import Workdir

from octosync.octomil import Connection
from octosync.server.store import open_database

PREFIX = "/api/v1"
_PATIENCE = 5000  # milliseconds that leftover requests of a client may take


@dataclass(frozen=True)
class Answer:
    """A whole response, and its request."""

    method: str
    target: str
    status: int
    headers: tuple[tuple[bytes, bytes], ...]
    body: bytes

    @property
    def line(self) -> str:
        """`METHOD /path?query` below the API's prefix."""
        return f"{self.method} {self.target}"


@dataclass
class Layer:
    """Changes requests and responses below the API's prefix.

    `arrived` is called with each request's number; `change` may replace a response; `lag` is the number of reads after the
    next write that still return the state before it.
    """

    inner: ASGIApp
    store: Any
    arrived: Callable[[int], None] | None = None
    change: Callable[[Answer], Answer] | None = None
    lag: int = 0
    count: int = 0
    in_flight: int = 0
    answers: list[Answer] = field(default_factory=list)
    _replica: sqlite3.Connection | None = None
    _lock: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request."""
        if not str(scope.get("path", "")).startswith(PREFIX):
            await self.inner(scope, receive, send)
            return
        self.count += 1
        self.in_flight += 1
        try:
            if self.arrived is not None:
                self.arrived(self.count)
            if self.lag:
                async with self._lock:
                    await self._serve_lagging(scope, receive, send)
            else:
                await self._serve_changed(scope, receive, send)
        finally:
            self.in_flight -= 1

    async def _serve_lagging(self, scope: Scope, receive: Receive, send: Send) -> None:
        reads = scope["method"] == "GET"
        if not reads and self._replica is None:
            self._replica = open_database(None)
            self.store.connection.backup(self._replica)
        if not reads or self._replica is None:
            await self._serve_changed(scope, receive, send)
            return
        true, self.store.connection = self.store.connection, self._replica
        try:
            await self._serve_changed(scope, receive, send)
        finally:
            self.store.connection = true
        self.lag -= 1
        if not self.lag:
            self._forget()

    async def _serve_changed(self, scope: Scope, receive: Receive, send: Send) -> None:
        change = (
            self.change
        )  # read now: a request that its client has given up may still run after the change has ended
        if change is None:
            await self.inner(scope, receive, send)
            return
        messages: list[Message] = []

        async def catch(message: Message) -> None:
            messages.append(message)

        await self.inner(scope, receive, catch)
        query = scope["query_string"].decode()
        target = scope["path"].removeprefix(PREFIX) + (f"?{query}" if query else "")
        body = b"".join(message.get("body", b"") for message in messages[1:])
        true = Answer(scope["method"], target, messages[0]["status"], tuple(messages[0]["headers"]), body)
        changed = change(true)
        self.answers.append(true)
        kept = [(name, value) for name, value in changed.headers if name.lower() != b"content-length"]
        bodiless = changed.status in {204, 304}
        if not bodiless:
            kept.append((b"content-length", str(len(changed.body)).encode()))
        await send({"type": "http.response.start", "status": changed.status, "headers": kept})
        await send({"type": "http.response.body", "body": b"" if bodiless else changed.body})

    def calm(self) -> None:
        """End all changes, and reset the counts."""
        self.arrived = self.change = None
        self.lag = self.count = 0
        self.answers = []
        self._forget()

    def _forget(self) -> None:
        if self._replica is not None:
            self._replica.close()
            self._replica = None


@dataclass
class World:
    """A control plane, and a working directory with manifests for it."""

    plane: EmbeddedPlane
    workdir: Workdir
    layer: Layer

    @property
    def url(self) -> str:
        """The control plane's URL."""
        return self.plane.running.url

    def snapshot(self) -> sqlite3.Connection:
        """Return a copy of the live state."""
        copy = sqlite3.connect(":memory:", check_same_thread=False)
        self.layer.store.connection.backup(copy)
        return copy

    def restore(self, snapshot: sqlite3.Connection) -> None:
        """Restore the live state of a snapshot, and end all faults."""
        self.calm()
        snapshot.backup(self.layer.store.connection)

    def calm(self) -> None:
        """Wait until no request is in flight, end all faults, and empty the log."""
        for _ in range(_PATIENCE):
            if not self.layer.in_flight:
                break
            time.sleep(0.001)
        self.layer.calm()
        self.plane.running.app.state.plane.faults.replace([])
        self.plane.running.app.state.plane.log.clear()

    def writes(self) -> list[tuple[str, str, int | None]]:
        """Return method, path below the prefix, and status of the requests that may have changed something, in order."""
        return [
            (entry["method"], entry["path"].partition("?")[0].removeprefix(PREFIX), entry["status"])
            for entry in self.plane.running.app.state.plane.log.to_json()
            if entry["method"] != "GET"
            and entry["path"].startswith(PREFIX)
            and not entry["path"].partition("?")[0].endswith(("/preview", "/check-optimization"))
        ]


@contextmanager
def open_world() -> Iterator[World]:
    """Run a control plane; clients in this process retry without a wait."""
    waits = {"backoff": 0.0, "response_timeout": 30.0}
    with (
        tempfile.TemporaryDirectory(prefix="octosync-fuzz-") as folder,
        run_plane() as plane,
        patch.dict(Connection.__init__.__kwdefaults__, waits),
    ):
        app = plane.running.app
        layer = Layer(app.build_middleware_stack(), app.state.plane.store)
        app.middleware_stack = layer
        yield World(plane, Workdir(Path(folder), {"OCTOSYNC_RATE": "0", "OCTOSYNC_URL": plane.running.url}), layer)
