"""The desired state: which manifests are in use after loads that succeed and fail, and what has changed."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from tests.support.file_watch import LONG, MANIFESTS, GitSyncCheckout, relink, replace_file, watch_files
from tests.support.manifests import NOW, app
from tests.support.repositories import Repo

from octosync.errors import ConfigError, OctosyncError
from octosync.manifest import Cache, Configuration, load_manifests
from octosync.manifest.load.limits import LoadDeadline, check_deadline, load_deadline
from octosync.manifest.schema.rules import Findings
from octosync.manifest.yaml.loader import parse
from octosync.watch.manifests.desired import DesiredState, LoadDifference, ManifestLoad
from octosync.watch.manifests.file_snapshot import WatchedPaths, snapshot


@dataclass
class _ManualClock:
    """A clock that is set by hand: a wait takes one cycle of the event loop. `meanwhile` is called in the first wait."""

    time: float = 0.0
    meanwhile: Callable[[], object] = lambda: None

    def now(self) -> datetime:
        return NOW + timedelta(seconds=self.time)

    def monotonic(self) -> float:
        return self.time

    async def sleep(self, seconds: float) -> None:
        self.time += seconds
        self.meanwhile()
        self.meanwhile = lambda: None
        await asyncio.sleep(0)


@dataclass
class _Loader:
    """Loads folders of manifests. `before_load` is called once before the next load, `after_load` once after it."""

    paths: tuple[Path, ...]
    configuration: Configuration = field(default_factory=Configuration)
    clock: _ManualClock = field(default_factory=_ManualClock)
    loads: int = 0
    before_load: Callable[[], object] | None = None
    after_load: Callable[[], object] | None = None

    @property
    def watched(self) -> WatchedPaths:
        return WatchedPaths(paths=tuple(map(str, self.paths)))

    @property
    def desired(self) -> DesiredState:
        return DesiredState(self.gather, self.watched, self.clock)

    def gather(self, cache: Cache) -> ManifestLoad:
        self.loads += 1
        before_load, self.before_load = self.before_load, None
        if before_load is not None:
            before_load()
        found = load_manifests(list(map(str, self.paths)), configuration=self.configuration, now=NOW, cache=cache)
        after_load, self.after_load = self.after_load, None
        if after_load is not None:
            after_load()
        return ManifestLoad(
            configuration=self.configuration,
            manifests=found,
            diagnostics=found.diagnostics,
            fails=found.has_errors,
            watched=self.watched,
        )


def _loader(folder: Path, **apps: str) -> _Loader:
    folder.mkdir(exist_ok=True)
    for name, text in apps.items():
        (folder / f"{name}.yaml").write_text(text)
    return _Loader((folder,))


def _result(difference: LoadDifference) -> tuple[bool, set[str]]:
    """Return whether the load failed, and the apps that it changes."""
    return difference.declared.fails, set(difference.changed)


async def test_changes_between_two_loads(tmp_path: Path) -> None:
    """The first load changes all apps.

    Later ones change the apps with another declaration, and none after an edit of a comment.
    """
    loader = _loader(tmp_path, a=app(name="a"), b=app(name="b"))
    desired = loader.desired
    assert (desired.latest, desired.good) == (None, None)
    assert _result(await desired.load()) == (False, {"a", "b"})
    assert _result(await desired.load()) == (False, set())
    (tmp_path / "a.yaml").write_text("# only a comment\n" + app(name="a"))
    assert _result(await desired.load()) == (False, set())
    (tmp_path / "a.yaml").write_text(app("name: A", name="a"))
    (tmp_path / "c.yaml").write_text(app(name="c"))
    assert _result(await desired.load()) == (False, {"a", "c"})
    assert desired.good is desired.latest
    assert desired.good is not None
    assert desired.good.snapshot == snapshot(loader.watched)
    assert desired.good.loaded_at == NOW


async def test_files_that_were_parsed_before_are_not_parsed_again(tmp_path: Path) -> None:
    """The first load takes over the contents that a check of the inputs has parsed, apart from files that changed since."""
    loader, cache = _loader(tmp_path, a=app(name="a"), b=app(name="b")), Cache()
    loader.gather(cache)
    assert len(cache.parsed) == 2
    (tmp_path / "b.yaml").write_text(app("name: B", name="b"))
    desired = DesiredState(loader.gather, loader.watched, loader.clock, cache=cache)
    declared = (await desired.load()).declared
    assert [Path(name).name for name in cache.parsed] == ["b.yaml"]
    assert declared.manifests.state.apps["b"].fields["name"] == "B"


async def test_a_failed_load_leaves_the_last_valid_manifests_in_use(tmp_path: Path) -> None:
    """A failed load changes nothing. The next valid load is compared with the last valid one."""
    loader = _loader(tmp_path, a=app("name: A", name="a"))
    desired = loader.desired
    await desired.load()
    good = desired.good
    (tmp_path / "a.yaml").write_text(app("name: [", name="a"))
    assert _result(await desired.load()) == (True, set())
    assert desired.good is good
    assert desired.latest is not None
    assert [diagnostic.rule for diagnostic in desired.latest.diagnostics] == ["yaml-syntax"]
    (tmp_path / "a.yaml").write_text(app("name: B", name="a"))
    assert _result(await desired.load()) == (False, {"a"})


async def test_a_file_that_is_being_written(tmp_path: Path) -> None:
    """An incomplete file is an error that keeps the last valid manifests. The complete file is reported and loaded."""
    loader = _loader(tmp_path, a=app(name="a"))
    desired = loader.desired
    await desired.load()
    complete = app('description: "a text that ends"', name="a")
    async with watch_files(lambda: desired.watched) as watcher:
        (tmp_path / "a.yaml").write_text(complete[:-8])
        assert await watcher.next() == MANIFESTS
        assert (await desired.load()).declared.fails
        (tmp_path / "a.yaml").write_text(complete)
        assert await watcher.next() == MANIFESTS
        assert _result(await desired.load()) == (False, {"a"})


async def test_a_change_since_the_load_is_detected(tmp_path: Path) -> None:
    """Any write to a loaded file is detected, also one without effect. So is a failed load."""
    loader = _loader(tmp_path, a=app(name="a"))
    desired = loader.desired
    assert not await desired.is_unchanged()
    await desired.load()
    assert await desired.is_unchanged()
    (tmp_path / "a.yaml").write_text("# only a comment\n" + app(name="a"))
    assert not await desired.is_unchanged()
    await desired.load()
    assert await desired.is_unchanged()
    (tmp_path / "a.yaml").write_text("[")
    await desired.load()
    assert not await desired.is_unchanged()


async def test_an_error_of_the_load_is_not_raised(tmp_path: Path) -> None:
    """Any error, also a defect of ours, is a failed load that holds it, and the manifests in use stay."""
    loader = _loader(tmp_path, a=app(name="a"))
    desired = loader.desired
    await desired.load()
    good = desired.good

    def refuse() -> None:
        raise ConfigError("kustomize-missing", "neither kustomize nor kubectl is installed")

    def break_down() -> None:
        raise OSError(5, "Input/output error")

    def fail() -> None:
        raise RecursionError("sk-hidden")

    for action, reference in (
        (refuse, "kustomize-missing"),
        (break_down, "manifests-unreadable"),
        (fail, "internal-error"),
    ):
        loader.before_load = action
        failed = (await desired.load()).declared
        assert failed.fails
        assert failed.error is not None
        assert (failed.error.reference, failed.watched) == (reference, loader.watched)
        assert "sk-hidden" not in failed.error.message
        assert desired.good is good
    assert _result(await desired.load()) == (False, set())


async def test_a_swap_during_a_load_is_loaded_again(tmp_path: Path) -> None:
    """Files that change during a load are read again, until they are the same before and after."""
    synced = GitSyncCheckout(tmp_path)
    synced.checkout("one", {"apps/a.yaml": app("name: one", name="a")})
    loader = _Loader((synced.current / "apps",))
    desired = loader.desired
    loader.after_load = lambda: synced.checkout("two", {"apps/a.yaml": app("name: two", name="a")})
    difference = await desired.load()
    assert difference.declared.manifests.state.apps["a"].fields == {"name": "two"}
    assert loader.loads == 2


async def test_two_commits_are_never_mixed(tmp_path: Path) -> None:
    """However often the tree is swapped meanwhile, a valid load has the manifests of one commit, and all of them."""
    folders, commits, current = [str(n) for n in range(10)], 150, tmp_path / "current"
    for commit in range(commits):
        for name in folders:
            folder = tmp_path / str(commit) / name
            folder.mkdir(parents=True)
            (folder / "app.yaml").write_text(app(f"name: '{commit}'", name=f"app-{name}"))
    current.symlink_to("0")
    desired, started = _Loader(tuple(current / name for name in folders)).desired, threading.Event()

    def swap() -> None:
        started.wait(LONG)
        for commit in range(1, commits):
            relink(current, str(commit))
            time.sleep(0.001 * (commit % 4 == 0))

    swapping = threading.Thread(target=swap)
    swapping.start()
    started.set()
    while swapping.is_alive():
        _one_commit((await desired.load()).declared)
    swapping.join()
    assert _one_commit((await desired.load()).declared) == {str(commits - 1)}


def _one_commit(declared: ManifestLoad) -> set[str]:
    names = {str(app.fields["name"]) for app in declared.manifests.state}
    assert declared.fails or (len(names) == 1 and len(declared.manifests.state.apps) == 10)
    return names


@pytest.mark.parametrize("linked", [False, True], ids=["repository", "linked work tree"])
async def test_a_load_waits_for_a_checkout(tmp_path: Path, linked: bool) -> None:
    """While Git writes the files of a commit nothing is read, also in a linked work tree."""
    repo = Repo.init(tmp_path / "repo")
    repo.write("apps/a.yaml", app("name: one", name="a"))
    repo.commit()
    tree = repo.root
    if linked:
        tree = tmp_path / "tree"
        repo.git("worktree", "add", "--quiet", str(tree))
    lock = Path(Repo(tree).git("rev-parse", "--absolute-git-dir")) / "index.lock"
    loader = _Loader((tree / "apps",))
    lock.touch()

    def finish_checkout() -> None:
        (tree / "apps/a.yaml").write_text(app("name: two", name="a"))
        lock.unlink()

    loader.clock.meanwhile = finish_checkout
    declared = (await loader.desired.load()).declared
    assert declared.manifests.state.apps["a"].fields == {"name": "two"}
    assert loader.loads == 1


async def test_a_stale_lock_of_git(tmp_path: Path) -> None:
    """A lock that a crash has left delays a load and does not prevent it."""
    loader = _loader(tmp_path, a=app(name="a"))
    (tmp_path / ".git").mkdir()
    (tmp_path / ".git/index.lock").touch()
    assert _result(await loader.desired.load()) == (False, {"a"})
    assert loader.clock.time > 0


async def test_manifests_that_keep_changing_are_not_used(tmp_path: Path) -> None:
    """Files that change during every load are an error in the end, and the manifests in use stay."""
    loader = _loader(tmp_path, a=app(name="a"))
    desired = loader.desired
    await desired.load()
    good = desired.good

    def change_again() -> None:
        replace_file(tmp_path / "a.yaml", app(f"name: '{loader.loads}'", name="a"))
        loader.after_load = change_again

    loader.after_load = change_again
    failed = (await desired.load()).declared
    assert failed.error is not None
    assert failed.error.reference == "manifests-changing"
    assert desired.good is good
    loader.after_load = None
    assert _result(await desired.load()) == (False, {"a"})


async def test_new_paths_must_be_stable_too(tmp_path: Path) -> None:
    """If octosync.yaml names other paths, those must not change during the load, and those are watched."""
    loader = _loader(tmp_path / "a", a=app(name="a"))
    desired = loader.desired
    await desired.load()
    _loader(tmp_path / "b", b=app(name="b"))
    loader.paths = (tmp_path / "b",)
    loader.configuration = Configuration(max_canaries=1)
    difference = await desired.load()
    assert _result(difference) == (False, {"a", "b"})
    assert difference.reconfigured
    assert desired.watched == loader.watched
    assert difference.declared.snapshot == snapshot(loader.watched)
    assert not (await desired.load()).reconfigured


async def test_a_load_does_not_block_the_event_loop(tmp_path: Path) -> None:
    """While files are read, other tasks run."""
    loader, goes_on = _loader(tmp_path, a=app(name="a")), threading.Event()
    unblocked: list[bool] = []
    loader.before_load = lambda: unblocked.append(goes_on.wait(LONG))
    loading = asyncio.create_task(loader.desired.load())
    await asyncio.sleep(0)
    goes_on.set()
    await loading
    assert unblocked == [True]


async def test_a_load_that_takes_too_long_is_given_up(tmp_path: Path) -> None:
    """The manifests in use stay, the error reports the timeout, and the next valid commit is loaded."""
    loader = _loader(tmp_path / "apps", a=app(name="a"))
    desired = loader.desired
    assert _result(await desired.load()) == (False, {"a"})

    def never_ends() -> None:
        while True:
            check_deadline()

    desired.load_timeout = timedelta(seconds=0.05)
    loader.before_load = never_ends
    declared = (await desired.load()).declared
    assert (declared.fails, declared.error and declared.error.reference) == (True, "load-timeout")
    assert desired.good is not None
    assert list(desired.good.manifests.state.apps) == ["a"]
    desired.load_timeout = timedelta(minutes=5)
    (tmp_path / "apps/b.yaml").write_text(app(name="b"))
    assert _result(await desired.load()) == (False, {"b"})


async def test_a_load_is_given_up_at_the_stop(tmp_path: Path) -> None:
    """A controller that stops waits for no file."""
    loader = _loader(tmp_path / "apps", a=app(name="a"))
    desired, started = loader.desired, threading.Event()

    def never_ends() -> None:
        started.set()
        while True:
            check_deadline()

    loader.before_load = never_ends
    loading = asyncio.ensure_future(desired.load())
    await asyncio.to_thread(started.wait)
    desired.stop_loading()
    assert (await loading).declared.fails
    assert (await desired.load()).declared.fails


@pytest.mark.parametrize("text", ["[" + "1," * 3_000_000, "? [" + "[]," * 1_000_000, "--- {a: 1}\n" * 200_000])
def test_parsing_a_file_is_given_up(tmp_path: Path, text: str) -> None:
    """No step in the parsing of one file continues after the deadline."""
    (tmp_path / "a.yaml").write_text(text)
    reads: list[str] = []
    with load_deadline(timedelta(minutes=5)) as deadline, pytest.raises(OctosyncError, match="load-timeout"):
        parse_after_deadline(tmp_path, deadline, reads)
    assert reads == []


def parse_after_deadline(folder: Path, deadline: LoadDeadline, reads: list[str]) -> None:
    """Parse a file after the deadline, and record it in `reads` if that returns."""
    deadline.end()
    parse("a.yaml", (folder / "a.yaml").read_bytes(), Configuration().sensitivity, Findings())
    reads.append("a.yaml")


def test_snapshots_stay_in_the_work_tree(tmp_path: Path) -> None:
    """Neither a link to the root of the file system nor a kustomization that names it is followed."""
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside/x.yaml").write_text("")
    repo = tmp_path / "repo"
    (repo / ".git").mkdir(parents=True)
    (repo / "k").mkdir()
    (repo / "all").symlink_to("/")
    (repo / "k/kustomization.yaml").write_text("resources: [../../outside, ../.., ../../../../../.., ../base]\n")
    (repo / "base").mkdir()
    (repo / "base/a.yaml").write_text("")
    linked = snapshot(WatchedPaths(paths=(str(repo),))).manifests
    referred = snapshot(WatchedPaths(kustomizations=(str(repo / "k"),))).manifests
    assert [path for path in (*linked, *referred) if not path.startswith(str(repo))] == []
    assert str(repo / "base/a.yaml") in referred
