"""A controller among many apps: what one commit costs, and how soon it starts, while everything is read again."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Final

from tests.support.controllers import FastClock, plane_at, watching
from tests.support.watched_apps import NEVER, declare, have

_LIMIT: Final = 100  # requests a minute


@dataclass(frozen=True, slots=True)
class Commit:
    """What a commit of one file took, in seconds until its first request and in requests; and what a full read takes."""

    seconds: float
    requests: int
    full_read_seconds: float
    full_read_requests: int


def commit_among(apps: int, folder: Path) -> Commit:
    """Commit one file of many while all of them are read again under a rate limit whose background share is used up."""
    return asyncio.run(_commit_among(tuple(f"app-{n:04}" for n in range(apps)), folder))


async def _commit_among(slugs: tuple[str, ...], folder: Path) -> Commit:
    clock, last = FastClock(), slugs[-1]
    declare(folder, *slugs)
    with plane_at(clock) as plane:
        have(plane, *slugs)
        plane.log()
        began = time.perf_counter()
        async with watching(folder, plane, clock, resync=NEVER) as watch:
            await watch.until_in_sync(patience=600.0)
            full_read_seconds = time.perf_counter() - began
            full_read_requests = len(watch.requests())
        limit = {"requests_per_minute": _LIMIT}
        async with watching(folder, plane, clock, resync=NEVER, interval=timedelta(hours=1), connection=limit) as watch:
            await watch.until(lambda: watch.remote.budget.background_used >= watch.remote.budget.background_limit)
            watch.requests()
            began = time.perf_counter()
            declare(folder, last, chat="cloud_first")
            asked: list[str] = []

            def has_begun() -> bool:
                asked.extend(watch.requests())
                return any(last in one for one in asked)

            await watch.until(has_begun)
            seconds = time.perf_counter() - began
            await watch.until(lambda: watch.status.runs and watch.status.runs[0].ended)
            asked += watch.requests()
    return Commit(seconds, len(asked), full_read_seconds, full_read_requests)
