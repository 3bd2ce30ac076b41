"""Files that hold keys, and octosync's own keys: for plan documents and for the state file."""

from __future__ import annotations

from collections.abc import Mapping
from errno import EILSEQ
from pathlib import Path
from typing import Final

from octosync.errors import ConfigError, UsageError
from octosync.manifest.load.files import read_regular
from octosync.model import Secret

STATE_KEY: Final = "OCTOSYNC_STATE_KEY"

_LONGEST: Final = 64 * 1024  # bytes of a file with keys
_SHORTEST: Final = 32  # characters
_FEWEST: Final = 8  # different ones


def state_key(environment: Mapping[str, str], file: Path | None) -> Secret | None:
    """Return the key that a state file's values are sealed with; None if none is given.

    Raises `UsageError` for two, `ConfigError` for a file that can't be read and for a weak key.
    """
    given = environment.get(STATE_KEY, "").strip()
    if file is None:
        return check_key(given, STATE_KEY) if given else None
    if given:
        raise UsageError(
            "two-state-keys", f"{STATE_KEY} and --state-key-file are both given", hints=("Leave one of them out.",)
        )
    try:
        return check_key(read_key(file), str(file))
    except OSError as error:
        raise ConfigError(
            "state-key-unreadable",
            f"--state-key-file: the key can't be read from {file}: {error.strerror}",
            hints=("The file holds the key alone, on one line.",),
        ) from None


def read_key(file: Path) -> str:
    """Return the text of a file with keys. Raises `OSError`, also for a file that is not text, not regular or too large."""
    try:
        return read_regular(file, _LONGEST).decode().strip()
    except UnicodeDecodeError:
        raise OSError(EILSEQ, "it is not text") from None


def check_key(key: str, source: str) -> Secret:
    """Return a key that is hard to guess. Raises `ConfigError` for a short or repetitive one."""
    if len(key) >= _SHORTEST and len(set(key)) >= _FEWEST:
        return Secret(key)
    raise ConfigError(
        "weak-key",
        f"{source} can be guessed: a key needs at least {_SHORTEST} characters, {_FEWEST} of them different",
        hints=("Make one: openssl rand -hex 32",),
    )
