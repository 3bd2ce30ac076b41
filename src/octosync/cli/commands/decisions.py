"""`octosync decisions`: its options and help."""

from __future__ import annotations

import click

from octosync.cli.command import REMOTE_CODES, Command, runs
from octosync.cli.commands.activity import feed_options


@click.command(cls=Command, codes=REMOTE_CODES, example="octosync decisions field-notes --limit 200")
@feed_options
@runs("decisions")
def command() -> None:
    """Show the newest routing decisions of APP, newest last, and the split between device and cloud."""
