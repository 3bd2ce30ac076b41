"""A restart of the controller on a simulated clock. It runs in a process of its own."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Final

from benchmarks import fleet
from tests.support.controllers import FastClock, run_controller, served_plane_at
from tests.support.watched_apps import NEVER, create_live, declare

from octosync.octomil import REQUESTS_PER_MINUTE

_PATIENCE: Final = 600.0
_REAL_SECONDS: Final = 10.0
_HURRY: Final = 100.0


def restart_watch(folder: str, apps: str) -> dict[str, float]:
    """Run a controller until it is ready, stop it, and start it again with a rate limit of 100 requests per minute.

    Return the seconds until the second one is ready, and its requests. Its clock has the speed of the machine's clock at first.
    If it isn't ready after a while, its clock becomes faster, because half an hour is too long to wait for.
    """
    return asyncio.run(_restart_watch(Path(folder), tuple(fleet.slug(n) for n in range(int(apps)))))


async def _restart_watch(folder: Path, slugs: tuple[str, ...]) -> dict[str, float]:
    clock = _HurryingClock()
    declare(folder, *slugs)
    with served_plane_at(clock) as plane:
        create_live(plane, *slugs)
        async with run_controller(folder, plane, clock, resync=NEVER) as watch:
            await watch.until_in_sync(patience=_PATIENCE)
        limited = {"requests_per_minute": REQUESTS_PER_MINUTE}
        plane.log()
        began, hurry_at = clock.monotonic(), time.monotonic() + _REAL_SECONDS

        def is_ready() -> bool:
            if time.monotonic() > hurry_at:
                clock.hurry()
            return watch.status.ready

        async with run_controller(folder, plane, clock, resync=NEVER, connection=limited) as watch:
            await watch.until(is_ready, patience=_PATIENCE)
            return {"seconds": clock.monotonic() - began, "requests": len(plane.log())}


class _HurryingClock(FastClock):
    """A clock with the speed of the machine's, until `hurry` makes it faster."""

    def hurry(self) -> None:
        """Make the clock faster, once."""
        if self.speed == 1:
            passed = self.monotonic()
            self.speed, self.began, self._skipped = _HURRY, time.monotonic(), passed
            for wake_up in self._asleep:
                wake_up.set()
