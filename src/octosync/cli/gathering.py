"""What validate, plan and apply begin with: octosync.yaml and the manifests, every problem of both in one go."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

from octosync.cli.basing import Based, BaseFlags, Ground, Recalling
from octosync.cli.connecting import RemoteFlags, chosen_context, known_keys, read_or_find
from octosync.cli.console import err, from_stdin, wants_colour
from octosync.errors import ExitCode, OctosyncError, UsageError
from octosync.manifest import (
    STDIN,
    Cache,
    Configuration,
    Context,
    Manifests,
    load,
)
from octosync.manifest.kustomize import render
from octosync.manifest.recalling import INVALID
from octosync.manifest.sources import File
from octosync.model import Concealer, Diagnostic
from octosync.plan import Allowances, allowances_in
from octosync.report import is_valid, render_diagnostics, render_error, strict_error


@dataclass(frozen=True, slots=True, kw_only=True)
class ManifestFlags:
    """The manifest options as they were given."""

    paths: tuple[str, ...] = ()
    kustomize: str | None = None
    allow_remote_bases: bool = False
    config: Path | None = None
    env_allowed: tuple[str, ...] = ()
    allow_empty: bool = False
    strict: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Gathered:
    """Configuration, the context in force, the manifests with what they came from, and what is to be said of all.

    `ground` are the revisions that `--base` means, `based` what is compared with, `allowances` what commits since allow.
    """

    configuration: Configuration
    context: Context | None = None
    manifests: Manifests = field(default_factory=Manifests)
    paths: tuple[str, ...] = ()
    kustomize: str | None = None
    ground: Ground | None = None
    based: Based | None = None
    allowances: Allowances = field(default_factory=Allowances)
    diagnostics: tuple[Diagnostic, ...] = ()
    strict: bool = False

    configuration_is_usable: bool = True

    @property
    def fails(self) -> bool:
        """Whether what was found here ends the run."""
        return self.fails_with(self.diagnostics)

    def fails_with(self, diagnostics: Iterable[Diagnostic]) -> bool:
        """Say whether diagnostics end the run. What is wrong with the base never does: a change that mends it must pass."""
        return not is_valid(_of_tree(diagnostics), strict=self.strict)

    def strict_error(self, diagnostics: Iterable[Diagnostic]) -> OctosyncError | None:
        """Return the error of a run that only `--strict` fails for diagnostics; None if it doesn't."""
        return strict_error(_of_tree(diagnostics)) if self.strict else None


def _of_tree(diagnostics: Iterable[Diagnostic]) -> Iterator[Diagnostic]:
    return (diagnostic for diagnostic in diagnostics if diagnostic.rule != INVALID)


def gather(
    flags: ManifestFlags,
    remote: RemoteFlags,
    environment: Mapping[str, str] = os.environ,
    base: BaseFlags | None = None,
    cache: Cache | None = None,
) -> Gathered:
    """Read octosync.yaml, choose the context, load the manifests, and the base where one is asked for.

    With a `cache`, files that did not change since the latest time are not parsed again. What they say wrong is in the
    result's diagnostics. Raises `UsageError` and `ConfigError` for what flags and contexts can't mean, and for a base that
    can't be had.
    """
    gathered = _gather(flags, remote, environment, base or BaseFlags(), cache)
    keys = Concealer(known_keys(remote, gathered.context, environment))
    masked = tuple(diagnostic.masked(keys) for diagnostic in gathered.diagnostics)
    return replace(gathered, diagnostics=masked)


def gather_settings(flags: ManifestFlags, remote: RemoteFlags) -> Gathered:
    """Read octosync.yaml and choose the context, without any manifest. Raises `UsageError` and `ConfigError`."""
    configured = read_or_find(flags.config)
    return Gathered(
        configuration=configured.configuration,
        context=chosen_context(remote, configured.configuration),
        diagnostics=configured.diagnostics,
        strict=flags.strict,
        configuration_is_usable=not configured.has_errors,
    )


