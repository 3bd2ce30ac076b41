"""Runs that share a state on PostgreSQL: a lock for those that write, and the holds and suspension of a controller."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from tests.cli.test_confirmation import QUESTION, terminal
from tests.support.clients import KEY
from tests.support.embedded_planes import ok, run_plane
from tests.support.postgres import PostgresServer
from tests.support.projects import ACTIONS, Project
from tests.support.proxies import run_tcp_proxy
from tests.support.workdirs import MemoryStream, Workdir

from octosync.model import Hold, Secret
from octosync.octomil import normalise_url
from octosync.plan import ControlPlane
from octosync.server import Token
from octosync.state import (
    ControlPlaneState,
    Journal,
    JournalReader,
    Lease,
    LeaseHolder,
    LeaseKind,
    LeaseName,
    WatchState,
    parse_location,
)
from octosync.state.lease import LeaseTable

NOBODY = "postgresql://octosync@127.0.0.1:1/octosync?connect_timeout=2"  # no server has this port
SECOND_KEY = "key-of-another-merge"
HOUR = timedelta(hours=1)


@pytest.fixture
def shared(tmp_path: Path, command_folder: Path, postgres_server: PostgresServer) -> Iterator[Project]:
    """Return a project with a shared state; its control plane knows two keys, so that its log tells runs apart."""
    database = postgres_server.create_database(with_schema=True)
    with run_plane(KEY, tokens=(Token("ana", KEY), Token("ben", SECOND_KEY))) as plane:
        environment = {"OCTOMIL_API_KEY": KEY, "OCTOSYNC_STATE": postgres_server.url(database)}
        command = (str(command_folder / "octosync"),)
        yield Project(plane, Workdir(tmp_path, environment, command))
    postgres_server.execute(f"drop database {database} with (force)")


def journal_of(project: Project) -> Journal:
    """Open the shared state."""
    return Journal(parse_location(project.workdir.environment["OCTOSYNC_STATE"]))


def plane_of(project: Project) -> ControlPlane:
    """Return the control plane as the state names it."""
    return ControlPlane(url=normalise_url(project.url))


def controller_of(project: Project, journal: Journal) -> ControlPlaneState:
    """Return what a controller of the project's control plane stores."""
    return WatchState(journal).for_control_plane(plane_of(project))


def hold(project: Project, slug: str = "search") -> None:
    """Hold an app as an operator does on the controller's page."""
    now = datetime.now(UTC).replace(second=31)
    with journal_of(project) as journal:
        controller_of(project, journal).hold(Hold(app=slug, until=now + 4 * HOUR, reason="incident 4711", at=now))


def lock(project: Project, use: Callable[[LeaseTable, Lease], None]) -> None:
    """Hold the lock as a run of another machine does, and pass it."""
    holder = LeaseHolder(host="runner-7", pid=1, run="20261130T145412Z-3fa9c1", actor="ben", commit="0a1b2c3d" * 5)
    table = LeaseTable(journal_of(project))
    taken = table.take(LeaseName(LeaseKind.APPLY, plane_of(project)), holder)
    assert taken is not None
    use(table, taken)
    table.close()


def keys_of(project: Project) -> list[tuple[str, str]]:
    """Return the method and the name of the key of each request, in order."""
    log = ok(project.plane.local.get("/requests-log"))["requests"]
    return [(entry["method"], entry["key"]) for entry in log]


def until_delayed(project: Project) -> None:
    """Return once the control plane has received a request that it delays."""
    while not any(fault["acted"] for fault in ok(project.plane.local.get("/faults"))["rules"]):
        pass


class Reacting(MemoryStream):
    """Standard error that calls a function when a text is written."""

    def __init__(self, awaited: str, react: Callable[[], None], *, terminal: bool = False) -> None:
        super().__init__(terminal=terminal)
        self._awaited, self._react = awaited, react

    def write(self, text: str) -> int:
        """Write, and call the function if this is the text."""
        written = super().write(text)
        if self._awaited in text:
            self._react()
        return written


