"""Kustomizations, rendered for real: in the work tree, and in a revision's files without touching the work tree."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from tests.support.kubectl import needs_kustomize
from tests.support.repositories import Repo

from octosync.errors import ConfigError, ManifestError, UsageError
from octosync.manifest.kustomize import render, render_at
from octosync.manifest.repository import Repository
from octosync.manifest.revision import Revision

APP = "apiVersion: octosync.dev/v1\nkind: App\nmetadata: {name: one}\nspec: {description: Hello}\n"
PATCH = "apiVersion: octosync.dev/v1\nkind: App\nmetadata: {name: one}\nspec: {name: Patched}\n"


@pytest.fixture
def repo(tmp_path: Path) -> Repo:
    repo = Repo.init(tmp_path / "repo")
    repo.write("base/app.yaml", APP)
    repo.write("base/kustomization.yaml", "resources: [app.yaml]\n")
    repo.write("overlays/prod/kustomization.yaml", "resources: [../../base]\npatches: [{path: patch.yaml}]\n")
    repo.write("overlays/prod/patch.yaml", PATCH)
    repo.commit()
    return repo


def revision(repo: Repo) -> Revision:
    """Look at what is committed, from the root."""
    repository = Repository.around(repo.root)
    return Revision(repository, repository.resolve("HEAD"))


@needs_kustomize
def test_tree_and_revision_render_alike(repo: Repo, monkeypatch: pytest.MonkeyPatch) -> None:
    """An overlay reaches its base on both sides; what is not committed is rendered in the tree only, links included."""
    (repo.root / "linked").symlink_to("overlays/prod")
    repo.commit()
    monkeypatch.chdir(repo.root)
    now = render("overlays/prod", os.environ)
    then = render_at(revision(repo), "overlays/prod", os.environ)
    assert then is not None
    assert (now.data, b"Patched" in now.data, b"Hello" in now.data) == (then.data, True, True)
    assert (now.name, then.name) == ("overlays/prod (rendered)", f"{repo.head[:12]}:overlays/prod (rendered)")
    repo.write("base/app.yaml", APP.replace("Hello", "Bye"))
    assert b"Bye" in render("overlays/prod", os.environ).data
    again = render_at(revision(repo), "overlays/prod", os.environ)
    assert again is not None
    assert again.data == then.data


@needs_kustomize
def test_what_kustomize_refuses_is_its_own_words(repo: Repo, monkeypatch: pytest.MonkeyPatch) -> None:
    """An error of that side, without the temporary folder's name."""
    repo.write("overlays/prod/kustomization.yaml", "resources: [nowhere.yaml]\n")
    repo.commit()
    monkeypatch.chdir(repo.root)
    with pytest.raises(ManifestError, match="kustomize-failed") as now:
        render("overlays/prod", os.environ)
    with pytest.raises(ManifestError, match="kustomize-failed") as then:
        render_at(revision(repo), "overlays/prod", os.environ)
    for error in (now, then):
        said = " ".join(error.value.hints)
        assert "nowhere.yaml" in said
        assert "octosync-" not in said


@needs_kustomize
def test_a_generator_gets_nothing_of_the_environment(repo: Repo, monkeypatch: pytest.MonkeyPatch) -> None:
    """A variable that an env file merely names is not filled in: no change can render the API key."""
    repo.write("overlays/prod/kustomization.yaml", "configMapGenerator: [{name: x, envs: [x.env]}]\n")
    repo.write("overlays/prod/x.env", "OCTOMIL_API_KEY\n")
    monkeypatch.chdir(repo.root)
    data = render("overlays/prod", {**os.environ, "OCTOMIL_API_KEY": "oct_secret"}).data
    assert b"ConfigMap" in data
    assert b"oct_secret" not in data


def test_what_was_no_kustomization_then_held_nothing(repo: Repo, monkeypatch: pytest.MonkeyPatch) -> None:
    """An overlay that this change adds is no problem of the base; in the tree, a folder without one is an error."""
    monkeypatch.chdir(repo.root)
    assert render_at(revision(repo), "overlays/new", os.environ) is None
    with pytest.raises(UsageError, match="no-kustomization"):
        render("overlays/new", os.environ)


def test_without_a_tool_it_says_so(repo: Repo, monkeypatch: pytest.MonkeyPatch) -> None:
    """And names the way without: rendering elsewhere, into `-f -`."""
    monkeypatch.chdir(repo.root)
    with pytest.raises(ConfigError, match="kustomize-missing") as error:
        render("overlays/prod", {"PATH": str(repo.root)})
    assert "octosync plan -f -" in error.value.hints[0]


def test_an_export_writes_nothing_elsewhere(repo: Repo, tmp_path: Path) -> None:
    """Links are links in it, files are the commit's own bytes, attributes have no say, and a submodule is left out."""
    repo.write(".gitattributes", "base/app.yaml export-ignore ident eol=crlf\n")
    (repo.root / "out").symlink_to("/etc")
    repo.commit()
    target = tmp_path / "export"
    target.mkdir()
    revision(repo).export(target)
    assert (target / "base/app.yaml").read_text() == APP
    assert (target / "out").is_symlink()
