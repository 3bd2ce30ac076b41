"""`octosync version`."""

from __future__ import annotations

import json
import platform

import click

from octosync import __version__
from octosync.cli.options import output_option


@click.command(epilog="Example:  octosync version -o json")
@output_option("text", "json")
def command(output: str) -> None:
    """Print the version of octosync and of the Python it runs on."""
    if output == "json":
        click.echo(json.dumps({"octosync": __version__, "python": platform.python_version()}))
    else:
        click.echo(f"octosync {__version__}, Python {platform.python_version()}")
