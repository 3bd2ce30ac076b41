"""The session of a command: octosync.yaml, the active context, the connection and its credential, and a client.

The control plane is named by flags, else OCTOSYNC_*, else OCTOMIL_*, else octosync.yaml. A chosen context is used
as a whole: no variable OCTOMIL_* replaces its URL or its credential.

Key files and the keys of octosync itself, for plan documents and the state file, are read here, too.
"""

from __future__ import annotations

import os
import shlex
import stat
import sys
from collections.abc import Awaitable, Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from errno import EILSEQ
from pathlib import Path
from typing import Final, TypeVar
from urllib.parse import urlsplit

from octosync.cli import signals
from octosync.cli.console import err, wants_colour
from octosync.cli.progress import ProgressBar, WaitDisplay
from octosync.cli.run_options import RemoteFlags
from octosync.errors import ConfigError, UsageError
from octosync.manifest import Configuration, ConfigurationResult, Context, find_configuration, read_configuration
from octosync.manifest.git.repository import git_root
from octosync.manifest.load.files import display_name, read_regular
from octosync.manifest.load.limits import Bounds
from octosync.model import Secret
from octosync.octomil import API_PATH, REQUESTS_PER_MINUTE, Connection, Octomil, proxy_from_environment
from octosync.plan import ControlPlane
from octosync.report import render_diagnostics

STATE_KEY: Final = "OCTOSYNC_STATE_KEY"

_MAX_BYTES: Final = 64 * 1024  # of a key file
_MIN_LENGTH: Final = 32  # characters
_MIN_DISTINCT: Final = 8  # different characters


def state_key(environment: Mapping[str, str], file: Path | None) -> Secret | None:
    """Return the key that seals the values of a state file; None if none is given.

    Raises `UsageError` if two are given, `ConfigError` for an unreadable file and for a weak key.
    """
    given = environment.get(STATE_KEY, "").strip()
    if file is None:
        return check_key(given, STATE_KEY) if given else None
    if given:
        raise UsageError(
            "two-state-keys", f"{STATE_KEY} and --state-key-file are both given", hints=("Remove one of them.",)
        )
    try:
        return check_key(read_key(file), str(file))
    except OSError as error:
        raise ConfigError(
            "state-key-unreadable",
            f"--state-key-file: the key can't be read from {file}: {error.strerror}",
            hints=("The file must contain only the key, on one line.",),
        ) from None


def read_key(file: Path) -> str:
    """Return the content of a key file. Raises `OSError`, also for a file that is not text, not regular or too large."""
    try:
        return read_regular(file, _MAX_BYTES).decode().strip()
    except UnicodeDecodeError:
        raise OSError(EILSEQ, "it is not text") from None


def check_key(key: str, source: str) -> Secret:
    """Return the key if it is strong enough. Raises `ConfigError` for a short or repetitive one."""
    if len(key) >= _MIN_LENGTH and len(set(key)) >= _MIN_DISTINCT:
        return Secret(key)
    raise ConfigError(
        "weak-key",
        f"{source} is too weak: a key needs at least {_MIN_LENGTH} characters, {_MIN_DISTINCT} of them different",
        hints=("Generate one: openssl rand -hex 32",),
    )


_OWN_VARIABLES: Final = ("OCTOMIL_", "OCTOSYNC_")
_PUBLIC_URL = f"https://api.octomil.com{API_PATH}"  # public


def read_or_find(named: Path | None) -> ConfigurationResult:
    """Read the octosync.yaml that was named, else the nearest one upwards. Raises `ConfigError` if the latter is not trusted.

    octosync.yaml decides where the API key is sent, so everyone who can write it can get the key. One that another user can
    write therefore has to be named.
    """
    path = named if named is not None else find_configuration(Path())
    if named is None and path is not None and (why := _why_unsafe(path)) is not None:
        name = display_name(str(path))
        raise ConfigError(
            "unsafe-configuration",
            f"{name} {why}, and octosync.yaml decides where the API key is sent",
            hints=(
                f"If you trust it, name it:  --config {shlex.quote(name)}",
                "Or for all commands:  export OCTOSYNC_CONFIG=…",
            ),
        )
    if path is None:
        return ConfigurationResult(Configuration())
    found = read_configuration(path)
    return replace(found, configuration=replace(found.configuration, is_named=named is not None))


