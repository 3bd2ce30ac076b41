"""Policies of octosync.yaml in validate, plan and apply: a change can't loosen the policies that it is judged by."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.support.clients import KEY
from tests.support.commands import environment
from tests.support.projects import APP, Project
from tests.support.repositories import Repo
from tests.support.workdirs import CommandResult

NAMED = """\
policies:
  - name: keep-the-name
    rule: change.kind != "app" || change.action == "create" || change.after.name == change.before.name
    message: The name of an app is printed on boxes.
    link: https://wiki.example.com/names
"""
HARMLESS = "policies: [{name: keep-the-name, rule: 'true', message: All is well.}]\n"
COMMIT = "Octosync-Allow: policy:keep-the-name"


@dataclass(frozen=True)
class Team(Project):
    """A project in a Git repository."""

    repo: Repo

    def type(self, command: str, *arguments: str) -> CommandResult:
        """Run a command with the context of octosync.yaml."""
        return self.workdir.octosync(command, *arguments)

    def configure(self, more: str) -> None:
        """Write octosync.yaml."""
        context = f"contexts:\n  main: {{url: {self.url}, tokenEnv: OCTOMIL_MAIN_KEY}}\n"
        self.workdir.write("octosync.yaml", f"{context}defaultContext: main\npaths: [apps/]\n{more}")

    def merge(self, more: str) -> None:
        """Change octosync.yaml on main, and rebase the branch."""
        self.repo.switch("main")
        self.configure(more)
        self.repo.commit("main")
        self.repo.switch("change")
        self.repo.git("rebase", "--quiet", "main")


@pytest.fixture
def team(project: Project) -> Team:
    """Return a team whose main has a policy, with a change in the branch that violates it."""
    project.workdir.environment = {"OCTOMIL_MAIN_KEY": KEY}
    team = Team(project.plane, project.workdir, Repo.init(project.workdir.directory))
    team.configure(NAMED)
    team.declare("search")
    team.declare("notes")
    team.repo.commit("begin")
    assert team.type("apply", "--yes", "--state", "../journal.db").code == 0
    team.repo.branch("change")
    team.declare("search", name="Another")
    team.repo.commit("another name")
    team.log()
    return team


def plan(team: Team, *arguments: str) -> CommandResult:
    """Plan against main."""
    return team.type("plan", "--base", "main", *arguments)


@pytest.mark.parametrize(
    "more",
    [
        "",
        HARMLESS,
        NAMED.replace("- name:", "- severity: warning\n    name:"),
        NAMED.replace("- name:", "- selector: team=none\n    name:"),
        NAMED + "guards: {trailers: [policy]}\n",
    ],
    ids=["gone", "true", "warning", "selector", "trailers"],
)
def test_a_change_is_judged_by_the_policies_of_main(team: Team, more: str) -> None:
    """A branch that removes or changes a policy is refused by it, and the change of the policy is a notice."""
    team.configure(more)
    team.repo.commit("policies of the branch")
    ran = plan(team)
    assert (ran.code, ran.stderr) == (4, "")
    assert "Blocked: The name of an app is printed on boxes. (guard policy:keep-the-name)" in ran.stdout
    assert ("this change sets `policies`" in ran.stdout) is ("trailers" not in more)


def test_a_branch_without_octosync_yaml_is_judged(team: Team) -> None:
    """The file of main counts, not its absence."""
    team.repo.git("rm", "--quiet", "octosync.yaml")
    team.repo.commit("no configuration")
    ran = plan(team, "-f", "apps", "--url", team.url, "--offline")
    assert (ran.code, "guard policy:keep-the-name" in ran.stdout) == (4, True)


def test_a_renamed_context_is_judged_as_the_one_of_main(team: Team) -> None:
    """A policy about a context can't be evaded by another name for it."""
    team.merge(NAMED.replace("change.kind !=", 'context != "main" || change.kind !='))
    team.workdir.write(
        "octosync.yaml", f"contexts: {{other: {{url: '{team.url}'}}}}\ndefaultContext: other\npaths: [apps/]\n"
    )
    team.repo.commit("another context")
    team.workdir.environment = {"OCTOMIL_API_URL": team.url, "OCTOMIL_API_KEY": KEY}
    ran = plan(team)
    assert (ran.code, "guard policy:keep-the-name" in ran.stdout) == (4, True), ran.output


def test_a_policy_of_the_branch_judges_after_the_merge(team: Team) -> None:
    """It is checked in the branch, and takes effect with the merge."""
    team.configure(NAMED + "  - {name: nothing, rule: 'false', message: Nothing may change.}\n")
    team.repo.commit("a policy")
    assert "policy:nothing" not in plan(team).stdout
    merged = team.type("apply", "--yes", "--base", "main")
    assert (merged.code, "guard policy:nothing" in merged.output) == (4, True)
    team.configure(NAMED + "  - {name: nothing, rule: change.nothing, message: Nothing may change.}\n")
    wrong = plan(team)
    assert (wrong.code, "octosync.yaml:" in wrong.stderr, "policy-failed" in wrong.stderr) == (1, True, True)


