"""A commit that arrives during a reconcile: values that it replaces are no longer written."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
from tests.support.commits import commit
from tests.support.controllers import FastClock, RunningController, run_controller
from tests.support.local_app import TransportWrapper
from tests.support.plane import Plane, writes_in
from tests.support.watched_apps import CLOUD, NEVER, app_slugs, create_live, declare, plane_of_ana, requests_of

from octosync.watch.status import AppState

CHAT = "/api/v1/apps/demo/slots/chat"
VISION = "/api/v1/apps/demo/slots/vision"


@dataclass
class HeldResponse:
    """A response that `arrived` at the transport, and is delivered once it is `released`."""

    request: str
    arrived: asyncio.Event = field(default_factory=asyncio.Event)
    released: asyncio.Event = field(default_factory=asyncio.Event)


class HoldingTransport(TransportWrapper):
    """Delays responses to requests that the control plane has executed."""

    def __init__(self) -> None:
        self._held: list[HeldResponse] = []

    def hold(self, request: str) -> HeldResponse:
        """Hold the response to the next request of this `METHOD path`."""
        held = HeldResponse(request)
        self._held.append(held)
        return held

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request."""
        response = await self.inner.handle_async_request(request)
        sent = f"{request.method} {request.url.path}"
        held = next((held for held in self._held if held.request == sent and not held.arrived.is_set()), None)
        if held is not None:
            held.arrived.set()
            await held.released.wait()
        return response


def mode(plane: Plane, slot: str, app: str = "demo") -> str:
    """Return the live routing mode of a slot."""
    return str(plane.send("GET", f"/apps/{app}/slots/{slot}")["serving_policy"]["routing_mode"])


async def load(watch: RunningController, change: Callable[[], object]) -> None:
    """Change the manifests, and wait until the controller has loaded them."""
    before = len(watch.logged("manifests_loaded"))
    change()
    await watch.until(lambda: len(watch.logged("manifests_loaded")) > before)


async def test_a_commit_during_the_reads_of_a_revert_is_written_at_once(tmp_path: Path) -> None:
    """The value from before the commit is not written. The object is written once, as declared by the commit."""
    clock, transport = FastClock(60), HoldingTransport()
    declare(tmp_path, "demo")
    settings: Any = {"drift_hold": timedelta(), "resync": NEVER, "transport": transport}
    with plane_of_ana(clock) as plane:
        async with run_controller(tmp_path, plane, clock, **settings) as watch:
            await watch.until_in_sync()
            plane.log()
            held = transport.hold("GET /api/v1/apps/demo/slots")
            plane.send("PUT", "/apps/demo/slots/chat", CLOUD)
            await held.arrived.wait()
            await load(watch, lambda: declare(tmp_path, "demo", chat="local_only"))
            held.released.set()
            await watch.until(lambda: mode(plane, "chat") == "local_only" and watch.is_in_sync)
            assert writes_in(requests_of(plane, "octosync")) == [f"PUT {CHAT}"]


async def test_a_commit_during_the_writes_of_a_reconcile_is_written_at_once(tmp_path: Path) -> None:
    """Actions of the previous commit that are not sent yet are dropped. Each object is written once."""
    clock, transport = FastClock(60), HoldingTransport()
    slots = {"chat": "local_first", "vision": "local_first"}
    declare(tmp_path, "demo", slots=slots)
    with plane_of_ana(clock) as plane:
        async with run_controller(tmp_path, plane, clock, resync=NEVER, transport=transport) as watch:
            await watch.until_in_sync()
            plane.log()
            held = transport.hold(f"PUT {CHAT}")
            declare(tmp_path, "demo", slots=dict.fromkeys(slots, "cloud_first"))
            await held.arrived.wait()
            await load(watch, lambda: declare(tmp_path, "demo", slots={"chat": "cloud_first", "vision": "local_only"}))
            held.released.set()
            await watch.until(lambda: mode(plane, "vision") == "local_only" and watch.is_in_sync)
            assert writes_in(requests_of(plane, "octosync")) == [f"PUT {CHAT}", f"PUT {VISION}"]


