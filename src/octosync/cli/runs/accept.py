"""`octosync accept`: write live values into the manifests."""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from octosync.cli.console import err, out, wants_colour
from octosync.cli.file_writer import replace_all
from octosync.cli.inputs import LoadedInputs, load_valid_inputs
from octosync.cli.progress import ProgressBar
from octosync.cli.run_options import BaseFlags, ManifestFlags, RemoteFlags
from octosync.cli.runs.accept_edits import (
    AcceptResult,
    ObservedObjects,
    accept_objects,
    observe_addresses,
    origin_in,
    parse_addresses,
    refuse_unacceptable,
    verification_failure,
)
from octosync.cli.session import query, session_of
from octosync.errors import ExitCode, OctosyncError
from octosync.manifest import STDIN, EditContext, LoadOptions, load_manifests, patch_of, variables_for
from octosync.model import Address
from octosync.octomil import Octomil
from octosync.report import AcceptedChange, render_accepted


def run(
    *,
    addresses: tuple[str, ...],
    patch: bool,
    base: str | None,
    colour: str,
    manifests: ManifestFlags,
    remote: RemoteFlags,
) -> ExitCode:
    """Run `octosync accept`."""
    inputs = load_valid_inputs(manifests, remote, colour=colour, base=BaseFlags(base=base))
    requested = parse_addresses(addresses, inputs.manifests.state)
    if refused := refuse_unacceptable(requested, inputs.manifests.state):
        return _report(AcceptResult(state=inputs.manifests.state, refused=refused), inputs, patch="", colour=colour)
    session = session_of(remote, manifests.config, inputs.configuration, inputs.context)
    acceptance = _Acceptance(inputs, manifests, requested)
    result = query(session, "reading", acceptance.run)
    if result.refused:
        return _report(result, inputs, patch="", colour=colour)
    if not patch:
        replace_all({Path(name): versions for name, versions in result.files.items()})
    return _report(result, inputs, patch=acceptance.patch(result) if patch else None, colour=colour)


class _Acceptance:
    """One run of accept, from its first request to the verified edits."""

    def __init__(self, inputs: LoadedInputs, flags: ManifestFlags, addresses: tuple[Address, ...]) -> None:
        self._inputs = inputs
        self._flags = flags
        self._addresses = addresses
        self._now = datetime.now(UTC)
        configuration = inputs.configuration
        self._edit_context = EditContext(
            sensitivity=configuration.sensitivity,
            variables=variables_for(configuration, inputs.context, os.environ, flags.env_allowed),
        )

    async def run(self, remote: Octomil, bar: ProgressBar) -> AcceptResult:
        """Read, accept and verify. Raise `OctosyncError` for edits that are not correct."""
        inputs = self._inputs
        contract = inputs.configuration.contract
        observed = await observe_addresses(
            self._addresses, inputs.manifests.state, remote, now=self._now, base=inputs.base, progress=bar.advance
        )
        result = accept_objects(
            observed, inputs.manifests, contract=contract, edit_context=self._edit_context, fileless=self._fileless
        )
        if not result.refused and result.files:
            self._verify(result, observed)
        return result

    @property
    def _fileless(self) -> str:
        if self._inputs.kustomize is not None:
            return "it is rendered: edit a file of the kustomization or a patch"
        return "the manifests come from standard input, not from a file" if STDIN in self._flags.paths else ""

    def _verify(self, result: AcceptResult, observed: ObservedObjects) -> None:
        inputs = self._inputs
        after = load_manifests(
            self._flags.paths,
            configuration=inputs.configuration,
            context=inputs.context,
            now=self._now,
            options=LoadOptions(
                environment=os.environ,
                env_allowed=self._flags.env_allowed,
                allow_empty=True,
                edited={Path(name).resolve(): new for name, (_, new) in result.files.items()},
            ),
        )
        if why := verification_failure(
            result,
            observed,
            before=inputs.manifests,
            after=after,
            contract=inputs.configuration.contract,
            now=self._now,
        ):
            raise OctosyncError(
                "edit-mismatch",
                f"the edited manifests would not match the live state: {why}",
                hints=("Edit them yourself, and check with octosync plan.",),
            )
        result.accepted = [replace(change, origin=origin_in(after.state, change)) for change in result.accepted]

    def patch(self, result: AcceptResult) -> str:
        """Return the edits as a patch. Raise `OctosyncError` if it would show a sensitive value."""
        return "".join(
            patch_of(name, *versions, sensitivity=self._edit_context.sensitivity)
            for name, versions in sorted(result.files.items())
        )


def _report(result: AcceptResult, inputs: LoadedInputs, *, patch: str | None, colour: str) -> ExitCode:
    """Print the report: on standard output, or on standard error if standard output is the patch."""
    if patch:
        out(patch)
    write = out if patch is None else err
    stream = sys.stdout if patch is None else sys.stderr
    write(
        render_accepted(
            [
                AcceptedChange(address=change.address, origin=change.origin, fields=change.fields, what=change.what)
                for change in result.accepted
            ],
            result.unchanged,
            result.absent,
            result.refused,
            patch=patch is not None,
            sensitivity=inputs.configuration.sensitivity,
            colour=wants_colour(stream, colour),
        )
    )
    return ExitCode.ERROR if result.refused else ExitCode.DONE
