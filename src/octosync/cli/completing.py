"""What a shell offers where octosync alone knows what may stand there. In place of an error, it offers nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

import click
from click.shell_completion import CompletionItem

from octosync.errors import OctosyncError
from octosync.manifest import find_configuration, read_configuration


def files(ctx: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem[str]]:
    """Leave it to the shell, which knows files."""
    del ctx, parameter
    return [CompletionItem(incomplete, type="file")]


def folders(ctx: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem[str]]:
    """Likewise for folders."""
    del ctx, parameter
    return [CompletionItem(incomplete, type="dir")]


def contexts(ctx: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem[str]]:
    """Offer the contexts of the octosync.yaml that was named, else of the one here or above, each with its URL."""
    del parameter
    named = ctx.params.get("config")
    try:
        path = named if isinstance(named, Path) else find_configuration(Path())
        found = read_configuration(path).configuration.contexts
    except (OctosyncError, OSError):
        return []
    return [CompletionItem(name, help=one.url) for name, one in found.items() if name.startswith(incomplete)]


def starting_with(words: Iterable[str]) -> Callable[[click.Context, click.Parameter, str], list[str]]:
    """Offer those of a set of words that go on from what was typed."""
    all_words = tuple(words)

    def offer(ctx: click.Context, parameter: click.Parameter, incomplete: str) -> list[str]:
        del ctx, parameter
        return [word for word in all_words if word.startswith(incomplete)]

    return offer
