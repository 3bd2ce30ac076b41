"""Changes that are merged and not applied yet, end to end: `plan --applied` with commits and a control plane."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tests.support.clients import KEY
from tests.support.embedded_planes import ok, run_plane
from tests.support.projects import Project
from tests.support.repositories import Repo
from tests.support.workdirs import CommandResult, Workdir

from octosync.server import Token
from octosync.server.settings import utc_now

pytestmark = pytest.mark.no_cover  # slow under coverage; other tests of this package cover the same code

NOTES = """\
apiVersion: octosync.dev/v1
kind: App
metadata: {name: notes}
spec:
  name: Notes
  description: Takes notes
  targets:
    - {platform: ios, identifier: com.acme.notes}
    - {platform: macos, identifier: com.acme.notes}
  slots:
    - capability: chat
      servingPolicy: local_first
      preferredEngines: [coreml]
"""
BARE = "apiVersion: octosync.dev/v1\nkind: App\nmetadata: {name: bare}\nspec: {name: Bare, description: Empty}\n"
FROZEN = 'freeze: [{cron: "0 0 * * *", duration: 24h}]\n'

Rows = list[tuple[str, str, str]]


@dataclass(frozen=True)
class Team(Project):
    """A repository with the apps `notes` and `bare`, which are applied as of tag `applied`."""

    repo: Repo

    def merge(self, slug: str, text: str | None, message: str = "Merged") -> str:
        """Commit a manifest to main, or its removal; return the commit."""
        self.repo.switch("main")
        return self.edit(slug, text, message)

    def edit(self, slug: str, text: str | None, message: str = "Change") -> str:
        """Commit a manifest to the current branch, or its removal; return the commit."""
        if text is None:
            (self.workdir.directory / f"apps/{slug}.yaml").unlink()
        else:
            self.declare(slug, text=text)
        return self.repo.commit(message)

    def propose(self, slug: str, text: str | None, at: str = "main") -> None:
        """Create the branch of a pull request with a manifest, or its removal."""
        self.repo.branch("change", at)
        self.edit(slug, text)

    def review(self, *arguments: str, base: str = "main", applied: str = "applied") -> CommandResult:
        """Plan as the workflows do."""
        return self.workdir.octosync("plan", "--base", base, "--applied", applied, *arguments)

    def document(self, *arguments: str, **more: str) -> dict[str, Any]:
        """Plan as the workflows do; return the document."""
        document: dict[str, Any] = json.loads(self.review("-o", "json", *arguments, **more).stdout)
        return document

    def run_apply(self, *arguments: str) -> CommandResult:
        """Apply as the workflow does."""
        return self.workdir.octosync("apply", "--yes", "--state", "../journal.db", *arguments)

    def by_hand(self, method: str, path: str, **body: Any) -> None:
        """Change something on the control plane."""
        self.plane.api.request(method, path, json=body).raise_for_status()


def rows(changes: list[dict[str, Any]]) -> Rows:
    """Return the address, action and reason of rows."""
    return [(row["address"], row["change"]["actions"][0], row["action_reason"]) for row in changes]


def planned(document: dict[str, Any]) -> Rows:
    """Return the rows of the plan itself."""
    return rows(document["resource_changes"])


def pending(document: dict[str, Any]) -> Rows:
    """Return the pending rows."""
    return rows(document["pending"]["resource_changes"])


@pytest.fixture
def team(tmp_path: Path) -> Iterator[Team]:
    with run_plane(KEY, clock=utc_now, tokens=(Token("ci", KEY),)) as plane:
        workdir = Workdir(tmp_path / "repository", {"OCTOMIL_OUR_KEY": KEY, "OCTOSYNC_RATE": "0"})
        repo = Repo.init(workdir.directory)
        team = Team(plane, workdir, repo)
        contexts = f"contexts: {{main: {{url: '{team.url}', tokenEnv: OCTOMIL_OUR_KEY}}}}\ndefaultContext: main\n"
        workdir.write("octosync.yaml", f"{contexts}paths: [apps/]\n")
        team.declare("notes", text=NOTES)
        team.declare("bare", text=BARE)
        repo.commit("Start")
        assert team.run_apply().code == 0
        repo.git("tag", "applied")
        team.log()
        yield team


@dataclass(frozen=True)
class Case:
    """A merged change, its pending rows, and a change by hand of the same object, or of its app, with its row."""

    slug: str
    text: str | None
    pending: Rows
    by_hand: Callable[[Team], None]
    drift: Rows


def engines_by_hand(team: Team) -> None:
    """Change a field of the slot that no merged change touches."""
    (slot,) = ok(team.plane.api.get("/apps/notes/slots"))["slots"]
    fields = {name: slot[name] for name in ("serving_policy", "bindings")}
    team.by_hand("PUT", "/apps/notes/slots/chat", **fields, preferred_engines=["mlx"])


def description_by_hand(slug: str) -> Callable[[Team], None]:
    """Return a function that changes the description of an app."""
    return lambda team: team.by_hand("PATCH", f"/apps/{slug}", description="By hand")


CASES = {
    "field": Case(
        "notes",
        NOTES.replace("local_first", "local_only"),
        [("app/notes/slot/chat", "update", "manifest_changed")],
        engines_by_hand,
        [("app/notes/slot/chat", "update", "drift")],
    ),
    "field of the app": Case(
        "notes",
        NOTES.replace("name: Notes", "name: My notes"),
        [("app/notes", "update", "manifest_changed")],
        description_by_hand("notes"),
        [("app/notes", "update", "drift")],
    ),
    "new slot": Case(
        "notes",
        f"{NOTES}    - {{capability: tts, servingPolicy: local_only}}\n",
        [("app/notes/slot/tts", "create", "new")],
        engines_by_hand,
        [("app/notes/slot/chat", "update", "drift")],
    ),
    "removed slot": Case(
        "notes",
        NOTES[: NOTES.index("  slots:")] + "  slots: []\n",
        [("app/notes/slot/chat", "delete", "removed")],
        description_by_hand("notes"),
        [("app/notes", "update", "drift")],
    ),
    "removed target": Case(
        "notes",
        NOTES.replace("    - {platform: macos, identifier: com.acme.notes}\n", ""),
        [("app/notes/target/macos:com.acme.notes", "delete", "removed")],
        description_by_hand("notes"),
        [("app/notes", "update", "drift")],
    ),
    "inference config": Case(
        "notes",
        f"{NOTES}  inferenceConfig: {{temperature: 1}}\n",
        [("app/notes/inference-config", "create", "new")],
        description_by_hand("notes"),
        [("app/notes", "update", "drift")],
    ),
    "archive": Case(
        "bare",
        BARE.replace("spec: {", "spec: {archived: true, "),
        [("app/bare", "archive", "manifest_changed")],
        description_by_hand("bare"),
        [("app/bare", "update", "drift")],
    ),
    "prune": Case("bare", None, [("app/bare", "archive", "removed")], description_by_hand("bare"), []),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_what_is_merged_and_not_applied_is_pending(team: Team, case: Case) -> None:
    """0: on main itself nothing is planned, drifted, held or accepted; the pending change is listed with its commit.

    A change by hand of the same object, or of its app, is drift as without `--applied`, and not part of what is pending.
    """
    merged = team.merge(case.slug, case.text, "A change of main")
    document = team.document("--prune", base="HEAD")
    assert planned(document) == []
    assert pending(document) == case.pending
    assert document["pending"]["commits"] == [{"revision": merged, "subject": "A change of main"}]
    assert document["scope"]["left_alone"]["held"] == []
    shown = team.review("--prune", "--detailed-exitcode", base="HEAD")
    assert shown.code == 0
    assert "drift" not in shown.stdout
    assert "accept" not in shown.stdout
    assert f"  {merged[:7]} A change of main\n" in shown.stdout
    assert re.search(rf"^  {case.slug} +apps/{case.slug}.yaml$", shown.stdout, re.MULTILINE)
    (notice,) = team.review("--prune", "-o", "github", base="HEAD").stdout.splitlines()
    assert notice.startswith("::notice title=octosync%3A pending::Pending: 1 to ")
    case.by_hand(team)
    document = team.document("--prune", base="HEAD")
    assert planned(document) == case.drift
    assert pending(document) == case.pending


def test_a_change_by_hand_of_the_pending_field_is_drift(team: Team) -> None:
    """If live is neither as applied nor as merged, a person changed it."""
    team.merge("notes", NOTES.replace("Takes notes", "Merged"))
    team.by_hand("PATCH", "/apps/notes", description="By hand")
    document = team.document(base="HEAD")
    assert planned(document) == [("app/notes", "update", "drift")]
    assert pending(document) == []


def test_a_pull_request_shows_its_own_changes_only(team: Team) -> None:
    """The plan, totals, guards and the accept hint are about the pull request; what is pending is counted apart."""
    merged = team.merge(
        "notes", NOTES.replace("Takes notes", "Merged").replace("local_first", "local_only"), "Describe"
    )
    team.merge("bare", BARE.replace("Empty", "Still empty"))
    team.propose("notes", (team.workdir.directory / "apps/notes.yaml").read_text().replace("name: Notes", "name: Mine"))
    team.log()
    document = team.document("--changed-only")
    assert team.log() == ["GET /apps/notes", "GET /apps/notes/targets", "GET /apps/notes/slots"]
    assert planned(document) == [("app/notes", "update", "manifest_changed")]
    (row,) = document["resource_changes"]
    assert [field["path"] for field in row["change"]["fields"]] == [["name"]]
    assert document["summary"]["update"] == document["cost"]["requests_to_apply"] == 1
    assert document["pending"]["summary"]["update"] == 2
    assert document["pending"]["apps_not_read"] == ["bare"]
    assert [commit["revision"] for commit in document["pending"]["commits"]][-1] == merged
    text = team.review("--changed-only").stdout
    assert "Plan: 1 to update.\n" in text
    assert "Pending from main: 2 to update; 1 app not read." in text
    assert "accept" not in text


def test_a_merged_move_that_waits_is_no_drift(team: Team) -> None:
    """A merged move to a suspended app is neither pending, drift nor held, and a pull request may move the target elsewhere."""
    bare = BARE.replace("bare}", 'bare, annotations: {octosync.dev/suspend: "true"}}')
    target = "targets: [{platform: macos, identifier: com.acme.notes}]"
    team.merge("notes", NOTES.replace("    - {platform: macos, identifier: com.acme.notes}\n", ""))
    team.merge("bare", bare.replace("Empty", f"Empty, {target}"))
    document = team.document("--drift-hold", "30m", base="HEAD")
    assert planned(document) == pending(document) == document["scope"]["left_alone"]["held"] == []
    (waits,) = document["diagnostics"]
    assert waits["rule"] == "move-waits"
    team.propose("bare", bare)
    team.edit("extra", BARE.replace("bare", "extra").replace("Empty", f"Empty, {target}"))
    document = team.document("--changed-only", "--drift-hold", "30m")
    assert planned(document) == [
        ("app/extra", "create", "new"),
        ("app/extra/target/macos:com.acme.notes", "create", "moved"),
        ("app/notes/target/macos:com.acme.notes", "delete", "moved"),
    ]
    assert pending(document) == document["scope"]["left_alone"]["held"] == []


@pytest.mark.parametrize("mine", ["Mine", "Takes notes"], ids=["changed again", "changed back"])
def test_a_pull_request_may_change_what_is_pending(team: Team, mine: str) -> None:
    """0: the pull request starts from what is merged, so its change is shown, and `diverged` doesn't refuse it."""
    team.merge("notes", NOTES.replace("Takes notes", "Merged"))
    team.propose("notes", NOTES.replace("Takes notes", mine))
    document = team.document("--changed-only")
    (row,) = document["resource_changes"]
    (before,) = document["pending"]["resource_changes"]
    assert [(field["before"], field["after"]) for field in before["change"]["fields"]] == [("Takes notes", "Merged")]
    assert [(field["before"], field["after"]) for field in row["change"]["fields"]] == [("Merged", mine)]
    assert row["action_reason"] == "manifest_changed"
    assert document["blocked"] == []


