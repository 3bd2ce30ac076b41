"""The settings of an embedded control plane: keys, database, rate limit and clock."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Self

from octosync.errors import UsageError

READ_SCOPE = "apps:read"
WRITE_SCOPE = "apps:write"
SCOPES = frozenset({READ_SCOPE, WRITE_SCOPE})

DEFAULT_ORG_ID = "8f1c5b0e-6d1a-4c5e-9b57-0c70a11ce001"


@dataclass(frozen=True, slots=True)
class Token:
    """An API key: `name` is the actor in the activity feed, `secret` is sent as `Authorization: Bearer`."""

    name: str
    secret: str = field(repr=False)
    scopes: frozenset[str] = SCOPES

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return the token of `[NAME:]T[=SCOPES]`, SCOPES separated by commas; the default name is `key`.

        Raises `UsageError` for an empty name or secret and for an unknown scope. The message never shows the secret.
        """
        head, separator, scope_list = text.partition("=")
        name, colon, secret = head.rpartition(":")
        if not secret or (colon and not name) or any(character.isspace() for character in secret):
            raise UsageError(
                "token-format",
                "invalid token: expected [NAME:]T[=SCOPES], with a non-empty name and secret",
                hints=("Example: --token ana:s3cret=apps:read,apps:write",),
            )
        scopes = frozenset(scope_list.split(",")) if separator else SCOPES
        if scopes - SCOPES:
            raise UsageError(
                "unknown-scope",
                f"token {name or 'key'}: unknown scopes after =",
                # The value isn't shown: if the secret contains a =, it is part of the secret.
                hints=(f"Valid scopes: {', '.join(sorted(SCOPES))}. A secret can't contain =.",),
            )
        return cls(name or "key", secret, scopes)


def utc_now() -> datetime:
    """Return the current time in UTC."""
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerSettings:
    """The settings of a control plane.

    `hosts` are the host names that requests may use, besides this machine's own. `db` is the SQLite file; None keeps
    everything in memory. Without `tokens` every caller has all rights. `rate_limit` is the number of requests of a key in any
    `rate_window_seconds`, 0 for no limit. `seed` is None or `"demo"`. `clock` is the base of server time; `/_local/tick` adds
    to it. When the server stops, requests in flight have `grace_seconds` to end.
    """

    db: Path | None = None
    hosts: tuple[str, ...] = ()
    tokens: tuple[Token, ...] = ()
    rate_limit: int = 0
    rate_window_seconds: float = 60.0
    org_id: str = DEFAULT_ORG_ID
    seed: str | None = None
    clock: Callable[[], datetime] = utc_now
    grace_seconds: float = 1.0
