"""When the controller writes: by mode, suspension and freeze window, and without a state file."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.support.controllers import FastClock, RunningController, run_controller
from tests.support.plane import writes_in
from tests.support.watched_apps import CLOUD, NEVER, create_live, declare, plane_of_ana, requests_of, wait_for_ticks

from octosync.model import NotifyEvent, Reason
from octosync.plan import Plan
from octosync.watch.settings import WriteMode
from octosync.watch.status import AppState

SLOT = "PUT /api/v1/apps/demo/slots/chat"
SHORT: Any = {"drift_hold": timedelta(), "resync": timedelta(minutes=1)}


def planned(watch: RunningController) -> Plan:
    """Return the plan of the app's last reconcile that is not applied."""
    plan = watch.app().plan
    assert plan is not None
    return plan


async def test_heal_manifest_applies_commits_and_shows_drift(tmp_path: Path) -> None:
    """Drift is announced and never reverted. Commits are applied, also to the drifted field."""
    clock = FastClock(60)
    declare(tmp_path, "demo")
    with plane_of_ana(clock) as plane:
        create_live(plane, "demo")
        async with run_controller(tmp_path, plane, clock, write_mode=WriteMode.MANIFEST, **SHORT) as watch:
            await watch.until_in_sync()
            plane.send("PUT", "/apps/demo/slots/chat", CLOUD)
            await watch.until(lambda: watch.app().state is AppState.DRIFTED)
            (drift,) = watch.app().drift
            assert (drift.actor, drift.until) == ("ana", None)
            await watch.until(lambda: watch.recorder.of_event(NotifyEvent.DRIFT))
            assert watch.recorder.of_event(NotifyEvent.DRIFT)[-1].actor == "ana"
            watch.requests()
            await wait_for_ticks(watch, 8)
            assert watch.app().state is AppState.DRIFTED
            declare(tmp_path, "demo", description="New")
            await watch.until(lambda: plane.send("GET", "/apps/demo")["description"] == "New")
            assert SLOT not in requests_of(plane, "octosync")
            declare(tmp_path, "demo", description="New", chat="cloud_first")
            await watch.until_in_sync()
            assert SLOT in requests_of(plane, "octosync")


async def test_heal_none_writes_nothing_and_shows_the_plan(tmp_path: Path) -> None:
    """Neither a commit nor drift is written. The plan is shown with the reason why it waits."""
    clock = FastClock(60)
    declare(tmp_path, "demo", "new")
    with plane_of_ana(clock) as plane:
        create_live(plane, "demo")
        plane.send("PUT", "/apps/demo/slots/chat", CLOUD)
        plane.log()
        async with run_controller(tmp_path, plane, clock, write_mode=WriteMode.NONE, **SHORT) as watch:
            await watch.until(lambda: watch.app("new").state is AppState.WAITING)
            await watch.until(lambda: watch.app().state is AppState.WAITING)
            assert [str(action.address) for action in planned(watch).actions] == ["app/demo/slot/chat"]
            assert "--heal none" in watch.app().why_waiting
            declare(tmp_path, "demo", description="New")
            await watch.until(lambda: len(planned(watch).actions) == 2)
            await wait_for_ticks(watch, 4)
            assert writes_in(requests_of(plane, "octosync")) == []


async def test_a_controller_that_only_plans_announces_no_end_of_drift(tmp_path: Path) -> None:
    """With --heal none nothing is ever reverted, so new drift is not announced as held."""
    clock = FastClock(60)
    declare(tmp_path, "demo")
    with plane_of_ana(clock) as plane:
        create_live(plane, "demo")
        async with run_controller(tmp_path, plane, clock, write_mode=WriteMode.NONE, resync=NEVER) as watch:
            await watch.until_in_sync()
            plane.send("PUT", "/apps/demo/slots/chat", CLOUD)
            await watch.until(lambda: watch.app().state is AppState.DRIFTED)
            (drift,) = watch.app().drift
            assert (drift.actor, drift.until) == ("ana", None)
            assert watch.recorder.of_event(NotifyEvent.HELD) == []


async def test_a_suspended_app_is_left_alone_while_annotated(tmp_path: Path) -> None:
    """octosync.dev/suspend keeps one app as it is, whatever is committed or changed. Other apps are reconciled."""
    clock = FastClock(60)
    declare(tmp_path, "demo", annotations={"octosync.dev/suspend": "true"}, chat="cloud_first")
    declare(tmp_path, "other")
    with plane_of_ana(clock) as plane:
        create_live(plane, "demo", "other")
        async with run_controller(tmp_path, plane, clock, **SHORT) as watch:
            await watch.until(lambda: watch.app().state is AppState.SUSPENDED)
            plane.send("PUT", "/apps/demo/slots/chat", CLOUD)
            plane.send("PUT", "/apps/other/slots/chat", CLOUD)
            plane.log()
            await watch.until(lambda: "PUT /api/v1/apps/other/slots/chat" in requests_of(plane, "octosync"))
            assert watch.app().state is AppState.SUSPENDED
            assert SLOT not in requests_of(plane, "octosync")
            declare(tmp_path, "demo", chat="cloud_first")
            await watch.until_in_sync()
            assert SLOT in requests_of(plane, "octosync")


