"""`octosync activity`."""

from __future__ import annotations

from pathlib import Path

import click

from octosync.cli.command import Command
from octosync.cli.feeds import FeedRequest, feed_options, show_feed
from octosync.cli.run_options import RemoteFlags
from octosync.errors import ExitCode
from octosync.octomil.feeds import activity_feed
from octosync.report.show.activity import ACTIVITY


@click.command(cls=Command, epilog="Example:  octosync activity field-notes --follow")
@feed_options
def command(request: FeedRequest, remote: RemoteFlags, config: Path | None) -> ExitCode:
    """Show the newest entries of the activity feed of APP, newest last."""
    return show_feed(request, remote, config, activity_feed, ACTIVITY)
