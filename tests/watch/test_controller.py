"""The controller: commits are applied, drift is held and reverted, and everything is remembered."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

from tests.support.controllers import FastClock, manifest, plane_at, run_controller

from octosync.watch.status import AppState


async def test_a_new_app_is_created_and_then_in_sync(tmp_path: Path) -> None:
    """The manifests at the start are applied, and an idle controller then requests nothing but the feed."""
    clock = FastClock(20)
    (tmp_path / "apps").mkdir()
    (tmp_path / "apps" / "demo.json").write_text(manifest(targets=("com.demo",), slots={"chat": "local_first"}))
    with plane_at(clock) as plane:
        async with run_controller(tmp_path, plane, clock) as watch:
            await watch.until_in_sync()
            assert [app["slug"] for app in plane.send("GET", "/apps")["apps"]] == ["demo"]


async def test_a_commit_is_applied(tmp_path: Path) -> None:
    """A changed manifest is applied automatically."""
    clock = FastClock(20)
    (tmp_path / "apps").mkdir()
    file = tmp_path / "apps" / "demo.json"
    file.write_text(manifest(slots={"chat": "local_first"}))
    with plane_at(clock) as plane:
        async with run_controller(tmp_path, plane, clock) as watch:
            await watch.until_in_sync()
            file.write_text(manifest(slots={"chat": "cloud_first", "vision": "local_first"}))
            await watch.until(lambda: len(plane.send("GET", "/apps/demo/slots")["slots"]) == 2)


async def test_drift_is_held_and_then_reverted(tmp_path: Path) -> None:
    """A change by hand stays for the hold, announced with its author and its end, and is then reverted."""
    clock = FastClock(20)
    settings = {"drift_hold": timedelta(minutes=30), "interval": timedelta(seconds=2)}
    (tmp_path / "apps").mkdir()
    (tmp_path / "apps" / "demo.json").write_text(manifest(slots={"chat": "local_first"}))
    with plane_at(clock) as plane:
        async with run_controller(tmp_path, plane, clock, **settings) as watch:
            await watch.until_in_sync()
            plane.send("PUT", "/apps/demo/slots/chat", {"serving_policy": "cloud_only", "bindings": []})
            await watch.until(lambda: watch.app().state is AppState.HELD)
            (drift,) = watch.app().drift
            assert drift.until is not None
            await clock.advance(timedelta(minutes=20))
            await watch.wait(timedelta(seconds=2))
            assert watch.app().state is AppState.HELD
            await clock.advance(timedelta(minutes=10))
            await watch.until(lambda: watch.app().state is AppState.IN_SYNC)
            assert clock.now() >= drift.until
