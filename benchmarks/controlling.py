"""Measures a controller of many apps, relative to one load of all manifests or to the plain reads of a resync.

The control plane is a separate process, so that the CPU time is the controller's.
"""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from io import StringIO
from pathlib import Path
from typing import Final

import httpx

from octosync.cli.inputs import InputsReloader
from octosync.cli.run_options import ManifestFlags, RemoteFlags
from octosync.manifest import Configuration, load_manifests
from octosync.model import State
from octosync.octomil import PERCENT_FOR_WRITES, Connection, Octomil, RateOptions, ReadResult, SentRequest, read_apps
from octosync.plan import ControlPlane, GuardPolicy, PlanOptions
from octosync.reconcile import observe_and_review
from octosync.state import Journal
from octosync.watch.controller import Controller, ControllerOptions
from octosync.watch.log import Log
from octosync.watch.manifests.desired import DesiredState
from octosync.watch.metrics import CONTENT_TYPE
from octosync.watch.settings import Settings, SystemClock
from octosync.watch.status import AppState
from octosync.watch.web import WebOptions, create_app

_PATIENCE: Final = 180.0
_APPS: Final = 1000
_APP: Final = """\
apiVersion: octosync.dev/v1
kind: App
metadata: {{name: app-{n:04}}}
spec:
  name: Application {n}
  description: {description}
  slots:
    - capability: chat
      servingPolicy: local_first
"""
_WORKERS: Final = 4  # the concurrent reconciles of a resync
_IDLE: Final = 10.0  # seconds
_ROUNDS: Final = 3
_COMMITS: Final = 5


@dataclass
class Running:
    """A running controller, and its requests with the time at which each was sent."""

    controller: Controller
    requests: list[tuple[float, SentRequest]] = field(default_factory=list)

    async def until(self, holds: Callable[[], object]) -> None:
        """Wait until a condition holds. Raise `TimeoutError` if it takes too long."""
        async with asyncio.timeout(_PATIENCE):
            while not holds():  # noqa: ASYNC110 — there is no event to wait for
                await asyncio.sleep(0.005)


@contextmanager
def control_plane(folder: Path) -> Iterator[str]:
    """Run a control plane in a separate process, and yield its URL."""
    command = [sys.executable, "-m", "octosync", "server", "--port", "0", "--db", str(folder / "plane.db")]
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("OCTOSYNC_", "OCTOMIL_"))}
    with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stderr is not None
            found = re.search(r"http://\S+", process.stderr.readline())
            assert found is not None
            yield found[0]
        finally:
            process.terminate()


@asynccontextmanager
async def controller(manifests: Path, url: str) -> AsyncIterator[Running]:
    """Run a controller on the system clock, without a rate limit, with its state file beside the manifests."""
    clock = SystemClock()
    reloader = InputsReloader(flags=ManifestFlags(paths=(str(manifests),)), remote=RemoteFlags(url=url), environment={})
    requests: list[tuple[float, SentRequest]] = []
    remote = Octomil(
        Connection(url=url, requests_per_minute=0),
        rate=RateOptions(percent_for_writes=PERCENT_FOR_WRITES),
        on_request=lambda request: requests.append((time.perf_counter() - request.seconds, request)),
    )
    state = manifests.with_name("state.db")
    with Journal(state) as journal:
        options = ControllerOptions(
            remote=remote,
            desired=DesiredState(reloader, reloader.watched, clock),
            journal=journal,
            control_plane=ControlPlane(url=remote.connection.url),
            settings=Settings(resync=timedelta(hours=1)),
            policy=lambda _: GuardPolicy(),
            log=Log(StringIO(), clock),
            clock=clock,
        )
        running = Running(Controller(options), requests)
        async with remote:
            task = asyncio.ensure_future(running.controller.run())
            try:
                yield running
            finally:
                running.controller.stop.set()
                await task


def controlling(folder: Path, report: Callable[[str, float, float], None]) -> None:
    """Run the benchmarks; `report` gets a label and two times in seconds, the controller's first."""
    manifests = folder / "apps"
    manifests.mkdir()
    for n in range(_APPS):
        _write(manifests, n, "One of many")
    started = time.perf_counter()
    desired = load_manifests([str(manifests)], configuration=Configuration(), context=None, now=datetime.now(UTC)).state
    one_load = time.perf_counter() - started
    with control_plane(folder) as url:
        asyncio.run(_created(manifests, url))
        asyncio.run(_resyncs(manifests, url, desired, one_load, report))


