"""octosync.yaml and the active context, and the files with keys: what a command without requests needs of them, too.

The keys of octosync itself, for plan documents and the state file, are read here, too.
"""

from __future__ import annotations

import os
import shlex
import stat
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from errno import EILSEQ
from pathlib import Path
from typing import Final

from octosync.cli.run_options import RemoteFlags
from octosync.errors import ConfigError, UsageError
from octosync.manifest import Configuration, ConfigurationResult, Context, find_configuration
from octosync.manifest.load.files import display_name, read_regular
from octosync.model import Secret

STATE: Final = "OCTOSYNC_STATE"
STATE_KEY: Final = "OCTOSYNC_STATE_KEY"
PGPASSWORD: Final = "PGPASSWORD"  # libpq's
OWN_VARIABLES: Final = ("OCTOMIL_", "OCTOSYNC_")
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
    from octosync.manifest import read_configuration

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
    from octosync.manifest.git.repository import git_root

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


def known_keys(
    flags: RemoteFlags, configuration: Configuration, context: Context | None, environment: Mapping[str, str]
) -> tuple[Secret, ...]:
    """Return the keys and passwords that a run may use, if they can be read: they are masked in output before it connects."""
    found = [Secret(environment.get("OCTOMIL_API_KEY", "")), *_state_secrets(configuration, context, environment)]
    if context is not None and context.token_env is not None:
        found.append(Secret(environment.get(context.token_env, "")))
    for path in (flags.token_file, context.token_file if context is not None else None):
        with suppress(ConfigError):
            found += [read_token(path)] if path is not None else []
    return tuple(filter(None, found))


def _state_secrets(
    configuration: Configuration, context: Context | None, environment: Mapping[str, str]
) -> Iterator[Secret]:
    """Yield the secrets of all URLs that may name the state: output masks them, even of one that is not valid."""
    named = (configuration.state_url_env, context.state_url_env if context is not None else None)
    for text in filter(None, (environment.get(variable) for variable in (STATE, *filter(None, named)))):
        from octosync.model.state_url import parse_state_url

        try:
            url = parse_state_url(text)
        except UsageError:
            yield Secret(text)
        else:
            yield from url.secrets if url is not None else ()
    yield Secret(environment.get(PGPASSWORD, ""))


def _refuse_empty(flags: RemoteFlags) -> None:
    """Raise `UsageError` for `--url "$URL"` with an unset URL: the default would be another control plane than intended."""
    for flag, value in (("--context", flags.context), ("--url", flags.url), ("--org", flags.org)):
        if value is not None and not value.strip():
            raise UsageError(
                "empty-value", f"{flag} is empty", hints=("Is a variable not set? Otherwise, omit the flag.",)
            )


def read_token(path: Path) -> Secret:
    """Return the API key in a file. Raises `ConfigError`."""
    try:
        return Secret(read_key(path))
    except OSError as error:
        raise ConfigError(
            "token-file-unreadable",
            f"the API key can't be read from {path}: {error.strerror}",
            hints=("The file must contain only the key, on one line.",),
        ) from None
