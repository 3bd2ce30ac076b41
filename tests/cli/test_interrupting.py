"""Signals: the first one lets what is in flight finish and says what was done, the second one ends the run at once."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import pytest
from tests.support.desks import Office
from tests.support.invoking import Process
from tests.support.planes import ok

SIGNALS = [(signal.SIGINT, 130), (signal.SIGTERM, 143)]
LONG = 30.0


@contextmanager
def held(office: Office, operation: str, *arguments: str, seconds: float = LONG) -> Iterator[Process]:
    """Start a command, and yield once one of its requests has reached the control plane, which takes its time over it."""
    office.break_with({"operation": operation, "action": "delay", "seconds": seconds})
    with office.desk.start(*arguments, "--url", office.url, "--concurrency", "1") as process:
        while not any(fault["acted"] for fault in ok(office.plane.local.get("/faults"))["rules"]):
            assert process.poll() is None
        yield process


@pytest.mark.parametrize(("number", "code"), SIGNALS)
@pytest.mark.parametrize("command", ["plan", "apply"])
def test_a_signal_during_reads_ends_the_run_at_once(
    office: Office, command: str, number: signal.Signals, code: int
) -> None:
    """130 and 143: nothing is in flight that must be finished, so the run ends, says so, and wrote nothing."""
    office.declare()
    more = ("--yes",) if command == "apply" else ()
    with held(office, "apps.get", command, "-f", "apps", *more) as process:
        process.send_signal(number)
        _, said = process.communicate(timeout=LONG)
    assert process.returncode == code
    assert b"error: interrupted" in said
    assert b"Nothing was written." in said
    assert office.writes() == []


@pytest.mark.parametrize(("number", "code"), SIGNALS)
def test_a_signal_during_apply_finishes_what_is_in_flight(office: Office, number: signal.Signals, code: int) -> None:
    """The write that was sent is finished and recorded, nothing else is sent, and the list of what was done is printed."""
    office.declare()
    with held(office, "apps.create", "apply", "-f", "apps", "--yes", seconds=1.0) as process:
        process.send_signal(number)
        out, said = process.communicate(timeout=LONG)
    report = out.decode()
    assert process.returncode == code
    assert said == b""
    assert "Stopped: requests in flight were finished, nothing else was sent. Done:" in report
    assert "✓ create app/search\n" in report
    assert "3 not attempted" in report
    assert f"To go on: octosync apply -f apps --url {office.url}" in report
    assert report.rstrip().endswith(f"exit {code}")
    assert office.writes() == ["POST /apps"]
    assert office.apply().code == 0
    assert len(office.writes()) == 3


def test_an_interrupted_run_is_json_too(office: Office) -> None:
    """`-o json` keeps its promise of one document, with the exit code and what was not attempted."""
    office.declare()
    with held(office, "apps.create", "apply", "-f", "apps", "--yes", "-o", "json", seconds=1.0) as process:
        process.send_signal(signal.SIGINT)
        out, _ = process.communicate(timeout=LONG)
    document = httpx.Response(200, content=out).json()
    assert process.returncode == document["exit_code"] == 130
    assert document["summary"]["not_attempted"] == 3


def test_a_second_signal_ends_the_run_at_once(office: Office) -> None:
    """It waits for no write, says that its effect is not known and how to go on, and never that nothing was written."""
    office.declare()
    with held(office, "apps.create", "apply", "-f", "apps", "--yes") as process:
        process.send_signal(signal.SIGINT)
        process.send_signal(signal.SIGTERM)
        _, said = process.communicate(timeout=LONG)
    text = said.decode()
    assert process.returncode in {130, 143}
    assert "may have taken effect, or not" in text
    assert f"To go on: octosync apply -f apps --url {office.url}" in text
    assert ".octosync/state.db" in text
    assert "Nothing was written" not in text


def test_a_signal_while_standard_input_is_read_ends_the_run(office: Office) -> None:
    """Ctrl-C while `-f -` waits for its input is no traceback."""
    with office.desk.start("plan", "-f", "-", "--url", office.url, stdin=subprocess.PIPE) as process:
        assert process.stdin is not None
        # More than a pipe holds: once all of it is taken, the process reads.
        process.stdin.write(b"# " + b"x" * 200_000 + b"\n")
        process.stdin.flush()
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=LONG)
    assert process.returncode == 130
    assert b"Traceback" not in said
