"""Streams: data to stdout, everything else to stderr; colour only if wanted; a closed stream is not an error."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TextIO

import click
import pytest
from tests.support.projects import Project
from tests.support.workdirs import CommandResult, Workdir

from octosync.cli.command import Command
from octosync.cli.root import octosync

ESCAPE = "\x1b["
DOWN = {"operation": "*", "action": "status", "status": 501, "times": None}


@pytest.mark.parametrize(
    ("arguments", "terminal", "environment", "coloured"),
    [
        ((), False, {}, False),
        ((), True, {}, True),
        ((), True, {"NO_COLOR": "1"}, False),
        ((), True, {"NO_COLOR": ""}, True),
        ((), True, {"TERM": "dumb"}, False),
        (("--color", "always"), False, {}, True),
        (("--color", "always"), False, {"NO_COLOR": "1"}, True),
        (("--color", "never"), True, {}, False),
        ((), False, {"OCTOSYNC_COLOR": "always"}, True),
    ],
)
def test_colour_is_for_those_who_see_it(
    workdir: Workdir, arguments: tuple[str, ...], terminal: bool, environment: dict[str, Any], coloured: bool
) -> None:
    """auto: on a terminal, unless NO_COLOR is set to something or the terminal is dumb; a flag always has its way."""
    workdir.write("a.yaml", "apiVersion: octosync.dev/v1\nkind: App\nmetadata: {name: a}\n")
    ran = workdir.octosync("validate", "-f", "a.yaml", *arguments, terminal=terminal, **environment)
    assert (ESCAPE in ran.stdout) is coloured


def test_text_reads_the_same_without_colour(project: Project) -> None:
    """Colour carries no meaning: without its escapes the coloured plan is the plain one."""
    project.declare()
    plain, painted = project.plan("--color", "never").stdout, project.plan("--color", "always").stdout
    for code in ("0", "1", "2", "31", "32", "33", "36"):
        painted = painted.replace(f"{ESCAPE}{code}m", "")
    assert painted == plain


def test_data_goes_to_stdout_and_errors_to_stderr(project: Project) -> None:
    """A plan is on stdout and stderr is empty; an error is on stderr and stdout is empty."""
    project.declare()
    good = project.plan()
    assert good.stderr == ""
    project.break_with(DOWN)
    bad = project.plan("-o", "json")
    assert bad.stdout == ""
    assert bad.stderr.startswith("error: ")


def test_no_progress_without_a_terminal(project: Project) -> None:
    """In CI there are no bars: what is quick says nothing on stderr."""
    project.declare()
    assert project.apply().stderr == ""


def test_progress_is_drawn_on_a_terminal(project: Project) -> None:
    """At a terminal the stages are drawn on stderr, and taken away again; stdout holds the report alone."""
    project.declare()
    ours, theirs = pty.openpty()
    with project.workdir.start("apply", "-f", "apps", "--url", project.url, "--yes", stderr=theirs) as process:
        os.close(theirs)
        seen = b""
        with suppress(OSError):  # how the end of a terminal reads
            while piece := os.read(ours, 65536):
                seen += piece
        assert process.stdout is not None
        report = process.stdout.read().decode()
    os.close(ours)
    assert b"applying" in seen
    assert b"4/4" in seen
    assert ESCAPE not in report
    assert "4 applied" in report


@contextmanager
def nobody() -> Iterator[TextIO]:
    """Open a pipe that nobody reads any more."""
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w") as stream:
        yield stream


@pytest.mark.parametrize("output", ["text", "json"])
def test_a_closed_pipe_is_quiet(project: Project, output: str) -> None:
    """`octosync plan | head -1` shows a line and nothing else: no traceback, no complaint."""
    project.declare()
    with nobody() as stream:
        ran = project.plan("-o", output, stdout=stream)
    assert ran == CommandResult(130, "", "")


def test_a_closed_pipe_is_quiet_to_the_very_end(project: Project) -> None:
    """Nor does the interpreter complain when it flushes its streams at the end of the process."""
    project.declare()
    with nobody() as stream:
        ran = project.workdir.run("plan", "-f", "apps", "--url", project.url, stdout=stream)
    assert ran == CommandResult(130, "", "")


def test_an_apply_whose_plan_nobody_reads_writes_nothing(project: Project) -> None:
    """Where the reader of the plan is gone before the first write, there is none."""
    project.declare()
    with nobody() as stream:
        assert project.apply(stdout=stream).code == 130
    assert project.writes() == []


def test_an_apply_whose_report_nobody_reads_says_how_it_went_by_its_code(project: Project) -> None:
    """Where the reader of the report is gone after the writes, the exit code is still that of the run."""
    project.declare()
    with nobody() as stream:
        assert project.apply("-o", "json", stdout=stream) == CommandResult(0, "", "")
    assert len(project.writes()) == 4


def test_a_listener_less_stderr_ends_no_run(project: Project) -> None:
    """What can't be said on standard error is not said; the run and its code are the same."""
    project.declare()
    with nobody() as stream:
        assert project.apply("--state", "/dev/null/x", stderr=stream).code == 1
        assert project.plan("--plan-out", "plan.json", stderr=stream).code == 0


