"""`octosync completion`: print click's completion scripts."""

from __future__ import annotations

from typing import Final

import click
from click.shell_completion import BashComplete, FishComplete, ShellComplete, ZshComplete

from octosync.cli.command import Command
from octosync.cli.console import out

_SHELLS: Final[dict[str, type[ShellComplete]]] = {"bash": BashComplete, "zsh": ZshComplete, "fish": FishComplete}


@click.command(
    cls=Command,
    example="octosync completion bash > ~/.octosync-completion",
    epilog="In ~/.bashrc, or in ~/.zshrc after compinit:\n\n"
    "\b\n"
    "  . ~/.octosync-completion\n\n"
    "For fish:\n\n"
    "\b\n"
    "  octosync completion fish > ~/.config/fish/completions/octosync.fish",
)
@click.argument("shell", type=click.Choice(list(_SHELLS)))
def command(shell: str) -> None:
    """Print the script that completes commands, options, contexts and formats in a shell. It needs bash 4.4 or newer."""
    root = click.get_current_context().find_root().command
    completion = _SHELLS[shell](root, {}, "octosync", "_OCTOSYNC_COMPLETE")
    # Not the subclass's `source`, which checks the local bash version: the script may be for another machine.
    out(ShellComplete.source(completion).strip() + "\n")
