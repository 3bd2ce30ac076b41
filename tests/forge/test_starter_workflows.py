"""The workflows of a new repository."""

from __future__ import annotations

import re
from typing import Any

import pytest
import yaml

from octosync.forge import UNKNOWN_COMMIT, promotion_order, secret_name, starter_workflows

_ONE = starter_workflows()


def _jobs(text: str) -> dict[str, Any]:
    jobs: dict[str, Any] = yaml.safe_load(text)["jobs"]
    return jobs


def test_there_is_one_to_plan_one_to_apply_and_one_for_drift() -> None:
    """They are in GitHub's folder, and short enough to read at a glance."""
    assert list(_ONE) == [f".github/workflows/octosync-{name}.yml" for name in ("plan", "apply", "drift")]
    assert all(len(text.splitlines()) <= 25 for text in _ONE.values())


@pytest.mark.parametrize("name", _ONE)
def test_they_call_the_workflows_of_one_commit(name: str) -> None:
    """Workflows that get a team's keys are pinned to a commit; if it is unknown, to a commit that does not exist."""
    known = starter_workflows(commit="c0" * 20)
    for text, ref in ((_ONE[name], UNKNOWN_COMMIT), (known[name], "c0" * 20)):
        assert [job["uses"] for job in _jobs(text).values()] == [f"octomil/octosync/{name}@{ref}"]


@pytest.mark.parametrize("name", _ONE)
def test_nothing_is_permitted_that_is_not_needed(name: str) -> None:
    """The workflow grants no permissions, its job only the documented ones, and only read access to contents."""
    assert yaml.safe_load(_ONE[name])["permissions"] == {}
    for job in _jobs(_ONE[name]).values():
        assert job["permissions"]["contents"] == "read"


def test_each_context_has_a_job_and_a_key_of_its_own() -> None:
    """With several contexts each has a job, and no key is used for two."""
    contexts = ("staging", "eu/1 'x'", "null", "no", "1e3", "production")
    for name, text in starter_workflows(contexts).items():
        jobs = _jobs(text)
        verb = re.sub(r".*octosync-(\w+)\.yml", r"\1", name)
        assert list(jobs) == [
            f"{verb}-staging",
            f"{verb}-eu-1--x-",
            f"{verb}-null",
            f"{verb}-no",
            f"{verb}-1e3",
            f"{verb}-production",
        ]
        assert [job["with"]["context"] for job in jobs.values()] == list(contexts)
        keys = [job["secrets"]["OCTOMIL_API_KEY"] for job in jobs.values()]
        assert keys == [f"${{{{ secrets.{secret_name(context, contexts)} }}}}" for context in contexts]
        assert len(set(keys)) == len(keys)


@pytest.mark.parametrize(
    ("contexts", "order"),
    [
        (("staging", "production"), ["staging", "production"]),
        (("production", "staging"), ["staging", "production"]),
        (("eu-prod", "dev", "us-prod", "staging"), ["dev", "staging", "eu-prod", "us-prod"]),
        (("first", "reproduction", "second"), ["first", "reproduction", "second"]),
    ],
)
def test_a_merge_is_applied_to_one_context_after_the_other(contexts: tuple[str, ...], order: list[str]) -> None:
    """Production waits for all other contexts; these have the given order. Plans and drift checks wait for nothing."""
    assert list(promotion_order(contexts)) == order
    for name, text in starter_workflows(contexts).items():
        jobs = _jobs(text)
        if not name.endswith("-apply.yml"):
            assert not any("needs" in job for job in jobs.values())
            continue
        assert [job["with"]["context"] for job in jobs.values()] == order
        assert [job.get("needs") for job in jobs.values()] == [None, *(f"apply-{context}" for context in order[:-1])]


def test_a_single_context_waits_for_nothing() -> None:
    """There is no other job."""
    assert not any("needs" in job for text in _ONE.values() for job in _jobs(text).values())


def test_another_branch_may_be_the_one_that_is_applied() -> None:
    """Pushes to the given branch are applied, whatever its name is."""
    for branch in ("release/#1", "on", "null"):
        text = starter_workflows(branch=branch)[".github/workflows/octosync-apply.yml"]
        assert yaml.safe_load(text)[True]["push"] == {"branches": [branch]}  # YAML 1.1 reads `on` as true