def test_a_wrong_rule_on_main_refuses_and_can_be_fixed(team: Team) -> None:
    """What a rule on main can't judge is refused, at the rule; a flag allows the change that fixes it."""
    team.merge(NAMED.replace("change.kind", "chnge.kind"))
    team.configure(NAMED)
    team.repo.commit("the fix")
    ran = plan(team, "-o", "json")
    document = json.loads(ran.stdout)
    assert (ran.code, [blocked["guard"] for blocked in document["blocked"]]) == (4, ["policy:keep-the-name"])
    (failed,) = (found for found in document["diagnostics"] if found["rule"] == "policy-failed")
    main = team.repo.git("rev-parse", "main")
    start = {"line": 7, "column": 11 + len("chnge")}  # at the dot, in the rule
    assert failed["range"] == {"filename": f"{main[:12]}:octosync.yaml", "start": start}
    assert "undeclared reference to 'chnge.kind'" in failed["summary"]
    assert plan(team, "--allow-policy", "keep-the-name").code == 0


def test_a_flag_or_a_commit_allows_what_a_policy_refuses(team: Team) -> None:
    """The report names the override; the refusal names both ways as they are typed."""
    refused = plan(team)
    assert "--base main --allow-policy keep-the-name" in refused.stdout
    assert f"In a commit:     {COMMIT}" in refused.stdout
    allowed = plan(team, "--allow-policy", "keep-the-name", "--allow-policy", "another")
    assert (allowed.code, "Allowed in this run: --allow-policy keep-the-name" in allowed.stdout) == (0, True)
    team.repo.commit(f"a reason\n\n{COMMIT}")
    by_commit = plan(team)
    assert (by_commit.code, "Allowed in this run: policy:keep-the-name (commit " in by_commit.stdout) == (0, True)


def test_main_decides_whether_commits_may_allow_it(team: Team) -> None:
    """`guards.trailers` without `policy`: a line of a commit allows nothing."""
    team.merge(NAMED + "guards: {trailers: [deletes]}\n")
    team.configure(NAMED + "guards: {trailers: [policy]}\n")
    team.repo.commit(f"loosened\n\n{COMMIT}")
    ran = plan(team)
    assert (ran.code, "allows nothing" in ran.stdout, "In a commit" in ran.stdout) == (4, True, False)


def test_apply_writes_nothing_that_a_policy_refuses(team: Team) -> None:
    """Exit 4, and no write; with the flag, the change is applied."""
    refused = team.type("apply", "--yes", "--base", "main")
    assert (refused.code, "Blocked (policy:keep-the-name)" in refused.stdout) == (4, True)
    assert all(line.startswith("GET") for line in team.log())
    assert team.type("apply", "--yes", "--base", "main", "--allow-policy", "keep-the-name").code == 0


FORMATS = ("text", "markdown", "json", "jsonl", "github", "sarif")
IN_ALL_FORMATS = tuple(word for name in FORMATS for word in ("--write", f"{name}=../{name}"))


def test_every_format_has_refusals_and_warnings(team: Team) -> None:
    """The policy, its message and its link, at the place of the object."""
    team.merge(NAMED + "  - {name: careful, severity: warning, rule: 'false', message: 'Mind <b>the</b> gap.'}\n")
    assert plan(team, *IN_ALL_FORMATS).code == 4
    written = {name: (team.workdir.directory.parent / name).read_text() for name in FORMATS}
    for name, text in written.items():
        for part in (
            "policy:keep-the-name",
            "printed on boxes",
            "https://wiki.example.com/names",
            "policy:careful",
            "gap.",
        ):
            assert part in text.replace("%3A", ":"), name
        assert "apps/search.yaml" in text, name
    first, second = json.loads(written["json"])["policies"]
    assert first == {
        "name": "keep-the-name",
        "severity": "error",
        "outcome": "violated",
        "judged": 1,
        "violations": ["app/search"],
        "problem": None,
    }
    assert (second["name"], second["severity"]) == ("careful", "warning")
    rules = {rule["id"]: rule for rule in json.loads(written["sarif"])["runs"][0]["tool"]["driver"]["rules"]}
    assert rules["guard-policy:keep-the-name"]["helpUri"] == "https://wiki.example.com/names"
    assert rules["policy:careful"]["defaultConfiguration"] == {"level": "warning"}


APPS = """\
policies:
  - {name: has-a-name, judges: app, rule: 'has(app.fields.name) && app.fields.name != "Notes"', message: Name it well.}
"""


