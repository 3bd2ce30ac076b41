"""Defects: an exception that nothing expected ends a command in one error, which can be reported and shows no secret."""

from __future__ import annotations

import asyncio
import json
import logging
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import chdir, contextmanager
from unittest.mock import patch

import httpx
import pytest
from httpx_aiohttp import AiohttpTransport
from tests.support.clients import KEY
from tests.support.projects import Project
from tests.support.workdirs import Workdir

from octosync.cli import signals
from octosync.errors import DEBUG, ISSUES

TEXT = "hunter2 in the text of an exception"


@contextmanager
def defective_library(method: str) -> Iterator[None]:
    """Make the HTTP library fail with an exception that it never raises, for the requests of one method."""
    send = AiohttpTransport.handle_async_request

    async def fail(transport: AiohttpTransport, request: httpx.Request) -> httpx.Response:
        if request.method == method:
            raise LookupError(f"{TEXT}, {request.headers['authorization']}")
        return await send(transport, request)

    with patch.object(AiohttpTransport, "handle_async_request", fail):
        yield


@pytest.mark.parametrize(
    ("command", "effect"),
    [("plan -f apps", False), ("apply --yes -f apps", True), ("status", False), ("export -d exported", False)],
)
def test_a_defect_is_one_error(project: Project, command: str, effect: bool) -> None:
    """The error has a reference, the place, the address for reports and the version, but neither a traceback nor a value.

    It states that nothing was written only for commands of which that is known.
    """
    project.declare()
    with defective_library("GET"):
        ran = project.workdir.octosync(*command.split(), "--url", project.url, defect=True)
    lines = ran.stderr.splitlines()
    assert (ran.code, ran.stdout) == (1, "")
    assert re.fullmatch(
        r"error: internal-error: unexpected LookupError, octosync/\w+/\w+\.py:\d+ in \w+",
        lines[0],
    )
    assert ISSUES in lines[1]
    assert re.search(r"octosync \d.*, Python 3\..*OCTOSYNC_DEBUG=1", lines[2])
    assert lines[3:] == (["  Nothing was written."] if effect else [])
    assert TEXT not in ran.stderr
    assert KEY not in ran.stderr


def test_debug_adds_the_traceback_without_values(project: Project) -> None:
    """With OCTOSYNC_DEBUG, files, lines and functions come before the error, but no text of an exception."""
    project.declare()
    with defective_library("GET"):
        ran = project.plan(defect=True, **{DEBUG: "1"})
    traceback, _, error = ran.stderr.partition("error: internal-error")
    assert "Traceback of LookupError (most recent call last):\n" in traceback
    assert ", in handle_async_request\n" not in traceback  # the function of this test is `fail`
    assert ", in fail\n" in traceback
    assert error
    assert TEXT not in ran.stderr.replace('raise LookupError(f"{TEXT}', "")
    assert KEY not in ran.stderr


def test_a_defect_during_apply_has_the_command_that_continues(project: Project) -> None:
    """Exit 5 and no claim that nothing was written: it shows how to continue, and where the journal has what was done."""
    project.declare()
    with defective_library("PUT"):
        ran = project.apply(defect=True)
    assert ran.code == 5
    assert "error: internal-error" in ran.stderr
    assert f"To continue: octosync apply -f apps --url {project.url} (reads first" in ran.stderr
    assert "What was done: octosync history last\n" in ran.stderr
    assert "Nothing was written" not in ran.stderr
    assert "create app/search" in project.workdir.octosync("history", "last").stdout
    assert project.apply().code == 0
    assert "No changes" in project.plan().stdout


def test_a_defect_is_in_the_documents_of_the_run(project: Project) -> None:
    """An annotation of GitHub and the file of `--write` have the error, too."""
    project.declare()
    with defective_library("GET"):
        ran = project.plan("-o", "github", "--write", "sarif=run.sarif", defect=True)
    assert ran.code == 1
    assert "::error" in ran.stdout
    assert "internal-error" in (project.workdir.directory / "run.sarif").read_text()


def test_a_defect_is_in_the_log_of_watch(project: Project) -> None:
    """A JSON log ends with a line of JSON that has the error and its place."""
    project.declare()
    with (
        patch("socket.create_server", side_effect=LookupError(TEXT)),
        patch("socket.socket", side_effect=LookupError(TEXT)),
    ):
        ran = project.workdir.octosync(
            "watch", "-f", "apps", "--url", project.url, "--log-format", "json", "--listen", "127.0.0.1:0", defect=True
        )
    ended = json.loads(ran.stderr.splitlines()[-1])
    assert ran.code == 1
    assert (ended["event"], ended["reference"]) == ("ended", "internal-error")
    assert ended["trace"]
    assert TEXT not in ran.stderr


@pytest.mark.parametrize("command", ["validate", "plan", "doctor -o json"])
def test_a_removed_working_directory_is_no_defect(workdir: Workdir, command: str) -> None:
    """The error states what is wrong."""
    gone = workdir.directory / "gone"
    gone.mkdir()
    with chdir(gone):
        gone.rmdir()
        ran = subprocess.run(
            [sys.executable, "-P", "-m", "octosync", *command.split()], capture_output=True, text=True, check=False
        )
    assert ran.returncode == 1
    assert "the working directory no longer exists" in ran.stdout + ran.stderr
    assert "internal-error" not in ran.stderr


@pytest.mark.parametrize("module", ["click", "octosync.cli.commands.plan", "octosync.cli.runs.plan", "octosync.report"])
def test_a_damaged_installation_is_one_error(workdir: Workdir, module: str) -> None:
    """A module that can't be imported is named, in an error without a traceback."""
    code = f"import sys; sys.modules[{module!r}] = None; from octosync.__main__ import main; main()"
    ran = subprocess.run(
        [sys.executable, "-P", "-c", code, "plan", "-f", "missing"],
        cwd=workdir.directory,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ran.returncode, ran.stdout) == (1, "")
    assert f"error: internal-error: unexpected ModuleNotFoundError ({module})" in ran.stderr
    assert ISSUES in ran.stderr
    assert "Traceback" not in ran.stderr


def test_a_lost_task_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    """A defect in a task that nothing waits for is a line without a traceback or value, and the run continues."""

    async def main(_: signals.StopSignal) -> int:
        async def fail() -> None:
            raise LookupError(TEXT)

        asyncio.create_task(fail())  # noqa: RUF006 — it is lost on purpose
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        return 7

    root = logging.getLogger()
    with patch.object(root, "handlers", []):  # pytest's own
        assert signals.run(main) == 7
    shown = capsys.readouterr().err
    assert re.fullmatch(
        r"error: asyncio, LookupError, .*test_internal_errors\.py:\d+ in fail: Task exception was never retrieved\n",
        shown,
    )


def test_an_exception_in_a_destructor_is_one_line(workdir: Workdir) -> None:
    """Python only prints such an exception. The line has neither a traceback nor a value, and the run continues."""
    program = f"""
from octosync.cli import signals

class Broken:
    def __del__(self):
        raise LookupError({TEXT!r})

async def main(stop_signal):
    Broken()
    return 7

print(signals.run(main))
"""
    (workdir.directory / "program.py").write_text(program)
    ran = subprocess.run(
        [sys.executable, "program.py"], cwd=workdir.directory, capture_output=True, text=True, check=False
    )
    assert (ran.returncode, ran.stdout) == (0, "7\n")
    assert re.fullmatch(
        r"error: python, LookupError, .*/program\.py:6 in __del__: an exception was ignored\n", ran.stderr
    )
