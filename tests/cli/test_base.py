"""Plan and apply against a base from Git: what counts as a change, what it costs, and which octosync.yaml is used."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tests.support.clients import KEY
from tests.support.embedded_planes import ok
from tests.support.kubectl import needs_kustomize
from tests.support.projects import APP, Project
from tests.support.repositories import Repo
from tests.support.workdirs import CommandResult, Workdir

OTHER_URL = "http://127.0.0.1:9"


@dataclass(frozen=True)
class Team(Project):
    """A project in a Git repository: apps `search` and `notes` on main and live, and a branch `change`."""

    repo: Repo

    def type(self, command: str, *arguments: str | Path, **more: Any) -> CommandResult:
        """Run a command with the context of octosync.yaml."""
        return self.workdir.octosync(command, *arguments, **more)

    def configure(self, more: str = "", *, url: str | None = None, token: str = "OCTOMIL_MAIN_KEY") -> None:  # noqa: S107 — a name
        """Write octosync.yaml."""
        contexts = f"contexts:\n  main: {{url: {url or self.url}, tokenEnv: {token}}}\n"
        self.workdir.write("octosync.yaml", f"{contexts}defaultContext: main\npaths: [apps/]\n{more}")

    def planned(self, *arguments: str) -> dict[str, Any]:
        """Plan against main; return the document."""
        ran = self.type("plan", "--base", "main", "-o", "json", *arguments)
        assert ran.code == 0, ran.output
        document: dict[str, Any] = json.loads(ran.stdout)
        return document

    def rules(self, *arguments: str) -> list[str]:
        """Plan against main; return the rules of the diagnostics."""
        return [diagnostic["rule"] for diagnostic in self.planned(*arguments)["diagnostics"]]


@pytest.fixture
def team(project: Project) -> Team:
    project.workdir.environment = {"OCTOMIL_MAIN_KEY": KEY}
    team = Team(project.plane, project.workdir, Repo.init(project.workdir.directory))
    team.configure()
    team.declare("search")
    team.declare("notes")
    team.repo.commit("begin")
    assert team.type("apply", "--yes", "--state", "../journal.db").code == 0
    team.repo.branch("change")
    team.log()
    return team


def test_the_policy_that_a_change_replaces_has_the_name_of_the_base(team: Team) -> None:
    """`private` expands to the policy of `local_only`: reviewers see the word that the change removes."""
    declared = APP.format(slug="search", name="Search")
    team.repo.write("apps/search.yaml", declared.replace("local_first", "private"))
    team.repo.commit("private")
    assert team.type("apply", "--yes", "--state", "../journal.db").code == 0
    team.repo.git("branch", "--force", "main")
    team.repo.write("apps/search.yaml", declared.replace("local_first", "cloud_first"))
    team.repo.commit()
    assert "servingPolicy   private → cloud_first\n" in team.type("plan", "--base", "main").stdout
    lines = declared.splitlines(keepends=True)
    at = next(number for number, line in enumerate(lines) if "- capability" in line)
    emptied = [*lines[: at - 1], "  slots: []\n", "  inferenceConfig: null\n"]
    team.repo.write("apps/search.yaml", "".join(emptied))
    team.repo.commit()
    assert "loses servingPolicy private\n" in team.type("plan", "--base", "main").stdout


def test_without_changes_no_request_is_sent(team: Team) -> None:
    """Comments, layout and file names are no change; neither a credential nor the control plane is needed."""
    team.repo.git("mv", "apps/notes.yaml", "apps/renamed.yaml")
    team.workdir.write("apps/search.yaml", "# a comment\n" + APP.format(slug="search", name="Search"))
    team.repo.commit()
    team.workdir.environment = {}
    for command in (("plan",), ("apply", "--yes")):
        ran = team.type(*command, "--base", "main", "--changed-only")
        assert (ran.code, ran.stdout.count("\n"), ran.stderr) == (0, 1, "")
        assert "no request sent" in ran.stdout
    document = team.planned("--changed-only")
    assert document["resource_changes"] == []
    assert document["cost"]["requests_used"] == 0
    assert team.log() == []


def test_only_changed_apps_are_read(team: Team) -> None:
    """An app without changes costs no request and is not planned, even if it drifted."""
    team.declare("notes", name="Notes after")
    team.repo.commit()
    document = team.planned("--changed-only")
    assert document["scope"]["apps"] == ["notes"]
    assert [change["address"] for change in document["resource_changes"]] == ["app/notes"]
    assert not any("search" in line for line in team.log())


def test_the_document_has_the_base(team: Team) -> None:
    """The base as it was given, and its full revision; the text reports uncommitted changes."""
    base = team.repo.head
    team.declare("notes", name="Notes after")
    team.repo.commit()
    document = team.planned()
    assert (document["invocation"]["base"], document["invocation"]["changed_only"]) == ("main", False)
    assert document["manifests"]["git"] == {"revision": team.repo.head, "dirty": False, "base": base}
    assert "uncommitted changes" not in team.type("plan", "--base", "main").stdout
    team.declare("notes", name="Notes once more")
    assert " · uncommitted changes · base main" in team.type("plan", "--base", "main").stdout.partition("\n")[0]


def test_offline_needs_neither_credential_nor_request(team: Team) -> None:
    """The changes are planned against the base; every output states that live was not read."""
    team.declare("notes", name="Notes after")
    team.repo.commit()
    team.workdir.environment = {}
    ran = team.type("plan", "--base", "main", "--offline")
    assert ran.code == 0, ran.output
    assert 'Search → "Notes after"' in ran.stdout
    assert "live state was not read" in ran.stdout
    document = team.planned("--offline")
    assert [change["address"] for change in document["resource_changes"]] == ["app/notes"]
    assert "offline" in [diagnostic["rule"] for diagnostic in document["diagnostics"]]
    assert document["cost"]["requests_used"] == 0
    assert team.log() == []
    refused = team.type("plan", "--base", "main", "--offline", "--plan-out", "plan.json")
    assert (refused.code, "offline-plan-out" in refused.stderr) == (64, True)


def test_a_change_of_octosync_yaml_is_only_a_notice_in_its_plan(team: Team) -> None:
    """A URL, a token variable, guards, operation overrides, owners, env: all are those of the base until merged."""
    team.declare("notes", name="Notes after")
    team.repo.commit()
    before = team.planned()
    team.configure(
        "guards: {maxDeletes: 999, trailers: [protected]}\n"
        "owners: [{paths: nowhere/**, apps: ['*']}]\n"
        "env: [HOME]\nsensitiveKeys: []\n"
        "api: {operations: {apps.update: {path: '/apps/{slug}/elsewhere'}}}\n"
        "stateUrl: postgresql://127.0.0.1:1/octosync\n",
        url=OTHER_URL,
        token="HOME",
    )
    team.repo.commit()
    after = team.planned()
    assert after["resource_changes"] == before["resource_changes"]
    assert after["control_plane"] == before["control_plane"]
    notices = [diagnostic for diagnostic in after["diagnostics"] if diagnostic["rule"] == "after-the-merge"]
    keys = ["api", "contexts.main.tokenEnv", "contexts.main.url", "env", "guards", "owners"]
    keys += ["sensitiveKeys", "stateUrl"]
    assert [notice["path"] for notice in notices] == keys
    assert {notice["severity"] for notice in notices} == {"notice"}
    api = next(
        diagnostic for diagnostic in team.planned("--changed-only")["diagnostics"] if diagnostic.get("path") == "api"
    )
    assert "--changed-only" in api["notes"][0]


ALWAYS = 'freeze: [{cron: "0 0 * * *", duration: 24h}]\n'


def test_a_branch_can_not_lift_the_freeze_of_its_plan(team: Team) -> None:
    """Main's windows apply, with main's revision, and those of the branch are a notice; apply uses the merged file."""
    team.configure(ALWAYS)
    team.repo.commit("frozen")
    team.repo.git("branch", "--force", "main")
    team.declare("notes", name="Notes after")
    team.repo.commit()
    ran = team.type("plan", "--base", "main")
    assert ran.code == 4
    assert "after-the-merge" not in ran.stdout
    team.configure("drift: {hold: 1h}\n")
    team.repo.commit("thawed")
    ran = team.type("plan", "--base", "main", "-o", "json")
    document = json.loads(ran.stdout)
    assert (ran.code, [refusal["guard"] for refusal in document["blocked"]]) == (4, ["frozen"])
    window = f"({team.repo.git('rev-parse', 'main')[:12]}:octosync.yaml:5)"
    assert window in document["blocked"][0]["message"]
    assert [
        diagnostic["path"] for diagnostic in document["diagnostics"] if diagnostic["rule"] == "after-the-merge"
    ] == ["freeze"]
    assert team.type("apply", "--yes", "--base", "main").code == 0


def test_a_context_that_is_new_sends_no_key_to_another_host(team: Team) -> None:
    """Its URL is not reviewed yet, and its key is not meant for the public control plane."""
    own = f"  own: {{url: '{OTHER_URL}', tokenEnv: OCTOMIL_API_KEY}}\ndefaultContext: own\npaths: [apps/]\n"
    team.workdir.write("octosync.yaml", f"contexts:\n{own}")
    team.workdir.environment |= {"OCTOMIL_API_KEY": KEY}
    ran = team.type("plan", "--base", "main")
    assert (ran.code, "context-not-reviewed" in ran.output) == (1, True), ran.output
    assert team.type("plan", "--base", "main", "--offline").code == 0
    team.workdir.environment |= {"OCTOMIL_API_URL": team.url}
    assert team.type("plan", "--base", "main").code == 0


def test_a_freeze_of_a_branch_is_in_force_after_the_merge(team: Team) -> None:
    """It is a notice until then, and refuses nothing."""
    team.configure(ALWAYS)
    team.declare("notes", name="Notes after")
    team.repo.commit()
    assert team.rules() == ["after-the-merge"]
    assert team.type("apply", "--yes", "--base", "main").code == 4


def test_a_commit_lifts_a_freeze_if_the_configuration_allows_it(team: Team) -> None:
    """`Octosync-Allow: frozen` counts if `guards.trailers` lists it, and by default it doesn't."""
    for trailers, code in (("", 4), ("guards: {trailers: [frozen]}\n", 0)):
        team.repo.switch("main")
        team.configure(f"{ALWAYS}{trailers}")
        team.repo.commit("rules")
        team.repo.branch(f"change-{code}")
        team.declare("notes", name=f"Notes {code}")
        team.repo.commit("Now\n\nOctosync-Allow: frozen\n")
        assert team.type("plan", "--base", "main").code == code
    assert [override["guard"] for override in team.planned()["overrides"]] == ["frozen"]


