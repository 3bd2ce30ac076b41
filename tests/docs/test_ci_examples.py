"""The scripts of `examples/ci` for CI systems other than GitHub do what they say."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml
from docs.executing import ROOT
from tests.support.clients import KEY
from tests.support.embedded_planes import EmbeddedPlane, ok, run_plane
from tests.support.projects import APP
from tests.support.repositories import Repo

from octosync.server import Token

CI = ROOT / "examples" / "ci"


@dataclass
class Place:
    """A clone with a remote, and a control plane."""

    repository: Repo
    plane: EmbeddedPlane
    path: str

    def run(self, script: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run one of the scripts in the clone."""
        environment = {"PATH": self.path, "HOME": os.environ["HOME"]}
        return subprocess.run(
            ["bash", str(CI / "shell" / script), *arguments],
            cwd=self.repository.root,
            env={**environment, "CONTEXT": "production", "OCTOMIL_KEY": KEY, "CI": "true"},
            check=False,
            capture_output=True,
            text=True,
        )

    def declare(self, name: str) -> str:
        """Commit a name of the app."""
        self.repository.write("apps/search.yaml", APP.format(slug="search", name=name))
        return self.repository.commit(name)

    def live(self) -> str:
        """Return the app's live name."""
        return str(ok(self.plane.api.get("/apps/search"))["name"])

    def break_with(self, *rules: dict[str, object]) -> None:
        """Inject faults."""
        ok(self.plane.local.put("/faults", json={"rules": list(rules)}))


@pytest.fixture
def place(tmp_path: Path, command_folder: Path) -> Iterator[Place]:
    with run_plane(KEY, tokens=(Token("ci", KEY),)) as plane:
        repository = Repo.init(tmp_path / "work")
        repository.git("init", "--quiet", "--bare", "../remote.git")
        repository.git("remote", "add", "origin", "../remote.git")
        repository.write(".gitignore", ".octosync/\n*.md\nplan.json\n")
        url = plane.running.url
        repository.write(
            "octosync.yaml", f"contexts:\n  production: {{url: {url}, tokenEnv: OCTOMIL_KEY}}\npaths: [apps/]\n"
        )
        yield Place(repository, plane, f"{command_folder}{os.pathsep}{os.environ['PATH']}")


def test_the_shell_version_remembers_what_was_applied(place: Place) -> None:
    """A failed run is no base: its commits are pending, and the next run includes them. Old runs are refused; drift is code 2."""
    first = place.declare("One")
    assert place.run("apply.sh").returncode == 0
    second = place.declare("Two")
    place.break_with({"operation": "apps.update", "action": "status", "status": 422, "times": None})
    assert place.run("apply.sh").returncode == 5
    place.break_with()
    refs = place.repository.git("ls-remote", "origin")
    assert f"{first}\trefs/octosync/production/applied" in refs
    assert f"{second}\trefs/octosync/production/attempted/{second}" in refs
    assert place.run("drift.sh").returncode == 0
    assert f"{second[:7]} Two" in (place.repository.root / "drift.md").read_text(encoding="utf-8")

    place.repository.write("notes.txt", "Apps\n")
    third = place.repository.commit("Docs")
    assert place.run("apply.sh").returncode == 0
    assert place.live() == "Two"
    assert place.repository.git("ls-remote", "origin").split() == [third, "refs/octosync/production/applied"]

    place.repository.git("checkout", "--quiet", first)
    assert place.run("apply.sh").returncode == 4
    place.repository.git("checkout", "--quiet", "main")
    assert place.run("drift.sh").returncode == 0
    ok(place.plane.api.patch("/apps/search", json={"name": "By hand"}))
    assert place.run("drift.sh").returncode == 2


