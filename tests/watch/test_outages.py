"""Outages: the control plane is away, hangs, throttles or is replaced by something else.

All are detected, reported and survived.
"""

from __future__ import annotations

import io
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.support.clients import connection_to
from tests.support.controllers import FastClock, RunningController, plane_at, run_controller
from tests.support.local_app import AppTransport
from tests.support.plane import Plane
from tests.support.watched_apps import CLOUD, NEVER, TICK, create_live, declare

from octosync.octomil import Octomil, RateOptions
from octosync.watch.log import Log
from octosync.watch.loop.activity_feed import ActivityFeed
from octosync.watch.status import AppState, CircuitReason
from octosync.watch.web.summary import sentence, unready_words

FEED = "activity.list"
# What may respond in place of a control plane, by the reference of the error.
FOREIGN: dict[str, dict[str, Any]] = {
    "unreadable-answer": {"action": "garbage"},
    "html-answer": {"action": "html", "status": 200},
    "redirected": {"action": "redirect", "location": "https://login.example.com/"},
    "no-list": {"action": "answer", "value": {"hello": "world"}},
}


def fail(plane: Plane, operation: str, times: int | None = None, **rule: Any) -> None:
    """Make an operation fail this many times (None: until the rules are replaced), and no other."""
    plane.break_with({"operation": operation, "times": times, **rule})


def open_circuits(watch: RunningController) -> set[str]:
    """Return the reasons for which the metrics report an open circuit breaker."""
    lines = watch.controller.metrics.render().decode().splitlines()
    return {line.split('"')[1] for line in lines if line.startswith("octosync_circuit_open{") and line.endswith(" 1.0")}


@pytest.mark.parametrize("kind", FOREIGN)
async def test_another_service_is_reported_as_unreadable(tmp_path: Path, kind: str) -> None:
    """Garbage, HTML, a redirect or foreign JSON stops all requests except probes.

    Page, readiness, log and metric report it.
    """
    clock = FastClock(500)
    declare(tmp_path, "one", "two")
    with plane_at(clock) as plane:
        create_live(plane, "one", "two")
        async with run_controller(tmp_path, plane, clock, resync=NEVER) as watch:
            await watch.until_in_sync()
            assert sentence(watch.status).startswith("All 2 apps in sync")
            fail(plane, "*", **FOREIGN[kind])
            await watch.until(lambda: watch.status.unreadable)
            assert not watch.status.ready
            assert unready_words(watch.status) == watch.status.unreadable
            state = sentence(watch.status)
            assert state.startswith("The control plane can't be read: everything waits. As last read at ")
            assert "all 2 apps in sync; last resync" in state
            assert open_circuits(watch) == {"unreadable"}
            (line,) = watch.logged("everything_waits")
            assert (line["why"], line["reference"]) == ("unreadable", "control-plane-unreadable")
            watch.requests()
            await watch.wait(timedelta(minutes=10))
            assert set(watch.requests()) == {"GET /api/v1/apps"}
            plane.break_with()
            await watch.until_in_sync()
            assert open_circuits(watch) == set()
            assert sentence(watch.status).startswith("All 2 apps in sync")


async def test_a_start_without_readable_responses_is_not_ready(tmp_path: Path) -> None:
    """If the first response is unreadable, the controller is not ready, and the log reports the cause."""
    clock = FastClock(100)
    declare(tmp_path, "demo")
    with plane_at(clock) as plane:
        fail(plane, "*", **FOREIGN["html-answer"])
        async with run_controller(tmp_path, plane, clock) as watch:
            await watch.until(lambda: watch.status.unreadable)
            assert not watch.status.ready
            plane.break_with()
            await watch.until_in_sync()
            await watch.until(lambda: not watch.status.feed_off)


