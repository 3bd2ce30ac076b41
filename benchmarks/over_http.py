"""Plans over HTTP and bare requests, and the control planes for them. Each function runs in a process of its own."""

from __future__ import annotations

import asyncio
import gc
import sys
import time
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import aiohttp
import httpx
from benchmarks import fleet
from benchmarks.timing import Stopwatch
from httpx_aiohttp import AiohttpTransport

from octosync.__main__ import COLLECT_AFTER
from octosync.manifest import Configuration, load_manifests
from octosync.octomil import API_PATH, Connection, Octomil
from octosync.plan import GuardPolicy, PlanOptions
from octosync.reconcile import observe_and_review
from octosync.server import ServerSettings, running_server
from octosync.server.rate_limit import LoggedRequest, RequestsLog

_CONCURRENCY: Final = Connection(url="http://127.0.0.1").concurrency
_PAGE: Final = 100


def create_first(database: str) -> None:
    """Create a database with app 0."""
    with (
        running_server(ServerSettings(db=Path(database))) as plane,
        httpx.Client(base_url=f"{plane.url}{API_PATH}", trust_env=False) as http,
    ):
        for method, path, body in fleet.writes_of(0):
            http.request(method, path, json=body).raise_for_status()


class _WritesLog(RequestsLog):
    """A log that also prints the time of each write, by the machine's monotonic clock."""

    def add(self, logged: LoggedRequest) -> None:
        super().add(logged)
        if logged.method != "GET":
            print(time.monotonic(), flush=True)


def serve(database: str) -> None:
    """Serve a database until standard input ends. Print the URL, and then the time of each write."""
    with running_server(ServerSettings(db=Path(database))) as plane:
        plane.app.state.plane.log = _WritesLog()
        print(plane.url, flush=True)
        sys.stdin.read()


def plan_live(url: str, folder: str) -> dict[str, float]:
    """Observe and plan apps that are in sync; the manifests are loaded before."""
    gc.set_threshold(COLLECT_AFTER)
    desired = load_manifests([folder], configuration=Configuration(), context=None, now=datetime.now(UTC)).state

    async def plan() -> dict[str, float]:
        async with Octomil(Connection(url=url, requests_per_minute=0), Configuration().contract) as remote:
            stopwatch = Stopwatch()
            reviewed = await observe_and_review(desired, remote, GuardPolicy(), PlanOptions(now=datetime.now(UTC)))
            times = stopwatch.read()
        assert not reviewed.plan.actions
        assert reviewed.plan.requests_used == len(_reads(len(desired.apps)))
        return times

    return asyncio.run(plan())


def read_bare(url: str, apps: str) -> dict[str, float]:
    """Send the same requests as `plan_live` with the HTTP library alone, and read the bodies."""
    return asyncio.run(_send_bare(url, [[("GET", path, None)] for path in _reads(int(apps))]))


def write_bare(url: str, apps: str) -> dict[str, float]:
    """Send the writes that create apps with the HTTP library alone, those of an app one after the other."""
    return asyncio.run(_send_bare(url, [fleet.writes_of(n) for n in range(int(apps))]))


def _reads(apps: int) -> list[str]:
    """Return the paths that a plan of apps that are in sync reads: the pages of the list, and each declared section."""
    pages = [f"/apps?limit={_PAGE}&offset={offset}" for offset in range(0, apps, _PAGE)]
    return pages + [f"/apps/{fleet.slug(n)}/{section}" for n in range(apps) for section in fleet.SECTIONS]


async def _send_bare(url: str, units: Iterable[list[tuple[str, str, Any]]]) -> dict[str, float]:
    """Send the requests of each unit in their order; as many units run concurrently as octosync has requests in flight."""
    left = iter(units)
    async with httpx.AsyncClient(transport=AiohttpTransport(client=aiohttp.ClientSession), trust_env=False) as http:

        async def work() -> None:
            for unit in left:
                for method, path, body in unit:
                    (await http.request(method, f"{url}{API_PATH}{path}", json=body)).raise_for_status()

        stopwatch = Stopwatch()
        await asyncio.gather(*(work() for _ in range(_CONCURRENCY)))
        return stopwatch.read()