def test_applies_of_two_merges_never_interleave(shared: Project) -> None:
    """The second waits, names the first, and plans after the last write of the first: it only updates what that created."""
    shared.declare()
    shared.break_with({"operation": "apps.create", "action": "delay", "seconds": 0.3})
    with run_tcp_proxy(int(shared.url.rpartition(":")[2])) as network:
        arguments = ("apply", "-f", "apps", "--url", f"http://127.0.0.1:{network.port}", "--yes", "-o", "json")
        environment = {"OCTOMIL_API_KEY": SECOND_KEY, "GITHUB_ACTOR": "ben"}
        with shared.workdir.start(*arguments, environment=environment) as first:
            until_delayed(shared)
            network.hang()
            shared.declare(name="Renamed")
            waiting = Reacting("Waiting for another run on 127.0.0.1", network.restore)
            second = shared.workdir.octosync(*arguments, stderr=waiting)
            assert (first.wait(), second.code) == (0, 0)
    assert " by ben on " in waiting.text()
    assert [row["change"]["actions"] for row in json.loads(second.stdout)["plan"]["resource_changes"]] == [["update"]]
    requests = keys_of(shared)
    assert requests.count(("POST", "ben")) == 2  # the app and its target
    assert [key for _, key in requests] == sorted((key for _, key in requests), reverse=True)
    assert shared.workdir.octosync("history").stdout.count("applied") == 2


def test_a_run_that_waits_too_long_names_the_holder(shared: Project) -> None:
    """75: nothing was read or written. The error has the host, the actor, the commit, the run and since when."""
    shared.declare()

    def apply(table: LeaseTable, taken: Lease) -> None:
        del table
        ran = shared.apply("--lock-timeout", "0s")
        assert ran.code == 75
        since = f"{taken.since:%Y-%m-%d %H:%M:%S} UTC"
        who = f"run 20261130T145412Z-3fa9c1 by ben on runner-7, commit 0a1b2c3, since {since}"
        assert (
            f"error: run-locked: another run is under way on 127.0.0.1:{shared.url.rpartition(':')[2]}: run"
            in ran.stderr
        )
        assert who in " ".join(ran.stderr.split())
        bootstrap = ("bootstrap", "notes", "--platform", "ios", "--identifier", "com.acme.notes", "--url", shared.url)
        assert shared.workdir.octosync(*bootstrap, "--lock-timeout", "0s").code == 75
        for option in ("text", "markdown", "github"):
            planned = shared.plan("-o", option)
            assert planned.code == 0
            assert "another run is under way" in planned.stdout
        assert "> **Another run is under way**" in shared.plan("-o", "markdown").stdout
        status = shared.workdir.octosync("status", "--url", shared.url).stdout
        assert f"\nUnder way: {who}\n" in status
        assert shared.workdir.environment["OCTOSYNC_STATE"].rpartition("@")[2] in status
        document = json.loads(shared.plan("-o", "json").stdout)
        assert document["shared_state"]["run_under_way"] == {
            "run": "20261130T145412Z-3fa9c1",
            "actor": "ben",
            "host": "runner-7",
            "revision": "0a1b2c3d" * 5,
            "since": f"{taken.since:%Y-%m-%dT%H:%M:%SZ}",
        }

    lock(shared, apply)
    assert shared.writes() == []
    assert shared.apply("--lock-timeout", "0s").code == 75  # a killed run: its lock has not ended yet


def test_a_run_that_waits_states_an_outage_of_the_state(shared: Project, postgres_server: PostgresServer) -> None:
    """75: it doesn't go on naming a run that may have ended, and its error is that of the database."""
    shared.declare()
    database = shared.workdir.environment["OCTOSYNC_STATE"].rpartition("/")[2]

    def apply(table: LeaseTable, taken: Lease) -> None:
        del table, taken
        with run_tcp_proxy(postgres_server.port) as network:
            waiting = Reacting("Waiting for another run on 127.0.0.1", network.refuse)
            state = postgres_server.url(database, port=network.port)
            arguments = ("apply", "-f", "apps", "--url", shared.url, "--yes", "--lock-timeout", "1s")
            assert shared.workdir.octosync(*arguments, stderr=waiting, OCTOSYNC_STATE=state).code == 75
        assert waiting.text().count("The shared state can't be read") == 1
        assert "error: journal-unusable" in waiting.text()

    lock(shared, apply)


