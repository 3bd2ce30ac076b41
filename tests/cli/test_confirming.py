"""The question before the first write, at a real terminal."""

from __future__ import annotations

import os
import pty
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import pytest
from tests.support.desks import ACTIONS, Office
from tests.support.invoking import Process


@contextmanager
def asked(office: Office, *arguments: str) -> Iterator[tuple[Process, int]]:
    """Run apply at a terminal until it asks; yield the process and the terminal's other end."""
    ours, theirs = pty.openpty()
    with office.desk.start(
        "apply", "-f", "apps", "--url", office.url, *arguments, stdin=theirs, stdout=theirs, stderr=theirs,
        start_new_session=True,
    ) as process:  # fmt: skip
        os.close(theirs)
        read_until(ours, "Only `yes` does")
        yield process, ours
        process.wait(timeout=30)
    os.close(ours)


def read_until(terminal: int, text: str) -> str:
    """Read from a terminal until a text comes, or until its end for none."""
    seen = b""
    with suppress(OSError):  # how the end of a terminal reads
        while not text or text.encode() not in seen:
            piece = os.read(terminal, 65536)
            if not piece:
                break
            seen += piece
    return seen.decode()


def test_yes_applies(office: Office) -> None:
    """`yes` applies what was shown."""
    office.declare()
    with asked(office) as (process, terminal):
        os.write(terminal, b"yes\n")
        said = read_until(terminal, "")
    assert process.returncode == 0
    assert f"{ACTIONS} applied" in said
    assert len(office.writes()) == ACTIONS


@pytest.mark.parametrize("answer", [b"no\n", b"\n", b"y\n", b"YES\n", b"\x04"], ids=["no", "nothing", "y", "YES", "^D"])
def test_anything_else_writes_nothing(office: Office, answer: bytes) -> None:
    """Only `yes` does: every other answer, and none, ends with 1 and without a write."""
    office.declare()
    with asked(office) as (process, terminal):
        os.write(terminal, answer)
        said = read_until(terminal, "")
    assert process.returncode == 1
    assert "Nothing was written." in said
    assert office.writes() == []


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_at_the_question_ends_the_run(office: Office, number: signal.Signals, code: int) -> None:
    """Ctrl-C at the question ends the run at once, without waiting for an answer."""
    office.declare()
    with asked(office) as (process, terminal):
        process.send_signal(number)
        said = read_until(terminal, "")
    assert process.returncode == code
    assert "interrupted" in said
    assert "Nothing was written." in said
    assert office.writes() == []


def test_json_goes_to_standard_output_alone(office: Office) -> None:
    """With -o json the plan and the question go to the person on standard error, the document to standard output."""
    office.declare()
    ours, theirs = pty.openpty()
    with office.desk.start(
        "apply", "-f", "apps", "--url", office.url, "-o", "json", stdin=theirs, stderr=theirs
    ) as process:
        os.close(theirs)
        seen = read_until(ours, "Only `yes` does")
        assert "slot chat" in seen
        os.write(ours, b"yes\n")
        assert process.stdout is not None
        document = process.stdout.read()
        process.wait(timeout=30)
    os.close(ours)
    assert document.startswith(b"{\n")
    assert process.returncode == 0
