"""The base classes of all commands and command groups."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from importlib import import_module
from typing import Any

import click
from click.core import augment_usage_errors

from octosync.cli.console import out


class Command(click.Command):
    """A command whose help is printed by `out`, which handles a standard output that is closed or fails."""

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
