"""InputsReloader: what is watched, and what each load returns, for flags, octosync.yaml and contexts."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import click
import pytest
from click.testing import CliRunner
from tests.support.kubectl import needs_kustomize
from tests.support.manifests import app
from tests.support.repositories import Repo

from octosync.cli.inputs_reloader import InputsReloader
from octosync.cli.options import remote_options
from octosync.cli.run_options import ManifestFlags, RemoteFlags
from octosync.errors import ConfigError, UsageError
from octosync.manifest import Cache
from octosync.watch.manifests.file_snapshot import WatchedPaths
from octosync.watch.status import CommitStatus

_CONTEXT = "contexts:\n  local: {url: http://127.0.0.1:8787, tokenFile: /run/key, paths: [live]}\n"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    here = tmp_path / "repo"
    for name in ("live", "more", "k"):
        (here / name).mkdir(parents=True)
        (here / name / f"{name}.yaml").write_text(app(name=name))
    (here / "k/kustomization.yaml").write_text("resources: [k.yaml]\n")
    monkeypatch.chdir(here)
    return here


def _reloader(
    *paths: str, config: Path | None = None, kustomize: str | None = None, token: Path | None = None
) -> InputsReloader:
    flags = ManifestFlags(paths=paths, config=config, kustomize=kustomize)
    return InputsReloader(flags=flags, remote=RemoteFlags(token_file=token), environment={})


def test_before_the_first_load_the_flags_decide_the_watched_paths() -> None:
    """The given paths, the key file, and every possible path of octosync.yaml."""
    watched = _reloader("live", token=Path("key")).watched
    assert (watched.paths, watched.tokens, watched.kustomizations) == (("live",), ("key",), ())
    assert watched.configuration[:2] == ("octosync.yaml", "../octosync.yaml")


def test_octosync_yaml_decides_the_watched_paths(folder: Path) -> None:
    """Without paths, those of the context are watched, with its key file; octosync.yaml no higher than where it is."""
    (folder / "octosync.yaml").write_text(f"{_CONTEXT}defaultContext: local\n")
    declared = _reloader()(Cache())
    assert declared.watched == WatchedPaths(paths=("live",), configuration=("octosync.yaml",), tokens=("/run/key",))
    assert list(declared.manifests.state.apps) == ["live"]
    assert declared.context is not None
    (folder / "octosync.yaml").write_text("paths: [more]\n")
    assert _reloader()(Cache()).watched == WatchedPaths(paths=("more",), configuration=("octosync.yaml",))


def test_beside_given_paths_the_configured_ones_are_watched(folder: Path) -> None:
    """Paths of octosync.yaml beyond -f are read, and so watched: what moves there must not be removed."""
    (folder / "octosync.yaml").write_text("paths: [live, more]\n")
    declared = _reloader("live")(Cache())
    assert declared.watched.paths == ("live", "more")
    assert list(declared.manifests.others.apps) == ["more"]


def test_an_invalid_configuration_is_watched(folder: Path) -> None:
    """With an invalid octosync.yaml the load fails, and the file is watched."""
    (folder / "own.yaml").write_text("pahts: [live]\n")
    declared = _reloader("live", config=Path("own.yaml"))(Cache())
    assert declared.fails
    assert declared.diagnostics
    assert declared.watched == WatchedPaths(paths=("live",), configuration=("own.yaml",))


@needs_kustomize
def test_a_kustomization_is_rendered_and_watched() -> None:
    """With -k the folder is watched, and its rendered manifests are declared."""
    reloader = replace(_reloader(kustomize="k"), environment=os.environ)
    declared = reloader(Cache())
    assert list(declared.manifests.state.apps) == ["k"]
    assert declared.watched == reloader.watched
    assert declared.watched.kustomizations == ("k",)


def test_a_missing_kustomize_is_raised(tmp_path: Path) -> None:
    """A kustomization without a tool to render it is the usual error."""
    with pytest.raises(ConfigError) as error:
        replace(_reloader(kustomize="k"), environment={"PATH": str(tmp_path)})(Cache())
    assert error.value.reference == "kustomize-missing"


def test_the_revision_is_that_of_the_manifests_own_work_tree(tmp_path: Path) -> None:
    """The commit of the work tree of the manifests, also through a link; "" outside of any."""
    unknown = _reloader("live")(Cache())
    assert (unknown.revision, unknown.commit) == ("", None)
    repo = Repo.init(tmp_path / "other")
    repo.write("apps/a.yaml", app(name="a"))
    commit = repo.commit()
    (tmp_path / "repo/current").symlink_to(repo.root)
    assert _reloader("current/apps")(Cache()).revision == commit
    assert _reloader("current/apps/a.yaml")(Cache()).revision == commit


def test_a_load_knows_the_author_and_the_page_of_its_commit(tmp_path: Path) -> None:
    """Author and subject are Git's, the page is that of the remote, without its user and password."""
    repo = Repo.init(tmp_path / "other")
    repo.write("apps/a.yaml", app(name="a"))
    commit = repo.commit("add a")
    author = repo.git("log", "-1", "--format=%an").strip()
    repo.git("remote", "add", "origin", "https://bot:hunter2@bitbucket.org/acme/apps.git")
    assert _reloader(str(repo.root / "apps"))(Cache()).commit == CommitStatus(
        revision=commit, author=author, subject="add a", url=f"https://bitbucket.org/acme/apps/commits/{commit}"
    )


def test_standard_input_is_refused() -> None:
    """-f - can be read only once."""
    with pytest.raises(UsageError) as error:
        _reloader("-")
    assert error.value.reference == "stdin-watched"


def test_flags_mean_the_same_in_any_thread(folder: Path) -> None:
    """The command line takes precedence over the environment, though click knows the source in one thread only."""
    (folder / "octosync.yaml").write_text(_CONTEXT)
    contexts: list[str] = []

    @click.command()
    @remote_options
    def watch(remote: RemoteFlags) -> None:
        reloader = InputsReloader(flags=ManifestFlags(), remote=remote, environment={})
        with ThreadPoolExecutor() as pool:
            found = pool.submit(reloader, Cache()).result().context
        contexts.append(found.name if found is not None else "")

    both = {"OCTOSYNC_CONTEXT": "local", "OCTOSYNC_URL": "http://127.0.0.1:9"}
    ran = CliRunner().invoke(watch, ["--context", "local"], env=both, catch_exceptions=False)
    assert (ran.exit_code, contexts) == (0, ["local"])


@pytest.mark.parametrize("digits", [40, 64])
def test_without_git_the_revision_is_the_name_of_the_folder(
    digits: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In an image without git, the revision is the name of the folder that git-sync's link points to."""
    monkeypatch.setenv("PATH", "")
    commit = "0123456789abcdef" * 4
    worktree = tmp_path / ".worktrees" / commit[:digits]
    (worktree / "apps").mkdir(parents=True)
    (worktree / "apps/a.yaml").write_text(app(name="a"))
    (tmp_path / "current").symlink_to(worktree)
    assert _reloader(f"{tmp_path}/current/apps")(Cache()).revision == commit[:digits]
    assert _reloader("live")(Cache()).revision == ""