async def _created(manifests: Path, url: str) -> None:
    async with controller(manifests, url) as running:
        await running.until(lambda: running.controller.resync.ended_at is not None)


async def _resyncs(
    manifests: Path, url: str, desired: State, one_load: float, report: Callable[[str, float, float], None]
) -> None:
    async with controller(manifests, url) as running:
        resync = running.controller.resync
        await running.until(lambda: resync.ended_at is not None)
        reconciled = min([await _resync(running) for _ in range(_ROUNDS)])
        plain = min([await _plain_reads(desired, url) for _ in range(_ROUNDS)])
        report(f"CPU time of a resync of {_APPS:,} apps, against its plain reads", reconciled, plain)

        slowest = await _commits(running, manifests, first=_APPS // 2)
        report(
            "from a commit to its first request, during a resync without a limit, against one load",
            slowest,
            one_load,
        )
        await running.until(lambda: not resync.is_running)

        before, since = time.process_time(), time.perf_counter()
        await asyncio.sleep(_IDLE)
        share = (time.process_time() - before) / (time.perf_counter() - since)
        report(f"CPU time of an idle tick of 15 s with {_APPS:,} apps, against one load", 15 * share, one_load)
        await _pages(running, one_load, report)


async def _pages(running: Running, one_load: float, report: Callable[[str, float, float], None]) -> None:
    controlled = running.controller
    source = WebOptions(control=controlled.api, metrics=controlled.metrics.render, metrics_type=CONTENT_TYPE)
    transport = httpx.ASGITransport(app=create_app(source))
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
        for path in ("/", "/api/status", "/metrics"):
            times = []
            for _ in range(_ROUNDS):
                started = time.perf_counter()
                (await client.get(path)).raise_for_status()
                times.append(time.perf_counter() - started)
            report(f"GET {path} with {_APPS:,} apps, against one load", min(times), one_load)


async def _resync(running: Running) -> float:
    """Return the CPU time of a resync in seconds."""
    resync = running.controller.resync
    before, started = resync.ended_at, time.process_time()
    resync.request()
    await running.until(lambda: resync.ended_at != before)
    return time.process_time() - started


async def _plain_reads(desired: State, url: str) -> float:
    """Plan each app separately, with the concurrency of a controller, and return the CPU time in seconds."""
    async with Octomil(Connection(url=url, requests_per_minute=0)) as remote:
        started = time.process_time()
        listed = await read_apps(remote)
        waiting = iter(desired)

        async def work() -> None:
            for app in waiting:
                read = ReadResult({app.slug: listed.value[app.slug]}, listed.at)
                reviewed = await observe_and_review(
                    State.from_apps(app), remote, GuardPolicy(), PlanOptions(now=datetime.now(UTC)), listed=read
                )
                assert not reviewed.plan.actions

        await asyncio.gather(*(work() for _ in range(_WORKERS)))
        return time.process_time() - started


async def _commits(running: Running, manifests: Path, *, first: int) -> float:
    """Commit to some apps early in a resync, and return the longest time from a commit to its first request."""
    seconds = []
    resync = running.controller.resync
    for n in range(first, first + _COMMITS):
        resync.request()
        await running.until(lambda: resync.is_running and _APPS // 20 < resync.done < _APPS // 4)
        committed_at = time.perf_counter()
        _write(manifests, n, f"Committed {n}")

        def first_request(since: float = committed_at) -> float | None:
            times = (sent for sent, request in running.requests if _is_for_a_change(request) and sent > since)
            return next(times, None)

        await running.until(first_request)
        seconds.append((first_request() or committed_at) - committed_at)
        await running.until(partial(_is_live, running, f"app-{n:04}"))
        await running.until(lambda: not resync.is_running)
    return max(seconds)


def _is_live(running: Running, slug: str) -> bool:
    status = running.controller.api.status().apps[slug]
    return status.state is AppState.IN_SYNC and bool(status.run)


def _is_for_a_change(request: SentRequest) -> bool:
    return not request.background and request.operation != "activity.list"


def _write(manifests: Path, n: int, description: str) -> None:
    """Replace the file of an app by a rename, as editors do."""
    temporary = manifests / f".app-{n:04}.tmp"
    temporary.write_text(_APP.format(n=n, description=description), encoding="utf-8")
    temporary.rename(manifests / f"app-{n:04}.yaml")
