"""`octosync decisions`: show the newest routing decisions of an app."""

from __future__ import annotations

from pathlib import Path

from octosync.cli.commands.activity import FeedRequest
from octosync.cli.run_options import RemoteFlags
from octosync.cli.runs.activity import show_feed
from octosync.errors import ExitCode
from octosync.octomil.activity import decisions_feed
from octosync.report.show.activity import DECISIONS


def run(request: FeedRequest, remote: RemoteFlags, config: Path | None) -> ExitCode:
    """Run `octosync decisions`."""
    return show_feed(request, remote, config, decisions_feed, DECISIONS)
