"""Manifests that cannot be loaded at all: log and status name the error."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.support.commits import write
from tests.support.controllers import FastClock, manifest, plane_at, run_controller

from octosync.watch.status import AppState
from octosync.watch.web.summary import sentence


async def test_the_error_of_a_kustomization_is_reported(tmp_path: Path) -> None:
    """Log and status have the error with its hints, and not only the fact that there is one."""
    clock = FastClock(20)
    (tmp_path / "base").mkdir()
    with plane_at(clock) as plane:
        async with run_controller(tmp_path, plane, clock, kustomize=str(tmp_path / "base")) as watch:
            await watch.until(lambda: watch.logged("manifests_invalid"))
            error = watch.status.load_error  # not a diagnostic of a file
            assert error is not None
            (line,) = watch.logged("manifests_invalid")
            assert (line["reference"], line["@message"], line["hints"]) == (
                error.reference,
                error.message,
                list(error.hints),
            )
            assert error.reference == "no-kustomization"


async def test_a_missing_folder_is_named_without_a_line(tmp_path: Path) -> None:
    """The error about a missing path names no position in it."""
    clock = FastClock(20)
    with plane_at(clock) as plane:
        async with run_controller(tmp_path, plane, clock, paths=("nowhere-at-all",)) as watch:
            await watch.until(lambda: watch.logged("manifests_invalid"))
            assert watch.logged("manifests_invalid")[0]["errors"] == [
                "nowhere-at-all: missing-path: nowhere-at-all does not exist"
            ]


def of_team(team: str, **spec: Any) -> str:
    """Return the manifest of an app with a team label."""
    return manifest(**spec).replace('"metadata": {', f'"metadata": {{"labels": {{"team": "{team}"}}, ')


async def test_a_selector_without_a_match_is_an_error(tmp_path: Path) -> None:
    """A label changed by mistake leaves the last manifests in use. A controller without manifests waits for a match."""
    clock = FastClock(20)
    write(tmp_path, of_team("b"))
    with plane_at(clock) as plane:
        async with run_controller(tmp_path, plane, clock, selector="team=a") as watch:
            await watch.until(lambda: watch.logged("manifests_invalid"))
            error = watch.status.load_error
            assert error is not None
            assert (error.reference, error.message) == ("nothing-selected", "-l team=a matches none of 1 declared app")
            assert not watch.status.ready
            write(tmp_path, of_team("a", targets=("com.demo",)))
            await watch.until_in_sync()
            write(tmp_path, of_team("c"))
            await watch.until(lambda: not watch.status.valid)
            assert "the last valid ones stay in use" in sentence(watch.status)
            assert watch.app().state is AppState.IN_SYNC
            assert len(plane.send("GET", "/apps/demo/targets")["targets"]) == 1


async def test_the_first_load_is_shown_as_in_progress(tmp_path: Path) -> None:
    """Until the first load ends, the page shows that it is in progress, and not that it has failed."""
    clock = FastClock(20)
    write(tmp_path, manifest())
    with plane_at(clock) as plane:
        async with run_controller(tmp_path, plane, clock) as watch:
            assert sentence(watch.status).startswith("The manifests are being loaded")
            await watch.until_in_sync()
            assert sentence(watch.status).startswith("1 app in sync")
