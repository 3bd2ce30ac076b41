"""`octosync state`: its options and help."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

import click

from octosync.cli.command import OrderedCommandGroup, runs
from octosync.cli.options import (
    Duration,
    LocationType,
    colour_option,
    combine_options,
    config_option,
    context_option,
    option,
    output_option,
    state_option,
)
from octosync.errors import ExitCode, UsageError

if TYPE_CHECKING:
    from octosync.state import StateLocation

_VARIABLE: Final = "env:"
_CODES: Final = (ExitCode.DONE, ExitCode.ERROR, ExitCode.USAGE, ExitCode.UNAVAILABLE)

place_options = combine_options(state_option, config_option, context_option)


class PlaceType(LocationType):
    """A location, or `env:NAME` for a URL with a password in an environment variable."""

    name = "location"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> StateLocation:
        """Return the location. Raises `UsageError`, which does not quote the value."""
        from octosync.state import StateUrl, parse_location

        text = str(value)
        if not text.startswith(_VARIABLE):
            return super().convert(value, param, ctx)
        name = text.removeprefix(_VARIABLE)
        url = os.environ.get(name, "").strip()
        if not url:
            raise UsageError(
                "no-state-url", f"{name or 'the variable'} is not set", hints=("For a file of this name: ./env:…",)
            )
        try:
            location = parse_location(url)
        except UsageError as error:
            raise UsageError(error.reference, f"{name}: {error.message}", hints=error.hints) from None
        if not isinstance(location, StateUrl):
            raise UsageError(
                "state-url-invalid",
                f"{name} is not the URL of a PostgreSQL database",
                hints=("Name a file by its path.",),
            )
        return location


@click.group(cls=OrderedCommandGroup, example="octosync state show\noctosync state backup state-backup.db")
def command() -> None:
    """Show, check, back up, copy and prune the state: the journal of runs, and what `octosync watch` stores."""


@command.command(
    short_help="Show where the state is, what it has and who uses it.",
    codes=_CODES,
    example="octosync state show --context production",
)
@place_options
@output_option("text", "json")
@colour_option
@runs("state", "show")
def show() -> None:
    """Show where the state is, its size, its control planes with their numbers of apps, holds and approvals, and who uses it.

    Nothing is written, and a missing state is not created.
    """


@command.command(
    short_help="Read the whole state, and report what is wrong.", codes=_CODES, example="octosync state check"
)
@place_options
@output_option("text", "json")
@colour_option
@runs("state", "check")
def check() -> None:
    """Read the whole state, and check the database: every finding is ok, a warning or an error, with advice.

    Nothing is written. The exit code is 1 if there is an error.
    """


@command.command(
    short_help="Write a copy of the state into a file.",
    codes=_CODES,
    example="octosync state backup state-backup.db",
)
@click.argument("file", type=click.Path(), metavar="FILE")
@option("--force", env=False, is_flag=True, help="Replace an existing file.")
@place_options
@output_option("text", "json")
@runs("state", "backup")
def backup() -> None:
    """Write a copy of the state, from a file or a database, into a file that only you can read.

    The copy has the state of one moment, also while watch and apply use it. It is a state file: --state FILE reads it, and
    `octosync state copy` restores it. It contains the key by which sensitive values are recognized: keep it as safe as the state.
    """


@command.command(
    short_help="Copy the state to another file or database.",
    codes=_CODES,
    example="octosync state copy .octosync/state.db \\\n  postgresql://octosync@db.example.com/octosync",
)
@click.argument("source", type=PlaceType(), metavar="FROM")
@click.argument("target", type=PlaceType(), metavar="TO")
@output_option("text", "json")
@runs("state", "copy")
def copy() -> None:
    """Copy a state to an empty file or database: runs, baselines, drift, holds, approvals, and what else watch stores.

    FROM and TO are each the path of a file, a postgresql:// URL, or env:NAME for a variable that holds a URL. Stop
    `octosync watch` first, since what it writes during the copy would be lost. FROM is not changed. If the copy fails or is
    killed, TO is as before.
    """


@command.command(
    short_help="Delete old runs, unused approvals and ended holds.",
    codes=_CODES,
    example="octosync state prune --older-than 90d",
)
@option(
    "--older-than",
    required=True,
    type=Duration(),
    metavar="DURATION",
    help="The age from which on rows are deleted, at least 1d.",
)
@option("-y", "--yes", env=False, is_flag=True, help="Skip the confirmation; required without a terminal.")
@place_options
@output_option("text", "json")
@runs("state", "prune")
def prune() -> None:
    """Delete runs with their actions, reverts, unused approvals and ended holds that are older than a duration.

    Baselines, drift and other holds stay. `octosync watch` prunes what is older than 90 days automatically; for `apply` alone,
    run this command now and then.
    """
