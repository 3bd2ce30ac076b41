"""Targets that move between apps: both halves are one reconcile, whichever app is read first. A move by hand is reverted."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.support.commits import commit
from tests.support.controllers import FastClock, plane_at, run_controller
from tests.support.plane import Plane
from tests.support.states import policy_of

from octosync.watch.status import AppState

pytestmark = pytest.mark.no_cover  # slow under coverage; other tests of this package cover the same code

BEFORE: dict[str, tuple[str, ...]] = {"a": ("com.one",), "b": ("com.two",), "c": ("com.three",)}
MOVES: dict[str, dict[str, tuple[str, ...]]] = {
    "to another app": {"a": (), "b": ("com.two", "com.one"), "c": ("com.three",)},
    "a swap": {"a": ("com.two",), "b": ("com.one",), "c": ("com.three",)},
    "a chain": {"a": (), "b": ("com.one",), "c": ("com.two", "com.three")},
    "a cycle": {"a": ("com.three",), "b": ("com.one",), "c": ("com.two",)},
}


def declared(placed: dict[str, tuple[str, ...]]) -> dict[str, dict[str, tuple[str, ...]]]:
    """Return the manifests of apps with these targets."""
    return {slug: {"targets": targets} for slug, targets in placed.items()}


def live_targets(plane: Plane) -> dict[str, set[str]]:
    """Return the live targets by app."""
    return {
        slug: {target["identifier"] for target in plane.send("GET", f"/apps/{slug}/targets")["targets"]}
        for slug in BEFORE
    }


def expected(after: dict[str, tuple[str, ...]]) -> dict[str, set[str]]:
    """Return the declared targets in the form of `live_targets`."""
    return {slug: set(targets) for slug, targets in after.items()}


@pytest.mark.parametrize("after", MOVES.values(), ids=MOVES)
async def test_targets_move_in_one_commit(tmp_path: Path, after: dict[str, tuple[str, ...]]) -> None:
    """No request is rejected on the way, and each removed target is registered again at once."""
    clock = FastClock(60)
    commit(tmp_path, declared(BEFORE))
    with plane_at(clock) as plane:
        async with run_controller(tmp_path, plane, clock) as watch:
            await watch.until_in_sync()
            commit(tmp_path, declared(after))
            await watch.until(lambda: live_targets(plane) == expected(after))
            await watch.until_in_sync()
            assert {line["result"] for line in watch.logged("action")} == {"done"}


async def test_a_move_by_hand_is_reverted_in_one_run(tmp_path: Path) -> None:
    """A declared target that was moved to another declared app returns, with both halves in one run."""
    clock = FastClock(60)
    commit(tmp_path, declared(BEFORE))
    with plane_at(clock) as plane:
        async with run_controller(tmp_path, plane, clock) as watch:
            await watch.until_in_sync()
            (target,) = plane.send("GET", "/apps/a/targets")["targets"]
            plane.send("DELETE", f"/apps/a/targets/{target['id']}")
            plane.send("POST", "/apps/b/targets", {"platform": "ios", "identifier": "com.one"})
            await watch.until(lambda: watch.status.apps["b"].drift)
            assert live_targets(plane) == expected({**BEFORE, "a": (), "b": ("com.two", "com.one")})
            watch.clock.skip(watch.status.resync * 3)
            watch.controller.api.reconcile(None)
            await watch.until(lambda: live_targets(plane) == expected(BEFORE))
            moved = [line for line in watch.logged("action") if line["address"].endswith("ios:com.one")][-2:]
            assert len({line["run"] for line in moved}) == 1


async def test_a_move_that_waits_for_a_suspended_app_is_shown(tmp_path: Path) -> None:
    """The app that receives the target is not in sync. It waits, and its reason is shown."""
    clock = FastClock(60)
    suspended = {"targets": ("com.one",), "annotations": {"octosync.dev/suspend": "true"}}
    commit(tmp_path, {"a": {"targets": ("com.one",)}, "b": {}})
    with plane_at(clock) as plane:
        async with run_controller(tmp_path, plane, clock) as watch:
            await watch.until_in_sync()
            commit(tmp_path, {"a": {**suspended, "targets": ()}, "b": {"targets": ("com.one",)}})
            await watch.until(lambda: watch.app("b").state is AppState.WAITING)
            assert watch.app("b").why_waiting == "a suspended app at the other end of a move"


async def test_a_rejected_registration_stops_the_other_moves_of_its_commit(tmp_path: Path) -> None:
    """Six pairs of apps move one target each, and registrations are rejected.

    Only one target stays unregistered, not six.
    """
    clock, pairs = FastClock(60), [(f"from-{number}", f"to-{number}") for number in range(6)]
    old = {slug: {"targets": (f"com.{slug}",)} for pair in pairs for slug in pair}
    new = {
        slug: {"targets": targets}
        for left, right in pairs
        for slug, targets in ((left, ()), (right, (f"com.{left}", f"com.{right}")))
    }

    def registered() -> int:
        return sum(len(plane.send("GET", f"/apps/{slug}/targets")["targets"]) for slug in old)

    commit(tmp_path, old)
    with plane_at(clock) as plane:
        async with run_controller(tmp_path, plane, clock, policy=policy_of(max_delete_percent=100)) as watch:
            await watch.until_in_sync()
            plane.break_with({"operation": "apps.create_target", "action": "status", "status": 422, "times": None})
            commit(tmp_path, new)
            await watch.until(lambda: watch.status.counts()[AppState.REFUSED] == 1)
            await watch.until(lambda: watch.status.counts()[AppState.WAITING] == 10)
            read = watch.status.full_read_at
            watch.controller.api.reconcile(None)
            await watch.until(lambda: watch.status.full_read_at != read)
            assert registered() == 11
            plane.break_with()
            watch.controller.api.reconcile(None)
            await watch.until_in_sync()
            assert registered() == 12
            assert len(plane.send("GET", "/apps/to-3/targets")["targets"]) == 2
