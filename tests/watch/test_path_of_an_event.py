"""The path of a feed event through the code, from its arrival to the write that reverts the change."""

from __future__ import annotations

import asyncio
import sys
from collections import Counter
from datetime import timedelta
from pathlib import Path
from types import FrameType
from typing import Any

import httpx
import pytest
from tests.support.controllers import FastClock, run_controller
from tests.support.local_app import TransportWrapper
from tests.support.watched_apps import CLOUD, NEVER, create_live, declare, plane_of_ana

import octosync

pytestmark = pytest.mark.no_cover  # it has a profile of its own

SOURCES = Path(octosync.__file__).parent
MOST_FILES = 55
# Tasks and files that may run at the same time and are not on the path.
BESIDE = {"Controller._watch_files", "NotificationCollector.run", "call_app"}
FILES_BESIDE = {
    "watch/manifests/file_watcher.py",
    "watch/manifests/file_snapshot.py",
    # Each poll saves the position in the feed.
    "watch/checkpoint.py",
    "state/checkpoint.py",
    "state/seal.py",
}
# The files of the path that decide something, in the order in which they are entered.
PATH = [
    "watch/loop/activity_feed.py",
    "watch/loop/scheduler.py",
    "watch/loop/queue.py",
    "watch/reconcile/reconciler.py",
    "watch/reconcile/observer.py",
    "reconcile.py",
    "octomil/live_state.py",
    "plan/planner.py",
    "watch/reconcile/admission.py",
    "apply/executor.py",
    "apply/write.py",
]


class TracedTransport(TransportWrapper):
    """Counts the functions entered, by file, from the first response of the feed after `begin` to the next PUT."""

    def __init__(self) -> None:
        self.entered: Counter[str] = Counter()  # in the order of the first entry
        self.written = asyncio.Event()
        self._is_begun = False

    def begin(self) -> None:
        """Count from the next response of the feed."""
        self._is_begun = True
        self.entered.clear()
        self.written.clear()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request."""
        if self._is_begun and request.method == "PUT":
            sys.setprofile(None)
            self._is_begun = False
            self.written.set()
        response = await self.inner.handle_async_request(request)
        if self._is_begun and request.url.path.endswith("/activity") and sys.getprofile() is None:
            sys.setprofile(self._enter)
        return response

    def _enter(self, frame: FrameType, event: str, _: object) -> None:
        path = Path(frame.f_code.co_filename)
        if event == "call" and frame.f_code.co_name != "<module>" and path.is_relative_to(SOURCES):
            task, file = asyncio.current_task(), path.relative_to(SOURCES).as_posix()
            name = "" if task is None else getattr(task.get_coro(), "__qualname__", "")
            if name not in BESIDE and file not in FILES_BESIDE:
                self.entered[file] += 1


async def test_a_feed_event_reaches_its_revert_through_few_files(tmp_path: Path) -> None:
    """Between the feed and the write, an event passes the files named here and few others."""
    clock, traced = FastClock(4), TracedTransport()
    declare(tmp_path, "demo")
    settings: Any = {"resync": NEVER, "drift_hold": timedelta(), "interval": timedelta(seconds=1)}
    with plane_of_ana(clock) as plane:
        create_live(plane, "demo")
        async with run_controller(tmp_path, plane, clock, transport=traced, **settings) as watch:
            await watch.until_in_sync()
            for _ in range(2):  # the first revert imports modules
                traced.begin()
                plane.send("PUT", "/apps/demo/slots/chat", CLOUD)
                await asyncio.wait_for(traced.written.wait(), 60)
                await watch.until_in_sync()
    assert [file for file in traced.entered if file in PATH] == PATH
    assert len(traced.entered) <= MOST_FILES, f"{len(traced.entered)}: {sorted(traced.entered)}"
