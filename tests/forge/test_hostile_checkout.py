"""The action with a hostile checkout: a pull request adds modules that Python could find before its own."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from docs.executing import ROOT

KEY = "oct_of_the_job"
# A module of the checkout that is imported by mistake records its name.
HOSTILE = "import os; open(os.environ['TAKEN'], 'a').write(__name__ + ' ')\n"
MODULES = (
    "venv",
    "pip/__init__",
    "logging",
    "sitecustomize",
    "usercustomize",
    "octosync/__init__",
    "octosync/__main__",
)
# A replacement for octosync, which takes long to install: it prints where it was loaded from, and its arguments.
BACKEND = """
import zipfile

def build_wheel(folder, settings=None, metadata=None):
    name = "octosync-0.1.0-py3-none-any.whl"
    with zipfile.ZipFile(f"{folder}/{name}", "w") as wheel:
        wheel.writestr("octosync/__init__.py", "")
        wheel.writestr("octosync/__main__.py", "import logging, sys; print('RAN', __file__, logging.__file__, *sys.argv[1:])")
        wheel.writestr("octosync-0.1.0.dist-info/METADATA", "Metadata-Version: 2.1\\nName: octosync\\nVersion: 0.1.0\\n")
        wheel.writestr("octosync-0.1.0.dist-info/WHEEL", "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n")
        wheel.writestr("octosync-0.1.0.dist-info/RECORD", "")
    return name
"""
PROJECT = """
[build-system]
requires = []
build-backend = "backend"
backend-path = ["."]
[project]
name = "octosync"
version = "0.1.0"
"""


def _scripts(name: str) -> Iterator[tuple[str, str]]:
    """Yield the scripts of a workflow or of the action, with the names of their steps."""
    document: dict[str, Any] = yaml.safe_load((ROOT / name).read_text(encoding="utf-8"))
    for job in document.get("jobs", {"action": document.get("runs")}).values():
        for step in job["steps"]:
            if "run" in step:
                yield step.get("name", ""), step["run"]


ACTION = dict(_scripts("action.yml"))


def _run(script: str, folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a script of the action as a runner does, in the checkout."""
    (folder / "work").mkdir(exist_ok=True)
    return subprocess.run(
        ["bash", "--noprofile", "--norc", "-e", "-o", "pipefail", "-c", script],
        cwd=folder / "work",
        env={
            "PATH": os.environ["PATH"],
            "HOME": str(folder),
            "RUNNER_OS": "Linux",
            "RUNNER_TEMP": str(folder),
            "GITHUB_OUTPUT": str(folder / "output"),
            "GITHUB_PATH": str(folder / "path"),
            "PYTHON": sys.executable,
            "PIP_NO_INDEX": "1",
            "TAKEN": str(folder / "taken"),
            **environment,
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )


@pytest.mark.fresh
def test_nothing_of_the_checkout_is_imported(tmp_path: Path) -> None:
    """No module of the checkout is imported, neither when octosync is installed, nor when it runs with the API key."""
    for module in MODULES:
        path = tmp_path / "work" / f"{module}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(HOSTILE)
    action = tmp_path / "action"
    action.mkdir()
    for name, text in {"pyproject.toml": PROJECT, "backend.py": BACKEND, "requirements.txt": ""}.items():
        (action / name).write_text(text)
    environment = {
        "ACTION_PATH": str(action),
        "API_KEY": KEY,
        "PYTHONPATH": ".",
        **dict.fromkeys(("MANIFESTS", "KUSTOMIZE", "CONTEXT", "FLAGS", "STATE_URL"), ""),
    }
    printed = ""
    for step in ("Check the runner and the event", "Install octosync", "octosync"):
        ran = _run(ACTION[step], tmp_path, COMMAND="plan", EVENT="pull_request", BASE="origin/main", **environment)
        assert ran.returncode == 0, ran.stdout
        assert not (tmp_path / "taken").exists(), (step, (tmp_path / "taken").read_text())
        printed += ran.stdout
    where = re.search(r"^RAN (\S+) (\S+) plan ", printed, re.MULTILINE)
    assert where is not None, printed
    assert Path(where[1]).is_relative_to(tmp_path / "octosync")
    assert not Path(where[2]).is_relative_to(tmp_path / "work")
    assert KEY not in printed


@pytest.mark.parametrize(
    ("environment", "complaint"),
    [
        ({"EVENT": "pull_request_target"}, "pull_request_target"),
        ({"EVENT": "pull_request_target", "COMMAND": "install"}, "pull_request_target"),
        ({"BASE": ""}, "base is empty"),
        ({"BASE": "", "FLAGS": "--offline --base-file base.yaml"}, "base is empty"),
        ({"RUNNER_OS": "macOS"}, "Linux"),
        ({"COMMAND": "destroy"}, "plan, apply or install"),
        ({}, ""),
        ({"BASE": "", "FLAGS": "--offline\n--base HEAD"}, ""),
        ({"BASE": "", "EVENT": "push"}, ""),
        ({"BASE": "", "COMMAND": "install"}, ""),
    ],
)
def test_what_can_not_be_trusted_is_refused(environment: dict[str, str], complaint: str, tmp_path: Path) -> None:
    """The action fails first, with a message, if the event exposes secrets or a pull request would choose its configuration."""
    given = {"COMMAND": "plan", "EVENT": "pull_request", "BASE": "origin/main", "FLAGS": "", **environment}
    ran = _run(next(iter(ACTION.values())), tmp_path, **given)
    assert ran.returncode == (64 if complaint else 0)
    assert complaint in ran.stdout
    assert ran.stdout.startswith("::error title=octosync::") == bool(complaint)


@pytest.mark.parametrize("verb", ["plan", "apply", "drift"])
def test_a_workflow_refuses_it_before_anything_else(verb: str) -> None:
    """The first step of each reusable workflow ends a run of the event pull_request_target."""
    document = yaml.safe_load((ROOT / ".github" / "workflows" / f"octosync-{verb}.yml").read_text(encoding="utf-8"))
    first = document["jobs"][verb]["steps"][0]
    assert first["if"] == "github.event_name == 'pull_request_target'"
    assert first["run"].endswith("exit 64\n")


def _written() -> list[str]:
    folders = (ROOT / ".github" / "workflows", ROOT / "src/octosync/forge/starter", ROOT / "examples" / "ci")
    files = [ROOT / "action.yml", *(path for folder in folders for path in sorted(folder.rglob("*")) if path.is_file())]
    return [str(path.relative_to(ROOT)) for path in files]


@pytest.mark.parametrize("name", _written())
def test_python_is_isolated_and_nothing_comes_from_a_cache(name: str) -> None:
    """Modules are run with -I, so that the working directory is not in the module path; no job restores a cache."""
    text = (ROOT / name).read_text(encoding="utf-8")
    runs = re.findall(r'(?:\bpython3?|\$PYTHON)"? ((?:-\w+ )*-m \S+)', text)
    assert [run for run in runs if not run.startswith("-I ") and run != "-m pytest"] == []
    assert "actions/cache" not in text
    assert not re.search(r"^\s*cache:", text, re.MULTILINE)
