"""`octosync api`: its options and help."""

from __future__ import annotations

import click

from octosync.cli.command import REMOTE_CODES, OrderedCommandGroup, runs
from octosync.cli.options import colour_option, config_option, control_plane_options, option, output_option
from octosync.contract import READ_BY_GET


@click.group(cls=OrderedCommandGroup, example="octosync api check openapi.json")
def command() -> None:
    """Compare octosync's requests with Octomil's API, whose paths and fields are assumed."""


@command.command("list", short_help="List the operations that octosync sends.", example="octosync api list -o json")
@config_option
@output_option("text", "json")
@colour_option
@runs("api", "list_")
def list_() -> None:
    """List the operations that octosync sends, with method, path, the source of this knowledge and the commands."""


@command.command(example="octosync api check https://api.octomil.com/openapi.json")
@click.argument("spec", metavar="SPEC")
@config_option
@output_option("text", "json")
@colour_option
@runs("api", "check")
def check() -> None:
    """Compare the operations with an OpenAPI document.

    SPEC is a file, a URL, or - for standard input; OpenAPI 3.0 or 3.1, JSON or YAML. It is fetched without the API key.
    The output lists the differences, with the overrides for octosync.yaml that fix them. The exit code is 1 if there are any.
    """


@command.command(
    short_help="Try the read operations with at most ten GET requests.",
    codes=REMOTE_CODES,
    example="octosync api probe field-notes --context production",
)
@click.argument("app", required=False, metavar="[APP]")
@option(
    "--operation",
    "operations",
    multiple=True,
    type=click.Choice(READ_BY_GET),
    metavar="ID",
    help="Try only this operation, and those that it depends on. Repeatable.",
)
@control_plane_options
@output_option("text", "json")
@colour_option
@runs("api", "probe")
def probe() -> None:
    """Try the read operations on the control plane with at most ten GET requests, each sent once.

    APP is the slug of an app. The default is the first app of the list. Each operation is confirmed, different, rejected or
    absent. The output contains overrides for octosync.yaml. The exit code is 1 if an operation is not confirmed.
    """
