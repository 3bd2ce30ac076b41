"""A key of another org than the state file's: nothing is written, and no request is sent until something changes."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from datetime import timedelta
from pathlib import Path

from tests.support.controllers import FastClock, manifest, plane_at, run_controller


def change_org(state: Path) -> None:
    """Record another org in a state file."""
    with closing(sqlite3.connect(state)) as database, database:
        database.execute("update plane set org_id = '00000000-0000-4000-8000-000000000001'")


async def test_everything_waits_until_a_request(tmp_path: Path) -> None:
    """It is logged once and shown. A probe, which would succeed, does not end the pause.

    A reconcile request checks the org again.
    """
    clock = FastClock(300)
    (tmp_path / "apps").mkdir()
    file = tmp_path / "apps/demo.json"
    file.write_text(manifest(slots={"chat": "local_first"}))
    with plane_at(clock) as plane:
        async with run_controller(tmp_path, plane, clock) as watch:
            await watch.until_in_sync()
        change_org(tmp_path / "state.db")
        file.write_text(manifest(slots={"vision": "local_first"}))
        async with run_controller(tmp_path, plane, clock) as watch:
            await watch.until(lambda: watch.status.credential)
            assert "belongs to org" in watch.status.credential
            await watch.until(lambda: watch.logged("turn_failed"))
            watch.requests()
            for _ in range(15):
                await clock.advance(timedelta(minutes=1))
            assert watch.requests() == []
            assert not watch.status.ready
            assert len(watch.logged("everything_waits")) == 1
            watch.controller.api.reconcile(None)
            await watch.until(lambda: len(watch.logged("everything_waits")) == 2)
            assert [slot["capability"] for slot in plane.send("GET", "/apps/demo/slots")["slots"]] == ["chat"]
