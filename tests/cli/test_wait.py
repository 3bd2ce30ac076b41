"""`octosync apply --wait`: its values, what it waits for, its output, and how it ends."""

from __future__ import annotations

import json
import os
import re
import signal
from concurrent.futures import ThreadPoolExecutor
from contextlib import redirect_stderr
from dataclasses import replace
from typing import Any

import pytest
from tests.support.embedded_planes import ok
from tests.support.projects import Project
from tests.support.workdirs import CommandResult, MemoryStream

from octosync.cli.runs.apply_output import RolloutBars
from octosync.model import Address, Canary, RolloutResult, RolloutStatus
from octosync.state import Journal

APP = """\
apiVersion: octosync.dev/v1
kind: App
metadata: {{name: search}}
spec:
  name: Search
  targets:
    - {{platform: ios, identifier: com.acme.search}}
  slots:
    - capability: chat
      servingPolicy: {policy}
      deploy: {{environments: [production], optimize: {optimize}}}
"""
ROW = {"address", "result", "deployment", "status", "variant", "canary", "coverage", "covered", "devices", "error"}


def declare(project: Project, policy: str = "local_first", *, devices: int = 40, optimize: str = "never") -> None:
    """Declare an app whose chat is deployed to production, on this many devices."""
    project.declare(text=APP.format(policy=policy, optimize=optimize))
    if devices:
        seen = {"platform": "ios", "identifier": "com.acme.search", "device_class": "high", "count": devices}
        ok(project.plane.local.post("/devices", json=seen))


def set_deployments_field(project: Project, **fault: Any) -> None:
    """Set a field in every list of deployments."""
    project.break_with({"operation": "apps.deployments", "action": "set_answer_field", "times": None, **fault})


def waited(ran: CommandResult) -> list[dict[str, Any]]:
    """Return the rollouts in the document of an apply."""
    rows: list[dict[str, Any]] = json.loads(ran.stdout)["waited"]
    return rows


def set_status(project: Project, status: str) -> None:
    """Set the status of the only deployment."""
    (deployment,) = ok(project.plane.api.get("/apps/search/deployments"))["deployments"]
    ok(project.plane.local.post(f"/deployments/{deployment['id']}", json={"status": status}))


