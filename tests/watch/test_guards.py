"""Guards on single objects: their actions wait, with those that depend on them. The rest of the app is applied."""

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
    """Return the routing preference of each slot of an app."""
    slots = plane.send("GET", f"/apps/{slug}/slots")["slots"]
    return {slot["capability"]: slot["serving_policy"]["routing_preference"] for slot in slots}


def protected(text: str) -> str:
    """Add the annotation for protection to a manifest."""
    return text.replace('"metadata": {', '"metadata": {"annotations": {"octosync.dev/protect": "true"}, ')


async def test_a_protected_object_stays_and_the_rest_is_applied(tmp_path: Path) -> None:
    """The removal waits with its guard and override, and the update of the same commit is applied.

    Approved, it is made once.
    """
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
            assert [str(address) for address in blocked.addresses] == ["app/demo/slot/vision"]
            watch.approve("protected")
            await watch.until(lambda: capabilities(plane) == {"chat": "cloud"})
            await watch.until_in_sync()


async def test_an_approval_is_for_one_guard(tmp_path: Path) -> None:
    """An action that two guards block is not applied after the approval of one; the journal has both approvals."""
    clock = FastClock(30)
    many = {f"slot-{number:02}".replace("-", "_"): "local_first" for number in range(12)}
    write(tmp_path, protected(manifest(slots=many)))
    with plane_at(clock) as plane:
        async with run_controller(tmp_path, plane, clock) as watch:
            await watch.until_in_sync()
            write(tmp_path, protected(manifest(slots={})))
            await watch.until(lambda: {refusal.guard for refusal in watch.app().blocked} == {"deletes", "protected"})
            watch.approve("deletes")
            await watch.until(lambda: {refusal.guard for refusal in watch.app().blocked} == {"protected"})
            assert len(capabilities(plane)) == 12
            watch.approve("protected")
            await watch.until(lambda: not capabilities(plane))
            audits = [run.audit for run in watch.journal.runs() if run.audit is not None]
            assert {override.guard for override in audits[0].overrides} == {"deletes", "protected"}
            assert {override.source for override in audits[0].overrides} == {"approval"}
            assert audits[-1].overrides == ()


async def test_a_slot_with_a_canary_waits_for_its_end(tmp_path: Path) -> None:
    """The slot of a running canary stays while another one is removed.

    Once the canary is complete, it is removed automatically.
    """
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


async def test_a_slot_in_use_is_not_removed(tmp_path: Path) -> None:
    """An app with requests keeps the slots and targets that a commit removes. Its other changes are applied."""
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
            assert [refusal.guard for refusal in watch.app().blocked] == ["live-traffic"]
            assert capabilities(plane) == {"chat": "cloud"}
            assert plane.send("GET", "/apps/demo/targets")["targets"]


async def test_a_commit_replaces_a_change_by_hand(tmp_path: Path) -> None:
    """A commit to a field that was changed by hand is applied at once. That is a reason of the action and not a guard."""
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


async def test_a_refusal_without_override_is_not_approved(tmp_path: Path) -> None:
    """An archived app that is declared as live is shown as such, and its approval is rejected."""
    clock = FastClock(30)
    commit(tmp_path, {"demo": {"slots": {"chat": "local_first"}}})
    with plane_at(clock) as plane:
        async with run_controller(tmp_path, plane, clock) as watch:
            await watch.until_in_sync()
            plane.send("POST", "/apps/demo/archive")
            await watch.until(lambda: [refusal.guard for refusal in watch.app().blocked] == ["archived"])
            with pytest.raises(OctosyncError, match="archived blocks nothing") as refused:
                watch.controller.api.approve("archived", "x")
            assert refused.value.reference == "nothing-blocked"


async def test_an_approval_is_for_what_its_caller_has_seen(tmp_path: Path) -> None:
    """Two blocked commits are approved one by one. If a set has grown since it was read, nothing of it is approved."""
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
