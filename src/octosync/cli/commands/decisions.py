"""`octosync decisions`: show the newest routing decisions of an app."""

from __future__ import annotations

from pathlib import Path

import click

from octosync.cli.command import Command
from octosync.cli.commands.activity import FeedRequest, feed_options, show_feed
from octosync.cli.run_options import RemoteFlags
from octosync.errors import ExitCode
from octosync.octomil.activity import decisions_feed
from octosync.report.show.activity import DECISIONS


@click.command(cls=Command, epilog="Example:  octosync decisions field-notes --limit 200")
@feed_options
def command(request: FeedRequest, remote: RemoteFlags, config: Path | None) -> ExitCode:
    """Show the newest routing decisions of APP, newest last, and the split between device and cloud."""
    return show_feed(request, remote, config, decisions_feed, DECISIONS)
