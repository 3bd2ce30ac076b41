"""`octosync activity` and `octosync decisions`: their output, their requests, and how `--follow` ends."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from tests.support.embedded_planes import ok
from tests.support.projects import Project
from tests.support.workdirs import CommandResult, Process

from octosync.cli.options import Interval

BOTH = ("activity", "decisions")
PATHS = {"activity": "GET /apps/demo/activity", "decisions": "GET /apps/demo/routing/decisions"}


def show(project: Project, command: str, *arguments: str, app: str = "demo") -> CommandResult:
    return project.workdir.octosync(command, app, "--url", project.url, *arguments)


def rename(project: Project, *names: str) -> None:
    """Cause events: rename an app."""
    for name in names:
        ok(project.plane.api.patch("/apps/demo", json={"name": name}))


def request(project: Project, route: str = "local", count: int = 1, latency: float = 40) -> None:
    """Cause requests of the app's devices."""
    body = {"app_slug": "demo", "capability": "chat", "route": route, "latency_ms": latency, "count": count}
    ok(project.plane.local.post("/requests", json=body))


@contextmanager
def following(project: Project, command: str = "activity", *arguments: str) -> Iterator[Process]:
    """Follow a feed as JSON lines, from now on; kill the process at the end if it still runs."""
    more = (*arguments, "--follow", "--interval", "0.1", "--url", project.url, "--rate", "0")
    with project.workdir.start(command, "demo", *more) as process:
        try:
            yield process
        finally:
            process.kill()


def line_of(process: Process) -> str:
    """Return the next line of standard output."""
    assert process.stdout is not None
    return process.stdout.readline().decode()


@pytest.fixture
def project(project: Project) -> Project:
    """Create an app with a slot."""
    project.plane.with_slot(project.plane.with_app())
    project.log()
    return project


def test_activity_is_shown_newest_last(project: Project) -> None:
    """One request and one line per event, in order of time, with its actor."""
    rename(project, "New")
    ran = show(project, "activity")
    assert (ran.code, ran.stderr) == (0, "")
    head, *rows = ran.stdout.splitlines()
    assert head.split() == ["TIME", "(UTC)", "ACTOR", "EVENT", "OBJECT", "MESSAGE"]
    assert [row.split()[2:5] for row in rows] == [
        ["ci", "app.created", "demo"],
        ["ci", "slot.created", "chat"],
        ["ci", "app.updated", "demo"],
    ]
    assert [line for line in project.log() if line.startswith("GET")] == [PATHS["activity"]]


def test_decisions_end_with_their_split(project: Project) -> None:
    """Below the decisions each route has a bar with its share and average latency."""
    request(project, "local", 3, 41.7)
    request(project, "cloud", 1, 230)
    ran = show(project, "decisions")
    assert (ran.code, ran.stderr) == (0, "")
    *rows, empty, local, cloud = ran.stdout.splitlines()
    assert len(rows) == 5
    assert empty == ""
    assert local.split() == ["local", "█" * 22 + "▌", "75%", "3", "42", "ms", "on", "average"]
    assert cloud.split() == ["cloud", "█" * 7 + "▌", "25%", "1", "230", "ms", "on", "average"]


@pytest.mark.parametrize(("limit", "requests"), [("1", 1), ("100", 1), ("101", 2), ("250", 3), ("10000", 3)])
def test_only_the_pages_for_the_limit_are_read(project: Project, limit: str, requests: int) -> None:
    """A page has a hundred entries; only the pages that are shown are read, and older entries are mentioned."""
    request(project, count=260)
    project.log()
    ran = show(project, "decisions", "--limit", limit, "-o", "jsonl")
    assert ran.code == 0
    assert len(ran.stdout.splitlines()) == min(int(limit), 260)
    assert project.log() == [PATHS["decisions"]] * requests


