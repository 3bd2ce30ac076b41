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

BOTH = ("activity", "decisions")
PATHS = {"activity": "GET /apps/demo/activity", "decisions": "GET /apps/demo/routing/decisions"}


def show(project: Project, command: str, *arguments: str, app: str = "demo") -> CommandResult:
    return project.workdir.octosync(command, app, "--url", project.url, *arguments)


def rename(project: Project, *names: str) -> None:
    """Let events come: an app is renamed."""
    for name in names:
        ok(project.plane.api.patch("/apps/demo", json={"name": name}))


def request(project: Project, route: str = "local", count: int = 1, latency: float = 40) -> None:
    """Let the app's devices make requests."""
    body = {"app_slug": "demo", "capability": "chat", "route": route, "latency_ms": latency, "count": count}
    ok(project.plane.local.post("/requests", json=body))


@contextmanager
def following(project: Project, command: str = "activity", *arguments: str) -> Iterator[Process]:
    """Follow a feed as lines of JSON, from now on; it is killed where the block leaves it running."""
    more = (*arguments, "--follow", "--interval", "0.1", "--url", project.url, "--rate", "0")
    with project.workdir.start(command, "demo", *more) as process:
        try:
            yield process
        finally:
            process.kill()


def line_of(process: Process) -> str:
    """Wait for the next line on standard output."""
    assert process.stdout is not None
    return process.stdout.readline().decode()


@pytest.fixture
def project(project: Project) -> Project:
    """Give the office's control plane an app with a slot."""
    project.plane.with_slot(project.plane.with_app())
    project.log()
    return project


def test_activity_is_shown_newest_last(project: Project) -> None:
    """One request, one line an event, in the order in which it all happened, with who did it."""
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


def test_decisions_end_in_their_split(project: Project) -> None:
    """Under the decisions there is a bar for each place that requests went to, with share and average latency."""
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
def test_no_more_pages_are_read_than_the_limit_takes(project: Project, limit: str, requests: int) -> None:
    """A page holds a hundred; so many are read as there are entries to show, and older ones are mentioned."""
    request(project, count=260)
    project.log()
    ran = show(project, "decisions", "--limit", limit, "-o", "jsonl")
    assert ran.code == 0
    assert len(ran.stdout.splitlines()) == min(int(limit), 260)
    assert project.log() == [PATHS["decisions"]] * requests


def test_that_there_are_older_entries_is_said(project: Project) -> None:
    """A limit that leaves something out is mentioned on standard error, and in the JSON; one that doesn't is not."""
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
    """Where there is nothing yet, a person is told so, and a document is empty."""
    key = "events" if command == "activity" else "decisions"
    rule = {"operation": "*", "action": "answer", "value": {key: [], "total": 0}, "times": None}
    project.break_with(rule)
    ran = show(project, command)
    assert (ran.code, ran.stdout.count("\n"), ran.stderr) == (0, 1, "")
    assert json.loads(show(project, command, "-o", "json").stdout)[key] == []
    assert show(project, command, "-o", "jsonl").stdout == ""


@pytest.mark.parametrize("command", BOTH)
def test_an_app_that_is_not_there_is_an_error(project: Project, command: str) -> None:
    """No app is not an app without entries: 1, and what to check."""
    ran = show(project, command, app="nobody")
    assert (ran.code, ran.stdout) == (1, "")
    assert ran.stderr.startswith("error: app-not-found: app nobody does not exist at ")
    assert "--org" in ran.stderr


@pytest.mark.parametrize("command", BOTH)
def test_a_control_plane_without_the_feed_says_so(project: Project, command: str) -> None:
    """Where the app is there and its feed a 404, the feed is what is missing: 1, and where to say that it is elsewhere."""
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
        (("demo", "--limit", "0"), "nothing-to-show"),
        ((), "usage"),
    ],
)
def test_a_command_line_that_makes_no_sense_is_refused(
    project: Project, arguments: tuple[str, ...], reference: str
) -> None:
    """A document without an end, no app, what would show nothing: 64, and nothing is asked."""
    ran = project.workdir.octosync("activity", *arguments, "--url", project.url)
    assert ran.code == 64
    assert f"error: {reference}: " in ran.stderr
    assert project.log() == []


def test_what_comes_is_written_as_it_comes(project: Project) -> None:
    """Each entry is a line that can be read at once, told once, and after those that were there before."""
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


def test_more_than_a_page_at_once_is_read_page_by_page(project: Project) -> None:
    """Following from now on tells all of what comes, however much at once."""
    with following(project, "decisions", "-o", "jsonl", "--limit", "0") as process:
        while not project.log():  # it has looked once
            assert process.poll() is None
        request(project, count=230)
        told = {json.loads(line_of(process))["id"] for _ in range(230)}
    assert len(told) == 230


def test_following_for_people_is_a_table_that_goes_on(project: Project) -> None:
    """Its head stands once, rows come under it, and there is no split while it goes on."""
    request(project)
    with following(project, "decisions") as process:
        assert line_of(process).startswith("TIME (UTC)")
        assert "local" in line_of(process)
        request(project, "cloud")
        assert "cloud" in line_of(process)
        process.send_signal(signal.SIGTERM)
        assert process.communicate() == (b"", b"")
        assert process.returncode == 143


def test_a_failed_look_is_told_and_following_goes_on(project: Project) -> None:
    """A control plane that fails for a while is mentioned on standard error; what happened meanwhile comes all the same."""
    with following(project, "activity", "-o", "jsonl", "--limit", "1") as process:
        line_of(process)
        project.break_with({"operation": "apps.activity", "action": "status", "status": 501, "times": 1})
        assert process.stderr is not None
        said = process.stderr.readline().decode()
        assert said.startswith("unavailable: the control plane failed: ")
        assert said.endswith("; trying again in 0.2 s\n")
        rename(project, "one")
        assert json.loads(line_of(process))["type"] == "app.updated"


def test_a_refused_credential_ends_following(project: Project) -> None:
    """Asking again with a key that was revoked makes no sense: the error is told, and it ends with 1."""
    with following(project, "activity", "-o", "jsonl", "--limit", "1") as process:
        line_of(process)
        project.break_with(
            {"operation": "apps.activity", "action": "status", "status": 401, "code": "invalid_api_key", "times": None}
        )
        _, said = process.communicate()
        assert process.returncode == 1
        assert said.startswith(b"error: credential-refused: ")


def test_a_reader_that_goes_ends_following_quietly(project: Project) -> None:
    """`octosync activity demo --follow | head -1` ends with the next entry that nobody reads."""
    with following(project, "activity", "-o", "jsonl", "--limit", "1") as process:
        line_of(process)
        assert process.stdout is not None
        process.stdout.close()
        rename(project, "one")
        assert process.stderr is not None
        assert process.stderr.read() == b""
        assert process.wait() == 130


def test_hostile_texts_stay_on_their_line(project: Project) -> None:
    """What an app is called can neither begin a line nor speak to the terminal."""
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
