"""Guards about single objects: what they name waits, with what needs it; the rest of the app goes on."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from tests.support.commits import commit, write
from tests.support.controllers import FastClock, manifest, plane_at, run_controller
from tests.support.plane import Plane

from octosync.errors import OctosyncError
from octosync.watch.status import AppState


def capabilities(plane: Plane, slug: str = "demo") -> dict[str, str]:
    """Return an app's slots with what they prefer."""
    slots = plane.send("GET", f"/apps/{slug}/slots")["slots"]
    return {one["capability"]: one["serving_policy"]["routing_preference"] for one in slots}


def protected(text: str) -> str:
    """Protect what a manifest declares."""
    return text.replace('"metadata": {', '"metadata": {"annotations": {"octosync.dev/protect": "true"}, ')


async def test_what_is_protected_stays_and_the_rest_goes_on(tmp_path: Path) -> None:
    """A removal waits with guard and ways out, the same commit's update is applied; allowed, it is done once."""
    clock = FastClock(30)
    write(tmp_path, protected(manifest(slots={"chat": "local_first", "vision": "local_first"})))
    with plane_at(clock) as plane:
        async with run_controller(tmp_path, plane, clock) as watch:
            await watch.until_in_sync()
            write(tmp_path, protected(manifest(slots={"chat": "cloud_first"})))
            await watch.until(lambda: watch.app().state is AppState.BLOCKED)
            assert capabilities(plane) == {"chat": "cloud", "vision": "local"}
            (blocked,) = watch.app().blocked
            assert (blocked.guard, blocked.override) == ("protected", "--allow-protected")
            assert [str(at) for at in blocked.addresses] == ["app/demo/slot/vision"]
            watch.approve("protected")
            await watch.until(lambda: capabilities(plane) == {"chat": "cloud"})
            await watch.until_in_sync()


async def test_an_approval_lifts_only_the_guard_that_it_is_for(tmp_path: Path) -> None:
    """What two guards mind is not done because one of them was lifted."""
    clock = FastClock(30)
    many = {f"slot-{number:02}".replace("-", "_"): "local_first" for number in range(12)}
    write(tmp_path, protected(manifest(slots=many)))
    with plane_at(clock) as plane:
        async with run_controller(tmp_path, plane, clock) as watch:
            await watch.until_in_sync()
            write(tmp_path, protected(manifest(slots={})))
            await watch.until(lambda: {one.guard for one in watch.app().blocked} == {"deletes", "protected"})
            watch.approve("deletes")
            await watch.until(lambda: {one.guard for one in watch.app().blocked} == {"protected"})
            assert len(capabilities(plane)) == 12
            watch.approve("protected")
            await watch.until(lambda: not capabilities(plane))


async def test_what_a_canary_rests_on_waits_until_it_is_over(tmp_path: Path) -> None:
    """The slot that a canary runs for is left alone, another one is changed; when it is complete, nobody has to ask."""
    clock = FastClock(600)
    both = {"chat": "local_first", "vision": "local_first"}
    commit(tmp_path, {"demo": {"slots": both}})
    with plane_at(clock) as plane:
        plane.catalog(small=1, good=5)
        async with run_controller(tmp_path, plane, clock, resync=timedelta(minutes=2)) as watch:
            await watch.until_in_sync()
            plane.deploy("demo")
            plane.catalog(small=1, good=5, better=9)
            plane.send("POST", "/apps/demo/capabilities/chat/optimize", {"environment": "production"})
            commit(tmp_path, {"demo": {"slots": {}}})
            await watch.until(lambda: watch.app().state is AppState.BLOCKED)
            (blocked,) = watch.app().blocked
            assert (blocked.guard, blocked.way_out) == ("during-canary", "Wait until it is complete")
            await watch.until(lambda: capabilities(plane) == {"chat": "local"})
            await watch.until(lambda: capabilities(plane) == {})


