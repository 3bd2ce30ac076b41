"""`octosync status`: its options and help."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import click

from octosync.cli.command import REMOTE_CODES, runs
from octosync.cli.options import (
    BareOption,
    CommandWithBareOptions,
    Interval,
    bundle_options,
    colour_option,
    manifest_options,
    option,
    output_option,
    remote_options,
    state_option,
)

_WATCH_DEFAULT: Final = "10s"


FOLDER: Final = "folder"
LABEL: Final = "label:"


@dataclass(frozen=True, slots=True, kw_only=True)
class CoverageOptions:
    """How coverage is shown: grouped `by`, `full` with every app, in a format and with or without colour."""

    by: str | None
    full: bool
    output: str
    colour: str


def read_by(ctx: click.Context, parameter: click.Parameter, value: str | None) -> str | None:
    """Return the value of `--by`. Raise `click.BadParameter` for an invalid one."""
    if value is None or value == FOLDER or (value.startswith(LABEL) and value != LABEL):
        return value
    raise click.BadParameter(f"{value!r} is not `{FOLDER}` or `{LABEL}KEY`", ctx, parameter)


@dataclass(frozen=True, slots=True, kw_only=True)
class StatusScope:
    """How much of the org is shown: with archived apps, and `short`, one line for each app."""

    archived: bool
    short: bool


@click.command(
    cls=CommandWithBareOptions, codes=REMOTE_CODES, example="octosync status 'search-*' --context production"
)
@click.argument("apps", nargs=-1, metavar="[APP…]")
@option(
    "--watch",
    cls=BareOption,
    bare=_WATCH_DEFAULT,
    type=Interval(),
    metavar="DURATION",
    help=f"Refresh at this interval, {_WATCH_DEFAULT} by default, until Ctrl-C.",
)
@option("--short", is_flag=True, help="Show one line for each app, from lists of the whole org: a few requests in all.")
@option("--archived", is_flag=True, help="Include archived apps.")
@state_option
@option("--declared", is_flag=True, help="Show how much of the org the manifests cover instead.")
@option(
    "--by",
    metavar="folder|label:KEY",
    callback=read_by,
    help="With --declared: group the declared apps by the folder of their manifest, or by a label.",
)
@option("--full", is_flag=True, help="Show the slots of more than 10 apps; with --declared, list every app.")
@manifest_options
@remote_options
@output_option("text", "json", "jsonl")
@colour_option
@bundle_options("shown", CoverageOptions)
@bundle_options("scope", StatusScope)
@runs("status")
def command() -> None:
    """Show live state: coverage, deployments and canaries, traffic, the last change, and the model reference of each slot.

    APP is a slug or a pattern with *. The default is all apps that are not archived. An app needs at most 7 requests; with
    --short, the number of requests doesn't grow with the apps beyond the pages of lists.

    --declared compares manifests with the list of apps of the org. Select manifests as for plan, with -f and the options after
    it.
    """