@pytest.fixture
def without_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Read again without a pause."""
    monkeypatch.setattr("octosync.apply.rollout.FIRST_PAUSE_SECONDS", 0.0)
    monkeypatch.setattr("octosync.apply.rollout._SHARE", float("inf"))


def test_a_covered_slot_is_a_success(project: Project) -> None:
    """0: each deployment has a line with a bar, and the last line is the same as without --wait."""
    declare(project)
    ran = project.apply("--wait")
    assert ran.code == 0
    *_, applied, line, last = ran.stdout.splitlines()
    assert applied == "✓ 4 applied"
    assert line == "✓ search/chat@production  ██████████  40 of 40 devices covered"
    assert re.fullmatch(r"Run \S+ \(octosync history last\)", last)


def test_a_failed_deployment_is_six(project: Project) -> None:
    """6: written, and then failed: the deployment, its progress, and the command that shows it."""
    declare(project)
    set_deployments_field(project, field="deployments.status", value="failed")
    ran = project.apply("--wait")
    assert ran.code == 6
    assert "✓ 4 applied\n" in ran.stdout
    line = re.search(
        r"^✗ search/chat@production  \S+  failed: 40 of 40 .*deployment dep_\w+ is failed$", ran.stdout, re.MULTILINE
    )
    assert line is not None
    assert f"\nTo show the status: octosync status --url {project.url} search\n" in ran.stdout
    assert ran.stdout.endswith("exit 6\n")


def test_a_timeout_is_six(project: Project) -> None:
    """6: the progress, and the command that waits again, which works."""
    declare(project)
    set_deployments_field(
        project, field="deployments.canary", value={"percentage": 30, "candidate_variant_id": "chat-next"}
    )
    ran = project.apply("--wait=0")
    assert ran.code == 6
    assert "✗ search/chat@production  ███░░░░░░░  not completed: canary to chat-next at 30%, " in ran.stdout
    again = f"octosync apply -f apps --url {project.url} --wait=0"
    assert f"\nTo wait again: {again} (plans again; applied changes are not sent twice)\n" in ran.stdout
    project.log()
    followed = project.workdir.octosync(*again.split()[1:], "--yes")
    assert followed.code == 6
    assert "canary to chat-next at 30%" in followed.stdout
    assert project.writes() == []


@pytest.mark.usefixtures("without_pauses")
def test_a_rollback_during_the_wait_is_six(project: Project) -> None:
    """6: the hint has the flag, because it is not enabled again automatically."""
    declare(project)
    assert project.apply().code == 0
    set_status(project, "paused")
    declare(project, "cloud_first", devices=0)

    def roll_back() -> None:
        # The first poll reads the health before the deployment; the second health request comes after it was shown.
        reads = 0
        while reads < 2:
            reads += project.log().count("GET /apps/search/health")
        set_status(project, "rolled_back")

    with ThreadPoolExecutor(1) as pool:
        done = pool.submit(roll_back)
        ran = project.apply("--wait")
        done.result()
    assert ran.code == 6
    assert "✗ search/chat@production  " in ran.stdout
    assert "rolled back: " in ran.stdout
    assert "--retry-rolled-back" in ran.stdout
    assert "waiting for search/chat@production: 0 of 40 devices covered, paused\n" in ran.stderr


def test_a_partial_run_stays_five(project: Project) -> None:
    """5 outranks 6: finished actions are still waited for."""
    declare(project)
    project.workdir.write(
        "apps/notes.yaml", "apiVersion: octosync.dev/v1\nkind: App\nmetadata: {name: notes}\nspec: {name: Notes}\n"
    )
    project.break_with(
        {"operation": "apps.create", "slug": None, "action": "status", "status": 422, "message": "no"},
        {"operation": "apps.deployments", "action": "set_answer_field", "times": None}
        | {"field": "deployments.status", "value": "failed"},
    )
    ran = project.apply("--wait", "-o", "json")
    assert ran.code == json.loads(ran.stdout)["exit_code"] == 5
    assert [row["result"] for row in waited(ran)] == ["failed"]


def test_a_deployment_without_devices_is_not_waited_for(project: Project) -> None:
    """It is reported, and is not a failure."""
    declare(project, devices=0)
    ran = project.apply("--wait")
    assert ran.code == 0
    assert "\n· search/chat@production  no devices; not waited for\n" in ran.stdout


def test_an_approval_is_not_waited_for(project: Project) -> None:
    """5, as without --wait; the line states that it is not waited for."""
    declare(project)
    ok(project.plane.local.put("/policy", json={"require_approval": ["production"]}))
    ran = project.apply("--wait")
    assert ran.code == 5
    assert "\n? search/chat@production  awaits approval in Octomil; not waited for\n" in ran.stdout


def test_an_unreadable_rollout_is_six(project: Project) -> None:
    """6: it may be covered, but that is unknown."""
    declare(project)
    project.break_with({"operation": "apps.health", "action": "status", "status": 403, "times": None})
    ran = project.apply("--wait")
    assert ran.code == 6
    assert "✗ search/chat@production  could not be read: " in ran.stdout
    assert "403" in ran.stdout


def test_a_run_without_changes_waits_for_running_rollouts(project: Project) -> None:
    """Without one, it reports that there is nothing to wait for, and sends no request."""
    declare(project)
    assert project.apply().code == 0
    ran = project.apply("--wait")
    assert ran.code == 0
    assert ran.stdout.endswith("\n\n✓ search/chat@production  ██████████  40 of 40 devices covered\n")
    project.plane.tick(600)
    project.log()
    ran = project.apply("--wait")
    assert ran.code == 0
    assert ran.stdout.endswith("\n\nNothing to wait for: no deployment was changed, and none is in progress.\n")
    assert "GET /apps/search/health" not in project.log()


def test_a_run_that_wrote_nothing_is_not_waited_for(project: Project) -> None:
    """75: if the control plane is unavailable for writes, there is nothing to wait for."""
    declare(project)
    project.break_with({"operation": "apps.create", "action": "status", "status": 501, "times": None})
    assert project.apply("--wait").code == 75
    assert not any(line.endswith("/health") for line in project.log())


def test_the_document_has_the_result_of_each_rollout(project: Project) -> None:
    """`waited` has one row per rollout, without times; without --wait it is null."""
    declare(project)
    ran = project.apply("--wait", "-o", "json")
    document = json.loads(ran.stdout)
    assert document["exit_code"] == ran.code == 0
    (row,) = waited(ran)
    assert set(row) == ROW
    assert row["address"] == "app/search/capability/chat@production"
    assert (row["result"], row["coverage"], row["covered"], row["devices"]) == ("covered", "covered", 40, 40)
    assert (row["canary"], row["error"]) == (None, None)
    project.plane.tick(600)
    assert waited(project.apply("--wait", "-o", "json")) == []
    assert json.loads(project.apply("-o", "json").stdout)["waited"] is None


def test_a_bare_wait_takes_no_value(project: Project) -> None:
    """`octosync apply --wait plan.json` applies the plan file: a timeout is given after `=`."""
    declare(project)
    for arguments in (["--wait", "plan.json"], ["plan.json", "--wait"], ["--wait", "--", "plan.json"]):
        project.save_plan()
        ran = project.workdir.octosync("apply", "-f", "apps", "--url", project.url, *arguments)
        assert ran.code == 0, ran.output
    assert "search" in project.workdir.octosync("apply", "--url", project.url, "--wait", "-f", "apps", "--yes").stdout


@pytest.mark.parametrize("value", ["soon", "-1", "", "5", "10 m", "1h30"])
def test_an_invalid_timeout_is_a_usage_error(project: Project, value: str) -> None:
    """64: the error has an example, before anything is sent."""
    declare(project)
    project.log()
    ran = project.apply(f"--wait={value}")
    assert ran.code == 64
    assert "--wait" in ran.stderr
    assert "a duration such as 30m" in ran.stderr
    assert project.log() == []


def test_the_timeout_may_be_in_the_environment(project: Project) -> None:
    """`OCTOSYNC_WAIT` has the timeout; the command line takes precedence."""
    declare(project)
    ran = project.apply(OCTOSYNC_WAIT="0")
    assert ran.code == 0
    assert "search/chat@production" in ran.stdout
    assert project.apply(OCTOSYNC_WAIT="soon").code == 64
    assert project.apply("--wait=0", OCTOSYNC_WAIT="soon").code == 0


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_the_wait(project: Project, number: signal.Signals, code: int) -> None:
    """130 and 143: at once. The writes were finished before, the journal has the end of the run, and waiting can be resumed."""
    declare(project)
    project.break_with({"operation": "apps.health", "action": "delay", "seconds": 30})

    def send() -> None:
        while not any(fault["acted"] for fault in ok(project.plane.local.get("/faults"))["rules"]):
            pass
        os.kill(os.getpid(), number)

    with ThreadPoolExecutor(1) as pool:
        sent = pool.submit(send)
        ran = project.apply("--wait=20m")
        sent.result()
    assert ran.code == code
    assert ran.stderr == ""
    assert "✓ 4 applied\n" in ran.stdout
    assert "· search/chat@production  no longer waited for: not read yet\n" in ran.stdout
    assert "Stopped waiting. All writes had finished before.\n" in ran.stdout
    assert f"To wait again: octosync apply -f apps --url {project.url} --wait=20m" in ran.stdout
    with Journal(project.workdir.directory / ".octosync/state.db") as journal:
        assert journal.runs()[0].exit_code == 0
    project.break_with()
    assert project.apply("--wait").code == 0


def test_a_terminal_shows_bars(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each awaited deployment has a row with its name, its progress and a bar; a finished one has none."""
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "140")
    address = Address.of_capability("search", "chat", "production")
    canary = RolloutStatus(
        address=address, deployment="dep", canary=Canary(candidate="chat-[bold]next", percentage=30.0)
    )
    finished = RolloutStatus(address=Address.of_capability("notes", "chat", "staging"))
    screen = MemoryStream(terminal=True)
    with redirect_stderr(screen), RolloutBars(0) as rows:
        rows.show([replace(finished, deployment="dep", covered=1, devices=4), canary])
        rows.show([replace(finished, result=RolloutResult.COVERED), canary])
    *_, frame = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", screen.text()).rpartition("waiting ")
    assert re.search(r"^ +[━╺╸]+ +1/2", frame)
    assert re.search(r"search/chat@production  canary to chat-\[bold\]next at 30% +[━╺╸]+ +30/100", frame)
    assert "notes" not in frame


def test_a_timeout_after_a_space_is_an_error_with_a_hint(project: Project) -> None:
    """`--wait 5m` reads 5m as a plan file; if there is none, the message has the form with `=`."""
    ran = project.apply("--wait", "5m")
    assert ran.code == 1
    assert "the plan file 5m can't be read" in ran.stderr
    assert "For a timeout, use --wait=5m" in ran.stderr
    assert "--wait=" not in project.apply("plan.json").stderr


def test_the_help_shows_the_form_of_the_option(project: Project) -> None:
    """Its value is optional, and is given after `=`."""
    assert "--wait[=TIMEOUT]" in project.workdir.octosync("apply", "--help").stdout
