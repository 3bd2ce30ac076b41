"""`octosync validate`."""

from __future__ import annotations

import sys
from typing import Any

import click

from octosync.cli.commands import Command
from octosync.cli.connecting import RemoteFlags
from octosync.cli.console import out_text, wants_colour
from octosync.cli.gathering import ManifestFlags, gather
from octosync.cli.options import colour_option, context_option, manifest_options, max_bytes_option
from octosync.cli.outlets import Destination, Outlets, outlet_options
from octosync.errors import ExitCode
from octosync.report import VALIDATE, render_validation


@click.command(cls=Command, epilog="Example:  octosync validate -f apps/ --strict")
@manifest_options
@context_option
@outlet_options("text", "markdown", "json", "jsonl", "github", "sarif")
@max_bytes_option
@colour_option
def command(
    *,
    output: str,
    destinations: tuple[Destination, ...],
    max_bytes: int,
    colour: str,
    context: str | None,
    **flags: Any,  # noqa: ANN401 — see ManifestFlags
) -> ExitCode:
    """Check manifests, offline: every problem of every file in one go, each with its place and a suggestion."""
    asked = ManifestFlags(**flags)
    with Outlets(command=VALIDATE, output=output, destinations=destinations, max_bytes=max_bytes) as outlets:
        gathered = gather(asked, RemoteFlags(context=context))
        outlets.saw(gathered)
        if output == "text":
            found, files, apps = gathered.diagnostics, gathered.manifests.files, len(gathered.manifests.state.apps)
            painted = wants_colour(sys.stdout, colour)
            out_text(render_validation(found, files=files, apps=apps, colour=painted, strict=asked.strict))
        code = ExitCode.ERROR if gathered.fails else ExitCode.DONE
        outlets.close(outlets.ended(code))
        return code
