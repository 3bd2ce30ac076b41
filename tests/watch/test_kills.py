"""A controller that is killed between any two requests: the next one continues, and repeats no write."""

from __future__ import annotations

import asyncio
import random
import sqlite3
from collections import Counter
from contextlib import closing
from pathlib import Path

import httpx
import pytest
from tests.support.commits import commit
from tests.support.controllers import FastClock, plane_at, run_controller
from tests.support.local_app import TransportWrapper
from tests.support.plane import Plane

pytestmark = pytest.mark.no_cover  # slow under coverage; other tests of this package cover the same code

BEFORE = {
    "a": {"targets": ("com.a",), "slots": {"chat": "local_first"}},
    "b": {"targets": ("com.b", "com.moves"), "slots": {"chat": "local_first"}},
    "c": {"targets": ("com.c",), "slots": {"chat": "local_first", "vision": "local_first"}},
}
AFTER = {
    "a": {"targets": ("com.a",), "slots": {"chat": "cloud_first", "vision": "local_first"}},
    "b": {"targets": ("com.b",), "slots": {"chat": "cloud_first"}},
    "c": {"targets": ("com.moves",), "slots": {"chat": "local_first"}},
    "d": {"targets": ("com.d",), "slots": {"chat": "local_first"}},
}


class DyingTransport(TransportWrapper):
    """Sends this number of requests. The next one is not sent, or gets no response, and neither do all later ones.

    The state file of that moment is all that is left of the process.
    """

    def __init__(self, requests: int, *, sends: bool, state: Path) -> None:
        self._left = requests
        self._sends = sends
        self._state = state
        self.is_dead = asyncio.Event()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request, or not."""
        self._left -= 1
        if self._left >= 0:
            response = await self.inner.handle_async_request(request)
            if not self.is_dead.is_set():
                return response
        elif not self.is_dead.is_set():
            if self._sends:
                await self.inner.handle_async_request(request)
            with closing(sqlite3.connect(self._state)) as current, closing(sqlite3.connect(self.left)) as left:
                current.backup(left)
            self.is_dead.set()
        await asyncio.Event().wait()
        raise AssertionError

    @property
    def left(self) -> Path:
        """The copy of the state file."""
        return self._state.with_name("left.db")


async def run_until_killed(folder: Path, plane: Plane, clock: FastClock, dying: DyingTransport) -> bool:
    """Run a controller until its transport dies; return whether it did, or was in sync before."""
    async with run_controller(folder, plane, clock, transport=dying) as watch:
        await watch.until(lambda: dying.is_dead.is_set() or watch.is_in_sync)
    if not dying.is_dead.is_set():
        return False
    for name in ("state.db", "state.db-wal", "state.db-shm"):
        (folder / name).unlink(missing_ok=True)
    dying.left.rename(folder / "state.db")
    return True


@pytest.mark.parametrize("seed", [0, 1, *(pytest.param(seed, marks=pytest.mark.soak) for seed in range(2, 20))])
async def test_the_next_controller_continues(tmp_path: Path, seed: int) -> None:
    """However often it is killed during a commit that creates, changes, moves and removes, each write is made once."""
    chance = random.Random(seed)  # noqa: S311 — the same kills every time
    clock = FastClock(300)
    commit(tmp_path, BEFORE)
    with plane_at(clock) as plane:
        async with run_controller(tmp_path, plane, clock) as watch:
            await watch.until_in_sync()
        before = {event["id"] for event in plane.send("GET", "/activity?limit=100")["events"]}
        commit(tmp_path, AFTER)
        for _ in range(5):
            dying = DyingTransport(chance.randint(8, 30), sends=chance.random() < 0.5, state=tmp_path / "state.db")
            if not await run_until_killed(tmp_path, plane, clock, dying):
                break
        async with run_controller(tmp_path, plane, clock) as watch:
            await watch.until_in_sync()
        events = [event for event in plane.send("GET", "/activity?limit=100")["events"] if event["id"] not in before]
        named = Counter((event["type"], event["app_slug"], str(event.get("resource"))) for event in events)
        assert {name: count for name, count in named.items() if count > 1} == {}
        for slug, spec in AFTER.items():
            targets = {target["identifier"] for target in plane.send("GET", f"/apps/{slug}/targets")["targets"]}
            slots = {slot["capability"] for slot in plane.send("GET", f"/apps/{slug}/slots")["slots"]}
            assert (targets, slots) == (set(spec["targets"]), set(spec["slots"]))
