"""`octosync doctor`: what it finds, that it only reads, and that no setup makes it fail, hang or show a secret."""

from __future__ import annotations

import json
import os
import sqlite3
from contextlib import closing
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import pytest
from tests.support.clients import KEY
from tests.support.embedded_planes import run_plane
from tests.support.projects import Project
from tests.support.repositories import Repo
from tests.support.same_responses import same_response
from tests.support.workdirs import CommandResult, Workdir

from octosync.server import Token
from octosync.state import Journal, Record, state_lock

CONTEXTS = """\
contexts:
  staging: {url: "http://127.0.0.1:1", tokenEnv: OCTOMIL_STAGING_KEY}
  production: {url: "https://api.example.com", tokenEnv: OCTOMIL_API_KEY}
"""


def findings_of(ran: CommandResult) -> dict[str, list[tuple[str, str]]]:
    """Return the status and message of each finding of `-o json`, by check."""
    document = json.loads(ran.stdout)
    found: dict[str, list[tuple[str, str]]] = {}
    for finding in document["findings"]:
        found.setdefault(finding["check"], []).append((finding["status"], finding["message"]))
    assert sum(document["summary"].values()) == len(document["findings"])
    assert ran.code == (1 if document["summary"]["error"] else 0)
    return found


def doctor(workdir: Workdir, *arguments: str | Path, **environment: Any) -> dict[str, list[tuple[str, str]]]:
    """Run doctor, and return its findings."""
    return findings_of(workdir.octosync("doctor", *arguments, "-o", "json", **environment))


APPS = json.dumps({"apps": [], "events": [], "total": 42}).encode()


def test_it_runs_without_any_setup(workdir: Workdir) -> None:
    """Without octosync.yaml, key and network, every check that needs none of them has a finding, and advice says what to do."""
    ran = workdir.octosync("doctor")
    assert (ran.code, ran.stderr) == (1, "")
    assert "ok       configuration: no octosync.yaml in this folder or above it: the defaults apply\n" in ran.stdout
    assert "error    key: no API key for https://api.octomil.com/api/v1\n           Set OCTOMIL_API_KEY" in ran.stdout
    assert "warning  git: this folder is not in a work tree that git can use\n" in ran.stdout
    assert "ok       state: there is no .octosync/state.db yet" in ran.stdout
    assert ran.stdout.splitlines()[-1].endswith("0 requests sent.")
    assert workdir.files() == {}


def test_a_good_setup_has_no_errors_and_costs_two_reads(project: Project) -> None:
    """The key is accepted and only its end is shown; apps and the activity feed were read, and nothing else was sent."""
    project.declare()
    assert project.apply().code == 0
    project.log()
    found = doctor(project.workdir, "--url", project.url)
    assert project.log() == ["GET /apps", "GET /activity"]
    assert found["key"] == [("ok", f"OCTOMIL_API_KEY …{KEY[-4:]}")]
    assert found["access"] == [("ok", "the key may read apps, 1 app; whether it may write is known only after a write")]
    assert found["state"] == [("ok", ".octosync/state.db has 1 run")]
    ((status, feed),) = found["activity feed"]
    assert status == "ok"
    assert feed.startswith("all 4 events go back to ")
    ran = project.workdir.octosync("doctor", "--url", project.url)
    assert (ran.code, ran.stderr) == (0, "")
    assert "2 requests sent." in ran.stdout
    assert KEY not in ran.stdout


def test_a_refused_key_is_an_error(project: Project) -> None:
    """Nothing more is sent after the refusal, and the advice names the source of the key."""
    ran = project.workdir.octosync("doctor", "--url", project.url, OCTOMIL_API_KEY="wrong-key-0123456789")
    assert ran.code == 1
    assert "error    access: the control plane rejected the API key (401" in ran.stdout
    assert "OCTOMIL_API_KEY" in ran.stdout
    assert project.log() == ["GET /apps"]


def test_a_key_without_the_scope_to_read_shows_its_scopes(workdir: Workdir) -> None:
    """The scopes that the refusal states are shown."""
    with run_plane(KEY, tokens=(Token("ci", KEY, frozenset({"apps:write"})),)) as plane:
        ran = workdir.octosync("doctor", "--url", plane.running.url, OCTOMIL_API_KEY=KEY)
    assert ran.code == 1
    assert "error    access: the API key lacks the scope apps:read" in ran.stdout
    assert "The key has the scopes: apps:write\n" in ran.stdout


def test_a_correct_clock_is_ok(workdir: Workdir) -> None:
    """The time between request and response is no difference."""
    with same_response(APPS, headers={"Date": format_datetime(datetime.now(UTC), usegmt=True)}) as url:
        found = doctor(workdir, "--url", url)
    assert found["clock"] == [("ok", "the local clock agrees with that of the control plane")]


