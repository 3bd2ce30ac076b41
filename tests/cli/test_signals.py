"""Signals: the first one lets requests in flight finish and reports what was done, the second one ends the run at once."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tomllib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from tests.support.embedded_planes import ok
from tests.support.projects import Project
from tests.support.workdirs import CommandResult

from octosync.cli import signals

SIGNALS = [(signal.SIGINT, 130), (signal.SIGTERM, 143)]
PROJECT = Path(__file__).parents[2] / "pyproject.toml"
# Starts the console script in forks: one counts its imports, and each of the others gets a signal at one of these.
STARTED = """
import os, signal, sys
from {module} import {function} as entry

def start(at, number=0):
    count, (counted, counter) = 0, os.pipe()
    def find_spec(name, path=None, target=None):
        nonlocal count
        count += 1
        os.write(counter, b".")
        if count == at:
            os.kill(os.getpid(), number)
    if os.fork() == 0:
        sys.meta_path.insert(0, type("Finder", (), {{"find_spec": staticmethod(find_spec)}}))
        sys.argv = ["octosync", "validate", "-f", "apps"]
        entry()
    code = os.waitstatus_to_exitcode(os.wait()[1])
    assert code == (128 + number if number else 0), (at, number, code)
    return len(os.read(counted, 65536))

imports = start(0)
for step in range({steps}):
    start(1 + step * (imports - 1) // ({steps} - 1), (signal.SIGINT, signal.SIGTERM)[step % 2])
"""
LONG, SHORT = 30.0, 0.3  # seconds that a request is delayed: longer than a test may take, and long enough for a signal


def interrupted(
    project: Project, operation: str, *numbers: signal.Signals, command: str = "apply", held: float = SHORT, output: str = "text"
) -> CommandResult:  # fmt: skip
    """Run a command, and send it signals once a request of an operation has reached the control plane, which delays it."""
    project.break_with({"operation": operation, "action": "delay", "seconds": held})

    def send() -> None:
        while not any(fault["acted"] for fault in ok(project.plane.local.get("/faults"))["rules"]):
            pass
        for number in numbers:
            os.kill(os.getpid(), number)

    more = ("--yes",) if command == "apply" else ()
    with ThreadPoolExecutor(1) as pool:
        sent = pool.submit(send)
        ran = project.workdir.octosync(
            command, "-f", "apps", "--url", project.url, "--concurrency", "1", "-o", output, *more
        )
        sent.result()
    project.break_with()
    return ran


@pytest.mark.parametrize(("number", "code"), SIGNALS)
@pytest.mark.parametrize("command", ["plan", "apply"])
def test_a_signal_during_reads_ends_the_run_at_once(
    project: Project, command: str, number: signal.Signals, code: int
) -> None:
    """130 and 143: no request in flight must be finished, so the run ends, and nothing was written."""
    project.declare()
    ran = interrupted(project, "apps.get", number, command=command, held=LONG)
    assert ran.code == code
    written = "  Nothing was written.\n" if command == "apply" else ""
    assert ran.stderr == f"error: interrupted: the run was interrupted\n{written}"
    assert project.writes() == []


@pytest.mark.parametrize(("number", "code"), SIGNALS)
def test_a_signal_during_apply_finishes_the_write_in_flight(
    project: Project, number: signal.Signals, code: int
) -> None:
    """The write in flight is finished and recorded, nothing else is sent, and the finished actions are listed."""
    project.declare()
    ran = interrupted(project, "apps.create", number)
    assert ran.code == code
    assert ran.stderr == ""
    assert "Stopped: requests in flight were finished, nothing else was sent. Done:" in ran.stdout
    assert "✓ create app/search\n" in ran.stdout
    assert "3 not attempted" in ran.stdout
    assert f"To continue: octosync apply -f apps --url {project.url}" in ran.stdout
    assert ran.stdout.endswith(f"exit {code}\n")
    assert project.writes() == ["POST /apps"]
    assert project.apply().code == 0
    assert len(project.writes()) == 3


def test_an_interrupted_run_is_json_too(project: Project) -> None:
    """`-o json` still writes one document, with the exit code and the actions that were not attempted."""
    project.declare()
    ran = interrupted(project, "apps.create", signal.SIGINT, output="json")
    document = json.loads(ran.stdout)
    assert ran.code == document["exit_code"] == 130
    assert document["summary"]["done"] == 1
    assert document["summary"]["not_attempted"] == 3


def test_a_second_signal_ends_the_run_at_once(project: Project) -> None:
    """It waits for no write. The error has the unknown effect and the command that continues."""
    project.declare()
    ran = interrupted(project, "apps.create", signal.SIGINT, signal.SIGTERM, held=LONG)
    assert ran.code in {130, 143}  # of the signal that arrives first
    assert "may or may not have taken effect" in ran.stderr
    assert f"To continue: octosync apply -f apps --url {project.url}" in ran.stderr
    assert ".octosync/state.db" in ran.stderr
    assert "Nothing was written" not in ran.output


def test_the_result_of_a_run_is_not_formatted() -> None:
    """The result is returned without a call of its `repr`: that of a large plan takes a second and 160 MB."""
    formatted = []

    class Result:
        def __repr__(self) -> str:
            formatted.append(self)
            return "a result"

    async def main(_: signals.StopSignal) -> Result:
        return result

    result = Result()
    assert signals.run(main) is result
    assert not formatted


@pytest.mark.usefixtures("preloaded")
def test_a_signal_while_standard_input_is_read_ends_the_run(project: Project) -> None:
    """Ctrl-C while `-f -` waits for its input is no traceback."""
    with project.workdir.start("plan", "-f", "-", "--url", project.url, stdin=subprocess.PIPE) as process:
        assert process.stdin is not None
        # More than the buffer of a pipe: once all of it is written, the process is reading.
        process.stdin.write(b"# " + b"x" * 200_000 + b"\n")
        process.stdin.flush()
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=LONG)
    assert process.returncode == 130
    assert errors.strip() == b"error: interrupted: the run was interrupted"


def test_a_signal_during_start_up_ends_the_run(project: Project) -> None:
    """From the first import to the last, SIGINT is 130 and SIGTERM 143, with the same message and without a traceback."""
    project.declare()
    script = tomllib.loads(PROJECT.read_text(encoding="utf-8"))["project"]["scripts"]["octosync"]
    module, _, function = script.partition(":")
    steps = 8
    ended = subprocess.run(
        [sys.executable, "-P", "-c", STARTED.format(module=module, function=function, steps=steps)],
        cwd=project.workdir.directory,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    # A line is empty if the command itself was interrupted: click ends the line in which ^C was typed.
    lines = [line for line in ended.stderr.splitlines() if line]
    assert lines == ["error: interrupted: the run was interrupted", "  Nothing was written."] * steps
