"""`octosync version`."""

from __future__ import annotations

import click

from octosync import __version__
from octosync.cli.command import Command
from octosync.cli.console import out, out_json
from octosync.cli.options import output_option


@click.command(cls=Command, example="octosync version -o json")
@output_option("text", "json")
def command(output: str) -> None:
    """Print the versions of octosync and Python."""
    import platform

    python = platform.python_version()
    if output == "json":
        from octosync.plan import FORMAT_VERSION

        out_json({"format_version": FORMAT_VERSION, "octosync": __version__, "python": python})
    else:
        out(f"octosync {__version__}, Python {python}\n")