def _why_unsafe(path: Path) -> str | None:
    """Return why another user may have written a file; None for a file of this user, of root, or of a work tree's owner.

    Git decides which work trees are trusted, so its `safe.directory` applies here, too.
    """
    try:
        written = (path.lstat(), path.stat())  # a link is written by its owner
    except OSError:
        return None  # reading it reports the error
    trusted = {os.geteuid(), 0}
    if os.geteuid() == 0 and (by_sudo := os.environ.get("SUDO_UID", "")).isdigit():
        trusted.add(int(by_sudo))
    strangers = {file.st_uid for file in written} - trusted
    is_open = bool(written[1].st_mode & stat.S_IWOTH)
    if (strangers or is_open) and (tree := git_root(path.parent)) is not None:
        strangers -= {tree.stat().st_uid}
        # GitLab's Docker executor checks out with umask 0. A user who can write .git can make git run a program anyway.
        is_open = is_open and not (tree / ".git").stat().st_mode & stat.S_IWOTH
    if strangers:
        return f"belongs to another user (uid {min(strangers)})"
    return "may be written by every user" if is_open else None


def chosen_context(flags: RemoteFlags, configuration: Configuration) -> Context | None:
    """Return the active context: `--context`, `OCTOSYNC_CONTEXT`, else the default one; None if a URL is given.

    Raises `UsageError` for a context together with a URL, for an empty value, and for a context that does not exist.
    """
    _refuse_empty(flags)
    name, url = flags.context, flags.url
    if name is not None and url is not None:
        context_typed, url_typed = "context" in flags.from_command_line, "url" in flags.from_command_line
        if context_typed == url_typed:
            raise UsageError(
                "url-with-context",
                f"--url and --context {name} are both given, and each names a control plane",
                hints=("Remove one of them: a context has its own URL.",),
            )
        name = name if context_typed else None
        url = url if url_typed else None
    if url is not None:
        return None
    name = name or configuration.default_context
    return configuration.context(name) if name is not None else None


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
        token, source = _read_token(flags.token_file), f"--token-file {flags.token_file}"
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


def known_keys(flags: RemoteFlags, context: Context | None, environment: Mapping[str, str]) -> tuple[Secret, ...]:
    """Return the keys that a run may use, if they can be read: they are masked in output before it connects."""
    found = [Secret(environment.get("OCTOMIL_API_KEY", ""))]
    if context is not None and context.token_env is not None:
        found.append(Secret(environment.get(context.token_env, "")))
    for path in (flags.token_file, context.token_file if context is not None else None):
        with suppress(ConfigError):
            found += [_read_token(path)] if path is not None else []
    return tuple(filter(None, found))


def place_of(flags: RemoteFlags, context: Context | None, environment: Mapping[str, str]) -> tuple[str, str | None]:
    """Return the URL of the control plane and the org."""
    if context is not None and context.url:
        return context.url, flags.org or context.org
    url = flags.url or environment.get("OCTOMIL_API_URL") or environment.get("OCTOMIL_API_BASE") or _PUBLIC_URL
    return url, flags.org or environment.get("OCTOMIL_ORG_ID") or None


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


def _refuse_empty(flags: RemoteFlags) -> None:
    """Raise `UsageError` for `--url "$URL"` with an unset URL: the default would be another control plane than intended."""
    for flag, value in (("--context", flags.context), ("--url", flags.url), ("--org", flags.org)):
        if value is not None and not value.strip():
            raise UsageError(
                "empty-value", f"{flag} is empty", hints=("Is a variable not set? Otherwise, omit the flag.",)
            )


def _context_token(
    context: Context, configuration: Configuration, environment: Mapping[str, str]
) -> tuple[Secret | None, str]:
    where = f"context {context.name}, {context.origin.file}:{context.origin.line}" if context.origin else context.name
    if not configuration.is_named:
        _check_source(context, configuration, where)
    if context.token_file is not None:
        return _read_token(context.token_file), f"{context.token_file} ({where})"
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
    if context.token_env is not None and not context.token_env.startswith(_OWN_VARIABLES):
        raise ConfigError(
            "token-source-not-trusted",
            f"the {where} takes its API key from {context.token_env}, and a file that was found, not named, may take it only "
            f"from variables that begin with {' or '.join(_OWN_VARIABLES)}",
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


def _read_token(path: Path) -> Secret:
    try:
        return Secret(read_key(path))
    except OSError as error:
        raise ConfigError(
            "token-file-unreadable",
            f"the API key can't be read from {path}: {error.strerror}",
            hints=("The file must contain only the key, on one line.",),
        ) from None


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
    return Session(
        configuration=configuration,
        context=context,
        connection=connect(remote, configuration, context, os.environ),
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
    return Octomil(session.connection, session.configuration.contract, sensitivity=sensitivity, on_wait=wait_display)


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
