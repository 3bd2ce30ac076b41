"""`octosync demo`: its options and help."""

from __future__ import annotations

import click

from octosync.cli.command import Command, runs
from octosync.cli.options import colour_option, option


@click.command(cls=Command, example="octosync demo")
@option("--step", is_flag=True, help="Wait for Enter between the parts; needs a terminal.")
@colour_option
@runs("demo")
def command() -> None:
    """Run a complete example: validate, plan, apply, and the detection and revert of a manual change.

    Uses the shipped examples and an embedded control plane in a temporary folder. The demo reads and changes no other files,
    uses no API key, and leaves no files behind.
    """
