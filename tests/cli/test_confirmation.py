"""Confirmation before the first write, at a real terminal."""

from __future__ import annotations

import os
import pty
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TextIO

import pytest
from tests.support.projects import ACTIONS, Project
from tests.support.workdirs import CommandResult

QUESTION = "Type 'yes' to confirm"


@contextmanager
def terminal(typed: bytes = b"") -> Iterator[tuple[int, TextIO]]:
    """Open a terminal with this input; yield the user's end and the program's."""
    user_end, program_end = pty.openpty()
    os.write(user_end, typed)
    with os.fdopen(program_end, "r") as stdin:
        yield user_end, stdin
    os.close(user_end)


def read_until(user_end: int, text: str) -> str:
    """Read from a terminal until a text appears, or until its end for an empty text."""
    seen = b""
    with suppress(OSError):  # reading at the end of a terminal raises this
        while not text or text.encode() not in seen:
            piece = os.read(user_end, 65536)
            if not piece:
                break
            seen += piece
    return seen.decode()


def answer(project: Project, typed: bytes, *arguments: str) -> CommandResult:
    """Apply, and answer the question."""
    with terminal(typed) as (_, stdin):
        return project.workdir.octosync(
            "apply", "-f", "apps", "--url", project.url, *arguments, stdin=stdin, terminal=True, NO_COLOR="1"
        )


def test_yes_applies(project: Project) -> None:
    """`yes` applies the plan that was shown, and the question has the number of changes and the control plane."""
    project.declare()
    ran = answer(project, b"yes\n")
    assert ran.code == 0
    assert f"Apply these {ACTIONS} changes to {project.url}/api/v1? {QUESTION}: " in ran.stderr
    assert f"{ACTIONS} applied" in ran.stdout
    assert len(project.writes()) == ACTIONS


@pytest.mark.parametrize("typed", [b"no\n", b"\n", b"y\n", b"YES\n", b"\x04"], ids=["no", "nothing", "y", "YES", "^D"])
def test_anything_else_writes_nothing(project: Project, typed: bytes) -> None:
    """Every answer but `yes`, and no answer, ends with exit code 1 and without a write."""
    project.declare()
    ran = answer(project, typed)
    assert ran.code == 1
    assert ran.stderr.endswith("Nothing was written.\n")
    assert project.writes() == []


def test_the_question_is_in_the_singular_for_one_change(project: Project) -> None:
    """The question is a sentence, and names a context by its name."""
    project.plane.with_app("search")
    project.declare(text="apiVersion: octosync.dev/v1\nkind: App\nmetadata: {name: search}\nspec: {name: Search}\n")
    project.workdir.write(
        "octosync.yaml", f"contexts: {{staging: {{url: {project.url}, tokenEnv: OCTOMIL_API_KEY}}}}\n"
    )
    with terminal(b"no\n") as (_, stdin):
        arguments = ("apply", "-f", "apps", "--context", "staging")
        ran = project.workdir.octosync(*arguments, stdin=stdin, terminal=True, NO_COLOR="1")
    assert f"Apply this change to staging? {QUESTION}: " in ran.stderr


def test_without_changes_there_is_no_question(project: Project) -> None:
    """An empty plan is not confirmed."""
    project.declare()
    project.apply()
    ran = answer(project, b"")
    assert ran.code == 0
    assert QUESTION not in ran.output


def test_json_goes_to_standard_output_alone(project: Project) -> None:
    """With -o json the plan and the question go to standard error, and the document to standard output."""
    project.declare()
    ran = answer(project, b"yes\n", "-o", "json")
    assert ran.code == 0
    assert ran.stdout.startswith("{\n")
    assert "+ slot chat" in ran.stderr
    assert QUESTION in ran.stderr


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
@pytest.mark.usefixtures("preloaded")
def test_a_signal_at_the_question_ends_the_run(project: Project, number: signal.Signals, code: int) -> None:
    """Ctrl-C at the question ends the run at once, without waiting for an answer."""
    project.declare()
    with terminal() as (user_end, stdin):
        with project.workdir.start(
            "apply", "-f", "apps", "--url", project.url, stdin=stdin, stdout=stdin, stderr=stdin
        ) as process:
            read_until(user_end, QUESTION)
            process.send_signal(number)
            process.wait(timeout=30)
        stdin.close()
        screen = read_until(user_end, "")
    assert process.returncode == code
    assert "interrupted" in screen
    assert "Nothing was written." in screen
    assert project.writes() == []
