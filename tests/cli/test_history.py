"""`octosync history`: past runs, read from the journal alone."""

from __future__ import annotations

import hashlib
import json
import os
import pwd
import signal
import socket

import pytest
from tests.support.clients import KEY
from tests.support.embedded_planes import ok
from tests.support.projects import ACTIONS, Project
from tests.support.repositories import Repo
from tests.support.workdirs import Workdir


def test_runs_are_listed_newest_first(project: Project) -> None:
    """One row per run; neither a key nor a request is needed."""
    project.declare()
    assert project.apply().code == 0
    project.declare("photos")
    project.break_with({"operation": "apps.put_slot", "action": "status", "status": 422, "message": "no"})
    assert project.apply().code == 5
    project.log()
    ran = Workdir(project.workdir.directory).octosync("history")
    assert (ran.code, ran.stderr) == (0, "")
    assert project.log() == []
    title, newest, first = ran.stdout.splitlines()
    assert title.startswith("RUN ")
    assert first.endswith(f"  0     ✓ {ACTIONS} applied")
    assert "✗ 1 failed" in newest


def test_a_run_is_found_by_its_id_a_prefix_or_last(project: Project) -> None:
    """The ID that apply prints, any unambiguous prefix, and `last` name the run, which lists its requests."""
    project.declare()
    applied = project.apply().stdout
    run = applied.rpartition("\nRun ")[2].partition(" ")[0]
    runs = [project.workdir.octosync("history", name) for name in (run, run[:8], "last")]
    assert {(ran.code, ran.stderr) for ran in runs} == {(0, "")}
    assert len({ran.stdout for ran in runs}) == 1
    assert f"Run {run} · " in runs[0].stdout
    assert "✓ create app/search " in runs[0].stdout
    assert runs[0].stdout.count("req_") == ACTIONS
    document = json.loads(project.workdir.octosync("history", "last", "-o", "json").stdout)
    assert (document["format_version"], document["run"], document["exit_code"]) == ("1.0", run, 0)
    assert [action["status"] for action in document["actions"]] == ["done"] * ACTIONS


def runs_of(project: Project, *filters: str) -> list[str]:
    """Return the names of the actors of the runs that `history` lists with these filters, newest first."""
    ran = project.workdir.octosync("history", "-o", "json", *filters)
    assert ran.code == 0, ran.output
    return [run["actor"] for run in json.loads(ran.stdout)["runs"]]


@pytest.fixture
def audited(project: Project) -> Project:
    """Return a project with three runs: ana creates two apps, ben changes one, and a write of carl's fails."""
    project.declare()
    project.declare("photos")
    assert project.apply(GITHUB_ACTOR="ana").code == 0
    project.declare("photos", name="Pictures")
    assert project.apply(GITLAB_USER_LOGIN="Ben").code == 0
    project.declare("photos", name="Photos")
    project.break_with({"operation": "apps.update", "action": "status", "status": 422, "message": "no", "times": None})
    assert project.apply(GITHUB_ACTOR="", GITLAB_USER_LOGIN="carl[bot]").code == 5
    project.break_with()
    return project


FILTERS: list[tuple[tuple[str, ...], list[str]]] = [
    ((), ["carl[bot]", "Ben", "ana"]),
    (("--actor", "ben"), ["Ben"]),
    (("--actor", "*n*", "--actor", "carl*"), ["carl[bot]", "Ben", "ana"]),
    (("--app", "search"), ["ana"]),
    (("--app", "ph*"), ["carl[bot]", "Ben", "ana"]),
    (("--outcome", "failed"), ["carl[bot]"]),
    (("--outcome", "done", "--app", "photos"), ["Ben", "ana"]),
    (("--app", "search", "--outcome", "failed"), []),
    (("--since", "1h"), ["carl[bot]", "Ben", "ana"]),
    (("--until", "1h"), []),
    (("--since", "2020-01-01", "--until", "2020-12-31"), []),
    (("--since", "2020-01-01T10:00+02:00", "--actor", "ana"), ["ana"]),
]