async def test_one_unreadable_app_fails_alone(tmp_path: Path) -> None:
    """It fails and is retried, the circuit breaker stays closed, and a commit to another app is applied."""
    clock = FastClock(300)
    declare(tmp_path, "bad", "good")
    with plane_at(clock) as plane:
        create_live(plane, "bad", "good")
        async with run_controller(tmp_path, plane, clock, resync=NEVER) as watch:
            await watch.until_in_sync()
            fail(plane, "apps.list_slots", slug="bad", action="garbage")
            declare(tmp_path, "bad", "good", chat="private")
            await watch.until(lambda: watch.app("bad").state is AppState.FAILING)
            await watch.until(lambda: watch.app("good").state is AppState.IN_SYNC)
            await watch.wait(timedelta(minutes=5))
            assert watch.logged("everything_waits") == []


async def test_a_resync_that_cannot_begin_is_logged(tmp_path: Path) -> None:
    """The log has its error and the time of the next attempt, which succeeds."""
    clock = FastClock(100)
    slugs = [f"app-{number:02}" for number in range(25)]
    declare(tmp_path, *slugs)
    with plane_at(clock) as plane:
        create_live(plane, *slugs)
        async with run_controller(tmp_path, plane, clock, resync=NEVER) as watch:
            await watch.until_in_sync()
            before = watch.status.full_read_at
            fail(plane, "apps.list", times=2, action="garbage")
            watch.controller.reload()
            await watch.until(lambda: watch.status.full_read_at != before)
            failed = watch.logged("full_read_failed")
            assert [line["reference"] for line in failed] == ["unreadable-answer", "unreadable-answer"]
            assert all(line["next_try"] for line in failed)


@pytest.mark.parametrize("kind", [*FOREIGN, "empty", "404"])
async def test_two_bad_pages_neither_disable_the_feed_nor_lose_an_event(tmp_path: Path, kind: str) -> None:
    """After two bad pages in a row the next good page still has the author of a change."""
    rules = {**FOREIGN, "empty": {"action": "answer", "value": {"events": []}}, "404": {"action": "not_found"}}
    clock = FastClock(100)
    declare(tmp_path, "demo")
    with plane_at(clock) as plane:
        create_live(plane, "demo")
        async with run_controller(tmp_path, plane, clock, resync=NEVER) as watch:
            await watch.until_in_sync()
            fail(plane, FEED, times=2, **rules[kind])
            plane.send("PUT", "/apps/demo/slots/chat", CLOUD)
            await watch.until(lambda: watch.app().drift)
            assert watch.app().drift[0].actor is not None
            assert watch.logged("feed_off") == watch.logged("everything_waits") == []


async def test_an_outage_does_not_count_as_bad_pages() -> None:
    """Pages without a response do not count: it still takes three bad pages to disable the feed."""
    clock = FastClock(100)
    with plane_at(clock) as plane:
        assert plane.application is not None
        transport = AppTransport(plane.application)
        rate = RateOptions(clock=clock.monotonic, sleep=clock.sleep)
        async with Octomil(connection_to(plane.url), rate=rate, transport=transport) as remote:
            feed = ActivityFeed(remote, clock=clock, log=Log(io.StringIO(), clock))
            await feed.begin(timedelta())
            for rule, polls in (({"action": "status", "status": 503}, 4), ({"action": "garbage"}, 2)):
                fail(plane, FEED, **rule)
                for _ in range(polls):
                    assert (await feed.poll()).failed is not None
            assert feed.off is None
            assert (await feed.poll()).failed is not None
            assert feed.off is not None


async def test_a_disabled_feed_is_retried_with_backoff(tmp_path: Path) -> None:
    """Three bad pages disable the feed, as the metric reports.

    It is retried after 1, 2, 4 … minutes, and missed events are read.
    """
    clock = FastClock(600)
    declare(tmp_path, "demo")
    with plane_at(clock) as plane:
        create_live(plane, "demo")
        async with run_controller(tmp_path, plane, clock, resync=NEVER) as watch:
            await watch.until_in_sync()
            fail(plane, FEED, action="garbage")
            await watch.until(lambda: watch.status.feed_off)
            assert b"octosync_feed_followed 0.0" in watch.controller.metrics.render()
            watch.requests()
            await watch.wait(timedelta(minutes=16))
            assert 2 <= watch.requests().count(TICK) <= 4  # after 1, 3, 7 and 15 minutes
            plane.break_with()
            plane.send("PUT", "/apps/demo/slots/chat", CLOUD)
            await watch.until(lambda: not watch.status.feed_off)
            await watch.until(lambda: watch.app().drift)
            assert watch.app().drift[0].actor is not None


