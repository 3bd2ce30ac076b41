"""The session of a command: octosync.yaml, the active context, the connection and its credential, and a client.

The control plane is named by flags, else OCTOSYNC_*, else OCTOMIL_*, else octosync.yaml. A chosen context is used
as a whole: no variable OCTOMIL_* replaces its URL or its credential.
"""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlsplit

from octosync.cli import signals
from octosync.cli.console import err, is_debug, note, wants_colour
from octosync.cli.contexts import OWN_VARIABLES, chosen_context, read_or_find, read_token
from octosync.cli.progress import ProgressBar, WaitDisplay
from octosync.cli.run_options import RemoteFlags
from octosync.errors import ConfigError, UsageError
from octosync.manifest import Configuration, Context
from octosync.manifest.load.limits import Bounds
from octosync.model import Secret
from octosync.octomil import (
    API_PATH,
    REQUESTS_PER_MINUTE,
    Connection,
    Octomil,
    normalise_url,
    proxy_from_environment,
)
from octosync.plan import ControlPlane
from octosync.report import render_diagnostics, visible

_PUBLIC_URL = f"https://api.octomil.com{API_PATH}"  # public


def connect(
    flags: RemoteFlags, configuration: Configuration, context: Context | None, environment: Mapping[str, str]
) -> Connection:
    """Return the connection to the control plane.

    Raises `ConfigError` if the credential can't be read, or if none is given and one is needed.
    """
    url, org = place_of(flags, context, environment)
    named = context is not None and context.url != ""
    token: Secret | None
    if flags.token_file is not None:  # the credential of the context need not exist then
        token, source = read_token(flags.token_file), f"--token-file {flags.token_file}"
    elif context is not None and named:
        token, source = _context_token(context, configuration, environment)
    else:
        key = environment.get("OCTOMIL_API_KEY")
        token, source = (Secret(key), "OCTOMIL_API_KEY") if key else (None, "")
    if token is None and not named and flags.url is None:
        raise ConfigError(
            "no-credential",
            f"no API key for {url}",
            hints=(
                *_unreviewed_hint(context),
                "Set OCTOMIL_API_KEY, or name another control plane: --context NAME of octosync.yaml, or --url URL",
                "To try octosync without Octomil: `octosync demo`",
            ),
        )
    if context is not None and context.unreviewed_url is not None:
        _check_reviewed(context.name, context.unreviewed_url, url)
    asked = requested_rate(flags, configuration)
    connection = Connection(
        url=url,
        org=org,
        token=token,
        token_source=source,
        insecure=flags.insecure,
        requests_per_minute=REQUESTS_PER_MINUTE if asked is None else asked,
        concurrency=flags.concurrency or configuration.rate.concurrency,
    )
    if asked is None and connection.is_loopback:
        connection = replace(connection, requests_per_minute=0)
    return replace(connection, proxy=proxy_from_environment(connection.url, environment))


def requested_rate(flags: RemoteFlags, configuration: Configuration) -> int | None:
    """Return the rate limit that `--rate` or octosync.yaml sets; None if neither does."""
    return flags.rate if flags.rate is not None else configuration.rate.requests_per_minute


def _check_reviewed(name: str, unreviewed: str, url: str) -> None:
    """Raise `ConfigError` if the key would be sent to Octomil, but the unreviewed context names another host."""
    if url == _PUBLIC_URL and urlsplit(unreviewed).netloc != urlsplit(url).netloc:
        raise ConfigError(
            "context-not-reviewed",
            f"the context {name} is new in this change, so its URL is not used before the merge",
            hints=("Plan with --offline, or set OCTOMIL_API_URL and OCTOMIL_API_KEY.",),
        )


def place_of(flags: RemoteFlags, context: Context | None, environment: Mapping[str, str]) -> tuple[str, str | None]:
    """Return the URL of the control plane and the org. Raises `UsageError` for an invalid --url, else `ConfigError`."""
    if context is not None and context.url:
        return normalise_url(context.url), flags.org or context.org
    org = flags.org or environment.get("OCTOMIL_ORG_ID") or None
    if flags.url is not None:
        try:
            return normalise_url(flags.url), org
        except ConfigError as error:
            raise UsageError(error.reference, f"--url: {error.message}", hints=error.hints) from None
    if (variable := _url_variable(environment)) is None:
        return _PUBLIC_URL, org
    try:
        return normalise_url(environment[variable]), org
    except ConfigError as error:
        raise ConfigError(error.reference, f"{variable}: {error.message}", hints=error.hints) from None


def _url_variable(environment: Mapping[str, str]) -> str | None:
    """Return the variable, which other programs for Octomil read, too, that names the control plane; None for none."""
    return next(filter(environment.get, ("OCTOMIL_API_URL", "OCTOMIL_API_BASE")), None)


def _unreviewed_hint(context: Context | None) -> tuple[str, ...]:
    if context is None:
        return ()
    why = (
        f"The base's octosync.yaml has no context {context.name}, so neither URL nor credential are taken from this one"
    )
    return (f"{why}: give --url and OCTOMIL_API_KEY, or plan with --offline.",)


def control_plane(connection: Connection, context: Context | None, seen_org: str | None) -> ControlPlane:
    """Return the control plane that live state was read from, for reports."""
    return ControlPlane(
        url=connection.url, org_id=connection.org or seen_org, context=context.name if context else None
    )


