"""`octosync decisions`."""

from __future__ import annotations

from typing import Any

import click

from octosync.cli.commands import Command
from octosync.cli.feeds import feed_options, show_feed
from octosync.errors import ExitCode
from octosync.octomil.feeds import decisions_feed
from octosync.report.feeds import DECISIONS


@click.command(cls=Command, epilog="Example:  octosync decisions field-notes --limit 200")
@feed_options
def command(**flags: Any) -> ExitCode:  # noqa: ANN401 — see feeds
    """Show where requests of APP went, the device or the cloud: its newest routing decisions, newest last, and their split."""
    return show_feed(flags, decisions_feed, DECISIONS)
