"""`octosync server`."""

from __future__ import annotations

import re
from pathlib import Path

import click

from octosync.cli.console import err
from octosync.cli.examples import as_typed, shipped_manifests
from octosync.cli.options import option
from octosync.errors import UsageError
from octosync.server import DEMO_TOKENS, Settings, Token, serve


@click.command(epilog="Example:  octosync server --db control-plane.db --token ana:s3cret --rate-limit 100")
@option(
    "--host", default="127.0.0.1", show_default=True, help="Address to listen on; beyond loopback only with --token."
)
@option(
    "--port",
    default=8787,
    show_default=True,
    type=click.IntRange(0, 65535),
    help="Port to listen on; 0 for any free one.",
)
@option(
    "--db", type=click.Path(path_type=Path), help="SQLite file that keeps everything; without one it is kept in memory."
)
@option("--token", "tokens", env=False, multiple=True, metavar="[NAME:]T[=SCOPES]", help="Accept this key. Repeatable.")
@option(
    "--rate-limit",
    default="0",
    metavar="N[/SECONDS]",
    help="Requests a key in any so many seconds (60); 0 for no limit.",
)
@option(
    "--seed", type=click.Choice(["demo"]), help="Begin with devices of the shipped examples and the keys of two people."
)
def command(
    *, host: str, port: int, db: Path | None, tokens: tuple[str, ...], rate_limit: str, seed: str | None
) -> None:
    """Run the embedded control plane: all operations of Octomil's apps API on SQLite, for trying, testing and offline work."""
    limit, window = _rate_limit(rate_limit)
    settings = Settings(
        db=db,
        tokens=tuple(map(Token.parse, tokens)),
        rate_limit=limit,
        rate_window_seconds=window,
        seed=seed,
    )
    serve(settings, host, port, on_ready=lambda url: err(_welcome(url, settings)))


def _welcome(url: str, settings: Settings) -> str:
    kept = f"kept in {settings.db}" if settings.db else "kept in memory, gone when this stops"
    lines = [f"The embedded control plane listens on {url} ({kept})."]
    if settings.seed is not None:
        lines.append(f"  Keys, to act as somebody:  {'  '.join(f'{key.name} {key.secret}' for key in DEMO_TOKENS)}")
    with shipped_manifests() as manifests:
        shown = as_typed(manifests)
    needed = "OCTOMIL_API_KEY=… " if settings.tokens else ""
    lines.append(f"  {needed}octosync plan -f {shown} --url {url}")
    lines.append(f"  API description: {url}/openapi.json · Ctrl-C stops it")
    return "".join(f"{line}\n" for line in lines)


def _rate_limit(text: str) -> tuple[int, float]:
    match = re.fullmatch(r"(\d{1,9})(?:/(\d{1,6}(?:\.\d{1,6})?))?", text)
    seconds = float(match[2] or 60) if match else 0.0
    if match is None or seconds <= 0:
        raise UsageError(
            "rate-limit-format",
            f"--rate-limit {text} is not a rate limit",
            hints=("For example --rate-limit 100, or 10/1 for ten requests in any second.",),
        )
    return int(match[1]), seconds
