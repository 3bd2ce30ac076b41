"""`octosync bootstrap`: create an app with its target and keys, and print its manifest."""

from __future__ import annotations

import asyncio
import os
import shlex
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import click

from octosync.apply import BootstrapResult, FirstApp, Keys, bootstrap_app, check_slug_is_free, key_hint
from octosync.cli import signals
from octosync.cli.audit import audit_of
from octosync.cli.console import err, note, out
from octosync.cli.file_writer import KeyFile
from octosync.cli.progress import ProgressBar, WaitDisplay
from octosync.cli.root import report_failure
from octosync.cli.run_options import LockTimeout, RemoteFlags, StateFlag
from octosync.cli.session import Session, control_plane, open_client, open_session
from octosync.cli.shared_state import refuse_if_suspended, run_lock
from octosync.cli.state_location import ChosenState, shown_state
from octosync.errors import ExitCode, Interrupted, OctosyncError, UsageError
from octosync.manifest import STDIN, load_manifests, starter_manifest
from octosync.model import Diagnostic, RunAudit, Severity
from octosync.octomil import Octomil
from octosync.plan import ControlPlane
from octosync.report import (
    NOTHING_WRITTEN,
    bootstrap_document,
    json_text,
    keys_text,
    render_bootstrap,
    render_bootstrap_end,
)
from octosync.state import Journal, Record

_ARGUMENTS: Final = {
    "metadata.name": "APP",
    "spec.name": "--name",
    "spec.targets[0].platform": "--platform",
    "spec.targets[0].identifier": "--identifier",
}


def run(  # noqa: PLR0913 — the parameters of a command are its flags
    *,
    slug: str,
    platform: str,
    identifier: str,
    name: str | None,
    key_file: Path | None,
    journal: StateFlag,
    lock_timeout: LockTimeout,
    output: str,
    remote: RemoteFlags,
    config: Path | None,
) -> ExitCode:
    """Run `octosync bootstrap`."""
    app = FirstApp(slug=slug, name=slug if name is None else name, platform=platform, identifier=identifier)
    session = open_session(remote, config)
    digest = _validate(app, session)
    state = shown_state(journal, session.configuration, session.context, config)
    if key_file is None and _discards_output():
        raise UsageError(
            "no-key-destination",
            "standard output is closed or /dev/null, so the keys would be lost",
            hints=("Write the keys to a file: --key-file FILE",),
        )
    with ExitStack() as stack:
        file = stack.enter_context(KeyFile(key_file)) if key_file is not None else None
        bootstrap = _BootstrapRun(session=session, app=app, digest=digest, state=state, file=file, output=output)
        try:
            return signals.run(lambda stop_signal: bootstrap.run(stop_signal, lock_timeout))
        except _BootstrapInterrupted as error:
            return report_failure(error, written="")


