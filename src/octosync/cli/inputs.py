"""The inputs of a command: octosync.yaml, the manifests and the base, with all of their problems at once.

Commands load them once before the first request; `InputsReloader` loads them repeatedly for the controller.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from octosync.cli.base import BaseLoader, BaseRevisions
from octosync.cli.console import err, read_stdin, wants_colour
from octosync.cli.policies import check_rules
from octosync.cli.root import AlreadyReported
from octosync.cli.run_options import BaseFlags, ManifestFlags, RemoteFlags
from octosync.cli.session import chosen_context, known_keys, read_or_find
from octosync.errors import ExitCode, OctosyncError, UsageError
from octosync.manifest import (
    STDIN,
    Cache,
    Configuration,
    Context,
    LoadOptions,
    Manifests,
    configuration_places,
    load_manifests,
)
from octosync.manifest.git.base import BASE_RULES
from octosync.manifest.git.repository import git_commit
from octosync.manifest.load.files import File
from octosync.manifest.load.kustomize import render
from octosync.model import Diagnostic, Redactor
from octosync.plan import Allowances, allowances_in
from octosync.plan.three_way.verdict import Base
from octosync.report import is_valid, render_diagnostics, render_error, strict_error
from octosync.watch.manifests.desired import ManifestLoad
from octosync.watch.manifests.file_snapshot import WatchedPaths
from octosync.watch.status import clone_of


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadedInputs:
    """The configuration, the active context, the manifests, and the diagnostics of all of them.

    `revisions` and `base` are those of `--base`, the latter without a selection; `gap` is the reason why apps may differ from
    what was applied although they don't differ from the base. `allowances` are the overrides in messages of commits since the
    base. The manifests were read from `paths` or `kustomize`.
    """

    configuration: Configuration
    context: Context | None = None
    manifests: Manifests = field(default_factory=Manifests)
    paths: tuple[str, ...] = ()
    kustomize: str | None = None
    revisions: BaseRevisions | None = None
    base: Base | None = None
    gap: str | None = None
    allowances: Allowances = field(default_factory=Allowances)
    diagnostics: tuple[Diagnostic, ...] = ()
    strict: bool = False
    configuration_is_usable: bool = True

    @property
    def fails(self) -> bool:
        """Whether these diagnostics end the run. Those of the base never do, so that a change can fix it."""
        return not is_valid((found for found in self.diagnostics if found.rule not in BASE_RULES), strict=self.strict)

    def strict_error(self, diagnostics: Iterable[Diagnostic]) -> OctosyncError | None:
        """Return the error of a run that fails only because of `--strict`; None if it doesn't."""
        return strict_error(found for found in diagnostics if found.rule not in BASE_RULES) if self.strict else None


def load_inputs(
    flags: ManifestFlags,
    remote: RemoteFlags,
    environment: Mapping[str, str] = os.environ,
    base: BaseFlags | None = None,
    cache: Cache | None = None,
) -> LoadedInputs:
    """Read octosync.yaml, choose the context, and load the manifests and, if there is one, the base.

    With a `cache`, unchanged files are not parsed again. Problems of files are in the result's diagnostics. Raises `UsageError`
    and `ConfigError` for invalid flags and contexts, and for a base that can't be loaded.
    """
    inputs = _load(flags, remote, environment, base or BaseFlags(), cache)
    if not inputs.diagnostics:
        return inputs
    keys = Redactor(known_keys(remote, inputs.context, environment))
    return replace(inputs, diagnostics=tuple(diagnostic.masked(keys) for diagnostic in inputs.diagnostics))


def load_valid_inputs(
    flags: ManifestFlags,
    remote: RemoteFlags,
    *,
    colour: str,
    base: BaseFlags | None = None,
    on_loaded: Callable[[LoadedInputs], None] | None = None,
) -> LoadedInputs:
    """Return inputs that can be planned. Raises `AlreadyReported` after it reported problems that end the run on stderr.

    `on_loaded` is called with the inputs in both cases. Otherwise, raises as `load_inputs` does.
    """
    inputs = load_inputs(flags, remote, base=base)
    if on_loaded is not None:
        on_loaded(inputs)
    if not inputs.fails:
        return inputs
    painted = wants_colour(sys.stderr, colour)
    err(render_diagnostics(inputs.diagnostics, files=inputs.manifests.files, colour=painted))
    if (error := inputs.strict_error(inputs.diagnostics)) is not None:
        err(render_error(error, written="", colour=painted))
    raise AlreadyReported(ExitCode.ERROR)


def load_settings(flags: ManifestFlags, remote: RemoteFlags) -> LoadedInputs:
    """Read octosync.yaml and choose the context, but read no manifests. Raises `UsageError` and `ConfigError`."""
    configured = read_or_find(flags.config)
    return LoadedInputs(
        configuration=configured.configuration,
        context=chosen_context(remote, configured.configuration),
        diagnostics=configured.diagnostics,
        strict=flags.strict,
        configuration_is_usable=not configured.has_errors,
    )


