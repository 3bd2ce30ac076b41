"""`octosync help`: print the help of a command."""

from __future__ import annotations

from collections.abc import Sequence

import click

from octosync.cli.command import Command, CommandGroup
from octosync.cli.console import out


def _complete(ctx: click.Context, parameter: click.Parameter, incomplete: str) -> list[str]:
    del parameter
    try:
        group = _context_of(ctx.find_root(), ctx.params["words"] or ())
    except click.UsageError:
        return []
    names = group.command.list_commands(group) if isinstance(group.command, CommandGroup) else []
    return [name for name in names if name.startswith(incomplete)]


@click.command(cls=Command, example="octosync help plan")
@click.argument("words", nargs=-1, metavar="[COMMAND]...", shell_complete=_complete)
@click.pass_context
def command(context: click.Context, words: tuple[str, ...]) -> None:
    """Print the help of a command, as `octosync COMMAND --help` does. Without a COMMAND, list all commands."""
    out(_context_of(context.find_root(), words).get_help() + "\n")


def _context_of(context: click.Context, words: Sequence[str]) -> click.Context:
    """Return the context of the command that words name, from that of its first group. Raise `click.UsageError`."""
    for word in words:
        if not isinstance(context.command, CommandGroup):
            context.fail(f"{context.command_path!r} has no commands")
        name, found, _ = context.command.resolve_command(context, [word])
        assert found is not None  # noqa: S101 — an unknown command is an error
        context = click.Context(found, parent=context, info_name=name)
    return context
