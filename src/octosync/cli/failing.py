"""How a command fails: the error as a document on stderr, its exit code returned."""

from __future__ import annotations

import click

from octosync.cli.console import err
from octosync.errors import ExitCode, OctosyncError, UsageError


class AlreadyReported(click.exceptions.Exit):
    """Ends a command with an exit code, after its problems were reported on stderr."""


def report_failure(error: OctosyncError, *, written: str = "Nothing was written.") -> ExitCode:
    """Print an error to stderr and return its exit code. `written` is the last line: what it means for the control plane."""
    from octosync.report import render_error

    err(render_error(error, written=written))
    return error.exit_code


def usage_error(error: click.ClickException) -> UsageError:
    """Say in our own form what click found wrong with the command line."""
    context = error.ctx if isinstance(error, click.UsageError) else None
    path = context.command_path if context is not None else "octosync"
    message = " ".join(error.format_message().split()).rstrip(".")  # click lists choices in lines of their own
    hints = [f"{path} --help lists what there is."]
    if "extra argument" in message and context is not None and _takes_manifests(context.command):
        hints.insert(0, f"Manifests are named with -f: {path} -f PATH")
    return UsageError("usage", message[:1].lower() + message[1:], hints=tuple(hints))


def _takes_manifests(command: click.Command) -> bool:
    return any("-f" in parameter.opts for parameter in command.params)
