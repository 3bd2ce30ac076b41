"""The life of a pull request: the reusable workflows run with real git, a control plane and a forge."""

from __future__ import annotations

from tests.support.clients import KEY
from tests.support.embedded_planes import ok
from tests.support.forges import FORBIDDEN, refused
from tests.support.projects import APP
from tests.support.teams import Team


def test_a_pull_request_lives(team: Team) -> None:
    """A bad manifest on a branch is annotated, fixed, planned, merged, applied and reported; then nothing is left to do."""
    repository, forge = team.repository, team.forge
    assert team.apply().succeeded
    assert team.live_name("search") == "Search"

    repository.branch("change")
    repository.write(
        "apps/search.yaml", APP.format(slug="search", name="Search").replace("servingPolicy", "servingPolcy")
    )
    repository.commit("A slip")
    planned = team.plan()
    assert not planned.succeeded
    assert "::error file=apps/search.yaml,line=10,col=7" in planned.log
    assert planned.outputs["octosync"]["exit-code"] == "1"
    assert planned.log.count("error: unknown-field") == 1
    assert "servingPolcy" in forge.comments[0]["body"]

    team.declare("search", name="Search it")
    head = repository.commit("Mended")
    planned = team.plan()
    assert planned.succeeded
    assert planned.outputs["octosync"]["exit-code"] == "2"
    assert planned.outputs["octosync"]["changes"] == "1"
    assert planned.uploaded == [planned.outputs["octosync"]["plan-file"]]
    assert len(forge.comments) == 1
    assert "Search it" in forge.comments[0]["body"]
    assert f"octosync-head:{head}" in forge.comments[0]["body"]
    assert team.live_name("search") == "Search"

    repository.switch("main")
    repository.git("merge", "--quiet", "--no-ff", "-m", "Merge", "change")
    forge.merged[repository.head] = [
        {"number": 7, "merged_at": "2026-01-01T00:00:00Z", "merge_commit_sha": repository.head}
    ]
    assert team.apply().succeeded
    assert team.live_name("search") == "Search it"
    assert len(forge.comments) == 2
    assert "octosync:apply-production" in forge.comments[1]["body"]

    assert team.apply().outputs["octosync"]["changes"] == "0"


def test_a_pull_request_that_changes_no_app_asks_nothing(team: Team) -> None:
    """The run succeeds without a request, with a line of output."""
    team.repository.branch("docs")
    team.repository.write("README.md", "# Apps\n")
    team.repository.commit("Docs")
    planned = team.plan()
    assert planned.succeeded
    assert planned.outputs["octosync"]["exit-code"] == "0"
    assert team.requests() == 0


def test_a_fork_is_planned_offline(team: Team) -> None:
    """Without a key, and with a read-only token, the plan is still made, is in the summary, and succeeds."""
    team.repository.branch("change")
    team.declare("search", name="Search it")
    team.repository.commit("Change")
    team.forge.answer_next("POST", FORBIDDEN)
    planned = team.plan(secrets={})
    assert planned.succeeded, planned.log
    assert team.requests() == 0
    assert "Search it" in planned.summary
    assert "::notice title=octosync::the forge rejected the comment" in planned.log


def test_neither_key_nor_token_is_in_any_log(team: Team) -> None:
    """No secret is in artifacts, comments, summaries or files."""
    team.repository.branch("change")
    team.declare("search", name="Search it")
    team.repository.commit("Change")
    planned = team.plan()
    texts = [planned.log, planned.summary, team.forge.comments[0]["body"]]
    texts += [path.read_text(errors="replace") for path in team.runner.folder.glob("job-*/**/*") if path.is_file()]
    assert not any(secret in text for secret in (KEY, team.token) for text in texts)


