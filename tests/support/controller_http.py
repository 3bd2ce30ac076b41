"""The controller's HTTP side around a control: asked in this very loop, or over a socket in a thread."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import httpx
from tests.support.controller_statuses import ADMIN_TOKEN

from octosync.model import Secret
from octosync.watch.api import ControllerApi
from octosync.watch.web import WebOptions, bind, create_app, serve

URL = "http://127.0.0.1:9900"
AUTHORIZED = {"Authorization": f"Bearer {ADMIN_TOKEN}"}
BROWSER = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}


def web_options(control: ControllerApi, *, admin_token: str | None = ADMIN_TOKEN, **more: Any) -> WebOptions:
    """Return what is served: a control, and metrics of one line."""
    facts: dict[str, Any] = {
        "control": control,
        "metrics": lambda: b"octosync_apps 1\n",
        "metrics_type": "text/plain; version=0.0.4; charset=utf-8",
        "admin_token": None if admin_token is None else Secret(admin_token),
    }
    return WebOptions(**{**facts, **more})


@asynccontextmanager
async def app_client(control: ControllerApi, **more: Any) -> AsyncIterator[httpx.AsyncClient]:
    """Ask the application itself; what it fails with is answered, as a server does."""
    transport = httpx.ASGITransport(app=create_app(web_options(control, **more)), raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url=URL) as client:
        yield client


@contextmanager
def serve_controller(control: ControllerApi, *, port: int = 0, **more: Any) -> Iterator[str]:
    """Serve over a socket in a thread; yields the origin."""
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
            ready.set()  # whoever waits gets to see that it failed, instead of nothing

    thread = threading.Thread(target=run, name="served", daemon=True)
    thread.start()
    ready.wait()
    url, loop, stop = found[0]
    try:
        yield url
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join()
