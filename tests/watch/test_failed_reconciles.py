"""After a failed reconcile, the app waits alone, for longer each time, or until something changes."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.support.clients import KEY
from tests.support.commits import commit
from tests.support.controllers import FastClock, RunningController, plane_at, run_controller
from tests.support.plane import Plane, writes_in
from tests.support.states import policy_of
from tests.support.watched_apps import CLOUD, TICK

from octosync.model import Secret
from octosync.watch.status import AppState

pytestmark = pytest.mark.no_cover  # slow under coverage; other tests of this package cover the same code

NEVER = timedelta(days=30)
VISION = {"slots": {"chat": "local_first", "vision": "local_first"}}


def fault(plane: Plane, operation: str, slug: str | None = None, status: int = 500, **more: Any) -> None:
    """Make an operation fail until `plane.break_with()`."""
    rule = {"operation": operation, "action": "status", "status": status, "times": None, **more}
    plane.break_with(rule if slug is None else {**rule, "slug": slug})


def capabilities(plane: Plane, slug: str = "demo") -> set[str]:
    """Return the capabilities of an app's slots."""
    return {slot["capability"] for slot in plane.send("GET", f"/apps/{slug}/slots")["slots"]}


def holders_of(plane: Plane, identifier: str, slugs: Iterable[str]) -> list[str]:
    """Return the apps that have a target."""
    return [
        slug
        for slug in slugs
        if any(target["identifier"] == identifier for target in plane.send("GET", f"/apps/{slug}/targets")["targets"])
    ]


async def resync(watch: RunningController, times: int = 1) -> None:
    """Wait for this number of resyncs."""
    for _ in range(times):
        read = watch.status.full_read_at
        watch.controller.reload()
        await watch.until(lambda read=read: watch.status.full_read_at != read)  # type: ignore[misc]


async def test_an_app_that_fails_backs_off_alone(tmp_path: Path) -> None:
    """It is retried after growing delays of at most five minutes, which are shown. Commits to other apps are applied."""
    clock = FastClock(300)
    apps = {"bad": {"slots": {"chat": "local_first"}}, "good": {"slots": {"chat": "local_first"}}}
    commit(tmp_path, apps)
    with plane_at(clock) as plane:
        async with run_controller(tmp_path, plane, clock, resync=NEVER) as watch:
            await watch.until_in_sync()
            fault(plane, "apps.get", "bad")
            commit(tmp_path, {**apps, "bad": VISION})
            waits: dict[datetime, float] = {}

            def ten_attempts() -> bool:
                next_try = watch.app("bad").next_try
                if next_try is not None:
                    waits.setdefault(next_try, (next_try - clock.now()).total_seconds())
                return len(waits) >= 10

            await watch.until(ten_attempts)
            first, *_, last_but_one, last = waits.values()
            assert max(last_but_one, last) > 50 * first
            assert max(waits.values()) <= 300
            commit(tmp_path, {"bad": VISION, "good": VISION})
            await watch.until(lambda: "vision" in capabilities(plane, "good"))
            assert watch.app("bad").state is AppState.FAILING
            plane.break_with()
            await watch.until_in_sync()
            assert "vision" in capabilities(plane, "bad")


@pytest.mark.parametrize("status", [422, 409, 403])
async def test_a_rejected_write_is_not_repeated(tmp_path: Path, status: int) -> None:
    """It is shown, and all other actions are applied. It is repeated only once the manifest or the live state changes."""
    clock = FastClock(60)
    commit(tmp_path, {"demo": {"slots": {"chat": "local_first"}}})
    with plane_at(clock) as plane:
        async with run_controller(tmp_path, plane, clock) as watch:
            await watch.until_in_sync()
            fault(plane, "apps.put_slot", "demo", status, message="invalid slot")
            commit(tmp_path, {"demo": {**VISION, "targets": ("com.demo",)}})
            await watch.until(lambda: watch.app().state is AppState.REFUSED)
            assert "invalid slot" in watch.app().error
            await watch.until(lambda: holders_of(plane, "com.demo", ["demo"]))
            watch.requests()
            await resync(watch, 3)
            assert writes_in(watch.requests()) == []
            plane.send("PATCH", "/apps/demo", {"description": "changed by hand"})
            await watch.until(lambda: writes_in(watch.requests()).count("PUT /api/v1/apps/demo/slots/vision"))
            await watch.until(lambda: watch.app().state is AppState.REFUSED)
            commit(
                tmp_path, {"demo": {"slots": {**VISION["slots"], "vision": "cloud_first"}, "targets": ("com.demo",)}}
            )
            await watch.until(lambda: writes_in(watch.requests()).count("PUT /api/v1/apps/demo/slots/vision"))
            plane.break_with()
            watch.controller.api.reconcile("demo")
            await watch.until_in_sync()
            assert capabilities(plane) == {"chat", "vision"}


