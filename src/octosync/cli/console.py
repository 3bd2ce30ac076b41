"""Standard output and standard error: data goes to the first, everything else to the second. Also colour and prompts."""

from __future__ import annotations

import io
import os
import re
import signal
import sys
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Final, TextIO

import click

from octosync.errors import DEBUG, ExitCode, OctosyncError, UsageError, frame_words

if TYPE_CHECKING:
    import logging

    from octosync.model import JsonObject

# `::name` at the beginning of a line, and `##[name` anywhere in one.
_COMMANDS: Final = re.compile(r"((?:^|(?<=\r))[^\S\n]*:|##)(:(?=\w)|\[)", re.MULTILINE)


def wants_colour(stream: TextIO, choice: str) -> bool:
    """Return whether to colour output to a stream. `choice` decides; auto means on a terminal unless NO_COLOR is set."""
    if choice != "auto":
        return choice == "always"
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def supports_blocks(stream: TextIO) -> bool:
    """Return whether the encoding of a stream has the characters that bars are drawn with."""
    try:
        "█▏░".encode(stream.encoding or "utf-8")
    except (LookupError, UnicodeEncodeError):
        return False
    return True


def can_prompt() -> bool:
    """Return whether a person can be prompted: stdin and stderr are terminals, and CI is not set."""
    return sys.stdin is not None and sys.stdin.isatty() and sys.stderr.isatty() and not os.environ.get("CI")


class Verbosity(Enum):
    """How much goes to standard error besides errors and warnings."""

    QUIET = "no progress and no notes"
    NORMAL = "progress and notes"
    DEBUG = "requests, settings and tracebacks, too"


@dataclass(slots=True)
class _VerbosityChoice:
    level: Verbosity = Verbosity.NORMAL
    is_typed: bool = False


_verbosity: Final = _VerbosityChoice()


def choose_verbosity(level: Verbosity, *, is_typed: bool) -> None:
    """Set the verbosity of this run. A typed option takes precedence over a variable.

    Raises `UsageError` if another level was typed, too.
    """
    if _verbosity.is_typed and is_typed and level is not _verbosity.level:
        raise UsageError("quiet-and-verbose", "-q and -v exclude each other", hints=("Remove one of them.",))
    if is_typed or not _verbosity.is_typed:
        _verbosity.level, _verbosity.is_typed = level, is_typed


def is_debug() -> bool:
    """Return whether to show requests, settings and tracebacks."""
    return _verbosity.level is Verbosity.DEBUG


def is_quiet() -> bool:
    """Return whether to show no progress and no notes."""
    return _verbosity.level is Verbosity.QUIET


