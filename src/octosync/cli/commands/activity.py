"""`octosync activity`: its options and help."""

from __future__ import annotations

from dataclasses import dataclass

import click

from octosync.cli.command import REMOTE_CODES, Command, runs
from octosync.cli.options import (
    Interval,
    bundle_options,
    colour_option,
    combine_options,
    control_plane_options,
    option,
    output_option,
)

_MOST = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class FeedRequest:
    """The options of a command that shows a feed."""

    app: str
    limit: int
    follow: bool
    interval: float
    output: str
    colour: str


feed_options = combine_options(
    click.argument("app"),
    option(
        "--limit",
        type=click.IntRange(0, _MOST),
        default=50,
        show_default=True,
        metavar="N",
        help="The number of newest entries; 0 is allowed with --follow.",
    ),
    option("--follow", is_flag=True, help="Show new entries as they arrive, until Ctrl-C."),
    option(
        "--interval",
        type=Interval(),
        default="5s",
        show_default=True,
        metavar="DURATION",
        help="The time between the requests of --follow.",
    ),
    bundle_options("request", FeedRequest),
    control_plane_options,
    output_option("text", "json", "jsonl"),
    colour_option,
)


@click.command(cls=Command, codes=REMOTE_CODES, example="octosync activity field-notes --follow")
@feed_options
@runs("activity")
def command() -> None:
    """Show the newest entries of the activity feed of APP, newest last."""
