"""Problems of rendered manifests are shown at their source, as far as kustomize annotates it."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import pytest
from tests.support.kubectl import needs_kubectl, needs_kustomize, render_kustomization
from tests.support.repositories import Repo

from octosync.manifest import Configuration, Manifests, load_manifests
from octosync.manifest.git.base import load_base
from octosync.manifest.git.repository import Repository
from octosync.manifest.git.revision import Revision
from octosync.manifest.load.files import File
from octosync.manifest.load.kustomize import opened, render, render_at
from octosync.manifest.schema.rules import Findings

NOW = datetime(2030, 1, 1, tzinfo=UTC)
BASE = """\
# Ours.
apiVersion: octosync.dev/v1
kind: App
metadata: {name: one}
spec:
  slots:
    # First in the file, and second in what is rendered.
    - servingPolicy: privat
      capability: chat
      bindings: [{binding_key: a, api_key: s3cret}]
    - {capability: tts, servingPolicy: local_only}
---
apiVersion: octosync.dev/v1
kind: CapabilitySlot
metadata: {name: one-transcription}
spec: {app: one, capability: transcription}
"""
PATCH = """\
apiVersion: octosync.dev/v1
kind: App
metadata: {name: one}
spec: {name: 5}
"""


@pytest.fixture
def repo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Repo:
    repo = Repo.init(tmp_path / "repo")
    repo.write("base/apps/one.yaml", BASE)
    repo.write("base/kustomization.yaml", "resources: [apps/one.yaml]\n")
    overlay = "resources: [../../base]\nbuildMetadata: [originAnnotations]\npatches: [{path: patch.yaml}]\n"
    repo.write("overlays/prod/kustomization.yaml", overlay)
    repo.write("overlays/prod/patch.yaml", PATCH)
    repo.commit()
    monkeypatch.chdir(repo.root)
    return repo


def loaded(file: File) -> Manifests:
    return load_manifests((), configuration=Configuration(), now=NOW, rendered=[file])


@needs_kustomize
def test_a_problem_is_shown_at_its_source(repo: Repo) -> None:
    """A value of the base has its own line. A value of a patch has the document of the base, and the rendered line."""
    del repo
    found = loaded(render("overlays/prod", os.environ)).diagnostics
    patched, base = (diagnostic for diagnostic in found if diagnostic.rule != "secret-in-manifest")
    assert str(base.origin) == "base/apps/one.yaml:8:22"
    assert (base.excerpt, base.width, base.suggestion) == ("    - servingPolicy: privat", 6, "private")
    assert str(patched.origin) == "base/apps/one.yaml:2:1"
    assert (patched.excerpt, patched.path) == (None, "spec.name")
    assert patched.notes[-1].endswith("of overlays/prod (rendered): name: 5")


@needs_kustomize
def test_a_plan_shows_the_place_in_the_base(repo: Repo) -> None:
    """Slots are matched by their content, not by their position, even from another working directory and in a revision."""
    repo.write("overlays/prod/patch.yaml", PATCH.replace("5", "Five"))
    repo.write("base/apps/one.yaml", BASE.replace("privat", "private"))
    repo.commit()
    app = loaded(render("overlays/prod", os.environ)).state.apps["one"]
    assert [str(slot.origin) for slot in app.slots] == [f"base/apps/one.yaml:{at}" for at in ("8:7", "16:7", "11:7")]
    os.chdir("overlays/prod")
    again = loaded(render(".", os.environ)).state.apps["one"]
    assert str(again.slots[0].origin) == "../../base/apps/one.yaml:8:7"
    os.chdir(repo.root)
    repository = Repository.around(repo.root)
    committed = render_at(Revision(repository, repo.head), "overlays/prod", os.environ)
    assert committed is not None
    base = load_base([committed], Findings(), configuration=Configuration(), context=None, now=NOW, environment={})
    assert str(base.state.apps["one"].slots[0].origin) == f"{repo.head[:12]}:base/apps/one.yaml:8:7"


@needs_kustomize
def test_a_secret_in_the_base_is_not_shown(repo: Repo) -> None:
    """A line of the base with a sensitive value is as hidden as in the base itself."""
    del repo
    found = loaded(render("overlays/prod", os.environ)).diagnostics
    (secret,) = [diagnostic for diagnostic in found if diagnostic.rule == "secret-in-manifest"]
    assert (str(secret.origin), secret.excerpt) == ("base/apps/one.yaml:10:35", None)
    assert "s3cret" not in repr(found)


@needs_kubectl
def test_the_file_is_a_note_if_read_from_a_pipe(repo: Repo) -> None:
    """The start of the path is unknown, so the place is that of the pipe, and the path is a note."""
    data = render_kustomization(repo.root / "overlays" / "prod")
    found = load_manifests(["-"], configuration=Configuration(), now=NOW, stdin=data).diagnostics
    assert all(str(diagnostic.origin).startswith("<stdin>:") for diagnostic in found)
    assert {diagnostic.notes[-1] for diagnostic in found} == {
        "kustomize took the document from `../../base/apps/one.yaml`"
    }


RENDERED = """\
apiVersion: octosync.dev/v1
kind: App
metadata:
  name: {name}
  annotations:
    config.kubernetes.io/origin: |
      {origin}
spec: {{name: 5}}
"""


@pytest.mark.parametrize(
    "origin",
    [
        "path: base/apps/one.yaml\n      repo: https://git.example/x",
        "path: nowhere.yaml",
        "path: base",
        "path: /dev/zero",
        "path: [base/apps/one.yaml]",
        "{",
        "path: base/kustomization.yaml",
        'path: "a\\0.yaml"',
        "path: '" + "../" * 5_000 + "x.yaml'",
    ],
)
def test_an_origin_that_leads_nowhere_changes_no_place(repo: Repo, origin: str) -> None:
    """A file of another repository, a missing or invalid one, and a malformed annotation have no effect."""
    open_ = partial(opened, repo.root)
    file = File("rendered", RENDERED.format(name="one", origin=origin).encode(), open_=open_)
    (found,) = loaded(file).diagnostics
    assert found.origin is not None
    assert found.origin.file == "rendered"
    assert found.excerpt == "spec: {name: 5}"


def test_the_origin_is_not_a_part_of_the_declaration() -> None:
    """The digest does not depend on kustomize's origin annotations. Other annotations count."""

    def digest(origin: str, **more: str) -> str:
        text = RENDERED.format(name="one", origin=origin).replace("5", "Five")
        for old, new in more.items():
            text = text.replace(old, new)
        return loaded(File("rendered", text.encode())).digest

    assert digest("path: a.yaml") == digest("path: b.yaml") == digest("path: a.yaml", config="alpha.config")
    assert digest("path: a.yaml") != digest("path: a.yaml", kubernetes="example")


def test_a_document_that_was_rendered_twice_belongs_to_both_apps(repo: Repo) -> None:
    """With prefixes, the document of one file is two apps: in a base, its error makes both of them unknown."""
    data = "---\n".join(RENDERED.format(name=name, origin="path: base/apps/one.yaml") for name in ("a-one", "b-one"))
    file = File("rendered", data.encode(), open_=partial(opened, repo.root))
    base = load_base([file], Findings(), configuration=Configuration(), context=None, now=NOW, environment={})
    assert base.unknown == {"a-one", "b-one"}
