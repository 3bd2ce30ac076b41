"""Files: when a change of manifests, octosync.yaml or the key is told, and when nothing is. Real files, real notices."""

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


def _made(folder: Path) -> None:
    folder.mkdir(parents=True)


def _made_below(apps: Path) -> None:
    (apps / "x/y").mkdir(parents=True)
    (apps / "x/y/c.json").write_text("{}")


_CHANGES: dict[str, Callable[[Path], object]] = {
    "written in place": lambda apps: (apps / "a.yaml").write_text("a: 2\n"),
    "written over": lambda apps: replace_file(apps / "a.yaml", "a: 2\n"),
    "cut off": lambda apps: os.truncate(apps / "team/b.yaml", 3),
    "made": lambda apps: (apps / "c.yml").write_text("c: 1\n"),
    "made in a new folder": _made_below,
    "deleted": lambda apps: (apps / "a.yaml").unlink(),
    "deleted with its folder": lambda apps: shutil.rmtree(apps / "team"),
    "moved": lambda apps: (apps / "a.yaml").rename(apps / "team/a.yaml"),
    "all deleted": shutil.rmtree,
    "made unreadable": lambda apps: (apps / "a.yaml").chmod(0),
}


@pytest.mark.parametrize("change", _CHANGES.values(), ids=_CHANGES)
async def test_a_change_is_told(apps: Path, change: Callable[[Path], object]) -> None:
    """Whatever happens to a manifest is told, and told once."""
    key = apps.parent / "key"
    async with watch_files(WatchedPaths(paths=(str(apps),), tokens=(str(key),))) as news:
        change(apps)
        assert await news.next() == MANIFESTS
        key.write_text("k")
        assert await news.next() == TOKEN


async def test_what_does_not_matter_is_no_reason(apps: Path) -> None:
    """Hidden files, what editors leave, Git's and octosync's own folders, and files of other kinds are not told."""
    key = apps.parent / "key"
    async with watch_files(WatchedPaths(paths=(str(apps),), tokens=(str(key),))) as news:
        for name in (".a.yaml.swp", "a.yaml~", "#a.yaml#", "README.md", "kustomization.yaml", ".hidden.yaml"):
            (apps / name).write_text("x")
        for name in (".git", ".octosync", "empty"):
            (apps / name).mkdir()
        (apps / ".git/index.yaml").write_text("x")
        (apps / ".octosync/state.db").write_text("x")
        (apps.parent / "beside.yaml").write_text("x")
        key.write_text("k")
        assert await news.next() == TOKEN


async def test_a_folder_that_comes_back_is_watched_again(apps: Path) -> None:
    """A folder that is deleted and made again, or not there at first, is watched as soon as it is there."""
    later = apps.parent / "not/yet"
    async with watch_files(WatchedPaths(paths=(str(apps), str(later)))) as news:
        for _ in range(2):
            shutil.rmtree(apps)
            assert await news.next() == MANIFESTS
            _made(apps)
            assert await news.next() == MANIFESTS
            (apps / "a.yaml").write_text("a: 1\n")
            assert await news.next() == MANIFESTS
        _made(later)
        assert await news.next() == MANIFESTS
        (later / "d.yaml").write_text("d: 1\n")
        assert await news.next() == MANIFESTS


async def test_a_burst_is_one_change(apps: Path) -> None:
    """Many files that are written together are one change."""
    key = apps.parent / "key"
    async with watch_files(WatchedPaths(paths=(str(apps),), tokens=(str(key),))) as news:
        for n in range(200):
            (apps / f"{n}.yaml").write_text("x: 1\n")
        assert await news.next() == MANIFESTS
        key.write_text("k")
        assert await news.next() == TOKEN


async def test_a_file_that_never_rests_is_told_all_the_same(apps: Path) -> None:
    """Changes that go on and on are told while they do."""
    async with watch_files(WatchedPaths(paths=(str(apps),))) as news:

        async def scribble() -> None:
            with (apps / "a.yaml").open("a") as file:
                while True:
                    file.write("# more\n")
                    file.flush()
                    await asyncio.sleep(0.001)

        scribbling = asyncio.create_task(scribble())
        try:
            assert await news.next() == MANIFESTS
        finally:
            scribbling.cancel()


async def test_a_mounted_config_map_and_secret(tmp_path: Path) -> None:
    """The kubelet's update of a ConfigMap is told, and that of a Secret as the key's, each time."""
    manifests, secret = ConfigMapMount(tmp_path / "manifests"), ConfigMapMount(tmp_path / "secrets")
    manifests.update({"a.yaml": "a: 1\n"})
    secret.update({"api-key": "one"})
    watched = WatchedPaths(paths=(str(manifests.directory),), tokens=(str(secret.directory / "api-key"),))
    async with watch_files(watched) as news:
        for n in range(3):
            manifests.update({"a.yaml": f"a: 1{n}\n"})
            assert await news.next() == MANIFESTS
            secret.update({"api-key": f"two{n}"})
            assert await news.next() == TOKEN
        manifests.update({"b.yaml": "b: 1\n"})
        assert await news.next() == MANIFESTS


