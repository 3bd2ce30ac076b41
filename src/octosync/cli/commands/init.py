"""`octosync init`: its options and help."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import click

from octosync.cli.command import Command, runs
from octosync.cli.options import option

APP: Final = "my-app"
CONTEXTS: Final = "production"


@click.command(cls=Command, example="octosync init gitops --app notes --contexts staging,production --yes")
@click.argument("directory", metavar="[DIR]", default=".", type=click.Path(path_type=Path))
@option("--app", "slug", metavar="SLUG", help=f"The slug of the first app. The default without a prompt is {APP}.")
@option(
    "--contexts",
    metavar="NAMES",
    help="Contexts for Octomil besides local, separated by commas, in the order in which merges are applied to them; "
    f"production is last. The default without a prompt is {CONTEXTS}.",
)
@option("--branch", metavar="NAME", default="main", show_default=True, help="The branch whose merges are applied.")
@option(
    "--action-ref",
    metavar="COMMIT",
    help="The commit of octosync whose workflows are called. The default is the commit of this installation.",
)
@option("-y", "--yes", env=False, is_flag=True, help="Skip prompts; required without a terminal.")
@runs("init")
def command() -> None:
    """Create a starter repository: a manifest, octosync.yaml, GitHub workflows, and schemas for editors.

    Its default context is `local`, the embedded control plane. If one of the files exists, the command writes nothing. It creates
    no commit.
    """
