"""The exact number of requests of typical runs. Under a rate limit, a run takes as long as its requests."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Final

import httpx
from tests.support.controllers import FastClock, RunningController, plane_at, run_controller
from tests.support.embedded_planes import ok
from tests.support.projects import APP, Project
from tests.support.request_counts import APPS, REQUEST_COUNTS
from tests.support.watched_apps import NEVER, TICK, wait_for_ticks

SLUGS: Final = [f"app-{number:02}" for number in range(APPS)]
FOURTH: Final = SLUGS[3]


def counted(local: httpx.Client, path: str = "/requests-log") -> dict[str, int]:
    """Return the number of requests since the last call, by operation."""
    log = ok(local.get(path, params={"clear": "true"}))["requests"]
    return dict(Counter(entry["operation"] for entry in log))


def declare(folder: Path, slug: str, policy: str = "local_first") -> None:
    """Write the manifest of an app."""
    folder.mkdir(exist_ok=True)
    text = APP.format(slug=slug, name=slug.title()).replace("local_first", policy)
    (folder / f"{slug}.yaml").write_text(text)


def apply_change(project: Project) -> int:
    """Change one slot, and apply all manifests."""
    declare(project.workdir.directory / "apps", FOURTH, "cloud_first")
    return project.apply("--rate", "0").code


def run(project: Project, *arguments: str) -> int:
    """Run a command, and return its exit code."""
    return project.workdir.octosync(*arguments, "--url", project.url, "--rate", "0").code


# In this order, each on the live state that the one before leaves.
COMMANDS: Final[dict[str, Callable[[Project], int]]] = {
    "`apply`, nothing live yet": lambda project: project.apply("--rate", "0").code,
    "`apply`, nothing changed": lambda project: project.apply("--rate", "0").code,
    "`plan`, nothing changed": lambda project: project.plan("--rate", "0").code,
    "`plan --app` of one app, nothing changed": lambda project: project.plan("--rate", "0", "--app", FOURTH).code,
    "`status` of one app": lambda project: run(project, "status", FOURTH),
    "`status --short`": lambda project: run(project, "status", "--short"),
    "`status --declared`": lambda project: run(project, "status", "--declared", "-f", "apps"),
    "`doctor`": lambda project: run(project, "doctor"),
    "`export`": lambda project: run(project, "export", "-d", "exported"),
    "`apply`, one slot changed": apply_change,
}


def test_commands(project: Project) -> None:
    """Each command sends exactly the requests of the table, and the table has no other commands."""
    for slug in SLUGS:
        declare(project.workdir.directory / "apps", slug)
    found = {}
    for name, command in COMMANDS.items():
        assert command(project) == 0
        found[name] = counted(project.plane.local)
    assert found == {name: counts for name, counts in REQUEST_COUNTS.items() if "`watch`" not in name}


def of_watch(watch: RunningController) -> dict[str, int]:
    """Return the number of requests since the last call, by operation."""
    return counted(watch.plane.http, "/_local/requests-log")


async def test_a_watch(tmp_path: Path) -> None:
    """A watch sends exactly the requests of the table: at its start, while idle, after an edit and after a restart."""
    clock, apps = FastClock(20), tmp_path / "apps"
    with plane_at(clock) as plane:
        for slug in SLUGS:
            declare(apps, slug)
            plane.app(slug, "chat", target=f"com.acme.{slug}", config={"model": f"@app/{slug}/chat"})
        plane.log()
        async with run_controller(tmp_path, plane, clock, interval=NEVER, resync=NEVER) as watch:
            await watch.until_in_sync()
            found = {"`watch`, first start": of_watch(watch)}
            declare(apps, FOURTH, "cloud_first")
            await watch.until(lambda: watch.status.runs and watch.status.runs[0].ended)
            await watch.until_in_sync()
            found["`watch`, one slot changed"] = of_watch(watch)
        async with run_controller(tmp_path, plane, clock, resync=NEVER) as watch:
            await watch.until_in_sync()
            await wait_for_ticks(watch, 1)  # what the events of the change cause
            await watch.until_in_sync()
            ticks = await wait_for_ticks(watch, 3)
            found["`watch`, idle, per interval"] = {"activity.list": len(ticks) // ticks.count(TICK)}
        plane.log()
        async with run_controller(tmp_path, plane, clock, interval=NEVER, resync=NEVER) as watch:
            await watch.until_in_sync()
            found["`watch`, restart"] = of_watch(watch)
    assert found == {name: counts for name, counts in REQUEST_COUNTS.items() if "`watch`" in name}
