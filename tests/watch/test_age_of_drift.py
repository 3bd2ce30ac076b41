"""The age of drift: known from the feed, else from when it was first seen. And contested drift."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.support.controllers import FastClock, RunningController, run_controller
from tests.support.plane import Plane
from tests.support.watched_apps import (
    CLOUD,
    NEVER,
    TICK,
    create_live,
    declare,
    plane_of_ana,
    requests_of,
    wait_for_ticks,
)

from octosync.model import NotifyEvent
from octosync.watch.status import AppState

SLOT = "PUT /api/v1/apps/demo/slots/chat"
NO_FEED = {"operation": "activity.list", "action": "not_found", "times": None}
LOCAL = {"serving_policy": "local_only", "bindings": []}


async def until_held(watch: RunningController) -> None:
    """Wait until the app's drift is held."""
    await watch.until(lambda: watch.app().state is AppState.HELD)


async def test_the_feed_dates_drift(tmp_path: Path) -> None:
    """The hold of a change made while no controller ran begins at the time in the feed."""
    clock = FastClock(60)
    declare(tmp_path, "demo")
    settings: Any = {"drift_hold": timedelta(minutes=10), "resync": NEVER}
    with plane_of_ana(clock) as plane:
        async with run_controller(tmp_path, plane, clock, **settings) as watch:
            await watch.until_in_sync()
        plane.send("PUT", "/apps/demo/slots/chat", CLOUD)
        changed_at = clock.now()
        clock.skip(timedelta(minutes=4))
        async with run_controller(tmp_path, plane, clock, **settings) as watch:
            await until_held(watch)
            (drift,) = watch.app().drift
            assert drift.actor == "ana"
            assert drift.until is not None
            assert abs(drift.until - changed_at - timedelta(minutes=10)) < timedelta(minutes=1)


async def test_drift_older_than_its_hold_is_reverted_at_once(tmp_path: Path) -> None:
    """The first reconcile reverts a change that the feed dates before the hold, without another hold."""
    clock = FastClock(60)
    declare(tmp_path, "demo")
    settings: Any = {"drift_hold": timedelta(minutes=10), "resync": NEVER}
    with plane_of_ana(clock) as plane:
        async with run_controller(tmp_path, plane, clock, **settings) as watch:
            await watch.until_in_sync()
        plane.send("PUT", "/apps/demo/slots/chat", CLOUD)
        clock.skip(timedelta(minutes=11))
        plane.log()
        async with run_controller(tmp_path, plane, clock, **settings) as watch:
            await watch.until_in_sync()
            assert SLOT in requests_of(plane, "octosync")
            assert watch.recorder.of_event(NotifyEvent.HELD) == []


async def test_without_a_feed_drift_is_dated_when_first_seen(tmp_path: Path) -> None:
    """That time survives a restart: the next process continues the hold and does not begin it again."""
    clock = FastClock(60)
    declare(tmp_path, "demo")
    settings: Any = {
        "drift_hold": timedelta(minutes=10),
        "resync": timedelta(seconds=30),
        "connection": {"attempts": 1},
    }
    with plane_of_ana(clock) as plane:
        plane.break_with(NO_FEED)
        async with run_controller(tmp_path, plane, clock, **settings) as watch:
            await watch.until_in_sync()
            plane.send("PUT", "/apps/demo/slots/chat", CLOUD)
            await until_held(watch)
            (before,) = watch.app().drift
        clock.skip(timedelta(minutes=3))
        async with run_controller(tmp_path, plane, clock, **settings) as watch:
            await until_held(watch)
            (after,) = watch.app().drift
            assert (after.first_seen, after.until) == (before.first_seen, before.until)


@pytest.mark.parametrize("is_followed", [True, False])
async def test_a_second_change_begins_a_new_hold(tmp_path: Path, is_followed: bool) -> None:
    """Another value is another change, whose hold begins with it, with and without a feed."""
    clock = FastClock(60)
    declare(tmp_path, "demo")
    settings: Any = {
        "drift_hold": timedelta(minutes=10),
        "resync": timedelta(seconds=30),
        "connection": {"attempts": 1},
    }
    with plane_of_ana(clock) as plane:
        plane.break_with(*(() if is_followed else (NO_FEED,)))
        async with run_controller(tmp_path, plane, clock, **settings) as watch:
            await watch.until_in_sync()
            plane.send("PUT", "/apps/demo/slots/chat", CLOUD)
            await until_held(watch)
            (before,) = watch.app().drift
            clock.skip(timedelta(minutes=2))
            plane.send("PUT", "/apps/demo/slots/chat", LOCAL)
            await watch.until(lambda: watch.app().drift[0].until != before.until)
            (after,) = watch.app().drift
            assert after.until is not None
            assert before.until is not None
            assert after.until - before.until >= timedelta(minutes=2)


async def test_an_earlier_event_does_not_date_a_later_change(tmp_path: Path) -> None:
    """A resync that precedes the feed reads the feed first, so the change has its own time, whatever was known before."""
    clock = FastClock(30)
    declare(tmp_path, "demo")
    settings: Any = {"drift_hold": timedelta(minutes=10), "interval": NEVER, "resync": timedelta(minutes=1)}
    with plane_of_ana(clock) as plane:
        plane.app("demo", "chat", target="com.demo")  # by Ana, with an event in the feed
        clock.skip(timedelta(minutes=20))
        plane.log()
        async with run_controller(tmp_path, plane, clock, **settings) as watch:
            await watch.until_in_sync()
            plane.send("PUT", "/apps/demo/slots/chat", CLOUD)
            await watch.until(lambda: watch.app().state is not AppState.IN_SYNC)
            assert watch.app().state is AppState.HELD
            assert SLOT not in requests_of(plane, "octosync")
            (drift,) = watch.app().drift
            assert drift.actor == "ana"
            assert drift.until is not None
            assert drift.until > clock.now()


