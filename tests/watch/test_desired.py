"""Desired: what is in force after loads that succeed and fail, and what is said to have changed."""

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
from octosync.manifest import Cache, Configuration, load
from octosync.manifest.load.limits import LoadDeadline, check_deadline, load_deadline
from octosync.manifest.schema.rules import Findings
from octosync.manifest.yaml.loader import parse
from octosync.watch.manifests.desired import DesiredState, LoadDifference, ManifestLoad
from octosync.watch.manifests.file_snapshot import WatchedPaths, snapshot


@dataclass
class _Times:
    """A clock that is moved by hand; whoever waits waits one turn of the loop. `meanwhile` is done in the first wait."""

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
class _Scene:
    """Folders of manifests, and what loads them. `first` is done once before the next load, `then` once after it."""

    paths: tuple[Path, ...]
    configuration: Configuration = field(default_factory=Configuration)
    clock: _Times = field(default_factory=_Times)
    loads: int = 0
    first: Callable[[], object] | None = None
    then: Callable[[], object] | None = None

    @property
    def watched(self) -> WatchedPaths:
        return WatchedPaths(paths=tuple(map(str, self.paths)))

    @property
    def desired(self) -> DesiredState:
        return DesiredState(self.gather, self.watched, self.clock)

    def gather(self, cache: Cache) -> ManifestLoad:
        self.loads += 1
        first, self.first = self.first, None
        if first is not None:
            first()
        found = load(list(map(str, self.paths)), configuration=self.configuration, now=NOW, cache=cache)
        then, self.then = self.then, None
        if then is not None:
            then()
        return ManifestLoad(
            configuration=self.configuration,
            manifests=found,
            diagnostics=found.diagnostics,
            fails=found.has_errors,
            watched=self.watched,
        )


def _scene(folder: Path, **apps: str) -> _Scene:
    folder.mkdir(exist_ok=True)
    for name, text in apps.items():
        (folder / f"{name}.yaml").write_text(text)
    return _Scene((folder,))


def _said(difference: LoadDifference) -> tuple[bool, set[str]]:
    return difference.declared.fails, set(difference.changed)


async def test_what_changed_from_one_load_to_the_next(tmp_path: Path) -> None:
    """First all apps are new; then those that are declared otherwise, and none after an edit that means nothing."""
    scene = _scene(tmp_path, a=app(name="a"), b=app(name="b"))
    desired = scene.desired
    assert (desired.latest, desired.good) == (None, None)
    assert _said(await desired.load()) == (False, {"a", "b"})
    assert _said(await desired.load()) == (False, set())
    (tmp_path / "a.yaml").write_text("# only a comment\n" + app(name="a"))
    assert _said(await desired.load()) == (False, set())
    (tmp_path / "a.yaml").write_text(app("name: A", name="a"))
    (tmp_path / "c.yaml").write_text(app(name="c"))
    assert _said(await desired.load()) == (False, {"a", "c"})
    assert desired.good is desired.latest
    assert desired.good is not None
    assert desired.good.snapshot == snapshot(scene.watched)
    assert desired.good.loaded_at == NOW


async def test_manifests_that_do_not_parse_leave_the_last_good_ones_in_force(tmp_path: Path) -> None:
    """A load that fails changes nothing; the next good one is held against the last good one."""
    scene = _scene(tmp_path, a=app("name: A", name="a"))
    desired = scene.desired
    await desired.load()
    good = desired.good
    (tmp_path / "a.yaml").write_text(app("name: [", name="a"))
    assert _said(await desired.load()) == (True, set())
    assert desired.good is good
    assert desired.latest is not None
    assert [one.rule for one in desired.latest.diagnostics] == ["yaml-syntax"]
    (tmp_path / "a.yaml").write_text(app("name: B", name="a"))
    assert _said(await desired.load()) == (False, {"a"})


async def test_a_file_that_is_being_written(tmp_path: Path) -> None:
    """Half a file is an error that keeps the last good one; the whole one is told, and loaded."""
    scene = _scene(tmp_path, a=app(name="a"))
    desired = scene.desired
    await desired.load()
    whole = app('description: "a text that ends"', name="a")
    async with watch_files(lambda: desired.watched) as news:
        (tmp_path / "a.yaml").write_text(whole[:-8])
        assert await news.next() == MANIFESTS
        assert (await desired.load()).declared.fails
        (tmp_path / "a.yaml").write_text(whole)
        assert await news.next() == MANIFESTS
        assert _said(await desired.load()) == (False, {"a"})


