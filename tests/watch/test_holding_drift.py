"""Drift is announced with its author and its end, held, and then reverted, unless a person decides otherwise."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

from tests.support.controllers import FastClock, manifest, run_controller
from tests.support.plane import Plane
from tests.support.watched_apps import CLOUD, NEVER, TICK, app_slugs, create_live, declare, plane_of_ana, requests_of

from octosync.model import NotifyEvent
from octosync.watch.status import AppState

HOLD = timedelta(minutes=30)
QUICK: Any = {"interval": timedelta(seconds=3), "resync": NEVER}  # ten ticks a second


async def test_drift_of_one_app_is_announced_and_reverted_with_few_requests(tmp_path: Path) -> None:
    """Log, status and notification have author, change and end. Finding and reverting it cost at most six requests each."""
    clock = FastClock(30)
    slugs = app_slugs(30)
    declare(tmp_path, *slugs)
    with plane_of_ana(clock) as plane:
        create_live(plane, *slugs)
        async with run_controller(tmp_path, plane, clock, drift_hold=HOLD, **QUICK) as watch:
            await watch.until_in_sync()
            watch.requests()
            changed_at = clock.now()
            plane.send("PUT", "/apps/app-07/slots/chat", CLOUD)
            await watch.until(lambda: watch.app("app-07").state is AppState.HELD)
            found = [line for line in requests_of(plane, "octosync") if line != TICK]
            assert len(found) <= 6
            (drift,) = watch.app("app-07").drift
            assert (str(drift.address), drift.actor) == ("app/app-07/slot/chat", "ana")
            assert drift.until is not None
            assert abs(drift.until - changed_at - HOLD) < timedelta(seconds=30)
            (line,) = watch.logged("drift")
            assert (line["address"], line["actor"]) == ("app/app-07/slot/chat", "ana")
            assert line["until"] == drift.until.isoformat(timespec="seconds")
            await watch.until(lambda: watch.recorder.of_event(NotifyEvent.HELD))
            (notice,) = watch.recorder.of_event(NotifyEvent.HELD)
            assert (notice.actor, notice.until) == ("ana", drift.until)
            watch.requests()
            await clock.advance(HOLD)
            await watch.until(lambda: watch.app("app-07").state is AppState.IN_SYNC)
            assert clock.now() >= drift.until
            revert = [line for line in requests_of(plane, "octosync") if line != TICK]
            assert revert.count("PUT /api/v1/apps/app-07/slots/chat") == 1
            assert len(revert) <= 6
            (action,) = watch.logged("action")
            assert action["replaces"] == "ana"
            await watch.until(
                lambda: [notice.actor for notice in watch.recorder.of_event(NotifyEvent.DRIFT)] == ["ana"]
            )


async def test_without_a_hold_drift_is_reverted_at_once(tmp_path: Path) -> None:
    """With --drift-hold 0 a change is reverted after the tick that finds it, and the notification names its author."""
    clock = FastClock(30)
    declare(tmp_path, "demo")
    with plane_of_ana(clock) as plane:
        create_live(plane, "demo")
        async with run_controller(tmp_path, plane, clock, drift_hold=timedelta(), **QUICK) as watch:
            await watch.until_in_sync()
            watch.requests()
            plane.send("PUT", "/apps/demo/slots/chat", CLOUD)
            await watch.until(lambda: "PUT /api/v1/apps/demo/slots/chat" in requests_of(plane, "octosync"))
            await watch.until(lambda: watch.app().state is AppState.IN_SYNC)
            assert len([line for line in requests_of(plane, "octosync") if line != TICK]) <= 6
            await watch.until(
                lambda: [notice.actor for notice in watch.recorder.of_event(NotifyEvent.DRIFT)] == ["ana"]
            )


async def test_a_hold_survives_a_restart_until_it_is_released(tmp_path: Path) -> None:
    """A hold by a person outlasts the hold of all drift, also after a restart.

    Once it is released, the drift is reverted.
    """
    clock = FastClock(30)
    declare(tmp_path, "demo")
    settings: Any = {"drift_hold": HOLD, **QUICK}
    with plane_of_ana(clock) as plane:
        async with run_controller(tmp_path, plane, clock, **settings) as watch:
            await watch.until_in_sync()
            plane.send("PUT", "/apps/demo/slots/chat", CLOUD)
            await watch.until(lambda: watch.app().state is AppState.HELD)
            hold = watch.controller.api.hold("demo", timedelta(hours=4), "an incident")
            await watch.until(lambda: watch.app().drift[0].until == hold.until)
        async with run_controller(tmp_path, plane, clock, **settings) as watch:
            await watch.until(lambda: watch.app().state is AppState.HELD)
            assert watch.app().hold == hold
            (drift,) = watch.app().drift
            assert drift.until == hold.until
            await clock.advance(2 * HOLD)
            before = watch.app().read_at
            watch.controller.api.reconcile("demo")
            await watch.until(lambda: watch.app().read_at != before)
            assert watch.app().state is AppState.HELD
            watch.controller.api.release("demo")
            await watch.until(lambda: watch.app().state is AppState.IN_SYNC)
            assert clock.now() < hold.until


async def test_a_held_app_keeps_later_changes(tmp_path: Path) -> None:
    """A hold is on the app: changes during it stay too, even if drift is otherwise not held."""
    clock = FastClock(30)
    declare(tmp_path, "demo")
    with plane_of_ana(clock) as plane:
        async with run_controller(tmp_path, plane, clock, drift_hold=timedelta(), **QUICK) as watch:
            await watch.until_in_sync()
            hold = watch.controller.api.hold("demo", timedelta(hours=3), "an incident")
            assert watch.status.holds == (hold,)
            plane.send("PUT", "/apps/demo/slots/chat", CLOUD)
            await watch.until(lambda: watch.app().state is AppState.HELD)
            assert watch.app().drift[0].until == hold.until
            await clock.advance(timedelta(hours=3))
            await watch.until(lambda: watch.app().state is AppState.IN_SYNC)
            assert clock.now() >= hold.until
            assert not watch.status.holds


async def test_a_hold_ends_by_itself(tmp_path: Path) -> None:
    """At its end the held drift is reverted automatically."""
    clock = FastClock(30)
    declare(tmp_path, "demo")
    with plane_of_ana(clock) as plane:
        async with run_controller(tmp_path, plane, clock, drift_hold=HOLD, **QUICK) as watch:
            await watch.until_in_sync()
            plane.send("PUT", "/apps/demo/slots/chat", CLOUD)
            await watch.until(lambda: watch.app().state is AppState.HELD)
            hold = watch.controller.api.hold("demo", timedelta(hours=4), "an incident")
            await watch.until(lambda: watch.app().drift[0].until == hold.until)
            await clock.advance(timedelta(hours=4))
            await watch.until(lambda: watch.app().state is AppState.IN_SYNC)
            assert clock.now() >= hold.until


async def test_a_commit_to_the_held_field_ends_the_hold(tmp_path: Path) -> None:
    """The new declaration is applied at once, and log and notification name the author of the replaced change."""
    clock = FastClock(30)
    declare(tmp_path, "demo")
    with plane_of_ana(clock) as plane:
        async with run_controller(tmp_path, plane, clock, **QUICK) as watch:
            await watch.until_in_sync()
            plane.send("PUT", "/apps/demo/slots/chat", CLOUD)
            await watch.until(lambda: watch.app().state is AppState.HELD)
            watch.controller.api.hold("demo", timedelta(hours=4), "an incident")
            declare(tmp_path, "demo", chat="cloud_first")
            await watch.until(lambda: watch.app().state is AppState.IN_SYNC)
            assert slot(plane)["serving_policy"]["routing_preference"] == "cloud"
            assert watch.logged("action")[-1]["replaces"] == "ana"
            assert "ana" in watch.logged("action")[-1]["@message"]
            await watch.until(lambda: watch.recorder.of_event(NotifyEvent.DRIFT))
            assert watch.recorder.of_event(NotifyEvent.DRIFT)[-1].actor == "ana"


async def test_a_commit_to_another_field_is_applied_beside_held_drift(tmp_path: Path) -> None:
    """The committed field of a slot is written, and the held field keeps its live value."""
    clock = FastClock(30)
    declare_slot(tmp_path, preferredEngines=["one"])
    with plane_of_ana(clock) as plane:
        async with run_controller(tmp_path, plane, clock, **QUICK) as watch:
            await watch.until_in_sync()
            plane.send("PUT", "/apps/demo/slots/chat", {**CLOUD, "preferred_engines": ["one"]})
            await watch.until(lambda: watch.app().state is AppState.HELD)
            (before,) = watch.app().drift
            declare_slot(tmp_path, preferredEngines=["two"])
            await watch.until(lambda: slot(plane)["preferred_engines"] == ["two"])
            assert slot(plane)["serving_policy"]["routing_mode"] == "cloud_only"
            await watch.until(lambda: watch.app().state is AppState.HELD)
            assert watch.logged("action")[-1]["replaces"] is None
            # Our own write is not drift: the time and the author of the drift stay.
            (after,) = watch.app().drift
            assert (after.actor, after.until) == ("ana", before.until)


def declare_slot(folder: Path, **fields: Any) -> None:
    """Declare an app with one slot with these fields."""
    (folder / "apps").mkdir(exist_ok=True)
    slot = {"capability": "chat", "servingPolicy": "local_first", **fields}
    document = {**json.loads(manifest()), "spec": {"name": "Demo", "slots": [slot]}}
    (folder / "apps" / "demo.json").write_text(json.dumps(document))


def slot(plane: Plane) -> Any:
    """Return the live slot."""
    (slot_,) = plane.send("GET", "/apps/demo/slots")["slots"]
    return slot_


async def test_a_hold_may_end_during_a_reconcile(tmp_path: Path) -> None:
    """A reconcile that spans the end of a hold is followed by one that reverts the drift, without a resync."""
    clock = FastClock(30)
    declare(tmp_path, "demo")
    with plane_of_ana(clock) as plane:
        async with run_controller(tmp_path, plane, clock, drift_hold=HOLD, **QUICK) as watch:
            await watch.until_in_sync()
            plane.send("PUT", "/apps/demo/slots/chat", CLOUD)
            await watch.until(lambda: watch.app().state is AppState.HELD)
            plane.break_with({"operation": "apps.list_slots", "action": "delay", "seconds": 0.3})
            watch.requests()
            watch.controller.api.reconcile("demo")
            await watch.until(lambda: "GET /api/v1/apps/demo/slots" in requests_of(plane, "octosync"))
            await clock.advance(HOLD)
            await watch.until(lambda: watch.app().state is AppState.IN_SYNC)
