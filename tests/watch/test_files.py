"""File watching: which changes to manifests, octosync.yaml and the key are reported. Real files, real notifications."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import AsyncGenerator, Callable
from pathlib import Path

import pytest
from tests.support.file_watch import MANIFESTS, TOKEN, ConfigMapMount, GitSyncCheckout, replace_file, until, watch_files
from watchfiles import Change

from octosync.watch.manifests.file_snapshot import FileSnapshot, WatchedPaths, scan
from octosync.watch.settings import SystemClock


@pytest.fixture
def apps(tmp_path: Path) -> Path:
    folder = tmp_path / "apps"
    (folder / "team").mkdir(parents=True)
    (folder / "a.yaml").write_text("a: 1\n")
    (folder / "team/b.yaml").write_text("b: 1\n")
    return folder


def _create(folder: Path) -> None:
    folder.mkdir(parents=True)


def _create_below(apps: Path) -> None:
    (apps / "x/y").mkdir(parents=True)
    (apps / "x/y/c.json").write_text("{}")


_CHANGES: dict[str, Callable[[Path], object]] = {
    "written in place": lambda apps: (apps / "a.yaml").write_text("a: 2\n"),
    "replaced": lambda apps: replace_file(apps / "a.yaml", "a: 2\n"),
    "truncated": lambda apps: os.truncate(apps / "team/b.yaml", 3),
    "created": lambda apps: (apps / "c.yml").write_text("c: 1\n"),
    "created in a new folder": _create_below,
    "deleted": lambda apps: (apps / "a.yaml").unlink(),
    "deleted with its folder": lambda apps: shutil.rmtree(apps / "team"),
    "moved": lambda apps: (apps / "a.yaml").rename(apps / "team/a.yaml"),
    "all deleted": shutil.rmtree,
    "made unreadable": lambda apps: (apps / "a.yaml").chmod(0),
}


@pytest.mark.parametrize("change", _CHANGES.values(), ids=_CHANGES)
async def test_a_change_is_reported(apps: Path, change: Callable[[Path], object]) -> None:
    """Any change to a manifest is reported, and reported once."""
    key = apps.parent / "key"
    async with watch_files(WatchedPaths(paths=(str(apps),), tokens=(str(key),))) as watcher:
        change(apps)
        assert await watcher.next() == MANIFESTS
        key.write_text("k")
        assert await watcher.next() == TOKEN


async def test_unrelated_files_are_not_reported(apps: Path) -> None:
    """Hidden files, editors' leftovers, the folders of Git and octosync, and files of other types are not reported."""
    key = apps.parent / "key"
    async with watch_files(WatchedPaths(paths=(str(apps),), tokens=(str(key),))) as watcher:
        for name in (".a.yaml.swp", "a.yaml~", "#a.yaml#", "README.md", "kustomization.yaml", ".hidden.yaml"):
            (apps / name).write_text("x")
        for name in (".git", ".octosync", "empty"):
            (apps / name).mkdir()
        (apps / ".git/index.yaml").write_text("x")
        (apps / ".octosync/state.db").write_text("x")
        (apps.parent / "beside.yaml").write_text("x")
        key.write_text("k")
        assert await watcher.next() == TOKEN


async def test_a_recreated_folder_is_watched_again(apps: Path) -> None:
    """A folder that is deleted and recreated, or missing at first, is watched as soon as it exists."""
    later = apps.parent / "not/yet"
    async with watch_files(WatchedPaths(paths=(str(apps), str(later)))) as watcher:
        for _ in range(2):
            shutil.rmtree(apps)
            assert await watcher.next() == MANIFESTS
            _create(apps)
            assert await watcher.next() == MANIFESTS
            (apps / "a.yaml").write_text("a: 1\n")
            assert await watcher.next() == MANIFESTS
        _create(later)
        assert await watcher.next() == MANIFESTS
        (later / "d.yaml").write_text("d: 1\n")
        assert await watcher.next() == MANIFESTS


