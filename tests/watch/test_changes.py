"""A commit is one change: its removals are counted together, in however many apps they are."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.support.commits import commit
from tests.support.controllers import FastClock, RunningController, plane_at, run_controller
from tests.support.plane import Plane
from tests.support.states import policy_of

from octosync.model import Address, Kind, Outcome, Status
from octosync.plan import ControlPlane
from octosync.state import Journal, WatchState
from octosync.watch.memory import Memory
from octosync.watch.status import AppState

pytestmark = pytest.mark.no_cover  # slow under coverage; other tests of this package cover the same code

DONE = {AppState.BLOCKED, AppState.IN_SYNC}
LONG_AGO = datetime.min.replace(tzinfo=UTC)
MANY = [f"app-{number:02}" for number in range(15)]
# With a low limit, a few apps are enough.
THREE = policy_of(max_deletes=3)
FIVE = MANY[:5]


def targets(plane: Plane, *slugs: str) -> int:
    """Return the number of targets of apps."""
    return sum(len(plane.send("GET", f"/apps/{slug}/targets")["targets"]) for slug in slugs)


def slots(plane: Plane, *slugs: str) -> list[dict[str, Any]]:
    """Return the slots of apps."""
    return [slot for slug in slugs for slot in plane.send("GET", f"/apps/{slug}/slots")["slots"]]


def full(slugs: list[str], **spec: Any) -> dict[str, dict[str, Any]]:
    """Declare a target and a slot in each app."""
    return {slug: {"targets": (f"com.{slug}",), "slots": {"chat": "local_first"}, **spec} for slug in slugs}


def blocked(watch: RunningController, guard: str = "deletes") -> list[str]:
    """Return the apps with an action that a guard blocks."""
    return [slug for slug, app in watch.status.apps.items() if any(refusal.guard == guard for refusal in app.blocked)]


async def test_a_commit_that_empties_many_apps_is_refused_as_one_change(tmp_path: Path) -> None:
    """No target is removed, however often the apps are read again. The other changes of the commit are applied."""
    clock = FastClock(30)
    commit(tmp_path, full(MANY))
    with plane_at(clock) as plane:
        async with run_controller(tmp_path, plane, clock) as watch:
            await watch.until_in_sync()
            commit(tmp_path, full(MANY, targets=(), slots={"chat": "cloud_first"}))
            await watch.until(lambda: len(blocked(watch)) == 15)
            assert "15 removals" in watch.app(MANY[7]).blocked[0].message
            assert {slot["serving_policy"]["routing_preference"] for slot in slots(plane, *MANY)} == {"cloud"}
            read = watch.status.full_read_at
            watch.controller.api.reconcile(None)
            await watch.until(lambda: watch.status.full_read_at != read)
            assert targets(plane, *MANY) == 15
            assert not any(line.startswith("DELETE") for line in watch.requests())


async def test_a_second_commit_releases_no_removal_of_the_first(tmp_path: Path) -> None:
    """A later commit changes two of the emptied apps otherwise. That is applied, and nothing is removed."""
    clock = FastClock(30)
    slugs = FIVE
    commit(tmp_path, full(slugs))
    with plane_at(clock) as plane:
        async with run_controller(tmp_path, plane, clock, policy=THREE) as watch:
            await watch.until_in_sync()
            commit(tmp_path, full(slugs, targets=()))
            await watch.until(lambda: len(blocked(watch)) == 5)
            commit(tmp_path, full(slugs, targets=()) | full(slugs[:2], targets=(), slots={"chat": "cloud_first"}))
            await watch.until(lambda: sum(line.startswith("PUT") for line in watch.requests()) >= 2)
            await watch.until(lambda: len(blocked(watch)) == 5)
            assert targets(plane, *slugs) == 5
            commit(tmp_path, full(slugs))
            await watch.until_in_sync()
            assert targets(plane, *slugs) == 5


async def test_a_refusal_survives_a_restart(tmp_path: Path) -> None:
    """After a restart, removals declared meanwhile and those refused before are counted as one change."""
    clock = FastClock(30)
    slugs = FIVE
    commit(tmp_path, full(slugs))
    with plane_at(clock) as plane:
        async with run_controller(tmp_path, plane, clock, policy=THREE) as watch:
            await watch.until_in_sync()
            commit(tmp_path, full(slugs) | full(slugs[:4], targets=()))
            await watch.until(lambda: len(blocked(watch)) == 4)
        clock.skip(timedelta(minutes=11))
        commit(tmp_path, full(slugs, targets=()))
        async with run_controller(tmp_path, plane, clock, policy=THREE) as restarted:
            await restarted.until(lambda: len(blocked(restarted)) == 5)
            await restarted.until(lambda: "5 removals" in restarted.app(slugs[0]).blocked[0].message)
        assert targets(plane, *slugs) == 5


async def test_removals_of_ten_minutes_count_together(tmp_path: Path) -> None:
    """Several commits remove no more than one commit may.

    What was too much stays refused, however much later, also after restarts.
    """
    clock = FastClock(30)
    slugs = FIVE
    commit(tmp_path, full(slugs))
    with plane_at(clock) as plane:
        async with run_controller(tmp_path, plane, clock, policy=THREE) as watch:
            await watch.until_in_sync()
            commit(tmp_path, full(slugs) | full(slugs[:2], targets=()))
            await watch.until(lambda: targets(plane, *slugs) == 3)
            await watch.until_in_sync()
        commit(tmp_path, full(slugs) | full(slugs[:4], targets=()))
        async with run_controller(tmp_path, plane, clock, policy=THREE) as watch:
            await watch.until(lambda: len(blocked(watch)) == 2)
            assert "4 removals (1 here, 3 elsewhere" in watch.app(slugs[3]).blocked[0].message
            assert targets(plane, *slugs) == 3
            await clock.advance(timedelta(hours=2))
            watch.controller.api.reconcile(slugs[3])
            await watch.until(lambda: (watch.app(slugs[3]).read_at or LONG_AGO) > clock.now() - timedelta(hours=1))
            assert len(blocked(watch)) == 2
        clock.skip(timedelta(hours=2))
        async with run_controller(tmp_path, plane, clock, policy=THREE) as watch:
            since = clock.now()
            await watch.until(lambda: watch.status.ready and clock.now() - since > timedelta(minutes=1))
            assert "4 removals (1 here, 3 elsewhere" in watch.app(slugs[3]).blocked[0].message
            assert targets(plane, *slugs) == 3
            (refused,) = watch.status.blocked
            assert (len(refused.apps), refused.message) == (2, "4 removals, at most 3 are allowed together")
            assert watch.approve("deletes", slugs[2]) == 1
            await watch.until(lambda: targets(plane, *slugs) == 2)
            commit(tmp_path, full(slugs))
            await watch.until(lambda: targets(plane, *slugs) == 5)
            clock.skip(timedelta(minutes=11))
            commit(tmp_path, full(slugs) | full(slugs[2:4], targets=()))
            await watch.until(lambda: targets(plane, *slugs) == 3)


async def test_an_approval_covers_exactly_the_blocked_actions_once(tmp_path: Path) -> None:
    """Later additions are not covered. The approval survives a restart and ends once it is used."""
    clock = FastClock(30)
    slugs = FIVE
    commit(tmp_path, full(slugs))
    with plane_at(clock) as plane:
        async with run_controller(tmp_path, plane, clock, policy=THREE) as watch:
            await watch.until_in_sync()
            commit(tmp_path, full(slugs, targets=()))
            await watch.until(lambda: len(blocked(watch)) == 5)
            watch.controller.api.suspend("until it is reviewed")
            assert watch.approve("deletes") == 5
        commit(tmp_path, full(slugs, targets=()) | full(slugs[:1], targets=(), slots={}))
        async with run_controller(tmp_path, plane, clock, policy=THREE) as watch:
            await watch.until(lambda: len(blocked(watch)) == 1)
            watch.controller.api.resume()
            await watch.until(lambda: targets(plane, *slugs) == 0)
            await watch.until(
                lambda: (
                    [str(address) for address in watch.app(slugs[0]).blocked[0].addresses] == ["app/app-00/slot/chat"]
                )
            )
            clock.skip(timedelta(minutes=11))
            commit(tmp_path, full(slugs))
            await watch.until(lambda: targets(plane, *slugs) == 5)
            await watch.until_in_sync()
            commit(tmp_path, full(slugs, targets=()))
            await watch.until(lambda: len(blocked(watch)) == 5)
            assert targets(plane, *slugs) == 5


async def test_an_approval_lapses_when_what_it_allowed_is_declared_again(tmp_path: Path) -> None:
    """A commit that is reverted before it was applied needs a new approval when it returns."""
    clock = FastClock(30)
    slugs = FIVE
    commit(tmp_path, full(slugs))
    with plane_at(clock) as plane:
        async with run_controller(tmp_path, plane, clock, policy=THREE) as watch:
            await watch.until_in_sync()
            watch.controller.api.suspend("until it is reviewed")
            commit(tmp_path, full(slugs, targets=()))
            await watch.until(lambda: len(blocked(watch)) == 5)
            watch.approve("deletes")
            await watch.until(lambda: not blocked(watch))
            commit(tmp_path, full(slugs))
            await watch.until_in_sync()
            commit(tmp_path, full(slugs, targets=()))
            await watch.until(lambda: len(blocked(watch)) == 5)


async def test_an_unreadable_app_delays_only_the_removals_of_its_commit(tmp_path: Path) -> None:
    """It backs off alone, the other changes of the commit are applied, and the removals follow once all of its apps are read."""
    clock = FastClock(30)
    slugs = MANY[:4]
    commit(tmp_path, full(slugs))
    with plane_at(clock) as plane:
        async with run_controller(tmp_path, plane, clock) as watch:
            await watch.until_in_sync()
            plane.break_with(
                {"operation": "apps.get", "slug": slugs[3], "action": "status", "status": 500, "times": None}
            )
            commit(tmp_path, full(slugs, targets=(), slots={"chat": "local_first", "vision": "cloud_first"}))
            await watch.until(lambda: watch.app(slugs[3]).state is AppState.FAILING)
            await watch.until(lambda: all(watch.app(slug).state is AppState.WAITING for slug in slugs[:3]))
            assert all(len(plane.send("GET", f"/apps/{slug}/slots")["slots"]) == 2 for slug in slugs[:3])
            await watch.until(lambda: "to be read" in watch.app(slugs[0]).why_waiting)
            assert targets(plane, *slugs[:3]) == 3
            assert watch.app(slugs[3]).next_try is not None
            plane.break_with()
            await watch.until_in_sync()
            assert targets(plane, *slugs) == 0


async def test_a_removal_in_progress_counts_once(tmp_path: Path) -> None:
    """The allowed number of removals is made even if they are written at once. None is blocked by those in progress."""
    clock = FastClock(30)
    slugs = MANY[:8]
    commit(tmp_path, full(slugs))
    with plane_at(clock) as plane:
        async with run_controller(tmp_path, plane, clock) as watch:
            await watch.until_in_sync()
            plane.break_with({"operation": "apps.delete_target", "action": "delay", "seconds": 0.2, "times": 5})
            commit(tmp_path, full(slugs, targets=()))
            await watch.until(lambda: targets(plane, *slugs) == 0)


async def test_two_commits_at_once_remove_no_more_than_one(tmp_path: Path) -> None:
    """Removals that an earlier commit is about to make count for a later one before they are done."""
    clock = FastClock(30)
    slugs = MANY[:8]
    commit(tmp_path, full(slugs))
    with plane_at(clock) as plane:
        async with run_controller(tmp_path, plane, clock, policy=THREE) as watch:
            await watch.until_in_sync()
            plane.break_with({"operation": "apps.delete_target", "action": "delay", "seconds": 0.5, "times": None})
            commit(tmp_path, full(slugs) | full(slugs[:3], targets=()))
            await watch.until(lambda: any(run.ended is None for run in watch.status.runs))
            commit(tmp_path, full(slugs, targets=()))
            await watch.until(lambda: blocked(watch) and not any(run.ended is None for run in watch.status.runs))
            await watch.until(lambda: all(app.state in DONE for app in watch.status.apps.values()))
            assert len(slugs) - targets(plane, *slugs) <= 3


def test_a_removal_is_counted_once_whatever_reports_it(tmp_path: Path) -> None:
    """The journal, the plan of the same change and the actions in progress may all report it. It counts once."""
    plane, clock = ControlPlane(url="https://octomil.example/api/v1"), FastClock()
    first, second, third = (Address.of_target(slug, "ios", f"com.{slug}") for slug in ("a", "b", "c"))
    with Journal(tmp_path / "state.db") as journal:
        run = journal.begin_run(control_plane=plane.url, org_id=None, digest="", at=clock.now())
        for number, address in enumerate((first, second), 1):
            journal.begin_action(run, number, address=address, verb="delete", operation="x", at=clock.now())
            outcome = Outcome(address=address, verb="delete", status=Status.DONE)
            journal.end_action(run, number, outcome, clock.now())
        memory = Memory(WatchState(journal), plane, clock)

        def count(**more: set[Address]) -> int:
            return memory.removed_lately((), **more).removals.get(Kind.TARGET, 0)

        assert count() == 2
        assert count(planned={first}) == 1
        assert count(under_way={second}) == 2
        assert count(planned={first}, under_way={second, third}) == 2
