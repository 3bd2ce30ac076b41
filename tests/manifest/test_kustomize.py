"""Kustomizations, rendered by the real tool: in the work tree, and in the files of a revision without touching the tree."""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest
from tests.support.kubectl import needs_kustomize
from tests.support.manifests import NOW
from tests.support.repositories import Repo

from octosync.errors import ConfigError, ManifestError, OctosyncError, UsageError
from octosync.manifest import Configuration, Owner, load_manifests
from octosync.manifest.git.repository import Repository
from octosync.manifest.git.revision import Revision
from octosync.manifest.load.kustomize import render, render_at
from octosync.manifest.load.limits import Bounds, load_deadline
from octosync.manifest.yaml.loader import MOST_BYTES

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
    """Open the committed revision from the root."""
    repository = Repository.around(repo.root)
    return Revision(repository, repository.resolve("HEAD"))


@needs_kustomize
def test_work_tree_and_revision_are_rendered_alike(repo: Repo, monkeypatch: pytest.MonkeyPatch) -> None:
    """An overlay finds its base in both. Uncommitted files are rendered in the tree only, links included."""
    (repo.root / "linked").symlink_to("overlays/prod")
    repo.commit()
    monkeypatch.chdir(repo.root)
    current = render("overlays/prod", os.environ)
    committed = render_at(revision(repo), "overlays/prod", os.environ)
    assert committed is not None
    assert (current.data, b"Patched" in current.data, b"Hello" in current.data) == (committed.data, True, True)
    assert (current.name, committed.name) == ("overlays/prod (rendered)", f"{repo.head[:12]}:overlays/prod (rendered)")
    repo.write("base/app.yaml", APP.replace("Hello", "Bye"))
    assert b"Bye" in render("overlays/prod", os.environ).data
    again = render_at(revision(repo), "overlays/prod", os.environ)
    assert again is not None
    assert again.data == committed.data