def _gather(
    flags: ManifestFlags, remote: RemoteFlags, environment: Mapping[str, str], base: BaseFlags, cache: Cache | None
) -> Gathered:
    _check(flags, base)
    configured = read_or_find(flags.config)
    configuration = configured.configuration
    if configured.has_errors:
        return Gathered(
            configuration=configuration,
            diagnostics=configured.diagnostics,
            strict=flags.strict,
            configuration_is_usable=False,
        )
    ground = Ground.of(base, flags.config)
    notices: tuple[Diagnostic, ...] = ()
    if ground is not None and base.reviews:
        configuration, notices = ground.reviewed(configuration, changed_only=base.changed_only)
    context = chosen_context(remote, configuration)
    kustomize = flags.kustomize or (context.kustomize if context is not None and not flags.paths else None)
    if kustomize is not None and flags.kustomize is None and ground is not None and base.reviews:
        ground.check_kustomize(kustomize, context, configuration)
    manifests = load(
        flags.paths,
        configuration=configuration,
        context=context,
        now=datetime.now(UTC),
        stdin=_stdin(flags.paths),
        rendered=_rendered(kustomize, flags, configuration, environment),
        environment=environment,
        env_allowed=flags.env_allowed,
        allow_empty=flags.allow_empty,
        cache=cache,
    )
    gathered = Gathered(
        configuration=configuration,
        context=context,
        manifests=manifests,
        paths=() if kustomize is not None else tuple(flags.paths) or configuration.paths_of(context),
        kustomize=kustomize,
        ground=ground,
        diagnostics=(*configured.diagnostics, *notices, *manifests.diagnostics),
        strict=flags.strict,
    )
    return _with_base(gathered, base, flags, environment) if base.given and not gathered.fails else gathered


def _rendered(
    kustomize: str | None, flags: ManifestFlags, configuration: Configuration, environment: Mapping[str, str]
) -> list[File] | None:
    if kustomize is None:
        return None
    within = configuration.bounds() if flags.kustomize is None else None
    return [render(kustomize, environment, within=within, remote=flags.allow_remote_bases)]


def _with_base(gathered: Gathered, base: BaseFlags, flags: ManifestFlags, environment: Mapping[str, str]) -> Gathered:
    configuration, ground = gathered.configuration, gathered.ground
    based = Recalling(
        flags=base,
        ground=ground,
        paths=flags.paths,
        kustomize=flags.kustomize,
        remote_bases=flags.allow_remote_bases,
        configuration=configuration,
        context=gathered.context,
        environment=environment,
        env_allowed=flags.env_allowed,
    ).based(gathered.manifests)
    commits = ground.commits() if ground is not None else ()
    allowances = allowances_in(commits, configuration.guards.trailers)
    found = (*gathered.diagnostics, *based.diagnostics, *allowances.diagnostics)
    return replace(gathered, based=based, allowances=allowances, diagnostics=found)


def _check(flags: ManifestFlags, base: BaseFlags) -> None:
    if flags.kustomize is not None and flags.paths:
        raise UsageError(
            "file-with-kustomize", "-f and -k are both given, and each names all manifests", hints=("Leave one out.",)
        )
    if flags.allow_remote_bases and base.offline:
        raise UsageError(
            "offline-with-remote-bases",
            "--offline and --allow-remote-bases exclude each other: offline, nothing is fetched",
            hints=("Leave one out.",),
        )
    base.check(flags.paths)


def gather_or_report(
    flags: ManifestFlags,
    remote: RemoteFlags,
    *,
    colour: str,
    saw: Callable[[Gathered], None] | None = None,
    base: BaseFlags | None = None,
) -> Gathered | ExitCode:
    """Gather, or report on stderr what ends the run and return its exit code; `saw` is told in both cases.

    Raises as `gather` does.
    """
    gathered = gather(flags, remote, base=base)
    if saw is not None:
        saw(gathered)
    if not gathered.fails:
        return gathered
    painted = wants_colour(sys.stderr, colour)
    err(render_diagnostics(gathered.diagnostics, files=gathered.manifests.files, colour=painted))
    if (error := gathered.strict_error(gathered.diagnostics)) is not None:
        err(render_error(error, written="", colour=painted))
    return ExitCode.ERROR


def _stdin(paths: tuple[str, ...]) -> bytes | None:
    return from_stdin() if STDIN in paths else None
