"""The `octosync` command: its subcommands, which are imported when they are called, and how their errors are reported."""

from __future__ import annotations

import gc
import os
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from importlib import import_module
from typing import Final, NoReturn, TypeGuard

import click

from octosync import __version__
from octosync.cli.command import CommandGroup, did_you_mean, is_from_environment
from octosync.cli.console import configure_streams, err, is_debug, out
from octosync.cli.signals import interrupted_error, interruptible
from octosync.errors import ConfigError, ExitCode, InternalError, OctosyncError, UsageError

_NOTHING_WRITTEN: Final = "Nothing was written."
# How click calls numbers, and how Kubernetes describes a Service to pods. They are compiled when there is an error.
_NUMBER_TYPE: Final = "a valid (integer|float)( range)?"
_SERVICE_PORT: Final = "(tcp|udp|sctp)://"


class AlreadyReported(click.exceptions.Exit):
    """Ends a command with an exit code. Its problems are already reported on stderr."""


def is_defect(error: BaseException) -> TypeGuard[Exception]:
    """Return whether an exception is a defect: neither an error of octosync or click nor a signal."""
    expected = (OctosyncError, click.ClickException, click.exceptions.Exit, click.Abort)
    return isinstance(error, Exception) and not isinstance(error, expected)


def error_of_defect(defect: Exception) -> OctosyncError:
    """Return the error that reports a defect, or a working directory that was removed, in which nothing works."""
    try:
        os.getcwd()  # noqa: PTH109 — pathlib would have to be imported
    except FileNotFoundError:
        hints = ("Change to another folder.",)
        return OctosyncError("no-working-directory", "the working directory no longer exists", hints=hints)
    return InternalError(defect)


def report_failure(error: OctosyncError, *, notes: Iterable[str] = (), written: str = _NOTHING_WRITTEN) -> ExitCode:
    """Print an error to stderr and return its exit code. `written` is its last line: what was written to the control plane."""
    from octosync.report import render_error

    if isinstance(error, InternalError) and is_debug():
        err(error.traceback)
    err(render_error(error, notes=notes, written=written))
    return error.exit_code


def usage_error(error: click.ClickException) -> UsageError:
    """Return click's error as an error of octosync."""
    context = error.ctx if isinstance(error, click.UsageError) else None
    path = context.command_path if context is not None else "octosync"
    if isinstance(error, click.NoSuchOption) and context is not None:  # click suggests names that are not similar
        names = [name for parameter in context.command.get_params(context) for name in parameter.opts]
        error = click.UsageError(
            f"no such option: {error.option_name}{did_you_mean(error.option_name, names)}", context
        )
    message = _sentence(error.format_message())
    hints = [f"Run '{path} --help' for usage."]
    if isinstance(error, click.BadParameter) and context is not None and (parameter := error.param) is not None:
        variable = str(parameter.envvar)
        if is_from_environment(parameter, context):
            message = f"{variable}: {_sentence(error.message)}"
            hints = [_source_of(variable, parameter.opts[-1]), *hints]
    if "extra argument" in message and context is not None and _takes_manifests(context.command):
        hints.insert(0, f"Manifests are named with -f: {path} -f PATH")
    return UsageError("usage", message, hints=tuple(hints))


def _sentence(message: str) -> str:
    """Return a message of click as octosync words it."""
    text = re.sub(_NUMBER_TYPE, "a number", " ".join(message.split()))  # click puts choices on separate lines
    return (text[:1].lower() + text[1:]).partition(" Recognized values:")[0].rstrip(".")


def _notes(error: OctosyncError, variables: Mapping[str, Sequence[str]]) -> list[str]:
    """Return the hints of an error about options that environment variables set; `variables` has the names of the options."""
    if not isinstance(error, (UsageError, ConfigError)):
        return []
    words = {word.strip("'`\",:;") for word in error.message.split()}
    return [
        _source_of(variable, options[-1])
        for variable, options in variables.items()
        if not words.isdisjoint({*options, os.environ.get(variable, "")})
    ]


def _source_of(variable: str, option: str) -> str:
    """Return the hint that an environment variable sets an option."""
    if variable.endswith("_PORT") and re.match(_SERVICE_PORT, os.environ.get(variable, "")):
        name = variable.removesuffix("_PORT").lower()
        return (
            f"Kubernetes sets {variable} because there is a Service named {name}. Set `enableServiceLinks: false` in the pod, or "
            f"give {option}."
        )
    return f"The environment variable {variable} sets {option}."


def _takes_manifests(command: click.Command) -> bool:
    return any("-f" in parameter.opts for parameter in command.params)


