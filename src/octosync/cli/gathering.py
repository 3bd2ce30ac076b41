"""What validate, plan and apply begin with: octosync.yaml and the manifests, every problem of both in one go."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from octosync.cli.connecting import RemoteFlags, chosen_context
from octosync.cli.console import err, from_stdin, wants_colour
from octosync.errors import ConfigError, ExitCode
from octosync.manifest import (
    STDIN,
    Configuration,
    Context,
    Manifests,
    find_configuration,
    load,
    read_configuration,
)
from octosync.model import Diagnostic
from octosync.report import is_valid, render_diagnostics


@dataclass(frozen=True, slots=True, kw_only=True)
class ManifestFlags:
    """The manifest options as they were given."""

    paths: tuple[str, ...] = ()
    config: Path | None = None
    env_allowed: tuple[str, ...] = ()
    allow_empty: bool = False
    strict: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Gathered:
    """Configuration, the context in force, the manifests with the paths they came from, and what is to be said of all."""

    configuration: Configuration
    context: Context | None = None
    manifests: Manifests = field(default_factory=Manifests)
    paths: tuple[str, ...] = ()
    diagnostics: tuple[Diagnostic, ...] = ()
    strict: bool = False

    @property
    def fails(self) -> bool:
        """Whether what was found here ends the run."""
        return not is_valid(self.diagnostics, strict=self.strict)


def gather(flags: ManifestFlags, remote: RemoteFlags, environment: Mapping[str, str] = os.environ) -> Gathered:
    """Read octosync.yaml, choose the context, load the manifests. What they say wrong is in the result's diagnostics.

    Raises `UsageError` and `ConfigError` for what flags and contexts can't mean.
    """
    configured = read_configuration(flags.config or find_configuration(Path()))
    configuration = configured.configuration
    if configured.has_errors:
        return Gathered(configuration=configuration, diagnostics=configured.diagnostics, strict=flags.strict)
    context = chosen_context(remote, configuration)
    if context is not None and context.kustomize is not None and not flags.paths:
        raise ConfigError(
            "kustomize-not-rendered",
            f"context {context.name} has `kustomize: {context.kustomize}`, and this version does not render it",
            hints=(f"Render it yourself:  kubectl kustomize {context.kustomize} | octosync plan -f -",),
        )
    manifests = load(
        flags.paths,
        configuration=configuration,
        context=context,
        now=datetime.now(UTC),
        stdin=_stdin(flags.paths),
        environment=environment,
        env_allowed=flags.env_allowed,
        allow_empty=flags.allow_empty,
    )
    return Gathered(
        configuration=configuration,
        context=context,
        manifests=manifests,
        paths=tuple(flags.paths) or configuration.paths_of(context),
        diagnostics=(*configured.diagnostics, *manifests.diagnostics),
        strict=flags.strict,
    )


def gather_or_report(
    flags: ManifestFlags, remote: RemoteFlags, *, colour: str, saw: Callable[[Gathered], None] | None = None
) -> Gathered | ExitCode:
    """Gather, or report on stderr what ends the run and return its exit code; `saw` is told in both cases.

    Raises as `gather` does.
    """
    gathered = gather(flags, remote)
    if saw is not None:
        saw(gathered)
    if not gathered.fails:
        return gathered
    painted = wants_colour(sys.stderr, colour)
    err(render_diagnostics(gathered.diagnostics, files=gathered.manifests.files, colour=painted))
    if is_valid(gathered.diagnostics):
        err("--strict makes warnings errors.\n")
    return ExitCode.ERROR


def _stdin(paths: tuple[str, ...]) -> bytes | None:
    return from_stdin() if STDIN in paths else None