async def test_a_suspension_survives_a_restart(tmp_path: Path) -> None:
    """Commits wait, shown as waiting, also after a restart. Resuming applies them."""
    clock = FastClock(60)
    declare(tmp_path, "demo")
    with plane_of_ana(clock) as plane:
        create_live(plane, "demo")
        async with run_controller(tmp_path, plane, clock, **SHORT) as watch:
            await watch.until_in_sync()
            watch.controller.api.suspend("an incident")
            declare(tmp_path, "demo", chat="cloud_first")
            await watch.until(lambda: watch.app().state is AppState.WAITING)
            assert "an incident" in watch.app().why_waiting
        plane.log()
        async with run_controller(tmp_path, plane, clock, **SHORT) as watch:
            assert watch.status.suspended is not None
            await watch.until(lambda: watch.app().state is AppState.WAITING)
            await wait_for_ticks(watch, 3)
            assert writes_in(requests_of(plane, "octosync")) == []
            watch.controller.api.resume()
            await watch.until_in_sync()
            assert watch.status.suspended is None


async def test_drift_due_during_a_suspension_is_reverted_after_it(tmp_path: Path) -> None:
    """A suspension keeps drift too. When it ends, drift older than its hold is reverted."""
    clock = FastClock(60)
    declare(tmp_path, "demo")
    with plane_of_ana(clock) as plane:
        create_live(plane, "demo")
        async with run_controller(tmp_path, plane, clock, drift_hold=timedelta(minutes=30), resync=NEVER) as watch:
            await watch.until_in_sync()
            watch.controller.api.suspend("an incident")
            plane.send("PUT", "/apps/demo/slots/chat", CLOUD)
            await watch.until(lambda: watch.app().state is AppState.HELD)
            await clock.advance(timedelta(minutes=30))
            await watch.until(lambda: watch.app().state is AppState.WAITING)
            watch.controller.api.resume()
            await watch.until_in_sync()


async def test_a_commit_waits_for_a_freeze_window(tmp_path: Path) -> None:
    """In a window a commit waits, shown with its end and not as blocked. Drift is shown, and exempt apps are reconciled."""
    clock = FastClock(60)
    config = tmp_path / "octosync.yaml"
    config.write_text('freeze: [{cron: "0 12 * * *", duration: 5h, except: [free]}]\n')
    declare(tmp_path, "demo", "free", "other")
    with plane_of_ana(clock) as plane:
        create_live(plane, "demo", "free", "other")
        async with run_controller(tmp_path, plane, clock, config=config, drift_hold=timedelta(), resync=NEVER) as watch:
            await watch.until_in_sync()
            declare(tmp_path, "demo", "free", chat="cloud_first")
            plane.send("PUT", "/apps/other/slots/chat", CLOUD)
            await watch.until(lambda: watch.app().state is AppState.WAITING)
            app = watch.app()
            assert app.frozen_until is not None
            assert (app.frozen_until.hour, app.frozen_until.minute) == (17, 0)
            assert "freeze" in app.why_waiting
            assert app.blocked == ()
            await watch.until(lambda: watch.app("other").state is AppState.HELD)
            (drift,) = watch.app("other").drift
            assert (drift.actor, drift.until) == ("ana", app.frozen_until)
            await watch.until(lambda: "PUT /api/v1/apps/free/slots/chat" in requests_of(plane, "octosync"))
            assert clock.now() < app.frozen_until
            assert SLOT not in requests_of(plane, "octosync")
            await clock.advance(timedelta(hours=5))
            await watch.until_in_sync()
            assert clock.now() >= app.frozen_until
            assert {SLOT, "PUT /api/v1/apps/other/slots/chat"} <= set(requests_of(plane, "octosync"))