async def test_files_are_unchanged_since_they_were_loaded(tmp_path: Path) -> None:
    """Any write to a file that was loaded is noticed, one that means nothing included; so is a load that failed."""
    scene = _scene(tmp_path, a=app(name="a"))
    desired = scene.desired
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


async def test_what_keeps_manifests_from_being_loaded_is_no_exception(tmp_path: Path) -> None:
    """An error that gathering raises is a failed load that holds it, and what was in force stays: a defect of ours, too."""
    scene = _scene(tmp_path, a=app(name="a"))
    desired = scene.desired
    await desired.load()
    good = desired.good

    def refuse() -> None:
        raise ConfigError("kustomize-missing", "neither kustomize nor kubectl is here")

    def break_down() -> None:
        raise OSError(5, "Input/output error")

    def fail() -> None:
        raise RecursionError("sk-hidden")

    for action, reference in (
        (refuse, "kustomize-missing"),
        (break_down, "manifests-unreadable"),
        (fail, "internal-error"),
    ):
        scene.first = action
        failed = (await desired.load()).declared
        assert failed.fails
        assert failed.error is not None
        assert (failed.error.reference, failed.watched) == (reference, scene.watched)
        assert "sk-hidden" not in failed.error.message
        assert desired.good is good
    assert _said(await desired.load()) == (False, set())


async def test_a_swap_while_it_loads_is_loaded_again(tmp_path: Path) -> None:
    """What changed while it was read is read again: what counts was the same before and after."""
    synced = GitSyncCheckout(tmp_path)
    synced.checkout("one", {"apps/a.yaml": app("name: one", name="a")})
    scene = _Scene((synced.current / "apps",))
    desired = scene.desired
    scene.then = lambda: synced.checkout("two", {"apps/a.yaml": app("name: two", name="a")})
    found = await desired.load()
    assert found.declared.manifests.state.apps["a"].fields == {"name": "two"}
    assert scene.loads == 2


async def test_two_commits_are_never_mixed(tmp_path: Path) -> None:
    """However often the tree is swapped meanwhile: what was loaded well is one commit's, whole."""
    folders, commits, current = [str(n) for n in range(10)], 150, tmp_path / "current"
    for commit in range(commits):
        for name in folders:
            folder = tmp_path / str(commit) / name
            folder.mkdir(parents=True)
            (folder / "app.yaml").write_text(app(f"name: '{commit}'", name=f"app-{name}"))
    current.symlink_to("0")
    desired, begun = _Scene(tuple(current / name for name in folders)).desired, threading.Event()

    def swap() -> None:
        begun.wait(LONG)
        for commit in range(1, commits):
            relink(current, str(commit))
            time.sleep(0.001 * (commit % 4 == 0))

    swapping = threading.Thread(target=swap)
    swapping.start()
    begun.set()
    while swapping.is_alive():
        _one_commit((await desired.load()).declared)
    swapping.join()
    assert _one_commit((await desired.load()).declared) == {str(commits - 1)}


def _one_commit(declared: ManifestLoad) -> set[str]:
    names = {str(one.fields["name"]) for one in declared.manifests.state}
    assert declared.fails or (len(names) == 1 and len(declared.manifests.state.apps) == 10)
    return names


@pytest.mark.parametrize("linked", [False, True], ids=["repository", "linked work tree"])
async def test_a_checkout_is_waited_for(tmp_path: Path, linked: bool) -> None:
    """While git writes the files of a commit nothing is read, in a linked work tree as well."""
    repo = Repo.init(tmp_path / "repo")
    repo.write("apps/a.yaml", app("name: one", name="a"))
    repo.commit()
    tree = repo.root
    if linked:
        tree = tmp_path / "tree"
        repo.git("worktree", "add", "--quiet", str(tree))
    lock = Path(Repo(tree).git("rev-parse", "--absolute-git-dir")) / "index.lock"
    scene = _Scene((tree / "apps",))
    lock.touch()

    def written() -> None:
        (tree / "apps/a.yaml").write_text(app("name: two", name="a"))
        lock.unlink()

    scene.clock.meanwhile = written
    found = (await scene.desired.load()).declared
    assert found.manifests.state.apps["a"].fields == {"name": "two"}
    assert scene.loads == 1


async def test_a_lock_that_was_left_by_a_crash(tmp_path: Path) -> None:
    """A lock that nobody holds any more delays loading, and does not prevent it."""
    scene = _scene(tmp_path, a=app(name="a"))
    (tmp_path / ".git").mkdir()
    (tmp_path / ".git/index.lock").touch()
    assert _said(await scene.desired.load()) == (False, {"a"})
    assert scene.clock.time > 0


