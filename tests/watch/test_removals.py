"""What leaves the manifests: removed where it was edited out, once it is sure where a document is gone, and never by mistake."""

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


def there(plane: Plane, slug: str = "demo") -> set[str]:
    """Name what an app has: capabilities and identifiers."""
    slots = plane.send("GET", f"/apps/{slug}/slots")["slots"]
    targets = plane.send("GET", f"/apps/{slug}/targets")["targets"]
    return {one["capability"] for one in slots} | {one["identifier"] for one in targets}


def is_archived(plane: Plane, slug: str) -> bool:
    """Say whether an app is archived."""
    return plane.send("GET", f"/apps/{slug}")["archived_at"] is not None


def slot(slug: str, capability: str) -> str:
    """Return a slot's own document."""
    return child("CapabilitySlot", slug, capability, capability=capability, servingPolicy="local_first")


async def again(watch: RunningController, times: int = 1) -> None:
    """Wait for full reads."""
    for _ in range(times):
        read = watch.status.full_read_at
        watch.controller.api.reconcile(None)
        await watch.until(lambda read=read: watch.status.full_read_at != read)  # type: ignore[misc]


ROUTES = {"a": "local", "b": "cloud"}
HALVES: dict[str, dict[str, Any]] = {
    "a target": {"targets": ("com.one",)},
    "a slot": {"slots": {"chat": "local_first"}},
    "a key of the inference config": {"inferenceConfig": {"routes": {"a": "local"}}},
    "a field": {"description": None},
}


def whole(**half: Any) -> dict[str, Any]:
    """Declare an app, but for what a half-written file lacks."""
    spec: dict[str, Any] = {
        "description": "Whole",
        "targets": ("com.one", "com.two"),
        "slots": {"chat": "local_first", "vision": "local_first"},
        "inferenceConfig": {"routes": ROUTES},
        **half,
    }
    return {"demo": {name: value for name, value in spec.items() if value is not None}}


@pytest.mark.parametrize("half", HALVES.values(), ids=HALVES)
async def test_a_half_written_file_takes_nothing_away(tmp_path: Path, half: dict[str, Any]) -> None:
    """What it lacks is not removed while it may still come, and what else has changed is applied at once."""
    clock = FastClock(30)
    commit(tmp_path, whole())
    with plane_at(clock) as plane:
        async with run_controller(tmp_path, plane, clock, policy=policy_of(max_deletes=0)) as watch:
            await watch.until_in_sync()
            before = plane.send("GET", "/apps/demo/targets"), plane.send("GET", "/apps/demo/slots")
            watch.requests()
            commit(tmp_path, whole(**half) | {"other": {}})
            await watch.until(lambda: "second check" in watch.app().why_waiting)
            await watch.until(lambda: watch.app("other").state is AppState.IN_SYNC)
            commit(tmp_path, whole() | {"other": {}})
            await watch.until_in_sync()
            loaded = clock.now()
            await watch.until(lambda: clock.now() - loaded > 2 * INTERVAL)
            assert (plane.send("GET", "/apps/demo/targets"), plane.send("GET", "/apps/demo/slots")) == before
            assert not any(line.startswith(("DELETE", "PUT", "PATCH")) for line in watch.requests())
            assert watch.recorder.of_event(NotifyEvent.BLOCKED) == []


async def test_what_is_edited_out_goes_after_a_second_look(tmp_path: Path) -> None:
    """A list that is shorter than it was counts once its files are unchanged for an interval, after a restart as well."""
    clock = FastClock(30)
    commit(tmp_path, {"demo": {"targets": ("com.one", "com.two", "com.three")}})
    with plane_at(clock) as plane:
        async with run_controller(tmp_path, plane, clock) as watch:
            await watch.until_in_sync()
            commit(tmp_path, {"demo": {"targets": ("com.two", "com.three")}})
            edited = clock.now()
            await watch.until(lambda: there(plane) == {"com.two", "com.three"})
            assert clock.now() - edited >= INTERVAL
        commit(tmp_path, {"demo": {"targets": ("com.two",)}})
        edited = clock.now()
        async with run_controller(tmp_path, plane, clock) as watch:
            await watch.until(lambda: there(plane) == {"com.two"})
            assert clock.now() - edited >= INTERVAL


async def test_what_vanishes_with_its_document_goes_after_a_second_look(tmp_path: Path) -> None:
    """Until an interval has passed it only waits, and says so; then it is removed."""
    clock = FastClock(30)
    write(tmp_path, manifest())
    write(tmp_path, slot("demo", "vision"), "vision.yaml")
    with plane_at(clock) as plane:
        async with run_controller(tmp_path, plane, clock) as watch:
            await watch.until_in_sync()
            (watch.apps / "vision.yaml").unlink()
            gone = clock.now()
            await watch.until(lambda: "second check" in watch.app().why_waiting)
            assert there(plane) == {"vision"}
            await watch.until(lambda: not there(plane))
            assert clock.now() - gone >= INTERVAL


