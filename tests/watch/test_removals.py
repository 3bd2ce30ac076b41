"""What leaves the manifests: removed after a second check, orphaned with its app, and never removed by mistake."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.support.commits import child, commit, write
from tests.support.controllers import FastClock, RunningController, manifest, plane_at, run_controller
from tests.support.plane import Plane
from tests.support.states import policy_of

from octosync.model import NotifyEvent
from octosync.watch.status import AppState

INTERVAL = timedelta(seconds=15)


def live_children(plane: Plane, slug: str = "demo") -> set[str]:
    """Return the capabilities and identifiers of an app's slots and targets."""
    slots = plane.send("GET", f"/apps/{slug}/slots")["slots"]
    targets = plane.send("GET", f"/apps/{slug}/targets")["targets"]
    return {slot["capability"] for slot in slots} | {target["identifier"] for target in targets}


def is_archived(plane: Plane, slug: str) -> bool:
    """Return whether an app is archived."""
    return plane.send("GET", f"/apps/{slug}")["archived_at"] is not None


def slot(slug: str, capability: str) -> str:
    """Return the document of a slot."""
    return child("CapabilitySlot", slug, capability, capability=capability, servingPolicy="local_first")


async def resync(watch: RunningController, times: int = 1) -> None:
    """Wait for this number of resyncs."""
    for _ in range(times):
        read = watch.status.full_read_at
        watch.controller.api.reconcile(None)
        await watch.until(lambda read=read: watch.status.full_read_at != read)  # type: ignore[misc]


async def check_again(watch: RunningController) -> None:
    """Let the second check of the files pass, and then read everything."""
    await watch.clock.advance(2 * INTERVAL)
    await watch.until(lambda: watch.status.ready and not watch.controller.assignment.active.unsettled)
    await resync(watch)


ROUTES = {"a": "local", "b": "cloud"}
INCOMPLETE: dict[str, dict[str, Any]] = {
    "a target": {"targets": ("com.one",)},
    "a slot": {"slots": {"chat": "local_first"}},
    "a key of the inference config": {"inferenceConfig": {"routes": {"a": "local"}}},
    "a field": {"description": None},
}


def complete(**incomplete: Any) -> dict[str, Any]:
    """Declare an app, without what an incomplete file lacks."""
    spec: dict[str, Any] = {
        "description": "Whole",
        "targets": ("com.one", "com.two"),
        "slots": {"chat": "local_first", "vision": "local_first"},
        "inferenceConfig": {"routes": ROUTES},
        **incomplete,
    }
    return {"demo": {name: value for name, value in spec.items() if value is not None}}


@pytest.mark.parametrize("incomplete", INCOMPLETE.values(), ids=INCOMPLETE)
async def test_an_incomplete_file_removes_nothing(tmp_path: Path, incomplete: dict[str, Any]) -> None:
    """What it lacks is not removed while it may still come. All other changes are applied at once."""
    clock = FastClock(30)
    commit(tmp_path, complete())
    with plane_at(clock) as plane:
        async with run_controller(tmp_path, plane, clock, policy=policy_of(max_deletes=0)) as watch:
            await watch.until_in_sync()
            before = plane.send("GET", "/apps/demo/targets"), plane.send("GET", "/apps/demo/slots")
            watch.requests()
            commit(tmp_path, complete(**incomplete) | {"other": {}})
            await watch.until(lambda: "second check" in watch.app().why_waiting)
            await watch.until(lambda: watch.app("other").state is AppState.IN_SYNC)
            commit(tmp_path, complete() | {"other": {}})
            await watch.until_in_sync()
            await check_again(watch)
            assert (plane.send("GET", "/apps/demo/targets"), plane.send("GET", "/apps/demo/slots")) == before
            assert not any(line.startswith(("DELETE", "PUT", "PATCH")) for line in watch.requests())
            assert watch.recorder.of_event(NotifyEvent.BLOCKED) == []


