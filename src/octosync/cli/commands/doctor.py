"""`octosync doctor`: its options and help."""

from __future__ import annotations

from pathlib import Path

import click

from octosync.cli.command import Command, runs
from octosync.cli.options import base_option, colour_option, control_plane_options, option, output_option
from octosync.state import DEFAULT_PATH


@click.command(cls=Command, example="octosync doctor --context production")
@option(
    "--state",
    "journal",
    type=click.Path(path_type=Path),
    default=DEFAULT_PATH,
    show_default=True,
    help="The state file to check.",
)
@base_option
@control_plane_options
@output_option("text", "json")
@colour_option
@runs("doctor")
def command() -> None:
    """Check the setup: versions, octosync.yaml, context, API key, control plane, Git, kustomize, the state file.

    Every finding is ok, a warning or an error, with advice. At most two requests are sent, both of them reads. No finding
    contains a secret. The exit code is 1 if there is an error.
    """
