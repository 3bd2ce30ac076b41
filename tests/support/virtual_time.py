"""An event loop with virtual time: waits take no real time, and events always have the same order."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar
from unittest.mock import patch

T = TypeVar("T")


class _JumpingSelector(selectors.DefaultSelector):
    """A selector that never blocks: where a loop would wait for its next timer, the clock moves to it."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            raise RuntimeError("deadlock: every task waits for another")
        self.now += max(0.0, timeout)
        return super().select(0)


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """A loop whose `time()` starts at 0, for code without real input or output."""

    def __init__(self) -> None:
        self._jumping = _JumpingSelector()
        super().__init__(self._jumping)

    def time(self) -> float:
        """Return the virtual time in seconds."""
        return self._jumping.now


def run_in_virtual_time(main: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine to its end in virtual time."""
    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        return runner.run(main)


def virtual_clock() -> float:
    """Return the running loop's time, for code that needs a clock."""
    return asyncio.get_running_loop().time()


async def run_ready_tasks() -> None:
    """Run all tasks until each waits for time to pass."""
    for _ in range(5):
        await asyncio.sleep(0)


@contextmanager
def skipped_pauses() -> Iterator[list[float]]:
    """Skip the pauses of commands in this process, such as those before retries; yields their lengths in seconds.

    Only `asyncio.sleep` is shortened: requests keep their timeouts, and a slow machine changes nothing.
    """
    pauses: list[float] = []
    sleep = asyncio.sleep

    async def skip(seconds: float) -> None:
        pauses.append(seconds)
        await sleep(0)

    with patch.object(asyncio, "sleep", skip):
        yield pauses
