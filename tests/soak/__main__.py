"""`make soak`: hours of a controller's life in minutes, and whether it is still as it was at the beginning.

Three processes live in the same accelerated time: the control plane (which counts requests by its own clock), the controller
(so that its memory, tasks and descriptors are its own), and this one, in which people and machines do what they do.
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
_LIMIT: Final = 100  # requests a minute, as Octomil has it
_SAMPLE_EVERY: Final = 120.0
_ROWS: Final = 12
_COLUMNS: Final = (
    *("time", "RSS MiB", "objects", "tasks", "fds", "requests", "most/min", "refused", "plane MiB"),
    *("commits", "drifts", "outages", "rotations", "notices"),
)


@dataclass(frozen=True, slots=True)
class Length:
    """How long a soak takes, in the clock's seconds: until it is warm, until its end; and how long drift is held.

    It is warm once most apps have had an event: until then each first event adds to what the controller remembers of its app.
    `growth` is the factor by which the number of objects may grow afterwards. A short soak ends before the last runs, the
    rendered pages and the feed's events have reached their limits, so it finds only leaks of whole plans or loads.
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
    """One soak under way, and what was measured."""

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
        """Measure now and then, and print a row now and then, for ever."""
        row_every = self.length.whole / _ROWS
        next_row = row_every
        while True:
            await self.clock.sleep(_SAMPLE_EVERY)
            self.samples.append(verdicts.Sample(**await self.controller.ask("measure")))
            if self.clock.monotonic() >= next_row:
                next_row += row_every
                await self.row()

    async def row(self) -> None:
        """Print how everything is."""
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
        """Wait until every app is in sync, for an hour at most; say whether that is so."""
        until = self.clock.monotonic() + 3600
        while self.clock.monotonic() < until:
            status = (await self.page.get("/api/status")).raise_for_status().json()
            if all(app["state"] == "in_sync" for app in status["apps"]) and status["full_read"]["ended_at"]:
                return True
            await self.clock.sleep(30)
        return False


async def soak(folder: Path, length: Length, *, apps: int, speed: float, seed: int) -> list[str]:
    """Soak, and return what was found wrong."""
    fleet, keys = Fleet(folder / "apps", apps), Keys(folder / "key")
    with _receiver() as (notices, receiver):
        async with child("plane", folder) as control_plane, child("controller", folder) as controller:
            clock = FastClock(speed)  # only now, so that it takes no hours to start them
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
                chance = random.Random(seed)  # noqa: S311 — a story
                story = Story(clock, fleet, plane, page, controller, control_plane, keys, length.hold, chance)
                run = Soak(clock, length, controller, control_plane, page, story, notices)
                return [one async for one in _run(run, fleet, plane, folder / "log")]


async def _run(run: Soak, fleet: Fleet, plane: httpx.AsyncClient, log: Path) -> Any:
    _print_row(*_COLUMNS)
    measuring = asyncio.ensure_future(run.measure())
    try:
        if not await run.at_rest():
            yield "the apps that were declared at first are not all in sync"
        began = run.clock.monotonic()
        await run.story.tell(run.length.whole)
        await run.clock.sleep(300)  # until what was committed last is noticed
        if not await run.at_rest():
            yield "not everything is in sync at the end"
    finally:
        measuring.cancel()
        with suppress(asyncio.CancelledError):
            await measuring
    await run.row()
    warm = [one for one in run.samples if one.at >= run.length.warm]
    writes = await verdicts.all_writes(plane, run.clock)
    for found in (
        verdicts.sizes(warm, run.length.growth),
        verdicts.writes_done(fleet, writes, began),
        verdicts.drifts_ended(run.story.drifts, writes),
        await verdicts.live(fleet, plane),
        verdicts.log_explained(log, run.story.troubles, run.clock),
    ):
        for one in found:
            yield one
    if run.received["most_in_a_window"] > _LIMIT or run.received["refused"]:
        yield f"more than {_LIMIT} requests came in a minute"
    run.controller.signal(signal.SIGTERM)
    if (code := await run.controller.ended()) != 0:
        yield f"the controller ended with {code}"
    print("\nBesides:", ", ".join(f"{count} {what}" for what, count in sorted(run.story.counts.items())))


def main() -> int:
    """Soak as the arguments say; return 1 where something is wrong."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument("length", nargs="?", default="full", choices=sorted(_LENGTHS))
    parser.add_argument("--apps", type=int)
    parser.add_argument("--speed", type=float, default=120.0, help="how many seconds pass in one")
    parser.add_argument("--seed", type=int, default=11, help="another story")
    asked = parser.parse_args()
    started = time.monotonic()
    folder = Path(tempfile.mkdtemp(prefix="octosync-soak-"))
    length = _LENGTHS[asked.length]
    apps = asked.apps or length.apps
    print(f"{length.whole / 3600:g} hours of {apps} apps, {asked.speed:g} times as fast")
    problems = asyncio.run(soak(folder, length, apps=apps, speed=asked.speed, seed=asked.seed))
    print(f"It took {time.monotonic() - started:.0f} s.")
    if problems:
        print("\n".join(("", "Wrong:", *problems, f"The controller's log and state are in {folder}")))
    else:
        shutil.rmtree(folder)
    return 1 if problems else 0


@contextmanager
def _receiver() -> Iterator[tuple[Counter[str], str]]:
    """Take notifications in; yields how many there were of each event, and where to send them."""
    counts: Counter[str] = Counter()

    class Taking(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            counts[self.headers.get("X-Octosync-Event", "")] += 1
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: Any) -> None:  # the table is enough
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Taking)
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