def _load(
    flags: ManifestFlags, remote: RemoteFlags, environment: Mapping[str, str], base: BaseFlags, cache: Cache | None
) -> LoadedInputs:
    base.check(flags)
    configured = read_or_find(flags.config)
    configuration = configured.configuration
    if configured.has_errors:
        return LoadedInputs(
            configuration=configuration,
            diagnostics=configured.diagnostics,
            strict=flags.strict,
            configuration_is_usable=False,
        )
    revisions = BaseRevisions.find(base.base, base, flags.config) if base.base is not None else None
    notices: tuple[Diagnostic, ...] = ()
    if revisions is not None and base.reviews:
        configuration, notices = revisions.review_configuration(configuration, changed_only=base.changed_only)
    context = chosen_context(remote, configuration)
    kustomize = flags.kustomize or (context.kustomize if context is not None and not flags.paths else None)
    if kustomize is not None and flags.kustomize is None and revisions is not None and base.reviews:
        revisions.check_kustomize(kustomize, context, configuration)
    manifests = load_manifests(
        flags.paths,
        configuration=configuration,
        context=context,
        now=datetime.now(UTC),
        stdin=read_stdin() if STDIN in flags.paths else None,
        rendered=_render_kustomization(kustomize, flags, configuration, environment) if kustomize is not None else None,
        cache=cache,
        options=LoadOptions(environment=environment, env_allowed=flags.env_allowed, allow_empty=flags.allow_empty),
    )
    inputs = LoadedInputs(
        configuration=configuration,
        context=context,
        manifests=manifests,
        paths=() if kustomize is not None else tuple(flags.paths) or configuration.paths_of(context),
        kustomize=kustomize,
        revisions=revisions,
        diagnostics=(
            *configured.diagnostics,
            *(check_rules(policies) if (policies := configured.configuration.policies) else ()),
            *notices,
            *manifests.diagnostics,
        ),
        strict=flags.strict,
    )
    # Warnings that --strict rejects end the run, too, and the base shows which of them are about the change.
    is_usable = is_valid(inputs.diagnostics)
    return _with_base(inputs, base, flags, environment) if base.given and is_usable else inputs


def _render_kustomization(
    kustomize: str, flags: ManifestFlags, configuration: Configuration, environment: Mapping[str, str]
) -> list[File]:
    within = configuration.bounds() if flags.kustomize is None else None
    return [render(kustomize, environment, within=within, remote=flags.allow_remote_bases)]


def _with_base(
    inputs: LoadedInputs, flags: BaseFlags, manifests: ManifestFlags, environment: Mapping[str, str]
) -> LoadedInputs:
    loader = BaseLoader(
        flags=flags,
        revisions=inputs.revisions,
        manifests=manifests,
        configuration=inputs.configuration,
        context=inputs.context,
        environment=environment,
    )
    loaded = loader.load(inputs.manifests)
    commits = inputs.revisions.commits() if inputs.revisions is not None else ()
    allowances = allowances_in(commits, inputs.configuration.guards.trailers)
    found = (*inputs.diagnostics, *loaded.diagnostics, *allowances.diagnostics)
    return replace(inputs, base=loaded.base, gap=loaded.gap, allowances=allowances, diagnostics=found)


_COMMIT: Final = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")


@dataclass(frozen=True, slots=True, kw_only=True)
class InputsReloader:
    """Loads the inputs again and again for the controller: called from any thread, one call at a time. Prints nothing.

    The constructor raises `UsageError` for `-f -`, which can be read only once. A call raises as `load_inputs` does.
    """

    flags: ManifestFlags
    remote: RemoteFlags
    environment: Mapping[str, str] = field(default_factory=lambda: os.environ)

    def __post_init__(self) -> None:
        if STDIN in self.flags.paths:
            raise UsageError(
                "stdin-watched",
                "-f - reads standard input, which can't be watched for changes",
                hints=("Name files or folders with -f, or a kustomization with -k.",),
            )

    def __call__(self, cache: Cache) -> ManifestLoad:
        """Load the inputs."""
        inputs = load_inputs(self.flags, self.remote, self.environment, cache=cache)
        watched = self._watched(inputs)
        return ManifestLoad(
            configuration=inputs.configuration,
            context=inputs.context,
            manifests=inputs.manifests,
            diagnostics=inputs.diagnostics,
            fails=inputs.fails,
            revision=_revision(inputs),
            watched=watched,
            clone=clone_of((*watched.paths, *watched.kustomizations, *watched.configuration)),
        )

    @property
    def watched(self) -> WatchedPaths:
        """The paths to watch before the first load, which follow from the flags alone."""
        return self._watched(LoadedInputs(configuration=Configuration(), kustomize=self.flags.kustomize))

    def _watched(self, inputs: LoadedInputs) -> WatchedPaths:
        config, context = self.flags.config, inputs.context
        # Also the paths of octosync.yaml, beside those of flags: what their manifests declare must not be removed.
        kustomize = inputs.kustomize or self.flags.kustomize
        own = () if kustomize is not None else inputs.configuration.paths_of(context)
        within = inputs.configuration.bounds()
        own = tuple(path for path in own if within is None or within.hold(os.path.realpath(path)))
        token = self.remote.token_file or (context.token_file if context is not None else None)
        return WatchedPaths(
            paths=tuple(dict.fromkeys((*self.flags.paths, *own))),
            kustomizations=() if kustomize is None else (kustomize,),
            configuration=tuple(map(str, (config,) if config is not None else configuration_places(Path()))),
            tokens=() if token is None else (str(token),),
        )


def _revision(inputs: LoadedInputs) -> str:
    """Return the commit of the manifests' work tree; "" if it is unknown.

    Without git, it is the name of a folder on the path, because git-sync names folders by their commits.
    """
    place = inputs.kustomize or next(iter(inputs.paths), ".")
    real = Path(os.path.realpath(place))
    commit = git_commit(real if real.is_dir() else real.parent)
    return commit or next((name for name in reversed(real.parts) if _COMMIT.fullmatch(name)), "")