async def test_a_burst_is_one_change(apps: Path) -> None:
    """Many files that are written together are reported as one change."""
    key = apps.parent / "key"
    async with watch_files(WatchedPaths(paths=(str(apps),), tokens=(str(key),))) as watcher:
        for number in range(200):
            (apps / f"{number}.yaml").write_text("x: 1\n")
        assert await watcher.next() == MANIFESTS
        key.write_text("k")
        assert await watcher.next() == TOKEN


async def test_a_file_that_keeps_changing_is_reported(apps: Path) -> None:
    """Continuous changes are reported while they continue."""
    async with watch_files(WatchedPaths(paths=(str(apps),))) as watcher:

        async def keep_writing() -> None:
            with (apps / "a.yaml").open("a") as file:
                while True:
                    file.write("# more\n")
                    file.flush()
                    await asyncio.sleep(0.001)

        writing = asyncio.create_task(keep_writing())
        try:
            assert await watcher.next() == MANIFESTS
        finally:
            writing.cancel()


async def test_a_mounted_config_map_and_secret(tmp_path: Path) -> None:
    """Each update of a ConfigMap by the kubelet is reported as manifests, and each update of a Secret as the key."""
    manifests, secret = ConfigMapMount(tmp_path / "manifests"), ConfigMapMount(tmp_path / "secrets")
    manifests.update({"a.yaml": "a: 1\n"})
    secret.update({"api-key": "one"})
    watched = WatchedPaths(paths=(str(manifests.directory),), tokens=(str(secret.directory / "api-key"),))
    async with watch_files(watched) as watcher:
        for number in range(3):
            manifests.update({"a.yaml": f"a: 1{number}\n"})
            assert await watcher.next() == MANIFESTS
            secret.update({"api-key": f"two{number}"})
            assert await watcher.next() == TOKEN
        manifests.update({"b.yaml": "b: 1\n"})
        assert await watcher.next() == MANIFESTS


async def test_a_git_sync_swap(tmp_path: Path) -> None:
    """A commit that git-sync checks out is reported, although the path contains a link. So are later changes in it."""
    synced, key = GitSyncCheckout(tmp_path / "git"), tmp_path / "key"
    synced.checkout("one", {"apps/a.yaml": "a: 1\n"})
    async with watch_files(WatchedPaths(paths=(str(synced.current / "apps"),), tokens=(str(key),))) as watcher:
        for commit in ("two", "three"):
            synced.checkout(commit, {"apps/a.yaml": "a: 1\n"})
            assert await watcher.next() == MANIFESTS
        (synced.current / "apps/b.yaml").write_text("b: 1\n")
        assert await watcher.next() == MANIFESTS
        (synced.current / "README.md").write_text("not a manifest\n")
        key.write_text("k")
        assert await watcher.next() == TOKEN


async def test_links_to_files_and_folders_elsewhere(apps: Path) -> None:
    """Link targets elsewhere in the work tree are watched where they are, through several links."""
    (apps.parent / ".git").mkdir()
    elsewhere = apps.parent / "elsewhere"
    (elsewhere / "folder").mkdir(parents=True)
    (elsewhere / "file").write_text("x: 1\n")
    (elsewhere / "hop").symlink_to("file")
    (apps / "linked.yaml").symlink_to(elsewhere / "hop")
    (apps / "folder").symlink_to(elsewhere / "folder")
    (apps / "loop").symlink_to(".")
    (apps / "round.yaml").symlink_to("round.yaml")
    async with watch_files(WatchedPaths(paths=(str(apps),))) as watcher:
        (elsewhere / "file").write_text("x: 2\n")
        assert await watcher.next() == MANIFESTS
        (elsewhere / "folder/y.yaml").write_text("y: 1\n")
        assert await watcher.next() == MANIFESTS
        (elsewhere / "hop").unlink()
        assert await watcher.next() == MANIFESTS


