"""The life of a pull request in a large org: the workflows with real git, what each run shows, and all of its requests."""

from __future__ import annotations

from typing import Final

import pytest
from tests.support.clients import KEY
from tests.support.embedded_planes import ok
from tests.support.projects import APP
from tests.support.teams import CONFIGURATION, Team
from tests.support.workdirs import CommandResult, Workdir

pytestmark = pytest.mark.no_cover  # slow under coverage; other tests of this package cover the same code

APPS: Final = 120  # two pages of the list
NAMED: Final = "apiVersion: octosync.dev/v1\nkind: App\nmetadata: {{name: {slug}}}\nspec: {{name: {name}}}\n"
WHOLE: Final = ("app-007", "app-103")  # they have a target, a slot and an inference config; the others only a name


def slug_of(number: int) -> str:
    """Return the slug of an app."""
    return f"app-{number:03}"


def reads(slug: str, *more: str) -> list[str]:
    """Return the reads of an app with all kinds of objects, and of more of its lists, in order."""
    page = "?limit=100&offset=0"
    lists = [f"GET /apps/{slug}/{name}{page}" for name in ("slots", "targets", *more)]
    return sorted([f"GET /apps/{slug}", f"GET /apps/{slug}/inference-config", *lists])


@pytest.fixture
def org(team: Team) -> Team:
    """Return a team whose main has many applied apps."""
    team.repository.git("rm", "--quiet", "apps/search.yaml")
    for slug in map(slug_of, range(APPS)):
        team.repository.write(f"apps/{slug}.yaml", (APP if slug in WHOLE else NAMED).format(slug=slug, name="Before"))
    team.repository.commit("All apps")
    first = team.apply()
    assert first.outputs["octosync"]["changes"] == str(APPS + 3 * len(WHOLE)), first.log
    team.log()
    return team


def edit(team: Team, slug: str, old: str, new: str) -> None:
    """Replace a text of a manifest."""
    path = team.repository.root / f"apps/{slug}.yaml"
    text = path.read_text()
    assert text.count(old) == 1
    path.write_text(text.replace(old, new))


def commit_to_main(team: Team, **names: str) -> str:
    """Give apps a name in one commit to main; return the commit."""
    for slug, name in names.items():
        edit(team, slug.replace("_", "-"), "name: Before", f"name: {name}")
    return team.repository.commit(f"Name {', '.join(names)}")


def merge(team: Team) -> None:
    """Merge pull request 7, as the button of the forge does."""
    repository, forge = team.repository, team.forge
    repository.switch("main")
    repository.git("merge", "--quiet", "--no-ff", "-m", "Merge", "change")
    repository.git("branch", "--quiet", "--delete", "change")
    merged = {"number": 7, "merged_at": "2026-01-01T00:00:00Z", "merge_commit_sha": repository.head}
    forge.merged[repository.head] = [merged]


def comment(team: Team, marker: str = "plan-production") -> str:
    """Return the only comment with a marker."""
    (body,) = (found["body"] for found in team.forge.comments if f"octosync:{marker}" in found["body"])
    return str(body)


def test_a_pull_request_costs_what_it_changes(org: Team) -> None:
    """The plan, the merge, the runs that others need, and the drift run: each reads what it must, and nothing is forgotten."""
    _a_colleagues_merge_is_pending(org)
    _the_colleagues_run_reads_one_app(org)
    _the_merge_reads_the_two_apps(org)
    _the_approved_plan_is_applied_after_the_merge(org)
    _nothing_of_four_merges_is_forgotten(org)
    _the_drift_run_finds_drift_only(org)


def _a_colleagues_merge_is_pending(team: Team) -> None:
    """Name the change of another app that waits for its run: it is not read, and is neither drift nor a part of the plan."""
    merged = commit_to_main(team, app_060="Bens")
    team.repository.branch("change")
    edit(team, "app-007", "name: Before", "name: After")
    edit(team, "app-103", "local_first", "local_only")
    team.repository.commit("Two apps")
    planned = team.plan()
    assert planned.succeeded, planned.log
    assert planned.outputs["octosync"]["changes"] == "2"
    assert sorted(team.log()) == sorted([*reads("app-007"), *reads("app-103", "deployments")])
    body = comment(team)
    assert f"**2 to update** · 2 requests · read 2 of {APPS} apps with 9 requests" in body
    assert "Pending from origin/main: 1 app not read." in body
    assert f"  not read: app-060\n  {merged[:7]} Name app_060\n" in body
    assert not any(word in body for word in ("drift", "octosync accept", "Bens"))
    assert team.drift().outputs["octosync"]["changes"] == "0"
    assert team.forge.issues == []
    team.log()


def _the_colleagues_run_reads_one_app(team: Team) -> None:
    team.repository.switch("main")
    assert team.apply().succeeded
    assert team.log() == ["GET /apps/app-060", "PATCH /apps/app-060"]


def _the_merge_reads_the_two_apps(team: Team) -> None:
    """Send at most 6 requests for each app and 4 more."""
    merge(team)
    applied = team.apply()
    assert applied.succeeded, applied.log
    log = team.log()
    assert sorted(log[:9]) == sorted([*reads("app-007"), *reads("app-103", "deployments")])
    assert sorted(log[9:]) == ["PATCH /apps/app-007", "PUT /apps/app-103/slots/chat"]
    assert len(log) <= 6 * len(WHOLE) + 4
    assert "**✓ 2 applied**" in comment(team, "apply-production")
    again = team.apply()
    assert (again.outputs["octosync"]["changes"], team.log()) == ("0", [])


