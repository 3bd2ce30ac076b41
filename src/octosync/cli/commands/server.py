"""`octosync server`: run the embedded control plane."""

from __future__ import annotations

import re
from pathlib import Path

import click

from octosync.cli.command import Command
from octosync.cli.commands.demo import shell_path, shipped_manifests
from octosync.cli.console import err
from octosync.cli.options import option
from octosync.cli.session import read_key
from octosync.errors import ConfigError, UsageError
from octosync.server import DEMO_TOKENS, ServerSettings, Token, serve


@click.command(cls=Command, epilog="Example:  octosync server --db control-plane.db --token-file keys --rate-limit 100")
@option(
    "--host", default="127.0.0.1", show_default=True, help="The address to listen on. Others than loopback need keys."
)
@option(
    "--port",
    default=8787,
    show_default=True,
    type=click.IntRange(0, 65535),
    help="The port to listen on; 0 for any free port.",
)
@option("--db", type=click.Path(path_type=Path), help="The SQLite file with all data. The default is memory.")
@option(
    "--token",
    "tokens",
    env=False,
    multiple=True,
    metavar="[NAME:]T[=SCOPES]",
    help="Accept this key. Repeatable. The process list of this machine shows it: prefer --token-file.",
)
@option(
    "--token-file",
    type=click.Path(path_type=Path),
    help="Accept the keys in this file, one per line in the format of --token; # starts a comment.",
)
@option(
    "--allowed-host",
    "hosts",
    env=False,
    multiple=True,
    metavar="NAME",
    help="Accept requests for this host name, besides those of this machine and --host. Repeatable.",
)
@option(
    "--rate-limit",
    default="0",
    metavar="N[/SECONDS]",
    help="The number of requests per key in any period of SECONDS (60); 0 for no limit.",
)
@option("--seed", type=click.Choice(["demo"]), help="Start with the devices of the examples and the keys of two users.")
def command(
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
    """Run the embedded control plane: all operations of Octomil's apps API on SQLite, for trials, tests and offline work."""
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
