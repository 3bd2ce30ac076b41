"""What the liveness probe is told: a controller that waits for its turn at the rate limit is well, and is not to be restarted."""

from __future__ import annotations

from pathlib import Path

from tests.support.controllers import FastClock, manifest, plane_at, watching

SLOTS = ("chat", "embedding", "vision")


def declare(folder: Path, slug: str, policy: str) -> None:
    """Declare an app that takes several requests to read, and to change."""
    folder.mkdir(exist_ok=True)
    (folder / f"{slug}.yaml").write_text(manifest(slug, slots=dict.fromkeys(SLOTS, policy)))


async def test_re_reads_that_wait_behind_a_large_commit_are_no_reason_to_restart(tmp_path: Path) -> None:
    """While a commit takes longer than a turn may, re-reads that are under way wait behind it: healthy all the same."""
    clock, apps = FastClock(speed=2000), tmp_path / "apps"
    names = [f"app-{number:02}" for number in range(40)]
    with plane_at(clock) as plane:
        for name in names:
            declare(apps, name, "local_first")
        async with watching(tmp_path, plane, clock, connection={"requests_per_minute": 6}) as watch:
            await watch.until_in_sync(patience=25)
            watch.controller.desk.reconcile(None)
            await watch.until(lambda: watch.standing.full_read_total)
            for name in names[8:]:
                declare(apps, name, "cloud_first")
            began = clock.monotonic()

            def is_done() -> bool:
                assert watch.standing.healthy
                updated = {
                    one["address"]
                    for one in watch.logged("action")
                    if one["action"] == "update" and one["result"] == "done"
                }
                return len(updated) == 32 * len(SLOTS)

            await watch.until(is_done, patience=60)
            assert clock.monotonic() - began > 3600
