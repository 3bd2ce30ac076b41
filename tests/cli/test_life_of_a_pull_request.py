"""A pull request in a repository of `octosync init`, with real git: the job, the comments and what reviewers see."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from subprocess import CalledProcessError
from typing import Any

import pytest
from tests.support.clients import KEY
from tests.support.embedded_planes import EmbeddedPlane, ok, run_plane
from tests.support.forges import Forge, forge_server
from tests.support.plane import writes_in
from tests.support.repositories import Repo
from tests.support.workdirs import CommandResult, Workdir

from octosync.server import Token

PULL = 7
MANIFEST = "apps/notes.yaml"
SECOND = (
    "apiVersion: octosync.dev/v1\nkind: App\nmetadata: {name: voice}\nspec: {name: Voice, description: Reads aloud}\n"
)


@dataclass(frozen=True)
class Person:
    """A person with a clone."""

    name: str
    clone: Repo

    def edit(self, old: str, new: str) -> None:
        """Replace the only occurrence of a text in the manifest."""
        path = self.clone.root / MANIFEST
        text = path.read_text()
        assert text.count(old) == 1
        path.write_text(text.replace(old, new))

    def begin(self) -> None:
        """Create a branch from the current main."""
        self.clone.git("fetch", "--quiet", "origin")
        self.clone.git("switch", "--quiet", "--force-create", "change", "origin/main")

    def push(self, message: str, branch: str = "change") -> str:
        """Commit and push to a branch; return the commit."""
        commit = self.clone.commit(message, author=self.name)
        self.clone.git("push", "--quiet", "--force", "origin", f"HEAD:{branch}")
        return commit


@dataclass(frozen=True)
class Team:
    """Two people, the bare repository that they push to, a control plane, a forge, and the clone of the jobs."""

    ana: Person
    ben: Person
    job: Workdir
    plane: EmbeddedPlane
    forge: Forge

    def check_out(self, revision: str) -> str:
        """Fetch and check out as a job does; return the commit."""
        clone = Repo(self.job.directory)
        clone.git("fetch", "--quiet", "origin")
        clone.git("checkout", "--quiet", "--detach", revision)
        return clone.head

    def type(self, *arguments: str) -> CommandResult:
        """Run a command in the job, for production."""
        return self.job.octosync(*arguments, "--context", "production")

    def validate(self) -> CommandResult:
        """Validate the pull request."""
        self.check_out("origin/change")
        return self.type("validate", "-o", "github")

    def plan(self) -> CommandResult:
        """Plan the pull request, and comment on it."""
        head = self.check_out("origin/change")
        self.forge.pulls[PULL]["head"]["sha"] = head
        ran = self.type(
            "plan",
            "--base", "origin/main", "--changed-only", "--detailed-exitcode",
            "-o", "github", "--write", "markdown=../comment.md", "--plan-out", "../plan.json",
        )  # fmt: skip
        self.comment("plan-production", "--head", head)
        return ran

    def comment(self, marker: str, *arguments: str) -> None:
        """Comment with the output of the last command."""
        ran = self.job.octosync("forge", "comment", "--marker", marker, *arguments, "../comment.md")
        assert (ran.code, ran.stdout) != (0, ""), ran.output

    def apply(self, *allowed: str, base: str | None = None) -> CommandResult:
        """Apply main against a base, or the last full apply, and comment on the merged pull request."""
        head = self.check_out("origin/main")
        self.forge.add_deployment(head, "in_progress")
        applied = self.job.octosync("forge", "applied", "--context", "production").stdout
        flags = ["--base", base] if base is not None else applied.split()
        ran = self.type("apply", "--yes", *flags, *allowed, "-o", "github", "--write", "markdown=../comment.md")
        self.forge.deployments[0]["statuses"].insert(0, {"state": "failure" if ran.code else "success"})
        if head in self.forge.merged:
            self.comment("apply-production", "--merged", head)
        return ran

    def merge(self) -> None:
        """Merge the pull request, as the button of the forge does."""
        self.check_out("origin/main")
        clone = Repo(self.job.directory)
        clone.git("merge", "--quiet", "--no-ff", "-m", "Merge", "origin/change")
        clone.git("push", "--quiet", "origin", "HEAD:main")
        merged = {"number": PULL, "merged_at": "2026-01-01T00:00:00Z", "merge_commit_sha": clone.head}
        self.forge.merged[clone.head] = [merged]

    def comment_text(self, marker: str = "plan-production") -> str:
        """Return the only comment with a marker."""
        (body,) = (comment["body"] for comment in self.forge.comments if f"octosync:{marker}" in comment["body"])
        return str(body)

    def plan_main(self) -> CommandResult:
        """Plan main in full, to see whether a change is left."""
        self.check_out("origin/main")
        return self.type("plan", "--detailed-exitcode")

    def live(self, slug: str = "notes") -> dict[str, Any]:
        """Return an app as it is live."""
        app: dict[str, Any] = ok(self.plane.api.get(f"/apps/{slug}"))
        return app

    def writes(self) -> list[str]:
        """Return the writes to the control plane since the last call."""
        log = ok(self.plane.local.get("/requests-log", params={"clear": "true"}))["requests"]
        return writes_in(f"{request['method']} {request['path'].removeprefix('/api/v1')}" for request in log)


@pytest.fixture
def team(tmp_path: Path) -> Iterator[Team]:
    with run_plane(KEY, tokens=(Token("ci", KEY),)) as plane, forge_server() as forge:
        Repo.init(tmp_path).git("init", "--quiet", "--bare", "--initial-branch=main", "origin.git")
        for name in ("ana", "ben", "job"):
            Repo(tmp_path).git("clone", "--quiet", "origin.git", name)
        ana, ben = (Person(name, Repo(tmp_path / name)) for name in ("ana", "ben"))
        environment = {**forge.environment, "OCTOMIL_API_KEY": KEY, "GITHUB_ACTIONS": "true"}
        team = Team(ana, ben, Workdir(tmp_path / "job", environment), plane, forge)
        begun = Workdir(ana.clone.root).octosync("init", "--app", "notes", "--yes")
        assert begun.code == 0, begun.output
        configuration = (ana.clone.root / "octosync.yaml").read_text()
        assert "https://api.octomil.com" in configuration
        ana.clone.write("octosync.yaml", configuration.replace("https://api.octomil.com", plane.running.url))
        ana.clone.write("apps/voice.yaml", SECOND)
        ana.push("Begin", "main")
        first = team.apply()
        assert first.code == 0, first.output
        assert team.writes() == ["POST /apps", "POST /apps/notes/targets", "PUT /apps/notes/slots/chat", "POST /apps"]
        assert team.plan_main().code == 0
        yield team


def test_a_pull_request_from_a_typo_to_the_apply(team: Team) -> None:
    """A typo is marked on its line; the planned changes are applied, though main moves on; then no change is left."""
    team.ana.begin()
    _typo(team)
    _fixed(team)
    _main_moves_on(team)
    _rebased(team)
    team.merge()
    applied = team.apply()
    assert applied.code == 0, applied.output
    assert "title=octosync%3A update app applied::app/notes" in applied.stdout
    assert "**✓ 1 applied**" in team.comment_text("apply-production")
    assert team.writes() == ["PATCH /apps/notes"]
    assert team.live()["name"] == "Field notes"
    assert len(team.forge.comments) == 2
    left = team.plan_main()
    assert (left.code, "No changes. 2 apps as declared." in left.stdout) == (0, True)


def _typo(team: Team) -> None:
    team.ana.edit("servingPolicy", "servingPolcy")
    team.ana.push("A typo")
    mark = f"::error file={MANIFEST},line=12,col=7,title=octosync%3A unknown-field::`servingPolcy` is not a field of a slot"
    for ran in (team.validate(), team.plan()):
        assert ran.code == 1
        assert ran.stdout.startswith(f"{mark}%0Adid you mean `servingPolicy`?")
    assert f"{MANIFEST}:12:7" in team.comment_text()


def _fixed(team: Team) -> None:
    ana = team.ana
    ana.edit("servingPolcy", "servingPolicy")
    ana.edit("name: Notes\n", "name: Field notes\n")
    ana.clone.git("reset", "--quiet", "--soft", "HEAD^")
    head = ana.push("Field notes")
    validated, planned = team.validate(), team.plan()
    assert (validated.code, validated.output) == (0, "")
    assert planned.code == 2
    assert f"::notice file={MANIFEST},line=2,col=1,title=octosync%3A update app::app/notes" in planned.stdout
    assert '- name: Notes\n+ name: "Field notes"' in team.comment_text()
    assert f"octosync-head:{head}" in team.comment_text()
    assert "servingPolcy" not in team.comment_text()
    assert "read 1 of 2 apps" in team.comment_text()
    assert team.writes() == []


def _main_moves_on(team: Team) -> None:
    """Ben merges the same field, which diverges, and others that this branch lacks: those are stale."""
    ben = team.ben
    ben.begin()
    ben.edit("name: Notes\n", "name: Notebook\n  description: For all\n")
    ben.edit("local_first", "local_only")
    ben.push("Meanwhile", "main")
    assert team.apply().code == 0
    assert team.writes() == ["PATCH /apps/notes", "PUT /apps/notes/slots/chat"]
    planned = team.plan()
    assert planned.code == 4
    assert "title=octosync%3A blocked by guard diverged::app/notes" in planned.stdout
    assert "Next step: Rebase" in team.comment_text()
    assert '- name: Notebook\n+ name: "Field notes"' in team.comment_text()
    assert "left alone until this branch contains the change: app/notes, app/notes/slot/chat" in team.comment_text()
    assert not any(word in team.comment_text() for word in ("local_only", "For all"))


def _rebased(team: Team) -> None:
    """Of the two names, ana keeps hers; ben's other changes come with the rebase."""
    clone = team.ana.clone
    clone.git("fetch", "--quiet", "origin")
    with pytest.raises(CalledProcessError):
        clone.git("rebase", "--quiet", "origin/main")
    clone.git("checkout", "--quiet", "--ours", MANIFEST)
    team.ana.edit("name: Notebook\n", "name: Field notes\n")
    clone.git("add", MANIFEST)
    clone.git("rebase", "--continue", GIT_EDITOR="true")
    team.ana.push("Rebased")
    planned = team.plan()
    assert planned.code == 2
    assert '- name: Notebook\n+ name: "Field notes"' in team.comment_text()
    assert not any(words in team.comment_text() for words in ("left alone", "Blocked", "description"))


