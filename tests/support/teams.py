"""A team: a repository whose pull requests and merges run our workflows, a control plane and a forge."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support.clients import KEY
from tests.support.embedded_planes import EmbeddedPlane, ok, run_plane
from tests.support.forges import Forge, forge_server
from tests.support.projects import APP
from tests.support.repositories import Repo
from tests.support.workflows import JobResult, Runner

from octosync.server import Token

CONFIGURATION = """\
contexts:
  production: {{url: {url}, tokenEnv: OCTOMIL_PRODUCTION_KEY}}
paths: [apps/]
"""
_PUSH = {"repository": {"default_branch": "main"}}
SECRETS = {"OCTOMIL_API_KEY": KEY}


@dataclass
class Team:
    """A repository with the workflows of a team, a control plane and a forge."""

    repository: Repo
    plane: EmbeddedPlane
    forge: Forge
    runner: Runner

    def declare(self, slug: str, *, name: str = "Search") -> None:
        """Write an app's manifest."""
        self.repository.write(f"apps/{slug}.yaml", APP.format(slug=slug, name=name))

    def plan(self, *, secrets: dict[str, str] | None = None) -> JobResult:
        """Run the plan workflow for pull request 7, with its branch checked out."""
        head = self.repository.head
        self.forge.pulls[7]["head"]["sha"] = head
        event = {"pull_request": {"number": 7, "head": {"sha": head}}}
        return self.runner.run(
            "octosync-plan.yml",
            github={"sha": head, "event": event, "event_name": "pull_request", "base_ref": "main", "token": self.token},
            inputs={"context": "production"},
            secrets=SECRETS if secrets is None else secrets,
        )

    def apply(self, revision: str = "main", *, ref: str = "refs/heads/main", **inputs: str) -> JobResult:
        """Run the apply workflow for a revision, as a push of it does; its deployment is recorded as GitHub does."""
        head = self.repository.git("rev-parse", revision)
        self.forge.add_deployment(head, "in_progress", environment="octosync-production")
        ended = self.runner.run(
            "octosync-apply.yml",
            github={"sha": head, "event": _PUSH, "event_name": "push", "token": self.token, "ref": ref},
            inputs={"context": "production", **inputs},
            secrets=SECRETS,
        )
        self.forge.deployments[0]["statuses"].insert(0, {"state": "success" if ended.succeeded else "failure"})
        return ended

    def drift(self) -> JobResult:
        """Run the drift workflow on main."""
        head = self.repository.git("rev-parse", "main")
        return self.runner.run(
            "octosync-drift.yml",
            github={"sha": head, "event": {}, "event_name": "schedule", "token": self.token},
            inputs={"context": "production"},
            secrets=SECRETS,
        )

    @property
    def token(self) -> str:
        """The job's token."""
        return self.forge.environment["GITHUB_TOKEN"]

    def break_with(self, *rules: dict[str, Any]) -> None:
        """Inject faults."""
        ok(self.plane.local.put("/faults", json={"rules": list(rules)}))

    def requests(self) -> int:
        """Return the number of requests to the control plane since the last call."""
        return len(self.log())

    def log(self) -> list[str]:
        """Return `METHOD /path?query` of the requests to the control plane since the last call."""
        log = ok(self.plane.local.get("/requests-log", params={"clear": "true"}))["requests"]
        return [f"{entry['method']} {entry['path'].removeprefix('/api/v1')}" for entry in log]

    def live_name(self, slug: str) -> str:
        """Return an app's live name."""
        return str(ok(self.plane.api.get(f"/apps/{slug}"))["name"])


@contextmanager
def run_team(folder: Path, command: Path) -> Iterator[Team]:
    """Run a control plane and a forge for a repository with one app. `command` is the folder of the installed octosync."""
    with run_plane(KEY, tokens=(Token("ci", KEY),)) as plane, forge_server() as forge:
        repository = Repo.init(folder / "origin")
        environment = {name: value for name, value in forge.environment.items() if name != "GITHUB_TOKEN"}
        team = Team(repository, plane, forge, Runner(folder / "origin", folder, environment, command))
        repository.write("octosync.yaml", CONFIGURATION.format(url=plane.running.url))
        team.declare("search")
        repository.commit("Search")
        yield team