def test_the_shell_version_plans_what_a_branch_changes(place: Place) -> None:
    """The plan is against the merge base with the remote's branch, and gives a report and a plan that can be approved."""
    place.declare("One")
    place.repository.git("push", "--quiet", "origin", "main")
    place.repository.branch("change")
    place.declare("Two")
    ran = place.run("plan.sh")
    assert ran.returncode == 0, ran.stderr
    assert (place.repository.root / "plan.json").exists()
    assert "Two" in (place.repository.root / "plan.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("script", sorted(CI.rglob("*.sh")), ids=lambda path: path.name)
def test_the_scripts_can_be_read_by_their_shell(script: Path) -> None:
    """No script has a syntax error, and each can be started as it is."""
    assert os.access(script, os.X_OK)
    subprocess.run(["bash", "-n", str(script)], check=True)


def test_gitlab_has_the_same_three_jobs() -> None:
    """Plan, apply and drift; only apply has the environment, and its runs don't overlap; the installed version is pinned."""
    text = (CI / "gitlab" / ".gitlab-ci.yml").read_text(encoding="utf-8")
    pipeline = yaml.safe_load(text)
    jobs = {name: job for name, job in pipeline.items() if name.startswith("octosync-")}
    assert list(jobs) == ["octosync-plan", "octosync-apply", "octosync-drift"]
    assert [name for name, job in jobs.items() if "environment" in job] == ["octosync-apply"]
    assert jobs["octosync-apply"]["resource_group"] == jobs["octosync-apply"]["environment"]
    assert "--require-hashes" in text
    assert "octosync@" not in text
    plan = "\n".join(jobs["octosync-plan"]["script"])
    assert "READ_TOKEN" not in plan


# The list of deployments of a status, which GitLab's API returns, is in a file of that name. The header must be a job's.
CURL = """\
#!/bin/sh
case "$*" in
  *" JOB-TOKEN: job-token "*|*" PRIVATE-TOKEN: read-token "*) cat "$DEPLOYMENTS/$(printf '%s' "$*" | sed 's/.*&status=//')" ;;
  *) exit 22 ;;
esac
"""


@dataclass
class GitLab:
    """The jobs of the example, run in a clone. `set_deployments` sets the deployments that GitLab's API returns."""

    place: Place
    folder: Path

    def set_deployments(self, *deployments: tuple[str, str]) -> None:
        """Set the deployments as (status, commit), oldest first."""
        rows = [{"id": number, "status": status, "sha": sha} for number, (status, sha) in enumerate(deployments, 1)]
        for status in ("success", "failed", "canceled"):
            found = [row for row in reversed(rows) if row["status"] == status]
            (self.folder / status).write_text(json.dumps(found), encoding="utf-8")

    def run(self, job: str, **variables: str) -> subprocess.CompletedProcess[str]:
        """Run a job without its installation, as GitLab's runner runs it."""
        pipeline = yaml.safe_load((CI / "gitlab" / ".gitlab-ci.yml").read_text(encoding="utf-8"))
        script = [pipeline[".octosync"]["before_script"][-1], *pipeline[job]["script"]]
        return subprocess.run(
            ["bash", "-c", "\n".join(("set -eo pipefail", *script))],
            cwd=self.place.repository.root,
            env={
                "PATH": f"{self.folder}{os.pathsep}{self.place.path}",
                "HOME": os.environ["HOME"],
                "DEPLOYMENTS": str(self.folder),
                "CONTEXT": "production",
                "CI": "true",
                "CI_API_V4_URL": "https://gitlab.test/api/v4",
                "CI_PROJECT_ID": "1",
                "CI_JOB_TOKEN": "job-token",
                "CI_COMMIT_SHA": self.place.repository.head,
                "CI_MERGE_REQUEST_TARGET_BRANCH_NAME": "main",
                "OCTOMIL_KEY": KEY,
                "OCTOMIL_API_KEY": KEY,
                **variables,
            },
            check=False,
            capture_output=True,
            text=True,
        )

    def report(self, name: str) -> str:
        """Return a report that a job has written."""
        return (self.place.repository.root / name).read_text(encoding="utf-8")


@pytest.fixture
def gitlab(place: Place, tmp_path: Path) -> GitLab:
    folder = tmp_path / "gitlab"
    folder.mkdir()
    (folder / "curl").write_text(CURL, encoding="utf-8")
    (folder / "curl").chmod(0o755)
    place.repository.write(".gitlab-ci.yml", "")
    return GitLab(place, folder)


def test_gitlab_lists_what_is_merged_and_not_applied_yet_as_pending(gitlab: GitLab) -> None:
    """Drift and the plan of a merge request know what was applied last, and don't take what was merged since for drift."""
    place, token = gitlab.place, {"OCTOSYNC_READ_TOKEN": "read-token"}
    gitlab.set_deployments()
    first = place.declare("One")
    assert gitlab.run("octosync-apply", **token).returncode == 0
    gitlab.set_deployments(("success", first))
    assert gitlab.run("octosync-drift", **token).returncode == 0

    second = place.declare("Two")
    gitlab.set_deployments(("success", first), ("failed", second))
    ran = gitlab.run("octosync-drift", **token)
    assert ran.returncode == 0, ran.stderr
    assert f"{second[:7]} Two" in gitlab.report("drift.md")

    place.repository.git("push", "--quiet", "origin", "main")
    place.repository.branch("change")
    place.repository.write("apps/search.yaml", APP.format(slug="search", name="Three"))
    place.repository.commit("Three")
    ran = gitlab.run("octosync-plan")
    assert ran.returncode == 0, ran.stderr
    assert f"{second[:7]} Two" in gitlab.report("plan.md")
    ran = gitlab.run("octosync-plan", CI_JOB_TOKEN="refused")
    assert "not known what was applied last" in ran.stderr
    assert "Three" in gitlab.report("plan.md")

    place.repository.git("switch", "--quiet", "main")
    assert gitlab.run("octosync-apply", **token).returncode == 0
    assert place.live() == "Two"
    assert gitlab.run("octosync-apply", OCTOSYNC_READ_TOKEN="refused").returncode != 0