def test_a_later_change_of_main_is_no_notice(team: Team) -> None:
    """Main's current guards apply, and a branch with older ones gets no notice."""
    team.repo.switch("main")
    team.configure("guards: {maxDeletes: 0}\n")
    team.repo.commit("stricter")
    team.repo.switch("change")
    team.workdir.write(
        "apps/notes.yaml",
        APP.format(slug="notes", name="Search").replace("  targets:", "  targets: []\n  x:").split("  x:")[0],
    )
    team.repo.commit("fewer")
    ran = team.type("plan", "--base", "main")
    assert ran.code == 4, ran.output
    assert "at most 0 are allowed" in ran.stdout
    assert "after-the-merge" not in ran.stdout


def test_without_an_octosync_yaml_at_the_base_no_context_gives_url_or_token(team: Team) -> None:
    """A pull request that adds the file reaches no server with it; --url and OCTOMIL_*, or --offline, work."""
    team.repo.switch("main")
    team.repo.git("rm", "--quiet", "octosync.yaml")
    team.repo.commit("none")
    team.repo.branch("brings-it")
    team.configure(url=OTHER_URL)
    team.repo.commit("brings it")
    ran = team.type("plan", "--base", "main")
    assert (ran.code, "no-credential" in ran.stderr, "--offline" in ran.stderr) == (1, True, True)
    assert OTHER_URL not in ran.stderr
    assert team.type("plan", "--base", "main", "--offline").code == 0
    octomil = {"OCTOMIL_API_URL": team.url, "OCTOMIL_API_KEY": KEY}
    assert team.type("plan", "--base", "main", **octomil).code == 0
    assert team.log() != []


