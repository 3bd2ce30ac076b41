"""Canaries that the controller starts: no more at once than allowed, one after the other, and no needless requests."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

from tests.support.controllers import FastClock, manifest, run_controller
from tests.support.fleets import LARGE, SMALL
from tests.support.plane import Plane
from tests.support.watched_apps import NEVER, app_slugs, plane_of_ana, requests_of, wait_for_ticks

from octosync.model import Optimize
from octosync.plan import DeployPolicy


def declare_auto(folder: Path, *slugs: str, more_targets: tuple[str, ...] = ()) -> None:
    """Declare apps with a slot that is deployed to production and optimized automatically."""
    (folder / "apps").mkdir(exist_ok=True)
    deploy = {"environments": ["production"], "optimize": "auto", "maxRegression": 1}
    slot = {"capability": "chat", "servingPolicy": "local_first", "deploy": deploy}
    for slug in slugs:
        document = json.loads(manifest(slug, targets=(f"com.{slug}", *more_targets)))
        document["spec"]["slots"] = [slot]
        (folder / "apps" / f"{slug}.json").write_text(json.dumps(document))


def deploy_outgrown(plane: Plane, clock: FastClock, *slugs: str) -> None:
    """Deploy apps with the small variant, and grow their fleets so that the large variant is better."""
    plane.local("PUT", "/catalog", {"variants": [SMALL, LARGE]})
    for slug in slugs:
        plane.app(slug, "chat", target=f"com.{slug}")
        devices = {"platform": "ios", "identifier": f"com.{slug}"}
        plane.local("POST", "/devices", {**devices, "device_class": "low", "count": 5})
        plane.deploy(slug)
    clock.skip(timedelta(minutes=5))
    for slug in slugs:
        devices = {"platform": "ios", "identifier": f"com.{slug}"}
        plane.local("POST", "/devices", {**devices, "device_class": "high", "count": 500})


def canaries(plane: Plane) -> int:
    """Return the number of running canaries."""
    deployments = plane.send("GET", "/deployments")["deployments"]
    return sum(deployment["canary"] is not None for deployment in deployments)


def started_canaries(plane: Plane) -> int:
    """Return the number of canaries that the controller has started."""
    return sum(line.endswith("/optimize") for line in requests_of(plane, "octosync"))


async def test_no_more_canaries_run_at_once_than_are_allowed(tmp_path: Path) -> None:
    """At most maxCanaries run in the org, however many apps are read at once. The other apps are shown as waiting."""
    clock = FastClock(30)
    slugs = app_slugs(8)
    config = tmp_path / "octosync.yaml"
    config.write_text("maxCanaries: 2\n")
    declare_auto(tmp_path, *slugs)
    with plane_of_ana(clock) as plane:
        deploy_outgrown(plane, clock, *slugs)
        plane.log()
        async with run_controller(tmp_path, plane, clock, config=config, resync=NEVER) as watch:
            await watch.until(lambda: watch.status.full_read_at is not None)
            await wait_for_ticks(watch, 4)
            assert canaries(plane) == 2
            waiting = [app for app in watch.status.apps.values() if app.waits_for_canaries]
            assert len(waiting) == 6
            for app in waiting:
                assert "maxCanaries" in " ".join((app.why_waiting, *(advice.waiting for advice in app.recommendations)))


async def test_the_next_canary_starts_when_one_has_ended(tmp_path: Path) -> None:
    """When a canary ends, the next waiting app starts its own, without a resync, until all are done."""
    clock = FastClock(30)
    slugs = app_slugs(3)
    config = tmp_path / "octosync.yaml"
    config.write_text("maxCanaries: 1\n")
    declare_auto(tmp_path, *slugs)
    with plane_of_ana(clock) as plane:
        deploy_outgrown(plane, clock, *slugs)
        async with run_controller(
            tmp_path, plane, clock, config=config, interval=timedelta(seconds=3), resync=NEVER
        ) as watch:
            large = 0
            while large < len(slugs):
                await watch.until(lambda: canaries(plane))
                assert canaries(plane) == 1
                await clock.advance(timedelta(minutes=10))
                deployments = plane.send("GET", "/deployments")["deployments"]
                large = sum(deployment["model_variant_id"] == "large" for deployment in deployments)


async def test_a_running_canary_costs_no_reconciles(tmp_path: Path) -> None:
    """While a canary runs, its app is read only when the feed has an event about the deployment."""
    clock = FastClock(60)
    declare_auto(tmp_path, "demo")
    with plane_of_ana(clock) as plane:
        deploy_outgrown(plane, clock, "demo")
        async with run_controller(tmp_path, plane, clock, resync=NEVER) as watch:
            await watch.until(lambda: started_canaries(plane) == 1 and watch.app().canaries)
            watch.requests()
            requests = await wait_for_ticks(watch, 8)
            assert [line for line in requests if "/optimize" in line or "/check" in line] == []
            assert requests.count("GET /api/v1/apps/demo") <= 3
            (canary,) = watch.app().canaries
            assert canary.canary is not None


async def test_a_check_is_requested_once_a_day_and_for_another_fleet(tmp_path: Path) -> None:
    """However often an app is read, a better variant is requested once a day, and again when its targets have changed."""
    clock = FastClock(60)
    declare_auto(tmp_path, "demo")
    check = "POST /api/v1/apps/demo/capabilities/chat/check-optimization"
    with plane_of_ana(clock) as plane:
        plane.local("PUT", "/catalog", {"variants": [SMALL]})
        plane.app("demo", "chat", target="com.demo")
        plane.deploy("demo")
        clock.skip(timedelta(minutes=5))
        plane.log()
        async with run_controller(tmp_path, plane, clock, resync=timedelta(seconds=10)) as watch:
            await watch.until_in_sync()

            async def checks_during(times: int) -> int:
                """Return the number of checks requested during this many reads of the app."""
                watch.requests()
                await watch.until(
                    lambda: requests_of(plane, "octosync").count("GET /api/v1/apps/demo/targets") >= times
                )
                return requests_of(plane, "octosync").count(check)

            assert requests_of(plane, "octosync").count(check) == 1
            assert await checks_during(3) == 0
            clock.skip(timedelta(hours=25))
            assert await checks_during(3) == 1
            declare_auto(tmp_path, "demo", more_targets=("com.more",))
            await watch.until(lambda: len(plane.send("GET", "/apps/demo/targets")["targets"]) == 2)
            assert await checks_during(3) == 1
            assert await checks_during(3) == 0


async def test_a_check_is_not_repeated_after_a_restart(tmp_path: Path) -> None:
    """Its result is valid for a day, over restarts, too: the app is read again, and shows the same recommendation."""
    clock = FastClock(60)
    declare_auto(tmp_path, "demo")
    settings: Any = {
        "interval": NEVER,
        "resync": NEVER,
        "deploy": DeployPolicy(previews=False, optimize=Optimize.SUGGEST),
    }
    with plane_of_ana(clock) as plane:
        deploy_outgrown(plane, clock, "demo")
        async with run_controller(tmp_path, plane, clock, **settings) as watch:
            await watch.until_in_sync()
            (before,) = watch.app().recommendations
        plane.log()
        async with run_controller(tmp_path, plane, clock, **settings) as watch:
            await watch.until_in_sync()
            watch.controller.resync.request()
            await watch.until(lambda: watch.app().recommendations)
            assert watch.app().recommendations == (before,)
            assert [line for line in requests_of(plane, "octosync") if line.startswith("POST ")] == []
