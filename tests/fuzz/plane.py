"""The embedded control plane for the fuzzer: real sockets, with a layer that kills clients, changes answers and lags."""

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
_PATIENCE = 5000  # milliseconds that requests of a client which has given up may take


@dataclass(frozen=True)
class Answer:
    """A whole answer, and the request that it is to."""

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
    """What happens to requests below the API's prefix, in force until it is replaced.

    `arrived` is told each request's number; `change` may replace an answer; `lag` is for how many reads, from the next write
    on, the answers show what was live before it.
    """

    inner: ASGIApp
    store: Any
    arrived: Callable[[int], None] | None = None
    change: Callable[[Answer], Answer] | None = None
    lag: int = 0
    count: int = 0
    underway: int = 0
    answers: list[Answer] = field(default_factory=list)
    _replica: sqlite3.Connection | None = None
    _lock: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request."""
        if not str(scope.get("path", "")).startswith(PREFIX):
            await self.inner(scope, receive, send)
            return
        self.count += 1
        self.underway += 1
        try:
            if self.arrived is not None:
                self.arrived(self.count)
            if self.lag:
                async with self._lock:
                    await self._lagging(scope, receive, send)
            else:
                await self._answered(scope, receive, send)
        finally:
            self.underway -= 1

    async def _lagging(self, scope: Scope, receive: Receive, send: Send) -> None:
        reads = scope["method"] == "GET"
        if not reads and self._replica is None:
            self._replica = open_database(None)
            self.store.connection.backup(self._replica)
        if not reads or self._replica is None:
            await self._answered(scope, receive, send)
            return
        true, self.store.connection = self.store.connection, self._replica
        try:
            await self._answered(scope, receive, send)
        finally:
            self.store.connection = true
        self.lag -= 1
        if not self.lag:
            self._forget()

    async def _answered(self, scope: Scope, receive: Receive, send: Send) -> None:
        change = (
            self.change
        )  # a client that has given up leaves requests behind, for which it may be gone before the end
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
        """Let everything pass again, and forget what was counted."""
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
    """A control plane, and a desk with manifests for it."""

    plane: EmbeddedPlane
    workdir: Workdir
    layer: Layer

    @property
    def url(self) -> str:
        """The control plane's origin."""
        return self.plane.running.url

    def snapshot(self) -> sqlite3.Connection:
        """Return a copy of everything that is live."""
        copy = sqlite3.connect(":memory:", check_same_thread=False)
        self.layer.store.connection.backup(copy)
        return copy

    def restore(self, snapshot: sqlite3.Connection) -> None:
        """Make live again what a snapshot has; faults end."""
        self.calm()
        snapshot.backup(self.layer.store.connection)

    def calm(self) -> None:
        """End all faults once nothing is under way any more, and empty the log."""
        for _ in range(_PATIENCE):
            if not self.layer.underway:
                break
            time.sleep(0.001)
        self.layer.calm()
        self.plane.running.app.state.plane.faults.replace([])
        self.plane.running.app.state.plane.log.clear()

    def writes(self) -> list[tuple[str, str, int | None]]:
        """Return method, path below the prefix, and status of what may have changed something, in order."""
        return [
            (entry["method"], entry["path"].partition("?")[0].removeprefix(PREFIX), entry["status"])
            for entry in self.plane.running.app.state.plane.log.to_json()
            if entry["method"] != "GET"
            and entry["path"].startswith(PREFIX)
            and not entry["path"].partition("?")[0].endswith(("/preview", "/check-optimization"))
        ]


@contextmanager
def opened_world() -> Iterator[World]:
    """Run a control plane, and have clients in this process wait for nothing between their attempts."""
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
