"""Keys of octosync's own that the environment holds, or a file: for plan documents, and for the state file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from octosync.errors import ConfigError
from octosync.model import Secret
from octosync.plan import PLAN_KEY

_SHORTEST: Final = 32  # characters
_FEWEST: Final = 8  # different ones


def plan_key(environment: Mapping[str, str]) -> Secret | None:
    """Return the key that plan documents are made with; None where none is set. Raises `ConfigError` for a weak one."""
    given = environment.get(PLAN_KEY, "").strip()
    return checked(given, PLAN_KEY) if given else None


def checked(key: str, source: str) -> Secret:
    """Return a key that is no word that could be guessed. Raises `ConfigError` otherwise."""
    if len(key) >= _SHORTEST and len(set(key)) >= _FEWEST:
        return Secret(key)
    raise ConfigError(
        "weak-key",
        f"{source} can be guessed: a key needs at least {_SHORTEST} characters, {_FEWEST} of them different",
        hints=("Make one: openssl rand -hex 32",),
    )
