"""Streams: data to stdout, everything else to stderr; colour only if wanted; a closed stream is not an error."""

from __future__ import annotations

import os
import pty
import re
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
from octosync.report.text import cells

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
def test_colour_depends_on_the_terminal(
    workdir: Workdir, arguments: tuple[str, ...], terminal: bool, environment: dict[str, Any], coloured: bool
) -> None:
    """auto: on a terminal, unless NO_COLOR is set or the terminal is dumb; a flag takes precedence."""
    workdir.write("a.yaml", "apiVersion: octosync.dev/v1\nkind: App\nmetadata: {name: a}\n")
    ran = workdir.octosync("validate", "-f", "a.yaml", *arguments, terminal=terminal, **environment)
    assert (ESCAPE in ran.stdout) is coloured


def test_text_is_the_same_without_colour(project: Project) -> None:
    """Colour carries no meaning: the coloured plan without its escapes is the plain one."""
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
    """In CI there are no progress bars, and a quick run prints nothing on stderr."""
    project.declare()
    assert project.apply().stderr == ""


@pytest.mark.usefixtures("preloaded")
def test_progress_is_drawn_on_a_terminal(project: Project) -> None:
    """On a terminal the stages are drawn on stderr and erased again; stdout has only the report."""
    project.declare()
    user_end, program_end = pty.openpty()
    with project.workdir.start("apply", "-f", "apps", "--url", project.url, "--yes", stderr=program_end) as process:
        os.close(program_end)
        seen = b""
        with suppress(OSError):  # reading at the end of a terminal raises this
            while piece := os.read(user_end, 65536):
                seen += piece
        assert process.stdout is not None
        report = process.stdout.read().decode()
    os.close(user_end)
    assert b"applying" in seen
    assert b"4/4" in seen
    assert ESCAPE not in report
    assert "4 applied" in report


def on_terminal(project: Project, *command: str, **environment: str) -> tuple[int, list[str]]:
    """Run a command with a terminal as standard output and error; return the exit code and the lines on the terminal."""
    user_end, program_end = pty.openpty()
    environment = {"NO_COLOR": "1", **environment}
    with project.workdir.start(*command, stdout=program_end, stderr=program_end, environment=environment) as process:
        os.close(program_end)
        seen = b""
        with suppress(OSError):  # reading at the end of a terminal raises this
            while piece := os.read(user_end, 65536):
                seen += piece
    os.close(user_end)
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]|.*\r(?!\n)", "", seen.decode())
    return process.returncode, text.replace("\r\n", "\n").splitlines()


def plan_on_terminal(project: Project, *arguments: str, **environment: str) -> tuple[int, list[str]]:
    """Plan with a terminal of five lines as standard output; return the exit code and the lines on the terminal."""
    user_end, program_end = pty.openpty()
    environment = {"LINES": "5", "COLUMNS": "200", "NO_COLOR": "1", **environment}
    command = ("plan", "-f", "apps", "--url", project.url, *arguments)
    with project.workdir.start(*command, stdout=program_end, environment=environment) as process:
        os.close(program_end)
        seen = b""
        with suppress(OSError):  # reading at the end of a terminal raises this
            while piece := os.read(user_end, 65536):
                seen += piece
    os.close(user_end)
    return process.returncode, seen.decode().replace("\r\n", "\n").splitlines()


LONG_APP = """\
apiVersion: octosync.dev/v1
kind: App
metadata: {name: assistants-of-the-northern-region}
spec:
  name: "The assistants of the northern region, which answer questions of customers at any time of the day"
  targets: [{platform: browser, identifier: "https://assistants.northern-region.octomil.example/questions"}]
  slots: [{capability: keyboard_prediction, servingPolicy: local_first, preferredEngines: [coreml, litert, onnxruntime]}]
"""