_COMMANDS: Final = {
    "demo": "Run a complete example on the embedded control plane.",
    "init": "Create a starter repository: manifests, octosync.yaml, workflows.",
    "validate": "Check manifests offline.",
    "plan": "Show the changes that apply would make.",
    "apply": "Change the control plane to match the manifests.",
    "watch": "Reconcile continuously: apply changes, revert drift, serve a status page.",
    "accept": "Write live values into the manifests.",
    "status": "Show live state: coverage, deployments, traffic, last change.",
    "bootstrap": "Create an app with its target and keys in one request.",
    "history": "Show past runs from the journal.",
    "state": "Show, check, back up, copy and prune the state.",
    "activity": "Show the activity feed of an app.",
    "decisions": "Show how the requests of an app were routed.",
    "api": "Compare octosync's requests with Octomil's API.",
    "forge": "Integrate with GitHub: comments, issues, the last applied revision.",
    "export": "Write the manifests of live apps.",
    "schema": "Print JSON Schemas for editors and tools.",
    "explain": "Explain a field, or a name in a message: an error, rule, guard, exit code.",
    "doctor": "Check the setup: octosync.yaml, API key, control plane, Git, state file.",
    "server": "Run the embedded control plane.",
    "completion": "Print the completion script for a shell.",
    "version": "Print the version.",
    "help": "Print the help of a command.",
}

# Commands that change the control plane or write files: only their errors end with what was written.
_WRITING: Final = frozenset({"accept", "apply", "bootstrap", "export", "init", "watch"})


# Commands without a module in `runs`: what they do is a few lines.
_IN_ONE_MODULE: Final = frozenset({"completion", "help", "version"})


class _Commands(CommandGroup):
    """A group that imports a command only when it is called, not to list it."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        del ctx
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        del ctx
        if cmd_name not in _COMMANDS:
            return None
        command = import_module(f"octosync.cli.commands.{cmd_name}").command
        assert isinstance(command, click.Command)  # noqa: S101 — each module of the table defines one
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        del ctx
        with formatter.section("Commands"):
            formatter.write_dl(list(_COMMANDS.items()))


def _show_version(ctx: click.Context, parameter: click.Parameter, wanted: bool) -> None:
    """Write the version like other output: click's own option reports a full disk as a defect."""
    del parameter
    if wanted and not ctx.resilient_parsing:
        out(f"octosync {__version__}, Python {'.'.join(map(str, sys.version_info[:3]))}\n")
        ctx.exit()


@click.group(
    cls=_Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    example="octosync demo",
    epilog="An option with [env: NAME] can also be set by this environment variable, such as OCTOSYNC_URL for --url. Options "
    "that override a guard, relax a check or skip a confirmation have none.",
)
@click.option(
    "-V",
    "--version",
    is_flag=True,
    expose_value=False,
    is_eager=True,
    callback=_show_version,
    help="Show the version and exit.",
)
def octosync() -> None:
    """Keep Octomil apps in the state that a Git repository declares."""


def main() -> NoReturn:
    """Run the command and exit with its code, or with that of the error that ended it, after reporting it on stderr."""
    configure_streams()
    name = next((word for word in sys.argv[1:] if not word.startswith("-")), "")
    if name in _COMMANDS:  # imported while a signal still ends the process at once
        import_module(f"octosync.cli.commands.{name}")
        if name not in _IN_ONE_MODULE and not {"-h", "--help"}.intersection(sys.argv):
            import_module(f"octosync.cli.runs.{name}")
    gc.enable()
    written = _NOTHING_WRITTEN if name in _WRITING else ""
    with interruptible() as received:
        try:
            code = _run(name, received, written)
        except BaseException:
            # An import or a class definition may have replaced the signal's exception.
            if not received:
                raise
            code = report_failure(interrupted_error(received[0]), written=written)
    sys.exit(int(code or 0))


def _run(name: str, received: Sequence[ExitCode], written: str) -> int | None:
    """Run the command and return its exit code, or that of the error that ended it, after reporting it on stderr.

    `written` is the last line of such an error.
    """
    variables: dict[str, Sequence[str]] = {}
    try:
        code: int | None = octosync.main(prog_name="octosync", standalone_mode=False, obj=variables)
    except OctosyncError as error:
        code = report_failure(error, notes=_notes(error, variables), written=written)
    except click.Abort:
        code = report_failure(interrupted_error(*received[:1]), written=written)
    except click.exceptions.NoArgsIsHelpError as error:
        err(error.format_message() + "\n")
        code = ExitCode.USAGE
    except click.ClickException as error:
        code = report_failure(usage_error(error), written=written)
    except Exception as defect:
        if received:  # an import may have replaced the signal's exception
            raise
        # Apply itself reports a defect after it has begun to write; of other commands, it is not known.
        code = report_failure(error_of_defect(defect), written=written if name == "apply" else "")
    return code