async def test_a_target_deleted_by_hand_is_held_and_registered_again(tmp_path: Path) -> None:
    """A deletion is drift like any other change: announced, held and then reverted."""
    clock = FastClock(60)
    declare(tmp_path, "demo")
    with plane_of_ana(clock) as plane:
        async with run_controller(tmp_path, plane, clock, drift_hold=timedelta(minutes=30), resync=NEVER) as watch:
            await watch.until_in_sync()
            (target,) = plane.send("GET", "/apps/demo/targets")["targets"]
            plane.send("DELETE", f"/apps/demo/targets/{target['id']}")
            await until_held(watch)
            (drift,) = watch.app().drift
            assert (str(drift.address), drift.actor) == ("app/demo/target/ios:com.demo", "ana")
            assert plane.send("GET", "/apps/demo/targets")["targets"] == []
            await clock.advance(timedelta(minutes=30))
            await watch.until(lambda: watch.app().state is AppState.IN_SYNC)
            (target,) = plane.send("GET", "/apps/demo/targets")["targets"]
            assert target["identifier"] == "com.demo"


async def test_the_event_of_a_reverted_change_is_not_taken_for_that_of_the_revert(tmp_path: Path) -> None:
    """If the revert follows within seconds, its own event doesn't make octosync the author of the next change."""
    clock = FastClock()
    declare(tmp_path, "demo")
    with plane_of_ana(clock) as plane:
        create_live(plane, "demo")
        async with run_controller(
            tmp_path, plane, clock, drift_hold=timedelta(), interval=NEVER, resync=NEVER
        ) as watch:
            await watch.until_in_sync()
            plane.send("PUT", "/apps/demo/slots/chat", CLOUD)
            watch.controller.api.reconcile("demo")
            await watch.until(lambda: watch.logged("action") and watch.app().state is AppState.IN_SYNC)
            await watch.controller.follower.poll_now()
            await watch.until(lambda: not watch.controller.queue.is_changing)
            plane.send("PUT", "/apps/demo/slots/chat", LOCAL)
            watch.controller.api.reconcile("demo")
            await watch.until(lambda: len(watch.logged("action")) == 2)
            assert [action["replaces"] for action in watch.logged("action")] == ["ana", "ana"]


async def change(watch: RunningController, plane: Plane) -> None:
    """Change the slot as Ana, and wait until that is reverted."""
    plane.log()
    plane.send("PUT", "/apps/demo/slots/chat", CLOUD)
    await watch.until(lambda: SLOT in requests_of(plane, "octosync"))
    await watch.until(lambda: watch.app().state is AppState.IN_SYNC)


async def contest(watch: RunningController, plane: Plane) -> None:
    """Change the slot once more often than it is reverted."""
    for _ in range(3):
        await change(watch, plane)
    plane.log()
    plane.send("PUT", "/apps/demo/slots/chat", CLOUD)
    await watch.until(lambda: watch.app().state is AppState.CONTESTED)


async def test_contested_drift_is_left_alone(tmp_path: Path) -> None:
    """After three reverts in a day the fourth change stays, also after a restart, and its author is reported."""
    clock = FastClock(60)
    declare(tmp_path, "demo")
    settings: Any = {"drift_hold": timedelta(), "resync": timedelta(minutes=1)}
    with plane_of_ana(clock) as plane:
        async with run_controller(tmp_path, plane, clock, **settings) as watch:
            await watch.until_in_sync()
            await contest(watch, plane)
            (drift,) = watch.app().drift
            assert (drift.actor, drift.reverts, drift.contested, drift.until) == ("ana", 3, True, None)
            await watch.until(lambda: watch.recorder.of_event(NotifyEvent.CONTESTED))
            assert watch.recorder.of_event(NotifyEvent.CONTESTED)[-1].actor == "ana"
            assert "ana" in watch.logged("drift")[-1]["@message"]
        async with run_controller(tmp_path, plane, clock, **settings) as watch:
            await watch.until(lambda: watch.app().state is AppState.CONTESTED)
            await wait_for_ticks(watch, 6)
            assert SLOT not in requests_of(plane, "octosync")
            watch.controller.api.reconcile("demo")
            await watch.until(lambda: watch.app().state is AppState.IN_SYNC)


async def test_a_commit_reverts_contested_drift(tmp_path: Path) -> None:
    """A change of the manifest is a decision: contested drift is reverted, whichever field has changed."""
    clock = FastClock(60)
    declare(tmp_path, "demo")
    with plane_of_ana(clock) as plane:
        async with run_controller(tmp_path, plane, clock, drift_hold=timedelta(), resync=NEVER) as watch:
            await watch.until_in_sync()
            await contest(watch, plane)
            declare(tmp_path, "demo", description="New")
            await watch.until(lambda: watch.app().state is AppState.IN_SYNC)
            assert SLOT in requests_of(plane, "octosync")


async def test_reverts_older_than_a_day_do_not_count(tmp_path: Path) -> None:
    """Contested means three reverts in 24 hours. Earlier ones do not count."""
    clock = FastClock(60)
    declare(tmp_path, "demo")
    with plane_of_ana(clock) as plane:
        async with run_controller(tmp_path, plane, clock, drift_hold=timedelta(), resync=NEVER) as watch:
            await watch.until_in_sync()
            for _ in range(3):
                await change(watch, plane)
            clock.skip(timedelta(hours=25))
            await change(watch, plane)
            assert TICK in requests_of(plane, "octosync")
