"""`octosync schema`: print the schemas for editors, for tools that read plans, and for kustomize."""

from __future__ import annotations

import click

from octosync.cli.command import Command
from octosync.cli.console import out_json
from octosync.cli.options import option
from octosync.errors import UsageError


@click.command(
    cls=Command,
    epilog="Example:  octosync schema manifest > schemas/manifest.json\n\n"
    "\b\nIn a manifest, as its first line:\n  # yaml-language-server: $schema=../schemas/manifest.json",
)
@click.argument("name", type=click.Choice(["manifest", "config", "plan"]), required=False)
@option("--kustomize", "kustomize", env=False, is_flag=True, help="Print OpenAPI definitions with merge keys instead.")
def command(name: str | None, *, kustomize: bool) -> None:
    """Print the JSON Schema of a manifest (the default), of octosync.yaml (config) or of a plan's JSON."""
    from octosync.manifest import configuration_schema, kustomize_definitions, manifest_schema
    from octosync.plan import plan_schema

    if kustomize and name is not None:
        raise UsageError(
            "two-schemas",
            f"--kustomize can't be combined with {name}: it prints a different document",
            hints=("Use only one of them.",),
        )
    schemas = {None: manifest_schema, "manifest": manifest_schema, "config": configuration_schema, "plan": plan_schema}
    out_json(kustomize_definitions() if kustomize else schemas[name]())