def _context_token(
    context: Context, configuration: Configuration, environment: Mapping[str, str]
) -> tuple[Secret | None, str]:
    where = f"context {context.name}, {context.origin.file}:{context.origin.line}" if context.origin else context.name
    if not configuration.is_named:
        _check_source(context, configuration, where)
    if context.token_file is not None:
        return read_token(context.token_file), f"{context.token_file} ({where})"
    if context.token_env is None:
        return None, ""
    key = environment.get(context.token_env)
    if not key:
        raise ConfigError(
            "no-credential",
            f"{context.token_env} is not set, and the {where} takes its API key from there",
            hints=(f"Set {context.token_env}, or choose another context.",),
        )
    return Secret(key), f"{context.token_env} ({where})"


def _check_source(context: Context, configuration: Configuration, where: str) -> None:
    """Raise `ConfigError` if an octosync.yaml that was found, not named, takes its key from a foreign variable or file.

    It may be part of a repository that was just cloned, with a URL of an attacker.
    """
    found = configuration.file or "octosync.yaml"
    hint = f"If you trust the file, name it:  --config {shlex.quote(found)}"
    if context.token_env is not None and not context.token_env.startswith(OWN_VARIABLES):
        raise ConfigError(
            "token-source-not-trusted",
            f"the {where} takes its API key from {context.token_env}, and a file that was found, not named, may take it only "
            f"from variables that begin with {' or '.join(OWN_VARIABLES)}",
            hints=("Rename the variable.", hint),
        )
    within = configuration.bounds() or Bounds(os.path.realpath(configuration.directory))
    if context.token_file is not None and not within.hold(os.path.realpath(context.token_file)):
        raise ConfigError(
            "token-source-not-trusted",
            f"the {where} takes its API key from {context.token_file}, and a file that was found, not named, may take it only "
            "from its own repository or folder",
            hints=(f"Give the file as --token-file {shlex.quote(str(context.token_file))}.", hint),
        )


T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """A configured connection to a control plane, before the first request.

    `connection_arguments` make another command use the same one.
    """

    configuration: Configuration
    context: Context | None
    connection: Connection
    connection_arguments: tuple[str, ...]


def check_app_names(names: Iterable[str]) -> None:
    """Raise `UsageError` for a name that is not a slug: in a request's path, it would name something else."""
    for name in names:
        if name.strip() in {"", ".", ".."} or "/" in name:
            hint = "A slug has no slash." if "/" in name else "Is a variable not set?"
            raise UsageError("no-slug", f"{name!r} is not a slug", hints=(hint,))


def open_session(remote: RemoteFlags, config: Path | None) -> Session:
    """Return the session of the control plane that the flags and octosync.yaml name.

    Raises `ConfigError` for an octosync.yaml with errors, after reporting them, and for an unreadable credential; `UsageError`
    for flags that contradict each other.
    """
    configuration = configuration_in(config)
    context = chosen_context(remote, configuration)
    return session_of(remote, config, configuration, context)


def session_of(
    remote: RemoteFlags, config: Path | None, configuration: Configuration, context: Context | None
) -> Session:
    """Return the session of a configuration and its chosen context. Raises `ConfigError`."""
    connection = connect(remote, configuration, context, os.environ)
    is_named = remote.url is not None or (context is not None and context.url != "")
    if not is_named and connection.url != _PUBLIC_URL:  # the key must not go to another host without a word
        note(f"{_url_variable(os.environ)} names the control plane: {visible(connection.url)}\n")
    if is_debug():
        from octosync.cli.debug import show_settings

        show_settings(configuration, context, connection)
    return Session(
        configuration=configuration,
        context=context,
        connection=connection,
        connection_arguments=remote.connection_arguments(config),
    )


def configuration_in(path: Path | None) -> Configuration:
    """Read the octosync.yaml that was named, else the nearest one upwards. Raises `ConfigError` after reporting its errors."""
    configured = read_or_find(path)
    if configured.has_errors:
        err(render_diagnostics(configured.diagnostics, files=0, colour=wants_colour(sys.stderr, "auto")))
        raise ConfigError("bad-configuration", "octosync.yaml has errors", hints=("Fix the errors above.",))
    return configured.configuration


def open_client(session: Session, wait_display: WaitDisplay) -> Octomil:
    """Return a client, not yet entered."""
    sensitivity = session.configuration.sensitivity
    client = Octomil(session.connection, session.configuration.contract, sensitivity=sensitivity, on_wait=wait_display)
    if is_debug():
        from octosync.cli.debug import show_request

        client.trace_requests(show_request)
    return client


def query(session: Session, stage: str, question: Callable[[Octomil, ProgressBar], Awaitable[T]]) -> T:
    """Open a client, call `question` with progress shown as `stage`, close the client and return the result.

    Raises what the question raises, and `Interrupted` if a signal ended it.
    """

    async def ask(remote: Octomil, wait_display: WaitDisplay, _: signals.StopSignal) -> T:
        with ProgressBar(stage, session.connection.requests_per_minute, remote.seconds_for) as bar:
            wait_display.show = bar.waiting
            return await question(remote, bar)

    return run_with_client(session, ask)


def run_with_client(session: Session, action: Callable[[Octomil, WaitDisplay, signals.StopSignal], Awaitable[T]]) -> T:
    """Open a client, call `action`, which shows its own progress, close the client and return the result.

    Raises what the action raises, and `Interrupted` if a signal ended it.
    """

    async def main(stop_signal: signals.StopSignal) -> T:
        wait_display = WaitDisplay()
        async with open_client(session, wait_display) as remote:
            return await action(remote, wait_display, stop_signal)

    return signals.run(main)
