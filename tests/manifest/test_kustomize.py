"""Kustomizations, rendered for real: in the work tree, and in a revision's files without touching the work tree."""

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
from octosync.manifest import Configuration, Owner, load
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
    """Return the URL of a web server, and the requests that it got."""
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
def test_a_kustomization_has_no_network(
    repo: Repo, monkeypatch: pytest.MonkeyPatch, visited: tuple[str, list[str]]
) -> None:
    """Whatever it names elsewhere is not fetched, not even from this machine's own ports, and a proxy is not asked."""
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
def test_remote_bases_are_fetched_where_that_is_allowed(
    repo: Repo, monkeypatch: pytest.MonkeyPatch, visited: tuple[str, list[str]]
) -> None:
    """With `remote`, kustomize fetches what it names."""
    url, requests = visited
    repo.write("base/kustomization.yaml", _REMOTE["a file's content"].replace("URL", url))
    monkeypatch.chdir(repo.root)
    assert b"CANARY" in render("base", os.environ, remote=True).data
    assert requests == ["/latest"]


@needs_kustomize
def test_a_kustomization_is_read_through_no_link_that_leads_elsewhere(
    repo: Repo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither itself, nor its folder, nor what it refers to; and what it names must be in the repository of octosync.yaml."""
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
    ids=["plain", "large", "broken afterwards"],
)
def test_a_kustomization_reaches_no_folder_outside_of_the_work_tree(
    repo: Repo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, before: str, after: str
) -> None:
    """A kustomization elsewhere on the machine may generate Secrets from files. One that can't be checked is not rendered."""
    (tmp_path / "other").mkdir()
    (tmp_path / "other/key").write_text("oct_CANARY")
    (tmp_path / "other/kustomization.yaml").write_text("secretGenerator: [{name: loot, files: [key]}]\n")
    monkeypatch.chdir(repo.root)
    outside = f"{'./' * 150}{os.path.relpath(tmp_path / 'other', repo.root / 'base')}"
    (repo.root / "base/kustomization.yaml").write_text(f"{before}resources: ['{outside}']{after}")
    with pytest.raises(ManifestError, match=r"path-outside-repository|kustomization-unreadable|kustomize-failed"):
        render("overlays/prod", os.environ)


@needs_kustomize
def test_what_kustomize_renders_without_end_is_not_read_to_the_end(repo: Repo, monkeypatch: pytest.MonkeyPatch) -> None:
    """No more of it is taken than a manifest may hold."""
    repo.write("base/long.txt", "x" * 900_000)
    names = ", ".join(f"{{name: n{number}, files: [long.txt]}}" for number in range(40))
    repo.write("base/kustomization.yaml", f"configMapGenerator: [{names}]\n")
    monkeypatch.chdir(repo.root)
    assert len(render("base", os.environ).data) == MOST_BYTES + 1


def test_a_kustomize_that_does_not_end_is_ended(repo: Repo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the time that a load may take, its process is over, too."""
    tool = tmp_path / "bin/kustomize"
    tool.parent.mkdir()
    tool.write_text(f"#!/bin/sh\necho $$ > {tmp_path}/pid\nexec sleep 1000\n")
    tool.chmod(0o755)
    monkeypatch.chdir(repo.root)
    bound = timedelta(seconds=2)
    with load_deadline(bound), pytest.raises(OctosyncError, match="load-timeout"):
        render("base", {"PATH": f"{tool.parent}:{os.environ['PATH']}"})
    pid = tmp_path / "pid"
    assert not pid.exists() or not Path("/proc", pid.read_text().strip()).exists()


@needs_kustomize
@pytest.mark.parametrize("traced", [True, False])
def test_owners_hold_for_what_is_rendered(repo: Repo, monkeypatch: pytest.MonkeyPatch, *, traced: bool) -> None:
    """A document belongs to its file if that is known; a kustomization in an owner's folder declares that owner's apps only."""
    monkeypatch.chdir(repo.root)
    metadata = "buildMetadata: [originAnnotations]\n" if traced else ""
    repo.write("teams/search/app.yaml", APP.replace("one", "cart"))
    repo.write("teams/search/kustomization.yaml", f"resources: [app.yaml]\n{metadata}")
    repo.write("prod/kustomization.yaml", f"resources: [../teams/search]\n{metadata}")
    owners = (Owner("teams/search/**", ("search-*",)), Owner("teams/shop/**", ("cart",)))
    configuration = Configuration(file="octosync.yaml", owners=owners)

    def found(kustomization: str) -> set[str]:
        loaded = load((), configuration=configuration, now=NOW, rendered=[render(kustomization, os.environ)])
        return {one.rule for one in loaded.diagnostics}

    unknown = set() if traced else {"owners-not-checked"}
    assert found("teams/search") == {"app-not-owned"} | unknown
    assert found("prod") == ({"app-not-owned"} if traced else unknown)
    repo.write("teams/search/app.yaml", APP.replace("one", "search-eu"))
    assert found("teams/search") == found("prod") == unknown