def test_apply_uses_the_merged_file(team: Team) -> None:
    """It was reviewed, so a changed token variable is in force at once."""
    team.configure(token="OCTOMIL_NEW_KEY")
    team.declare("notes", name="Notes after")
    team.repo.commit()
    ran = team.type("apply", "--yes", "--base", "main", OCTOMIL_NEW_KEY=KEY)
    assert ran.code == 0, ran.output
    assert "after-the-merge" not in ran.output


def test_a_commit_lifts_a_guard(team: Team) -> None:
    """`Octosync-Allow` in any commit since the base is in force and shown with its commit. Without it, the guard refuses."""
    team.configure("guards: {maxDeletes: 0}\n")
    team.repo.commit("strict")
    team.repo.git("branch", "--force", "main")
    team.declare(
        "notes", text=APP.format(slug="notes", name="Search").replace("inferenceConfig:", "inferenceConfig: null #")
    )
    team.repo.commit("Less\n\nThe config is not needed.\nOctosync-Allow: deletes=1 deltes=2\n")
    team.repo.commit("later")
    document = team.planned()
    source = f"commit {team.repo.git('rev-parse', 'HEAD^')[:12]}"
    assert document["overrides"] == [{"guard": "deletes", "value": "1", "source": source}]
    assert [diagnostic["rule"] for diagnostic in document["diagnostics"]] == ["allows-nothing"]
    assert team.type("plan", "--base", "main", "--allow-deletes", "0").code == 4
    assert team.type("plan", "--base", "HEAD").code == 4
    assert team.type("apply", "--yes", "--base", "main").code == 0


