"""Key files, and the keys of octosync itself: for plan documents and for the state file."""

from __future__ import annotations

from collections.abc import Mapping
from errno import EILSEQ
from pathlib import Path
from typing import Final

from octosync.errors import ConfigError, UsageError
from octosync.manifest.load.files import read_regular
from octosync.model import Secret

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
