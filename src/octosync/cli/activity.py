"""`octosync activity`."""

from __future__ import annotations

from typing import Any

import click

from octosync.cli.commands import Command
from octosync.cli.feeds import feed_options, show_feed
from octosync.errors import ExitCode
from octosync.octomil.feeds import activity_feed
from octosync.report.feeds import ACTIVITY


@click.command(cls=Command, epilog="Example:  octosync activity field-notes --follow")
@feed_options
def command(**flags: Any) -> ExitCode:  # noqa: ANN401 — see feeds
    """Show what was done to APP, by whom and when: the newest entries of its activity feed, newest last."""
    return show_feed(flags, activity_feed, ACTIVITY)