def test_what_a_failed_run_left_undone_is_picked_up(team: Team) -> None:
    """A partly failed run is not a base: the next one applies the rest, and treats its values as applied."""
    assert team.apply().succeeded
    team.declare("search", name="Search it")
    team.declare("notes", name="Notes")
    team.repository.commit("Two changes")
    team.break_with({"operation": "apps.update", "action": "status", "status": 422, "times": None})
    failed = team.apply()
    assert not failed.succeeded
    team.break_with()
    team.repository.write("README.md", "# Apps\n")
    team.repository.commit("Docs")
    applied = team.apply()
    assert applied.succeeded, applied.log
    assert "--attempted" in applied.outputs["applied"]["flags"]
    assert team.live_name("search") == "Search it"
    assert team.live_name("notes") == "Notes"


def test_a_rerun_of_an_old_job_is_refused(team: Team) -> None:
    """A revision can't be rolled back by running an old job again."""
    old = team.repository.head
    assert team.apply().succeeded
    team.declare("search", name="Search it")
    team.repository.commit("Change")
    assert team.apply().succeeded
    rerun = team.apply(old)
    assert not rerun.succeeded
    assert rerun.outputs["octosync"]["exit-code"] == "4"
    assert team.live_name("search") == "Search it"


def test_a_run_that_was_cancelled_between_two_is_made_up_for(team: Team) -> None:
    """If the run of the second of three merges is cancelled halfway, the last run applies both, and everything is live."""
    assert team.apply().succeeded
    team.declare("search", name="First")
    team.repository.commit("First")
    assert team.apply().succeeded
    team.declare("search", name="Second")
    team.declare("notes", name="Notes")
    cancelled = team.repository.commit("Second")
    team.forge.add_deployment(cancelled, "in_progress", "error", environment="octosync-production")
    ok(team.plane.api.patch("/apps/search", json={"name": "Second"}))
    team.declare("search", name="Third")
    third = team.repository.commit("Third")
    for number, revision in ((7, cancelled), (8, third)):
        team.forge.pulls[number] = {"number": number}
        merged = {"number": number, "merged_at": "2026-01-01T00:00:00Z", "merge_commit_sha": revision}
        team.forge.merged[revision] = [merged]
    applied = team.apply()
    assert applied.succeeded, applied.log
    assert sorted(line for line in team.forge.requests if line.startswith("POST")) == [
        "POST /repos/acme/apps/issues/7/comments",
        "POST /repos/acme/apps/issues/8/comments",
    ]
    assert cancelled in applied.outputs["applied"]["flags"]
    assert (team.live_name("search"), team.live_name("notes")) == ("Third", "Notes")
    assert team.apply().outputs["octosync"]["changes"] == "0"


def test_what_is_merged_and_not_applied_is_pending(team: Team) -> None:
    """After a failed apply, a pull request's comment lists the merge apart from its own change, and no drift issue is opened."""
    assert team.apply().succeeded
    team.declare("search", name="Search it")
    team.declare("notes", name="Notes")
    merged = team.repository.commit("Two changes")
    team.break_with({"operation": "apps.create", "action": "status", "status": 422, "times": None})
    assert not team.apply().succeeded
    team.break_with()
    assert team.drift().succeeded
    assert team.forge.issues == []

    team.repository.branch("change")
    team.declare("notes", name="My notes")
    team.repository.commit("Mine")
    planned = team.plan()
    assert planned.succeeded, planned.log
    assert planned.outputs["octosync"]["changes"] == "1"
    comment = team.forge.comments[0]["body"]
    assert f"{merged[:7]} Two changes" in comment
    assert "Pending from origin/main: 4 to create" in comment
    assert "drift" not in comment
    assert "octosync accept" not in comment


def test_a_plan_does_without_the_applied_revision(team: Team) -> None:
    """If the applied revision is lost, or deployments can't be read, the plan is made without it, with a warning."""
    assert team.apply().succeeded
    team.repository.branch("change")
    team.declare("search", name="Search it")
    team.repository.commit("Change")
    for deployment in team.forge.deployments:
        deployment["sha"] = "e" * 40
    lost = team.plan()
    team.forge.answer_next("GET", FORBIDDEN)
    forbidden = team.plan()
    for planned in (lost, forbidden):
        assert planned.succeeded, planned.log
        assert planned.outputs["octosync"]["changes"] == "1"
        assert "::warning title=octosync::It is not known what was applied last" in planned.log