def test_older_entries_are_mentioned(project: Project) -> None:
    """A limit that excludes entries is mentioned on standard error and in the JSON; otherwise nothing is mentioned."""
    ran = show(project, "activity", "--limit", "1")
    assert "slot.created" in ran.stdout
    assert ran.stderr == "Showing the newest 1; use --limit N for older entries\n"
    assert json.loads(show(project, "activity", "--limit", "1", "-o", "json").stdout)["complete"] is False
    assert json.loads(show(project, "activity", "--limit", "2", "-o", "json").stdout)["complete"] is True


def test_json_is_one_document_and_jsonl_its_entries(project: Project) -> None:
    """Both have the same entries with the same keys, newest last."""
    document = json.loads(show(project, "activity", "-o", "json").stdout)
    assert (document["format_version"], document["app"]) == ("1.0", "demo")
    assert [event["type"] for event in document["events"]] == ["app.created", "slot.created"]
    lines = show(project, "activity", "-o", "jsonl").stdout.splitlines()
    assert [json.loads(line) for line in lines] == document["events"]


@pytest.mark.parametrize("command", BOTH)
def test_an_empty_feed_is_no_error(project: Project, command: str) -> None:
    """Without entries the text has one line that says so, and a document is empty."""
    key = "events" if command == "activity" else "decisions"
    rule = {"operation": "*", "action": "answer", "value": {key: [], "total": 0}, "times": None}
    project.break_with(rule)
    ran = show(project, command)
    assert (ran.code, ran.stdout.count("\n"), ran.stderr) == (0, 1, "")
    assert json.loads(show(project, command, "-o", "json").stdout)[key] == []
    assert show(project, command, "-o", "jsonl").stdout == ""


@pytest.mark.parametrize("command", BOTH)
def test_a_missing_app_is_an_error(project: Project, command: str) -> None:
    """A missing app is not an app without entries: 1, and what to check."""
    ran = show(project, command, app="missing")
    assert (ran.code, ran.stdout) == (1, "")
    assert ran.stderr.startswith("error: app-not-found: app missing does not exist at ")
    assert "--org" in ran.stderr


@pytest.mark.parametrize("command", BOTH)
def test_a_control_plane_without_the_feed_is_an_error(project: Project, command: str) -> None:
    """If the app exists and its feed is a 404, the feed is missing: 1, and how to configure its path."""
    operation = "apps.activity" if command == "activity" else "apps.routing_decisions"
    project.break_with({"operation": operation, "action": "status", "status": 404, "code": "nope", "times": None})
    ran = show(project, command)
    assert (ran.code, ran.stdout) == (1, "")
    assert ran.stderr.startswith("error: feed-absent: ")
    assert f"api.operations.{operation}" in ran.stderr


@pytest.mark.parametrize(
    ("arguments", "reference"),
    [
        (("demo", "--follow", "-o", "json"), "endless-document"),
        (("",), "no-slug"),
        (("..",), "no-slug"),
        (("a/b",), "no-slug"),
        (("demo", "--limit", "-1"), "usage"),
        (("demo", "--interval", "2x"), "usage"),
        (("demo", "--interval", "0"), "usage"),
        (("demo", "--interval", "2h"), "usage"),
        (("demo", "--limit", "0"), "nothing-to-show"),
        ((), "usage"),
    ],
)
def test_an_invalid_command_line_is_refused(project: Project, arguments: tuple[str, ...], reference: str) -> None:
    """A document without an end, no app, a limit of 0: 64, and nothing is sent."""
    ran = project.workdir.octosync("activity", *arguments, "--url", project.url)
    assert ran.code == 64
    assert f"error: {reference}: " in ran.stderr
    assert project.log() == []


@pytest.mark.parametrize(("text", "seconds"), [("2s", 2), ("1m30s", 90), ("1h", 3600), ("0.1", 0.1), ("5", 5)])
def test_an_interval_is_a_duration(text: str, seconds: float) -> None:
    """`--interval` and `--watch` take the durations of all other options, and numbers of seconds."""
    assert Interval().convert(text, None, None) == seconds