def test_runs_are_filtered(audited: Project) -> None:
    """By app, actor, time and outcome: a run matches if every filter does, and one value of each is enough."""
    for filters, actors in FILTERS:
        assert runs_of(audited, *filters) == actors, filters


def test_a_date_is_its_whole_day(audited: Project) -> None:
    """--since begins with the date and --until ends with it, in UTC."""
    run = json.loads(audited.workdir.octosync("history", "last", "-o", "json").stdout)
    first = json.loads(audited.workdir.octosync("history", "-o", "json").stdout)["runs"][-1]
    days = ("--since", first["started_at"][:10], "--until", run["started_at"][:10])
    assert runs_of(audited, *days) == ["carl[bot]", "Ben", "ana"]
    assert runs_of(audited, "--until", first["started_at"]) == ["ana"]


def test_a_filter_without_a_match_is_explained(audited: Project) -> None:
    """No output, exit code 0, and the number of runs; malformed times and filters beside RUN are usage errors."""
    ran = audited.workdir.octosync("history", "--actor", "dora")
    assert (ran.code, ran.stdout, ran.stderr) == (0, "", "No matching runs: .octosync/state.db has 3 runs.\n")
    for wrong in (("--since", "soon"), ("--until", "2020-13-01"), ("--outcome", "bad"), ("last", "--app", "search")):
        assert audited.workdir.octosync("history", *wrong).code == 64
    limited = audited.workdir.octosync("history", "--app", "photos", "--limit", "1").stdout
    assert limited.endswith("The newest 1 of 3 runs: --limit N shows more.\n")