def test_an_apply_that_does_not_descend_from_its_base_is_refused(team: Team) -> None:
    """A re-run of an old job would undo later changes: exit 4, even without changes, unless --allow-rollback is given."""
    old = team.repo.head
    team.declare("notes", name="Notes after")
    new = team.repo.commit()
    assert team.type("apply", "--yes", "--base", "main").code == 0
    team.repo.git("checkout", "--quiet", old)
    team.log()
    for more in ((), ("--changed-only",)):
        ran = team.type("apply", "--yes", "--base", new, *more)
        assert ran.code == 4, ran.output
        assert "guard rollback" in ran.output
        assert "--allow-rollback" in ran.output
    assert team.writes() == []
    assert team.type("plan", "--base", new).code == 0
    back = team.type("apply", "--yes", "--base", new, "--changed-only", "--allow-rollback")
    assert back.code == 0, back.output
    assert team.writes() == ["PATCH /apps/notes"]


def test_an_apply_that_does_not_descend_from_an_attempt_is_refused(team: Team) -> None:
    """An older revision doesn't undo a newer attempt, not even the revision that was applied in full last."""
    old = team.repo.head
    team.declare("notes", name="Notes after")
    begun = team.repo.commit()
    assert team.type("apply", "--yes", "--base", "main").code == 0
    team.repo.git("checkout", "--quiet", old)
    team.log()
    arguments = ("apply", "--yes", "--base", old, "--attempted", begun)
    refused = team.type(*arguments)
    assert (refused.code, f"does not have {begun} ({begun[:12]})" in refused.output) == (4, True), refused.output
    assert team.writes() == []
    back = team.type(*arguments, "--allow-rollback")
    assert (back.code, team.writes()) == (0, ["PATCH /apps/notes"]), back.output


def test_an_invalid_base_is_a_warning(team: Team) -> None:
    """Its app is in --changed-only, --prune is refused, and --strict does not stop the change that fixes it."""
    broken = APP.format(slug="notes", name="Search").replace("servingPolicy", "servingPolcy")
    team.declare("notes", text=broken)
    team.repo.commit("broken")
    team.repo.git("branch", "--force", "main")
    team.declare("notes", name="Notes mended")
    team.repo.commit("mended")
    document = team.planned("--changed-only", "--strict")
    assert document["scope"]["apps"] == ["notes"]
    warning = next(diagnostic for diagnostic in document["diagnostics"] if diagnostic["rule"] == "invalid-base")
    assert warning["range"]["filename"] == f"{team.repo.git('rev-parse', 'main')[:12]}:apps/notes.yaml"
    refused = team.type("plan", "--base", "main", "--prune")
    assert (refused.code, "prune-without-a-whole-base" in refused.stderr) == (1, True)


def test_a_base_file_replaces_the_git_base(team: Team) -> None:
    """`--base-file` alone needs no Git; with `--base`, octosync.yaml and the commits' lines are still from Git."""
    rendered = APP.format(slug="notes", name="Search")
    team.workdir.write("../before.yaml", rendered)
    manifests = APP.format(slug="notes", name="Notes after").encode()
    given = ("plan", "-f", "-", "--base-file", "../before.yaml", "--changed-only", "-o", "json")
    ran = team.type(*given, stdin=manifests)
    assert [change["address"] for change in json.loads(ran.stdout)["resource_changes"]] == ["app/notes"]
    assert json.loads(team.type(*given, stdin=rendered.encode()).stdout)["resource_changes"] == []
    team.configure(url=OTHER_URL)
    team.repo.commit("Elsewhere\n\nOctosync-Allow: diverged")
    both = json.loads(team.type(*given, "--base", "main", stdin=manifests).stdout)
    assert [override["guard"] for override in both["overrides"]] == ["diverged"]
    assert both["control_plane"]["url"].startswith(team.url)
    missing = team.type("plan", "-f", "-", "--base-file", "nowhere.yaml", stdin=manifests)
    assert (missing.code, "base-file-unreadable" in missing.stderr) == (1, True)