async def test_a_git_sync_swap(tmp_path: Path) -> None:
    """A commit that git-sync checks out is told, though the path leads through a link, and what then changes in it, too."""
    synced, key = GitSyncCheckout(tmp_path / "git"), tmp_path / "key"
    synced.checkout("one", {"apps/a.yaml": "a: 1\n"})
    async with watch_files(WatchedPaths(paths=(str(synced.current / "apps"),), tokens=(str(key),))) as news:
        for commit in ("two", "three"):
            synced.checkout(commit, {"apps/a.yaml": "a: 1\n"})
            assert await news.next() == MANIFESTS
        (synced.current / "apps/b.yaml").write_text("b: 1\n")
        assert await news.next() == MANIFESTS
        (synced.current / "README.md").write_text("not a manifest\n")
        key.write_text("k")
        assert await news.next() == TOKEN


async def test_links_to_files_and_folders_elsewhere(apps: Path) -> None:
    """What links in the folder lead to in its work tree is watched where it is, over several links."""
    (apps.parent / ".git").mkdir()
    elsewhere = apps.parent / "elsewhere"
    (elsewhere / "folder").mkdir(parents=True)
    (elsewhere / "file").write_text("x: 1\n")
    (elsewhere / "hop").symlink_to("file")
    (apps / "linked.yaml").symlink_to(elsewhere / "hop")
    (apps / "folder").symlink_to(elsewhere / "folder")
    (apps / "loop").symlink_to(".")
    (apps / "round.yaml").symlink_to("round.yaml")
    async with watch_files(WatchedPaths(paths=(str(apps),))) as news:
        (elsewhere / "file").write_text("x: 2\n")
        assert await news.next() == MANIFESTS
        (elsewhere / "folder/y.yaml").write_text("y: 1\n")
        assert await news.next() == MANIFESTS
        (elsewhere / "hop").unlink()
        assert await news.next() == MANIFESTS


async def test_a_kustomization_and_what_it_refers_to(tmp_path: Path) -> None:
    """Every file of a kustomization counts, and every one that it refers to, wherever that is; and no others."""
    overlay, base, key = tmp_path / "overlays/production", tmp_path / "base", tmp_path / "key"
    overlay.mkdir(parents=True)
    base.mkdir()
    (base / "kustomization.yaml").write_text("resources: [app.yaml]\n")
    (tmp_path / "common.env").write_text("A=1\n")
    (overlay / "kustomization.yaml").write_text(
        "resources: [../../base]\nconfigMapGenerator:\n  - {name: x, files: ['env=../../common.env']}\n"
    )
    async with watch_files(WatchedPaths(kustomizations=(str(overlay),), tokens=(str(key),))) as news:
        for path in (overlay / "patch.txt", base / "app.yaml", tmp_path / "common.env"):
            path.write_text("B: 2\n")
            assert await news.next() == MANIFESTS
        (overlay / "kustomization.yaml").write_text("resources: [../../other]\n")
        assert await news.next() == MANIFESTS
        (tmp_path / "other").mkdir()
        (tmp_path / "other/app.yaml").write_text("x: 1\n")
        assert await news.next() == MANIFESTS
        (tmp_path / "unrelated.yaml").write_text("x: 1\n")
        (base / "app.yaml").write_text("no longer referred to: 1\n")
        key.write_text("k")
        assert await news.next() == TOKEN


async def test_octosync_yaml_that_is_not_there_yet(tmp_path: Path) -> None:
    """octosync.yaml counts as soon as it is where it is looked for, and as it changes."""
    places = (tmp_path / "here/octosync.yaml", tmp_path / "octosync.yaml")
    (tmp_path / "here").mkdir()
    async with watch_files(WatchedPaths(configuration=tuple(map(str, places)))) as news:
        for place in reversed(places):
            place.write_text("paths: [apps]\n")
            assert await news.next() == MANIFESTS
            replace_file(place, "paths: [other]\n")
            assert await news.next() == MANIFESTS


async def test_other_paths_are_watched_as_soon_as_they_are_asked_for(apps: Path) -> None:
    """What is watched is asked for again at every look."""
    paths = [str(apps / "a.yaml")]
    async with watch_files(lambda: WatchedPaths(paths=tuple(paths))) as news:
        paths.append(str(apps.parent / "more"))
        (apps / "a.yaml").write_text("a: 2\n")
        assert await news.next() == MANIFESTS
        (apps.parent / "more").mkdir()
        assert await news.next() == MANIFESTS