async def test_what_is_in_use_is_not_taken_away(tmp_path: Path) -> None:
    """An app that has requests keeps slots and targets that a commit removes, and is changed otherwise as declared."""
    clock = FastClock(30)
    commit(tmp_path, {"demo": {"slots": {"chat": "local_first"}, "targets": ("com.demo",)}})
    with plane_at(clock) as plane:
        async with run_controller(tmp_path, plane, clock) as watch:
            await watch.until_in_sync()
            plane.local(
                "POST",
                "/requests",
                {"app_slug": "demo", "capability": "chat", "route": "local", "latency_ms": 5, "count": 7},
            )
            commit(tmp_path, {"demo": {"slots": {"chat": "cloud_first"}, "targets": ()}})
            await watch.until(lambda: watch.app().state is AppState.BLOCKED)
            assert [one.guard for one in watch.app().blocked] == ["live-traffic"]
            assert capabilities(plane) == {"chat": "cloud"}
            assert plane.send("GET", "/apps/demo/targets")["targets"]


async def test_what_diverged_is_applied_and_says_so(tmp_path: Path) -> None:
    """A commit to a field that somebody changed to something else wins at once: that is a reason here, and no guard."""
    clock = FastClock(30)
    commit(tmp_path, {"demo": {"slots": {"chat": "local_first"}}})
    with plane_at(clock) as plane:
        async with run_controller(tmp_path, plane, clock) as watch:
            await watch.until_in_sync()
            plane.send("PUT", "/apps/demo/slots/chat", {"serving_policy": "cloud_only", "bindings": []})
            await watch.until(lambda: watch.app().state is AppState.HELD)
            commit(tmp_path, {"demo": {"slots": {"chat": "cloud_first"}}})
            await watch.until(
                lambda: plane.send("GET", "/apps/demo/slots")["slots"][0]["serving_policy"]["fallback"][
                    "allow_local_fallback"
                ]
            )
            await watch.until_in_sync()
            assert watch.app().blocked == ()


async def test_what_nothing_can_allow_is_not_approved(tmp_path: Path) -> None:
    """An app that is archived and declared as live is shown as such, and an approval of that is refused."""
    clock = FastClock(30)
    commit(tmp_path, {"demo": {"slots": {"chat": "local_first"}}})
    with plane_at(clock) as plane:
        async with run_controller(tmp_path, plane, clock) as watch:
            await watch.until_in_sync()
            plane.send("POST", "/apps/demo/archive")
            await watch.until(lambda: [one.guard for one in watch.app().blocked] == ["archived"])
            with pytest.raises(OctosyncError, match="archived blocks nothing") as refused:
                watch.controller.api.approve("archived", "x")
            assert refused.value.reference == "nothing-blocked"


async def test_an_approval_is_of_what_its_caller_has_seen(tmp_path: Path) -> None:
    """Two commits that are blocked are approved one by one; where a set has grown since it was looked at, nothing is."""
    clock = FastClock(30)
    both = {"chat": "local_first", "vision": "local_first"}

    def declare(slug: str, slots: dict[str, str]) -> None:
        write(tmp_path, protected(manifest(slug, slots=slots)), f"{slug}.yaml")

    for slug in ("team-a", "team-b"):
        declare(slug, both)
    with plane_at(clock) as plane:
        async with run_controller(tmp_path, plane, clock) as watch:
            await watch.until_in_sync()
            for slug in ("team-a", "team-b"):
                declare(slug, {"chat": "local_first"})
                await watch.until(lambda slug=slug: watch.app(slug).blocked)  # type: ignore[misc]
            (of_a, of_b) = watch.status.blocked
            assert (of_a.apps, of_b.apps) == (("team-a",), ("team-b",))
            declare("team-a", {})
            await watch.until(lambda: len(watch.status.blocked[0].addresses) == 2)
            approve = watch.controller.api.approve
            with pytest.raises(OctosyncError, match="1 object more: app/team-a/slot/chat") as refused:
                approve("protected", of_a.seen)
            assert refused.value.reference == "approval-outdated"
            assert watch.status.blocked[0].seen in refused.value.hints[1]
            with pytest.raises(OctosyncError, match="team-a is not in the set"):
                approve("protected", of_b.seen, ("team-a",))
            assert approve("protected", of_b.seen) == 1
            await watch.until(lambda: capabilities(plane, "team-b") == {"chat": "local"})
            assert set(capabilities(plane, "team-a")) == {"chat", "vision"}
            assert approve("protected", watch.status.blocked[0].seen, ("team-a",)) == 2
            await watch.until_in_sync()