@pytest.mark.parametrize(
    ("arguments", "reference"),
    [
        (("plan", "--changed-only"), "needs-a-base"),
        (("plan", "--offline"), "needs-a-base"),
        (("plan", "--prune"), "needs-a-base"),
        (("apply", "--yes", "--attempted", "main"), "needs-a-base"),
        (("plan", "-f", "-", "--base", "main"), "stdin-with-base"),
        (("plan", "--base", "--upload-pack=touch x"), "malformed-revision"),
        (("plan", "--base", "nowhere"), "unknown-revision"),
        (("apply", "--yes", "--base", "main", "--attempted", "nowhere"), "unknown-revision"),
        (("plan", "-f", "apps", "-k", "apps"), "file-with-kustomize"),
        (("plan", "--base", "main", "--drift-hold", "soon"), "usage"),
    ],
)
def test_contradictory_options_are_a_usage_error(team: Team, arguments: tuple[str, ...], reference: str) -> None:
    """Each error names the problem and what to give instead; nothing is sent."""
    ran = team.type(*arguments, stdin=b"")
    assert ran.code == 64, ran.output
    assert f"error: {reference}" in ran.stderr
    assert team.log() == []


def test_a_narrower_file_removes_nothing(team: Team) -> None:
    """An app that -f excludes is no orphan, and a manifest that moved out of it was not removed."""
    team.repo.git("mv", "apps/notes.yaml", "apps/elsewhere.yaml")
    team.declare("search", name="Search after")
    team.repo.commit()
    document = team.planned("-f", "apps/search.yaml", "--changed-only")
    assert document["scope"]["apps"] == ["search"]


def test_from_a_sub_folder_and_a_worktree(team: Team, tmp_path_factory: pytest.TempPathFactory) -> None:
    """The base is found from any working directory."""
    team.declare("notes", name="Notes after")
    team.repo.commit()
    tree = tmp_path_factory.mktemp("trees") / "tree"
    team.repo.git("worktree", "add", "--quiet", "--detach", str(tree))
    for folder in (team.workdir.directory / "apps", tree, tree / "apps"):
        workdir = Workdir(folder, team.workdir.environment)
        document = json.loads(workdir.octosync("plan", "--base", "main", "--changed-only", "-o", "json").stdout)
        assert [change["address"] for change in document["resource_changes"]] == ["app/notes"]


def test_a_plan_file_has_its_base(team: Team) -> None:
    """`apply PLANFILE` needs the same --base and --changed-only: a commit or branch that has its base; others are refused."""
    before = team.repo.head
    team.repo.commit("on main")
    team.repo.git("branch", "--force", "main")
    team.declare("notes", name="Notes after")
    team.repo.commit()
    assert team.type("plan", "--base", "main", "--changed-only", "--plan-out", "../plan.json").code == 0
    base = team.repo.git("rev-parse", "main").strip()
    for others in ((), ("--base", "main"), ("--changed-only", "--base", before)):
        refused = team.type("apply", "../plan.json", *others)
        assert (refused.code, "other-manifests" in refused.stderr) == (3, True)
        assert f"--base {base} --changed-only" in refused.stderr
    team.repo.git("branch", "--force", "main", "HEAD")  # the merge
    assert team.type("apply", "../plan.json", "--base", base, "--changed-only").code == 0
    assert team.writes() == ["PATCH /apps/notes"]


def merge(repo: Repo, how: str) -> None:
    """Merge the branch `change` into main in one of the ways of a forge, and check main out."""
    repo.switch("main")
    match how:
        case "squash":
            repo.git("merge", "--quiet", "--squash", "change")
            repo.git("commit", "--quiet", "-m", "Squashed")
        case "rebase":
            repo.git("rebase", "--quiet", "main", "change")
            repo.switch("main")
            repo.git("merge", "--quiet", "--ff-only", "change")
        case _:
            repo.git("merge", "--quiet", "--no-ff", "-m", "Merge", "change")


def planned_change(team: Team, *arguments: str) -> str:
    """Commit a change of `notes` on a branch, and save its plan; return the suggested arguments of apply."""
    team.declare("notes", name="Notes after")
    team.repo.commit("Notes after")
    ran = team.type("plan", "--base", "main", *arguments, "--plan-out", "../plan.json")
    assert ran.code == 0, ran.output
    team.log()
    return ran.stderr.partition("To apply exactly this plan:  octosync ")[2].partition("\n")[0]


@pytest.mark.parametrize("how", ["merge", "squash", "rebase"])
@pytest.mark.parametrize("named", ["suggested", "main"])
def test_an_approved_plan_is_applied_after_the_merge(team: Team, how: str, named: str) -> None:
    """The file records the commit of the base, so `main` and the suggested command mean it on the merged commit, too."""
    suggested = planned_change(team, "--changed-only").split()
    base = team.repo.git("rev-parse", "main")
    assert json.loads((team.workdir.directory / "../plan.json").read_text())["invocation"]["base"] == base
    assert suggested == ["apply", "../plan.json", "--base", base, "--changed-only"]
    merge(team.repo, how)
    arguments = suggested if named == "suggested" else ["apply", "../plan.json", "--base", "main", "--changed-only"]
    ran = team.type(*arguments)
    assert ran.code == 0, ran.output
    assert team.writes() == ["PATCH /apps/notes"]