@pytest.mark.parametrize("by", ["reconcile", "reload", "back"])
async def test_a_disabled_feed_is_retried_on_request(tmp_path: Path, by: str) -> None:
    """POST /reconcile, SIGHUP and the return of the control plane retry it at once."""
    clock = FastClock(2)  # the backoff takes half a minute of real time
    declare(tmp_path, "demo")
    with plane_at(clock) as plane:
        create_live(plane, "demo")
        async with run_controller(tmp_path, plane, clock, resync=NEVER, interval=timedelta(seconds=1)) as watch:
            await watch.until_in_sync()
            fail(plane, FEED, action="garbage")
            await watch.until(lambda: watch.status.feed_off)
            if by == "back":
                fail(plane, "*", action="status", status=503)
                watch.controller.api.reconcile(None)
                await watch.until(lambda: watch.status.outage)
                plane.break_with()
            else:
                plane.break_with()
                watch.controller.reload() if by == "reload" else watch.controller.api.reconcile("demo")
            await watch.until(lambda: not watch.status.feed_off)


async def test_a_control_plane_that_hangs_is_detected_after_two_timeouts(tmp_path: Path) -> None:
    """Only one tick and one check wait: no request is repeated before the alarm."""
    clock = FastClock(20)
    declare(tmp_path, "demo")
    timeouts = {"read_timeout": 0.3}
    with plane_at(clock) as plane:
        create_live(plane, "demo")
        async with run_controller(tmp_path, plane, clock, resync=NEVER, connection=timeouts) as watch:
            await watch.until_in_sync()
            watch.requests()
            fail(plane, "*", action="delay", seconds=30)
            await watch.until(lambda: watch.status.outage)
            assert "within 0.3 s" in watch.status.outage
            assert open_circuits(watch) == {"outage"}
            plane.break_with()
            assert watch.requests()[:2] == [TICK, "GET /api/v1/apps"]


async def test_a_long_retry_after_is_shown_and_bounded(tmp_path: Path) -> None:
    """The page has the time that the control plane asks for. A probe or POST /reconcile ends the pause long before it."""
    clock = FastClock(300)
    declare(tmp_path, "demo", "other")
    with plane_at(clock) as plane:
        create_live(plane, "demo", "other")
        async with run_controller(tmp_path, plane, clock, resync=NEVER) as watch:
            await watch.until_in_sync()
            fail(plane, FEED, times=1, action="status", status=429, retry_after=100_000)
            await watch.until(lambda: watch.status.circuit_open is CircuitReason.THROTTLED)
            until = watch.status.budget.throttled_until
            assert until is not None
            assert timedelta(hours=27) < until - clock.now() < timedelta(hours=28)
            assert f"throttles the key until {until:%Y-%m-%d %H:%M} UTC" in sentence(watch.status)
            assert watch.status.circuit_since is not None
            assert watch.status.circuit_since <= clock.now()
            assert watch.status.next_probe is not None
            assert timedelta(minutes=13) < watch.status.next_probe - clock.now() <= timedelta(minutes=15)
            assert "is not there" not in sentence(watch.status)
            assert not watch.status.outage
            assert watch.status.ready
            watch.requests()
            await watch.wait(timedelta(minutes=13))
            assert watch.requests() == []
            assert 700 < watch.status.budget.throttled_seconds <= 900
            await watch.until(lambda: watch.status.circuit_open is None)
            assert {watch.status.circuit_since, watch.status.next_probe} == {None}
            assert watch.status.budget.throttled_until is None
            assert watch.status.budget.throttled_seconds < 1000
            fail(plane, FEED, times=1, action="status", status=429, retry_after=100_000)
            await watch.until(lambda: watch.status.circuit_open is CircuitReason.THROTTLED)
            watch.controller.api.reconcile(None)
            await watch.until_in_sync()
            assert watch.status.budget.throttled_seconds < 1000
