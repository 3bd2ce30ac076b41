"""What comes after a turn that failed: the app waits alone and for longer, or until something changes; never in a hurry."""

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

pytestmark = pytest.mark.no_cover  # at length: what they run is measured by other tests of this room

NEVER = timedelta(days=30)
VISION = {"slots": {"chat": "local_first", "vision": "local_first"}}


def fault(plane: Plane, operation: str, slug: str | None = None, status: int = 500, **more: Any) -> None:
    """Have an operation fail until `plane.break_with()`."""
    rule = {"operation": operation, "action": "status", "status": status, "times": None, **more}
    plane.break_with(rule if slug is None else {**rule, "slug": slug})


def capabilities(plane: Plane, slug: str = "demo") -> set[str]:
    """Name an app's slots."""
    return {one["capability"] for one in plane.send("GET", f"/apps/{slug}/slots")["slots"]}


def holder_of(plane: Plane, identifier: str, slugs: Iterable[str]) -> list[str]:
    """Name the apps that have a target."""
    return [
        slug
        for slug in slugs
        if any(one["identifier"] == identifier for one in plane.send("GET", f"/apps/{slug}/targets")["targets"])
    ]


async def again(watch: RunningController, times: int = 1) -> None:
    """Wait for full reads."""
    for _ in range(times):
        read = watch.status.full_read_at
        watch.controller.reload()
        await watch.until(lambda read=read: watch.status.full_read_at != read)  # type: ignore[misc]


async def passes(watch: RunningController, span: timedelta) -> None:
    """Let so much of the clock's time pass."""
    since = watch.clock.now()
    await watch.until(lambda: watch.clock.now() - since > span)


async def test_an_app_that_fails_backs_off_alone(tmp_path: Path) -> None:
    """It is tried again after longer and longer, five minutes at most, which is shown; the others' commits are applied."""
    clock = FastClock(300)
    apps = {"bad": {"slots": {"chat": "local_first"}}, "good": {"slots": {"chat": "local_first"}}}
    commit(tmp_path, apps)
    with plane_at(clock) as plane:
        async with run_controller(tmp_path, plane, clock, resync=NEVER) as watch:
            await watch.until_in_sync()
            fault(plane, "apps.get", "bad")
            commit(tmp_path, {**apps, "bad": VISION})
            waits: dict[datetime, float] = {}

            def waited() -> bool:
                tried = watch.app("bad").next_try
                if tried is not None:
                    waits.setdefault(tried, (tried - clock.now()).total_seconds())
                return len(waits) >= 10

            await watch.until(waited)
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
async def test_what_is_refused_is_not_sent_again(tmp_path: Path, status: int) -> None:
    """It is shown, with what else can be done done; the same is sent again once the manifest or what is live changes."""
    clock = FastClock(60)
    commit(tmp_path, {"demo": {"slots": {"chat": "local_first"}}})
    with plane_at(clock) as plane:
        async with run_controller(tmp_path, plane, clock) as watch:
            await watch.until_in_sync()
            fault(plane, "apps.put_slot", "demo", status, message="not so")
            commit(tmp_path, {"demo": {**VISION, "targets": ("com.demo",)}})
            await watch.until(lambda: watch.app().state is AppState.REFUSED)
            assert "not so" in watch.app().error
            await watch.until(lambda: holder_of(plane, "com.demo", ["demo"]))
            watch.requests()
            await again(watch, 3)
            assert writes_in(watch.requests()) == []
            plane.send("PATCH", "/apps/demo", {"description": "changed by somebody"})
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


async def test_a_target_that_an_undeclared_app_holds_is_had_once_it_is_free(tmp_path: Path) -> None:
    """The refusal names the holder, and isn't repeated meanwhile; when the holder lets go, nobody has to ask."""
    clock = FastClock(60)
    commit(tmp_path, {"demo": {"targets": ("com.held",)}})
    with plane_at(clock) as plane:
        plane.app("foreign", target="com.held")
        async with run_controller(tmp_path, plane, clock, resync=NEVER) as watch:
            await watch.until(lambda: watch.app().state is AppState.REFUSED)
            assert "foreign" in watch.app().error
            watch.requests()
            plane.send("PATCH", "/apps/foreign", {"description": "nothing to do with it"})
            await passes(watch, timedelta(minutes=1))
            assert writes_in(watch.requests()) == ["PATCH /api/v1/apps/foreign"]
            (target,) = plane.send("GET", "/apps/foreign/targets")["targets"]
            plane.send("DELETE", f"/apps/foreign/targets/{target['id']}")
            await watch.until(lambda: holder_of(plane, "com.held", ["demo"]))
            await watch.until_in_sync()


async def test_a_target_that_a_declared_app_holds_is_had_once_it_is_free(tmp_path: Path) -> None:
    """An app whose manifest says nothing of targets holds it; that is no move, and it is had as soon as it lets go."""
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
            await watch.until(lambda: holder_of(plane, "com.held", ["demo"]))
            await watch.until(lambda: watch.app().state is AppState.IN_SYNC)


