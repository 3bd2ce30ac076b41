"""`octosync validate`."""

from __future__ import annotations

import sys
from typing import Any

import click

from octosync.cli.connecting import RemoteFlags
from octosync.cli.console import out, out_json, wants_colour
from octosync.cli.gathering import ManifestFlags, gather
from octosync.cli.options import colour_option, context_option, manifest_options, output_option
from octosync.errors import ExitCode
from octosync.report import render_validation, validate_document


@click.command(epilog="Example:  octosync validate -f apps/ --strict")
@manifest_options
@context_option
@output_option("text", "json")
@colour_option
def command(output: str, colour: str, context: str | None, **flags: Any) -> ExitCode:  # noqa: ANN401 — see ManifestFlags
    """Check manifests, offline: every problem of every file in one go, each with its place and a suggestion."""
    asked = ManifestFlags(**flags)
    gathered = gather(asked, RemoteFlags(context=context))
    found, files, apps = gathered.diagnostics, gathered.manifests.files, len(gathered.manifests.state.apps)
    if output == "json":
        out_json(validate_document(found, files=files, apps=apps, strict=asked.strict))
    else:
        painted = wants_colour(sys.stdout, colour)
        out(render_validation(found, files=files, apps=apps, colour=painted, strict=asked.strict))
    return ExitCode.ERROR if gathered.fails else ExitCode.DONE
