"""Invalid manifests and an invalid octosync.yaml: nothing of them is used, and the last valid ones stay in use."""

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
    """Return the routing preference of the slot."""
    return str(plane.send("GET", "/apps/demo/slots")["slots"][0]["serving_policy"]["routing_preference"])


def change_slot(plane: Plane) -> None:
    """Change the slot by hand."""
    plane.send("PUT", "/apps/demo/slots/chat", {"serving_policy": "cloud_first", "bindings": []})


async def test_the_last_valid_manifests_stay_in_use(tmp_path: Path) -> None:
    """An invalid commit is reported once and not applied, while drift is still reverted. A valid commit is applied."""
    clock = FastClock(60)
    commit(tmp_path, CHAT)
    with plane_at(clock) as plane:
        async with run_controller(tmp_path, plane, clock, drift_hold=timedelta()) as watch:
            await watch.until_in_sync()
            watch.requests()
            write(tmp_path, BROKEN)
            await watch.until(lambda: not watch.status.valid)
            assert watch.status.diagnostics
            change_slot(plane)
            await watch.until(lambda: preference(plane) == "local")
            watch.controller.reload()
            write(tmp_path, "a note\n", "note.txt")
            loaded = clock.now()
            await watch.until(lambda: clock.now() - loaded > timedelta(seconds=30))
            assert len(watch.logged("manifests_invalid")) == 1
            commit(tmp_path, {"demo": {"slots": {"chat": "cloud_first"}}})
            await watch.until(lambda: preference(plane) == "cloud")
            assert watch.status.valid


async def test_manifests_invalid_at_the_start_are_used_once_valid(tmp_path: Path) -> None:
    """Until then the controller runs, is not ready and reads no app."""
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


def configure(folder: Path, text: str) -> None:
    """Write octosync.yaml in one step."""
    (folder / "next.yaml").write_text("paths: [apps]\n" + text)
    (folder / "next.yaml").replace(folder / "octosync.yaml")


async def test_octosync_yaml_is_reloaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A higher limit releases what it blocked, and a freeze window delays a commit. An invalid file changes nothing."""
    monkeypatch.chdir(tmp_path)
    clock = FastClock(60)
    three = {f"app-{number}": {"targets": (f"com.app{number}",)} for number in range(3)}
    commit(tmp_path, three)
    configure(tmp_path, "guards: {maxDeletes: 2}\n")

    def targets(plane: Plane) -> int:
        return sum(len(plane.send("GET", f"/apps/{slug}/targets")["targets"]) for slug in three)

    with plane_at(clock) as plane:
        async with run_controller(tmp_path, plane, clock, paths=()) as watch:
            await watch.until_in_sync()
            commit(tmp_path, {slug: {"targets": ()} for slug in three})
            await watch.until(lambda: all(app.state is AppState.BLOCKED for app in watch.status.apps.values()))
            configure(tmp_path, "guards: {maxDeletes: many}\n")
            await watch.until(lambda: not watch.status.valid)
            assert targets(plane) == 3
            configure(tmp_path, "guards: {maxDeletes: 3}\n")
            await watch.until(lambda: targets(plane) == 0)
            await watch.until_in_sync()
            configure(tmp_path, "freeze: [{cron: '0 0 * * *', duration: 24h}]\n")
            commit(tmp_path, three)
            await watch.until(lambda: all(app.state is AppState.WAITING for app in watch.status.apps.values()))
            configure(tmp_path, "")
            await watch.until(lambda: targets(plane) == 3)


async def test_settings_that_need_a_restart_are_logged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A changed connection setting is not used by a running controller. The log reports once that it needs a restart."""
    monkeypatch.chdir(tmp_path)
    clock = FastClock(60)
    commit(tmp_path, CHAT)
    configure(tmp_path, "")
    with plane_at(clock) as plane:
        async with run_controller(tmp_path, plane, clock, paths=()) as watch:
            await watch.until_in_sync()
            configure(tmp_path, "rate: {requestsPerMinute: 7}\n")
            await watch.until(lambda: watch.logged("restart_needed"))
            assert "rate" in watch.logged("restart_needed")[0]["@message"]
            commit(tmp_path, {"demo": {"slots": {"chat": "cloud_first"}}})
            await watch.until(lambda: preference(plane) == "cloud")
            assert len(watch.logged("restart_needed")) == 1


async def test_a_change_of_the_default_context_applies_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """If the default context names another control plane, nothing is applied here. That is shown, and needs a restart."""
    monkeypatch.chdir(tmp_path)
    clock = FastClock(60)
    commit(tmp_path, CHAT)
    text = "contexts: {{one: {{url: 'http://127.0.0.1:1'}}, two: {{url: 'http://127.0.0.1:2'}}}}\ndefaultContext: {}\n"
    configure(tmp_path, text.format("one"))
    with plane_at(clock) as plane:
        async with run_controller(tmp_path, plane, clock, paths=(), through_context=True) as watch:
            await watch.until_in_sync()
            commit(tmp_path, {"demo": {"slots": {}}})
            await watch.until(lambda: not plane.send("GET", "/apps/demo/slots")["slots"])
            configure(tmp_path, text.format("two"))
            await watch.until(lambda: not watch.status.valid)
            commit(tmp_path, CHAT)
            loaded = clock.now()
            await watch.until(lambda: clock.now() - loaded > timedelta(seconds=60))
            assert plane.send("GET", "/apps/demo/slots")["slots"] == []
            configure(tmp_path, text.format("one"))
            await watch.until(lambda: plane.send("GET", "/apps/demo/slots")["slots"])
