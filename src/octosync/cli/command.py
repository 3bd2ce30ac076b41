"""The base classes of all commands and command groups."""

from __future__ import annotations

import click

from octosync.cli.console import out


class Command(click.Command):
    """A command whose help is printed by `out`, which handles a standard output that is closed or fails."""

    def get_help_option(self, ctx: click.Context) -> click.Option | None:
        """Return the option that shows the help."""
        option = super().get_help_option(ctx)
        if option is not None:
            option.callback = _show_help
        return option


class CommandGroup(Command, click.Group):
    """A group of such commands."""

    command_class = Command


class OrderedCommandGroup(CommandGroup):
    """A group that lists its commands in the order of their definition."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the commands' names."""
        del ctx
        return list(self.commands)


def _show_help(ctx: click.Context, parameter: click.Parameter, wanted: bool) -> None:
    del parameter
    if wanted and not ctx.resilient_parsing:
        out(ctx.get_help() + "\n")
        ctx.exit()
