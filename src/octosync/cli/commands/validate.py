"""`octosync validate`."""

from __future__ import annotations

import sys
from dataclasses import replace

import click

from octosync.cli.command import Command
from octosync.cli.console import out_text, wants_colour
from octosync.cli.inputs import load_inputs
from octosync.cli.options import colour_option, context_option, manifest_options, max_bytes_option
from octosync.cli.output import Destination, Outputs, output_options
from octosync.cli.policies import violations_of
from octosync.cli.run_options import ManifestFlags, RemoteFlags
from octosync.errors import ExitCode
from octosync.report import VALIDATE, RunReport, render_validation


@click.command(cls=Command, epilog="Example:  octosync validate -f apps/ --strict")
@manifest_options
@context_option
@output_options("text", "markdown", "json", "jsonl", "github", "sarif")
@max_bytes_option
@colour_option
def command(
    *,
    output: str,
    destinations: tuple[Destination, ...],
    max_bytes: int,
    colour: str,
    context: str | None,
    manifests: ManifestFlags,
) -> ExitCode:
    """Check manifests offline, and report all problems of all files at once, with positions and suggestions."""
    report = RunReport(command=VALIDATE)
    with Outputs(report=report, output=output, destinations=destinations, max_bytes=max_bytes) as outputs:
        inputs = load_inputs(manifests, RemoteFlags(context=context))
        if inputs.configuration_is_usable:
            found = violations_of(inputs.manifests.state, inputs.configuration, inputs.context)
            inputs = replace(inputs, diagnostics=(*inputs.diagnostics, *found))
        outputs.record_inputs(inputs)
        if output == "text":
            out_text(render_validation(outputs.report, colour=wants_colour(sys.stdout, colour)))
        code = ExitCode.ERROR if inputs.fails else ExitCode.DONE
        outputs.close(replace(outputs.report, exit_code=code))
        return code
