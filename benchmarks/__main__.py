"""`make bench`: benchmarks of the design's assumptions. Each result is a ratio of two measurements in the same run."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import httpx
import yaml
from benchmarks.controlling import controlling
from benchmarks.watching import commit_among

from octosync.contract import OPERATIONS
from octosync.manifest import Cache, Configuration, Manifests, load_manifests
from octosync.octomil import API_PATH, Connection, Octomil
from octosync.octomil.transport import open_http
from octosync.plan import GuardPolicy, PlanOptions
from octosync.reconcile import ReviewedPlan, observe_and_review
from octosync.server import ServerSettings, running_server

_ROUNDS: Final = 3  # the fastest round counts, because disturbances only make a measurement longer
_APP: Final = """\
apiVersion: octosync.dev/v1
kind: App
metadata:
  name: app-{n:04}
  labels: {{team: team-{team}, tier: gold}}
spec:
  name: Application {n}
  description: One of many, for a benchmark
  targets:
    - {{platform: ios, identifier: com.example.app{n}}}
    - {{platform: android, identifier: com.example.app{n}}}
  slots:
    - capability: chat
      servingPolicy: local_first
      preferredEngines: [coreml, mlx]
    - capability: vision
      servingPolicy: local_only
  inferenceConfig:
    model: "@app/app-{n:04}/chat"
    parameters: {{temperature: 0.2, max_tokens: 512}}
"""


def main() -> None:
    """Run all benchmarks, and print a line for each."""
    with tempfile.TemporaryDirectory() as folder:
        loading(Path(folder))
        loading_again(Path(folder))
        transports()
        planning(Path(folder))
        committing(Path(folder))
    with tempfile.TemporaryDirectory() as folder:
        controlling(Path(folder), _report)


def loading(folder: Path) -> None:
    """Compare the strict loader, with its checks and positions, with PyYAML's fastest loader, which has neither."""
    apps = 2000
    manifests = _write(folder, apps)
    text = manifests.read_text(encoding="utf-8")
    measured = _best(lambda: _load(manifests))
    reference = _best(lambda: list(yaml.load_all(text, yaml.CSafeLoader)))
    _report(f"load {apps:,} apps, strictly and with positions, against CSafeLoader", measured, reference)


def loading_again(folder: Path) -> None:
    """Compare a load with a cache, after one of many files changed, with a load of all files."""
    apps = 1000
    manifests = folder / f"{apps}-files"
    manifests.mkdir()
    for n in range(apps):
        (manifests / f"app-{n:04}.yaml").write_text(_APP.format(n=n, team=n % 7), encoding="utf-8")
    cache, rounds = Cache(), iter(range(_ROUNDS + 1))

    def load_after_change() -> None:
        (manifests / "app-0000.yaml").write_text(_APP.format(n=0, team=next(rounds)), encoding="utf-8")
        assert _load(manifests, cache).digest

    load_after_change()
    measured = _best(load_after_change)
    reference = _best(lambda: _load(manifests))
    _report(f"load {apps:,} files with a cache after one changed, against all of them without", measured, reference)


def transports() -> None:
    """Compare requests through aiohttp's connections with those through httpx's own pool."""
    requests, at_once = 1000, 16
    with running_server(ServerSettings()) as plane:
        url = f"{plane.url}{API_PATH}{OPERATIONS['apps.list'].path}"

        async def seconds_with(client: httpx.AsyncClient) -> float:
            async with client:
                await client.get(url)
                return await _timed(lambda: _fetch(client, url, requests, at_once))

        async def both() -> tuple[float, float]:
            aiohttp = [await seconds_with(open_http(Connection(url=plane.url))) for _ in range(_ROUNDS)]
            own = [await seconds_with(httpx.AsyncClient(trust_env=False)) for _ in range(_ROUNDS)]
            return min(aiohttp), min(own)

        measured, reference = asyncio.run(both())
    _report(
        f"{requests:,} requests, {at_once} concurrent, through httpx-aiohttp, against httpx's own pool",
        measured,
        reference,
    )


def planning(folder: Path) -> None:
    """Compare a plan without changes for many apps with one for few: it should grow linearly."""
    few, many = 40, 400
    with running_server(ServerSettings()) as plane:
        small, few_seconds = _plan(plane.url, _write(folder, few))
        large, many_seconds = _plan(plane.url, _write(folder, many))
    requests = large.plan.requests_used / small.plan.requests_used
    print(f"requests of a plan of {many} apps against {few}: {requests:.2f} times for {many // few} times the apps")
    _report(f"a plan without changes of {many} apps, against {few}", many_seconds, few_seconds)


def committing(folder: Path) -> None:
    """Compare a commit of one file of many during a resync with the resync: time and requests."""
    apps = 1000
    commit = commit_among(apps, folder)
    _report(
        f"the first request for a commit among {apps:,} apps, during a resync at 100 per minute, against a resync without limit",
        commit.seconds,
        commit.resync_seconds,
    )
    ratio = commit.requests / commit.resync_requests
    print(f"the same in requests: {ratio:.4f} times as many ({commit.requests:,}, {commit.resync_requests:,})")


def _plan(url: str, manifests: Path) -> tuple[ReviewedPlan, float]:
    """Apply the manifests, and return the plan after that, and the seconds that it takes."""
    command = [sys.executable, "-m", "octosync", "apply", "-f", str(manifests), "--url", url, "--rate", "0", "--yes"]
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("OCTOSYNC_", "OCTOMIL_"))}
    subprocess.run(command, cwd=manifests.parent, env=environment, stdout=subprocess.DEVNULL, check=True)
    desired = _load(manifests).state

    async def planned() -> tuple[ReviewedPlan, float]:
        async with Octomil(Connection(url=url, requests_per_minute=0), Configuration().contract) as remote:
            start = time.perf_counter()
            reviewed = await observe_and_review(desired, remote, GuardPolicy(), PlanOptions(now=datetime.now(UTC)))
            return reviewed, time.perf_counter() - start

    rounds = [asyncio.run(planned()) for _ in range(_ROUNDS)]
    assert not any(reviewed.plan.actions for reviewed, _ in rounds)
    return rounds[0][0], min(seconds for _, seconds in rounds)


async def _fetch(client: httpx.AsyncClient, url: str, requests: int, at_once: int) -> None:
    left = iter(range(requests))

    async def worker() -> None:
        for _ in left:
            (await client.get(url)).raise_for_status()

    await asyncio.gather(*(worker() for _ in range(at_once)))


def _write(folder: Path, apps: int) -> Path:
    path = folder / f"{apps}-apps.yaml"
    path.write_text("---\n".join(_APP.format(n=n, team=n % 7) for n in range(apps)), encoding="utf-8")
    return path


def _load(path: Path, cache: Cache | None = None) -> Manifests:
    manifests = load_manifests(
        [str(path)], configuration=Configuration(), context=None, now=datetime.now(UTC), cache=cache
    )
    assert not manifests.diagnostics, manifests.diagnostics[:3]
    return manifests


def _best(work: Callable[[], object]) -> float:
    """Return the seconds of the fastest round."""
    seconds = []
    for _ in range(_ROUNDS):
        start = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - start)
    return min(seconds)


async def _timed(work: Callable[[], Awaitable[None]]) -> float:
    start = time.perf_counter()
    await work()
    return time.perf_counter() - start


def _report(label: str, measured: float, reference: float) -> None:
    print(f"{label}: {measured / reference:.2f} times the time ({measured:.3f} s, {reference:.3f} s)")


if __name__ == "__main__":
    main()