async def test_a_key_that_may_only_read_does_not_hammer(tmp_path: Path) -> None:
    """Every write is refused: all wait, for longer and longer, said once; a key that may write is taken up at once."""
    clock = FastClock(300)
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
            await passes(watch, timedelta(minutes=15))
            assert len(writes_in(watch.requests())) - 6 - 6 < 60
            # Probes only read, and are answered: that must not look as if all were well.
            assert "this key may only read" in watch.status.credential
            assert not watch.status.ready
            assert len(watch.logged("everything_waits")) == 1
            assert not any(app.state is AppState.REFUSED for app in watch.status.apps.values())
            plane.break_with()
            watch.controller.reload()
            await watch.until_in_sync()
            assert all("vision" in capabilities(plane, slug) for slug in apps)


async def test_a_refused_key_makes_everything_wait_until_there_is_another(tmp_path: Path) -> None:
    """Not ready, with the reason; one probe at a time; a commit meanwhile is not lost, and no app is to blame."""
    clock = FastClock(300)
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
            await passes(watch, timedelta(minutes=10))
            assert len(watch.requests()) < 20
            assert not any(app.state is AppState.FAILING for app in watch.status.apps.values())
            plane.break_with()
            watch.controller.reload()
            await watch.until_in_sync()
            assert all("vision" in capabilities(plane, slug) for slug in apps)


async def test_an_outage_opens_the_circuit_and_loses_nothing(tmp_path: Path) -> None:
    """Where everything fails only probes are sent, fewer and fewer; when it is over, what was committed meanwhile is applied."""
    clock = FastClock(600)
    apps = {f"app-{number}": {"slots": {"chat": "local_first"}} for number in range(8)}
    commit(tmp_path, apps)
    with plane_at(clock) as plane:
        async with run_controller(tmp_path, plane, clock, resync=NEVER) as watch:
            await watch.until_in_sync()
            fault(plane, "*", None, 503)
            commit(tmp_path, dict.fromkeys(apps, VISION))
            await watch.until(lambda: watch.status.outage)
            await passes(watch, timedelta(minutes=2))  # what was under way has ended by then
            watch.requests()
            await passes(watch, timedelta(minutes=20))
            assert set(watch.requests()) == {"GET /api/v1/apps"}
            plane.break_with()
            await watch.until_in_sync()
            assert not watch.status.outage
            assert all("vision" in capabilities(plane, slug) for slug in apps)


async def test_an_outage_is_known_though_nothing_is_to_be_done(tmp_path: Path) -> None:
    """With one app, no commit and no full read the feed alone is asked: its failing is told from an outage by a second question.

    Afterwards the feed is followed as before.
    """
    clock = FastClock(300)
    commit(tmp_path, {"demo": {"slots": {"chat": "local_first"}}})
    with plane_at(clock) as plane:
        async with run_controller(tmp_path, plane, clock, resync=NEVER, drift_hold=timedelta()) as watch:
            await watch.until_in_sync()
            fault(plane, "*", None, 503)
            watch.requests()
            await watch.until(lambda: watch.status.outage)
            assert watch.requests().count(TICK) <= 5  # the attempts of one tick
            assert [one["why"] for one in watch.logged("everything_waits")] == ["outage"]
            await passes(watch, timedelta(minutes=20))
            plane.break_with()
            await watch.until(lambda: not watch.status.outage)
            assert watch.logged("feed_off") == []
            plane.send("PUT", "/apps/demo/slots/chat", CLOUD)
            await watch.until(lambda: any(one["action"] == "update" for one in watch.logged("action")))


async def test_one_broken_app_is_no_outage(tmp_path: Path) -> None:
    """Where looks at the feed are rare, an app that alone fails again and again still closes the way for no other."""
    clock = FastClock(300)
    apps = {"bad": {}, "good": {"slots": {"chat": "local_first"}}}
    commit(tmp_path, apps)
    with plane_at(clock) as plane:
        async with run_controller(tmp_path, plane, clock, resync=NEVER, interval=timedelta(hours=1)) as watch:
            await watch.until_in_sync()
            fault(plane, "apps.get", "bad")
            commit(tmp_path, {**apps, "bad": VISION})
            await passes(watch, timedelta(minutes=10))
            assert watch.logged("everything_waits") == []


@pytest.mark.parametrize("seconds", [30, 600])
async def test_too_many_requests_are_waited_out(tmp_path: Path, seconds: int) -> None:
    """However long the control plane asks to wait, nothing is sent before that, and then everything is done."""
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
            watch.requests()  # a look at the feed may have been under way while that was answered
            # Not until the very end: on a busy machine the fast clock runs past that between two looks.
            await passes(watch, timedelta(seconds=seconds // 2))
            assert watch.requests() == []
            await watch.until_in_sync()
            assert capabilities(plane) == {"chat", "vision"}


async def test_half_a_move_says_which_guard_it_waits_for(tmp_path: Path) -> None:
    """A guard blocks that one app loses a target: the app that is to get it waits for that, and says so."""
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
