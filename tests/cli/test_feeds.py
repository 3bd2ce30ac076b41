"""`octosync activity` and `octosync decisions`: their output, their requests, and how `--follow` ends."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from tests.support.desks import Office
from tests.support.invoking import Process, Ran
from tests.support.planes import ok

BOTH = ("activity", "decisions")
PATHS = {"activity": "GET /apps/demo/activity", "decisions": "GET /apps/demo/routing/decisions"}


def show(office: Office, command: str, *arguments: str, app: str = "demo") -> Ran:
    return office.desk.octosync(command, app, "--url", office.url, *arguments)


def rename(office: Office, *names: str) -> None:
    """Let events come: an app is renamed."""
    for name in names:
        ok(office.plane.api.patch("/apps/demo", json={"name": name}))


def request(office: Office, route: str = "local", count: int = 1, latency: float = 40) -> None:
    """Let the app's devices make requests."""
    body = {"app_slug": "demo", "capability": "chat", "route": route, "latency_ms": latency, "count": count}
    ok(office.plane.local.post("/requests", json=body))


@contextmanager
def following(office: Office, command: str = "activity", *arguments: str) -> Iterator[Process]:
    """Follow a feed as lines of JSON, from now on; it is killed where the block leaves it running."""
    more = (*arguments, "--follow", "--interval", "0.1", "--url", office.url, "--rate", "0")
    with office.desk.start(command, "demo", *more) as process:
        try:
            yield process
        finally:
            process.kill()


def line_of(process: Process) -> str:
    """Wait for the next line on standard output."""
    assert process.stdout is not None
    return process.stdout.readline().decode()


@pytest.fixture
def office(office: Office) -> Office:
    """Give the office's control plane an app with a slot."""
    office.plane.with_slot(office.plane.with_app())
    office.log()
    return office


def test_activity_is_shown_newest_last(office: Office) -> None:
    """One request, one line an event, in the order in which it all happened, with who did it."""
    rename(office, "New")
    ran = show(office, "activity")
    assert (ran.code, ran.stderr) == (0, "")
    head, *rows = ran.stdout.splitlines()
    assert head.split() == ["TIME", "(UTC)", "ACTOR", "EVENT", "OBJECT", "MESSAGE"]
    assert [row.split()[2:5] for row in rows] == [
        ["ci", "app.created", "demo"],
        ["ci", "slot.created", "chat"],
        ["ci", "app.updated", "demo"],
    ]
    assert [line for line in office.log() if line.startswith("GET")] == [PATHS["activity"]]


def test_decisions_end_in_their_split(office: Office) -> None:
    """Under the decisions there is a bar for each place that requests went to, with share and average latency."""
    request(office, "local", 3, 41.7)
    request(office, "cloud", 1, 230)
    ran = show(office, "decisions")
    assert (ran.code, ran.stderr) == (0, "")
    *rows, empty, local, cloud = ran.stdout.splitlines()
    assert len(rows) == 5
    assert empty == ""
    assert local.split() == ["local", "█" * 22 + "▌", "75%", "3", "42", "ms", "on", "average"]
    assert cloud.split() == ["cloud", "█" * 7 + "▌", "25%", "1", "230", "ms", "on", "average"]


@pytest.mark.parametrize(("limit", "requests"), [("1", 1), ("100", 1), ("101", 2), ("250", 3), ("10000", 3)])
def test_no_more_pages_are_read_than_the_limit_takes(office: Office, limit: str, requests: int) -> None:
    """A page holds a hundred; so many are read as there are entries to show, and older ones are mentioned."""
    request(office, count=260)
    office.log()
    ran = show(office, "decisions", "--limit", limit, "-o", "jsonl")
    assert ran.code == 0
    assert len(ran.stdout.splitlines()) == min(int(limit), 260)
    assert office.log() == [PATHS["decisions"]] * requests


def test_that_there_are_older_entries_is_said(office: Office) -> None:
    """A limit that leaves something out is mentioned on standard error, and in the JSON; one that doesn't is not."""
    ran = show(office, "activity", "--limit", "1")
    assert "slot.created" in ran.stdout
    assert ran.stderr == "Showing the newest 1; use --limit N for older entries\n"
    assert json.loads(show(office, "activity", "--limit", "1", "-o", "json").stdout)["complete"] is False
    assert json.loads(show(office, "activity", "--limit", "2", "-o", "json").stdout)["complete"] is True


def test_json_is_one_document_and_jsonl_its_entries(office: Office) -> None:
    """Both have the same entries with the same keys, newest last."""
    document = json.loads(show(office, "activity", "-o", "json").stdout)
    assert (document["format_version"], document["app"]) == ("1.0", "demo")
    assert [event["type"] for event in document["events"]] == ["app.created", "slot.created"]
    lines = show(office, "activity", "-o", "jsonl").stdout.splitlines()
    assert [json.loads(line) for line in lines] == document["events"]


@pytest.mark.parametrize("command", BOTH)
def test_an_empty_feed_is_no_error(office: Office, command: str) -> None:
    """Where there is nothing yet, a person is told so, and a document is empty."""
    key = "events" if command == "activity" else "decisions"
    rule = {"operation": "*", "action": "answer", "value": {key: [], "total": 0}, "times": None}
    office.break_with(rule)
    ran = show(office, command)
    assert (ran.code, ran.stdout.count("\n"), ran.stderr) == (0, 1, "")
    assert json.loads(show(office, command, "-o", "json").stdout)[key] == []
    assert show(office, command, "-o", "jsonl").stdout == ""