async def test_what_is_back_before_the_second_look_never_went(tmp_path: Path) -> None:
    """A file that is gone for a moment, over a checkout, removes nothing, however long one waits."""
    clock = FastClock(60)
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
            loaded = clock.now()
            await watch.until(lambda: clock.now() - loaded > 2 * INTERVAL)
            assert there(plane) == {"vision"}
            assert not any(line.startswith(("DELETE", "PUT")) for line in watch.requests())


async def test_an_app_that_vanishes_is_an_orphan(tmp_path: Path) -> None:
    """It is logged once and listed, neither archived nor emptied, even where its files go one by one; over a restart, too."""
    clock = FastClock(30)
    write(tmp_path, manifest(targets=("com.demo",)))
    write(tmp_path, slot("demo", "vision"), "vision.yaml")
    with plane_at(clock) as plane:
        async with run_controller(tmp_path, plane, clock) as watch:
            await watch.until_in_sync()
            (watch.apps / "all.yaml").unlink()
            await watch.until(lambda: watch.status.files == 1)
            await again(watch)
            (watch.apps / "vision.yaml").unlink()
            await watch.until(lambda: watch.app().state is AppState.ORPHANED)
            since = clock.now()
            await watch.until(lambda: clock.now() - since > 2 * INTERVAL)
            said = [line for line in watch.logged("app_moved") if "orphaned" in line["@message"]]
            assert [(line["app"], line["was"]) for line in said] == [("demo", "in_sync")]
        async with run_controller(tmp_path, plane, clock) as watch:
            since = clock.now()
            await watch.until(lambda: watch.status.ready and clock.now() - since > 2 * INTERVAL)
            assert watch.app().state is AppState.ORPHANED
        assert there(plane) == {"com.demo", "vision"}
        assert not is_archived(plane, "demo")


async def test_apps_are_archived_where_that_is_declared_one_in_ten_minutes(tmp_path: Path) -> None:
    """`archived: true` archives; of two in a row the second waits to be allowed, and there is no way back."""
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


async def test_an_archive_waits_for_all_else_of_its_commit(tmp_path: Path) -> None:
    """While another app's change is refused nothing is archived, and the app says why; done, the archive follows by itself."""
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
    """Return the manifest of an app of team a."""
    return manifest(slug).replace('"metadata": {', '"metadata": {"labels": {"team": "a"}, ')


NARROWER: dict[str, dict[str, Any]] = {
    "one of two files": {"paths": ("apps/all.yaml",)},
    "another folder": {"paths": ("elsewhere",)},
    "one app": {"apps": ("demo",)},
    "some apps": {"selector": "team=a"},
}


@pytest.mark.parametrize("narrower", NARROWER.values(), ids=NARROWER)
async def test_watching_less_removes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, narrower: dict[str, Any]
) -> None:
    """What is not watched any more was not taken out of Git; nor is it when all is watched again, or apps are drifted."""
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
        for once in (narrower, narrower, {"paths": ("apps",)}):
            async with run_controller(tmp_path, plane, clock, **{"paths": ("apps",), **once}) as watch:
                since = clock.now()
                await watch.until(lambda since=since: clock.now() - since > 2 * INTERVAL)  # type: ignore[misc]
                await again(watch)
            assert (there(plane), there(plane, "shell")) == ({"vision"}, {"chat"})
        assert not is_archived(plane, "other")


async def test_a_narrower_octosync_yaml_removes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Paths that octosync.yaml names no more are out of sight from then on, while the controller runs; the log says so."""
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
            since = clock.now()
            await watch.until(lambda: clock.now() - since > 2 * INTERVAL)
            await again(watch)
            assert there(plane) == {"vision"}


async def test_what_is_watched_anew_is_not_newly_declared(tmp_path: Path) -> None:
    """An app that was out of sight may have been changed by somebody: that is held like drift, and not written over."""
    clock = FastClock(30)
    commit(tmp_path, {"demo": {}, "other": {"slots": {"chat": "local_first"}}})
    with plane_at(clock) as plane:
        async with run_controller(tmp_path, plane, clock, apps=("demo",)) as watch:
            await watch.until_in_sync()
        plane.app("other", "chat", "vision")
        async with run_controller(tmp_path, plane, clock) as watch:
            await watch.until(lambda: watch.status.ready)
            assert watch.app("other").state is AppState.HELD
            assert there(plane, "other") == {"chat", "vision"}