# Each pair of values of two parameters, not each combination of three.
@pytest.mark.parametrize(
    ("how", "applied", "arguments"),
    [
        ("merge", True, ("--changed-only",)),
        ("merge", False, ()),
        ("squash", True, ()),
        ("squash", False, ("--changed-only",)),
        ("rebase", True, ("--changed-only",)),
        ("rebase", False, ()),
    ],
)
def test_a_merge_of_another_app_in_between_is_no_obstacle(
    team: Team, how: str, applied: bool, arguments: tuple[str, ...]
) -> None:
    """A colleague's change of another app is not applied with the plan file, whether or not it was applied before."""
    planned_change(team, *arguments)
    team.repo.switch("main")
    team.declare("search", name="Search after")
    team.repo.commit("A colleague's app")
    if applied:
        assert team.type("apply", "--yes").code == 0
    merge(team.repo, how)
    team.log()
    ran = team.type("apply", "../plan.json", "--base", "main", *arguments)
    assert ran.code == 0, ran.output
    assert ("Not in the plan file, left alone: search" in ran.stdout) is not applied
    assert team.writes() == ["PATCH /apps/notes"]


def test_a_held_change_is_not_approved(team: Team) -> None:
    """Drift that the plan holds is left alone by apply, whether it is still held or not."""
    ok(team.plane.api.patch("/apps/search", json={"name": "By hand"}))
    planned_change(team, "--drift-hold", "36500d")
    saved = json.loads((team.workdir.directory / "../plan.json").read_text())
    assert [row["address"] for row in saved["resource_changes"] if row["held_until"]] == ["app/search"]
    merge(team.repo, "squash")
    ran = team.type("apply", "../plan.json", "--base", "main", "--drift-hold", "0")
    assert (ran.code, "Not in the plan file, left alone: search" in ran.stdout) == (0, True)
    assert team.writes() == ["PATCH /apps/notes"]


@pytest.mark.parametrize("applied", [True, False])
def test_a_merge_of_the_same_object_in_between_is_refused(team: Team, applied: bool) -> None:
    """3: only what the colleague changed is named, neither the manifests nor the control plane."""
    planned_change(team, "--changed-only")
    team.repo.switch("main")
    text = APP.format(slug="notes", name="Search").replace("  targets:", "  description: For all\n  targets:")
    team.declare("notes", text=text)
    team.repo.commit("A colleague's description")
    if applied:
        assert team.type("apply", "--yes").code == 0
    team.repo.switch("change")
    team.repo.git("merge", "--quiet", "--strategy", "ours", "-m", "Take both", "main")
    team.declare("notes", text=text.replace("Search", "Notes after"))
    team.repo.commit("Both")
    merge(team.repo, "squash")
    team.log()
    ran = team.type("apply", "../plan.json", "--base", "main", "--changed-only")
    assert (ran.code, team.writes()) == (3, [])
    _, *moved, _, _ = ran.stderr.splitlines()
    sides = ("before", "after") if applied else ("after",)
    assert moved == [f"  update app/notes: {side} description: (none) → For all" for side in sides]


def test_the_refusal_of_an_unmerged_plan_names_only_its_changes(team: Team) -> None:
    """3: on a commit without the change, the approved changes are named; control plane and org have not moved."""
    planned_change(team, "--changed-only")
    team.repo.switch("main")
    ran = team.type("apply", "../plan.json", "--base", "main", "--changed-only")
    assert ran.code == 3
    assert "update app/notes: approved, and no longer planned\n  Plan again" in ran.stderr
    assert "control plane:" not in ran.stderr
    assert "org:" not in ran.stderr


def test_a_plan_without_requests_names_the_control_plane_as_any_other(team: Team) -> None:
    """Idle or offline, the document has the same URL as with requests, and the org if it is configured."""
    read = team.planned()["control_plane"]
    assert read["url"] == f"{team.url}/api/v1"
    for arguments in (("--changed-only",), ("--offline",)):
        assert team.planned(*arguments)["control_plane"] == {**read, "org_id": None}
        assert team.planned(*arguments, "--org", read["org_id"])["control_plane"] == read


