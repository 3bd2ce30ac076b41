"""Resyncs: everything is read again at intervals, whatever happens to single apps meanwhile."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

from tests.support.controllers import FastClock, run_controller
from tests.support.fleets import SMALL
from tests.support.plane import writes_in
from tests.support.watched_apps import (
    CLOUD,
    NEVER,
    app_slugs,
    create_live,
    declare,
    plane_of_ana,
    requests_of,
    wait_for_resync,
)
from tests.watch.test_canaries import declare_auto

from octosync.watch.status import AppState

LIMITED: Any = {"connection": {"requests_per_minute": 100}, "interval": NEVER, "resync": NEVER}


async def test_a_manifest_removed_during_a_resync_does_not_block_it(tmp_path: Path) -> None:
    """The app becomes an orphan, and the resync ends without it."""
    clock = FastClock(30)
    slugs = app_slugs(40)
    declare(tmp_path, *slugs)
    with plane_of_ana(clock) as plane:
        create_live(plane, *slugs)
        async with run_controller(tmp_path, plane, clock) as watch:
            await watch.until_in_sync()
        async with run_controller(tmp_path, plane, clock, **LIMITED) as watch:
            await watch.until(lambda: watch.status.ready)
            before = watch.status.full_read_at
            watch.controller.api.reconcile(None)  # its reads exceed the share of one minute
            await watch.until(lambda: watch.status.full_read_total == len(slugs))
            (watch.apps / "app-39.json").unlink()
            await watch.until(lambda: watch.app("app-39").state is AppState.ORPHANED)
            await watch.until(lambda: watch.status.full_read_at != before)


async def test_a_resync_reads_held_apps(tmp_path: Path) -> None:
    """Neither a hold nor a failing app prevents the end of a resync, and each resync reads the held app."""
    clock = FastClock(60)
    declare(tmp_path, "demo", "broken", "other")
    settings: Any = {"interval": NEVER, "resync": timedelta(seconds=30), "connection": {"attempts": 1}}
    with plane_of_ana(clock) as plane:
        create_live(plane, "demo", "broken", "other")
        async with run_controller(tmp_path, plane, clock, **settings) as watch:
            await watch.until_in_sync()
            plane.send("PUT", "/apps/demo/slots/chat", CLOUD)
            broken = {"operation": "apps.list_slots", "slug": "broken", "action": "garbage", "times": None}
            plane.break_with(broken)
            await watch.until(lambda: watch.app().state is AppState.HELD)
            await watch.until(lambda: watch.app("broken").state is AppState.FAILING)
            watch.controller.api.hold("demo", timedelta(hours=4), "an incident")
            for _ in range(2):
                await wait_for_resync(watch)
            plane.send("PATCH", "/apps/other", {"name": "Renamed"})
            await watch.until(lambda: watch.app("other").state is AppState.HELD)
            plane.send("PATCH", "/apps/demo", {"name": "Renamed"})
            await watch.until(lambda: len(watch.app().drift) == 2)


async def test_a_resync_reads_deployments_of_the_org(tmp_path: Path) -> None:
    """One page has the deployments of all apps. An app that is written has its own read just before, for the guards."""
    clock = FastClock(60)
    slugs = app_slugs(12)
    declare_auto(tmp_path, *slugs)
    settings: Any = {"interval": NEVER, "resync": NEVER, "drift_hold": timedelta()}
    with plane_of_ana(clock) as plane:
        plane.local("PUT", "/catalog", {"variants": [SMALL]})
        create_live(plane, *slugs)
        for slug in slugs:
            plane.deploy(slug)
        await clock.advance(timedelta(minutes=5))
        async with run_controller(tmp_path, plane, clock, **settings) as watch:
            await watch.until_in_sync()
            requests = requests_of(plane, "octosync")
            assert requests.count("GET /api/v1/deployments") == 1
            assert [line for line in requests if line.endswith("/deployments") and "/apps/" in line] == []
            plane.send("PATCH", f"/apps/{slugs[3]}", {"name": "Renamed"})
            plane.log()
            watch.controller.api.reconcile(None)
            await wait_for_resync(watch)
            requests = requests_of(plane, "octosync")
            own = f"/api/v1/apps/{slugs[3]}"
            deployments = [line for line in requests if line.endswith("/deployments")]
            assert deployments[0] == "GET /api/v1/deployments"
            assert {*deployments[1:]} == {f"GET {own}/deployments"}
            assert writes_in(requests) == [f"PATCH {own}"]