@pytest.mark.parametrize(("seconds", "words"), [(7200, "behind"), (-7200, "ahead of")])
def test_a_wrong_clock_is_a_warning(workdir: Workdir, seconds: int, words: str) -> None:
    """The difference is shown with its direction, and is no error."""
    date = format_datetime(datetime.now(UTC) + timedelta(seconds=seconds), usegmt=True)
    with same_response(APPS, headers={"Date": date}) as url:
        found = doctor(workdir, "--url", url)
    ((status, message),) = found["clock"]
    assert status == "warning"
    assert f" {words} that of the control plane" in message
    assert found["access"][0][1].startswith("apps can be read without a key, 42 apps;")


@pytest.mark.parametrize("date", ["", "yesterday", "Mon, 99 Foo 99999 99:99:99 GMT", "Mon, 01 Jan 0001 00:00:00 +2359"])
def test_an_invalid_date_is_no_finding(workdir: Workdir, date: str) -> None:
    """A date that can't be read does not end the examination."""
    with same_response(APPS, headers={"Date": date}) as url:
        found = doctor(workdir, "--url", url)
    assert found.get("clock", [("warning", "")])[0][0] == "warning"
    assert found["activity feed"] == [("ok", "it can be read, and is empty")]


def test_a_lower_limit_of_the_control_plane_is_a_warning(workdir: Workdir) -> None:
    """The limit in the response's headers is compared with that of octosync."""
    with same_response(APPS, headers={"X-RateLimit-Limit": "60", "X-RateLimit-Remaining": "59"}) as url:
        assert doctor(workdir, "--url", url, "--rate", "100")["rate limit"] == [
            ("warning", "100 requests per minute (as set); the control plane states 60, 59 left")
        ]
        assert doctor(workdir, "--url", url, "--rate", "60")["rate limit"][0][0] == "ok"


def test_a_hostile_control_plane_shows_nothing_dangerous(workdir: Workdir) -> None:
    """Control characters of a response are escaped, an echoed key is masked, and lines stay short."""
    text = f"\x1b[2J::error::\u202e {KEY} " + "x" * 10_000
    body = json.dumps({"error": {"code": "insufficient_scope", "message": text, "details": {"scopes": [text] * 99}}})
    with same_response(body.encode(), 403, {"X-Request-Id": f"r{KEY}"}) as url:
        ran = workdir.octosync("doctor", "--url", url, OCTOMIL_API_KEY=KEY)
    assert ran.code == 1
    assert "\x1b" not in ran.stdout
    assert "\u202e" not in ran.stdout
    assert KEY not in ran.output
    assert max(map(len, ran.stdout.splitlines())) < 600


@pytest.mark.parametrize(
    "body", [b"<html>login</html>", b"[1", b"\xff", b"{}", b'{"apps": {}}', b'{"apps": [], "total": "x"}']
)
def test_any_response_is_a_finding(workdir: Workdir, body: bytes) -> None:
    """A response of another server ends in a finding, not in a defect."""
    with same_response(body) as url:
        assert len(doctor(workdir, "--url", url)["access"]) == 1


def test_a_missing_activity_feed_is_a_warning(project: Project) -> None:
    """The advice has what does not work without it."""
    project.break_with({"operation": "activity.list", "action": "not_found"})
    ran = project.workdir.octosync("doctor", "--url", project.url)
    assert ran.code == 0
    assert "warning  activity feed: " in ran.stdout
    assert "Without it, drift has no author and is not held" in ran.stdout


def test_the_context_and_the_file_are_named_with_the_reason(workdir: Workdir) -> None:
    """It shows which octosync.yaml is in use and why, and which context."""
    workdir.write("octosync.yaml", CONTEXTS)
    found = doctor(workdir, "--context", "staging", OCTOMIL_STAGING_KEY="")
    assert found["configuration"] == [("ok", f"{workdir.directory}/octosync.yaml (found in the working directory)")]
    assert found["context"] == [("ok", "staging (--context), of staging, production")]
    assert found["key"][0][0] == "error"
    assert "OCTOMIL_STAGING_KEY is not set" in found["key"][0][1]
    assert found["access"] == [("warning", "not checked, because of the errors above")]
    found = doctor(workdir, OCTOSYNC_CONTEXT="nowhere", OCTOSYNC_CONFIG="octosync.yaml")
    assert found["configuration"][0][1].endswith("octosync.yaml (OCTOSYNC_CONFIG)")
    assert found["context"] == [("error", "there is no context nowhere")]
    below = Workdir(workdir.directory / "apps")
    below.directory.mkdir()
    assert doctor(below)["configuration"][0][1].endswith("octosync.yaml (the nearest one above this folder)")


def test_an_invalid_configuration_is_reported_once(workdir: Workdir) -> None:
    """Its errors have their lines; what depends on it is not checked, and no request is sent."""
    workdir.write("octosync.yaml", "contexts: [\nrate: no")
    found = doctor(workdir, OCTOMIL_API_KEY=KEY)
    assert [status for status, _ in found["configuration"]] == ["error"]
    assert not {"context", "key"}.intersection(found)
    assert found["access"] == [("warning", "not checked, because of the errors above")]