def test_a_run_that_loses_its_lock_stops_before_its_next_write(
    shared: Project, postgres_server: PostgresServer
) -> None:
    """5: the write in flight is finished and recorded, nothing else is sent, and the report has the command that continues."""
    shared.declare()
    shared.break_with({"operation": "apps.create", "action": "delay", "seconds": 0.3})
    database = shared.workdir.environment["OCTOSYNC_STATE"].rpartition("/")[2]
    arguments = ("apply", "-f", "apps", "--url", shared.url, "--yes")
    with shared.workdir.start(*arguments) as process:
        until_delayed(shared)
        postgres_server.execute("update octosync.lease set epoch = epoch + 1", database)
        out, err = process.communicate(timeout=60)
    shown = out.decode()
    assert (process.returncode, err) == (5, b"")
    assert f"✓ 1 applied   · {ACTIONS - 1} not attempted" in shown
    assert "has lost its lease" in shown
    assert f"To continue: octosync apply -f apps --url {shared.url}" in shown
    assert shared.writes() == ["POST /apps"]
    (recorded,) = json.loads(shared.workdir.octosync("history", "-o", "json").stdout)["runs"]
    assert (recorded["exit_code"], recorded["summary"]["done"], recorded["summary"]["unknown"]) == (5, 1, 0)


def test_without_a_base_no_change_of_an_app_on_hold_is_applied(shared: Project) -> None:
    """4: it may undo a change by hand. The plan shows until when and why in all formats; the flag lifts the guard."""
    shared.declare()
    assert shared.apply().code == 0
    shared.declare(name="Renamed")
    hold(shared)
    for option in ("text", "markdown", "github", "sarif"):
        planned = shared.plan("-o", option)
        assert (planned.code, "incident 4711" in planned.stdout) == (4, True)
    document = json.loads(shared.plan("-o", "json").stdout)
    assert [(row["app"], row["reason"]) for row in document["shared_state"]["holds"]] == [("search", "incident 4711")]
    shared.log()
    assert shared.apply().code == 4
    assert shared.writes() == []
    assert shared.apply("--allow-held").code == 0


def test_with_a_base_drift_of_an_app_on_hold_stays(shared: Project) -> None:
    """0: declared changes are applied and a change by hand stays, however old it is. Without the hold it is reverted."""
    base = shared.workdir.write("base.yaml", shared.declare().read_text())
    assert shared.apply().code == 0
    ok(shared.plane.api.put("/apps/search/slots/chat", json={"serving_policy": "cloud_only"}))
    shared.declare(name="Renamed")
    hold(shared)
    shared.log()
    ran = shared.apply("--base-file", base, "--drift-hold", "0s")
    assert ran.code == 0
    assert shared.writes() == ["PATCH /apps/search"]
    shown = re.findall(
        r"(?:app/search: its drift is not reverted: on hold|, held) until (.*?) UTC", " ".join(ran.stdout.split())
    )
    assert (len(shown), len(set(shown))) == (2, 1), ran.stdout  # both name the same minute
    (shared.workdir.directory / "apps/search.yaml").rename(shared.workdir.directory / "search.yaml")
    archives = shared.plan("--base-file", base, "--allow-empty", "--prune", "--allow-archives", "1")
    assert (archives.code, "(guard held)" in archives.stdout) == (4, True), archives.output
    (shared.workdir.directory / "search.yaml").rename(shared.workdir.directory / "apps/search.yaml")
    with journal_of(shared) as journal:
        controller_of(shared, journal).release("search")
    assert shared.apply("--base-file", base, "--drift-hold", "0s").code == 0
    assert shared.writes() == ["PUT /apps/search/slots/chat"]


def test_a_suspension_stops_runs_that_write(shared: Project) -> None:
    """4: apply and bootstrap write nothing, plan shows it, and the flag lifts it for an apply."""
    shared.declare()
    with journal_of(shared) as journal:
        controller_of(shared, journal).suspend(datetime.now(UTC), "incident 4711")
    for ran in (shared.plan(), shared.apply()):
        assert ran.code == 4
        assert f"{ACTIONS} changes while the controller is suspended, since" in " ".join(ran.stdout.split())
    bootstrap = ("bootstrap", "notes", "--platform", "ios", "--identifier", "com.acme.notes", "--url", shared.url)
    assert shared.workdir.octosync(*bootstrap).code == 4
    assert shared.writes() == []
    assert shared.apply("--allow-suspended").code == 0