def test_a_pull_request_may_add_to_a_pending_app(team: Team) -> None:
    """What is added to an app or a slot that is merged and does not exist yet is the only change, without a preview."""
    new = f"{NOTES.replace('notes', 'voice')}    - {{capability: tts}}\n"
    team.merge("voice", new)
    team.propose("voice", new.replace("tts}", "tts, deploy: {environments: [staging]}, servingPolicy: local_only}"))
    document = team.document("--changed-only")
    assert planned(document) == [
        ("app/voice/slot/tts", "update", "manifest_changed"),
        ("app/voice/capability/tts@staging", "enable", "not_deployed"),
    ]
    assert pending(document)[0] == ("app/voice", "create", "new")
    assert document["resource_changes"][1]["preview"]["why"] == "the slot does not exist yet"
    assert not document["errored"]


def test_a_deployment_that_is_merged_is_pending(team: Team) -> None:
    """A capability whose environment was merged and not applied yet is enabled by main, not by the pull request."""
    merged = f"{NOTES}      deploy: {{environments: [staging]}}\n"
    team.merge("notes", merged)
    team.propose("notes", merged.replace("name: Notes", "name: Mine"))
    document = team.document("--changed-only")
    assert planned(document) == [("app/notes", "update", "manifest_changed")]
    assert pending(document) == [("app/notes/capability/chat@staging", "enable", "not_deployed")]


