"""`octosync accept`."""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import click

from octosync.cli.command import Command
from octosync.cli.commands.accept_edits import (
    Looked,
    Made,
    disproof,
    look_at,
    make,
    origin_in,
    parse_addresses,
    refuse_unacceptable,
)
from octosync.cli.console import err, out, wants_colour
from octosync.cli.files import replace_all
from octosync.cli.inputs import LoadedInputs, load_valid_inputs
from octosync.cli.options import base_option, manifest_options, option, remote_options
from octosync.cli.progress import ProgressBar
from octosync.cli.run_options import BaseFlags, ManifestFlags, RemoteFlags
from octosync.cli.session import query, session_of
from octosync.errors import ExitCode, OctosyncError
from octosync.manifest import STDIN, EditContext, LoadOptions, load, patch_of, variables_for
from octosync.model import Address
from octosync.octomil import Octomil
from octosync.report import AcceptedChange, render_accepted


@click.command(cls=Command, epilog="Example:  octosync accept app/canary-demo/slot/chat -f apps/ --patch")
@click.argument("addresses", nargs=-1, required=True, metavar="ADDRESS...")
@manifest_options
@remote_options
@base_option
@option("--patch", is_flag=True, help="Print the edits as a patch for `git apply`, and write nothing.")
def command(
    *, addresses: tuple[str, ...], patch: bool, base: str | None, manifests: ManifestFlags, remote: RemoteFlags
) -> ExitCode:
    """Write live values into the manifests in place, and change nothing else in the files.

    ADDRESS is an address from plan -o json, such as app/SLUG or app/SLUG/slot/CAPABILITY. The files are written only if the plan
    of the result is empty for all addresses. With --base, changes of the branch are kept, and only changes on the control plane
    are accepted.
    """
    inputs = load_valid_inputs(manifests, remote, colour="auto", base=BaseFlags(base=base))
    asked = parse_addresses(addresses, inputs.manifests.state)
    if refused := refuse_unacceptable(asked, inputs.manifests.state):
        return _report(Made(state=inputs.manifests.state, refused=refused), inputs, patch="")
    session = session_of(remote, manifests.config, inputs.configuration, inputs.context)
    acceptance = _Acceptance(inputs, manifests, asked)
    made = query(session, "reading", acceptance.run)
    if made.refused:
        return _report(made, inputs, patch="")
    if not patch:
        replace_all({Path(name): both for name, both in made.files.items()})
    return _report(made, inputs, patch=acceptance.patch(made) if patch else None)


class _Acceptance:
    """One acceptance, from its first request to the proof."""

    def __init__(self, inputs: LoadedInputs, flags: ManifestFlags, asked: tuple[Address, ...]) -> None:
        self._inputs = inputs
        self._flags = flags
        self._asked = asked
        self._now = datetime.now(UTC)
        configuration = inputs.configuration
        self._reading = EditContext(
            sensitivity=configuration.sensitivity,
            variables=variables_for(configuration, inputs.context, os.environ, flags.env_allowed),
        )

    async def run(self, remote: Octomil, bar: ProgressBar) -> Made:
        """Read, accept and prove. Raises `OctosyncError` for edits that can't be trusted."""
        inputs = self._inputs
        contract = inputs.configuration.contract
        looked = await look_at(
            self._asked, inputs.manifests.state, remote, now=self._now, base=inputs.base, progress=bar.advance
        )
        made = make(looked, inputs.manifests, contract=contract, reading=self._reading, fileless=self._fileless)
        if not made.refused and made.files:
            self._prove(made, looked)
        return made

    @property
    def _fileless(self) -> str:
        if self._inputs.kustomize is not None:
            return "it is rendered, so it belongs into a file of the kustomization or a patch of it"
        return "what comes from standard input has no file here" if STDIN in self._flags.paths else ""

    def _prove(self, made: Made, looked: Looked) -> None:
        inputs = self._inputs
        after = load(
            self._flags.paths,
            configuration=inputs.configuration,
            context=inputs.context,
            now=self._now,
            options=LoadOptions(
                environment=os.environ,
                env_allowed=self._flags.env_allowed,
                allow_empty=True,
                edited={Path(name).resolve(): new for name, (_, new) in made.files.items()},
            ),
        )
        if why := disproof(
            made,
            looked,
            before=inputs.manifests,
            after=after,
            contract=inputs.configuration.contract,
            now=self._now,
        ):
            raise OctosyncError(
                "not-provable",
                f"the manifests can't be edited so that they say what is live: {why}",
                hints=("Edit them by hand, and compare with octosync plan.",),
            )
        made.accepted = [replace(kept, origin=origin_in(after.state, kept)) for kept in made.accepted]

    def patch(self, made: Made) -> str:
        """Return the edits as a patch. Raises `OctosyncError` where it would show a sensitive value."""
        return "".join(
            patch_of(name, *both, sensitivity=self._reading.sensitivity) for name, both in sorted(made.files.items())
        )


def _report(made: Made, inputs: LoadedInputs, *, patch: str | None) -> ExitCode:
    """Say what came of it: on standard output, or beside a patch there on standard error."""
    if patch:
        out(patch)
    say = out if patch is None else err
    stream = sys.stdout if patch is None else sys.stderr
    say(
        render_accepted(
            [
                AcceptedChange(address=kept.address, origin=kept.origin, fields=kept.fields, what=kept.what)
                for kept in made.accepted
            ],
            made.same,
            made.nowhere,
            made.refused,
            patch=patch is not None,
            sensitivity=inputs.configuration.sensitivity,
            colour=wants_colour(stream, "auto"),
        )
    )
    return ExitCode.ERROR if made.refused else ExitCode.DONE