def test_a_state_that_cannot_be_read_stops_apply_and_not_plan(shared: Project) -> None:
    """A job of a pull request may have no access: plan warns and goes on. Apply sends nothing."""
    shared.declare()
    for state in (NOBODY, "postgresql://octosync:wrong@127.0.0.1:1/octosync"):
        planned = shared.plan("-o", "json", OCTOSYNC_STATE=state)
        document = json.loads(planned.stdout)
        assert planned.code == 0
        assert [found["rule"] for found in document["diagnostics"]] == ["state-not-read"]
        assert "wrong" not in planned.output
    typed = shared.plan("--state", NOBODY, "--plan-out", "plan.json")
    assert f"octosync apply plan.json -f apps --url {shared.url} --state '{NOBODY}'" in typed.stderr
    shared.log()
    ran = shared.apply(OCTOSYNC_STATE=NOBODY)
    assert ran.code == 75
    assert "journal-unusable" in ran.stderr
    assert shared.log() == []


def test_a_plan_needs_only_what_the_guide_grants(shared: Project, postgres_server: PostgresServer) -> None:
    """A role that can't write, and can't read the key of the replicas, sees holds and the lock. The owner isn't restricted."""
    url = shared.workdir.environment["OCTOSYNC_STATE"]
    database = url.rpartition("/")[2]
    hold(shared)
    journal_of(shared).close()
    guide = (Path(__file__).parents[2] / "docs/how-to/merge.md").read_text(encoding="utf-8")
    statements = guide.partition("```sql\n")[2].partition("```")[0].replace("DATABASE octosync", f"DATABASE {database}")
    leases = LeaseTable(journal_of(shared))
    for kind in LeaseKind:
        holder = LeaseHolder(host="runner-7", pid=1, run="1", key=Secret("key-of-the-replicas"))
        assert leases.take(LeaseName(kind, plane_of(shared)), holder) is not None
    postgres_server.execute(statements, database)
    try:
        address = url.partition("@")[2]
        shared.declare()
        document = json.loads(
            shared.plan("-o", "json", OCTOSYNC_STATE=f"postgresql://octosync_reader:PASSWORD@{address}").stdout
        )
        found = document["shared_state"]
        assert (found["error"], found["run_under_way"]["host"]) == (None, "runner-7")
        assert [row["app"] for row in found["holds"]] == ["search"]
        with JournalReader(parse_location(f"postgresql://octosync_reader:PASSWORD@{address}")) as reader:
            assert reader.database.execute("select kind from lease").fetchall() == [("apply",)]
        assert {kind for (kind,) in postgres_server.execute("select kind from octosync.lease", database)} == {
            "apply",
            "watch",
        }
        assert leases.holder(LeaseName(LeaseKind.WATCH, plane_of(shared))) is not None
    finally:
        leases.close()
        postgres_server.execute("drop owned by octosync_reader", database)
        postgres_server.execute("drop role octosync_reader")


@pytest.mark.parametrize(("name", "code"), [("Renamed", 3), (None, 0)])
def test_a_confirmed_plan_is_applied_only_if_it_is_still_the_same(shared: Project, name: str | None, code: int) -> None:
    """The question blocks no other run. 3: another run has changed the app meanwhile, and the answer was about another plan."""
    shared.declare("notes")
    shared.declare()
    assert shared.apply().code == 0
    shared.declare(name="Confirmed")
    with terminal() as (user_end, stdin):

        def run_another() -> None:
            if name is not None:
                shared.workdir.write("other/search.yaml", shared.declare(name=name).read_text())
                shared.declare(name="Confirmed")
                other = shared.workdir.run("apply", "-f", "other", "--url", shared.url, "--yes")
                assert other.code == 0
            os.write(user_end, b"yes\n")

        shared.log()
        asked = Reacting(QUESTION, run_another, terminal=True)
        arguments = ("apply", "-f", "apps", "--url", shared.url)
        ran = shared.workdir.octosync(*arguments, stdin=stdin, stderr=asked, terminal=True, NO_COLOR="1")
    assert ran.code == code
    assert len(shared.writes()) == 1
    assert ("the plan has changed since you confirmed it" in asked.text()) == (code == 3)