def test_nothing_is_pending_if_main_is_applied(team: Team) -> None:
    """The report has nothing about it, the document is empty lists, and drift is drift."""
    team.propose("notes", NOTES.replace("name: Notes", "name: Mine"))
    team.by_hand("PATCH", "/apps/notes", description="By hand")
    document = team.document("--changed-only")
    assert planned(document) == [
        ("app/notes", "update", "manifest_changed"),
        ("app/notes", "update", "drift"),
    ]
    assert (pending(document), document["pending"]["commits"], document["pending"]["apps_not_read"]) == ([], [], [])
    assert "Pending" not in team.review("--changed-only").stdout


def test_a_branch_that_is_behind_shows_no_applied_change_as_pending(team: Team) -> None:
    """With an applied revision newer than the merge base, what main changed since is left alone, and never planned back."""
    newer = team.merge("notes", NOTES.replace("Takes notes", "Merged"))
    assert team.run_apply("--base", "applied").code == 0
    team.propose("notes", NOTES.replace("name: Notes", "name: Mine"), at="applied")
    document = team.document("--changed-only", applied=newer)
    assert planned(document) == [("app/notes", "update", "manifest_changed")]
    assert pending(document) == []
    assert document["scope"]["left_alone"]["stale"] == ["app/notes"]


