"""`octosync accept`: its options and help."""

from __future__ import annotations

import click

from octosync.cli.command import REMOTE_CODES, Command, runs
from octosync.cli.options import base_option, colour_option, manifest_options, option, remote_options


@click.command(cls=Command, codes=REMOTE_CODES, example="octosync accept app/canary-demo/slot/chat -f apps/ --patch")
@click.argument("addresses", nargs=-1, required=True, metavar="ADDRESS...")
@manifest_options
@remote_options
@base_option
@colour_option
@option("--patch", is_flag=True, help="Print the edits as a patch for `git apply`, and write nothing.")
@runs("accept")
def command() -> None:
    """Write live values into the manifests in place, and change nothing else in the files.

    ADDRESS is an address from plan -o json, such as app/SLUG or app/SLUG/slot/CAPABILITY. The files are written only if the plan
    of the result is empty for all addresses. With --base, changes of the branch are kept, and only changes on the control plane
    are accepted.
    """