def test_a_plan_file_restores_no_allowance(team: Team) -> None:
    """Its base lifts no guard: an `Octosync-Allow` that was applied before counts only with an earlier --base."""
    team.configure("guards: {maxDeletes: 1}\n")
    team.repo.commit("at most one")
    first = team.repo.head
    team.repo.commit("again\n\nOctosync-Allow: deletes=50")
    team.repo.git("branch", "--force", "main")
    head = "apiVersion: octosync.dev/v1\nkind: App\nmetadata: {name: notes}\n"
    team.declare("notes", text=f"{head}spec: {{slots: [], targets: []}}\n")
    team.repo.commit("all gone")
    assert team.type("plan", "--base", first, "--plan-out", "../plan.json").code == 0
    refused = team.type("apply", "../plan.json", "--base", "main")
    assert (refused.code, "Blocked (deletes)" in refused.stdout) == (4, True)
    assert refused.stderr == (
        f"If you trust the file, use the Octosync-Allow lines of what was merged: --base {first}\nNothing was written.\n"
    )
    assert team.type("apply", "../plan.json").code == 3
    assert team.writes() == []
    assert team.type("apply", "../plan.json", "--base", first).code == 0


def test_selection_includes_apps_of_the_base(team: Team) -> None:
    """`--app` may name an app that only the base declared; an app that was never declared is an error."""
    team.repo.git("rm", "--quiet", "apps/notes.yaml")
    team.repo.commit()
    assert team.type("plan", "--base", "main", "--app", "notes").code == 0
    assert team.type("plan", "--base", "main", "--app", "missing").code == 64


@needs_kustomize
def test_a_kustomization_is_rendered_on_both_sides(team: Team) -> None:
    """With -k and with a context's `kustomize`, a patch that this branch adds is its change; a plan file names it."""
    team.workdir.write("apps/kustomization.yaml", "resources: [notes.yaml, search.yaml]\n")
    team.workdir.write("prod/kustomization.yaml", "resources: [../apps]\n")
    context = f"contexts: {{main: {{url: '{team.url}', tokenEnv: OCTOMIL_MAIN_KEY, kustomize: prod}}}}\ndefaultContext: main\n"
    team.workdir.write("octosync.yaml", context)
    team.repo.commit("kustomize")
    team.repo.git("branch", "--force", "main")
    patch = "apiVersion: octosync.dev/v1\nkind: App\nmetadata: {name: notes}\nspec: {name: Notes after}\n"
    team.workdir.write("prod/patch.yaml", patch)
    team.workdir.write("prod/kustomization.yaml", "resources: [../apps]\npatches: [{path: patch.yaml}]\n")
    team.repo.commit("patch")
    document = team.planned("-k", "prod", "--changed-only")
    assert [change["address"] for change in document["resource_changes"]] == ["app/notes"]
    assert (document["invocation"]["kustomize"], document["invocation"]["paths"]) == ("prod", [])
    assert team.planned("--changed-only")["resource_changes"] == document["resource_changes"]
    assert team.type("plan", "--plan-out", "../plan.json").code == 0
    assert team.type("apply", "../plan.json", "-k", "apps").code == 3
    assert team.type("apply", "../plan.json").code == 0


@needs_kustomize
def test_a_plan_renders_no_kustomization_that_is_not_reviewed(team: Team) -> None:
    """A `kustomize` that only the change sets, or that the base lacks, is not rendered; -k on the command line is."""
    team.workdir.write("prod/kustomization.yaml", "resources: [notes.yaml]\n")
    team.workdir.write("prod/notes.yaml", APP.format(slug="notes", name="Notes"))
    context = f"contexts: {{main: {{url: '{team.url}', tokenEnv: OCTOMIL_MAIN_KEY, kustomize: prod}}}}\ndefaultContext: main\n"
    plain = (team.workdir.directory / "octosync.yaml").read_text()
    for main, change, why in (
        (plain, context, "main has none"),
        (context, context, "main has no kustomization at prod"),
    ):
        team.workdir.write("octosync.yaml", main)
        (team.workdir.directory / "prod").rename(team.workdir.directory.parent / "prod")
        team.repo.commit("main")
        team.repo.git("branch", "--force", "main")
        (team.workdir.directory.parent / "prod").rename(team.workdir.directory / "prod")
        team.workdir.write("octosync.yaml", change)
        for offline in ((), ("--offline",)):
            ran = team.type("plan", "--base", "main", *offline)
            assert (ran.code, "kustomize-not-reviewed" in ran.output, why in ran.output) == (1, True, True), ran.output
            assert "-k prod" in ran.output
    assert team.type("plan", "--base", "main", "--offline", "-k", "prod").code == 0
    assert team.type("plan", "-k", "prod", "--base", "main", "--offline", "--allow-remote-bases").code == 64


def test_no_message_shows_the_key_in_force(team: Team) -> None:
    """If manifests or octosync.yaml contain the key, it is masked in their diagnostics."""
    team.workdir.write("apps/leak.yaml", f"apiVersion: {KEY}\nkind: {KEY}\n{KEY}: 1\n")
    for output in ("text", "json", "sarif", "github"):
        ran = team.type("validate", "-o", output)
        assert (KEY in ran.output, "(sensitive)" in ran.output) == (False, True), ran.output
    assert KEY not in team.type("plan").output


