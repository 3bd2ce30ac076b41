"""A lost state file: nothing counts as removed, differences are written or held, and the log reports the loss."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

from tests.support.controllers import FastClock, manifest, plane_at, run_controller
from tests.support.plane import Plane


def lose_state(folder: Path) -> None:
    for file in folder.glob("state.db*"):
        file.unlink()


def slots(plane: Plane) -> dict[str, str]:
    live = plane.send("GET", "/apps/demo/slots")["slots"]
    return {slot["capability"]: slot["serving_policy"]["routing_mode"] for slot in live}


async def test_a_missing_state_file_is_logged_once(tmp_path: Path) -> None:
    """That includes the first start, but not a restart that finds its file."""
    clock = FastClock(20)
    (tmp_path / "apps").mkdir()
    (tmp_path / "apps/demo.json").write_text(manifest(slots={"chat": "local_first"}))
    with plane_at(clock) as plane:
        for expected in (1, 0):
            async with run_controller(tmp_path, plane, clock) as watch:
                await watch.until_in_sync()
                assert len(watch.logged("nothing_remembered")) == expected
        lose_state(tmp_path)
        async with run_controller(tmp_path, plane, clock) as watch:
            await watch.until_in_sync()
            assert len(watch.logged("nothing_remembered")) == 1


async def test_what_left_the_manifests_meanwhile_stays_live(tmp_path: Path) -> None:
    """A removed config and a removed app stay live. A declared list is still authoritative for its elements."""
    clock = FastClock(300)
    (tmp_path / "apps").mkdir()
    before = manifest(slots={"chat": "local_first", "vision": "local_first"}, inferenceConfig={"model": "a"})
    (tmp_path / "apps/demo.json").write_text(before)
    (tmp_path / "apps/gone.json").write_text(manifest("gone", targets=("com.gone",)))
    with plane_at(clock) as plane:
        async with run_controller(tmp_path, plane, clock) as watch:
            await watch.until_in_sync()
        lose_state(tmp_path)
        (tmp_path / "apps/gone.json").unlink()
        clock.skip(timedelta(hours=1))
        (tmp_path / "apps/demo.json").write_text(manifest(slots={"chat": "private"}))
        async with run_controller(tmp_path, plane, clock) as watch:
            await watch.until(lambda: watch.status.ready)
            await watch.until_in_sync()
            assert slots(plane) == {"chat": "local_only"}
            assert plane.send("GET", "/apps/demo/inference-config")["model"] == "a"
            assert len(plane.send("GET", "/apps/gone/targets")["targets"]) == 1
            assert list(watch.status.apps) == ["demo"]
