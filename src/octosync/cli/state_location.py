"""Where the state of a run is: `--state`, else OCTOSYNC_STATE, else the context, else octosync.yaml, else the default file.

A file that was found, not named, may be part of a repository that was just cloned. Its URL gets no password from the environment,
and its variables must be octosync's own, as for the API key.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from octosync.cli.console import is_debug
from octosync.cli.contexts import OWN_VARIABLES, chosen_context, read_or_find
from octosync.cli.file_writer import why_untrusted
from octosync.cli.run_options import RemoteFlags, StateFlag, flag_arguments
from octosync.errors import ConfigError, UsageError
from octosync.manifest import Configuration, Context
from octosync.model.state_url import PASSWORD_SOURCES, parse_state_url
from octosync.state import DEFAULT_PATH, StateLocation, StateUrl


@dataclass(frozen=True, slots=True, kw_only=True)
class ChosenState:
    """Where the state of a run is, and what names it ("" for the default file).

    `arguments` make another command use the same. `flag` are those of them that no other option of the command repeats.
    """

    location: StateLocation
    source: str = ""
    arguments: tuple[str, ...] = ()
    flag: tuple[str, ...] = ()

    def history_command(self, run: str) -> str:
        """Return the command line that shows a run."""
        return shlex.join(("octosync", "history", run, *self.arguments))


@dataclass(frozen=True, slots=True)
class _Setting:
    """The setting of octosync.yaml that names the state: a URL, or the variable that holds it; `where` is its place."""

    url: StateUrl | None
    variable: str | None
    where: str

    @property
    def source(self) -> str:
        """What names the state, in words."""
        return f"stateUrl of {self.where}" if self.variable is None else f"{self.variable}, which {self.where} names"


def shown_state(
    flag: StateFlag, configuration: Configuration, context: Context | None, config: Path | None = None
) -> ChosenState:
    """Return where the state is, after showing it in debug output. Raises as `choose_state` does."""
    state = choose_state(flag, configuration, context, config)
    if is_debug():
        from octosync.cli.debug import show_state

        show_state(state)
    return state


def choose_state(
    flag: StateFlag,
    configuration: Configuration,
    context: Context | None,
    config: Path | None = None,
    environment: Mapping[str, str] = os.environ,
) -> ChosenState:
    """Return where the state is; `config` is the file that `--config` names.

    Raises `ConfigError` for a variable that is not set, has no URL or is not trusted.
    """
    if flag.location is not None:
        return ChosenState(location=flag.location, source=flag.source, arguments=flag.arguments, flag=flag.arguments)
    setting = _setting(configuration, context)
    arguments = _arguments(setting, configuration, context, config)
    if setting is not None:
        location = _location(setting, configuration, environment)
        return ChosenState(location=location, source=setting.source, arguments=arguments)
    return ChosenState(location=DEFAULT_PATH, arguments=arguments)


def find_state(flag: StateFlag, remote: RemoteFlags, config: Path | None) -> ChosenState:
    """Return where the state is, for a command that needs octosync.yaml for nothing else.

    Raises `ConfigError` if octosync.yaml has errors, and as `choose_state` does.
    """
    if flag.location is not None:
        return choose_state(flag, Configuration(), None)
    configured = read_or_find(config)
    if configured.has_errors:
        raise ConfigError(
            "bad-configuration",
            f"{configured.configuration.file} has errors, and may name the state",
            hints=("Correct it (octosync validate shows the errors), or give --state.",),
        )
    configuration = configured.configuration
    return choose_state(flag, configuration, chosen_context(remote, configuration), config)


def check_trusted(path: Path) -> Path:
    """Return a path that is not behind an untrusted link. Raises `ConfigError`."""
    if (why := why_untrusted(path)) is not None:
        raise ConfigError("state-not-trusted", f"the state file {path}: {why}", hints=("Name another: --state FILE",))
    return path


def check_typed(location: StateLocation, name: str) -> StateLocation:
    """Return a location that an option or an argument has on the command line.

    Raises `UsageError` if it has a password: all users can read command lines.
    """
    if isinstance(location, StateUrl) and location.has_password:
        variable = PASSWORD_SOURCES[0] if name.startswith("--") else "Name the variable that holds the URL: env:NAME"
        raise UsageError(
            "password-on-command-line",
            f"{name}: the URL has a password, and other users of this machine can read command lines",
            hints=(variable, *PASSWORD_SOURCES[1:]),
        )
    return location


def _setting(configuration: Configuration, context: Context | None) -> _Setting | None:
    """Return the setting that applies, that of the context before that of the whole file."""
    if context is not None and (context.state_url is not None or context.state_url_env is not None):
        at = context.origin
        where = f"the context {context.name}" + (f", {at.file}:{at.line}" if at is not None else "")
        return _Setting(context.state_url, context.state_url_env, where)
    if configuration.state_url is not None or configuration.state_url_env is not None:
        return _Setting(configuration.state_url, configuration.state_url_env, configuration.file or "octosync.yaml")
    return None


def _location(setting: _Setting, configuration: Configuration, environment: Mapping[str, str]) -> StateUrl:
    if setting.variable is not None:
        return _url_of_variable(setting.variable, setting.where, configuration, environment)
    assert setting.url is not None  # noqa: S101 — a setting has one of the two
    return setting.url if configuration.is_named else setting.url.without_password_from_environment()


def _url_of_variable(
    variable: str, where: str, configuration: Configuration, environment: Mapping[str, str]
) -> StateUrl:
    if not configuration.is_named and not variable.startswith(OWN_VARIABLES):
        raise ConfigError(
            "state-source-not-trusted",
            f"{where} takes the URL of the state from {variable}, and a file that was found, not named, may take it only "
            f"from variables that begin with {' or '.join(OWN_VARIABLES)}",
            hints=(
                "Rename the variable.",
                f"If you trust the file, name it:  --config {shlex.quote(configuration.file or 'octosync.yaml')}",
            ),
        )
    text = environment.get(variable, "").strip()
    if not text:
        raise ConfigError(
            "no-state-url",
            f"{variable} is not set, and {where} takes the URL of the state from there",
            hints=(f"Set {variable}, or give --state.",),
        )
    try:
        url = parse_state_url(text)
    except UsageError as error:
        raise ConfigError(error.reference, f"{variable}: {error.message}", hints=error.hints) from None
    if url is None:  # it may be a key, so it is neither shown nor used as the name of a file
        raise ConfigError(
            "state-url-invalid",
            f"{variable} is not the URL of a PostgreSQL database, and {where} takes the URL of the state from there",
            hints=(f"Set {variable} to a postgresql:// URL, or give --state.",),
        )
    return url


def _arguments(
    setting: _Setting | None, configuration: Configuration, context: Context | None, config: Path | None
) -> tuple[str, ...]:
    """Return the arguments that make `octosync history` use the state of a setting, or the default file if there is none."""
    default = configuration.default_context
    default_setting = _setting(configuration, configuration.contexts.get(default) if default is not None else None)
    if setting is None:
        return () if default_setting is None else ("--state", str(DEFAULT_PATH))
    named = context.name if context is not None and setting != default_setting else None
    return flag_arguments(("--config", config), ("--context", named))
