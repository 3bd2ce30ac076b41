"""`-o jsonl`: the events of a run, one per line, as they happen; a file has the same lines."""

from __future__ import annotations

import json
from collections import Counter
from datetime import datetime
from typing import Any

import pytest
from tests.support.clients import KEY
from tests.support.projects import ACTIONS, Project

JSONL = ("-o", "jsonl")


def events(text: str) -> list[dict[str, Any]]:
    """Return the events of a stream, each a line with a time, a level and a message."""
    found = [json.loads(line) for line in text.splitlines()]
    assert text.endswith("\n")
    for event in found:
        assert datetime.fromisoformat(event["@timestamp"]).tzinfo is not None
        assert event["@level"] in {"info", "warn", "error"}
        assert event["@message"].isprintable()
    assert found[0]["type"] == "version"
    return found


def types(text: str) -> list[str]:
    """Return the types of the events, in order."""
    return [event["type"] for event in events(text)]


def test_the_events_of_a_plan(project: Project) -> None:
    """The changes as in the document of the plan, then their summary."""
    project.declare()
    ran = project.plan(*JSONL)
    assert (ran.code, ran.stderr) == (0, "")
    assert types(ran.stdout) == ["version", *["planned_change"] * ACTIONS, "change_summary"]
    document = json.loads(project.plan("-o", "json").stdout)
    stream = events(ran.stdout)
    assert [event["change"] for event in stream if "change" in event] == document["resource_changes"]
    assert stream[-1]["changes"] == document["summary"]


def test_the_events_of_validate(project: Project) -> None:
    """The findings of `validate` as in its document, and no other event without findings."""
    project.declare()
    assert types(project.workdir.octosync("validate", "-f", "apps", *JSONL).stdout) == ["version"]
    project.declare(text="kind: App\n")
    ran = project.workdir.octosync("validate", "-f", "apps", *JSONL, "--write", "json=out.json")
    assert (ran.code, ran.stderr) == (1, "")
    document = json.loads((project.workdir.directory / "out.json").read_text())
    assert [event["diagnostic"] for event in events(ran.stdout)[1:]] == document["diagnostics"]


def test_the_events_of_an_apply(project: Project) -> None:
    """The start and end of each action, in this order, with the progress of the run; the result at the end."""
    project.declare()
    ran = project.apply(*JSONL, "--write", "jsonl=out.jsonl")
    assert (ran.code, ran.stderr) == (0, "")
    assert ran.stdout == (project.workdir.directory / "out.jsonl").read_text()
    stream = events(ran.stdout)
    assert Counter(event["type"] for event in stream) == {
        "version": 1, "planned_change": ACTIONS, "change_summary": 2, "apply_start": ACTIONS, "apply_complete": ACTIONS,
    }  # fmt: skip
    for address in {event["address"] for event in stream if event["type"] == "apply_start"}:
        assert [event["type"] for event in stream if event.get("address") == address] == [
            "apply_start",
            "apply_complete",
        ]
    assert [event["done"] for event in stream if "done" in event] == list(range(1, ACTIONS + 1))
    assert (stream[-1]["operation"], stream[-1]["exit_code"], stream[-1]["changes"]["done"]) == ("apply", 0, ACTIONS)


def test_a_failure_is_an_event(project: Project) -> None:
    """A rejected change is an error, an action that needs it is not started, and the last event has the exit code."""
    project.declare()
    project.break_with({"operation": "apps.put_slot", "action": "status", "status": 422, "code": "validation_error"})
    ran = project.apply(*JSONL)
    assert ran.code == 5
    failed, skipped = (event for event in events(ran.stdout) if event["type"] == "apply_errored")
    assert (failed["@level"], failed["address"], failed["reference"]) == ("error", "app/search/slot/chat", "rejected")
    assert (skipped["@level"], skipped["status"]) == ("warn", "skipped")
    assert events(ran.stdout)[-1]["exit_code"] == 5


@pytest.mark.parametrize("command", ["plan", "apply"])
def test_the_events_of_a_run_without_a_plan(project: Project, command: str) -> None:
    """Invalid manifests are diagnostics, and so is an error."""
    project.declare(text="kind: Nothing\n")
    run = project.plan if command == "plan" else project.apply
    ran = run(*JSONL)
    assert ran.code == 1
    assert set(types(ran.stdout)) == {"version", "diagnostic"}
    project.declare()
    project.break_with({"operation": "apps.get", "action": "status", "status": 501, "times": None})
    ran = run(*JSONL)
    assert ran.code == 75
    assert events(ran.stdout)[-1]["error"]["reference"] == "unavailable"


def test_a_refusal_is_an_event(project: Project) -> None:
    """It has the flag, and comes before the summary; nothing is started."""
    project.declare()
    assert project.apply().code == 0
    project.declare(text="apiVersion: octosync.dev/v1\nkind: App\nmetadata: {name: search}\nspec: {slots: []}\n")
    project.workdir.write("octosync.yaml", "guards: {maxDeletes: 0}\n")
    ran = project.apply(*JSONL)
    assert ran.code == 4
    (refused,) = (event["blocked"] for event in events(ran.stdout) if "blocked" in event)
    assert refused["override"] == "--allow-deletes 1"
    assert "apply_start" not in types(ran.stdout)


def test_a_wait_is_in_the_events(project: Project) -> None:
    """The last event has the rollouts that were waited for."""
    project.declare()
    ran = project.apply(*JSONL, "--wait=0s")
    assert ran.code == 0
    assert events(ran.stdout)[-1]["waited"] == []


@pytest.mark.usefixtures("preloaded")
def test_events_are_written_as_they_happen(project: Project) -> None:
    """While the control plane delays the first write, its start has been printed and its end has not."""
    project.declare()
    project.break_with({"operation": "apps.create", "action": "delay", "seconds": 30.0})
    with project.workdir.start("apply", "-f", "apps", "--url", project.url, "--yes", *JSONL) as process:
        assert process.stdout is not None
        read = b""
        while b'"apply_start"' not in read:
            line = process.stdout.readline()
            assert line, read
            read += line
        assert b'"apply_complete"' not in read
        process.kill()


def test_a_line_is_printable_ascii(project: Project) -> None:
    """For any name of an app, a line is ASCII without control characters, and none has the API key."""
    project.declare(name="'ü ::error::x ##[group]'")
    ran = project.apply(*JSONL)
    assert ran.code == 0
    assert all(line.isascii() and line.isprintable() for line in ran.stdout.splitlines())
    assert KEY not in ran.stdout