def test_validate_judges_every_declared_app(project: Project) -> None:
    """A violation is an error at the app, in every format, without a request."""
    project.workdir.write("octosync.yaml", f"paths: [apps/]\n{APPS}")
    project.declare("search")
    project.declare("notes", name="Notes")
    assert project.workdir.octosync("validate", *IN_ALL_FORMATS).code == 1
    for name in FORMATS:
        text = (project.workdir.directory.parent / name).read_text()
        assert ("app/notes: Name it well." in text, "app/search" in text) == (True, False), name
    project.workdir.write("octosync.yaml", "paths: [apps/]\n" + APPS.replace("{name:", "{severity: warning, name:"))
    assert project.workdir.octosync("validate", *IN_ALL_FORMATS).code == 0
    assert project.workdir.octosync("validate", *IN_ALL_FORMATS, "--strict").code == 1


@pytest.mark.parametrize(
    ("rule", "problem"),
    [
        ("app.slg == 'x'", "undeclared reference to 'app.slg' (line 1, column 4 of the rule)"),
        ("app.slug", "it is a value of type string, and not true or false"),
        ("change.destructive", "undeclared reference to 'change.destructive'"),
        ("[1, 2", "Syntax error"),
        (
            "[" + "1," * 80 + "1].all(a, [" + "1," * 80 + "1].all(b, [" + "1," * 80 + "1].all(c, true)))",
            "budget exceeded",
        ),
    ],
    ids=["name", "type", "scope", "syntax", "loop"],
)
def test_a_rule_without_a_result_is_an_error_at_its_line(project: Project, rule: str, problem: str) -> None:
    """In validate and in plan, in the file and line of the rule; it never passes."""
    project.workdir.write(
        "octosync.yaml",
        f"paths: [apps/]\npolicies:\n  - name: p\n    judges: app\n    message: m\n    rule: {json.dumps(rule)}\n",
    )
    project.declare("search")
    ran = project.workdir.octosync("validate")
    assert ran.code == 1
    assert ("policy-failed" in ran.stdout, "octosync.yaml:6:11" in ran.stdout, problem in ran.stdout) == (True,) * 3
    assert project.workdir.octosync("plan", "--url", project.url).code in (1, 4)


def test_a_secret_never_reaches_a_rule_or_its_problem(project: Project) -> None:
    """A rule that tries to show a secret shows that it is masked."""
    project.workdir.write(
        "octosync.yaml",
        "paths: [apps/]\npolicies:\n"
        "  - {name: p, judges: app, message: m, rule: '{\"a\": true}[app.inference_config.api_key]'}\n",
    )
    project.declare(
        text=APP.format(slug="search", name="S").replace("inferenceConfig: {", "inferenceConfig: {api_key: hunter2, ")
    )
    ran = project.workdir.octosync("validate")
    assert ('Key not found in map : "(sensitive)"' in ran.stdout, "hunter2" in ran.output) == (True, False)


@pytest.mark.parametrize("more", ["", HARMLESS], ids=["no policy", "policies"])
def test_the_library_is_loaded_only_for_policies(project: Project, more: str) -> None:
    """Without policies no process is started; with them, the library is loaded in that process alone."""
    project.workdir.write("octosync.yaml", f"paths: [apps/]\n{more}")
    project.declare("search")
    code = (
        "import subprocess, sys\n"
        "started = []\n"
        "sys.addaudithook(lambda event, args: started.append(args[1]) if event == 'subprocess.Popen' else None)\n"
        "from octosync.cli.root import octosync\n"
        "octosync.main(['validate'], standalone_mode=False)\n"
        "print([word for words in started for word in words if 'policies' in str(word)], 'cel_expr_python' in sys.modules)\n"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code],
        cwd=project.workdir.directory, capture_output=True, text=True, check=True, env=environment(),
    )  # fmt: skip
    worker = Path("octosync/policies/worker.py")
    last = ended.stdout.splitlines()[-1]
    assert (last == "[] False", str(worker) in last) == (not more, bool(more))
    assert last.endswith("False")


def test_the_history_has_the_results(team: Team) -> None:
    """The journal has the outcome of each policy for what a run has changed: passed, violated or overridden."""
    more = "  - {name: advice, rule: 'false', message: Think twice., severity: warning}\n"
    always = "  - {name: always, rule: 'true', message: All is well.}\n"
    team.merge(NAMED + more + always)
    ran = team.type("apply", "--base", "main", "--yes", "--allow-policy", "keep-the-name")
    assert ran.code == 0, ran.output
    run = json.loads(team.workdir.octosync("history", "last", "-o", "json").stdout)
    assert [(policy["policy"], policy["severity"], policy["outcome"]) for policy in run["policies"]] == [
        ("keep-the-name", "error", "overridden"),
        ("advice", "warning", "violated"),
        ("always", "error", "passed"),
    ]
    assert (
        "Policies keep-the-name (overridden), advice (violated), always (passed)\n"
        in team.workdir.octosync("history", "last").stdout
    )
