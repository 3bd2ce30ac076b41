"""`octosync doctor`: its options and help."""

from __future__ import annotations

import click

from octosync.cli.command import Command, runs
from octosync.cli.options import (
    base_option,
    checked_state_option,
    colour_option,
    control_plane_options,
    output_option,
)


@click.command(cls=Command, example="octosync doctor --context production")
@checked_state_option
@base_option
@control_plane_options
@output_option("text", "json")
@colour_option
@runs("doctor")
def command() -> None:
    """Check the setup: versions, octosync.yaml, context, API key, control plane, Git, kustomize, the state.

    Every finding is ok, a warning or an error, with advice. At most two requests are sent, both of them reads. No finding
    contains a secret. The exit code is 1 if there is an error.
    """