@pytest.mark.usefixtures("preloaded")
def test_entries_are_written_as_they_arrive(project: Project) -> None:
    """Each entry is a line that can be read at once, shown once, after the earlier entries."""
    with following(project, "activity", "-o", "jsonl", "--limit", "1") as process:
        assert json.loads(line_of(process))["type"] == "slot.created"
        for name in ("one", "two"):
            rename(project, name)
            event = json.loads(line_of(process))
            assert (event["type"], event["resource"]["key"]) == ("app.updated", "demo")
        rename(project, "three", "four")
        assert len({json.loads(line_of(process))["id"] for _ in range(2)}) == 2
        process.send_signal(signal.SIGINT)
        assert process.communicate() == (b"", b"")
        assert process.returncode == 130


@pytest.mark.usefixtures("preloaded")
def test_more_than_a_page_at_once_is_read_page_by_page(project: Project) -> None:
    """Following shows all new entries, however many arrive at once."""
    with following(project, "decisions", "-o", "jsonl", "--limit", "0") as process:
        while not project.log():  # it has read the feed once
            assert process.poll() is None
        request(project, count=230)
        ids = {json.loads(line_of(process))["id"] for _ in range(230)}
    assert len(ids) == 230


@pytest.mark.usefixtures("preloaded")
def test_following_as_text_is_a_growing_table(project: Project) -> None:
    """Its head is printed once, rows are added below it, and there is no split while it runs."""
    request(project)
    with following(project, "decisions") as process:
        assert line_of(process).startswith("TIME (UTC)")
        assert "local" in line_of(process)
        request(project, "cloud")
        assert "cloud" in line_of(process)
        process.send_signal(signal.SIGTERM)
        assert process.communicate() == (b"", b"")
        assert process.returncode == 143


@pytest.mark.usefixtures("preloaded")
def test_a_failed_read_is_reported_and_following_continues(project: Project) -> None:
    """A temporary failure is reported on standard error, and the entries of that time are still shown."""
    with following(project, "activity", "-o", "jsonl", "--limit", "1") as process:
        line_of(process)
        project.break_with({"operation": "apps.activity", "action": "status", "status": 501, "times": 1})
        assert process.stderr is not None
        error = process.stderr.readline().decode()
        assert error.startswith("unavailable: the control plane failed: ")
        assert error.endswith("; trying again in 0.2 s\n")
        rename(project, "one")
        assert json.loads(line_of(process))["type"] == "app.updated"


@pytest.mark.usefixtures("preloaded")
def test_a_refused_credential_ends_following(project: Project) -> None:
    """A revoked key can't recover: the error is reported, and the exit code is 1."""
    with following(project, "activity", "-o", "jsonl", "--limit", "1") as process:
        line_of(process)
        project.break_with(
            {"operation": "apps.activity", "action": "status", "status": 401, "code": "invalid_api_key", "times": None}
        )
        _, errors = process.communicate()
        assert process.returncode == 1
        assert errors.startswith(b"error: credential-refused: ")


@pytest.mark.usefixtures("preloaded")
def test_a_closed_pipe_ends_following_quietly(project: Project) -> None:
    """`octosync activity demo --follow | head -1` ends with the next entry."""
    with following(project, "activity", "-o", "jsonl", "--limit", "1") as process:
        line_of(process)
        assert process.stdout is not None
        process.stdout.close()
        rename(project, "one")
        assert process.stderr is not None
        assert process.stderr.read() == b""
        assert process.wait() == 130


def test_hostile_texts_stay_on_their_line(project: Project) -> None:
    """The texts of a feed can neither begin a line nor control the terminal."""
    event = {
        "id": "e",
        "type": "x\u202e[2J",
        "actor": {"name": "eve\u2028root"},
        "resource": {"type": "slot", "key": "\u202ec"},
        "message": "m\u2066",
        "created_at": "0001-01-01T00:00:00+14:00",
    }
    project.break_with({"operation": "*", "action": "answer", "value": {"events": [event], "total": 1}})
    ran = show(project, "activity")
    assert (ran.code, ran.stdout.count("\n")) == (0, 2)
    assert ran.stdout.splitlines()[1].split() == ["-", "eve\\u2028root", "x\\u202e[2J", "slot", "\\u202ec", "m\\u2066"]
