"""A controller that is killed between any two requests: the next one goes on from there, and nothing is done twice."""

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
from tests.support.plane import Plane

pytestmark = pytest.mark.no_cover  # at length: what they run is measured by other tests of this room

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


class Dying(httpx.AsyncBaseTransport):
    """Sends so many requests; of the one after nothing goes out, or no answer comes back. Then there is silence.

    What the state file has at that moment is all that is left of the process.
    """

    def __init__(self, requests: int, *, sends: bool, state: Path) -> None:
        self._left = requests
        self._sends = sends
        self._state = state
        self._inner = httpx.AsyncHTTPTransport()
        self.is_dead = asyncio.Event()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send, or don't."""
        self._left -= 1
        if self._left >= 0:
            response = await self._inner.handle_async_request(request)
            if not self.is_dead.is_set():
                return response
        elif not self.is_dead.is_set():
            if self._sends:
                await self._inner.handle_async_request(request)
            with closing(sqlite3.connect(self._state)) as now, closing(sqlite3.connect(self.left)) as left:
                now.backup(left)
            self.is_dead.set()
        await asyncio.Event().wait()
        raise AssertionError

    @property
    def left(self) -> Path:
        """The state file as it was."""
        return self._state.with_name("left.db")

    async def aclose(self) -> None:
        """Close."""
        await self._inner.aclose()


async def killed(folder: Path, plane: Plane, clock: FastClock, dying: Dying) -> bool:
    """Run a controller until it dies; say whether it did, or was done before."""
    async with run_controller(folder, plane, clock, transport=dying) as watch:
        await watch.until(lambda: dying.is_dead.is_set() or watch.is_in_sync)
    if not dying.is_dead.is_set():
        return False
    for name in ("state.db", "state.db-wal", "state.db-shm"):
        (folder / name).unlink(missing_ok=True)
    dying.left.rename(folder / "state.db")
    return True


@pytest.mark.parametrize("seed", range(6))
async def test_a_killed_controller_is_gone_on_from(tmp_path: Path, seed: int) -> None:
    """However often it is killed over a commit that creates, changes, moves and removes: each write is there once."""
    chance = random.Random(seed)  # noqa: S311 — the same kills every time
    clock = FastClock(300)
    commit(tmp_path, BEFORE)
    with plane_at(clock) as plane:
        async with run_controller(tmp_path, plane, clock) as watch:
            await watch.until_in_sync()
        before = {event["id"] for event in plane.send("GET", "/activity?limit=100")["events"]}
        commit(tmp_path, AFTER)
        for _ in range(5):
            dying = Dying(chance.randint(8, 30), sends=chance.random() < 0.5, state=tmp_path / "state.db")
            if not await killed(tmp_path, plane, clock, dying):
                break
        async with run_controller(tmp_path, plane, clock) as watch:
            await watch.until_in_sync()
        events = [one for one in plane.send("GET", "/activity?limit=100")["events"] if one["id"] not in before]
        named = Counter((one["type"], one["app_slug"], str(one.get("resource"))) for one in events)
        assert {name: count for name, count in named.items() if count > 1} == {}
        for slug, spec in AFTER.items():
            targets = {one["identifier"] for one in plane.send("GET", f"/apps/{slug}/targets")["targets"]}
            slots = {one["capability"] for one in plane.send("GET", f"/apps/{slug}/slots")["slots"]}
            assert (targets, slots) == (set(spec["targets"]), set(spec["slots"]))
