"""Standard output and standard error: data on the one, everything else on the other, colour where it is wanted."""

from __future__ import annotations

import asyncio
import io
import os
import re
import sys
from typing import Final, TextIO

import click

from octosync.errors import ExitCode, OctosyncError
from octosync.model import JsonObject

# `::name` at the beginning of a line, and `##[name` anywhere in one.
_COMMANDS: Final = re.compile(r"((?:^|(?<=\r))[^\S\n]*:|##)(:(?=\w)|\[)", re.MULTILINE)


def wants_colour(stream: TextIO, choice: str) -> bool:
    """Say whether to colour what goes to a stream: as asked for, else on a terminal where NO_COLOR is not set."""
    if choice != "auto":
        return choice == "always"
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def supports_blocks(stream: TextIO) -> bool:
    """Say whether what goes to a stream can hold the characters that bars are drawn with."""
    try:
        "█▏░".encode(stream.encoding or "utf-8")
    except (LookupError, UnicodeEncodeError):
        return False
    return True


def can_prompt() -> bool:
    """Say whether there is a person to ask: a terminal on both sides, and no CI."""
    return sys.stdin is not None and sys.stdin.isatty() and sys.stderr.isatty() and not os.environ.get("CI")


def configure_streams() -> None:
    """Make both streams take every character, whatever the locale: what it lacks is written as an escape.

    One that is closed leads nowhere from here on; otherwise the next file or connection to be opened would take its place.
    """
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: PTH123, SIM115 — open for as long as the run
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def out(text: str) -> None:
    """Write to standard output.

    Raises click's `Exit` where nobody reads it any more, as after `| head`, and `OctosyncError` where it can't be written.
    """
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except BrokenPipeError:
        _discard(sys.stdout)
        raise click.exceptions.Exit(ExitCode.INTERRUPTED) from None
    except OSError as error:
        _discard(sys.stdout)
        raise OctosyncError(
            "output-unwritable",
            f"standard output can't be written: {error.strerror}",
            hints=("Check where it is redirected to, and that there is room.",),
        ) from error


def out_text(text: str) -> None:
    """Write a report for people to standard output. Raises as `out` does."""
    out(_without_runner_commands(text))


def out_manifest(text: str) -> None:
    """Write manifests to standard output: UTF-8 in a file or pipe, whatever the locale, since a manifest is nothing else."""
    if isinstance(sys.stdout, io.TextIOWrapper) and not sys.stdout.isatty():
        sys.stdout.reconfigure(encoding="utf-8")
    out(text)


def read_stdin(most: int = -1) -> bytes:
    """Return what comes on standard input, at most so many bytes; nothing where it is closed."""
    return b"" if sys.stdin is None else sys.stdin.buffer.read(most)


def err(text: str) -> None:
    """Write to standard error, as far as that goes: a run doesn't end for want of somebody who listens there."""
    err_command(_without_runner_commands(text))


def err_command(text: str) -> None:
    """Write to standard error what GitHub's runners are to take for a command in their log."""
    try:
        sys.stderr.write(text)
        sys.stderr.flush()
    except OSError:
        _discard(sys.stderr)


def _without_runner_commands(text: str) -> str:
    """Break up, on GitHub's runners, what these would take for a command in their log: it can only come from data."""
    if os.environ.get("GITHUB_ACTIONS") != "true":
        return text
    return _COMMANDS.sub(lambda found: f"{found[1]}\u200b{found[2]}", text)


def _discard(stream: TextIO) -> None:
    """Send what is still in the stream's buffer nowhere, so that the interpreter's own flush at its end is quiet."""
    try:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)
    except OSError:  # a stream without a descriptor has no such flush either
        return


async def ask(question: str) -> str:
    """Ask the person at the terminal, and return the line that is answered, "" at the end of the input.

    It is the loop that waits, so that a signal ends the wait at once: a read that blocks would take note of it too late.
    """
    err(question)
    loop, answered = asyncio.get_running_loop(), asyncio.Event()
    loop.add_reader(sys.stdin, answered.set)
    try:
        await answered.wait()
    except asyncio.CancelledError:
        err("\n")
        raise
    finally:
        loop.remove_reader(sys.stdin)
    answer = sys.stdin.readline()
    if not answer.endswith("\n"):
        err("\n")
    return answer.strip()


def out_json(document: JsonObject) -> None:
    """Write a document to standard output."""
    from octosync.report import json_text

    out(json_text(document))
