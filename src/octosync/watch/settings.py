"""The settings of a controller, its clock, and waits by that clock.

The command line sets the settings for the whole life of a controller. The clock is injected, so that months can pass in a test.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import Enum
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import asyncio  # not for `--help`, which shows values of this module


class WriteMode(Enum):
    """What the controller writes: manifest changes and reverts of drift, manifest changes alone, or nothing."""

    ALL = "all"
    MANIFEST = "manifest"
    NONE = "none"


class LogFormat(Enum):
    """How a line of the log is written."""

    TEXT = "text"
    JSON = "json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """`interval` is the time between polls of the feed, `resync` between resyncs. `drift_hold` None: octosync.yaml's.

    `apps` (patterns) and `selector` choose what it is about.
    """

    interval: timedelta = timedelta(seconds=15)
    resync: timedelta = timedelta(minutes=15)
    write_mode: WriteMode = WriteMode.ALL
    drift_hold: timedelta | None = None
    apps: tuple[str, ...] = ()
    selector: str | None = None


class Clock(Protocol):
    """The time of day, a monotonic time, and a sleep."""

    def now(self) -> datetime:
        """Return the time of day, in UTC."""

    def monotonic(self) -> float:
        """Return seconds that only ever grow."""

    async def sleep(self, seconds: float) -> None:
        """Wait."""


class SystemClock:
    """The machine's clock."""

    def now(self) -> datetime:
        """Return the time of day, in UTC."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """Return seconds that only ever grow."""
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        """Wait."""
        import asyncio

        await asyncio.sleep(seconds)


@dataclass(frozen=True, slots=True)
class OffsetClock:
    """A clock that is ahead of another one by `offset`."""

    clock: Clock
    offset: timedelta

    def now(self) -> datetime:
        """Return the time of day, in UTC."""
        return self.clock.now() + self.offset

    def monotonic(self) -> float:
        """Return seconds that only ever grow."""
        return self.clock.monotonic()

    async def sleep(self, seconds: float) -> None:
        """Wait."""
        await self.clock.sleep(seconds)


async def wait_for(event: asyncio.Event, seconds: float, clock: Clock) -> bool:
    """Wait until an event is set, and at most this many seconds; return whether it is set."""
    import asyncio

    waiting = {asyncio.ensure_future(event.wait()), asyncio.ensure_future(clock.sleep(max(0.0, seconds)))}
    try:
        await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
    return event.is_set()
