"""The completion of option values in a shell. It never fails: on an error, it offers nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from octosync.errors import OctosyncError

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

    from octosync.manifest import Configuration


def files(ctx: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem[str]]:
    """Complete file names, which the shell does."""
    from click.shell_completion import CompletionItem

    del ctx, parameter
    return [CompletionItem(incomplete, type="file")]


def folders(ctx: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem[str]]:
    """Complete folder names, which the shell does."""
    from click.shell_completion import CompletionItem

    del ctx, parameter
    return [CompletionItem(incomplete, type="dir")]


def contexts(ctx: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem[str]]:
    """Complete the contexts, each with its URL, of octosync.yaml: `--config`, else the nearest one upwards."""
    from click.shell_completion import CompletionItem

    del parameter
    found = _completed_configuration(ctx).contexts
    return [CompletionItem(name, help=context.url) for name, context in found.items() if name.startswith(incomplete)]


def policies(ctx: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem[str]]:
    """Complete the names of policies, each with its message, of octosync.yaml: `--config`, else the nearest one upwards."""
    from click.shell_completion import CompletionItem

    del parameter
    found = _completed_configuration(ctx).policies
    return [CompletionItem(policy.name, help=policy.message) for policy in found if policy.name.startswith(incomplete)]


def _completed_configuration(ctx: click.Context) -> Configuration:
    from octosync.manifest import Configuration

    try:
        return _read_configuration(ctx)
    except (OctosyncError, OSError):
        return Configuration()


def _read_configuration(ctx: click.Context) -> Configuration:
    from octosync.manifest import find_configuration, read_configuration

    named = ctx.params.get("config")
    return read_configuration(named if isinstance(named, Path) else find_configuration(Path())).configuration


def starting_with(words: Iterable[str]) -> Callable[[click.Context, click.Parameter, str], list[str]]:
    """Return a completion function for a set of words."""
    all_words = tuple(words)

    def offer(ctx: click.Context, parameter: click.Parameter, incomplete: str) -> list[str]:
        del ctx, parameter
        return [word for word in all_words if word.startswith(incomplete)]

    return offer


def addresses(ctx: click.Context, parameter: click.Parameter, incomplete: str) -> list[str]:
    """Complete the addresses that the manifests declare: those of `-f`, else of octosync.yaml. kustomize is not run."""
    del parameter
    from octosync.manifest import load_manifests

    try:
        configuration, paths = _read_configuration(ctx), ctx.params.get("paths") or ()
        declared = load_manifests(paths, configuration=configuration, now=datetime.now(UTC)).state
    except (OctosyncError, OSError):
        return []
    found = (str(address) for app in declared for address in app.addresses)
    return [address for address in found if address.startswith(incomplete)]