async def test_an_app_that_leaves_the_manifests_during_a_reconcile_is_not_written(tmp_path: Path) -> None:
    """A revert in preparation is given up with the manifest. The app stays as it is and is no longer reconciled."""
    clock, transport = FastClock(60), HoldingTransport()
    declare(tmp_path, "demo", "other")
    settings: Any = {"drift_hold": timedelta(), "resync": NEVER, "transport": transport}
    with plane_of_ana(clock) as plane:
        async with run_controller(tmp_path, plane, clock, **settings) as watch:
            await watch.until_in_sync()
            plane.log()
            held = transport.hold("GET /api/v1/apps/demo/slots")
            plane.send("PUT", "/apps/demo/slots/chat", CLOUD)
            await held.arrived.wait()
            await load(watch, (tmp_path / "apps" / "demo.json").unlink)
            held.released.set()
            await watch.until(lambda: not watch.controller.queue.running)
            assert watch.app().state is AppState.ORPHANED
            declare(tmp_path, "other", chat="local_only")
            await watch.until(lambda: mode(plane, "chat", "other") == "local_only")
            await watch.until(lambda: not watch.controller.queue.running)
            assert writes_in(requests_of(plane, "octosync")) == ["PUT /api/v1/apps/other/slots/chat"]


async def test_an_archive_waits_for_the_plan_of_its_own_commit(tmp_path: Path) -> None:
    """The end of a reconcile that began before the commit does not count for the commit's other actions."""
    clock, transport = FastClock(60), HoldingTransport()
    commit(tmp_path, {"demo": {"slots": {"chat": "local_first"}}, "old": {}})
    with plane_of_ana(clock) as plane:
        async with run_controller(tmp_path, plane, clock, resync=NEVER, transport=transport) as watch:
            await watch.until_in_sync()
            held = transport.hold(f"PUT {CHAT}")
            commit(tmp_path, {"demo": {"slots": {"chat": "cloud_first"}}, "old": {}})
            await held.arrived.wait()
            await load(
                watch,
                lambda: commit(tmp_path, {"demo": {"slots": {"chat": "performance_first"}}, "old": {"archived": True}}),
            )
            second = transport.hold(f"PUT {CHAT}")
            held.released.set()
            await second.arrived.wait()
            await watch.until(lambda: "all other actions" in watch.app("old").why_waiting)
            second.released.set()
            await watch.until(lambda: plane.send("GET", "/apps/old")["archived_at"])


async def test_an_app_that_was_written_while_the_apps_were_listed_is_read_again(tmp_path: Path) -> None:
    """A list from before our own write does not count. The write is neither drift nor repeated."""
    clock, transport = FastClock(), HoldingTransport()
    apps = app_slugs(7)
    declare(tmp_path, *apps, description="Old")
    settings: Any = {"drift_hold": timedelta(), "resync": NEVER, "transport": transport}
    with plane_of_ana(clock) as plane:
        create_live(plane, *apps)
        async with run_controller(tmp_path, plane, clock, **settings) as watch:
            await watch.until_in_sync()
            plane.log()
            held = transport.hold("GET /api/v1/apps")
            done = len(watch.logged("action"))
            watch.controller.resync.request()
            await held.arrived.wait()
            declare(tmp_path, apps[0], description="New")
            await watch.until(lambda: len(watch.logged("action")) > done and watch.is_in_sync)
            read = watch.status.full_read_at
            held.released.set()
            await watch.until(lambda: watch.status.full_read_at != read and watch.is_in_sync)
            assert writes_in(requests_of(plane, "octosync")) == [f"PATCH /api/v1/apps/{apps[0]}"]
            assert not watch.logged("drift")
            assert len(watch.logged("action")) == done + 1
