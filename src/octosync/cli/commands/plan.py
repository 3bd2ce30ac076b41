"""`octosync plan`: its options and help."""

from __future__ import annotations

from pathlib import Path

import click

from octosync.cli.command import COMPARISON, OUTPUT, REMOTE_CODES, Command, runs
from octosync.cli.options import FORMATS, attempted_option, option, output_options, run_options, shared_state_option
from octosync.errors import ExitCode


@click.command(
    cls=Command,
    codes=(*REMOTE_CODES, ExitCode.CHANGES, ExitCode.GUARDED),
    example="octosync plan -f apps/ --context production --detailed-exitcode",
)
@run_options(reviews=True)
@option(
    "--applied",
    group=COMPARISON,
    metavar="REV",
    help="The last revision that was applied in full: what was merged since is listed as pending, and does not count as drift.",
)
@attempted_option
@option(
    "--plan-out",
    group=OUTPUT,
    type=click.Path(path_type=Path),
    help="Write the plan to a file, for `octosync apply FILE`.",
)
@option(
    "--offline",
    group=COMPARISON,
    is_flag=True,
    help="Plan without an API key and without requests, with the base as live state.",
)
@option(
    "--summary",
    "summary_only",
    group=OUTPUT,
    is_flag=True,
    help="Print only the table of changes, as text or Markdown.",
)
@option(
    "--no-pager",
    group=OUTPUT,
    is_flag=True,
    help="Don't show a long plan in a pager. The pager is OCTOSYNC_PAGER, else PAGER, else less.",
)
@option("--detailed-exitcode", group=OUTPUT, is_flag=True, help="Exit with 2 instead of 0 if there are changes.")
@shared_state_option
@output_options(*FORMATS)
@runs("plan")
def command() -> None:
    """Show the changes that apply would make. Reads the control plane and changes nothing."""
