"""The check of deploy/kubernetes finds what is wrong. `make lint` runs it for all overlays as they are."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from deploy.check import main, problems
from deploy.kustomizations import REQUIRED
from deploy.schemas import closed
from tests.support.kubectl import needs_kubectl


def spoil(tree: Path, name: str, old: str, new: str) -> None:
    """Replace a text of a file, and remove the overlays that are not needed to find it."""
    for overlay in ("configmap", "ha"):
        shutil.rmtree(tree / "overlays" / overlay, ignore_errors=True)
    path = tree / name
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="utf-8")


# Of an object with several problems, only some are reported: each test has one for each object.
TYPOS = {
    "one of each kind": (
        ("base/deployment.yaml", "enableServiceLinks:", "enableServiceLink:", "'enableServiceLink' was unexpected"),
        ("base/networkpolicy.yaml", "policyTypes:", "policyType:", "'policyType' was unexpected"),
        ("base/service.yaml", "targetPort:", "targetport:", "'targetport' was unexpected"),
        ("components/monitoring/podmonitor.yaml", "scrapeTimeout:", "timeout:", "'timeout' was unexpected"),
        ("components/monitoring/prometheusrule.yaml", "for: 10m", "after: 10m", "'after' was unexpected"),
        ("base/serviceaccount.yaml", "kind: ServiceAccount", "kind: ServiceAcount", "no schema of v1 ServiceAcount"),
    ),
    "values": (
        ("base/deployment.yaml", "replicas: 1", "replicas: one", "'one' is not of type 'integer'"),
        ("components/monitoring/podmonitor.yaml", "interval: 30s", "interval: often", "'often' does not match"),
    ),
    "an overlay": (("overlays/git-sync/git-sync.yaml", "failureThreshold:", "failures:", "'failures' was unexpected"),),
}


@needs_kubectl
@pytest.mark.parametrize("typos", TYPOS.values(), ids=TYPOS)
def test_typos_are_found(typos: tuple[tuple[str, str, str, str], ...], tree: Path) -> None:
    """Each unknown field, value of another type and unknown kind is a problem."""
    for name, old, new, _ in typos:
        spoil(tree, name, old, new)
    missing = [complaint for *_, complaint in typos]
    for problem in problems(tree):  # each rendering takes time
        missing = [complaint for complaint in missing if complaint not in problem]
        if not missing:
            break
    assert missing == []


@needs_kubectl
def test_a_missing_file_is_found(tree: Path) -> None:
    """A file that a kustomization names and that does not exist is a problem."""
    spoil(tree, "base/kustomization.yaml", "- service.yaml", "- services.yaml")
    assert any("services.yaml" in problem for problem in problems(tree))


@needs_kubectl
def test_a_problem_of_all_renderings_is_told_once(tree: Path) -> None:
    """A problem in the base is one line for each version of Kubernetes, not one for each rendering."""
    spoil(tree, "base/deployment.yaml", "enableServiceLinks:", "enableServiceLink:")
    assert len([problem for problem in problems(tree) if "enableServiceLink" in problem]) == 2


def test_without_kubectl_lint_fails_and_says_what_to_do(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without kubectl the check fails, with the commands that install it."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv(REQUIRED, raising=False)
    assert main() == 1
    assert "apt-get install kubectl" in capsys.readouterr().err


def test_without_kubectl_it_can_be_left_out(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """With `OCTOSYNC_REQUIRE_KUBECTL=0` the check passes, and says what was not checked."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv(REQUIRED, "0")
    assert main() == 0
    assert "were not rendered" in capsys.readouterr().err


def test_a_schema_is_closed_at_every_depth() -> None:
    """Only the properties of a schema are valid, in lists and alternatives too; maps stay open."""
    schema = {
        "properties": {
            "properties": {"type": "string"},
            "labels": {"type": "object", "additionalProperties": {"type": "string"}},
            "rules": {"items": {"properties": {"name": {}}}},
            "either": {"anyOf": [{"properties": {"one": {}}}, {"type": "string"}]},
        }
    }
    assert closed(schema) == {
        "properties": {
            "properties": {"type": "string"},
            "labels": {"type": "object", "additionalProperties": {"type": "string"}},
            "rules": {"items": {"properties": {"name": {}}, "additionalProperties": False}},
            "either": {"anyOf": [{"properties": {"one": {}}, "additionalProperties": False}, {"type": "string"}]},
        },
        "additionalProperties": False,
    }
