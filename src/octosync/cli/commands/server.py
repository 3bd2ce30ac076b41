"""`octosync server`: its options and help."""

from __future__ import annotations

from pathlib import Path

import click

from octosync.cli.command import Command, runs
from octosync.cli.options import option


@click.command(cls=Command, example="octosync server --db control-plane.db --token-file keys --rate-limit 100")
@option(
    "--host", default="127.0.0.1", show_default=True, help="The address to listen on. Others than loopback need keys."
)
@option(
    "--port",
    default=8787,
    show_default=True,
    type=click.IntRange(0, 65535),
    help="The port to listen on; 0 for any free port.",
)
@option("--db", type=click.Path(path_type=Path), help="The SQLite file with all data. The default is memory.")
@option(
    "--token",
    "tokens",
    env=False,
    multiple=True,
    metavar="[NAME:]T[=SCOPES]",
    help="Accept this key. Repeatable. The process list of this machine shows it: prefer --token-file.",
)
@option(
    "--token-file",
    type=click.Path(path_type=Path),
    help="Accept the keys in this file, one per line in the format of --token; # starts a comment.",
)
@option(
    "--allowed-host",
    "hosts",
    env=False,
    multiple=True,
    metavar="NAME",
    help="Accept requests for this host name, besides those of this machine and --host. Repeatable.",
)
@option(
    "--rate-limit",
    default="0",
    metavar="N[/SECONDS]",
    help="Reject requests of a key beyond N in any period of SECONDS (60); 0 for no limit. --rate of other commands limits what "
    "octosync sends.",
)
@option("--seed", type=click.Choice(["demo"]), help="Start with the devices of the examples and the keys of two users.")
@runs("server")
def command() -> None:
    """Run the embedded control plane: all operations of Octomil's apps API on SQLite, for trials, tests and offline work."""