async def test_a_target_of_an_undeclared_app_is_registered_once_free(tmp_path: Path) -> None:
    """The rejection names the holder and is not repeated.

    Once the holder removes the target, it is registered automatically.
    """
    clock = FastClock(60)
    commit(tmp_path, {"demo": {"targets": ("com.held",)}})
    with plane_at(clock) as plane:
        plane.app("foreign", target="com.held")
        async with run_controller(tmp_path, plane, clock, resync=NEVER) as watch:
            await watch.until(lambda: watch.app().state is AppState.REFUSED)
            assert "foreign" in watch.app().error
            watch.requests()
            plane.send("PATCH", "/apps/foreign", {"description": "nothing to do with it"})
            await watch.wait(timedelta(minutes=1))
            assert writes_in(watch.requests()) == ["PATCH /api/v1/apps/foreign"]
            (target,) = plane.send("GET", "/apps/foreign/targets")["targets"]
            plane.send("DELETE", f"/apps/foreign/targets/{target['id']}")
            await watch.until(lambda: holders_of(plane, "com.held", ["demo"]))
            await watch.until_in_sync()


async def test_a_target_of_a_declared_app_is_registered_once_free(tmp_path: Path) -> None:
    """An app whose manifest declares no targets holds it.

    That is not a move, and the target is registered once it is free.
    """
    clock = FastClock(60)
    commit(tmp_path, {"demo": {"targets": ("com.held",)}, "holder": {"slots": {"chat": "local_first"}}})
    text = (tmp_path / "apps" / "all.yaml").read_text()
    (tmp_path / "apps" / "all.yaml").write_text(text.replace('"targets": [], ', ""))
    with plane_at(clock) as plane:
        plane.app("holder", target="com.held")
        async with run_controller(tmp_path, plane, clock, resync=NEVER) as watch:
            await watch.until(lambda: watch.app().state is AppState.REFUSED)
            (target,) = plane.send("GET", "/apps/holder/targets")["targets"]
            plane.send("DELETE", f"/apps/holder/targets/{target['id']}")
            await watch.until(lambda: holders_of(plane, "com.held", ["demo"]))
            await watch.until(lambda: watch.app().state is AppState.IN_SYNC)


async def test_a_read_only_key_pauses_all_writes(tmp_path: Path) -> None:
    """All writes are rejected: all apps wait for growing times, and that is logged once.

    A key that may write is used at once.
    """
    clock = FastClock(600)
    apps = {f"app-{number}": {"slots": {"chat": "local_first"}} for number in range(6)}
    commit(tmp_path, apps)
    with plane_at(clock) as plane:
        async with run_controller(
            tmp_path, plane, clock, resync=NEVER, read_token=lambda: (Secret(KEY), "a file")
        ) as watch:
            await watch.until_in_sync()
            fault(plane, "apps.put_slot", None, 403, code="insufficient_scope", message="this key may only read")
            commit(tmp_path, dict.fromkeys(apps, VISION))
            await watch.until(lambda: watch.status.credential)
            await watch.wait(timedelta(minutes=15))
            assert len(writes_in(watch.requests())) - 6 - 6 < 60
            # Probes only read and succeed, which must not clear the alarm.
            assert "this key may only read" in watch.status.credential
            assert not watch.status.ready
            assert len(watch.logged("everything_waits")) == 1
            assert not any(app.state is AppState.REFUSED for app in watch.status.apps.values())
            plane.break_with()
            watch.controller.reload()
            await watch.until_in_sync()
            assert all("vision" in capabilities(plane, slug) for slug in apps)


async def test_a_rejected_key_pauses_everything(tmp_path: Path) -> None:
    """The controller is not ready, reports why, and sends one probe at a time. No commit is lost, and no app is blamed."""
    clock = FastClock(600)
    apps = {f"app-{number}": {"slots": {"chat": "local_first"}} for number in range(6)}
    commit(tmp_path, apps)
    with plane_at(clock) as plane:
        async with run_controller(
            tmp_path, plane, clock, resync=NEVER, read_token=lambda: (Secret(KEY), "a file")
        ) as watch:
            await watch.until_in_sync()
            fault(plane, "*", None, 401, message="no such key")
            commit(tmp_path, dict.fromkeys(apps, VISION))
            await watch.until(lambda: watch.status.credential)
            assert not watch.status.ready
            watch.requests()
            await watch.wait(timedelta(minutes=10))
            assert len(watch.requests()) < 20
            assert not any(app.state is AppState.FAILING for app in watch.status.apps.values())
            plane.break_with()
            watch.controller.reload()
            await watch.until_in_sync()
            assert all("vision" in capabilities(plane, slug) for slug in apps)