@pytest.mark.parametrize("command", BOTH)
def test_an_app_that_is_not_there_is_an_error(office: Office, command: str) -> None:
    """No app is not an app without entries: 1, and what to check."""
    ran = show(office, command, app="nobody")
    assert (ran.code, ran.stdout) == (1, "")
    assert ran.stderr.startswith("error: app-not-found: app nobody does not exist at ")
    assert "--org" in ran.stderr


@pytest.mark.parametrize("command", BOTH)
def test_a_control_plane_without_the_feed_says_so(office: Office, command: str) -> None:
    """Where the app is there and its feed a 404, the feed is what is missing: 1, and where to say that it is elsewhere."""
    operation = "apps.activity" if command == "activity" else "apps.routing_decisions"
    office.break_with({"operation": operation, "action": "status", "status": 404, "code": "nope", "times": None})
    ran = show(office, command)
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
        (("demo", "--limit", "0"), "nothing-asked"),
        ((), "usage"),
    ],
)
def test_a_command_line_that_makes_no_sense_is_refused(
    office: Office, arguments: tuple[str, ...], reference: str
) -> None:
    """A document without an end, no app, what would show nothing: 64, and nothing is asked."""
    ran = office.desk.octosync("activity", *arguments, "--url", office.url)
    assert ran.code == 64
    assert f"error: {reference}: " in ran.stderr
    assert office.log() == []


def test_what_comes_is_written_as_it_comes(office: Office) -> None:
    """Each entry is a line that can be read at once, told once, and after those that were there before."""
    with following(office, "activity", "-o", "jsonl", "--limit", "1") as process:
        assert json.loads(line_of(process))["type"] == "slot.created"
        for name in ("one", "two"):
            rename(office, name)
            event = json.loads(line_of(process))
            assert (event["type"], event["resource"]["key"]) == ("app.updated", "demo")
        rename(office, "three", "four")
        assert len({json.loads(line_of(process))["id"] for _ in range(2)}) == 2
        process.send_signal(signal.SIGINT)
        assert process.communicate() == (b"", b"")
        assert process.returncode == 130


def test_more_than_a_page_at_once_is_read_page_by_page(office: Office) -> None:
    """Following from now on tells all of what comes, however much at once."""
    with following(office, "decisions", "-o", "jsonl", "--limit", "0") as process:
        while not office.log():  # it has looked once
            assert process.poll() is None
        request(office, count=230)
        told = {json.loads(line_of(process))["id"] for _ in range(230)}
    assert len(told) == 230


def test_following_for_people_is_a_table_that_goes_on(office: Office) -> None:
    """Its head stands once, rows come under it, and there is no split while it goes on."""
    request(office)
    with following(office, "decisions") as process:
        assert line_of(process).startswith("TIME (UTC)")
        assert "local" in line_of(process)
        request(office, "cloud")
        assert "cloud" in line_of(process)
        process.send_signal(signal.SIGTERM)
        assert process.communicate() == (b"", b"")
        assert process.returncode == 143


def test_a_failed_look_is_told_and_following_goes_on(office: Office) -> None:
    """A control plane that fails for a while is mentioned on standard error; what happened meanwhile comes all the same."""
    with following(office, "activity", "-o", "jsonl", "--limit", "1") as process:
        line_of(process)
        office.break_with({"operation": "apps.activity", "action": "status", "status": 501, "times": 1})
        assert process.stderr is not None
        said = process.stderr.readline().decode()
        assert said.startswith("unavailable: the control plane failed: ")
        assert said.endswith("; trying again in 0.2 s\n")
        rename(office, "one")
        assert json.loads(line_of(process))["type"] == "app.updated"


def test_a_refused_credential_ends_following(office: Office) -> None:
    """Asking again with a key that was revoked makes no sense: the error is told, and it ends with 1."""
    with following(office, "activity", "-o", "jsonl", "--limit", "1") as process:
        line_of(process)
        office.break_with(
            {"operation": "apps.activity", "action": "status", "status": 401, "code": "invalid_api_key", "times": None}
        )
        _, said = process.communicate()
        assert process.returncode == 1
        assert said.startswith(b"error: credential-refused: ")


def test_a_reader_that_goes_ends_following_quietly(office: Office) -> None:
    """`octosync activity demo --follow | head -1` ends with the next entry that nobody reads."""
    with following(office, "activity", "-o", "jsonl", "--limit", "1") as process:
        line_of(process)
        assert process.stdout is not None
        process.stdout.close()
        rename(office, "one")
        assert process.stderr is not None
        assert process.stderr.read() == b""
        assert process.wait() == 130


def test_hostile_texts_stay_on_their_line(office: Office) -> None:
    """What an app is called can neither begin a line nor speak to the terminal."""
    event = {
        "id": "e",
        "type": "x\u202e[2J",
        "actor": {"name": "eve\u2028root"},
        "resource": {"type": "slot", "key": "\u202ec"},
        "message": "m\u2066",
        "created_at": "0001-01-01T00:00:00+14:00",
    }
    office.break_with({"operation": "*", "action": "answer", "value": {"events": [event], "total": 1}})
    ran = show(office, "activity")
    assert (ran.code, ran.stdout.count("\n")) == (0, 2)
    assert ran.stdout.splitlines()[1].split() == ["-", "eve\\u2028root", "x\\u202e[2J", "slot", "\\u202ec", "m\\u2066"]
