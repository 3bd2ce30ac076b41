"""The overlays of examples/: kustomize renders them, octosync plans the output, and a patch of one slot keeps the others."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml
from docs.executing import ROOT
from tests.support.kubectl import REQUIRED, missing, needs_kubectl, render_kustomization
from tests.support.workdirs import Workdir

from octosync.server import ServerSettings, running_server

EXAMPLES = ROOT / "examples"
BASE = next(yaml.safe_load_all((EXAMPLES / "base" / "memo-pad.yaml").read_text(encoding="utf-8")))["spec"]


@pytest.fixture
def workdir(tmp_path: Path) -> Workdir:
    return Workdir(tmp_path)


def _spec(rendered: bytes) -> dict[str, Any]:
    """Return the declared app."""
    (app,) = [document for document in yaml.safe_load_all(rendered) if document["kind"] == "App"]
    spec: dict[str, Any] = app["spec"]
    return spec


def _slots(spec: dict[str, Any]) -> dict[str, Any]:
    return {slot["capability"]: slot for slot in spec["slots"]}


def _targets(spec: dict[str, Any]) -> set[tuple[str, str]]:
    return {(target["platform"], target["identifier"]) for target in spec["targets"]}


@needs_kubectl
@pytest.mark.parametrize("overlay", ["staging", "production"])
def test_an_overlay_is_planned_from_a_pipe(overlay: str, workdir: Workdir) -> None:
    """`kubectl kustomize … | octosync plan -f -` plans the app with both slots and the child; after apply, the plan is empty."""
    rendered = render_kustomization(EXAMPLES / "overlays" / overlay)
    with running_server(ServerSettings()) as plane:
        remote = ("-f", "-", "--url", plane.url)
        planned = workdir.octosync("plan", *remote, "-o", "json", stdin=rendered)
        assert planned.code == 0, planned.stderr
        created = {row["address"] for row in json.loads(planned.stdout)["resource_changes"]}
        assert {f"app/memo-pad/slot/{capability}" for capability in ("chat", "transcription", "tts")} < created
        assert workdir.octosync("apply", *remote, "--yes", "--rate", "0", stdin=rendered).code == 0
        assert workdir.octosync("plan", *remote, "--detailed-exitcode", stdin=rendered).code == 0


@needs_kubectl
def test_a_patch_of_one_slot_keeps_the_others() -> None:
    """Production declares its own policy and deploy of chat: everything else is as in the base, including chat's engines."""
    slots = _slots(_spec(render_kustomization(EXAMPLES / "overlays" / "production")))
    base = _slots(BASE)
    mine = {"servingPolicy": "performance_first", "deploy": {"environments": ["production"]}}
    assert slots == {**base, "chat": {**base["chat"], **mine}}


@needs_kubectl
def test_targets_are_merged_by_both_of_their_keys() -> None:
    """Two targets with one identifier or with one platform are distinct; one more is added, one is removed."""
    base = _targets(BASE)
    more = ("browser", "https://memo-pad.octomil.example")
    assert _targets(_spec(render_kustomization(EXAMPLES / "overlays" / "production"))) == {*base, more}
    less = ("ios", "com.octomil.memo-pad.tablet")
    assert _targets(_spec(render_kustomization(EXAMPLES / "overlays" / "staging"))) == base - {less}


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    """Return a copy of base and overlays that a test may change."""
    for name in ("base", "overlays"):
        shutil.copytree(EXAMPLES / name, tmp_path / name)
    return tmp_path


@needs_kubectl
def test_it_is_the_merge_keys_that_keep_them(copied: Path) -> None:
    """Without the definitions kustomize replaces the lists, as the file says."""
    base = copied / "base" / "kustomization.yaml"
    base.write_text(
        base.read_text(encoding="utf-8").replace("openapi: {path: merge-keys.json}\n", ""), encoding="utf-8"
    )
    spec = _spec(render_kustomization(copied / "overlays" / "production"))
    assert (list(_slots(spec)), len(spec["targets"])) == (["chat"], 1)


@needs_kubectl
def test_a_slot_can_be_taken_out(copied: Path) -> None:
    """`$patch: delete` removes one slot, and lists that have no keys are replaced."""
    (copied / "overlays" / "staging" / "memo-pad.yaml").write_text(
        "apiVersion: octosync.dev/v1\nkind: App\nmetadata: {name: memo-pad}\nspec:\n  slots:\n"
        "    - {capability: transcription, $patch: delete}\n    - {capability: chat, preferredEngines: [litert]}\n",
        encoding="utf-8",
    )
    slots = _slots(_spec(render_kustomization(copied / "overlays" / "staging")))
    assert slots == {"chat": {**_slots(BASE)["chat"], "preferredEngines": ["litert"]}}


def test_a_skip_fails_where_kubectl_is_required(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """If `.ci/run` requires kubectl, its absence is no reason to skip; elsewhere it is."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv(REQUIRED, "1")
    assert not missing("kubectl")
    monkeypatch.setenv(REQUIRED, "0")
    assert missing("kustomize", "kubectl")
    assert f"export {REQUIRED}=" in (ROOT / ".ci" / "run").read_text(encoding="utf-8")
