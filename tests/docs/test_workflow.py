from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from docs.executing import ROOT

from octosync import __version__

_TEXT = (ROOT / ".github" / "workflows" / "ci.yml").read_text(encoding="utf-8")
_WORKFLOW: dict[str, Any] = yaml.safe_load(_TEXT)
_ALL = {
    path.name: path.read_text(encoding="utf-8")
    for path in (*sorted((ROOT / ".github" / "workflows").glob("*.yml")), ROOT / "action.yml")
}
_OURS = re.compile(rf"octomil/octosync@[0-9a-f]{{40}} # {re.escape(__version__)}|\./ #.*")


def _steps_in(text: str) -> Iterator[dict[str, Any]]:
    document = yaml.safe_load(text)
    for job in document.get("jobs", {"action": document.get("runs")}).values():
        yield from job["steps"]


def _steps() -> Iterator[dict[str, Any]]:
    yield from _steps_in(_TEXT)


def test_a_job_may_do_only_what_it_says() -> None:
    """Nothing is permitted by default, each job may at most read contents and has a time limit."""
    assert _WORKFLOW["permissions"] == {}
    for job in _WORKFLOW["jobs"].values():
        assert job["permissions"] == {"contents": "read"}
        assert job["timeout-minutes"] <= 30


@pytest.mark.parametrize("name", _ALL)
def test_actions_are_pinned(name: str) -> None:
    """Every action is pinned to a commit, with its version in a comment, also octosync's own; or it is the checkout's own."""
    pins = re.findall(r"uses: (.+)$", _ALL[name], re.MULTILINE)
    assert pins
    foreign = [pin for pin in pins if not _OURS.fullmatch(pin)]
    assert [pin for pin in foreign if not re.fullmatch(r"[\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", pin)] == []


def test_the_workflows_install_one_octosync() -> None:
    """All reusable workflows name the same commit of the action."""
    assert len({pin for text in _ALL.values() for pin in re.findall(r"octomil/octosync@\w+", text)}) == 1


@pytest.mark.parametrize("name", _ALL)
def test_a_checkout_keeps_no_credentials(name: str) -> None:
    """No step after a checkout finds a token in it."""
    checkouts = [step for step in _steps_in(_ALL[name]) if step.get("uses", "").startswith("actions/checkout@")]
    assert checkouts or name == "action.yml"
    assert all(step["with"]["persist-credentials"] is False for step in checkouts)


@pytest.mark.parametrize("name", _ALL)
def test_no_expression_is_put_into_a_script(name: str) -> None:
    """Scripts get external values only through the environment."""
    scripts = [step["run"] for step in _steps_in(_ALL[name]) if "run" in step]
    assert scripts
    assert [script for script in scripts if "${{" in script] == []


@pytest.mark.parametrize("verb", ["plan", "apply", "drift"])
def test_a_reusable_workflow_may_do_only_what_it_says(verb: str) -> None:
    """A reusable workflow can only be called, permits nothing by default, writes no contents, and has a time limit."""
    workflow = yaml.safe_load(_ALL[f"octosync-{verb}.yml"])
    assert list(workflow[True]) == ["workflow_call"]  # YAML 1.1 reads `on` as true
    assert workflow["permissions"] == {}
    for job in workflow["jobs"].values():
        assert job["permissions"].pop("contents") == "read"
        assert set(job["permissions"]) <= {"pull-requests", "issues", "deployments"}
        assert job["timeout-minutes"] <= 180
        assert job["concurrency"]["cancel-in-progress"] is (verb == "plan")


def test_only_apply_runs_in_an_environment() -> None:
    """The environment's last success is the last full apply: no other job may use the environment."""
    with_one = [
        (name, job["environment"])
        for name, text in _ALL.items()
        for job in yaml.safe_load(text).get("jobs", {}).values()
        if "environment" in job and name not in {"docs.yml", "release.yml"}
    ]
    assert with_one == [("octosync-apply.yml", "octosync-${{ inputs.context }}")]


def test_only_its_own_job_may_publish_the_site() -> None:
    """The job that publishes runs no code of the repository, and no other job of the workflow may write."""
    jobs = yaml.safe_load(_ALL["docs.yml"])["jobs"]
    assert yaml.safe_load(_ALL["docs.yml"])["permissions"] == {}
    assert {name: job["permissions"] for name, job in jobs.items()} == {
        "build": {"contents": "read"},
        "publish": {"pages": "write", "id-token": "write"},
    }
    assert [step["uses"].partition("@")[0] for step in jobs["publish"]["steps"]] == ["actions/deploy-pages"]


def test_what_the_action_installs_is_pinned() -> None:
    """Each dependency and all its dependencies are in requirements.txt, with version and hash."""
    pyproject = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    text = (ROOT / "requirements.txt").read_text(encoding="utf-8")
    pinned = set(re.findall(r"^([\w.-]+)==\S+(?: ;.*)? \\$", text, re.MULTILINE))
    project = pyproject["project"]
    requirements = [
        *project["dependencies"],
        *project["optional-dependencies"]["postgres"],
        *pyproject["build-system"]["requires"],
    ]
    assert {re.split(r"[<>=~!\[;]", requirement)[0].strip() for requirement in requirements} <= pinned
    assert text.count("--hash=sha256:") >= len(pinned)


def test_every_python_that_is_promised_is_tested() -> None:
    """The matrix has the versions that pyproject.toml names."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    named = [
        found[1] for classifier in project["classifiers"] if (found := re.search(r"Python :: (3\.\d+)$", classifier))
    ]
    assert _WORKFLOW["jobs"]["test"]["strategy"]["matrix"]["python"] == named


@pytest.mark.parametrize("name", ["ci.yml", "release.yml"])
def test_the_wheel_is_tested_and_not_the_checkout(name: str) -> None:
    """The tests import the installed wheel, and the sources are there, because some tests read them."""
    (script,) = (
        step["run"] for step in _steps_in(_ALL[name]) if "-m pytest" in step.get("run", "") and "/tested" in step["run"]
    )
    assert script.index("dist/*.whl") < script.index('"site-packages" in octosync.__file__') < script.index("-m pytest")
    assert "rm " not in script


def test_what_is_run_exists() -> None:
    """The make targets of the workflow and of .ci/run are in the Makefile."""
    targets = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    scripts = [*(step.get("run", "") for step in _steps()), (ROOT / ".ci" / "run").read_text(encoding="utf-8")]
    used = {target for script in scripts for target in re.findall(r"^make (\S+)", script, re.MULTILINE)}
    assert used
    assert used <= targets


@pytest.mark.parametrize(
    ("tools", "line"),
    [
        ("kubectl", "No tests were skipped."),
        ("", "1 test was skipped (kubectl is not installed: 1). To run them: apt-get install kubectl"),
    ],
)
def test_the_last_line_says_what_was_skipped(tools: str, line: str, tmp_path: Path) -> None:
    """A test without its tool is skipped, which is no failure; the last line of the run names it and how to install the tool."""
    for tool in tools.split():
        (tmp_path / tool).touch(mode=0o755)
    test = tmp_path / "test_it.py"
    test.write_text(
        "from tests.support.kubectl import needs_kubectl\n\n@needs_kubectl\ndef test_it() -> None:\n    pass\n"
    )
    ran = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "tests.support.skipped_tests", "-p", "no:cacheprovider", str(test)],
        cwd=ROOT,
        env={"PATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout
    assert ran.stdout.splitlines()[-1] == line