def _the_approved_plan_is_applied_after_the_merge(team: Team) -> None:
    """Apply the file of the plan workflow on the merge commit, and not what else main has changed since."""
    base = team.repository.head
    team.repository.branch("change")
    edit(team, "app-007", "name: After", "name: Approved")
    team.repository.commit("Approved")
    (file,) = team.plan().uploaded
    team.repository.switch("main")
    commit_to_main(team, app_061="Unapproved")
    merge(team)
    team.log()
    ran = apply_file(team, file, base)
    assert ran.code == 0, ran.output
    assert "Not in the plan file, left alone: app-061" in ran.stdout
    log = team.log()
    assert (sorted(log[:-1]), log[-1]) == (sorted([*reads("app-007"), "GET /apps/app-061"]), "PATCH /apps/app-007")
    assert (team.live_name("app-007"), team.live_name("app-061")) == ("Approved", "Before")
    again = apply_file(team, file, base)
    assert (again.code, "approved, and no longer planned" in again.stderr) == (3, True)
    team.log()
    assert team.apply().outputs["octosync"]["changes"] == "1"
    assert team.live_name("app-061") == "Unapproved"
    team.log()


def apply_file(team: Team, file: str, base: str) -> CommandResult:
    """Apply a plan file on the checked-out commit."""
    workdir = Workdir(team.repository.root, {"OCTOMIL_PRODUCTION_KEY": KEY})
    flags = ("--base", base, "--changed-only", "--context", "production", "--state", "../journal.db")
    return workdir.octosync("apply", file, *flags)


def _nothing_of_four_merges_is_forgotten(team: Team) -> None:
    """Make all changes of merges whose runs were skipped, cancelled, failed in part or run again."""
    applied = team.repository.head
    commit_to_main(team, app_110="Skipped")
    cancelled = commit_to_main(team, app_111="Cancelled")
    team.forge.add_deployment(cancelled, "in_progress", "error", environment="octosync-production")
    ok(team.plane.api.patch("/apps/app-111", json={"name": "Cancelled"}))  # by that run
    commit_to_main(team, app_112="Failed", app_113="Attempted")
    fault = {"operation": "apps.update", "slug": "app-112", "action": "status", "status": 422, "times": None}
    team.break_with(fault)
    assert team.apply().outputs["octosync"]["exit-code"] == "5"
    assert team.live_name("app-113") == "Attempted"
    team.break_with()
    assert team.apply(applied).outputs["octosync"]["exit-code"] == "4"
    edit(team, "app-113", "name: Attempted", "name: Before")
    team.repository.commit("Revert app-113")
    team.log()
    ended = team.apply()
    assert ended.succeeded, ended.log
    slugs = [slug_of(number) for number in range(110, 114)]
    log = team.log()
    assert sorted(log[:4]) == [f"GET /apps/{slug}" for slug in slugs]
    assert sorted(log[4:]) == ["PATCH /apps/app-112", "PATCH /apps/app-113"]
    assert [team.live_name(slug) for slug in slugs] == ["Skipped", "Cancelled", "Failed", "Before"]


def _the_drift_run_finds_drift_only(team: Team) -> None:
    """List a change by hand in the issue, and apart from it a change that waits for its run; all apps are read."""
    ok(team.plane.api.patch("/apps/app-100", json={"name": "By hand"}))
    commit_to_main(team, app_101="Waits")
    team.log()
    assert team.drift().outputs["octosync"]["changes"] == "1"
    lists = [f"GET /apps?limit=100&offset={offset}" for offset in range(0, APPS, 100)]
    whole = [line for slug in WHOLE for line in reads(slug) if line != f"GET /apps/{slug}"]
    assert sorted(team.log()) == sorted(["GET /activity?limit=100&offset=0", *lists, *whole])
    (issue,) = team.forge.issues
    drift, _, pending = issue["body"].partition("Pending: 1 to update")
    assert "octosync accept" in issue["body"]
    assert "--token-file" not in issue["body"]  # a file of the runner, which no reader has
    assert ("By hand" in drift, "Waits" in drift, "Waits" in pending) == (True, False, True)


NAMES = "change.kind != 'app' || change.action == 'create' || change.after.name == change.before.name"
POLICY = f'policies: [{{name: keep-the-name, rule: "{NAMES}", message: The name is printed on boxes.}}]\n'


def configure(team: Team, more: str) -> None:
    """Write octosync.yaml."""
    team.repository.write("octosync.yaml", CONFIGURATION.format(url=team.plane.running.url) + more)


def plan_code(team: Team) -> str:
    """Commit and plan pull request 7; return the exit code of octosync."""
    team.repository.commit("Change")
    planned = team.plan()
    code = planned.outputs["octosync"]["exit-code"]
    assert planned.succeeded is (code in {"0", "2"}), planned.log
    return code


def test_a_pull_request_is_judged_by_the_policies_of_main(team: Team) -> None:
    """One that removes a policy and violates it is blocked; the removal alone passes, and counts from the next one on."""
    configure(team, POLICY)
    team.repository.commit("A policy")
    first = team.apply()
    assert first.succeeded, first.log

    team.repository.branch("change")
    configure(team, "")
    team.declare("search", name="Another")
    assert plan_code(team) == "4"
    assert "Blocked: The name is printed on boxes." in comment(team)
    assert "policy:keep-the-name" in comment(team)

    team.declare("search")
    configure(team, "")
    assert plan_code(team) == "0"
    assert "this change sets `policies`" in comment(team)
    merge(team)
    assert team.apply().succeeded

    team.repository.branch("change")
    team.declare("search", name="Another")
    assert plan_code(team) == "2"
    assert "Blocked" not in comment(team)
    merge(team)
    assert team.apply().succeeded
    assert team.live_name("search") == "Another"