def test_a_file_above_the_repository_is_not_part_of_the_change(team: Team) -> None:
    """A pull request can't edit an octosync.yaml above the work tree, so it applies as it is. --config must name it."""
    team.repo.git("rm", "--quiet", "octosync.yaml")
    team.repo.commit("none")
    team.repo.git("branch", "--force", "main")
    above = f"contexts: {{main: {{url: '{team.url}', tokenEnv: OCTOMIL_MAIN_KEY}}}}\ndefaultContext: main\n"
    inner = team.workdir.directory / "inner"
    inner.mkdir()
    repo = Repo.init(inner)
    team.workdir.write("octosync.yaml", above)
    repo.write("apps/notes.yaml", APP.format(slug="notes", name="Search"))
    repo.commit()
    workdir = Workdir(inner, team.workdir.environment)
    assert "no-credential" in workdir.octosync("plan", "-f", "apps", "--base", "main").output
    ran = workdir.octosync("plan", "-f", "apps", "--base", "main", "--config", "../octosync.yaml")
    assert ran.code == 0, ran.output
    assert "after-the-merge" not in ran.stdout


def test_a_base_without_commits_or_repository_is_an_error(workdir: Workdir) -> None:
    """Both errors name what is missing, and nothing is sent."""
    workdir.write("apps/a.yaml", APP.format(slug="a", name="A"))
    given = ("plan", "-f", "apps", "--base", "main", "--url", "http://127.0.0.1:9")
    ran = workdir.octosync(*given, GIT_CEILING_DIRECTORIES=str(workdir.directory.parent))
    assert (ran.code, "not-a-repository" in ran.stderr) == (1, True)
    workdir.write("conf/octosync.yaml", "contexts: {}\n")
    ran = workdir.octosync(
        *given, "--config", "conf/octosync.yaml", GIT_CEILING_DIRECTORIES=str(workdir.directory.parent)
    )
    assert f"Run this in {workdir.directory / 'conf'}, where --config is" in ran.stderr
    Repo.init(workdir.directory)
    ran = workdir.octosync(*given)
    assert (ran.code, "unknown-revision" in ran.stderr) == (64, True)


def test_unfinished_revisions_are_in_the_command_that_continues(team: Team) -> None:
    """`--attempted` takes any commit, and the command that continues has it."""
    attempted = team.repo.head
    team.declare("notes", name="Notes after")
    team.repo.commit()
    team.break_with({"operation": "apps.update", "action": "status", "status": 422, "times": None})
    ran = team.type("apply", "--yes", "--base", "main", "--attempted", attempted[:12], "--drift-hold", "1h")
    assert ran.code == 5, ran.output
    assert f"--base main --attempted {attempted[:12]} --drift-hold 1h" in ran.output


def test_accept_with_a_base_keeps_the_changes_of_the_branch(team: Team) -> None:
    """The suggested command accepts a name that drifted, and the description that this branch changed stays."""
    text = APP.format(slug="search", name="Search").replace("  targets:", "  description: Finds things\n  targets:")
    team.declare("search", text=text)
    team.repo.commit()
    ok(team.plane.api.patch("/apps/search", json={"name": "Finder"}))
    planned = team.type("plan", "--base", "main", "--drift-hold", "0")
    typed = planned.stdout.rpartition("To keep the live values instead: octosync ")[2].strip()
    assert typed == "accept app/search -f apps --base main"
    ran = team.type(*typed.split())
    assert ran.code == 0, ran.output
    assert (team.workdir.directory / "apps/search.yaml").read_text() == (
        text.replace("name: Search\n", "name: Finder\n")
    )
    ran = team.type("accept", "app/search", "--base", "main")
    assert ran.code == 0
    (row,) = team.planned("--drift-hold", "0")["resource_changes"]
    assert [change["path"] for change in row["change"]["fields"]] == [["description"]]


def test_accept_with_a_base_refuses_changes_of_the_branch(team: Team) -> None:
    """An object without a live change has nothing to accept, and is not removed."""
    text = APP.format(slug="search", name="Search").replace("com.acme.search", "com.acme.finder")
    team.declare("search", text=text)
    team.repo.commit()
    ran = team.type("accept", "app/search/target/ios:com.acme.finder", "--base", "main")
    assert ran.code == 1
    assert "it differs because these manifests change it" in ran.stderr
    assert (team.workdir.directory / "apps/search.yaml").read_text() == text
