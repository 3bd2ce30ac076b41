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

ASKED = "Type 'yes' to confirm"


@contextmanager
def terminal(typed: bytes = b"") -> Iterator[tuple[int, TextIO]]:
    """Open a terminal where this was typed already; yield the person's end and the program's."""
    ours, theirs = pty.openpty()
    os.write(ours, typed)
    with os.fdopen(theirs, "r") as stdin:
        yield ours, stdin
    os.close(ours)


def read_until(person: int, text: str) -> str:
    """Read from a terminal until a text comes, or until its end for none."""
    seen = b""
    with suppress(OSError):  # how the end of a terminal reads
        while not text or text.encode() not in seen:
            piece = os.read(person, 65536)
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
    """`yes` applies what was shown, and the question says how much and where."""
    project.declare()
    ran = answer(project, b"yes\n")
    assert ran.code == 0
    assert f"Apply these {ACTIONS} changes to {project.url}/api/v1? {ASKED}: " in ran.stderr
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


def test_one_change_is_spoken_of_as_one(project: Project) -> None:
    """The question is a sentence, and names a context by its name."""
    project.plane.with_app("search")
    project.declare(text="apiVersion: octosync.dev/v1\nkind: App\nmetadata: {name: search}\nspec: {name: Search}\n")
    project.workdir.write(
        "octosync.yaml", f"contexts: {{staging: {{url: {project.url}, tokenEnv: OCTOMIL_API_KEY}}}}\n"
    )
    with terminal(b"no\n") as (_, stdin):
        arguments = ("apply", "-f", "apps", "--context", "staging")
        ran = project.workdir.octosync(*arguments, stdin=stdin, terminal=True, NO_COLOR="1")
    assert f"Apply this change to staging? {ASKED}: " in ran.stderr


def test_nothing_to_apply_asks_nothing(project: Project) -> None:
    """Without changes there is no question, nor with a plan that may not be applied."""
    project.declare()
    project.apply()
    ran = answer(project, b"")
    assert ran.code == 0
    assert ASKED not in ran.output


def test_json_goes_to_standard_output_alone(project: Project) -> None:
    """With -o json the plan and the question go to the person on standard error, the document to standard output."""
    project.declare()
    ran = answer(project, b"yes\n", "-o", "json")
    assert ran.code == 0
    assert ran.stdout.startswith("{\n")
    assert "+ slot chat" in ran.stderr
    assert ASKED in ran.stderr


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_at_the_question_ends_the_run(project: Project, number: signal.Signals, code: int) -> None:
    """Ctrl-C at the question ends the run at once, without waiting for an answer."""
    project.declare()
    with terminal() as (person, stdin):
        with project.workdir.start(
            "apply", "-f", "apps", "--url", project.url, stdin=stdin, stdout=stdin, stderr=stdin
        ) as process:
            read_until(person, ASKED)
            process.send_signal(number)
            process.wait(timeout=30)
        stdin.close()
        said = read_until(person, "")
    assert process.returncode == code
    assert "interrupted" in said
    assert "Nothing was written." in said
    assert project.writes() == []
