"""Confirmation before the first write, at a real terminal."""

from __future__ import annotations

import os
import pty
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TextIO

import pytest
from tests.support.desks import ACTIONS, Office
from tests.support.invoking import Ran

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


def answer(office: Office, typed: bytes, *arguments: str) -> Ran:
    """Apply, and answer the question."""
    with terminal(typed) as (_, stdin):
        return office.desk.octosync(
            "apply", "-f", "apps", "--url", office.url, *arguments, stdin=stdin, terminal=True, NO_COLOR="1"
        )


def test_yes_applies(office: Office) -> None:
    """`yes` applies what was shown, and the question says how much and where."""
    office.declare()
    ran = answer(office, b"yes\n")
    assert ran.code == 0
    assert f"Apply these {ACTIONS} changes to {office.url}/api/v1? {ASKED}: " in ran.stderr
    assert f"{ACTIONS} applied" in ran.stdout
    assert len(office.writes()) == ACTIONS


@pytest.mark.parametrize("typed", [b"no\n", b"\n", b"y\n", b"YES\n", b"\x04"], ids=["no", "nothing", "y", "YES", "^D"])
def test_anything_else_writes_nothing(office: Office, typed: bytes) -> None:
    """Every answer but `yes`, and no answer, ends with exit code 1 and without a write."""
    office.declare()
    ran = answer(office, typed)
    assert ran.code == 1
    assert ran.stderr.endswith("Nothing was written.\n")
    assert office.writes() == []


def test_one_change_is_spoken_of_as_one(office: Office) -> None:
    """The question is a sentence, and names a context by its name."""
    office.plane.with_app("search")
    office.declare(text="apiVersion: octosync.dev/v1\nkind: App\nmetadata: {name: search}\nspec: {name: Search}\n")
    office.desk.write("octosync.yaml", f"contexts: {{staging: {{url: {office.url}, tokenEnv: OCTOMIL_API_KEY}}}}\n")
    with terminal(b"no\n") as (_, stdin):
        arguments = ("apply", "-f", "apps", "--context", "staging")
        ran = office.desk.octosync(*arguments, stdin=stdin, terminal=True, NO_COLOR="1")
    assert f"Apply this change to staging? {ASKED}: " in ran.stderr


def test_nothing_to_apply_asks_nothing(office: Office) -> None:
    """Without changes there is no question, nor with a plan that may not be applied."""
    office.declare()
    office.apply()
    ran = answer(office, b"")
    assert ran.code == 0
    assert ASKED not in ran.output


def test_json_goes_to_standard_output_alone(office: Office) -> None:
    """With -o json the plan and the question go to the person on standard error, the document to standard output."""
    office.declare()
    ran = answer(office, b"yes\n", "-o", "json")
    assert ran.code == 0
    assert ran.stdout.startswith("{\n")
    assert "+ slot chat" in ran.stderr
    assert ASKED in ran.stderr


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_at_the_question_ends_the_run(office: Office, number: signal.Signals, code: int) -> None:
    """Ctrl-C at the question ends the run at once, without waiting for an answer."""
    office.declare()
    with terminal() as (person, stdin):
        with office.desk.start(
            "apply", "-f", "apps", "--url", office.url, stdin=stdin, stdout=stdin, stderr=stdin
        ) as process:
            read_until(person, ASKED)
            process.send_signal(number)
            process.wait(timeout=30)
        stdin.close()
        said = read_until(person, "")
    assert process.returncode == code
    assert "interrupted" in said
    assert "Nothing was written." in said
    assert office.writes() == []
