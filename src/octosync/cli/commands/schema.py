"""`octosync schema`: its options and help."""

from __future__ import annotations

import click

from octosync.cli.command import Command, runs
from octosync.cli.options import option


@click.command(
    cls=Command,
    example="octosync schema manifest > schemas/manifest.json",
    epilog="\b\nIn a manifest, as its first line:\n  # yaml-language-server: $schema=../schemas/manifest.json",
)
@click.argument("name", type=click.Choice(["manifest", "config", "plan", "watch-status"]), required=False)
@option("--kustomize", "kustomize", env=False, is_flag=True, help="Print OpenAPI definitions with merge keys instead.")
@runs("schema")
def command() -> None:
    """Print the JSON Schema of a manifest (the default), of octosync.yaml (config), of a plan, or of a controller's status."""