async def test_a_removed_list_element_is_deleted_after_a_second_check(tmp_path: Path) -> None:
    """A shorter list counts once its files are unchanged for an interval, also after a restart."""
    clock = FastClock(30)
    commit(tmp_path, {"demo": {"targets": ("com.one", "com.two", "com.three")}})
    with plane_at(clock) as plane:
        async with run_controller(tmp_path, plane, clock) as watch:
            await watch.until_in_sync()
            commit(tmp_path, {"demo": {"targets": ("com.two", "com.three")}})
            edited = clock.now()
            await watch.until(lambda: live_children(plane) == {"com.two", "com.three"})
            assert clock.now() - edited >= INTERVAL
        commit(tmp_path, {"demo": {"targets": ("com.two",)}})
        edited = clock.now()
        async with run_controller(tmp_path, plane, clock) as watch:
            await watch.until(lambda: live_children(plane) == {"com.two"})
            assert clock.now() - edited >= INTERVAL


async def test_a_removed_document_is_deleted_after_a_second_check(tmp_path: Path) -> None:
    """Its removal waits for an interval, which is shown. Then the object is deleted."""
    clock = FastClock(30)
    write(tmp_path, manifest())
    write(tmp_path, slot("demo", "vision"), "vision.yaml")
    with plane_at(clock) as plane:
        async with run_controller(tmp_path, plane, clock) as watch:
            await watch.until_in_sync()
            (watch.apps / "vision.yaml").unlink()
            removed_at = clock.now()
            await watch.until(lambda: "second check" in watch.app().why_waiting)
            assert live_children(plane) == {"vision"}
            await watch.until(lambda: not live_children(plane))
            assert clock.now() - removed_at >= INTERVAL


async def test_a_document_that_returns_before_the_second_check(tmp_path: Path) -> None:
    """A file that is missing for a moment, as in a checkout, removes nothing at any time."""
    clock = FastClock(10)
    write(tmp_path, manifest())
    write(tmp_path, slot("demo", "vision"), "vision.yaml")
    with plane_at(clock) as plane:
        async with run_controller(tmp_path, plane, clock) as watch:
            await watch.until_in_sync()
            watch.requests()
            (watch.apps / "vision.yaml").unlink()
            await watch.until(lambda: "second check" in watch.app().why_waiting)
            write(tmp_path, slot("demo", "vision"), "vision.yaml")
            await watch.until_in_sync()
            await check_again(watch)
            assert live_children(plane) == {"vision"}
            assert not any(line.startswith(("DELETE", "PUT")) for line in watch.requests())


async def test_an_app_without_a_manifest_is_an_orphan(tmp_path: Path) -> None:
    """It is logged once and listed, neither archived nor emptied, even if its files go one by one, and also after a restart."""
    clock = FastClock(30)
    write(tmp_path, manifest(targets=("com.demo",)))
    write(tmp_path, slot("demo", "vision"), "vision.yaml")
    with plane_at(clock) as plane:
        async with run_controller(tmp_path, plane, clock) as watch:
            await watch.until_in_sync()
            (watch.apps / "all.yaml").unlink()
            await watch.until(lambda: watch.status.files == 1)
            await resync(watch)
            (watch.apps / "vision.yaml").unlink()
            await watch.until(lambda: watch.app().state is AppState.ORPHANED)
            await check_again(watch)
            lines = [line for line in watch.logged("app_moved") if "orphaned" in line["@message"]]
            assert [(line["app"], line["was"]) for line in lines] == [("demo", "in_sync")]
        async with run_controller(tmp_path, plane, clock) as watch:
            await watch.until(lambda: watch.status.ready)
            await check_again(watch)
            assert watch.app().state is AppState.ORPHANED
        assert live_children(plane) == {"com.demo", "vision"}
        assert not is_archived(plane, "demo")


async def test_declared_archives_are_limited_to_one_in_ten_minutes(tmp_path: Path) -> None:
    """`archived: true` archives an app. A second one needs approval, because an archive cannot be undone."""
    clock = FastClock(30)
    commit(tmp_path, {"one": {}, "two": {}})
    with plane_at(clock) as plane:
        async with run_controller(tmp_path, plane, clock) as watch:
            await watch.until_in_sync()
            commit(tmp_path, {"one": {"archived": True}, "two": {}})
            await watch.until(lambda: is_archived(plane, "one"))
            commit(tmp_path, {"one": {"archived": True}, "two": {"archived": True}})
            await watch.until(lambda: watch.app("two").state is AppState.BLOCKED)
            (blocked,) = watch.app("two").blocked
            assert (blocked.guard, blocked.override) == ("archives", "--allow-archives 2")
            watch.approve("archives")
            await watch.until(lambda: is_archived(plane, "two"))