async def test_a_kustomization_and_its_references(tmp_path: Path) -> None:
    """Every file of a kustomization counts, and every file that it refers to, wherever that is, and no others."""
    overlay, base, key = tmp_path / "overlays/production", tmp_path / "base", tmp_path / "key"
    overlay.mkdir(parents=True)
    base.mkdir()
    (base / "kustomization.yaml").write_text("resources: [app.yaml]\n")
    (tmp_path / "common.env").write_text("A=1\n")
    (overlay / "kustomization.yaml").write_text(
        "resources: [../../base]\nconfigMapGenerator:\n  - {name: x, files: ['env=../../common.env']}\n"
    )
    async with watch_files(WatchedPaths(kustomizations=(str(overlay),), tokens=(str(key),))) as watcher:
        for path in (overlay / "patch.txt", base / "app.yaml", tmp_path / "common.env"):
            path.write_text("B: 2\n")
            assert await watcher.next() == MANIFESTS
        (overlay / "kustomization.yaml").write_text("resources: [../../other]\n")
        assert await watcher.next() == MANIFESTS
        (tmp_path / "other").mkdir()
        (tmp_path / "other/app.yaml").write_text("x: 1\n")
        assert await watcher.next() == MANIFESTS
        (tmp_path / "unrelated.yaml").write_text("x: 1\n")
        (base / "app.yaml").write_text("no longer referred to: 1\n")
        key.write_text("k")
        assert await watcher.next() == TOKEN


async def test_octosync_yaml_that_does_not_exist_yet(tmp_path: Path) -> None:
    """octosync.yaml counts as soon as it exists in one of its places, and whenever it changes."""
    places = (tmp_path / "here/octosync.yaml", tmp_path / "octosync.yaml")
    (tmp_path / "here").mkdir()
    async with watch_files(WatchedPaths(configuration=tuple(map(str, places)))) as watcher:
        for place in reversed(places):
            place.write_text("paths: [apps]\n")
            assert await watcher.next() == MANIFESTS
            replace_file(place, "paths: [other]\n")
            assert await watcher.next() == MANIFESTS


async def test_the_watched_paths_may_change(apps: Path) -> None:
    """The paths to watch are requested again after every change."""
    paths = [str(apps / "a.yaml")]
    async with watch_files(lambda: WatchedPaths(paths=tuple(paths))) as watcher:
        paths.append(str(apps.parent / "more"))
        (apps / "a.yaml").write_text("a: 2\n")
        assert await watcher.next() == MANIFESTS
        (apps.parent / "more").mkdir()
        assert await watcher.next() == MANIFESTS


async def test_a_change_before_the_watch_is_reported(apps: Path) -> None:
    """A change between a load and the start of the watch is reported, because the snapshot of the load differs."""
    watched = WatchedPaths(paths=(str(apps),))
    loaded = scan(watched).snapshot
    (apps / "a.yaml").write_text("a: 2\n")
    async with watch_files(watched, since=loaded) as watcher:
        assert await watcher.next() == MANIFESTS


async def _no_events(*_: object, **options: object) -> AsyncGenerator[set[tuple[Change, str]], None]:
    """Yield no event, as on a network file system whose files are written elsewhere."""
    stop = options["stop_event"]
    assert isinstance(stop, asyncio.Event)
    await stop.wait()
    if not stop.is_set():
        yield set()


async def _no_watches(*_: object, **__: object) -> AsyncGenerator[set[tuple[Change, str]], None]:
    """Fail as the system does when its limits are reached."""
    raise OSError(28, "OS file watch limit reached")
    yield set()


async def test_without_events_files_are_polled(apps: Path) -> None:
    """A change without an event is found by polling."""
    async with watch_files(WatchedPaths(paths=(str(apps),)), every=0.01, events=_no_events) as watcher:
        (apps / "a.yaml").write_text("a: 2\n")
        assert await watcher.next() == MANIFESTS
        assert watcher.warnings == []


