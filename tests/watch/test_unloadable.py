"""Manifests that can't be read at all, rather than have errors: everybody is told why."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.support.commits import write
from tests.support.controllers import FastClock, manifest, plane_at, run_controller

from octosync.watch.status import AppState
from octosync.watch.web.views import sentence


async def test_what_keeps_a_kustomization_from_being_rendered_is_said(tmp_path: Path) -> None:
    """Log and status name the error and what is to be done about it, not only that there is one."""
    clock = FastClock(20)
    (tmp_path / "base").mkdir()
    with plane_at(clock) as plane:
        async with run_controller(tmp_path, plane, clock, kustomize=str(tmp_path / "base")) as watch:
            await watch.until(lambda: watch.logged("manifests_invalid"))
            error = watch.status.load_error  # no diagnostic of a file
            assert error is not None
            (line,) = watch.logged("manifests_invalid")
            assert (line["reference"], line["@message"], line["hints"]) == (
                error.reference,
                error.message,
                list(error.hints),
            )
            assert error.reference == "no-kustomization"


async def test_a_folder_that_is_gone_has_no_lines(tmp_path: Path) -> None:
    """What isn't there is named without a place in it."""
    clock = FastClock(20)
    with plane_at(clock) as plane:
        async with run_controller(tmp_path, plane, clock, paths=("nowhere-at-all",)) as watch:
            await watch.until(lambda: watch.logged("manifests_invalid"))
            assert watch.logged("manifests_invalid")[0]["errors"] == [
                "nowhere-at-all: missing-path: nowhere-at-all does not exist"
            ]


def of_team(team: str, **spec: Any) -> str:
    """Return the manifest of a team's app."""
    return manifest(**spec).replace('"metadata": {', f'"metadata": {{"labels": {{"team": "{team}"}}, ')


async def test_a_selector_that_matches_nothing_leaves_in_force_what_was(tmp_path: Path) -> None:
    """A label that is changed by mistake takes no app out of force; a start waits for one that matches."""
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


async def test_manifests_that_are_being_loaded_are_not_called_bad(tmp_path: Path) -> None:
    """Until the first load has ended it is said to be under way, not to have failed."""
    clock = FastClock(20)
    write(tmp_path, manifest())
    with plane_at(clock) as plane:
        async with run_controller(tmp_path, plane, clock) as watch:
            assert sentence(watch.status).startswith("The manifests are being loaded")
            await watch.until_in_sync()
            assert sentence(watch.status).startswith("1 app in sync")