async def test_what_happened_before_watching_began(apps: Path) -> None:
    """A change between a load and the beginning is told: the fingerprint of the load says so."""
    watched = WatchedPaths(paths=(str(apps),))
    loaded = scan(watched).snapshot
    (apps / "a.yaml").write_text("a: 2\n")
    async with watch_files(watched, since=loaded) as news:
        assert await news.next() == MANIFESTS


async def _nothing_heard(*_: object, **options: object) -> AsyncGenerator[set[tuple[Change, str]], None]:
    """Listen as a network file system does, which tells nothing of what others write."""
    stop = options["stop_event"]
    assert isinstance(stop, asyncio.Event)
    await stop.wait()
    if not stop.is_set():
        yield set()


async def _no_listening(*_: object, **__: object) -> AsyncGenerator[set[tuple[Change, str]], None]:
    """Fail as the system does when its limits are reached."""
    raise OSError(28, "OS file watch limit reached")
    yield set()


async def test_without_any_event_files_are_looked_at_now_and_then(apps: Path) -> None:
    """A change that the system tells nothing of is found by looking."""
    async with watch_files(WatchedPaths(paths=(str(apps),)), every=0.01, events=_nothing_heard) as news:
        (apps / "a.yaml").write_text("a: 2\n")
        assert await news.next() == MANIFESTS
        assert news.warnings == []


async def test_without_notices_files_are_looked_at_and_it_is_said_once(apps: Path) -> None:
    """Where the system can't listen, changes are found by looking often, and one warning says so."""
    async with watch_files(WatchedPaths(paths=(str(apps),)), events=_no_listening) as news:
        for n in range(2):
            (apps / "a.yaml").write_text(f"a: 2{n}\n")
            assert await news.next() == MANIFESTS
        assert len(news.warnings) == 1
        assert "limit reached" in news.warnings[0]


_WATCHES = """
import asyncio, contextlib, sys
from pathlib import Path
from octosync.watch.settings import SystemClock
from octosync.watch.manifests.files import file_changes
from octosync.watch.manifests.file_snapshot import WatchedPaths, scan

async def main(folder):
    watched = WatchedPaths(paths=(folder,))
    seen, stop, warnings = scan(watched).snapshot, asyncio.Event(), []
    Path(folder, "a.yaml").write_text("a: 2")
    yielded = file_changes(lambda: watched, stop=stop, clock=SystemClock(), warn=warnings.append, since=seen)
    async with contextlib.aclosing(yielded):
        async for changed in yielded:
            print([one.value for one in changed], len(warnings), *warnings)
            stop.set()

asyncio.run(main(sys.argv[1]))
"""
_LIMITS = ("max_inotify_watches", "max_inotify_instances")


def _limited(limit: str, *command: str) -> list[str]:
    """Return a command that runs in a namespace of its own, in which nothing more of a kind is allowed."""
    return ["unshare", "-Ur", "sh", "-c", f'echo 0 > /proc/sys/user/{limit} && exec "$@"', "sh", *command]


def _can_be_limited() -> bool:
    try:
        return all(
            subprocess.run(_limited(one, "true"), capture_output=True, check=False).returncode == 0 for one in _LIMITS
        )
    except OSError:
        return False


@pytest.mark.skipif(not _can_be_limited(), reason="no user namespaces here")
@pytest.mark.parametrize("limit", _LIMITS)
def test_at_the_systems_limits(apps: Path, limit: str) -> None:
    """Where the system's limits for listening are reached, changes are told all the same, and one warning names the limits."""
    ran = subprocess.run(
        _limited(limit, sys.executable, "-c", _WATCHES, str(apps)),
        capture_output=True,
        check=True,
        text=True,
        timeout=60,
    )
    assert ran.stdout.startswith("['manifests'] 1 the system does not report file changes (")
    assert "fs.inotify.max_user_watches" in ran.stdout


def _open() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


async def test_nothing_is_left_when_it_stops(apps: Path) -> None:
    """After the stop no task is left, and no descriptor and no thread of ours."""
    before, descriptors = asyncio.all_tasks(), _open()
    async with watch_files(WatchedPaths(paths=(str(apps),))) as news:
        for n in range(5):
            (apps / f"{n}.yaml").write_text("a: 2\n")
            assert await news.next() == MANIFESTS
    assert asyncio.all_tasks() == before
    # The system's own thread closes its descriptors when it comes to it.
    await until(lambda: _open() <= descriptors)
    await until(lambda: not [one for one in threading.enumerate() if "notify" in one.name])


class _Standstill(SystemClock):
    """A clock whose time stands still: what waits waits for ever."""

    async def sleep(self, seconds: float) -> None:
        assert seconds > 0
        await asyncio.Event().wait()


async def test_it_stops_while_it_waits_for_rest(apps: Path) -> None:
    """A stop does not wait until files come to rest."""
    changed = FileSnapshot()  # as if everything had just been written
    async with watch_files(WatchedPaths(paths=(str(apps),)), since=changed, clock=_Standstill()) as news:
        news.stop.set()
