"""A rejected key is not the fault of an app: its write is repeated once the key is valid again."""

from __future__ import annotations

from pathlib import Path

from tests.support.controllers import FastClock, manifest, plane_at, run_controller


async def test_a_write_with_a_rejected_key_is_sent_again(tmp_path: Path) -> None:
    """A key may be revoked between the reads and the write of a reconcile. The app does not count as refused."""
    clock = FastClock(60)
    (tmp_path / "apps").mkdir()
    file = tmp_path / "apps" / "demo.json"
    file.write_text(manifest(slots={"chat": "local_first"}))
    with plane_at(clock) as plane:
        async with run_controller(tmp_path, plane, clock) as watch:
            await watch.until_in_sync()
            plane.break_with(
                {"operation": "apps.put_slot", "action": "status", "status": 401, "code": "invalid_api_key"}
            )
            file.write_text(manifest(slots={"chat": "local_first", "vision": "local_only"}))
            await watch.until(lambda: watch.logged("everything_waits"))
            await watch.until(lambda: len(plane.send("GET", "/apps/demo/slots")["slots"]) == 2)
            await watch.until_in_sync()