def configure_streams() -> None:
    """Make both streams accept every character: those that the locale's encoding lacks are escaped.

    A closed stream is replaced by the null device; otherwise the next opened file or connection would get its descriptor.
    The verbosity is that of the environment.
    """
    debug = os.environ.get(DEBUG, "").lower() in {"1", "true", "t", "yes", "y", "on"}  # as click reads flags
    _verbosity.level, _verbosity.is_typed = Verbosity.DEBUG if debug else Verbosity.NORMAL, False
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: PTH123, SIM115 — open for as long as the run
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def out(text: str) -> None:
    """Write to standard output.

    Raises click's `Exit` if the reader has closed the pipe, as `| head` does, and `OctosyncError` if writing fails.
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
            hints=("Check the destination and its free space.",),
        ) from error


def out_text(text: str) -> None:
    """Write a report for people to standard output, in lines that fit a terminal. Raises as `out` does."""
    out(_report_text(text, sys.stdout))


def _report_text(text: str, stream: TextIO) -> str:
    if stream.isatty():
        from octosync.cli.wrapping import terminal_width, wrapped

        text = wrapped(text, terminal_width(stream))
    return _without_runner_commands(text)


def out_paged(text: str) -> None:
    """Write a report for people to standard output, through a pager if it is longer than the terminal. Raises as `out` does.

    The pager is OCTOSYNC_PAGER, else PAGER, else less, as for git; none if it is empty or cat. Less would wait for a key on a
    dumb terminal, so there it has to be asked for. If the pager fails, the report is written without it.
    """
    default = "less" if os.environ.get("TERM") != "dumb" else ""
    pager = os.environ.get("OCTOSYNC_PAGER", os.environ.get("PAGER", default)).strip()
    text = _report_text(text, sys.stdout)
    if (
        pager in {"", "cat"}
        or not sys.stdout.isatty()
        or not _is_longer_than_the_terminal(text)
        or not _page(text, pager)
    ):
        out(text)


def _is_longer_than_the_terminal(text: str) -> bool:
    import shutil

    from octosync.report.text import cells

    columns, lines = shutil.get_terminal_size()
    shown = click.unstyle(text).splitlines()
    return sum(max(1, -(-cells(line) // max(1, columns))) for line in shown) >= lines


_QUIT_BY_SIGINT: Final = {-signal.SIGINT, 128 + signal.SIGINT}


def _page(text: str, pager: str) -> bool:
    """Show a text in a pager, and wait for its end. Return whether it was shown."""
    import subprocess

    environment = {"LESS": "FRX", "LV": "-c", **os.environ}
    try:
        # A shell, as for git: the user's own variable is a command line.
        process = subprocess.Popen(  # noqa: S602
            pager,
            shell=True,
            stdin=subprocess.PIPE,
            stdout=sys.stdout.fileno(),
            env=environment,
        )
    except OSError:  # also for a stream without a descriptor
        return False
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)  # it belongs to the pager
    try:
        process.communicate(text.encode(sys.stdout.encoding, "backslashreplace"))
    except BaseException:
        process.terminate()
        raise
    finally:
        signal.signal(signal.SIGINT, before)
    return process.returncode == 0 or process.returncode in _QUIT_BY_SIGINT


def out_manifest(text: str) -> None:
    """Write manifests to standard output. In a file or pipe they are UTF-8 regardless of the locale."""
    if isinstance(sys.stdout, io.TextIOWrapper) and not sys.stdout.isatty():
        sys.stdout.reconfigure(encoding="utf-8")
    out(text)


def read_stdin(most: int = -1) -> bytes:
    """Return standard input, at most `most` bytes; nothing if it is closed."""
    return b"" if sys.stdin is None else sys.stdin.buffer.read(most)


def err(text: str, *, wraps: bool = True) -> None:
    """Write to standard error, in lines that fit a terminal if it `wraps`. If that fails, the run continues without it."""
    err_command(_report_text(text, sys.stderr) if wraps else _without_runner_commands(text))


def note(text: str) -> None:
    """Write to standard error what is neither an error nor a warning; nothing if the run is quiet."""
    if not is_quiet():
        err(text)


def err_command(text: str) -> None:
    """Write a workflow command of GitHub's runners to standard error."""
    try:
        sys.stderr.write(text)
        sys.stderr.flush()
    except OSError:
        _discard(sys.stderr)


def _without_runner_commands(text: str) -> str:
    """Return the text; on a GitHub runner, without workflow commands, which can only come from data."""
    if os.environ.get("GITHUB_ACTIONS") != "true":
        return text
    return _COMMANDS.sub(lambda found: f"{found[1]}\u200b{found[2]}", text)


def show_library_warnings() -> None:
    """Show the warnings and errors of libraries, asyncio and destructors as one line each, unless a command logs them.

    Python would also show their tracebacks, whose texts may quote what was read or sent.
    """
    import logging

    class OneLine(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            from octosync.report import visible
            from octosync.watch.log import library_message

            level = "warning" if record.levelno < logging.ERROR else "error"
            defect = record.exc_info[1] if record.exc_info else None
            places = [] if defect is None else [type(defect).__name__, *frame_words(defect, at_most=1)]
            err(f"{level}: {', '.join((record.name, *places))}: {visible(library_message(record))}\n")

    def log_ignored(ignored: sys.UnraisableHookArgs) -> None:
        logging.getLogger("python").error("an exception was ignored", exc_info=ignored.exc_value)

    logging.lastResort = OneLine(logging.WARNING)
    if sys.unraisablehook is sys.__unraisablehook__:
        sys.unraisablehook = log_ignored


def _discard(stream: TextIO) -> None:
    """Redirect a stream to the null device, so that the interpreter's flush at exit doesn't fail."""
    try:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)
    except OSError:  # a stream without a descriptor has no such flush either
        return


async def ask(question: str) -> str:
    """Prompt at the terminal and return the answer, "" at the end of the input.

    The event loop does the waiting, so that a signal ends it at once; a blocking read would delay the signal.
    """
    import asyncio

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
    """Write a JSON document to standard output."""
    from octosync.report import json_text

    out(json_text(document))