@needs_kustomize
def test_an_error_of_kustomize_is_quoted(repo: Repo, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error is one of that side, without the name of the temporary folder."""
    repo.write("overlays/prod/kustomization.yaml", "resources: [nowhere.yaml]\n")
    repo.commit()
    monkeypatch.chdir(repo.root)
    with pytest.raises(ManifestError, match="kustomize-failed") as current:
        render("overlays/prod", os.environ)
    with pytest.raises(ManifestError, match="kustomize-failed") as committed:
        render_at(revision(repo), "overlays/prod", os.environ)
    for error in (current, committed):
        hints = " ".join(error.value.hints)
        assert "nowhere.yaml" in hints
        assert "octosync-" not in hints


@needs_kustomize
def test_a_generator_gets_no_environment_variables(repo: Repo, monkeypatch: pytest.MonkeyPatch) -> None:
    """A variable that an env file only names is not filled in, so no change can render the API key."""
    repo.write("overlays/prod/kustomization.yaml", "configMapGenerator: [{name: x, envs: [x.env]}]\n")
    repo.write("overlays/prod/x.env", "OCTOMIL_API_KEY\n")
    monkeypatch.chdir(repo.root)
    data = render("overlays/prod", {**os.environ, "OCTOMIL_API_KEY": "oct_secret"}).data
    assert b"ConfigMap" in data
    assert b"oct_secret" not in data


def test_a_folder_without_a_kustomization_in_the_base_is_empty(repo: Repo, monkeypatch: pytest.MonkeyPatch) -> None:
    """An overlay that this change adds is not a problem of the base. In the tree, a folder without one is an error."""
    monkeypatch.chdir(repo.root)
    assert render_at(revision(repo), "overlays/new", os.environ) is None
    with pytest.raises(UsageError, match="no-kustomization"):
        render("overlays/new", os.environ)


def test_a_missing_tool_is_an_error_with_a_remedy(repo: Repo, monkeypatch: pytest.MonkeyPatch) -> None:
    """The hint names the alternative: rendering elsewhere, into `-f -`."""
    monkeypatch.chdir(repo.root)
    with pytest.raises(ConfigError, match="kustomize-missing") as error:
        render("overlays/prod", {"PATH": str(repo.root)})
    assert "octosync plan -f -" in error.value.hints[0]


def test_a_checkout_of_a_revision_is_exact(repo: Repo, tmp_path: Path) -> None:
    """Links stay links, files have the bytes of the commit, attributes have no effect, and submodules are left out."""
    repo.write(".gitattributes", "base/app.yaml export-ignore ident eol=crlf\n")
    (repo.root / "out").symlink_to("/etc")
    repo.commit()
    target = tmp_path / "export"
    target.mkdir()
    revision(repo).export(target)
    assert (target / "base/app.yaml").read_text() == APP
    assert (target / "out").is_symlink()


_REMOTE = {
    "a file's content": "configMapGenerator: [{name: loot, files: ['creds=URL/latest']}]",
    "a resource": "resources: ['URL/x.yaml']",
    "a Git repository": "resources: ['URL/x.git']",
    "a component": "components: ['git::URL/x.git']",
    "a patch": "resources: [app.yaml]\npatches: [{path: 'URL/patch.yaml'}]",
    "a configuration": "resources: [app.yaml]\nconfigurations: ['URL/x.yaml']",
    "an OpenAPI schema": "resources: [app.yaml]\nopenapi: {path: 'URL/x.json'}",
    "a chart": "helmCharts: [{name: x, repo: 'URL', version: '1'}]",
    "a repository over ssh": "resources: ['ssh://git@HOST/x.git?ref=main']",
}


@pytest.fixture
def visited() -> Iterator[tuple[str, list[str]]]:
    """Return the URL of a web server, and the requests that it received."""
    requests: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            requests.append(self.path)
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"CANARY")

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}", requests
        server.shutdown()
        thread.join()


@needs_kustomize
def test_a_kustomization_has_no_network_access(
    repo: Repo, monkeypatch: pytest.MonkeyPatch, visited: tuple[str, list[str]]
) -> None:
    """Nothing is fetched, not even from ports of this machine, and no proxy is used."""
    url, requests = visited
    monkeypatch.chdir(repo.root)
    environment = {**os.environ, "HTTP_PROXY": url, "HTTPS_PROXY": url}
    for what, text in _REMOTE.items():
        named = text.replace("URL", url).replace("HOST", url.removeprefix("http://"))
        repo.write("base/kustomization.yaml", f"{named}\n")
        with pytest.raises(ManifestError, match="kustomize-failed") as error:
            render("base", environment)
        assert "--allow-remote-bases" in str(error.value.hints), what
    repo.commit()
    with pytest.raises(ManifestError, match="kustomize-failed"):
        render_at(revision(repo), "base", environment)
    assert requests == []


@needs_kustomize
def test_remote_bases_are_fetched_if_allowed(
    repo: Repo, monkeypatch: pytest.MonkeyPatch, visited: tuple[str, list[str]]
) -> None:
    """With `remote`, kustomize fetches them."""
    url, requests = visited
    repo.write("base/kustomization.yaml", _REMOTE["a file's content"].replace("URL", url))
    monkeypatch.chdir(repo.root)
    assert b"CANARY" in render("base", os.environ, remote=True).data
    assert requests == ["/latest"]


@needs_kustomize
def test_a_kustomization_follows_no_link_outside_the_repository(
    repo: Repo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """This applies to the file, its folder and its references, which must be in the repository of octosync.yaml."""
    (tmp_path / "secret").write_text("oct_CANARY: 1\n")
    (tmp_path / "other").mkdir()
    (tmp_path / "other/kustomization.yaml").write_text("resources: []\n")
    (repo.root / "base/kustomization.yaml").unlink()
    (repo.root / "base/kustomization.yaml").symlink_to(tmp_path / "secret")
    (repo.root / "linked").symlink_to(tmp_path / "other")
    monkeypatch.chdir(repo.root)
    for kustomization in ("overlays/prod", "base", "linked"):
        with pytest.raises(ManifestError, match="link-outside") as error:
            render(kustomization, os.environ)
        assert "CANARY" not in str(error.value.hints)
    with pytest.raises(ConfigError, match="path-outside-repository"):
        render("../other", os.environ, within=Bounds(str(repo.root)))


@needs_kustomize
@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("", ""),
        (f"#{'#' * 2**20}\n", ""),
        ("", "\n---\n["),
    ],
    ids=["plain", "large", "broken later"],
)
def test_a_kustomization_reads_no_folder_outside_the_work_tree(
    repo: Repo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, before: str, after: str
) -> None:
    """A kustomization elsewhere may generate Secrets from files. One that can't be checked is not rendered."""
    (tmp_path / "other").mkdir()
    (tmp_path / "other/key").write_text("oct_CANARY")
    (tmp_path / "other/kustomization.yaml").write_text("secretGenerator: [{name: loot, files: [key]}]\n")
    monkeypatch.chdir(repo.root)
    outside = f"{'./' * 150}{os.path.relpath(tmp_path / 'other', repo.root / 'base')}"
    (repo.root / "base/kustomization.yaml").write_text(f"{before}resources: ['{outside}']{after}")
    with pytest.raises(ManifestError, match=r"path-outside-repository|kustomization-unreadable|kustomize-failed"):
        render("overlays/prod", os.environ)


def kustomize_that(script: str, folder: Path) -> str:
    """Return a PATH with a kustomize that runs a shell script."""
    tool = folder / "bin/kustomize"
    tool.parent.mkdir()
    tool.write_text(f"#!/bin/sh\n{script}\n")
    tool.chmod(0o755)
    return f"{tool.parent}:{os.environ['PATH']}"


def test_endless_output_of_kustomize_is_not_read(repo: Repo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only as much is read as a manifest may contain."""
    monkeypatch.chdir(repo.root)
    assert len(render("base", {"PATH": kustomize_that("exec yes", tmp_path)}).data) == MOST_BYTES + 1


def test_a_kustomize_that_does_not_end_is_killed(repo: Repo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """When the time limit of a load ends, its process ends, too."""
    path = kustomize_that(f"echo $$ > {tmp_path}/pid\nexec sleep 1000", tmp_path)
    monkeypatch.chdir(repo.root)
    bound = timedelta(seconds=0.5)
    with load_deadline(bound), pytest.raises(OctosyncError, match="load-timeout"):
        render("base", {"PATH": path})
    pid = tmp_path / "pid"
    assert not pid.exists() or not Path("/proc", pid.read_text().strip()).exists()


@needs_kustomize
@pytest.mark.parametrize("traced", [True, False])
def test_owners_apply_to_rendered_manifests(repo: Repo, monkeypatch: pytest.MonkeyPatch, *, traced: bool) -> None:
    """A document belongs to its file if known. A kustomization in the folder of an owner declares only apps of that owner."""
    monkeypatch.chdir(repo.root)
    metadata = "buildMetadata: [originAnnotations]\n" if traced else ""
    repo.write("teams/search/app.yaml", APP.replace("one", "cart"))
    repo.write("teams/search/kustomization.yaml", f"resources: [app.yaml]\n{metadata}")
    repo.write("prod/kustomization.yaml", f"resources: [../teams/search]\n{metadata}")
    owners = (Owner("teams/search/**", ("search-*",)), Owner("teams/shop/**", ("cart",)))
    configuration = Configuration(file="octosync.yaml", owners=owners)

    def found(kustomization: str) -> set[str]:
        loaded = load_manifests((), configuration=configuration, now=NOW, rendered=[render(kustomization, os.environ)])
        return {diagnostic.rule for diagnostic in loaded.diagnostics}

    unknown = set() if traced else {"owners-not-checked"}
    assert found("teams/search") == {"app-not-owned"} | unknown
    assert found("prod") == ({"app-not-owned"} if traced else unknown)
    repo.write("teams/search/app.yaml", APP.replace("one", "search-eu"))
    assert found("teams/search") == found("prod") == unknown
