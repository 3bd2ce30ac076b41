"""Contested objects after a restart."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

from tests.support.controllers import FastClock, RunningController, manifest, plane_at, run_controller

from octosync.watch.status import AppState

AT_ONCE = timedelta()


def _policy(watch: RunningController) -> str:
    (slot,) = watch.plane.send("GET", "/apps/demo/slots")["slots"]
    return str(slot["serving_policy"]["routing_mode"])


async def _contest(watch: RunningController) -> None:
    for _ in range(4):
        await watch.until_in_sync()
        await watch.until(lambda: _policy(watch) == "auto")
        watch.plane.send("PUT", "/apps/demo/slots/chat", {"serving_policy": "cloud_only", "bindings": []})
    await watch.until(lambda: any(drift.contested for drift in watch.app().drift))


async def test_contested_drift_survives_a_restart_until_its_manifest_changes(tmp_path: Path) -> None:
    """A restart alone does not revert it. After a change of the manifest it is reverted as before."""
    clock = FastClock(60)
    (tmp_path / "apps").mkdir()
    file = tmp_path / "apps" / "demo.json"
    file.write_text(manifest(slots={"chat": "local_first"}))
    with plane_at(clock) as plane:
        async with run_controller(tmp_path, plane, clock, drift_hold=AT_ONCE) as watch:
            await _contest(watch)
        async with run_controller(tmp_path, plane, clock, drift_hold=AT_ONCE) as watch:
            await watch.until(lambda: watch.status.ready)
            assert watch.app().state is not AppState.IN_SYNC
            assert _policy(watch) == "cloud_only"
        file.write_text(manifest(slots={"chat": "local_first"}, description="Reviewed"))
        async with run_controller(tmp_path, plane, clock, drift_hold=AT_ONCE) as watch:
            await watch.until(lambda: _policy(watch) == "auto")
