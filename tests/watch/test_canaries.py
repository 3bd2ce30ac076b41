"""Canaries that the controller starts by itself: never too many at once, each in its turn, and nothing asked in vain."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path

from tests.support.controllers import FastClock, manifest, run_controller
from tests.support.fleets import LARGE, SMALL
from tests.support.plane import Plane
from tests.support.watched_apps import NEVER, app_slugs, plane_of_ana, requests_of, wait_for_ticks


def declare_auto(folder: Path, *slugs: str, more_targets: tuple[str, ...] = ()) -> None:
    """Declare apps whose slot is deployed to production and optimized."""
    (folder / "apps").mkdir(exist_ok=True)
    deploy = {"environments": ["production"], "optimize": "auto"}
    slot = {"capability": "chat", "servingPolicy": "local_first", "deploy": deploy}
    for slug in slugs:
        document = json.loads(manifest(slug, targets=(f"com.{slug}", *more_targets)))
        document["spec"]["slots"] = [slot]
        (folder / "apps" / f"{slug}.json").write_text(json.dumps(document))


def outgrown(plane: Plane, clock: FastClock, *slugs: str) -> None:
    """Have apps deployed with the small variant, and fleets for which the large one is better by now."""
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
    """Count the canaries that run."""
    found = plane.send("GET", "/deployments")["deployments"]
    return sum(one["canary"] is not None for one in found)


def started(plane: Plane) -> int:
    """Count the canaries that the controller has started."""
    return sum(one.endswith("/optimize") for one in requests_of(plane, "octosync"))


async def test_no_more_canaries_run_at_once_than_are_allowed(tmp_path: Path) -> None:
    """What maxCanaries allows is all that runs in the org, however many apps are read at once; the rest is shown as waiting."""
    clock = FastClock(30)
    slugs = app_slugs(8)
    config = tmp_path / "octosync.yaml"
    config.write_text("maxCanaries: 2\n")
    declare_auto(tmp_path, *slugs)
    with plane_of_ana(clock) as plane:
        outgrown(plane, clock, *slugs)
        plane.log()
        async with run_controller(tmp_path, plane, clock, config=config, resync=NEVER) as watch:
            await watch.until(lambda: watch.status.full_read_at is not None)
            await wait_for_ticks(watch, 4)
            assert canaries(plane) == 2
            waiting = [one for one in watch.status.apps.values() if one.waits_for_canaries]
            assert len(waiting) == 6
            for one in waiting:
                assert "maxCanaries" in " ".join((one.why_waiting, *(each.waiting for each in one.recommendations)))


async def test_the_next_canary_starts_when_one_has_ended(tmp_path: Path) -> None:
    """As each canary ends the next of the waiting apps has its own, without a full read, until all are done."""
    clock = FastClock(30)
    slugs = app_slugs(3)
    config = tmp_path / "octosync.yaml"
    config.write_text("maxCanaries: 1\n")
    declare_auto(tmp_path, *slugs)
    with plane_of_ana(clock) as plane:
        outgrown(plane, clock, *slugs)
        async with run_controller(
            tmp_path, plane, clock, config=config, interval=timedelta(seconds=3), resync=NEVER
        ) as watch:
            large = 0
            while large < len(slugs):
                await watch.until(lambda: canaries(plane))
                assert canaries(plane) == 1
                await clock.advance(timedelta(minutes=10))
                found = plane.send("GET", "/deployments")["deployments"]
                large = sum(one["model_variant_id"] == "large" for one in found)


async def test_a_running_canary_costs_no_turns(tmp_path: Path) -> None:
    """While a canary runs, an app is read when its deployment has an event, and otherwise left alone."""
    clock = FastClock(60)
    declare_auto(tmp_path, "demo")
    with plane_of_ana(clock) as plane:
        outgrown(plane, clock, "demo")
        async with run_controller(tmp_path, plane, clock, resync=NEVER) as watch:
            await watch.until(lambda: started(plane) == 1 and watch.app().canaries)
            watch.requests()
            asked = await wait_for_ticks(watch, 8)
            assert [one for one in asked if "/optimize" in one or "/check" in one] == []
            assert asked.count("GET /api/v1/apps/demo") <= 3
            (canary,) = watch.app().canaries
            assert canary.canary is not None


async def test_a_check_is_asked_once_a_day_and_again_for_another_fleet(tmp_path: Path) -> None:
    """However often an app is read, Octomil is asked for a better variant once a day, and when its targets have changed."""
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

            async def read_again(times: int) -> int:
                """Return how many checks were asked for until the app was read so often."""
                watch.requests()
                await watch.until(
                    lambda: requests_of(plane, "octosync").count("GET /api/v1/apps/demo/targets") >= times
                )
                return requests_of(plane, "octosync").count(check)

            assert requests_of(plane, "octosync").count(check) == 1
            assert await read_again(3) == 0
            clock.skip(timedelta(hours=25))
            assert await read_again(3) == 1
            declare_auto(tmp_path, "demo", more_targets=("com.more",))
            await watch.until(lambda: len(plane.send("GET", "/apps/demo/targets")["targets"]) == 2)
            assert await read_again(3) == 1
            assert await read_again(3) == 0
