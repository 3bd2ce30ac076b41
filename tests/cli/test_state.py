"""`octosync state`: what it shows of a state, and how it checks, backs up, moves and prunes it."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from tests.support.postgres import PASSWORD
from tests.support.states import ORG, desired_app
from tests.support.workdirs import Workdir

from octosync.model import Hold
from octosync.plan import ControlPlane
from octosync.state import DEFAULT_PATH, Journal, WatchState, parse_location, state_lock

NOW = datetime.now(UTC)
PLANE = ControlPlane(url="https://octomil.example/api/v1", org_id=ORG)


def fill(path: Path) -> None:
    """Store two old runs, a new one that has not ended, and the state of a controller."""
    with Journal(path) as journal:
        for days in (100, 99, 0):
            at = NOW - timedelta(days=days)
            run = journal.begin_run(control_plane=PLANE.url, org_id=ORG, digest="sha256:0", at=at)
            if days:
                journal.end_run(run, 0, at)
        memory = WatchState(journal).for_control_plane(PLANE)
        memory.store(desired_app("search"))
        memory.hold(Hold(app="search", until=NOW + timedelta(hours=1), reason="incident", at=NOW))
        memory.hold(Hold(app="notes", until=NOW - timedelta(minutes=1), reason="ended", at=NOW - timedelta(hours=1)))
        memory.suspend(NOW, "release")


def test_a_state_is_shown_and_checked(workdir: Workdir) -> None:
    """The numbers of what it has, the suspension and who uses it, as text and as JSON; a missing state is not created."""
    assert workdir.octosync("state", "show").stderr.startswith("There is no state at ")
    assert workdir.octosync("state", "check").code == 0
    assert workdir.files() == {}
    fill(workdir.directory / DEFAULT_PATH)
    with state_lock(workdir.directory / DEFAULT_PATH):
        shown = workdir.octosync("state", "show")
        document = json.loads(workdir.octosync("state", "show", "-o", "json").stdout)
    assert f"octomil.example, org {ORG}\n  1 app, 1 hold\n  suspended since " in shown.stdout, shown.output
    assert "3 runs from " in shown.stdout
    assert "In use by octosync watch (process " in shown.stdout
    assert (document["runs"]["total"], document["runs"]["not_ended"]) == (3, 1)
    assert (document["control_planes"][0]["apps"], document["control_planes"][0]["holds"]) == (1, 1)
    assert document["users"][0]["command"] == "watch"
    checked = workdir.octosync("state", "check")
    assert "ok       contents: 3 runs with 0 actions, 1 control plane: all of it can be read" in checked.stdout
    with Journal(workdir.directory / DEFAULT_PATH) as journal:
        journal.database.execute("update base set document = x'00'")
    damaged = workdir.octosync("state", "check")
    assert (damaged.code, "error    contents: " in damaged.stdout) == (1, True), damaged.output


def test_a_state_moves_to_a_database_and_back(workdir: Workdir, postgres_url: str) -> None:
    """Every place is a file, a URL or a variable with a URL; no output has the password, and a full place is refused."""
    fill(workdir.directory / "state.db")
    shown = str(parse_location(postgres_url))
    env: dict[str, Any] = {"NEW": postgres_url}
    ran = [
        workdir.octosync("state", "copy", "state.db", "env:NEW", **env),
        workdir.octosync("state", "copy", "state.db", "env:NEW", **env),
        workdir.octosync("state", "copy", "state.db", postgres_url),
        workdir.octosync("state", "check", OCTOSYNC_STATE=postgres_url),
        workdir.octosync("state", "backup", "backup.db", "-o", "json", OCTOSYNC_STATE=postgres_url),
        workdir.octosync("state", "copy", "backup.db", "env:OLD", OLD="state.db"),
        workdir.octosync("state", "copy", "backup.db", "env:OLD", OLD=f"postgresql://me:{PASSWORD}/x@db.example/x"),
    ]
    assert [result.code for result in ran] == [0, 1, 64, 0, 0, 64, 64]
    assert "state-url-invalid: OLD: " in ran[6].stderr
    assert ran[0].stdout == f"Copied state.db to {shown}: 3 runs, 1 control plane, 1 app\n"
    assert "state-not-empty" in ran[1].stderr
    assert "password-on-command-line: TO: " in ran[2].stderr
    assert "env:NAME" in ran[2].stderr
    assert (
        json.loads(ran[4].stdout)["copied"].items() >= {"runs": 3, "control_planes": 1, "apps": 1, "holds": 2}.items()
    )
    assert not any(PASSWORD in result.output for result in ran)
    assert (workdir.directory / "backup.db").stat().st_mode & 0o777 == 0o600
    with Journal(workdir.directory / "backup.db") as journal:
        assert WatchState(journal).for_control_plane(PLANE).baseline()["search"] == desired_app("search")


def test_a_refused_copy_creates_nothing(workdir: Workdir) -> None:
    """A missing state leaves no folder for its copy, a folder is no place for a backup, and a URL does not become a file."""
    fill(workdir.directory / "state.db")
    ran = [
        workdir.octosync("state", "copy", "none.db", "new/state.db"),
        workdir.octosync("state", "backup", ".", "--force", "--state", "state.db"),
        workdir.octosync("state", "backup", f"postgresql://me:{PASSWORD}@db.example/x", "--state", "state.db"),
    ]
    assert [result.code for result in ran] == [1, 1, 64], [result.output for result in ran]
    assert "no-state: " in ran[0].stderr
    assert "it is not a file" in ran[1].stderr
    assert PASSWORD not in ran[2].output
    assert sorted(path.name for path in workdir.directory.iterdir()) == ["state.db"]


def test_old_runs_are_pruned_after_a_confirmation(workdir: Workdir) -> None:
    """What goes is shown first. Without a terminal it needs --yes; what is newer, and what watch needs, stays."""
    fill(workdir.directory / DEFAULT_PATH)
    refused = workdir.octosync("state", "prune", "--older-than", "90d")
    assert (refused.code, "confirmation-required" in refused.stderr) == (64, True)
    assert refused.stderr.startswith("2 runs older than ")
    assert workdir.octosync("state", "prune", "--older-than", "23h", "--yes").code == 64
    assert workdir.octosync("state", "prune", "--older-than", "90d", "--yes").stdout.startswith("Deleted 2 runs, ")
    again = workdir.octosync("state", "prune", "--older-than", "90d", "--yes", "-o", "json")
    assert json.loads(again.stdout)["deleted"]["runs"] == 0
    document = json.loads(workdir.octosync("state", "show", "-o", "json").stdout)
    assert (document["runs"]["total"], document["control_planes"][0]["holds"]) == (1, 1)
