"""`octosync server`: run the embedded control plane."""

from __future__ import annotations

import re
from pathlib import Path

from octosync.cli.console import err
from octosync.cli.contexts import read_key
from octosync.cli.runs.demo import shell_path, shipped_manifests
from octosync.errors import ConfigError, UsageError
from octosync.server import DEMO_TOKENS, ServerSettings, Token, serve


def run(
    *,
    host: str,
    port: int,
    db: Path | None,
    tokens: tuple[str, ...],
    token_file: Path | None,
    hosts: tuple[str, ...],
    rate_limit: str,
    seed: str | None,
) -> None:
    """Run `octosync server`."""
    limit, window = _rate_limit(rate_limit)
    settings = ServerSettings(
        db=db,
        hosts=hosts,
        tokens=tuple(map(Token.parse, (*tokens, *_tokens_in(token_file)))),
        rate_limit=limit,
        rate_window_seconds=window,
        seed=seed,
    )
    manifests = _manifests(settings)  # before it listens, so that a failure is reported first
    serve(settings, host, port, on_ready=lambda url: err(_welcome(url, settings, manifests)))


def _tokens_in(path: Path | None) -> tuple[str, ...]:
    """Return the keys in a token file. Raise `ConfigError` for an unreadable file and for one without a key."""
    if path is None:
        return ()
    try:
        lines = [line.strip() for line in read_key(path).splitlines()]
        why = "it contains no keys"
    except OSError as error:
        lines, why = [], str(error.strerror)
    tokens = tuple(line for line in lines if line and not line.startswith("#"))
    if tokens:
        return tokens
    raise ConfigError(
        "token-file-unreadable",
        f"the keys can't be read from {path}: {why}",
        hints=("Each line is a key, [NAME:]T[=SCOPES]: for example ana:s3cret=apps:read,apps:write",),
    )


def _manifests(settings: ServerSettings) -> str:
    """Return the path of the manifests to plan, for the command line."""
    if settings.seed is None:
        return "PATH"
    with shipped_manifests() as examples:
        return shell_path(examples)


def _welcome(url: str, settings: ServerSettings, manifests: str) -> str:
    kept = f"kept in {settings.db}" if settings.db else "kept in memory until the server stops"
    needed = "OCTOMIL_API_KEY=… " if settings.tokens else ""
    keys = ", ".join(f"{key.name} {key.secret}" for key in DEMO_TOKENS) if settings.seed is not None else ""
    return (
        f"The embedded control plane listens on {url} ({kept}).\n"
        f"  {needed}octosync plan -f {manifests} --url {url}\n"
        + (f"  Keys of the demo users: {keys}\n" if keys else "")
        + f"  API description: {url}/openapi.json · Ctrl-C stops it\n"
    )


def _rate_limit(text: str) -> tuple[int, float]:
    match = re.fullmatch(r"(\d{1,9})(?:/(\d{1,6}(?:\.\d{1,6})?))?", text)
    seconds = float(match[2] or 60) if match else 0.0
    if match is None or seconds <= 0:
        raise UsageError(
            "rate-limit-format",
            f"--rate-limit {text} is not a rate limit",
            hints=("For example --rate-limit 100, or 10/1 for 10 requests per second.",),
        )
    return int(match[1]), seconds