def test_a_force_push_does_not_stop_what_comes_after(team: Team) -> None:
    """A lost attempted revision is skipped, with a notice; if the applied revision is lost, a base is required."""
    assert team.apply().succeeded
    team.declare("search", name="Search it")
    team.forge.add_deployment("d" * 40, "in_progress", "failure", environment="octosync-production")
    team.repository.commit("After the force push")
    applied = team.apply()
    assert applied.succeeded, applied.log
    assert f"::notice title=octosync::{'d' * 40} was applied" in applied.log
    assert team.live_name("search") == "Search it"

    for deployment in team.forge.deployments:
        deployment["sha"] = "e" * 40
    ended = team.apply()
    assert "base-not-found" in ended.log
    assert team.apply(base=team.repository.head).succeeded


def test_a_plan_is_no_failure_for_want_of_a_comment(team: Team) -> None:
    """The check is about the plan: a throttled or unavailable forge doesn't fail it."""
    team.forge.answer_next("GET", refused(429, "API rate limit exceeded", Retry_After="3600"))
    planned = team.plan()
    assert "forge-throttled" in planned.log
    assert planned.succeeded


def test_a_rerun_of_an_old_job_is_refused_after_one_that_failed_in_part(team: Team) -> None:
    """A change that a newer revision started is not undone by an older one, although that was the last full apply."""
    old = team.repository.head
    assert team.apply().succeeded
    team.declare("search", name="Search it")
    team.declare("notes", name="Notes")
    team.repository.commit("Two changes")
    team.break_with({"operation": "apps.create", "action": "status", "status": 422, "times": None})
    assert not team.apply().succeeded
    team.break_with()
    rerun = team.apply(old)
    assert rerun.outputs["octosync"]["exit-code"] == "4", rerun.log
    assert team.live_name("search") == "Search it"
    assert team.apply().succeeded
    assert team.live_name("notes") == "Notes"


NARROWING = (
    {"flags": "--app search"},
    {"flags": "-lteam=search"},
    {"flags": "--target app/search"},
    {"allow": "--url http://127.0.0.1"},
    {"allow": "--app=search"},
    {"flags": "--changed-only"},
    {"scope": "some"},
)


def test_nothing_narrows_what_is_applied(team: Team) -> None:
    """A success of the environment means that everything was applied; only guard flags can be given once."""
    for inputs in NARROWING:
        assert not team.apply(**inputs).succeeded, inputs
        assert team.requests() == 0, inputs
    assert team.apply().succeeded


def test_a_merge_reads_what_it_changed(team: Team) -> None:
    """By default, the second run reads only the changed app; a merge without a change of an app sends no request."""
    team.declare("notes", name="Notes")
    team.repository.commit("Notes")
    first = team.apply()
    assert first.succeeded
    assert "--changed-only" not in first.outputs["applied"]["flags"]
    assert team.requests() > 0
    team.declare("notes", name="Notes again")
    team.repository.commit("Change")
    assert team.apply().succeeded
    assert all("/apps/notes" in path for path in team.log())
    assert team.live_name("notes") == "Notes again"
    team.requests()
    team.repository.write("README.md", "# Apps\n")
    team.repository.commit("Docs")
    assert team.apply().succeeded
    assert team.requests() == 0


def test_a_run_for_all_apps_reverts_drift(team: Team) -> None:
    """With `scope: all`, or a base of its own, a run reads every app; the next run compares with it as usual."""
    assert team.apply().succeeded
    ok(team.plane.api.patch("/apps/search", json={"name": "By hand"}))
    assert team.apply().succeeded
    assert team.live_name("search") == "By hand"
    assert team.apply(scope="all", flags="--drift-hold 0").succeeded
    assert team.live_name("search") == "Search"
    ok(team.plane.api.patch("/apps/search", json={"name": "By hand"}))
    assert team.apply(base=team.repository.head, flags="--drift-hold 0").succeeded
    assert team.live_name("search") == "Search"


