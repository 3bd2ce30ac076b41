"""`octosync api`: list the operations that octosync sends, and compare them with Octomil's API."""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from pathlib import Path

from octosync.cli import signals
from octosync.cli.console import out_json, out_text, read_stdin, wants_colour
from octosync.cli.run_options import RemoteFlags
from octosync.cli.session import check_app_names, configuration_in, open_session, query
from octosync.contract.openapi import MAX_DOCUMENT_BYTES, compare_with, read_document
from octosync.errors import ExitCode, OctosyncError, UsageError
from octosync.octomil import (
    API_PATH,
    document_source,
    fetch_document,
    is_url,
    probe_reads,
    proxy_from_environment,
)
from octosync.report.show.api import (
    conformance_document,
    operations_document,
    probe_document,
    render_conformance,
    render_operations,
    render_probe,
)


def list_(config: Path | None, output: str, colour: str) -> ExitCode:
    """Run `octosync api list`."""
    contract = configuration_in(config).contract
    if output == "json":
        out_json(operations_document(contract))
    else:
        out_text(render_operations(contract, colour=wants_colour(sys.stdout, colour)))
    return ExitCode.DONE


def check(spec: str, config: Path | None, output: str, colour: str) -> ExitCode:
    """Run `octosync api check`."""
    contract = configuration_in(config).contract
    name, data = _document(spec)
    conformance = compare_with(read_document(data, name), contract, API_PATH)
    if output == "json":
        out_json(conformance_document(conformance, name))
    else:
        out_text(render_conformance(conformance, name, colour=wants_colour(sys.stdout, colour)))
    return ExitCode.DONE if conformance.agrees else ExitCode.ERROR


def probe(
    *,
    app: str | None,
    operations: tuple[str, ...],
    output: str,
    colour: str,
    remote: RemoteFlags,
    config: Path | None,
) -> ExitCode:
    """Run `octosync api probe`."""
    check_app_names(() if app is None else (app,))
    session = open_session(remote, config)
    session = replace(session, connection=replace(session.connection, attempts=1))
    probed = query(session, "probing", lambda remote, bar: probe_reads(remote, app, operations, progress=bar.advance))
    contract, url = session.configuration.contract, session.connection.url
    if output == "json":
        out_json(probe_document(probed, contract, url=url))
    else:
        out_text(render_probe(probed, contract, url=url, colour=wants_colour(sys.stdout, colour)))
    return ExitCode.DONE if probed.is_good else ExitCode.ERROR


def _document(spec: str) -> tuple[str, bytes]:
    """Return the name and the bytes of a document. Raise `OctosyncError` if it can't be read."""
    if not spec.strip():
        raise UsageError("empty-value", "SPEC is empty", hints=("Is a variable not set?",))
    if is_url(spec):
        source = document_source(spec)
        source = replace(source, proxy=proxy_from_environment(source.url, os.environ))

        async def fetched(_: signals.StopSignal) -> bytes:
            return await fetch_document(spec, source, largest=MAX_DOCUMENT_BYTES)

        return source.url, signals.run(fetched)
    most = MAX_DOCUMENT_BYTES + 1
    name, data = ("standard input", read_stdin(most)) if spec == "-" else (spec, _file(Path(spec), most))
    if len(data) > MAX_DOCUMENT_BYTES:
        raise OctosyncError(
            "spec-too-large",
            f"{name} has more than {MAX_DOCUMENT_BYTES // 2**20} MiB",
            hints=("Check that it is an OpenAPI document.",),
        )
    return name, data


def _file(path: Path, most: int) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(most)
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not a file name"
        hints = ("SPEC is a file, a URL that begins with https://, or - for standard input.",)
        raise OctosyncError("spec-unreadable", f"{path} can't be read: {why}", hints=hints) from None
