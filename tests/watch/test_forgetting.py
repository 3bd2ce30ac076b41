"""A removed object is forgotten: if it is added again by hand, it stays."""

from __future__ import annotations

import json
from pathlib import Path

from tests.support.controllers import FastClock, manifest, plane_at, run_controller
from tests.support.plane import Plane

TARGET = {"platform": "ios", "identifier": "com.demo"}


def targets(plane: Plane) -> list[str]:
    return [target["identifier"] for target in plane.send("GET", "/apps/demo/targets")["targets"]]


async def test_a_removed_object_that_is_added_again_stays(tmp_path: Path) -> None:
    """The removal of a target's document removes the target. Added by hand afterwards, it counts as unmanaged."""
    clock = FastClock(60)
    apps = tmp_path / "apps"
    apps.mkdir()
    (apps / "other.json").write_text(manifest("other"))
    document = {"apiVersion": "octosync.dev/v1", "kind": "AppTarget", "metadata": {"name": "t"}}
    (apps / "target.json").write_text(json.dumps({**document, "spec": {"app": "demo", **TARGET}}))
    with plane_at(clock) as plane:
        plane.send("POST", "/apps", {"slug": "demo", "name": "Demo"})
        async with run_controller(tmp_path, plane, clock) as watch:
            await watch.until_in_sync()
            assert targets(plane) == ["com.demo"]
            (apps / "target.json").unlink()
            await watch.until(lambda: not targets(plane))
            await watch.until(lambda: "demo" not in watch.controller.memory.apps)
            plane.send("POST", "/apps/demo/targets", TARGET)
            before = watch.status.full_read_at
            watch.controller.api.reconcile(None)
            await watch.until(lambda: watch.status.full_read_at != before)
            assert targets(plane) == ["com.demo"]
