"""Request counts: plan and apply send as few reads as possible, and no unnecessary write."""

from __future__ import annotations

from typing import Final

import pytest
from tests.support.clients import KEY
from tests.support.projects import ACTIONS, APP, Project
from tests.support.repositories import Repo

from octosync.cli.run_options import RemoteFlags
from octosync.cli.session import connect
from octosync.manifest import Configuration

pytestmark = pytest.mark.no_cover  # slow under coverage; other tests of this package cover the same code

APPS = 40
MANY: Final = 300


@pytest.fixture
def forty(project: Project) -> Project:
    """Declare and apply 40 apps with targets, slots and inference config and without `deploy`."""
    project.workdir.write(
        "apps/all.yaml", "---\n".join(APP.format(slug=f"app-{i:02}", name=f"App {i}") for i in range(APPS))
    )
    assert project.apply("--rate", "0").code == 0
    return project


def test_a_plan_without_changes_costs_three_requests_per_app_and_one(forty: Project) -> None:
    """40 × 3 + 1: the list once, and each declared section once. All are reads, and the report has the number."""
    forty.log()
    ran = forty.plan("--rate", "0", "--detailed-exitcode")
    assert ran.code == 0
    log = forty.log()
    assert len(log) == APPS * 3 + 1
    assert all(line.startswith("GET ") for line in log)
    assert f"Read {APPS} apps with {APPS * 3 + 1} requests." in ran.stdout


def test_a_second_apply_writes_nothing(project: Project) -> None:
    """The first one sends one write per action, the second none."""
    project.declare("search")
    project.declare("notes", name="Notes")
    assert project.apply().code == 0
    assert len(project.writes()) == 2 * ACTIONS
    ran = project.apply()
    assert ran.code == 0
    assert "No changes." in ran.stdout
    assert project.writes() == []


@pytest.mark.parametrize("based", [False, True])
def test_declared_apps_that_a_run_does_not_select_are_not_unmanaged(project: Project, based: bool) -> None:
    """More than 5 apps are read with the list of the org, which has the others, too: only what no manifest declares counts."""
    repo = Repo.init(project.workdir.directory)
    for number in range(9):
        project.declare(f"app-{number}", name="Before")
    repo.commit("9 apps")
    assert project.apply().code == 0
    project.plane.with_app("handmade")
    for number in range(7):
        project.declare(f"app-{number}", name="After")
    selected = ("--base", "HEAD", "--changed-only") if based else ("--app", "app-[0-6]")
    assert "Plan: 7 to update. 1 unmanaged.\n" in project.plan(*selected).stdout


def test_one_app_costs_only_its_sections(project: Project) -> None:
    """`--app` reads that app and no other; an undeclared section is not read."""
    project.declare(
        "notes", text="apiVersion: octosync.dev/v1\nkind: App\nmetadata: {name: notes}\nspec: {slots: []}\n"
    )
    project.declare("search")
    project.plane.with_app("notes")
    project.log()
    project.plan("--app", "notes")
    assert sorted(project.log()) == ["GET /apps/notes", "GET /apps/notes/slots"]


def test_the_duration_at_the_rate_limit_is_shown(project: Project) -> None:
    """A plan has the requests of a later apply, which reads again, and how long they wait for the limit in force."""
    project.declare()
    assert "; apply sends 4 (5 with its reads: no wait at 10 per minute)." in project.plan("--rate", "10").stdout
    assert "; apply sends 4 (6 with its reads: about 1 min at 4 per minute)." in project.plan("--rate", "4").stdout
    project.workdir.write("octosync.yaml", "rate: {requestsPerMinute: 20}\n")
    assert "(5 with its reads: no wait at 20 per minute)" in project.plan().stdout
    assert "; apply sends 4 (no wait at 20 per minute)." in project.apply().stdout


def test_a_control_plane_on_this_machine_has_no_rate_limit(project: Project) -> None:
    """Requests to loopback are not delayed unless a rate is given; concurrency alone is no rate."""
    project.declare()
    project.workdir.write("octosync.yaml", "rate: {concurrency: 4}\n")
    assert "; apply sends 4.\n" in project.plan().stdout
    assert "; apply sends 4.\n" in project.plan("--rate", "0").stdout
    assert "at 100 per minute" in project.plan("--rate", "100").stdout


def test_other_control_planes_have_octomils_rate_limit() -> None:
    """Without a rate, requests are limited to 100 per minute everywhere but on loopback."""
    limits = {
        url: connect(RemoteFlags(url=url), Configuration(), None, {}).requests_per_minute
        for url in (
            "https://api.octomil.com",
            "http://10.0.0.7:8787",
            "localhost:8787",
            "http://127.0.0.1:1",
            "http://[::1]:1",
        )
    }
    assert list(limits.values()) == [100, 100, 0, 0, 0]


def test_a_pull_request_costs_what_it_touches(project: Project) -> None:
    """2 of 300 apps: at most 4 requests for each of them, none for the others, and one more if slots are written.

    That one is for both apps: the guard during-canary needs the running canaries.
    """
    repo = Repo.init(project.workdir.directory)
    repo.write(
        "octosync.yaml", f"contexts: {{main: {{url: '{project.url}', tokenEnv: OCTOMIL_KEY}}}}\npaths: [apps/]\n"
    )
    for slug in (f"app-{number:03}" for number in range(MANY)):
        repo.write(f"apps/{slug}.yaml", APP.format(slug=slug, name="Before"))
    repo.commit("300 apps")
    touched = ("app-007", "app-123")
    only = [word for slug in touched for word in ("--app", slug)]
    assert project.apply(*only, "--state", "../journal.db").code == 0

    for old, new, actions, more in (
        ("name: Before", "name: Changed", 2, 0),
        ("  targets:", "  targets:\n    - {platform: android, identifier: com.acme.SLUG}", 4, 0),
        ("/chat", "/other", 6, 0),
        ("local_first", "local_only", 8, 1),
    ):
        for slug in touched:
            path = repo.root / f"apps/{slug}.yaml"
            assert old in path.read_text()
            path.write_text(path.read_text().replace(old, new.replace("SLUG", slug)))
        project.log()
        ran = project.workdir.octosync("plan", "--base", "main", "--changed-only", "--context", "main", OCTOMIL_KEY=KEY)
        log = project.log()
        assert ran.code == 0, ran.output
        assert f"Read 2 of {MANY} apps with {len(log)} requests; apply sends {actions}." in ran.stdout
        assert [sum(f"/apps/{slug}" in line for line in log) for slug in touched] == [4, 4]
        assert len(log) == 4 * len(touched) + more, log