class _BootstrapInterrupted(Interrupted):
    """A second signal ended the run while the request was in flight."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _BootstrapRun:
    """One bootstrap, from its first request to its report."""

    session: Session
    app: FirstApp
    digest: str
    state: ChosenState
    file: KeyFile | None
    output: str

    async def run(self, stop_signal: signals.StopSignal, lock_timeout: LockTimeout) -> ExitCode:
        """Check that the slug is free, create the app, and write out the keys before anything else can fail."""
        wait_display = WaitDisplay()
        async with (
            open_client(self.session, wait_display) as remote,
            run_lock(self.state.location, self._plane, self._audit, wait=lock_timeout) as lock,
        ):
            await refuse_if_suspended(self.state.location, self._plane)
            with self._progress(wait_display):
                await check_slug_is_free(self.app, remote, export=self._typed("export"))
            with Journal(self.state.location) as journal:
                if lock is not None:
                    lock.protect(remote, journal)
                plane = self._plane
                record = Record.begin(
                    journal,
                    control_plane=plane.url,
                    org_id=plane.org_id,
                    digest=self.digest,
                    run=None if lock is None else lock.run,
                    audit=self._audit,
                )
                with self._progress(wait_display):
                    result = await self._send(remote, record, stop_signal)
                lost = self._write_keys(result, record.run)
                code = _code(result, lost, stop_signal)
                self._report(result, lost, result.unrecorded or _end(record, code))
        note(render_bootstrap_end(run_id=record.run, history=self.state.history_command("last"), exit_code=code))
        return code

    def _typed(self, command: str) -> str:
        """Return the start of a command line that reaches the same control plane."""
        return shlex.join(("octosync", command, *self.session.connection_arguments))

    @property
    def _plane(self) -> ControlPlane:
        return control_plane(self.session.connection, self.session.context, None)

    @property
    def _audit(self) -> RunAudit:
        connection = self.session.connection
        return audit_of(
            "bootstrap",
            context=self._plane.context,
            flags=("--insecure",) if connection.insecure else (),
            keys=() if connection.token is None else (connection.token,),
        )

    @contextmanager
    def _progress(self, wait_display: WaitDisplay) -> Iterator[None]:
        with ProgressBar("bootstrapping", self.session.connection.requests_per_minute) as bar:
            wait_display.show = bar.waiting
            yield

    async def _send(self, remote: Octomil, record: Record, stop_signal: signals.StopSignal) -> BootstrapResult:
        def may_send() -> bool:
            """Return whether to send. From here on, a signal waits for the response, which contains the keys.

            The start is recorded, and the outcome is recorded even if the run loses its lock meanwhile.
            """
            stop_signal.graceful, record.journal.fence = True, None
            return not stop_signal.requested.is_set()

        try:
            return await bootstrap_app(self.app, remote, record=record, may_send=may_send, export=self._typed("export"))
        except asyncio.CancelledError:
            if not stop_signal.graceful:  # nothing was sent
                _end(record, stop_signal.code or ExitCode.INTERRUPTED)
                raise
        raise _BootstrapInterrupted(
            "interrupted",
            f"the run was interrupted: app `{self.app.slug}` may have been created, and then its keys are lost",
            hints=(
                "Run this again: it creates the app if it does not exist, and reports if it does.",
                f"To see what was sent:  {self.state.history_command(record.run)}",
            ),
            exit_code=stop_signal.code,
        )

    def _write_keys(self, result: BootstrapResult, run: str) -> OctosyncError | None:
        """Write the keys and the manifest to their destinations. Return the error if the keys are lost."""
        if result.keys is None or result.made is None:
            return None
        keys, made, manifest = _revealed(result.keys), result.made, _manifest(result.made)
        path = str(self.file.path) if self.file is not None else None
        if self.file is not None:
            try:
                self.file.write(keys_text(keys))
            except OSError as error:
                return self._lost(f"{path} can't be written: {error.strerror}")
        text = keys_text(keys) if path is None else manifest
        if self.output == "json":
            document = bootstrap_document(
                run_id=run, app=made.slug, target=made.target, keys=keys, key_file=path, manifest=manifest
            )
            text = json_text(document)
        unwritable = _written(text)
        if unwritable and path is None:
            return self._lost(unwritable)
        where = self._plane.context or self._plane.host
        note(render_bootstrap(app=made.slug, target=made.target, where=where, key_file=path, plan=self._typed("plan")))
        if unwritable or (path is None and self.output == "text"):
            err(f"\n{manifest}\n", wraps=False)
        return None

    def _lost(self, why: str) -> OctosyncError:
        return OctosyncError(
            "keys-lost",
            f"the keys of app `{self.app.slug}` were created and are lost: {why}",
            hints=(
                f"The keys are shown only once. {key_hint(self.app.slug)}",
                f"The manifest to commit:  {self._typed('export')} {self.app.slug}",
            ),
            exit_code=ExitCode.PARTIAL,
        )

    def _report(self, result: BootstrapResult, lost: OctosyncError | None, unrecorded: OctosyncError | None) -> None:
        for error in (result.error, lost):
            if error is not None:
                report_failure(error, written="" if result.wrote else NOTHING_WRITTEN)
        if unrecorded is not None:
            report_failure(unrecorded, written="The run is complete; only its end is missing in the journal.")


def _code(result: BootstrapResult, lost: OctosyncError | None, stop_signal: signals.StopSignal) -> ExitCode:
    error = lost or result.error
    return stop_signal.code or (error.exit_code if error is not None else ExitCode.DONE)


def _end(record: Record, code: ExitCode) -> OctosyncError | None:
    """End the run in the journal; return the error if that fails."""
    try:
        record.end(int(code))
    except OctosyncError as error:
        return error
    return None


def _written(text: str) -> str:
    """Write to standard output; return why that failed, "" if it did not."""
    try:
        out(text)
    except click.exceptions.Exit:
        return "standard output was closed"
    except OctosyncError as error:
        return error.message
    return ""


def _revealed(keys: Keys) -> dict[str, str]:
    publishable = {"publishable_key": keys.publishable.reveal()} if keys.publishable else {}
    return {"app_key": keys.app.reveal(), **publishable}


def _manifest(app: FirstApp) -> str:
    return starter_manifest(app.slug, name=app.name, platform=app.platform, identifier=app.identifier)


def _validate(app: FirstApp, session: Session) -> str:
    """Check the app with the rules for manifests, and return the digest of its manifest. Shows warnings.

    Raises `UsageError` with all problems.
    """
    manifests = load_manifests(
        [STDIN],
        configuration=session.configuration,
        context=session.context,
        now=datetime.now(UTC),
        stdin=_manifest(app).encode(),
    )
    if manifests.has_errors:
        problems = [
            _problem(diagnostic) for diagnostic in manifests.diagnostics if diagnostic.severity is Severity.ERROR
        ]
        raise UsageError("bad-argument", "the app is not valid", hints=tuple(problems))
    for diagnostic in manifests.diagnostics:
        if diagnostic.severity is Severity.WARNING:
            err(f"warning: {diagnostic.rule}: {_problem(diagnostic)}\n")
    return manifests.digest


def _problem(diagnostic: Diagnostic) -> str:
    suggestion = f": did you mean `{diagnostic.suggestion}`?" if diagnostic.suggestion else ""
    return f"{_ARGUMENTS.get(diagnostic.path, diagnostic.path)}: {diagnostic.summary}{suggestion}"


def _discards_output() -> bool:
    """Return whether standard output is closed or /dev/null."""
    try:
        return os.path.samestat(os.fstat(sys.stdout.fileno()), os.stat(os.devnull))  # noqa: PTH116 — as the line has `os.fstat`
    except OSError:
        return False