async def test_drift_due_in_a_freeze_window_stays_until_its_end(tmp_path: Path) -> None:
    """The announced end is the actual one: the later of the two."""
    clock = FastClock(60)
    config = tmp_path / "octosync.yaml"
    config.write_text('freeze: [{cron: "10 12 * * *", duration: 4h}]\n')
    declare(tmp_path, "demo")
    with plane_of_ana(clock) as plane:
        create_live(plane, "demo")
        plane.send("PUT", "/apps/demo/slots/chat", CLOUD)
        settings: Any = {"config": config, "drift_hold": timedelta(minutes=20), "resync": NEVER}
        async with run_controller(tmp_path, plane, clock, **settings) as watch:
            await watch.until(lambda: watch.app().state is AppState.HELD)
            (drift,) = watch.app().drift
            assert drift.until is not None
            assert (drift.until.hour, drift.until.minute, drift.until.second) == (16, 10, 0)
            await clock.advance(timedelta(minutes=20))
            await watch.until(lambda: watch.app().why_waiting)
            assert watch.app().state is AppState.HELD
            await clock.advance(timedelta(hours=4))
            await watch.until_in_sync()
            assert clock.now() >= drift.until


async def test_a_removed_freeze_window_is_over(tmp_path: Path) -> None:
    """What waits for a window continues when it is removed from octosync.yaml."""
    clock = FastClock(30)
    config = tmp_path / "octosync.yaml"
    config.write_text('freeze: [{cron: "0 12 * * *", duration: 5h}]\n')
    declare(tmp_path, "demo", chat="cloud_first")
    with plane_of_ana(clock) as plane:
        create_live(plane, "demo")
        async with run_controller(tmp_path, plane, clock, config=config, **SHORT) as watch:
            await watch.until(lambda: watch.app().state is AppState.WAITING)
            config.write_text("freeze: []\n")
            await watch.until_in_sync()


async def test_without_state_nothing_is_removed_and_recent_changes_are_held(tmp_path: Path) -> None:
    """The loss of the state is logged. Differences are applied as such, except for those changed just before."""
    clock = FastClock(30)
    declare_separately(tmp_path, "chat", "vision")
    settings: Any = {"drift_hold": timedelta(minutes=10), "resync": NEVER}
    with plane_of_ana(clock) as plane:
        async with run_controller(tmp_path, plane, clock, **settings) as watch:
            await watch.until_in_sync()
        delete_files(tmp_path, "state.db*", "apps/vision.json")
        plane.send("PUT", "/apps/demo/slots/chat", CLOUD)
        clock.skip(timedelta(minutes=11))
        plane.send("PATCH", "/apps/demo", {"name": "Name by Ana"})
        plane.log()
        async with run_controller(tmp_path, plane, clock, **settings) as watch:
            await watch.until(lambda: watch.app().state is AppState.HELD)
            assert len(watch.logged("nothing_remembered")) == 1
            (held,) = watch.app().drift
            assert (str(held.address), held.actor) == ("app/demo", "ana")
            assert writes_in(requests_of(plane, "octosync")) == [SLOT]
            assert [held.action.reason for held in planned(watch).held] == [Reason.DIFFERS]
            slots = plane.send("GET", "/apps/demo/slots")["slots"]
            assert {slot["capability"] for slot in slots} == {"chat", "vision"}
        async with run_controller(tmp_path, plane, clock, **settings) as watch:
            await watch.until(lambda: watch.app().state is AppState.HELD)
            assert watch.logged("nothing_remembered") == []


def declare_separately(folder: Path, *capabilities: str) -> None:
    """Declare an app, and its slots in separate documents."""
    declare(folder, "demo")
    app = folder / "apps" / "demo.json"
    document = json.loads(app.read_text())
    del document["spec"]["slots"]
    app.write_text(json.dumps(document))
    for capability in capabilities:
        slot = {
            "apiVersion": document["apiVersion"],
            "kind": "CapabilitySlot",
            "metadata": {"name": f"demo-{capability}"},
            "spec": {"app": "demo", "capability": capability, "servingPolicy": "local_first"},
        }
        (folder / "apps" / f"{capability}.json").write_text(json.dumps(slot))


def delete_files(folder: Path, *patterns: str) -> None:
    """Delete the files that match the patterns."""
    for pattern in patterns:
        for file in folder.glob(pattern):
            file.unlink()


@pytest.mark.parametrize("write_mode", [WriteMode.ALL, WriteMode.MANIFEST])
async def test_an_annotation_with_an_end_is_reconciled_then(tmp_path: Path, write_mode: WriteMode) -> None:
    """A suspension with an end is over at that time, without a commit or a resync."""
    clock = FastClock(60)
    until = {"octosync.dev/suspend": "2030-01-01T14:00:00Z"}
    declare(tmp_path, "demo", annotations=until, chat="cloud_first")
    with plane_of_ana(clock) as plane:
        create_live(plane, "demo")
        async with run_controller(
            tmp_path, plane, clock, write_mode=write_mode, drift_hold=timedelta(), resync=NEVER
        ) as watch:
            await watch.until(lambda: watch.app().state is AppState.SUSPENDED)
            await clock.advance(timedelta(hours=2))
            await watch.until_in_sync()
            assert plane.send("GET", "/apps/demo/slots")["slots"][0]["serving_policy"]["routing_preference"] == "cloud"
