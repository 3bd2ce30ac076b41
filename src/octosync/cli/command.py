"""The base classes of all commands, command groups and options, and the layout of their help."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import wraps
from importlib import import_module
from typing import Any, Final

import click
from click.core import ParameterSource, augment_usage_errors

from octosync.cli.console import out
from octosync.errors import EXIT_CODES, ExitCode

# The groups of options, in the order of `--help`. The first one has the options of a single command.
OPTIONS: Final = "Options"
MANIFESTS: Final = "Manifests"
SELECTION: Final = "Selection"
CONTROL_PLANE: Final = "Control plane"
COMPARISON: Final = "Comparison"
ROLLOUTS: Final = "Rollouts"
GUARD_OVERRIDES: Final = "Guards"
OUTPUT: Final = "Output"
GENERAL: Final = "General"
GROUPS: Final = (
    OPTIONS,
    MANIFESTS,
    SELECTION,
    CONTROL_PLANE,
    COMPARISON,
    ROLLOUTS,
    GUARD_OVERRIDES,
    OUTPUT,
    GENERAL,
)

# The exit codes of every command, and those of a command that sends requests to the control plane.
LOCAL_CODES: Final = (ExitCode.DONE, ExitCode.ERROR, ExitCode.USAGE, ExitCode.INTERRUPTED, ExitCode.TERMINATED)
REMOTE_CODES: Final = (*LOCAL_CODES, ExitCode.UNAVAILABLE)

_SOURCES: Final = (
    "Without --url and --context, the control plane is that of the default context in octosync.yaml, else of OCTOMIL_API_URL or "
    "OCTOMIL_API_BASE, else https://api.octomil.com. A context names its own API key; in all other cases, the key is "
    "OCTOMIL_API_KEY, and the org OCTOMIL_ORG_ID."
)
_WIDEST_NAME: Final = 28
_NO_BREAK: Final = "\u00a0"


class Option(click.Option):
    """An option in a group. Its help has the environment variable that sets it, too, but not a `former` name."""

    def __init__(
        self, names: Sequence[str], *, group: str = OPTIONS, former: str | None = None, **attributes: Any
    ) -> None:
        super().__init__([*names, *([former] if former else ())], **attributes)
        self.group = group
        self._former = former

    def handle_parse_result(
        self, ctx: click.Context, opts: Mapping[str, Any], args: list[str]
    ) -> tuple[Any, list[str]]:
        """Return the value. If an environment variable sets it, the context's `obj` gets the option's names by the variable."""
        value, rest = super().handle_parse_result(ctx, opts, args)
        if is_from_environment(self, ctx) and isinstance(ctx.obj, dict):
            ctx.obj[self.envvar] = self.opts
        return value, rest

    def get_help_record(self, ctx: click.Context) -> tuple[str, str] | None:
        """Return the help record, with the environment variable."""
        record = super().get_help_record(ctx)
        if record is None:
            return None
        names = record[0].replace(f", {self._former}", "")
        return names, f"{record[1]}  [env:{_NO_BREAK}{self.envvar}]" if self.envvar else record[1]


def is_from_environment(parameter: click.Parameter, ctx: click.Context) -> bool:
    """Return whether an environment variable sets a parameter."""
    return ctx.get_parameter_source(parameter.name) is ParameterSource.ENVIRONMENT


class Command(click.Command):
    """A command whose help is printed by `out`, which handles a standard output that is closed or fails.

    `example` is a command line for the help, at most 78 columns wide so that it can be pasted; `codes` are the exit codes.
    """

    def __init__(
        self, *arguments: Any, example: str = "", codes: Sequence[ExitCode] = LOCAL_CODES, **attributes: Any
    ) -> None:
        super().__init__(*arguments, **attributes)
        self.example = example
        self.codes = tuple(sorted(codes))

    def get_help(self, ctx: click.Context) -> str:
        """Return the help."""
        return super().get_help(ctx).replace(_NO_BREAK, " ")

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the options in their groups."""
        records: dict[str, list[tuple[str, str]]] = {group: [] for group in GROUPS}
        for parameter in self.get_params(ctx):
            if isinstance(parameter, click.Option) and (record := parameter.get_help_record(ctx)) is not None:
                records[getattr(parameter, "group", GENERAL)].append(record)
        for group in filter(records.__getitem__, GROUPS):
            with formatter.section(group):
                formatter.write_dl(records[group], col_max=_WIDEST_NAME)
                if group == CONTROL_PLANE and any(name.startswith("--url") for name, _ in records[group]):
                    formatter.write_paragraph()
                    formatter.write_text(_SOURCES)

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the exit codes, the example, and the epilog."""
        if self.codes:
            meanings: dict[str, list[str]] = {}
            for code in self.codes:
                meanings.setdefault(EXIT_CODES[code], []).append(str(code.value))
            with formatter.section("Exit codes"):
                formatter.write_dl([(", ".join(codes), meaning) for meaning, codes in meanings.items()])
        if self.example:
            with formatter.section("Example"):
                formatter.write("".join(f"  {line}\n" for line in self.example.splitlines()))
        super().format_epilog(ctx, formatter)

    def get_help_option(self, ctx: click.Context) -> click.Option | None:
        """Return the option that shows the help."""
        option = super().get_help_option(ctx)
        if option is not None:
            option.callback = _show_help
        return option

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse the arguments. Errors have the command's context: click omits it if the value of an option is missing."""
        with augment_usage_errors(ctx):
            return super().parse_args(ctx, args)


class CommandGroup(Command, click.Group):
    """A group of such commands."""

    command_class = Command

    def __init__(self, *arguments: Any, codes: Sequence[ExitCode] = (), **attributes: Any) -> None:
        super().__init__(*arguments, codes=codes, **attributes)

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the options in their groups, and the commands."""
        super().format_options(ctx, formatter)
        self.format_commands(ctx, formatter)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Return the called command. The error for an unknown one suggests the name that was probably meant."""
        names = self.list_commands(ctx)
        if not ctx.resilient_parsing and args[0] not in names and not args[0].startswith("-"):
            ctx.fail(f"no such command {args[0]!r}{did_you_mean(args[0], names)}")
        return super().resolve_command(ctx, args)


def did_you_mean(word: str, names: Iterable[str]) -> str:
    """Return the end of an error about an unknown name: a suggestion, or nothing."""
    from octosync.model import closest

    meant = closest(word, names)
    return f". Did you mean {meant!r}?" if meant else ""


class OrderedCommandGroup(CommandGroup):
    """A group that lists its commands in the order of their definition."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the commands' names."""
        del ctx
        return list(self.commands)


def runs(module: str, function: str = "run") -> Callable[[Callable[[], None]], Callable[..., object]]:
    """Return a decorator for a function that only has the help of a command: what the command does is in `cli/runs`."""

    def decorate(described: Callable[[], None]) -> Callable[..., object]:
        @wraps(described)
        def command(**options: Any) -> object:
            return getattr(import_module(f"octosync.cli.runs.{module}"), function)(**options)

        return command

    return decorate


def _show_help(ctx: click.Context, parameter: click.Parameter, wanted: bool) -> None:
    del parameter
    if wanted and not ctx.resilient_parsing:
        out(ctx.get_help() + "\n")
        ctx.exit()