async def test_an_archive_waits_for_the_rest_of_its_commit(tmp_path: Path) -> None:
    """While another app's change is rejected nothing is archived, and the app shows why. Afterwards the archive follows."""
    clock = FastClock(30)
    commit(tmp_path, {"aa": {}, "other": {}})
    with plane_at(clock) as plane:
        async with run_controller(tmp_path, plane, clock) as watch:
            await watch.until_in_sync()
            plane.break_with({"operation": "apps.put_slot", "action": "status", "status": 422, "times": None})
            commit(tmp_path, {"aa": {"archived": True}, "other": {"slots": {"chat": "local_first"}}})
            await watch.until(lambda: watch.app("other").state is AppState.REFUSED)
            waits = "all other actions of its change, since an archive can't be undone"
            await watch.until(lambda: watch.app("aa").why_waiting == waits)
            assert watch.app("aa").state is AppState.WAITING
            assert not is_archived(plane, "aa")
            plane.break_with()
            watch.controller.api.reconcile("other")
            await watch.until(lambda: is_archived(plane, "aa"))
            await watch.until_in_sync()


def labelled(slug: str) -> str:
    """Return the manifest of an app with the label of team a."""
    return manifest(slug).replace('"metadata": {', '"metadata": {"labels": {"team": "a"}, ')


NARROWER: dict[str, dict[str, Any]] = {
    "one of two files": {"paths": ("apps/all.yaml",)},
    "another folder": {"paths": ("elsewhere",)},
    "one app": {"apps": ("demo",)},
    "some apps": {"selector": "team=a"},
}


@pytest.mark.parametrize("narrower", NARROWER.values(), ids=NARROWER)
async def test_a_narrower_scope_removes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, narrower: dict[str, Any]
) -> None:
    """What is no longer watched was not removed from Git. Nothing is removed either when all is watched again."""
    monkeypatch.chdir(tmp_path)
    clock = FastClock(60)
    write(tmp_path, manifest())
    write(tmp_path, "\n---\n".join((slot("demo", "vision"), slot("shell", "chat"), labelled("other"))), "more.yaml")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "demo.yaml").write_text(manifest())
    with plane_at(clock) as plane:
        plane.app("shell")
        async with run_controller(tmp_path, plane, clock, paths=("apps",)) as watch:
            await watch.until_in_sync()
        for scope in (narrower, narrower, {"paths": ("apps",)}):
            async with run_controller(tmp_path, plane, clock, **{"paths": ("apps",), **scope}) as watch:
                await watch.until(lambda watch=watch: watch.status.ready)  # type: ignore[misc]
                await check_again(watch)
            assert (live_children(plane), live_children(plane, "shell")) == ({"vision"}, {"chat"})
        assert not is_archived(plane, "other")


async def test_a_narrower_octosync_yaml_removes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Paths that leave octosync.yaml leave the scope of the running controller, and the log reports it."""
    monkeypatch.chdir(tmp_path)
    clock = FastClock(60)
    (tmp_path / "octosync.yaml").write_text("paths: [apps, more]\n")
    write(tmp_path, manifest())
    (tmp_path / "more").mkdir()
    (tmp_path / "more" / "vision.yaml").write_text(slot("demo", "vision"))
    with plane_at(clock) as plane:
        async with run_controller(tmp_path, plane, clock, paths=()) as watch:
            await watch.until_in_sync()
            (tmp_path / "octosync.yaml").write_text("paths: [apps]\n")
            await watch.until(lambda: watch.logged("scope_narrowed"))
            await check_again(watch)
            assert live_children(plane) == {"vision"}


async def test_an_app_that_is_watched_again_is_not_newly_declared(tmp_path: Path) -> None:
    """Its live state may have been changed by hand meanwhile. That is held like drift and not overwritten."""
    clock = FastClock(30)
    commit(tmp_path, {"demo": {}, "other": {"slots": {"chat": "local_first"}}})
    with plane_at(clock) as plane:
        async with run_controller(tmp_path, plane, clock, apps=("demo",)) as watch:
            await watch.until_in_sync()
        plane.app("other", "chat", "vision")
        async with run_controller(tmp_path, plane, clock) as watch:
            await watch.until(lambda: watch.status.ready)
            assert watch.app("other").state is AppState.HELD
            assert live_children(plane, "other") == {"chat", "vision"}
