"""Clients for tests: they retry at once and have no rate limit, and are like real ones otherwise."""

from __future__ import annotations

from typing import Any

from octosync.model import Secret
from octosync.octomil import Connection, Octomil

KEY = "oct_test_0123456789a91f"


def connection_to(url: str, **settings: Any) -> Connection:
    """Return a connection without a rate limit that retries at once."""
    defaults: dict[str, Any] = {
        "token": Secret(KEY),
        "token_source": "OCTOMIL_API_KEY",
        "requests_per_minute": 0,
        "backoff": 0.0,
    }
    return Connection(url=url, **{**defaults, **settings})


def client_of(url: str, **settings: Any) -> Octomil:
    """Return a client for the control plane at a URL, not yet entered."""
    return Octomil(connection_to(url, **settings))
