"""Debug output (`-v`, OCTOSYNC_DEBUG): the settings in use and each request, one line each. No line contains a secret."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator
from pathlib import Path

from octosync import __version__
from octosync.cli.console import err
from octosync.cli.state_location import ChosenState
from octosync.manifest import Configuration, Context
from octosync.octomil import Connection, TracedRequest
from octosync.report import visible
from octosync.report.text import seconds_words

_WORTH_SHOWING = 0.05  # seconds of a wait


def configuration_words(configuration: Configuration) -> str:
    """Return which octosync.yaml is in use, and why."""
    file = configuration.file
    if file is None:
        return "none in this folder or above it"
    if configuration.is_named:
        why = "OCTOSYNC_CONFIG" if os.environ.get("OCTOSYNC_CONFIG") == file else "--config"
    else:
        why = "found in the working directory" if Path(file).parent == Path() else "the nearest one above this folder"
    return f"{Path(file).absolute()} ({why})"


def key_words(connection: Connection) -> str:
    """Return where the API key comes from and its end, never the key."""
    if connection.token is None:
        return "none"
    return f"{connection.token_source} {connection.token.ending()}".rstrip()


def settings(configuration: Configuration, context: Context | None, connection: Connection) -> Iterator[str]:
    """Yield the settings in use."""
    yield f"octosync {__version__}, Python {platform.python_version()}"
    yield f"octosync.yaml: {configuration_words(configuration)}"
    yield f"context: {'none' if context is None else context.name}"
    yield f"control plane: {connection.url}, org {connection.org or 'of the key'}"
    yield f"API key: {key_words(connection)}"


def state_words(state: ChosenState) -> str:
    """Return where the state is, and what names it."""
    return f"state: {state.location} ({state.source or 'the default'})"


def show_state(state: ChosenState) -> None:
    """Show where the state is on standard error."""
    err(f"debug: {visible(state_words(state))}\n")


def show_settings(configuration: Configuration, context: Context | None, connection: Connection) -> None:
    """Show the settings on standard error."""
    for line in settings(configuration, context, connection):
        err(f"debug: {visible(line)}\n")


def request_words(request: TracedRequest) -> str:
    """Return a request with its status or error, its duration and its ID: `GET /api/v1/apps 200 34 ms req_1`."""
    again = f", attempt {request.attempt}" if request.attempt > 1 else ""
    waited = f", after {seconds_words(request.waited)} for the rate limit" if request.waited >= _WORTH_SHOWING else ""
    id_ = f" {request.request_id}" if request.request_id is not None else ""
    return visible(
        f"{request.method} {request.target} {request.code} {seconds_words(request.seconds)}{id_}{again}{waited}"
    )


def show_request(request: TracedRequest) -> None:
    """Show a request on standard error."""
    err(f"debug: {request_words(request)}\n")
