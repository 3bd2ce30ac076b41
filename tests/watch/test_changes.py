"""A commit is one change: what it removes is counted as one, in however many apps it does so."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.support.commits import commit
from tests.support.controllers import FastClock, RunningController, plane_at, run_controller
from tests.support.plane import Plane

from octosync.model import Address, Kind, Outcome, Status
from octosync.plan import ControlPlane
from octosync.state import Journal, WatchState
from octosync.watch.memory import Memory
from octosync.watch.status import AppState

pytestmark = pytest.mark.no_cover  # at length: what they run is measured by other tests of this room

DONE = {AppState.BLOCKED, AppState.IN_SYNC}
NOWHEN = datetime.min.replace(tzinfo=UTC)
FORTY = [f"app-{number:02}" for number in range(40)]


def targets(plane: Plane, *slugs: str) -> int:
    """Count the targets that apps have."""
    return sum(len(plane.send("GET", f"/apps/{slug}/targets")["targets"]) for slug in slugs)


def slots(plane: Plane, *slugs: str) -> list[dict[str, Any]]:
    """Return the slots that apps have."""
    return [slot for slug in slugs for slot in plane.send("GET", f"/apps/{slug}/slots")["slots"]]


def full(slugs: list[str], **spec: Any) -> dict[str, dict[str, Any]]:
    """Declare a target and a slot of each app."""
    return {slug: {"targets": (f"com.{slug}",), "slots": {"chat": "local_first"}, **spec} for slug in slugs}


def blocked(watch: RunningController, guard: str = "deletes") -> list[str]:
    """Name the apps that a guard blocks something of."""
    return [slug for slug, app in watch.status.apps.items() if any(one.guard == guard for one in app.blocked)]


async def test_what_empties_40_apps_is_refused_as_one_change(tmp_path: Path) -> None:
    """Not one target goes, however often the apps are read again; what else the commit changes is applied."""
    clock = FastClock(30)
    commit(tmp_path, full(FORTY))
    with plane_at(clock) as plane:
        async with run_controller(tmp_path, plane, clock) as watch:
            await watch.until_in_sync()
            commit(tmp_path, full(FORTY, targets=(), slots={"chat": "cloud_first"}))
            await watch.until(lambda: len(blocked(watch)) == 40)
            assert "40 removals" in watch.app(FORTY[7]).blocked[0].message
            assert {slot["serving_policy"]["routing_preference"] for slot in slots(plane, *FORTY)} == {"cloud"}
            read = watch.status.full_read_at
            watch.controller.api.reconcile(None)
            await watch.until(lambda: watch.status.full_read_at != read)
            assert targets(plane, *FORTY) == 40
            assert not any(line.startswith("DELETE") for line in watch.requests())


async def test_a_second_commit_lets_nothing_of_the_first_trickle_through(tmp_path: Path) -> None:
    """Five of the apps that were emptied are changed otherwise by a later commit: that is applied, and nothing is removed."""
    clock = FastClock(30)
    some = FORTY[:12]
    commit(tmp_path, full(some))
    with plane_at(clock) as plane:
        async with run_controller(tmp_path, plane, clock) as watch:
            await watch.until_in_sync()
            commit(tmp_path, full(some, targets=()))
            await watch.until(lambda: len(blocked(watch)) == 12)
            commit(tmp_path, full(some, targets=()) | full(some[:5], targets=(), slots={"chat": "cloud_first"}))
            await watch.until(lambda: sum(line.startswith("PUT") for line in watch.requests()) >= 5)
            await watch.until(lambda: len(blocked(watch)) == 12)
            assert targets(plane, *some) == 12
            commit(tmp_path, full(some))
            await watch.until_in_sync()
            assert targets(plane, *some) == 12


async def test_what_was_refused_stays_so_over_a_restart(tmp_path: Path) -> None:
    """A controller that starts anew counts what was declared meanwhile, and what was refused before, as one change."""
    clock = FastClock(30)
    some = FORTY[:12]
    commit(tmp_path, full(some))
    with plane_at(clock) as plane:
        async with run_controller(tmp_path, plane, clock) as watch:
            await watch.until_in_sync()
            commit(tmp_path, full(some) | full(some[:11], targets=()))
            await watch.until(lambda: len(blocked(watch)) == 11)
        clock.skip(timedelta(minutes=11))
        commit(tmp_path, full(some, targets=()))
        async with run_controller(tmp_path, plane, clock) as again:
            await again.until(lambda: len(blocked(again)) == 12)
            await again.until(lambda: "12 removals" in again.app(some[0]).blocked[0].message)
        assert targets(plane, *some) == 12


async def test_removals_of_ten_minutes_count_together(tmp_path: Path) -> None:
    """Commit by commit no more goes than in one; what was too much stays refused, however much later, over restarts, too."""
    clock = FastClock(30)
    some = FORTY[:12]
    commit(tmp_path, full(some))
    with plane_at(clock) as plane:
        async with run_controller(tmp_path, plane, clock) as watch:
            await watch.until_in_sync()
            commit(tmp_path, full(some) | full(some[:7], targets=()))
            await watch.until(lambda: targets(plane, *some) == 5)
            await watch.until_in_sync()
        commit(tmp_path, full(some) | full(some[:11], targets=()))
        async with run_controller(tmp_path, plane, clock) as watch:
            await watch.until(lambda: len(blocked(watch)) == 4)
            assert "11 removals (1 here, 10 elsewhere" in watch.app(some[8]).blocked[0].message
            assert targets(plane, *some) == 5
            await clock.advance(timedelta(hours=2))
            watch.controller.api.reconcile(some[8])
            await watch.until(lambda: (watch.app(some[8]).read_at or NOWHEN) > clock.now() - timedelta(hours=1))
            assert len(blocked(watch)) == 4
        clock.skip(timedelta(hours=2))
        async with run_controller(tmp_path, plane, clock) as watch:
            since = clock.now()
            await watch.until(lambda: watch.status.ready and clock.now() - since > timedelta(minutes=1))
            assert "11 removals (1 here, 10 elsewhere" in watch.app(some[8]).blocked[0].message
            assert targets(plane, *some) == 5
            (refused,) = watch.status.blocked
            assert (len(refused.apps), refused.message) == (4, "11 removals, at most 10 are allowed together")
            assert watch.approve("deletes", *some[7:9]) == 2
            await watch.until(lambda: targets(plane, *some) == 3)
            commit(tmp_path, full(some))
            await watch.until(lambda: targets(plane, *some) == 12)
            clock.skip(timedelta(minutes=11))
            commit(tmp_path, full(some) | full(some[7:11], targets=()))
            await watch.until(lambda: targets(plane, *some) == 8)


async def test_an_approval_is_for_exactly_what_was_blocked_and_once(tmp_path: Path) -> None:
    """What is added after it is not allowed by it; over a restart it is kept, and when it is used it is over."""
    clock = FastClock(30)
    some = FORTY[:12]
    commit(tmp_path, full(some))
    with plane_at(clock) as plane:
        async with run_controller(tmp_path, plane, clock) as watch:
            await watch.until_in_sync()
            commit(tmp_path, full(some, targets=()))
            await watch.until(lambda: len(blocked(watch)) == 12)
            watch.controller.api.suspend("until it was looked at")
            assert watch.approve("deletes") == 12
        commit(tmp_path, full(some, targets=()) | full(some[:1], targets=(), slots={}))
        async with run_controller(tmp_path, plane, clock) as watch:
            await watch.until(lambda: len(blocked(watch)) == 1)
            watch.controller.api.resume()
            await watch.until(lambda: targets(plane, *some) == 0)
            await watch.until(
                lambda: [str(at) for at in watch.app(some[0]).blocked[0].addresses] == ["app/app-00/slot/chat"]
            )
            clock.skip(timedelta(minutes=11))
            commit(tmp_path, full(some))
            await watch.until(lambda: targets(plane, *some) == 12)
            await watch.until_in_sync()
            commit(tmp_path, full(some, targets=()))
            await watch.until(lambda: len(blocked(watch)) == 12)
            assert targets(plane, *some) == 12


async def test_an_approval_lapses_when_what_it_allowed_is_declared_again(tmp_path: Path) -> None:
    """A commit that is taken back before it was applied is asked about again when it comes again."""
    clock = FastClock(30)
    some = FORTY[:12]
    commit(tmp_path, full(some))
    with plane_at(clock) as plane:
        async with run_controller(tmp_path, plane, clock) as watch:
            await watch.until_in_sync()
            watch.controller.api.suspend("until it was looked at")
            commit(tmp_path, full(some, targets=()))
            await watch.until(lambda: len(blocked(watch)) == 12)
            watch.approve("deletes")
            await watch.until(lambda: not blocked(watch))
            commit(tmp_path, full(some))
            await watch.until_in_sync()
            commit(tmp_path, full(some, targets=()))
            await watch.until(lambda: len(blocked(watch)) == 12)


async def test_an_app_that_cannot_be_read_holds_up_the_removals_of_its_change_alone(tmp_path: Path) -> None:
    """It backs off by itself, what else the commit declares is applied, and its removals go as soon as all of it is read."""
    clock = FastClock(30)
    some = FORTY[:4]
    commit(tmp_path, full(some))
    with plane_at(clock) as plane:
        async with run_controller(tmp_path, plane, clock) as watch:
            await watch.until_in_sync()
            plane.break_with(
                {"operation": "apps.get", "slug": some[3], "action": "status", "status": 500, "times": None}
            )
            commit(tmp_path, full(some, targets=(), slots={"chat": "local_first", "vision": "cloud_first"}))
            await watch.until(lambda: watch.app(some[3]).state is AppState.FAILING)
            await watch.until(lambda: all(watch.app(one).state is AppState.WAITING for one in some[:3]))
            assert all(len(plane.send("GET", f"/apps/{one}/slots")["slots"]) == 2 for one in some[:3])
            await watch.until(lambda: "to be read" in watch.app(some[0]).why_waiting)
            assert targets(plane, *some[:3]) == 3
            assert watch.app(some[3]).next_try is not None
            plane.break_with()
            await watch.until_in_sync()
            assert targets(plane, *some) == 0


async def test_what_is_being_removed_counts_once(tmp_path: Path) -> None:
    """As many as are allowed go, though they are written at the same time: none is blocked by those that are on their way."""
    clock = FastClock(30)
    some = FORTY[:8]
    commit(tmp_path, full(some))
    with plane_at(clock) as plane:
        async with run_controller(tmp_path, plane, clock) as watch:
            await watch.until_in_sync()
            plane.break_with({"operation": "apps.delete_target", "action": "delay", "seconds": 0.2, "times": 5})
            commit(tmp_path, full(some, targets=()))
            await watch.until(lambda: targets(plane, *some) == 0)


async def test_two_commits_at_once_remove_no_more_than_one(tmp_path: Path) -> None:
    """What an earlier commit is about to remove counts for a later one, before it is done."""
    clock = FastClock(30)
    some = FORTY[:16]
    commit(tmp_path, full(some))
    with plane_at(clock) as plane:
        async with run_controller(tmp_path, plane, clock) as watch:
            await watch.until_in_sync()
            plane.break_with({"operation": "apps.delete_target", "action": "delay", "seconds": 0.5, "times": None})
            commit(tmp_path, full(some) | full(some[:8], targets=()))
            await watch.until(lambda: any(run.ended is None for run in watch.status.runs))
            commit(tmp_path, full(some, targets=()))
            await watch.until(lambda: blocked(watch) and not any(run.ended is None for run in watch.status.runs))
            await watch.until(lambda: all(app.state in DONE for app in watch.status.apps.values()))
            assert 16 - targets(plane, *some) <= 10


def test_what_was_removed_is_counted_once_wherever_it_is_told(tmp_path: Path) -> None:
    """By the journal, or by what the same change plans, or as under way in another turn: never by two of them."""
    plane, clock = ControlPlane(url="https://octomil.example/api/v1"), FastClock()
    one, other, third = (Address.of_target(slug, "ios", f"com.{slug}") for slug in ("a", "b", "c"))
    with Journal(tmp_path / "state.db") as journal:
        run = journal.begin_run(control_plane=plane.url, org_id=None, digest="", at=clock.now())
        for number, address in enumerate((one, other), 1):
            journal.begin_action(run, number, address=address, verb="delete", operation="x", at=clock.now())
            outcome = Outcome(address=address, verb="delete", status=Status.DONE)
            journal.end_action(run, number, outcome, clock.now())
        memory = Memory(WatchState(journal), plane, clock)

        def count(**more: set[Address]) -> int:
            return memory.removed_lately((), **more).removals.get(Kind.TARGET, 0)

        assert count() == 2
        assert count(planned={one}) == 1
        assert count(under_way={other}) == 2
        assert count(planned={one}, under_way={other, third}) == 2