def test_a_merge_that_main_reverted_is_pending(team: Team) -> None:
    """If main changed a field, applied it, and changed it back, the way back is pending, also for a branch from before."""
    newer = team.merge("notes", NOTES.replace("Takes notes", "Merged"))
    assert team.run_apply("--base", "applied").code == 0
    team.merge("notes", NOTES)
    team.propose("notes", NOTES.replace("name: Notes", "name: Mine"), at="applied")
    document = team.document("--changed-only", applied=newer)
    assert planned(document) == [("app/notes", "update", "manifest_changed")]
    assert pending(document) == [("app/notes", "update", "manifest_changed")]


def test_a_half_applied_merge_is_no_drift(team: Team) -> None:
    """Values of an unfinished apply are as merged; what main has given up since is pending, with `--attempted`."""
    attempted = team.merge("notes", NOTES.replace("Takes notes", "Half").replace("local_first", "local_only"))
    team.by_hand("PATCH", "/apps/notes", description="Half")  # by the apply, before it failed
    team.merge("notes", NOTES.replace("local_first", "local_only"))
    document = team.document("--attempted", attempted, base="HEAD")
    assert planned(document) == []
    assert pending(document) == [
        ("app/notes", "update", "manifest_changed"),
        ("app/notes/slot/chat", "update", "manifest_changed"),
    ]
    assert document["pending"]["attempted"] == [attempted]
    assert planned(team.document(base="HEAD")) == [("app/notes", "update", "drift")]


def test_a_lost_revision_is_an_error(team: Team) -> None:
    """64: a revision that a force push removed from the clone is named, with a hint."""
    ran = team.review(applied="d" * 40)
    assert ran.code == 64
    assert f"unknown-revision: --applied {'d' * 40} is not a commit in this clone" in ran.stderr


def test_a_revision_that_main_lost_is_a_warning(team: Team) -> None:
    """What was applied and is no longer in the history of main is compared all the same, with a warning."""
    lost = team.merge("notes", NOTES.replace("Takes notes", "Lost"))
    assert team.run_apply("--base", "applied").code == 0
    team.repo.git("reset", "--quiet", "--hard", "applied")
    team.merge("bare", BARE.replace("Empty", "Still empty"))
    document = team.document(base="HEAD", applied=lost)
    assert [found["rule"] for found in document["diagnostics"]] == ["applied-not-merged"]
    assert planned(document) == []
    assert [address for address, _, _ in pending(document)] == ["app/bare", "app/notes"]


def test_a_base_older_than_the_applied_revision_is_a_warning(team: Team) -> None:
    """A main that was not fetched has nothing pending: the warning asks for a fetch."""
    newer = team.merge("notes", NOTES.replace("Takes notes", "Newer"))
    assert team.run_apply("--base", "applied").code == 0
    team.repo.git("reset", "--quiet", "--hard", "applied")
    document = team.document(base="HEAD", applied=newer)
    assert [found["rule"] for found in document["diagnostics"]] == ["applied-not-merged"]
    assert pending(document) == []


