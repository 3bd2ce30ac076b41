"""Measures the requests and the delay of a commit among many apps during a resync."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Final

from tests.support.controllers import FastClock, plane_at, run_controller
from tests.support.watched_apps import NEVER, create_live, declare

_LIMIT: Final = 100  # requests per minute


@dataclass(frozen=True, slots=True)
class Commit:
    """The seconds until the first request for a commit, and its requests; the same for a resync."""

    seconds: float
    requests: int
    resync_seconds: float
    resync_requests: int


def commit_among(apps: int, folder: Path) -> Commit:
    """Commit one file of many during a resync that has used up its share of the rate limit."""
    return asyncio.run(_commit_among(tuple(f"app-{n:04}" for n in range(apps)), folder))


async def _commit_among(slugs: tuple[str, ...], folder: Path) -> Commit:
    clock, last = FastClock(), slugs[-1]
    declare(folder, *slugs)
    with plane_at(clock) as plane:
        create_live(plane, *slugs)
        plane.log()
        began = time.perf_counter()
        async with run_controller(folder, plane, clock, resync=NEVER) as watch:
            await watch.until_in_sync(patience=600.0)
            resync_seconds = time.perf_counter() - began
            resync_requests = len(watch.requests())
        limit = {"requests_per_minute": _LIMIT}
        async with run_controller(
            folder, plane, clock, resync=NEVER, interval=timedelta(hours=1), connection=limit
        ) as watch:
            await watch.until(lambda: watch.remote.budget.background_used >= watch.remote.budget.background_limit)
            watch.requests()
            began = time.perf_counter()
            declare(folder, last, chat="cloud_first")
            requests: list[str] = []

            def has_started() -> bool:
                requests.extend(watch.requests())
                return any(last in request for request in requests)

            await watch.until(has_started)
            seconds = time.perf_counter() - began
            await watch.until(lambda: watch.status.runs and watch.status.runs[0].ended)
            requests += watch.requests()
    return Commit(seconds, len(requests), resync_seconds, resync_requests)