@pytest.mark.usefixtures("preloaded")
def test_no_line_is_wider_than_the_terminal(project: Project) -> None:
    """All commands wrap their reports: with long names and paths, for errors, and for commands to paste."""
    project.declare("of/the/assistants/of/the/northern/region/assistants-of-the-northern-region", text=LONG_APP)
    project.workdir.write("broken/app.yaml", LONG_APP.replace("preferredEngines", "preferedEngines"))
    remote = ("--url", project.url)
    app = "assistants-of-the-northern-region"
    for command in (
        ("validate", "-f", "broken"),
        ("plan", "-f", str(project.workdir.directory / "apps"), *remote),
        ("apply", "--yes", "-f", "apps", *remote),
        ("status", *remote),
        ("status", "--declared", "-f", "apps", *remote),
        ("activity", app, *remote),
        ("history",),
        ("history", "last"),
        ("api", "list"),
        ("explain",),
        ("explain", "app.spec.slots"),
        ("plan", "--no-such-option"),
    ):
        _, lines = on_terminal(project, *command, COLUMNS="80", LINES="500")
        assert lines, command
        assert [line for line in lines if cells(line) > 80] == [], command


MARKS = "sed s/^/paged:/"


@pytest.mark.parametrize(
    ("arguments", "environment", "paged"),
    [
        ((), {"PAGER": MARKS}, True),
        ((), {"OCTOSYNC_PAGER": MARKS, "PAGER": "false"}, True),
        ((), {"PAGER": MARKS, "LINES": "500"}, False),
        ((), {"PAGER": MARKS, "OCTOSYNC_PAGER": ""}, False),
        ((), {"PAGER": MARKS, "OCTOSYNC_PAGER": "cat"}, False),
        ((), {"PAGER": "false"}, False),
        ((), {"PAGER": "no-such-pager 2>/dev/null"}, False),
        (("--no-pager",), {"PAGER": MARKS}, False),
        (("-o", "markdown"), {"PAGER": MARKS}, False),
    ],
)
@pytest.mark.usefixtures("preloaded")
def test_a_long_plan_on_a_terminal_is_paged(
    project: Project, arguments: tuple[str, ...], environment: dict[str, str], paged: bool
) -> None:
    """As git does: OCTOSYNC_PAGER, else PAGER. A missing or broken pager loses nothing, and the exit code is the plan's."""
    project.declare()
    output = project.plan(*arguments).stdout.splitlines()
    code, lines = plan_on_terminal(project, "--detailed-exitcode", *arguments, **environment)
    assert code == 2
    assert lines == [f"paged:{line}" if paged else line for line in output]


@pytest.mark.usefixtures("preloaded")
def test_a_dumb_terminal_has_no_default_pager(project: Project) -> None:
    """Less would ask for RETURN before the first line. A pager that the environment names is used."""
    project.declare()
    output = project.plan().stdout.splitlines()
    assert plan_on_terminal(project, TERM="dumb") == (0, output)
    assert plan_on_terminal(project, TERM="dumb", PAGER=MARKS) == (0, [f"paged:{line}" for line in output])


@pytest.mark.usefixtures("preloaded")
def test_less_is_the_default_pager_with_the_options_of_git(project: Project) -> None:
    """Less gets FRX, unless LESS is set; a plan in a pipe is never paged."""
    project.declare()
    shows = 'cat >/dev/null; echo "$LESS"'
    assert plan_on_terminal(project, PAGER=shows) == (0, ["FRX"])
    assert plan_on_terminal(project, PAGER=shows, LESS="S") == (0, ["S"])
    folder = project.workdir.write("bin/less", "#!/bin/sh\nsed s/^/less:/\n").parent
    (folder / "less").chmod(0o755)
    path = f"{folder}:{os.environ['PATH']}"
    _, lines = plan_on_terminal(project, PATH=path)
    assert all(line.startswith("less:") for line in lines)
    piped = project.workdir.run("plan", "-f", "apps", "--url", project.url, environment={"PATH": path, "LINES": "5"})
    assert "less:" not in piped.stdout


@contextmanager
def closed_pipe() -> Iterator[TextIO]:
    """Open a pipe whose reader has closed it."""
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w") as stream:
        yield stream


@pytest.mark.parametrize("output", ["text", "json"])
def test_a_closed_pipe_is_quiet(project: Project, output: str) -> None:
    """`octosync plan | head -1` shows a line and nothing else: no traceback, no error."""
    project.declare()
    with closed_pipe() as stream:
        ran = project.plan("-o", output, stdout=stream)
    assert ran == CommandResult(130, "", "")


def test_a_closed_pipe_is_quiet_until_the_process_ends(project: Project) -> None:
    """The interpreter prints no error when it flushes its streams at the end of the process."""
    project.declare()
    with closed_pipe() as stream:
        ran = project.workdir.run("plan", "-f", "apps", "--url", project.url, stdout=stream)
    assert ran == CommandResult(130, "", "")


