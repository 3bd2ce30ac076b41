from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from docs.executing import ROOT
from tests.support.workdirs import Workdir

from octosync.octomil import API_PATH
from octosync.server import ServerSettings, running_server

EXAMPLES = ROOT / "examples"


def _documents() -> Iterator[tuple[Path, dict[str, Any]]]:
    for path in sorted((EXAMPLES / "manifests").rglob("*.yaml")):
        for document in yaml.safe_load_all(path.read_text(encoding="utf-8")):
            yield path, document


def test_the_examples_have_no_fault() -> None:
    """The examples validate without a notice, alone and with their octosync.yaml with its owners."""
    for arguments, cwd in ((("-f", "examples/manifests"), ROOT), ((), EXAMPLES)):
        ended = Workdir(cwd).octosync("validate", "--strict", *arguments)
        assert (ended.code, ended.stderr) == (0, "")
        assert ended.stdout.endswith("No problems.\n")


def test_the_examples_show_what_there_is() -> None:
    """The examples have several teams, eight apps or more, every kind, and an app in files of several teams."""
    documents = list(_documents())
    apps = {document["metadata"]["name"] for _, document in documents if document["kind"] == "App"}
    assert len(apps) >= 8
    assert {document["kind"] for _, document in documents} == {"App", "AppTarget", "CapabilitySlot", "InferenceConfig"}
    teams = {path.parent for path, document in documents if document["spec"].get("app") == "reader"}
    assert len(teams) >= 3
    assert all(document["metadata"].get("labels") for _, document in documents if document["kind"] == "App")


@pytest.fixture(scope="module")
def applied(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Return a client for a control plane with the demo seed, to which the examples were applied."""
    with running_server(ServerSettings(seed="demo")) as plane:
        command = ("apply", "-f", str(EXAMPLES / "manifests"), "--url", plane.url, "--rate", "0", "--yes")
        ended = Workdir(tmp_path_factory.mktemp("applied")).octosync(*command)
        assert ended.code == 0, ended.output
        yield f"{plane.url}{API_PATH}"


@pytest.mark.parametrize(
    ("app", "capability"), [("canary-demo", "chat"), ("field-notes", "transcription"), ("support-desk", "chat")]
)
def test_the_seed_has_devices_for_the_examples(app: str, capability: str, applied: str) -> None:
    """`octosync server --seed demo` has devices of the examples' targets."""
    with httpx.Client(trust_env=False) as client:
        answer = client.post(f"{applied}/apps/{app}/capabilities/{capability}/preview", json={})
    assert answer.json()["device_count"] > 0