@pytest.mark.parametrize(
    "command", ["version", "history -o json", "api list", "--help", "plan -h", "status --help", "api list --help"]
)
def test_a_full_disk_is_one_clear_error_of_every_command(workdir: Workdir, command: str) -> None:
    """What needs no control plane says it, too, by the same words and without a traceback."""
    with Path("/dev/full").open("w") as full:
        ran = workdir.run(*command.split(), stdout=full)
    assert ran.code == 1
    assert ran.stderr.startswith("error: output-unwritable")
    assert "Traceback" not in ran.stderr


def test_no_command_shows_help_in_a_way_of_its_own() -> None:
    """All commands, and those below them, are of the class whose help is written as any output is."""
    waiting: list[click.Command] = [octosync]
    while waiting:
        one = waiting.pop()
        assert isinstance(one, Command), one.name
        if isinstance(one, click.Group):
            context = click.Context(one)
            waiting += [command for name in one.list_commands(context) if (command := one.get_command(context, name))]


def test_help_that_nobody_reads_any_more_ends_as_any_output_does(workdir: Workdir) -> None:
    """Into a pipe that is closed, help is 130 and quiet; without arguments it is on stderr, and usage whatever becomes of it."""
    with nobody() as stream:
        assert workdir.run("--help", stdout=stream) == CommandResult(130, "", "")
    with nobody() as stream:
        assert workdir.run("apply", "--help", stdout=stream) == CommandResult(130, "", "")
    with Path("/dev/full").open("w") as full:
        assert workdir.run(stderr=full).code == 64


def test_a_full_disk_is_one_clear_error(project: Project) -> None:
    """What can't be written is said, with 1 for a plan; an apply that is done keeps its code, and names its journal."""
    project.declare()
    with Path("/dev/full").open("w") as full:
        planned = project.plan(stdout=full)
    with Path("/dev/full").open("w") as full:
        applied = project.apply("-o", "json", stdout=full)
    assert planned.code == 1
    assert planned.stderr.startswith("error: output-unwritable")
    assert applied.code == 0
    assert ".octosync/state.db" in applied.stderr
    assert "Nothing was written" not in applied.stderr


def test_a_long_wait_is_said_in_plain_lines(project: Project) -> None:
    """Without a terminal, a wait for the rate limit is a line on stderr: what waits, why and how long."""
    project.declare()
    fault = {"operation": "apps.get", "action": "status", "status": 429, "retry_after": 2.0}
    project.break_with(fault)
    ran = project.plan()
    assert ran.code == 0
    assert ran.stderr == "reading: throttled by the control plane, 1 waiting, next in 2 s\n"


def test_any_locale_shows_everything(project: Project) -> None:
    """A locale without the characters of a report gets them as escapes, not as a traceback."""
    project.declare(name="Süche 🔍")
    ran = project.workdir.run(
        "plan", "-f", "apps", "--url", project.url, environment={"PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"}
    )
    assert ran.code == 0
    assert ran.stderr == ""
    assert "\\U0001f50d" in ran.stdout


def test_the_module_is_the_command(workdir: Workdir) -> None:
    """`python -m octosync` and `octosync` are one."""
    assert workdir.run("version", stdin=subprocess.DEVNULL).stdout == workdir.octosync("version").stdout


@pytest.mark.parametrize("closed", ["1>&-", "2>&-", "1>&- 2>&-"])
def test_a_closed_stream_is_no_reason_to_fail(project: Project, closed: str) -> None:
    """Started with standard output or error closed, a plan is made all the same, and ends as it would have."""
    project.declare()
    command = f"exec {sys.executable} -m octosync plan -f apps --detailed-exitcode --url {project.url} {closed}"
    environment = {**os.environ, **project.workdir.environment}
    shell = subprocess.run(
        ("sh", "-c", command),
        cwd=project.workdir.directory,
        env=environment,
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert shell.returncode == 2
    assert b"Traceback" not in shell.stderr