def test_a_run_has_its_commit_and_its_overrides(project: Project) -> None:
    """The commit, whether there were other changes, flags and commit lines that loosened something, and the plan's digest."""
    repo = Repo.init(project.workdir.directory)
    project.workdir.write(".gitignore", ".octosync\n*.json\n")
    repo.commit("begin")
    project.declare()
    repo.commit("An app\n\nOctosync-Allow: archives=2")
    saved = project.save_plan("--base", "HEAD~1")
    flags = ("--allow-deletes", "3", "--drift-hold", "0", "--allow-empty", "--env", "HOME")
    assert project.apply("--base", "HEAD~1", *flags, GITHUB_ACTOR=f"x{KEY}").code == 0
    run = json.loads(project.workdir.octosync("history", "last", "-o", "json").stdout)
    assert run["git"] == {"revision": repo.head, "dirty": False, "base": repo.git("rev-parse", "HEAD~1")}
    assert (run["command"], run["context"], run["policies"]) == ("apply", None, [])
    assert run["overrides"] == [
        {"guard": "deletes", "value": "3", "source": "--allow-deletes"},
        {"guard": "archives", "value": "2", "source": f"commit {repo.head[:12]}"},
    ]
    assert run["flags"] == ["--allow-empty", "--env HOME", "--drift-hold 0"]
    assert run["host"] == socket.gethostname()
    rows = [
        [row["address"], row["operation"], row["change"]["before"], row["change"]["after"]]
        for row in saved["resource_changes"]
    ]
    text = json.dumps(rows, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    assert run["plan_digest"] == f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"
    assert KEY not in json.dumps(run)
    assert KEY.encode() not in b"".join(project.workdir.files().values())


def test_without_a_ci_system_the_actor_is_the_user(project: Project) -> None:
    """The user comes from the system: LOGNAME and USER can have any value. Outside of Git there is no commit."""
    project.declare()
    assert project.apply(LOGNAME="dora", USER="dora").code == 0
    run = json.loads(project.workdir.octosync("history", "last", "-o", "json").stdout)
    assert run["actor"] == pwd.getpwuid(os.geteuid()).pw_name
    assert run["git"] is None


def test_an_ambiguous_prefix_is_refused(project: Project) -> None:
    """It is a usage error that names the runs; octosync does not guess which one is meant."""
    for name in ("Search", "Finder"):
        project.declare(name=name)
        assert project.apply().code == 0
    ran = project.workdir.octosync("history", "2")
    assert ran.code == 64
    assert "error: ambiguous-run: `2` is the beginning of 2 run IDs" in ran.stderr
    runs = json.loads(project.workdir.octosync("history", "-o", "json").stdout)["runs"]
    assert all(run["run"] in ran.stderr for run in runs)
    assert ran.stdout == ""


@pytest.mark.parametrize("name", ["1999", "", "LAST"])
def test_an_unknown_run_is_an_error(project: Project, name: str) -> None:
    """It names the journal that lacks the run, and the command that lists its runs."""
    project.declare()
    assert project.apply().code == 0
    ran = project.workdir.octosync("history", name)
    assert ran.code == 64
    assert (
        f"error: no-such-run: there is no run `{name}`: .octosync/state.db has no run ID with this beginning"
        in ran.stderr
    )


def test_a_missing_journal_is_no_error(workdir: Workdir) -> None:
    """An empty list with exit code 0, the path on standard error, and no file is created."""
    ran = workdir.octosync("history")
    assert (ran.code, ran.stdout) == (0, "")
    assert f"No runs: there is no journal at {workdir.directory / '.octosync/state.db'}" in ran.stderr
    assert json.loads(workdir.octosync("history", "-o", "json").stdout)["runs"] == []
    assert workdir.octosync("history", "last").code == 64
    assert workdir.files() == {}


def test_the_journal_is_that_of_apply(project: Project) -> None:
    """`--state` and OCTOSYNC_STATE name another journal, as they do for apply."""
    project.declare()
    assert project.apply("--state", "runs.db").code == 0
    for ran in (
        project.workdir.octosync("history", "last", "--state", "runs.db"),
        project.workdir.octosync("history", "last", OCTOSYNC_STATE="runs.db"),
    ):
        assert (ran.code, ran.stderr) == (0, "")
    assert project.workdir.octosync("history", "last").code == 64


def test_the_number_of_runs_is_limited(project: Project) -> None:
    """`--limit` shows the newest runs and the total number."""
    for name in ("One", "Two", "Three"):
        project.declare(name=name)
        assert project.apply().code == 0
    ran = project.workdir.octosync("history", "--limit", "2")
    assert ran.stdout.endswith("The newest 2 of 3 runs: --limit N shows more.\n")
    shown = json.loads(project.workdir.octosync("history", "--limit", "2", "-o", "json").stdout)["runs"]
    every = json.loads(project.workdir.octosync("history", "-o", "json").stdout)["runs"]
    assert shown == every[:2]
    assert len(every) == 3
    assert project.workdir.octosync("history", "--limit", "0").code == 64


def test_a_file_that_is_not_a_journal_is_an_error(workdir: Workdir) -> None:
    """It is never read as a journal without runs."""
    workdir.write("notes.txt", "not a database, and long enough to be recognised as such  " * 50)
    ran = workdir.octosync("history", "--state", "notes.txt")
    assert ran.code == 1
    assert ran.stderr.startswith("error: journal-unusable: notes.txt: ")
    assert ran.stdout == ""


@pytest.mark.usefixtures("preloaded")
def test_a_running_and_a_killed_run_have_no_end(project: Project) -> None:
    """While apply writes, and after it was killed: the run has no end, and the write in flight is unknown."""
    project.declare()
    project.break_with({"operation": "apps.create", "action": "delay", "seconds": 30})
    with project.workdir.start("apply", "-f", "apps", "--url", project.url, "--yes") as process:
        while not any(fault["acted"] for fault in ok(project.plane.local.get("/faults"))["rules"]):
            assert process.poll() is None
        under_way = project.workdir.octosync("history", "last")
        os.kill(process.pid, signal.SIGKILL)
    killed = project.workdir.octosync("history", "last")
    assert under_way.stdout == killed.stdout
    assert "not ended: still running, interrupted or killed" in killed.stdout
    assert "… create app/search  " in killed.stdout
    assert killed.stdout.splitlines()[-2] == "✓ 0 applied   … 1 unknown   not ended"
