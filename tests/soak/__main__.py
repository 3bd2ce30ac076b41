"""`make soak`: run a controller for hours of accelerated time, and check that it does not grow and makes no mistake.

Three processes share the same accelerated time: the control plane (which counts requests by its own clock), the
controller (whose memory, tasks and file descriptors are measured), and this one, which changes manifests and live state.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any, Final

import httpx
from tests.soak import verdicts
from tests.soak.children import Child, child
from tests.soak.fleet import Fleet
from tests.soak.keys import TEAMMATES_KEY, Keys
from tests.soak.story import Story
from tests.support.controllers import FastClock

_ADMIN_TOKEN: Final = "soak-admin-token-0123456789abcdef"
_LIMIT: Final = 100  # requests per minute, as in Octomil
_SAMPLE_EVERY: Final = 120.0
_ROWS: Final = 12
_COLUMNS: Final = (
    *("time", "RSS MiB", "objects", "tasks", "fds", "requests", "most/min", "refused", "plane MiB"),
    *("commits", "drifts", "outages", "rotations", "notices"),
)


@dataclass(frozen=True, slots=True)
class Length:
    """The size of a soak. Times are in the clock's seconds: the warm-up, the whole soak, and how long drift is held.

    The warm-up ends when most apps have had an event, because the first event of an app adds to the controller's memory.
    `growth` is the factor by which the number of objects may grow afterwards. A short soak ends before recent runs,
    rendered pages and feed events have reached their limits, so it finds only leaks of whole plans or loads.
    """

    apps: int
    warm: float
    whole: float
    hold: float
    growth: float


_LENGTHS: Final = {
    "full": Length(apps=200, warm=75 * 60, whole=6 * 3600, hold=30 * 60, growth=1.10),
    "short": Length(apps=100, warm=35 * 60, whole=60 * 60, hold=8 * 60, growth=1.5),
}


@dataclass
class Soak:
    """A running soak and its measurements."""

    clock: FastClock
    length: Length
    controller: Child
    control_plane: Child
    page: httpx.AsyncClient
    story: Story
    notices: Counter[str]
    samples: list[verdicts.Sample] = field(default_factory=list)
    received: Mapping[str, Any] = field(default_factory=dict)

    async def measure(self) -> None:
        """Take samples and print rows at regular intervals, for ever."""
        row_every = self.length.whole / _ROWS
        next_row = row_every
        while True:
            await self.clock.sleep(_SAMPLE_EVERY)
            self.samples.append(verdicts.Sample(**await self.controller.ask("measure")))
            if self.clock.monotonic() >= next_row:
                next_row += row_every
                await self.row()

    async def row(self) -> None:
        """Print a row of the table."""
        self.received = await self.control_plane.ask("report")
        now, counts = self.samples[-1], self.story.counts
        minutes = int(now.at // 60)
        values = (
            *(f"{minutes // 60}:{minutes % 60:02}", f"{now.rss:.1f}", now.count, now.tasks, now.fds),
            *(self.received[name] for name in ("requests", "most_in_a_window", "refused")),
            f"{self.received['rss']:.0f}",
            *(counts[name] for name in ("commits", "drifts", "outages", "rotations")),
            self.notices.total(),
        )
        _print_row(*values)

    async def at_rest(self) -> bool:
        """Wait for at most an hour until every app is in sync; return whether it is."""
        until = self.clock.monotonic() + 3600
        while self.clock.monotonic() < until:
            status = (await self.page.get("/api/status")).raise_for_status().json()
            if all(app["state"] == "in_sync" for app in status["apps"]) and status["full_read"]["ended_at"]:
                return True
            await self.clock.sleep(30)
        return False


async def soak(folder: Path, length: Length, *, apps: int, speed: float, seed: int) -> list[str]:
    """Run a soak, and return the problems."""
    fleet, keys = Fleet(folder / "apps", apps), Keys(folder / "key")
    with _receiver() as (notices, receiver):
        async with child("plane", folder) as control_plane, child("controller", folder) as controller:
            clock = FastClock(speed)  # started last, so that the start of the processes takes no hours of its time
            shared = {"speed": speed, "began": clock.began, "limit": _LIMIT}
            url = (await control_plane.ask("begin", **shared, keys=keys.known))["url"]
            page_url = (
                await controller.ask(
                    "begin",
                    **shared,
                    url=url,
                    folder=str(folder),
                    hold=length.hold,
                    admin_token=_ADMIN_TOKEN,
                    receiver=receiver,
                )
            )["url"]
            async with _client(url, TEAMMATES_KEY) as plane, _client(page_url, _ADMIN_TOKEN) as page:
                chance = random.Random(seed)  # noqa: S311 — repeatable on purpose
                story = Story(clock, fleet, plane, page, controller, control_plane, keys, length.hold, chance)
                run = Soak(clock, length, controller, control_plane, page, story, notices)
                return [problem async for problem in _run(run, fleet, plane, folder / "log")]


async def _run(run: Soak, fleet: Fleet, plane: httpx.AsyncClient, log: Path) -> Any:
    _print_row(*_COLUMNS)
    measurement = asyncio.ensure_future(run.measure())
    try:
        if not await run.at_rest():
            yield "not all apps are in sync at the start"
        began = run.clock.monotonic()
        await run.story.run(run.length.whole)
        await run.clock.sleep(300)  # until the controller has seen the last commit
        if not await run.at_rest():
            yield "not all apps are in sync at the end"
    finally:
        measurement.cancel()
        with suppress(asyncio.CancelledError):
            await measurement
    await run.row()
    warm = [sample for sample in run.samples if sample.at >= run.length.warm]
    writes = await verdicts.all_writes(plane, run.clock)
    for problems in (
        verdicts.sizes(warm, run.length.growth),
        verdicts.writes_done(fleet, run.story.drifts, writes, began),
        verdicts.drifts_ended(run.story.drifts, writes),
        await verdicts.live(fleet, plane),
        verdicts.log_explained(log, run.story.incidents, run.clock),
    ):
        for problem in problems:
            yield problem
    if run.received["most_in_a_window"] > _LIMIT or run.received["refused"]:
        yield f"more than {_LIMIT} requests were received within a minute"
    run.controller.signal(signal.SIGTERM)
    if (code := await run.controller.wait()) != 0:
        yield f"the controller exited with {code}"
    print("\nEvents:", ", ".join(f"{count} {event}" for event, count in sorted(run.story.counts.items())))


def main() -> int:
    """Run the soak of the command line; return 1 if there are problems."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument("length", nargs="?", default="full", choices=sorted(_LENGTHS))
    parser.add_argument("--apps", type=int)
    parser.add_argument("--speed", type=float, default=120.0, help="accelerated seconds per real second")
    parser.add_argument("--seed", type=int, default=11, help="the same seed gives the same events")
    arguments = parser.parse_args()
    started = time.monotonic()
    folder = Path(tempfile.mkdtemp(prefix="octosync-soak-"))
    length = _LENGTHS[arguments.length]
    apps = arguments.apps or length.apps
    print(f"{length.whole / 3600:g} hours with {apps} apps, {arguments.speed:g} times as fast")
    problems = asyncio.run(soak(folder, length, apps=apps, speed=arguments.speed, seed=arguments.seed))
    print(f"It took {time.monotonic() - started:.0f} s.")
    if problems:
        print("\n".join(("", "Problems:", *problems, f"The controller's log and state are in {folder}")))
    else:
        shutil.rmtree(folder)
    return 1 if problems else 0


@contextmanager
def _receiver() -> Iterator[tuple[Counter[str], str]]:
    """Receive notifications; yield the number of each event, and the URL of the receiver."""
    counts: Counter[str] = Counter()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            counts[self.headers.get("X-Octosync-Event", "")] += 1
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: Any) -> None:  # the table is enough
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield counts, f"http://127.0.0.1:{server.server_address[1]}/"
    finally:
        server.shutdown()
        server.server_close()


def _client(url: str, token: str) -> httpx.AsyncClient:
    return httpx.AsyncClient(
        base_url=url, headers={"Authorization": f"Bearer {token}"}, trust_env=False, timeout=httpx.Timeout(60)
    )


def _print_row(*values: object) -> None:
    print("  ".join(f"{value:>{len(name)}}" for value, name in zip(values, _COLUMNS, strict=True)), flush=True)


if __name__ == "__main__":
    sys.exit(main())