def test_a_change_of_the_workflows_is_applied_to_all_apps(team: Team) -> None:
    """The workflow's paths may have changed: apps that it names for the first time have not changed in Git."""
    team.repository.write("more/notes.yaml", APP.format(slug="notes", name="Notes"))
    team.repository.write(".github/workflows/octosync-apply.yml", "paths: apps\n")
    team.repository.commit("One folder")
    assert team.apply(paths="apps").succeeded
    team.repository.write(".github/workflows/octosync-apply.yml", "paths: apps more\n")
    team.repository.commit("Two folders")
    applied = team.apply(paths="apps\nmore", flags="--drift-hold 0")
    assert applied.succeeded, applied.log
    assert "--changed-only" not in applied.outputs["applied"]["flags"]
    assert team.live_name("notes") == "Notes"
    assert "--changed-only" in team.apply(paths="apps\nmore").outputs["applied"]["flags"]


def test_nothing_of_a_series_of_merges_is_forgotten(team: Team) -> None:
    """Merges whose run was skipped, cancelled, failed or run again are applied by the next run that succeeds."""
    slugs = ("skipped", "cancelled", "waiting", "reverted", "last")
    for slug in slugs:
        team.declare(slug, name="Before")
    first = team.repository.commit("All")
    assert team.apply().succeeded
    team.declare("skipped", name="After")
    team.repository.commit("No run [skip ci]")
    team.declare("cancelled", name="After")
    cancelled = team.repository.commit("Cancelled halfway")
    team.forge.add_deployment(cancelled, "in_progress", "error", environment="octosync-production")
    team.declare("waiting", name="After")
    waiting = team.repository.commit("Cancelled while it waited")
    team.forge.add_deployment(waiting, "queued", environment="octosync-production")
    team.declare("failed", name="After")
    team.declare("reverted", name="Attempted")
    failed = team.repository.commit("Failed in part")
    team.break_with({"operation": "apps.create", "action": "status", "status": 422, "times": None})
    assert not team.apply().succeeded
    assert team.live_name("reverted") == "Attempted"
    team.declare("reverted", name="Before")
    team.repository.commit("Reverted, and failed again")
    assert not team.apply().succeeded
    team.break_with()
    for old in (first, failed):
        assert team.apply(old).outputs["octosync"]["exit-code"] == "4"
    team.requests()
    team.declare("last", name="After")
    team.repository.commit("Applied")
    applied = team.apply()
    assert applied.succeeded, applied.log
    assert "--changed-only" in applied.outputs["applied"]["flags"]
    assert not any("/apps/search" in path for path in team.log())
    names = {slug: team.live_name(slug) for slug in (*slugs, "failed")}
    assert names == {**dict.fromkeys(names, "After"), "reverted": "Before"}
    assert team.drift().outputs["octosync"]["changes"] == "0"


def test_another_branch_is_not_applied(team: Team) -> None:
    """A run on another branch is skipped, and creates no deployment that would count."""
    assert team.apply(ref="refs/heads/change").log == "skipped"
    assert team.requests() == 0


def test_drift_is_one_issue_as_long_as_it_lasts(team: Team) -> None:
    """The issue is opened for drift, and closed when there is none; a failed plan does neither."""
    assert team.apply().succeeded
    assert team.drift().succeeded
    assert team.forge.issues == []
    ok(team.plane.api.patch("/apps/search", json={"name": "By hand"}))
    assert team.drift().succeeded
    assert "By hand" in team.forge.issues[0]["body"]
    team.break_with({"operation": "apps.get", "action": "status", "status": 403, "times": None})
    assert not team.drift().succeeded
    assert team.forge.issues[0].get("state") is None
    team.break_with()
    ok(team.plane.api.patch("/apps/search", json={"name": "Search"}))
    assert team.drift().succeeded
    assert team.forge.issues[0]["state"] == "closed"