def test_an_app_is_removed_from_git(team: Team) -> None:
    """It is listed and left alone, before and after the merge; with --prune and the named base it is archived."""
    before = team.check_out("origin/main")
    team.ana.begin()
    team.ana.clone.git("rm", "--quiet", "apps/voice.yaml")
    team.ana.push("No voice")
    orphan = f"No longer in any manifest, left alone (archive with --base {before[:12]} --prune): voice"
    planned = team.plan()
    assert planned.code == 0
    assert orphan in team.comment_text()
    team.merge()
    assert team.apply().code == 0
    assert orphan in team.comment_text("apply-production")
    assert team.writes() == []

    pruned = team.apply("--prune", base=before[:12])
    assert pruned.code == 0, pruned.output
    assert team.writes() == ["POST /apps/voice/archive"]
    assert "**✓ 1 applied**" in team.comment_text("apply-production")
    assert "archive app applied" in pruned.stdout
    again = team.apply("--prune", base=before[:12])
    assert again.code == 0, again.output
    assert team.writes() == []
    assert team.plan_main().code == 0


def test_an_app_gets_another_slug(team: Team) -> None:
    """The plan warns that its target is taken; the apply fails with that; with --prune it moves, and nothing is stranded."""
    team.ana.begin()
    team.ana.edit("name: notes\n", "name: notebook\n")
    team.ana.push("Another slug")
    planned = team.plan()
    assert planned.code == 2
    assert f"::warning file={MANIFEST},line=9,col=7,title=octosync%3A target-held-elsewhere::" in planned.stdout
    assert "With --prune the target moves" in team.comment_text()
    team.merge()
    assert team.apply().code == 5
    assert "taken by app `notes`" in team.comment_text("apply-production")
    team.writes()

    pruned = team.apply("--prune")
    assert pruned.code == 0, pruned.output
    assert "archive-strands-identifiers" not in team.comment_text("apply-production")
    removal, *others = team.writes()
    assert removal.startswith("DELETE /apps/notes/targets/")
    assert others == ["POST /apps/notebook/targets", "POST /apps/notes/archive"]
    assert team.plan_main().code == 0