def test_a_frozen_merge_does_not_block_a_pull_request(team: Team) -> None:
    """What waits for the end of a freeze window is pending: the guard refuses only what the pull request changes."""
    path = team.workdir.directory / "octosync.yaml"
    path.write_text(path.read_text() + FROZEN)
    team.merge("notes", NOTES.replace("Takes notes", "Merged"))
    document = team.document(base="HEAD")
    assert (document["blocked"], pending(document)) == ([], [("app/notes", "update", "manifest_changed")])
    team.propose("bare", BARE.replace("Empty", "Mine"))
    (refusal,) = team.document()["blocked"]
    assert refusal["addresses"] == ["app/bare"]


def test_the_accept_hint_keeps_what_is_merged(team: Team) -> None:
    """The suggested accept takes over the change by hand, and leaves the pending change of the same object declared."""
    merged = NOTES.replace("name: Notes", "name: Merged")
    team.merge("notes", merged)
    team.by_hand("PATCH", "/apps/notes", description="By hand")
    hint = team.review(base="HEAD").stdout.partition("To keep the live values instead: octosync ")[2]
    assert team.workdir.octosync(*hint.split()).code == 0
    assert (team.workdir.directory / "apps/notes.yaml").read_text() == merged.replace("Takes notes", "By hand")


def test_a_plan_file_is_valid_when_main_has_been_applied(team: Team) -> None:
    """0: the plan assumes that what is pending is applied first, so it applies unchanged afterwards."""
    main = team.merge("notes", NOTES.replace("Takes notes", "Merged").replace("local_first", "local_only"))
    team.propose("notes", NOTES.replace("Takes notes", "Mine").replace("local_first", "local_only"))
    assert team.review("--plan-out", "../plan.json").code == 0
    team.repo.switch("main")
    assert team.run_apply("--base", "applied").code == 0
    team.repo.git("merge", "--quiet", "--ff-only", "change")
    applied = team.run_apply("../plan.json", "--base", main)
    assert applied.code == 0, applied.output
    assert ok(team.plane.api.get("/apps/notes"))["description"] == "Mine"


def test_a_subject_is_shown_and_does_nothing(team: Team) -> None:
    """Control characters, markup, mentions and commands of a commit's subject are escaped in every format."""
    hostile = "\x1b[31mred ``` <b> @ana ::error::x | \u202e" + "x" * 300
    team.merge("notes", NOTES.replace("Takes notes", "Merged"), hostile)
    text, markdown, github = (team.review("-o", form, base="HEAD").stdout for form in ("text", "markdown", "github"))
    assert not any(sign in text + markdown + github for sign in ("\x1b", "\u202e"))
    assert "x" * 200 not in text + markdown
    assert "<b>" not in markdown
    assert "@ana" not in markdown
    assert "\n::error" not in github
    assert team.document(base="HEAD")["pending"]["commits"][0]["subject"] == hostile


def test_a_pending_secret_is_masked(team: Team) -> None:
    """A sensitive value that is merged and not applied yet is in no report."""
    path = team.workdir.directory / "octosync.yaml"
    path.write_text(f"{path.read_text()}sensitiveKeys: [password]\n")
    team.merge("notes", f"{NOTES}  inferenceConfig: {{database: {{password: hunter2}}}}\n")
    for form in ("text", "markdown", "json", "jsonl", "github", "sarif"):
        shown = team.review("-o", form, base="HEAD").output
        assert "hunter2" not in shown
    assert pending(team.document(base="HEAD")) == [("app/notes/inference-config", "create", "new")]


def test_an_offline_plan_has_nothing_pending(team: Team) -> None:
    """Without live state it is unknown what is pending, so a fork's plan is the same with and without `--applied`."""
    team.merge("notes", NOTES.replace("Takes notes", "Merged"))
    team.propose("bare", BARE.replace("Empty", "Mine"))
    team.log()
    document = team.document("--changed-only", "--offline")
    assert planned(document) == [("app/bare", "update", "manifest_changed")]
    assert "pending" not in document
    assert team.log() == []


def test_the_flag_needs_a_base(team: Team) -> None:
    """64: without a base there is nothing that could be merged."""
    ran = team.workdir.octosync("plan", "--applied", "applied")
    assert ran.code == 64
    assert "needs-a-base: --applied" in ran.stderr