async def test_manifests_that_never_rest_are_not_used(tmp_path: Path) -> None:
    """Files that change under every reading are an error in the end, not a guess; what was in force stays."""
    scene = _scene(tmp_path, a=app(name="a"))
    desired = scene.desired
    await desired.load()
    good = desired.good

    def restless() -> None:
        replace_file(tmp_path / "a.yaml", app(f"name: '{scene.loads}'", name="a"))
        scene.then = restless

    scene.then = restless
    failed = (await desired.load()).declared
    assert failed.error is not None
    assert failed.error.reference == "manifests-changing"
    assert desired.good is good
    scene.then = None
    assert _said(await desired.load()) == (False, {"a"})


async def test_other_paths_are_loaded_at_rest_as_well(tmp_path: Path) -> None:
    """Where octosync.yaml comes to name other paths, these are what has to be at rest, and what is watched."""
    scene = _scene(tmp_path / "a", a=app(name="a"))
    desired = scene.desired
    await desired.load()
    _scene(tmp_path / "b", b=app(name="b"))
    scene.paths = (tmp_path / "b",)
    scene.configuration = Configuration(max_canaries=1)
    difference = await desired.load()
    assert _said(difference) == (False, {"a", "b"})
    assert difference.reconfigured
    assert desired.watched == scene.watched
    assert difference.declared.snapshot == snapshot(scene.watched)
    assert not (await desired.load()).reconfigured


async def test_loading_leaves_the_loop_free(tmp_path: Path) -> None:
    """While files are read, other work goes on."""
    scene, goes_on = _scene(tmp_path, a=app(name="a")), threading.Event()
    met: list[bool] = []
    scene.first = lambda: met.append(goes_on.wait(LONG))
    loading = asyncio.create_task(scene.desired.load())
    await asyncio.sleep(0)
    goes_on.set()
    await loading
    assert met == [True]


async def test_a_load_that_takes_too_long_is_given_up(tmp_path: Path) -> None:
    """What was declared before stays in force, the error says what happened, and the next good commit is loaded."""
    scene = _scene(tmp_path / "apps", a=app(name="a"))
    desired = scene.desired
    assert _said(await desired.load()) == (False, {"a"})

    def never_ends() -> None:
        while True:
            check_deadline()

    desired.load_timeout = timedelta(seconds=0.05)
    scene.first = never_ends
    found = (await desired.load()).declared
    assert (found.fails, found.error and found.error.reference) == (True, "load-timeout")
    assert desired.good is not None
    assert list(desired.good.manifests.state.apps) == ["a"]
    desired.load_timeout = timedelta(minutes=5)
    (tmp_path / "apps/b.yaml").write_text(app(name="b"))
    assert _said(await desired.load()) == (False, {"b"})


async def test_what_is_loaded_is_given_up_at_the_end(tmp_path: Path) -> None:
    """A controller that is to stop waits for no file."""
    scene = _scene(tmp_path / "apps", a=app(name="a"))
    desired, begun = scene.desired, threading.Event()

    def never_ends() -> None:
        begun.set()
        while True:
            check_deadline()

    scene.first = never_ends
    loading = asyncio.ensure_future(desired.load())
    await asyncio.to_thread(begun.wait)
    desired.stop_loading()
    assert (await loading).declared.fails
    assert (await desired.load()).declared.fails


@pytest.mark.parametrize("text", ["[" + "1," * 3_000_000, "? [" + "[]," * 1_000_000, "--- {a: 1}\n" * 200_000])
def test_reading_a_file_is_given_up_within_it(tmp_path: Path, text: str) -> None:
    """Nothing in the reading of one file goes on when its time is over."""
    (tmp_path / "a.yaml").write_text(text)
    reads: list[str] = []
    with load_deadline(timedelta(minutes=5)) as patience, pytest.raises(OctosyncError, match="load-timeout"):
        parse_after_the_end(tmp_path, patience, reads)
    assert reads == []


def parse_after_the_end(folder: Path, patience: LoadDeadline, reads: list[str]) -> None:
    """Parse a file when there is no time left; note that it came to an end."""
    patience.end()
    parse("a.yaml", (folder / "a.yaml").read_bytes(), Configuration().sensitivity, Findings())
    reads.append("a.yaml")


def test_links_and_kustomizations_lead_no_fingerprint_out_of_the_work_tree(tmp_path: Path) -> None:
    """A link to the root of the file system, and a kustomization that names it, are not walked."""
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
