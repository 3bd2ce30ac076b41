"""Drift: announced with who did it and until when, held, and then changed back, unless somebody decides otherwise."""

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


async def test_drift_of_one_app_among_many_is_announced_and_healed_for_a_few_requests(tmp_path: Path) -> None:
    """It is said everywhere who changed what and until when; that and the healing cost six requests each, beside ticks."""
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
            found = [one for one in requests_of(plane, "octosync") if one != TICK]
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
            healing = [one for one in requests_of(plane, "octosync") if one != TICK]
            assert healing.count("PUT /api/v1/apps/app-07/slots/chat") == 1
            assert len(healing) <= 6
            (action,) = watch.logged("action")
            assert action["replaces"] == "ana"
            await watch.until(lambda: [one.actor for one in watch.recorder.of_event(NotifyEvent.DRIFT)] == ["ana"])


async def test_without_a_hold_drift_is_changed_back_at_once(tmp_path: Path) -> None:
    """With --drift-hold 0 the tick that tells of a change is followed by its end, and by who made it."""
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
            assert len([one for one in requests_of(plane, "octosync") if one != TICK]) <= 6
            await watch.until(lambda: [one.actor for one in watch.recorder.of_event(NotifyEvent.DRIFT)] == ["ana"])


async def test_a_hold_goes_on_over_a_restart_until_it_is_released(tmp_path: Path) -> None:
    """What a person holds stays beyond the hold of all drift, for another process, too, and is healed once released."""
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


async def test_an_app_that_is_held_keeps_what_is_changed_later(tmp_path: Path) -> None:
    """A hold is of the app: what somebody changes in its time stays, too, even where drift has no hold otherwise."""
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
    """Once its time is over, what was held is changed back without anybody asking."""
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


async def test_a_commit_to_the_held_field_ends_the_hold_and_says_whose_change_it_replaces(tmp_path: Path) -> None:
    """What is declared anew counts at once, and log and notification say who had changed it."""
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


async def test_a_commit_to_another_field_is_applied_beside_what_is_held(tmp_path: Path) -> None:
    """Of one slot the field that was committed is written, and the one that somebody changed stays as that was."""
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
            # Our own write is nobody's change: it makes the drift no younger, and is not the one who is named.
            (after,) = watch.app().drift
            assert (after.actor, after.until) == ("ana", before.until)


def declare_slot(folder: Path, **fields: Any) -> None:
    """Declare an app with one slot of these fields."""
    (folder / "apps").mkdir(exist_ok=True)
    slot = {"capability": "chat", "servingPolicy": "local_first", **fields}
    document = {**json.loads(manifest()), "spec": {"name": "Demo", "slots": [slot]}}
    (folder / "apps" / "demo.json").write_text(json.dumps(document))


def slot(plane: Plane) -> Any:
    """Return the slot as it is live."""
    (found,) = plane.send("GET", "/apps/demo/slots")["slots"]
    return found


async def test_a_hold_that_ends_during_a_turn_is_over(tmp_path: Path) -> None:
    """A turn that began before the end and is done after it is followed by one that heals: no full read is needed."""
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
