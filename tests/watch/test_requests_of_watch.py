"""The requests of the controller: as few as it needs, and urgent ones first."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.support.controllers import FastClock, plane_at, run_controller
from tests.support.plane import writes_in
from tests.support.watched_apps import (
    CLOUD,
    NEVER,
    TICK,
    app_slugs,
    create_live,
    declare,
    wait_for_resync,
    wait_for_ticks,
)

from octosync.watch.status import AppState

pytestmark = pytest.mark.no_cover  # slow under coverage; other tests of this package cover the same code


async def test_an_idle_tick_is_one_request_and_own_writes_cause_no_more(tmp_path: Path) -> None:
    """After it has created apps, whose events return to it, it requests only the feed, once per interval."""
    clock = FastClock(20)
    declare(tmp_path, *app_slugs(4))
    with plane_at(clock) as plane:
        async with run_controller(tmp_path, plane, clock, interval=timedelta(seconds=5)) as watch:
            await watch.until_in_sync()
            watch.requests()
            began = clock.monotonic()
            requests = await wait_for_ticks(watch, 4)
            assert set(requests) == {TICK}
            # Ticks are jittered by a tenth, and the first of them may come at once.
            assert clock.monotonic() - began >= 0.9 * 5 * (len(requests) - 1)


@pytest.mark.parametrize("action", ["not_found", "garbage"])
async def test_without_a_feed_resyncs_find_changes(tmp_path: Path, action: str) -> None:
    """A missing or unreadable feed is logged once. Resyncs continue, and the feed is tried once an hour."""
    clock = FastClock(10)  # a retry of the feed may not come before the change is reverted, on a busy machine either
    declare(tmp_path, "demo")
    settings: Any = {"connection": {"attempts": 1}, "drift_hold": timedelta(), "resync": timedelta(seconds=5)}
    with plane_at(clock) as plane:
        create_live(plane, "demo")
        plane.break_with({"operation": "activity.list", "action": action, "times": None})
        async with run_controller(tmp_path, plane, clock, **settings) as watch:
            await watch.until_in_sync()
            assert watch.status.feed_off
            watch.requests()
            plane.send("PUT", "/apps/demo/slots/chat", CLOUD)
            requests: list[str] = []

            def is_reverted() -> bool:
                requests.extend(watch.requests())
                return len(writes_in(requests)) == 2 and watch.app().state is AppState.IN_SYNC

            await watch.until(is_reverted)
            assert TICK not in requests
            for _ in range(2):
                await clock.advance(timedelta(minutes=61))
                assert (await wait_for_ticks(watch, 1)).count(TICK) == 1
                await wait_for_resync(watch)
                assert TICK not in watch.requests()
            assert len(watch.logged("feed_off")) == 1
            plane.break_with()
            await clock.advance(timedelta(minutes=61))
            await watch.until(lambda: not watch.status.feed_off)
            await watch.until(lambda: len(watch.logged("feed_on")) == 1)


async def test_a_feed_that_always_fails_is_not_needed(tmp_path: Path) -> None:
    """If only the feed fails, everything is still read, and the failure is logged."""
    clock = FastClock(300)
    declare(tmp_path, "demo")
    with plane_at(clock) as plane:
        create_live(plane, "demo")
        plane.break_with({"operation": "activity.list", "action": "status", "times": None})
        async with run_controller(tmp_path, plane, clock, connection={"attempts": 1}) as watch:
            await watch.until(lambda: watch.status.feed_off)
            await watch.until_in_sync()
            assert len(watch.logged("feed_off")) == 1


async def test_a_commit_among_many_apps_costs_only_its_own_requests(tmp_path: Path) -> None:
    """One changed file costs the read of its app and its declared sections, its write, and at most two more requests."""
    clock = FastClock(20)
    slugs = app_slugs(25)
    declare(tmp_path, *slugs)
    with plane_at(clock) as plane:
        create_live(plane, *slugs)
        async with run_controller(tmp_path, plane, clock, interval=NEVER, resync=NEVER) as watch:
            await watch.until_in_sync()
            watch.requests()
            declare(tmp_path, slugs[7], chat="cloud_first")
            await watch.until(lambda: watch.status.runs and watch.status.runs[0].ended)
            await watch.until_in_sync()
            requests = watch.requests()
            assert len(writes_in(requests)) == 1
            assert len(requests) <= 2 + 1 + 2


async def test_a_commit_precedes_a_resync_that_has_used_its_share(tmp_path: Path) -> None:
    """If the background share of the rate limit is used, a commit's requests are sent before the rest of the resync.

    It does not matter where in the resync the app of the commit is.
    """
    clock = FastClock(10)
    slugs = app_slugs(40)
    declare(tmp_path, *slugs)
    with plane_at(clock) as plane:
        create_live(plane, *slugs)
        async with run_controller(tmp_path, plane, clock) as watch:
            await watch.until_in_sync()
        limit = {"requests_per_minute": 50}
        async with run_controller(tmp_path, plane, clock, connection=limit, interval=NEVER, resync=NEVER) as watch:
            budget = watch.remote.budget
            watch.controller.api.reconcile(None)
            await watch.until(lambda: watch.remote.budget.background_used >= budget.background_limit)
            for slug in (slugs[0], slugs[14], slugs[39]):
                watch.requests()
                declare(tmp_path, slug, chat="cloud_first")
                await watch.until(lambda slug=slug: any(run.ended and slug in run.apps for run in watch.status.runs))  # type: ignore[misc]
                assert watch.status.full_read_done < watch.status.full_read_total
                first, *_ = watch.requests()
                assert f"/apps/{slug}" in first


async def test_a_foreign_write_beside_our_own_is_found(tmp_path: Path) -> None:
    """A write of ours hides one event about its own object. A simultaneous change of another object is read."""
    clock = FastClock(30)
    declare(tmp_path, "demo")
    with plane_at(clock) as plane:
        async with run_controller(tmp_path, plane, clock, resync=NEVER) as watch:
            await watch.until_in_sync()
            watch.requests()
            declare(tmp_path, "demo", chat="cloud_first")
            await watch.until(lambda: "PUT /api/v1/apps/demo/slots/chat" in watch.requests())
            plane.send("PATCH", "/apps/demo", {"name": "Renamed"})
            await watch.until(lambda: watch.app().state is AppState.HELD)
            (drift,) = watch.app().drift
            assert str(drift.address) == "app/demo"


async def test_a_second_write_to_the_same_object_is_found(tmp_path: Path) -> None:
    """A write of ours hides one event. A second event about its object means that another client has written it."""
    clock = FastClock(30)
    declare(tmp_path, "demo")
    with plane_at(clock) as plane:
        async with run_controller(tmp_path, plane, clock, resync=NEVER) as watch:
            await watch.until_in_sync()
            watch.requests()
            declare(tmp_path, "demo", chat="cloud_first")
            await watch.until(lambda: "PUT /api/v1/apps/demo/slots/chat" in watch.requests())
            plane.send("PUT", "/apps/demo/slots/chat", CLOUD)
            await watch.until(lambda: watch.app().state is AppState.HELD)


async def test_a_foreign_write_during_a_reconcile_is_not_lost(tmp_path: Path) -> None:
    """A change after its section was read, and before the reconcile ends, is found by the next reconcile."""
    clock = FastClock(15)
    declare(tmp_path, "demo")
    with plane_at(clock) as plane:
        async with run_controller(tmp_path, plane, clock, interval=timedelta(seconds=2), resync=NEVER) as watch:
            await watch.until_in_sync()
            # The write of the reconcile takes several ticks, during which the event about the name is read.
            plane.break_with({"operation": "apps.put_slot", "action": "delay", "seconds": 0.6, "slug": "demo"})
            watch.requests()
            declare(tmp_path, "demo", chat="cloud_first")
            await watch.until(lambda: "PUT /api/v1/apps/demo/slots/chat" in watch.requests())
            plane.send("PATCH", "/apps/demo", {"name": "Renamed"})
            await wait_for_ticks(watch, 2)
            assert watch.app().state is not AppState.HELD
            await watch.until(lambda: watch.app().state is AppState.HELD)


async def test_a_gap_in_the_feed_is_one_resync(tmp_path: Path) -> None:
    """After more events between two ticks than are read, everything is read once, and later events are read as before."""
    clock = FastClock(60)
    slugs = app_slugs(8)
    declare(tmp_path, *slugs)
    with plane_at(clock) as plane:
        create_live(plane, *slugs)
        async with run_controller(tmp_path, plane, clock, resync=NEVER) as watch:
            await watch.until_in_sync()
            plane.app("elsewhere")
            for number in range(401):
                plane.send("PATCH", "/apps/elsewhere", {"name": f"Name {number}"})
            plane.send("PATCH", f"/apps/{slugs[3]}", {"name": "Renamed"})
            watch.requests()
            await watch.until(lambda: watch.app(slugs[3]).state is AppState.HELD)
            requests = [*watch.requests(), *await wait_for_ticks(watch, 3)]
            assert requests.count("GET /api/v1/apps") == 1
            assert all(requests.count(f"GET /api/v1/apps/{slug}/slots") <= 2 for slug in slugs)
            plane.send("PATCH", f"/apps/{slugs[4]}", {"name": "Renamed"})
            await watch.until(lambda: watch.app(slugs[4]).state is AppState.HELD)
            assert "GET /api/v1/apps" not in watch.requests()


async def test_an_app_that_waits_for_the_rate_limit_is_shown(tmp_path: Path) -> None:
    """If a commit affects more apps than the rate limit allows, the waiting apps name what they wait for."""
    clock = FastClock(60)
    slugs = app_slugs(12)
    declare(tmp_path, *slugs)
    with plane_at(clock) as plane:
        create_live(plane, *slugs)
        async with run_controller(
            tmp_path, plane, clock, connection={"requests_per_minute": 30}, resync=NEVER
        ) as watch:
            await watch.until_in_sync()
            declare(tmp_path, *slugs, description="New")
            await watch.until(lambda: any("of 30 requests" in app.why_waiting for app in watch.status.apps.values()))
            await watch.until_in_sync()


async def test_the_first_commit_to_an_empty_org_is_read_once(tmp_path: Path) -> None:
    """The org becomes known with its first app. That alone causes no second read of the app."""
    clock = FastClock(60)
    (tmp_path / "apps").mkdir()
    with plane_at(clock) as plane:
        async with run_controller(tmp_path, plane, clock, resync=NEVER) as watch:
            await watch.until(lambda: watch.status.ready)
            declare(tmp_path, "first")
            await watch.until(lambda: watch.app("first").state is AppState.IN_SYNC)
            watch.requests()
            declare(tmp_path, "first", description="New")
            await watch.until(lambda: plane.send("GET", "/apps/first")["description"] == "New")
            await watch.until_in_sync()
            # They include the test's own reads of the app.
            assert watch.requests().count("GET /api/v1/apps/first/slots") == 1