def test_a_configuration_of_another_user_is_not_used(workdir: Workdir) -> None:
    """A file that every user can write is an error with the way to trust it."""
    workdir.write("octosync.yaml", CONTEXTS).chmod(0o666)
    ran = workdir.octosync("doctor", OCTOMIL_API_KEY=KEY)
    assert "error    configuration: octosync.yaml may be written by every user" in ran.stdout
    assert "--config octosync.yaml" in ran.stdout


def test_the_state_file_is_examined_without_changing_it(workdir: Workdir) -> None:
    """A run that did not end, a damaged file, a pipe and a file in use each have a finding."""
    file = workdir.directory / "state.db"
    with Journal(file) as journal:
        Record.begin(journal, control_plane="https://api.example.com", org_id=None, digest="sha256:0")
    assert doctor(workdir, "--state", file)["state"] == [
        ("ok", f"{file} has 1 run"),
        ("warning", "the last run has not ended"),
    ]
    with state_lock(file):
        assert doctor(workdir, "--state", file)["state"] == [
            ("ok", f"{file} has 1 run, in use by octosync watch (process {os.getpid()})")
        ]
    os.mkfifo(workdir.directory / "pipe")
    assert doctor(workdir, "--state", "pipe")["state"] == [("error", "pipe is not a file")]
    workdir.write("damaged.db", b"SQLite format 3\0" + b"\xff" * 5000)
    ((status, _),) = doctor(workdir, "--state", "damaged.db")["state"]
    assert status == "error"
    with closing(sqlite3.connect(workdir.directory / "newer.db")) as newer:
        newer.execute("pragma user_version = 999")
    ((status, message),) = doctor(workdir, "--state", "newer.db")["state"]
    assert status == "error"
    assert "schema 999" in message


def test_git_is_examined(tmp_path: Path) -> None:
    """The revision, changes, a shallow clone and a base that is missing are found."""
    repo = Repo.init(tmp_path / "full")
    repo.write("apps/a.yaml", "a\n")
    repo.commit()
    head = repo.commit()
    workdir = Workdir(repo.root)
    assert doctor(workdir, "--base", "main")["git"] == [
        ("ok", f"{repo.root} at {head[:12]}, clean"),
        ("ok", f"the base of main is {head[:12]}"),
    ]
    repo.write("apps/a.yaml", "b\n")
    found = doctor(workdir, "--base", "gone")["git"]
    assert found == [
        ("ok", f"{repo.root} at {head[:12]}, with changes"),
        ("error", "--base gone is not a commit in this clone"),
    ]
    repo.git("clone", "-q", "--depth=1", f"file://{repo.root}", str(tmp_path / "shallow"))
    found = doctor(Workdir(tmp_path / "shallow"))["git"]
    assert found[1] == ("warning", "the clone is shallow: --base may not find the commit to compare with")


def test_tools_and_variables_are_found(workdir: Workdir, tmp_path: Path) -> None:
    """Kustomize with its version, an HTTP proxy without its password, CI, and a variable with a typo."""
    tools = tmp_path / "bin"
    tools.mkdir()
    tool = tools / "kustomize"
    tool.write_text("#!/bin/sh\nprintf 'v5.9.0\\033[2J\\n'\n")
    tool.chmod(0o755)
    found = doctor(
        workdir,
        PATH=f"{tools}:{os.environ['PATH']}",
        CI="true",
        OCTOSYNC_CONTXT="production",
        OCTOSYNC_READ_TOKEN="of a workflow",
        OCTOSYNC_PORT_9900_TCP="tcp://10.0.0.1:9900",
        HTTPS_PROXY="http://user:hunter2@127.0.0.1:1",
        OCTOMIL_API_KEY=KEY,
        OCTOMIL_API_URL="https://control-plane.invalid",
    )
    assert found["kustomize"] == [("ok", f"{tool}: v5.9.0\\x1b[2J")]
    assert found["proxy"] == [("ok", "requests go through 127.0.0.1:1 (HTTPS_PROXY)")]
    assert found["environment"] == [
        ("ok", "CI is set: octosync never asks for confirmation"),
        ("warning", "octosync does not read OCTOSYNC_CONTXT"),
    ]
    assert "hunter2" not in str(found)
    assert found["access"][0][0] == "error"


def test_quiet_shows_only_problems(project: Project) -> None:
    """With -q, what is ok is only counted."""
    ran = project.workdir.octosync("doctor", "--url", project.url, "-q")
    assert ran.code == 0
    assert [line.split()[0] for line in ran.stdout.splitlines() if line[:1].isalpha()] == ["warning"]
    assert "2 requests sent." in ran.stdout
