"""`octosync validate`: its options and help."""

from __future__ import annotations

import click

from octosync.cli.command import Command, runs
from octosync.cli.options import (
    FORMATS,
    colour_option,
    context_option,
    manifest_options,
    max_bytes_option,
    option,
    output_options,
)


@click.command(cls=Command, example="octosync validate -f apps/ --strict")
@manifest_options
@context_option
@option("--no-cache", is_flag=True, help="Parse all files, also unchanged ones of a large set that were valid before.")
@output_options(*FORMATS)
@max_bytes_option
@colour_option
@runs("validate")
def command() -> None:
    """Check manifests offline, and report all problems of all files at once, with positions and suggestions."""
