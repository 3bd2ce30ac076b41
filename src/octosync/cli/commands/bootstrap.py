"""`octosync bootstrap`: its options and help."""

from __future__ import annotations

from pathlib import Path

import click

from octosync.cli.command import REMOTE_CODES, Command, runs
from octosync.cli.options import control_plane_options, lock_timeout_option, option, output_option, state_option


@click.command(
    cls=Command,
    codes=REMOTE_CODES,
    example="octosync bootstrap notes --platform ios --identifier com.acme.notes \\\n  --key-file keys.env",
)
@click.argument("slug", metavar="APP")
@option("--platform", required=True, metavar="NAME", help="The platform of the app: ios, android, macos, browser, …")
@option("--identifier", required=True, metavar="ID", help="Bundle ID, package name or, for browsers, origin.")
@option("--name", metavar="TEXT", help="The display name of the app. The default is its slug.")
@option(
    "--key-file",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Write the keys to this new file (0600). The default is standard output.",
)
@control_plane_options
@state_option
@lock_timeout_option
@output_option("text", "json")
@runs("bootstrap")
def command() -> None:
    """Create an app with its target and keys in one transaction, and print its manifest.

    The keys are shown only once. With --key-file, standard output is the manifest, for `> apps/APP.yaml`; without it, standard
    output is the keys, and standard error the manifest.
    """
