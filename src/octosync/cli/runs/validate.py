"""`octosync validate`."""

from __future__ import annotations

import sys
from dataclasses import replace

from octosync.cli.console import out_text, wants_colour
from octosync.cli.inputs import load_inputs
from octosync.cli.options import Destination
from octosync.cli.output import Outputs
from octosync.cli.run_options import ManifestFlags, RemoteFlags
from octosync.errors import ExitCode
from octosync.report import VALIDATE, RunReport, render_validation


def run(
    *,
    output: str,
    destinations: tuple[Destination, ...],
    max_bytes: int,
    colour: str,
    context: str | None,
    manifests: ManifestFlags,
    no_cache: bool,
) -> ExitCode:
    """Run `octosync validate`."""
    report = RunReport(command=VALIDATE)
    with Outputs(report=report, output=output, destinations=destinations, max_bytes=max_bytes) as outputs:
        inputs = load_inputs(manifests, RemoteFlags(context=context), knows_valid_files=not no_cache)
        if inputs.configuration_is_usable and inputs.configuration.policies:
            from octosync.cli.policies import violations_of

            found = violations_of(inputs.manifests.state, inputs.configuration, inputs.context)
            inputs = replace(inputs, diagnostics=(*inputs.diagnostics, *found))
        outputs.record_inputs(inputs)
        if output == "text":
            out_text(render_validation(outputs.report, colour=wants_colour(sys.stdout, colour)))
        code = ExitCode.ERROR if inputs.fails else ExitCode.DONE
        outputs.close(replace(outputs.report, exit_code=code))
        return code
