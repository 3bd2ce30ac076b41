"""What commands begin with that only speak with the control plane: octosync.yaml, the context in force, and a client."""

from __future__ import annotations

import os
import sys
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from octosync.cli import signals
from octosync.cli.console import err, wants_colour
from octosync.cli.options import config_option, remote_options, stacked
from octosync.cli.progress import ProgressBar, Waits
from octosync.cli.run_options import RemoteFlags
from octosync.cli.session import chosen_context, connect, read_or_find
from octosync.errors import ConfigError, UsageError
from octosync.manifest import Configuration, Context
from octosync.octomil import Connection, Octomil
from octosync.report import render_diagnostics

T = TypeVar("T")

control_plane_options = stacked(config_option, remote_options)


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """All that is known of a control plane before the first request.

    `typed` is what has to be typed again of a command that asks the same one.
    """

    configuration: Configuration
    context: Context | None
    connection: Connection
    typed: tuple[str, ...]


def check_app_names(names: Iterable[str]) -> None:
    """Refuse what can be no slug: in a path, it would name something else. Raises `UsageError`."""
    for name in names:
        if name.strip() in {"", ".", ".."} or "/" in name:
            hint = "A slug has no slash." if "/" in name else "Is a variable not set?"
            raise UsageError("no-slug", f"{name!r} is no app's slug", hints=(hint,))


def open_session(remote: RemoteFlags, config: Path | None) -> Session:
    """Put together how to reach the control plane that the flags and octosync.yaml name.

    Raises `ConfigError` for an octosync.yaml with errors, after reporting them, and for a credential that can't be had;
    `UsageError` for flags that contradict each other.
    """
    configuration = configuration_in(config)
    context = chosen_context(remote, configuration)
    return Session(
        configuration=configuration,
        context=context,
        connection=connect(remote, configuration, context, os.environ),
        typed=remote.typed(config),
    )


def configuration_in(path: Path | None) -> Configuration:
    """Read the octosync.yaml that was named, else the one here or above. Raises `ConfigError` after reporting its errors."""
    configured = read_or_find(path)
    if configured.has_errors:
        err(render_diagnostics(configured.diagnostics, files=0, colour=wants_colour(sys.stderr, "auto")))
        raise ConfigError("bad-configuration", "octosync.yaml has errors", hints=("Mend what is said above.",))
    return configured.configuration


def open_client(session: Session, waits: Waits) -> Octomil:
    """Make a client, not yet entered."""
    sensitivity = session.configuration.sensitivity
    return Octomil(session.connection, session.configuration.contract, sensitivity=sensitivity, on_wait=waits)


def query(session: Session, stage: str, question: Callable[[Octomil, ProgressBar], Awaitable[T]]) -> T:
    """Open a client, put a question to it with progress shown as `stage`, and close it.

    Raises what the question raises, and `Interrupted` where a signal ended it.
    """

    async def asked(remote: Octomil, waits: Waits) -> T:
        with ProgressBar(stage, session.connection.requests_per_minute) as bar:
            waits.show = bar.waiting
            return await question(remote, bar)

    return converse(session, asked)


def converse(session: Session, conversation: Callable[[Octomil, Waits], Awaitable[T]]) -> T:
    """Open a client, lead a conversation through it that shows its own progress, and close it.

    Raises what the conversation raises, and `Interrupted` where a signal ended it.
    """

    async def led(_: signals.Stopping) -> T:
        waits = Waits()
        async with open_client(session, waits) as remote:
            return await conversation(remote, waits)

    return signals.run(led)
