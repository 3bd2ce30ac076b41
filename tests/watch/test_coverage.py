"""Coverage: an app whose enabled capability does not reach its devices is uncovered, even if it is as declared."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path

from tests.support.controllers import FastClock, manifest, run_controller
from tests.support.fleets import SMALL
from tests.support.plane import Plane
from tests.support.watched_apps import NEVER, app_slugs, plane_of_ana, requests_of, wait_for_resync

from octosync.model import NotifyEvent
from octosync.watch.status import AppState
from octosync.watch.web.attention import attention_cards
from octosync.watch.web.document import watch_document

HEALTH = "GET /api/v1/apps/demo/health"


def declare_deployed(folder: Path, *slugs: str) -> None:
    """Declare apps with a slot that is deployed to production."""
    (folder / "apps").mkdir(exist_ok=True)
    for slug in slugs:
        document = json.loads(manifest(slug, targets=(f"com.{slug}",)))
        deploy = {"environments": ["production"]}
        document["spec"]["slots"] = [{"capability": "chat", "servingPolicy": "local_first", "deploy": deploy}]
        (folder / "apps" / f"{slug}.json").write_text(json.dumps(document))


def create_deployed(plane: Plane, clock: FastClock, *slugs: str) -> None:
    """Create the apps that `declare_deployed` declares, with 340 devices each and completed rollouts."""
    plane.local("PUT", "/catalog", {"variants": [SMALL]})
    for slug in slugs:
        plane.app(slug, "chat", target=f"com.{slug}")
        devices = {"platform": "ios", "identifier": f"com.{slug}", "device_class": "low", "count": 340}
        plane.local("POST", "/devices", devices)
        plane.deploy(slug)
    clock.skip(timedelta(minutes=5))


def remove_target(plane: Plane, slug: str) -> None:
    """Remove the only target of an app by hand."""
    (target,) = plane.send("GET", f"/apps/{slug}/targets")["targets"]
    plane.send("DELETE", f"/apps/{slug}/targets/{target['id']}")


async def test_a_target_that_is_registered_again_leaves_the_app_uncovered(tmp_path: Path) -> None:
    """A removed target is reverted. Page, JSON and metrics show the app as uncovered until devices are assigned."""
    clock = FastClock(60)
    declare_deployed(tmp_path, "demo")
    with plane_of_ana(clock) as plane:
        create_deployed(plane, clock, "demo")
        async with run_controller(tmp_path, plane, clock, resync=NEVER, drift_hold=timedelta()) as watch:
            await watch.until_in_sync()
            remove_target(plane, "demo")
            await watch.until(lambda: watch.app().state is AppState.UNCOVERED)
            (gap,) = watch.app().uncovered
            assert (gap.capability, gap.covered_devices, gap.total_devices) == ("chat", 0, 340)
            (card,) = attention_cards(watch.status, watch.status.apps.values(), origin="http://127.0.0.1:9900").cards
            assert card.lines == (("chat: 0 of 340 devices covered.",),)
            document = json.loads(json.dumps(watch_document(watch.status)))
            assert document["counts"]["uncovered"] == 1
            assert "1 app needs attention: 1 uncovered" in document["sentence"]
            (shown,) = document["apps"]
            assert shown["uncovered"] == [
                {"capability": "chat", "status": "uncovered", "covered_devices": 0, "total_devices": 340}
            ]
            assert b"octosync_uncovered 1.0" in watch.controller.metrics.render()
            notice = watch.recorder.of_event(NotifyEvent.UNCOVERED)[-1]
            assert (notice.app, notice.message) == ("demo", "chat: 0 of 340 devices covered")
            assert [str(address) for address in notice.addresses] == ["app/demo/slot/chat"]
            assert "--retry-rolled-back" in notice.hints[-1]
            # As in the hints: rolled back by hand, and enabled again.
            (deployment,) = plane.send("GET", "/deployments")["deployments"]
            plane.local("POST", f"/deployments/{deployment['id']}", {"status": "rolled_back"})
            plane.deploy("demo")
            await watch.until_in_sync()
            assert watch.app().uncovered == ()


async def test_coverage_costs_one_request_per_app_and_resync(tmp_path: Path) -> None:
    """A resync reads the coverage of each app that declares a deployment once. Ticks and commits never read it."""
    clock = FastClock(60)
    slugs = app_slugs(4)
    declare_deployed(tmp_path, *slugs)
    with plane_of_ana(clock) as plane:
        create_deployed(plane, clock, *slugs)
        plane.app("demo", "chat", target="com.demo")
        (tmp_path / "apps" / "demo.json").write_text(
            manifest("demo", targets=("com.demo",), slots={"chat": "local_first"})
        )
        plane.log()
        async with run_controller(tmp_path, plane, clock, resync=NEVER, drift_hold=timedelta()) as watch:
            await watch.until_in_sync()
            plane.send("PUT", "/apps/demo/slots/chat", {"serving_policy": "cloud_only", "bindings": []})
            await watch.until(lambda: "PUT /api/v1/apps/demo/slots/chat" in requests_of(plane, "octosync"))
            await watch.until_in_sync()
            watch.controller.api.reconcile(None)
            await wait_for_resync(watch)
            requests = [line for line in requests_of(plane, "octosync") if line.endswith("/health")]
            assert sorted(requests) == sorted(2 * [f"GET /api/v1/apps/{slug}/health" for slug in slugs])


async def test_a_failed_read_of_coverage_keeps_the_last_values(tmp_path: Path) -> None:
    """An uncovered app stays uncovered while coverage cannot be read. The page reports that, and the log once."""
    clock = FastClock(60)
    declare_deployed(tmp_path, "demo")
    with plane_of_ana(clock) as plane:
        create_deployed(plane, clock, "demo")
        async with run_controller(
            tmp_path, plane, clock, resync=timedelta(seconds=30), drift_hold=timedelta()
        ) as watch:
            await watch.until_in_sync()
            remove_target(plane, "demo")
            await watch.until(lambda: watch.app().state is AppState.UNCOVERED)
            plane.break_with({"operation": "apps.health", "action": "garbage", "times": None})
            await watch.until(lambda: watch.status.coverage_unread)
            for _ in range(2):
                await wait_for_resync(watch)
            assert watch.app().state is AppState.UNCOVERED
            assert len(watch.logged("coverage_unread")) == 1
            plane.break_with()
            await watch.until(lambda: not watch.status.coverage_unread)
            assert watch.app().state is AppState.UNCOVERED