async def test_without_watches_files_are_polled_with_one_warning(apps: Path) -> None:
    """If the system cannot watch files, changes are found by frequent polling, and one warning reports that."""
    async with watch_files(WatchedPaths(paths=(str(apps),)), events=_no_watches) as watcher:
        for number in range(2):
            (apps / "a.yaml").write_text(f"a: 2{number}\n")
            assert await watcher.next() == MANIFESTS
        assert len(watcher.warnings) == 1
        assert "limit reached" in watcher.warnings[0]


_PROGRAM = """
import asyncio, contextlib, sys
from pathlib import Path
from octosync.watch.settings import SystemClock
from octosync.watch.manifests.file_watcher import file_changes
from octosync.watch.manifests.file_snapshot import WatchedPaths, scan

async def main(folder):
    watched = WatchedPaths(paths=(folder,))
    seen, stop, warnings = scan(watched).snapshot, asyncio.Event(), []
    Path(folder, "a.yaml").write_text("a: 2")
    yielded = file_changes(lambda: watched, stop=stop, clock=SystemClock(), warn=warnings.append, since=seen)
    async with contextlib.aclosing(yielded):
        async for changed in yielded:
            print([change.value for change in changed], len(warnings), *warnings)
            stop.set()

asyncio.run(main(sys.argv[1]))
"""
_LIMITS = ("max_inotify_watches", "max_inotify_instances")


def _limited(limit: str, *command: str) -> list[str]:
    """Return a command that runs in its own namespace, with this limit set to 0."""
    return ["unshare", "-Ur", "sh", "-c", f'echo 0 > /proc/sys/user/{limit} && exec "$@"', "sh", *command]


def _can_be_limited() -> bool:
    try:
        return all(
            subprocess.run(_limited(limit, "true"), capture_output=True, check=False).returncode == 0
            for limit in _LIMITS
        )
    except OSError:
        return False


@pytest.mark.skipif(not _can_be_limited(), reason="no user namespaces here")
@pytest.mark.parametrize("limit", _LIMITS)
def test_at_the_limits_of_the_system(apps: Path, limit: str) -> None:
    """When a limit of the system is reached, changes are still reported, and one warning names the limits."""
    process = subprocess.run(
        _limited(limit, sys.executable, "-c", _PROGRAM, str(apps)),
        capture_output=True,
        check=True,
        text=True,
        timeout=60,
    )
    assert process.stdout.startswith("['manifests'] 1 the system does not report file changes (")
    assert "fs.inotify.max_user_watches" in process.stdout


def _open_descriptors() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


async def test_a_stop_leaves_nothing_behind(apps: Path) -> None:
    """After the stop no task, no descriptor and no thread of ours is left."""
    before, descriptors = asyncio.all_tasks(), _open_descriptors()
    async with watch_files(WatchedPaths(paths=(str(apps),))) as watcher:
        for number in range(5):
            (apps / f"{number}.yaml").write_text("a: 2\n")
            assert await watcher.next() == MANIFESTS
    assert asyncio.all_tasks() == before
    # A thread of the system closes its descriptors, some time later.
    await until(lambda: _open_descriptors() <= descriptors)
    await until(lambda: not [thread for thread in threading.enumerate() if "notify" in thread.name])


class _StoppedClock(SystemClock):
    """A clock that does not move: every wait lasts forever."""

    async def sleep(self, seconds: float) -> None:
        assert seconds > 0
        await asyncio.Event().wait()


async def test_it_stops_while_files_settle(apps: Path) -> None:
    """A stop does not wait until the files settle."""
    changed = FileSnapshot()  # as if all files had just been written
    async with watch_files(WatchedPaths(paths=(str(apps),)), since=changed, clock=_StoppedClock()) as watcher:
        watcher.stop.set()