def test_an_apply_with_a_closed_pipe_writes_nothing(project: Project) -> None:
    """If the pipe is closed before the first write, nothing is written."""
    project.declare()
    with closed_pipe() as stream:
        assert project.apply(stdout=stream).code == 130
    assert project.writes() == []


def test_an_apply_whose_report_can_not_be_printed_keeps_its_exit_code(project: Project) -> None:
    """If the pipe is closed after the writes, the exit code is still that of the run."""
    project.declare()
    with closed_pipe() as stream:
        assert project.apply("-o", "json", stdout=stream) == CommandResult(0, "", "")
    assert len(project.writes()) == 4


def test_a_closed_stderr_ends_no_run(project: Project) -> None:
    """Messages for standard error are dropped; the run and its exit code are the same."""
    project.declare()
    with closed_pipe() as stream:
        assert project.apply("--state", "/dev/null/x", stderr=stream).code == 1
        assert project.plan("--plan-out", "plan.json", stderr=stream).code == 0


@pytest.mark.parametrize(
    ("command", "separate"),
    [
        ("version", True),
        ("-V", True),
        ("history -o json", False),
        ("api list", False),
        ("--help", True),
        ("plan -h", True),
        ("status --help", True),
        ("api list --help", True),
    ],
)
def test_a_full_disk_is_one_clear_error_of_every_command(workdir: Workdir, command: str, separate: bool) -> None:
    """Commands without a control plane have the same error, without a traceback; nor has the end of the interpreter one."""
    with Path("/dev/full").open("w") as full:
        ran = (workdir.run if separate else workdir.octosync)(*command.split(), stdout=full)
    assert ran.code == 1
    assert ran.stderr.startswith("error: output-unwritable")
    assert "Traceback" not in ran.stderr


def test_all_commands_share_the_help_of_one_class() -> None:
    """All commands and subcommands are of the class that writes help like other output."""
    waiting: list[click.Command] = [octosync]
    while waiting:
        command = waiting.pop()
        assert isinstance(command, Command), command.name
        if isinstance(command, click.Group):
            context = click.Context(command)
            waiting += [
                below for name in command.list_commands(context) if (below := command.get_command(context, name))
            ]


def test_help_into_a_closed_pipe_ends_like_other_output(workdir: Workdir) -> None:
    """Help into a closed pipe is 130 and quiet; without arguments it is on stderr, and always a usage error."""
    with closed_pipe() as stream:
        assert workdir.run("--help", stdout=stream) == CommandResult(130, "", "")
    with closed_pipe() as stream:
        assert workdir.run("apply", "--help", stdout=stream) == CommandResult(130, "", "")
    with Path("/dev/full").open("w") as full:
        assert workdir.run(stderr=full).code == 64


def test_a_full_disk_is_one_clear_error(project: Project) -> None:
    """A plan that can't be printed is exit 1; a finished apply keeps its exit code, and the error names its journal."""
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


def test_a_long_wait_is_a_plain_line(project: Project) -> None:
    """Without a terminal, a wait for the rate limit is a line on stderr: what waits, why and how long."""
    project.declare()
    fault = {"operation": "apps.get", "action": "status", "status": 429, "retry_after": 2.0}
    project.break_with(fault)
    ran = project.plan()
    assert ran.code == 0
    assert ran.stderr == "reading: throttled by the control plane, 1 waiting, next in 2 s\n"


def test_any_locale_shows_everything(project: Project) -> None:
    """A locale that lacks characters of a report gets escapes, not a traceback."""
    project.declare(name="Süche 🔍")
    ran = project.workdir.run(
        "plan", "-f", "apps", "--url", project.url, environment={"PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"}
    )
    assert ran.code == 0
    assert ran.stderr == ""
    assert "\\U0001f50d" in ran.stdout


def test_the_module_is_the_command(workdir: Workdir) -> None:
    """`python -m octosync` and `octosync` are the same."""
    assert workdir.run("version", stdin=subprocess.DEVNULL).stdout == workdir.octosync("version").stdout


@pytest.mark.parametrize("closed", ["1>&-", "2>&-", "1>&- 2>&-"])
def test_a_closed_stream_is_not_an_error(project: Project, closed: str) -> None:
    """With standard output or error closed, a plan still runs and has its usual exit code."""
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
