"""Manifests and octosync.yaml that say something wrong: nothing of them is used, and what was good stays in force."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from tests.support.commits import commit, write
from tests.support.controllers import FastClock, plane_at, run_controller
from tests.support.plane import Plane

from octosync.watch.status import AppState

CHAT = {"demo": {"slots": {"chat": "local_first"}}}
BROKEN = "kind: App\nmetadata: {name: demo"


def preference(plane: Plane) -> str:
    """Return what the slot prefers."""
    return str(plane.send("GET", "/apps/demo/slots")["slots"][0]["serving_policy"]["routing_preference"])


def drift(plane: Plane) -> None:
    """Change the slot as somebody else."""
    plane.send("PUT", "/apps/demo/slots/chat", {"serving_policy": "cloud_first", "bindings": []})


async def test_the_last_good_manifests_stay_in_force(tmp_path: Path) -> None:
    """Nothing of a broken commit is applied, drift is healed all the same, it is said once; a mended one is taken up."""
    clock = FastClock(60)
    commit(tmp_path, CHAT)
    with plane_at(clock) as plane:
        async with run_controller(tmp_path, plane, clock, drift_hold=timedelta()) as watch:
            await watch.until_in_sync()
            watch.requests()
            write(tmp_path, BROKEN)
            await watch.until(lambda: not watch.status.valid)
            assert watch.status.diagnostics
            drift(plane)
            await watch.until(lambda: preference(plane) == "local")
            watch.controller.reload()
            write(tmp_path, "a note\n", "note.txt")
            loaded = clock.now()
            await watch.until(lambda: clock.now() - loaded > timedelta(seconds=30))
            assert len(watch.logged("manifests_invalid")) == 1
            commit(tmp_path, {"demo": {"slots": {"chat": "cloud_first"}}})
            await watch.until(lambda: preference(plane) == "cloud")
            assert watch.status.valid


async def test_what_is_broken_from_the_start_is_taken_up_when_it_is_mended(tmp_path: Path) -> None:
    """The controller runs, is not ready and asks for nothing of any app; then everything is as usual."""
    clock = FastClock(60)
    write(tmp_path, BROKEN)
    with plane_at(clock) as plane:
        async with run_controller(tmp_path, plane, clock) as watch:
            await watch.until(lambda: watch.logged("manifests_invalid"))
            assert (watch.status.ready, watch.status.valid) == (False, False)
            assert not any("/apps" in line for line in watch.requests())
            commit(tmp_path, CHAT)
            await watch.until_in_sync()
            assert preference(plane) == "local"


def configured(folder: Path, text: str) -> None:
    """Write octosync.yaml, whole from the first moment."""
    (folder / "coming").write_text("paths: [apps]\n" + text)
    (folder / "coming").replace(folder / "octosync.yaml")


async def test_octosync_yaml_is_taken_up_while_it_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A limit that is raised lets go what it blocked, a freeze holds what comes; a broken file changes nothing."""
    monkeypatch.chdir(tmp_path)
    clock = FastClock(60)
    three = {f"app-{number}": {"targets": (f"com.app{number}",)} for number in range(3)}
    commit(tmp_path, three)
    configured(tmp_path, "guards: {maxDeletes: 2}\n")

    def targets(plane: Plane) -> int:
        return sum(len(plane.send("GET", f"/apps/{slug}/targets")["targets"]) for slug in three)

    with plane_at(clock) as plane:
        async with run_controller(tmp_path, plane, clock, paths=()) as watch:
            await watch.until_in_sync()
            commit(tmp_path, {slug: {"targets": ()} for slug in three})
            await watch.until(lambda: all(one.state is AppState.BLOCKED for one in watch.status.apps.values()))
            configured(tmp_path, "guards: {maxDeletes: oh no}\n")
            await watch.until(lambda: not watch.status.valid)
            assert targets(plane) == 3
            configured(tmp_path, "guards: {maxDeletes: 3}\n")
            await watch.until(lambda: targets(plane) == 0)
            await watch.until_in_sync()
            configured(tmp_path, "freeze: [{cron: '0 0 * * *', duration: 24h}]\n")
            commit(tmp_path, three)
            await watch.until(lambda: all(one.state is AppState.WAITING for one in watch.status.apps.values()))
            configured(tmp_path, "")
            await watch.until(lambda: targets(plane) == 3)


async def test_what_is_only_read_at_the_start_is_said_to_need_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A connection isn't changed under a controller that runs: the log says what waits for a restart, once."""
    monkeypatch.chdir(tmp_path)
    clock = FastClock(60)
    commit(tmp_path, CHAT)
    configured(tmp_path, "")
    with plane_at(clock) as plane:
        async with run_controller(tmp_path, plane, clock, paths=()) as watch:
            await watch.until_in_sync()
            configured(tmp_path, "rate: {requestsPerMinute: 7}\n")
            await watch.until(lambda: watch.logged("restart_needed"))
            assert "rate" in watch.logged("restart_needed")[0]["@message"]
            commit(tmp_path, {"demo": {"slots": {"chat": "cloud_first"}}})
            await watch.until(lambda: preference(plane) == "cloud")
            assert len(watch.logged("restart_needed")) == 1


async def test_what_is_for_another_control_plane_is_not_applied_to_this_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A default context that means another one is no commit for this one: it is shown, and waits for a restart."""
    monkeypatch.chdir(tmp_path)
    clock = FastClock(60)
    commit(tmp_path, CHAT)
    text = "contexts: {{one: {{url: 'http://127.0.0.1:1'}}, two: {{url: 'http://127.0.0.1:2'}}}}\ndefaultContext: {}\n"
    configured(tmp_path, text.format("one"))
    with plane_at(clock) as plane:
        async with run_controller(tmp_path, plane, clock, paths=(), through_context=True) as watch:
            await watch.until_in_sync()
            commit(tmp_path, {"demo": {"slots": {}}})
            await watch.until(lambda: not plane.send("GET", "/apps/demo/slots")["slots"])
            configured(tmp_path, text.format("two"))
            await watch.until(lambda: not watch.status.valid)
            commit(tmp_path, CHAT)
            loaded = clock.now()
            await watch.until(lambda: clock.now() - loaded > timedelta(seconds=60))
            assert plane.send("GET", "/apps/demo/slots")["slots"] == []
            configured(tmp_path, text.format("one"))
            await watch.until(lambda: plane.send("GET", "/apps/demo/slots")["slots"])
