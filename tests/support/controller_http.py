"""The controller's HTTP side for a given API: called in the running event loop, or served over a socket by a thread."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import httpx
from tests.support.controller_statuses import ADMIN_TOKEN

from octosync.model import Secret
from octosync.watch.controller_api import ControllerApi
from octosync.watch.web import WebOptions, bind, create_app, serve

URL = "http://127.0.0.1:9900"
AUTHORIZED = {"Authorization": f"Bearer {ADMIN_TOKEN}"}
BROWSER = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}


def web_options(control: ControllerApi, *, admin_token: str | None = ADMIN_TOKEN, **more: Any) -> WebOptions:
    """Return the options of the HTTP side, with metrics of one line."""
    facts: dict[str, Any] = {
        "control": control,
        "metrics": lambda: b"octosync_apps 1\n",
        "metrics_type": "text/plain; version=0.0.4; charset=utf-8",
        "admin_token": None if admin_token is None else Secret(admin_token),
    }
    return WebOptions(**{**facts, **more})


@asynccontextmanager
async def app_client(control: ControllerApi, **more: Any) -> AsyncIterator[httpx.AsyncClient]:
    """Yield a client of the application itself; an exception becomes a response, as in a server."""
    transport = httpx.ASGITransport(app=create_app(web_options(control, **more)), raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url=URL) as client:
        yield client


@contextmanager
def serve_controller(control: ControllerApi, *, port: int = 0, **more: Any) -> Iterator[str]:
    """Serve over a socket in a thread; yield the URL."""
    ready = threading.Event()
    found: list[tuple[str, asyncio.AbstractEventLoop, asyncio.Event]] = []

    async def main() -> None:
        stop = asyncio.Event()
        with bind("127.0.0.1", port) as listener:
            async with serve(create_app(web_options(control, **more)), listener) as at:
                found.append((at.url, asyncio.get_running_loop(), stop))
                ready.set()
                await stop.wait()

    def run() -> None:
        try:
            asyncio.run(main())
        finally:
            ready.set()  # after a failure too, so that the test does not wait for ever

    thread = threading.Thread(target=run, name="controller-http", daemon=True)
    thread.start()
    ready.wait()
    url, loop, stop = found[0]
    try:
        yield url
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join()