async def test_an_outage_opens_the_circuit_breaker_and_loses_nothing(tmp_path: Path) -> None:
    """During an outage only probes are sent, one at a time at growing intervals, and most apps are not blamed.

    Afterwards the commits made meanwhile are applied.
    """
    clock = FastClock(600)
    apps = {f"app-{number}": {"slots": {"chat": "local_first"}} for number in range(8)}
    commit(tmp_path, apps)
    with plane_at(clock) as plane:
        async with run_controller(tmp_path, plane, clock, resync=NEVER) as watch:
            await watch.until_in_sync()
            fault(plane, "*", None, 503)
            commit(tmp_path, dict.fromkeys(apps, VISION))
            await watch.until(lambda: watch.status.outage)
            await watch.wait(timedelta(minutes=2))  # requests in progress have ended by then
            watch.requests()
            await watch.wait(timedelta(minutes=20))
            probes = watch.requests()
            assert set(probes) == {"GET /api/v1/apps"}
            assert len(probes) < 20
            assert [line["why"] for line in watch.logged("everything_waits")] == ["outage"]
            # Fewer failures than open the circuit breaker come before that; later ones blame no app.
            assert sum(app.state is AppState.FAILING for app in watch.status.apps.values()) < 5
            watch.controller.reload()  # sends one probe
            await watch.until(lambda: watch.requests() == ["GET /api/v1/apps"])
            plane.break_with()
            await watch.until_in_sync()
            assert not watch.status.outage
            assert watch.logged("control_plane_back")
            assert all("vision" in capabilities(plane, slug) for slug in apps)


async def test_an_outage_is_detected_while_idle(tmp_path: Path) -> None:
    """With one app, no commit and no resync only the feed is requested; a second request shows that its failure is an outage.

    Afterwards the feed is followed as before.
    """
    clock = FastClock(600)
    commit(tmp_path, {"demo": {"slots": {"chat": "local_first"}}})
    with plane_at(clock) as plane:
        async with run_controller(tmp_path, plane, clock, resync=NEVER, drift_hold=timedelta()) as watch:
            await watch.until_in_sync()
            fault(plane, "*", None, 503)
            watch.requests()
            await watch.until(lambda: watch.status.outage)
            assert watch.requests().count(TICK) <= 5  # the attempts of one tick
            assert [line["why"] for line in watch.logged("everything_waits")] == ["outage"]
            await watch.wait(timedelta(minutes=20))
            plane.break_with()
            await watch.until(lambda: not watch.status.outage)
            assert watch.logged("feed_off") == []
            plane.send("PUT", "/apps/demo/slots/chat", CLOUD)
            await watch.until(lambda: any(line["action"] == "update" for line in watch.logged("action")))


async def test_one_broken_app_is_not_an_outage(tmp_path: Path) -> None:
    """Even if the feed is read rarely, repeated failures of a single app do not open the circuit breaker."""
    clock = FastClock(600)
    apps = {"bad": {}, "good": {"slots": {"chat": "local_first"}}}
    commit(tmp_path, apps)
    with plane_at(clock) as plane:
        async with run_controller(tmp_path, plane, clock, resync=NEVER, interval=timedelta(hours=1)) as watch:
            await watch.until_in_sync()
            fault(plane, "apps.get", "bad")
            commit(tmp_path, {**apps, "bad": VISION})
            await watch.wait(timedelta(minutes=10))
            assert watch.logged("everything_waits") == []


@pytest.mark.parametrize("seconds", [30, 600])
async def test_retry_after_is_obeyed(tmp_path: Path, seconds: int) -> None:
    """No request is sent before the time that the control plane asks for, however long. Then everything is applied."""
    clock = FastClock(300 if seconds > 60 else 30)
    commit(tmp_path, {"demo": {"slots": {"chat": "local_first"}}, "other": {}})
    with plane_at(clock) as plane:
        async with run_controller(tmp_path, plane, clock, resync=NEVER) as watch:
            await watch.until_in_sync()
            watch.requests()
            plane.break_with({"operation": "apps.get", "action": "status", "status": 429, "retry_after": seconds})
            commit(tmp_path, {"demo": VISION, "other": {}})
            await watch.until(lambda: "GET /api/v1/apps/demo" in watch.requests())
            await watch.until(lambda: watch.status.budget.throttled_until or watch.status.outage)
            watch.requests()  # a request of the feed may have been in progress meanwhile
            # Not until the very end: on a busy machine the fast clock passes it between two checks.
            await watch.wait(timedelta(seconds=seconds // 2))
            assert watch.requests() == []
            await watch.until_in_sync()
            assert capabilities(plane) == {"chat", "vision"}


async def test_half_a_move_names_the_guard_it_waits_for(tmp_path: Path) -> None:
    """If a guard blocks the removal from one app, the app that receives the target waits and names that guard."""
    clock = FastClock(20)
    commit(tmp_path, {"giver": {"targets": ("com.moved",)}, "taker": {}})
    with plane_at(clock) as plane:
        async with run_controller(tmp_path, plane, clock, policy=policy_of(max_deletes=0)) as watch:
            await watch.until_in_sync()
            commit(tmp_path, {"giver": {}, "taker": {"targets": ("com.moved",)}})
            await watch.until(lambda: watch.app("giver").state is AppState.BLOCKED)
            assert watch.app("taker").state is AppState.WAITING
            assert watch.app("taker").why_waiting == "what the guard deletes blocks in giver"
            watch.approve("deletes")
            await watch.until_in_sync()
            assert len(plane.send("GET", "/apps/taker/targets")["targets"]) == 1
