"""Manifests that can't be read at all, rather than have errors: everybody is told why."""

from __future__ import annotations

from pathlib import Path

from tests.support.controllers import FastClock, plane_at, watching


async def test_what_keeps_a_kustomization_from_being_rendered_is_said(tmp_path: Path) -> None:
    """Log and standing name the error and what is to be done about it, not only that there is one."""
    clock = FastClock(20)
    (tmp_path / "base").mkdir()
    with plane_at(clock) as plane:
        async with watching(tmp_path, plane, clock, kustomize=str(tmp_path / "base")) as watch:
            await watch.until(lambda: watch.logged("manifests_invalid"))
            error = watch.standing.load_error  # no diagnostic of a file
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
        async with watching(tmp_path, plane, clock, paths=("nowhere-at-all",)) as watch:
            await watch.until(lambda: watch.logged("manifests_invalid"))
            assert watch.logged("manifests_invalid")[0]["errors"] == [
                "nowhere-at-all: missing-path: nowhere-at-all does not exist"
            ]
