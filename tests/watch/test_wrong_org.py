"""A key of another org than the one that is remembered: nothing is written, and nothing is asked until something changes."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from tests.support.controllers import FastClock, manifest, plane_at, run_controller


def of_another_org(state: Path) -> None:
    """Have a state file remember another org than the one that it is of."""
    with closing(sqlite3.connect(state)) as database, database:
        database.execute("update plane set org_id = '00000000-0000-4000-8000-000000000001'")


async def test_all_waits_until_something_changes(tmp_path: Path) -> None:
    """It is said once and shown; no probe, which would be answered, lets anything through until somebody asks for it."""
    clock = FastClock(300)
    (tmp_path / "apps").mkdir()
    file = tmp_path / "apps/demo.json"
    file.write_text(manifest(slots={"chat": "local_first"}))
    with plane_at(clock) as plane:
        async with run_controller(tmp_path, plane, clock) as watch:
            await watch.until_in_sync()
        of_another_org(tmp_path / "state.db")
        file.write_text(manifest(slots={"vision": "local_first"}))
        async with run_controller(tmp_path, plane, clock) as watch:
            await watch.until(lambda: watch.status.credential)
            assert "belongs to org" in watch.status.credential
            await watch.until(lambda: not watch.status.queue["changed"])
            watch.requests()
            await clock.sleep(900)
            assert watch.requests() == []
            assert not watch.status.ready
            assert len(watch.logged("everything_waits")) == 1
            watch.controller.api.reconcile(None)
            await watch.until(lambda: len(watch.logged("everything_waits")) == 2)
            assert [one["capability"] for one in plane.send("GET", "/apps/demo/slots")["slots"]] == ["chat"]
