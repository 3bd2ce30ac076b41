"""Spreading: many reads at once, as many as the connection may have under way."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import TypeAlias

Read: TypeAlias = Callable[[], Awaitable[None]]


async def spread(reads: Iterable[Read], workers: int) -> None:
    """Run all reads, at most `workers` of them at a time. The first that raises stops the others."""
    waiting = list(reads)
    queue = iter(waiting)

    async def work() -> None:
        for read in queue:
            await read()

    tasks = [asyncio.create_task(work()) for _ in range(min(workers, len(waiting)))]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
