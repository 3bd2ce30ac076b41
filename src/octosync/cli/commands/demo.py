"""`octosync demo`: its options and help."""

from __future__ import annotations

import click

from octosync.cli.command import Command, runs


@click.command(cls=Command, example="octosync demo")
@runs("demo")
def command() -> None:
    """Run a complete example: validate, plan, apply, and the detection and revert of a manual change.

    Uses the shipped examples and an embedded control plane in a temporary folder. The demo reads and changes no other files,
    uses no API key, and leaves no files behind.
    """
