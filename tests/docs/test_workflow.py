from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from typing import Any

import yaml
from docs.executing import ROOT

_TEXT = (ROOT / ".github" / "workflows" / "ci.yml").read_text(encoding="utf-8")
_WORKFLOW: dict[str, Any] = yaml.safe_load(_TEXT)


def _steps() -> Iterator[dict[str, Any]]:
    for job in _WORKFLOW["jobs"].values():
        yield from job["steps"]


def test_a_job_may_do_only_what_it_says() -> None:
    """Nothing is permitted by default, each job reads contents at most and ends in time."""
    assert _WORKFLOW["permissions"] == {}
    for job in _WORKFLOW["jobs"].values():
        assert job["permissions"] == {"contents": "read"}
        assert job["timeout-minutes"] <= 30


def test_actions_are_pinned() -> None:
    """Every action is named by its commit, with its version beside it, and a checkout keeps no credentials."""
    pins = re.findall(r"uses: (.+)$", _TEXT, re.MULTILINE)
    assert [pin for pin in pins if not re.fullmatch(r"[\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", pin)] == []
    checkouts = [step for step in _steps() if step.get("uses", "").startswith("actions/checkout@")]
    assert checkouts
    assert all(step["with"]["persist-credentials"] is False for step in checkouts)


def test_no_expression_is_put_into_a_script() -> None:
    """A script gets what comes from outside through the environment only."""
    assert [step["run"] for step in _steps() if "${{" in step.get("run", "")] == []


def test_every_python_that_is_promised_is_tested() -> None:
    """The matrix has the versions that pyproject.toml names."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    named = [found[1] for one in project["classifiers"] if (found := re.search(r"Python :: (3\.\d+)$", one))]
    assert _WORKFLOW["jobs"]["test"]["strategy"]["matrix"]["python"] == named


def test_what_is_run_exists() -> None:
    """The make targets of the workflow and of .ci/run are in the Makefile."""
    targets = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    scripts = [*(step.get("run", "") for step in _steps()), (ROOT / ".ci" / "run").read_text(encoding="utf-8")]
    used = {target for script in scripts for target in re.findall(r"^make (\S+)", script, re.MULTILINE)}
    assert used
    assert used <= targets
