"""Policies in a controller: it obeys those of the octosync.yaml that it has loaded, as it does with guards."""

from __future__ import annotations

from pathlib import Path

from tests.support.commits import commit
from tests.support.controllers import FastClock, plane_at, run_controller
from tests.support.plane import Plane

from octosync.watch.status import AppState

SLUGS = ("a", "b", "c", "d")


def configure(folder: Path, rule: str, more: str = "") -> Path:
    """Write an octosync.yaml with a policy; return its path."""
    path = folder / "octosync.yaml"
    path.write_text(f"policies:\n  - {{name: p, message: Not like this., rule: '{rule}'}}\n{more}")
    return path


def names(plane: Plane, *slugs: str) -> list[str]:
    """Return the names of live apps."""
    return [plane.send("GET", f"/apps/{slug}")["name"] for slug in slugs]


async def test_a_violation_waits_until_it_is_approved(tmp_path: Path) -> None:
    """The rest of the app is applied, and the approval is for this change."""
    clock = FastClock(30)
    config = configure(tmp_path, 'change.kind != "app" || change.action == "create" || change.after.name == "Kept"')
    commit(tmp_path, {"demo": {}})
    with plane_at(clock) as plane:
        async with run_controller(tmp_path, plane, clock, config=config) as watch:
            await watch.until_in_sync()
            commit(tmp_path, {"demo": {"name": "Changed", "slots": {"chat": "local_first"}}})
            await watch.until(lambda: watch.app().state is AppState.BLOCKED)
            (blocked,) = watch.app().blocked
            assert (blocked.guard, blocked.message) == ("policy:p", "Not like this.")
            assert names(plane, "demo") == ["Demo"]
            assert len(plane.send("GET", "/apps/demo/slots")["slots"]) == 1
            assert watch.approve("policy:p") == 1
            await watch.until(lambda: names(plane, "demo") == ["Changed"])
            await watch.until_in_sync()


async def test_a_run_is_the_change_of_a_commit(tmp_path: Path) -> None:
    """The apps of one commit count together, though each has its own reconcile."""
    clock = FastClock(30)
    config = configure(tmp_path, "run.apps <= 3")
    with plane_at(clock) as plane:
        async with run_controller(tmp_path, plane, clock, config=config) as watch:
            await watch.until(lambda: watch.status.ready)
            commit(tmp_path, {slug: {} for slug in SLUGS[:3]})
            await watch.until(lambda: len(watch.status.apps) == 3 and watch.is_in_sync)
            commit(tmp_path, {slug: {"name": "New"} for slug in SLUGS})
            await watch.until(lambda: all(watch.app(slug).state is AppState.BLOCKED for slug in SLUGS))
            assert names(plane, *SLUGS[:3]) == ["A", "B", "C"]
            assert watch.approve("policy:p") == len(SLUGS)
            await watch.until_in_sync()
            assert names(plane, *SLUGS) == ["New"] * 4


async def test_drift_that_a_policy_protects_is_not_reverted(tmp_path: Path) -> None:
    """A policy judges reverts, too, by their reason."""
    clock = FastClock(30)
    config = configure(tmp_path, 'change.reason != "drift"', "drift: {hold: '0'}\n")
    commit(tmp_path, {"demo": {}})
    with plane_at(clock) as plane:
        async with run_controller(tmp_path, plane, clock, config=config) as watch:
            await watch.until_in_sync()
            plane.send("PATCH", "/apps/demo", {"name": "By hand"})
            await watch.until(lambda: watch.app().state is AppState.BLOCKED)
            assert names(plane, "demo") == ["By hand"]


async def test_a_rule_that_does_not_compile_is_not_loaded(tmp_path: Path) -> None:
    """The previous octosync.yaml and manifests stay in use."""
    clock = FastClock(30)
    config = configure(tmp_path, "true")
    commit(tmp_path, {"demo": {}})
    with plane_at(clock) as plane:
        async with run_controller(tmp_path, plane, clock, config=config) as watch:
            await watch.until_in_sync()
            configure(tmp_path, "change.nothing")
            commit(tmp_path, {"demo": {"name": "Changed"}})
            await watch.until(lambda: not watch.status.valid)
            assert any("policy-failed" in str(line) for line in watch.logged("manifests_invalid"))
            configure(tmp_path, "true")
            await watch.until(lambda: names(plane, "demo") == ["Changed"])
