"""The inputs of a command: octosync.yaml, the manifests and the base, with all of their problems at once.

What only `--base`, `-k` and policies need is imported by the functions for them.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from octosync.cli.console import err, read_stdin, wants_colour
from octosync.cli.contexts import chosen_context, known_keys, read_or_find
from octosync.cli.root import AlreadyReported
from octosync.cli.run_options import BaseFlags, ManifestFlags, RemoteFlags
from octosync.errors import ExitCode, OctosyncError
from octosync.manifest import STDIN, Cache, Configuration, Context, LoadOptions, Manifests, load_manifests
from octosync.manifest.schema.rules import BASE_RULES
from octosync.model import Redactor
from octosync.report import is_valid, render_diagnostics, render_error, strict_error

if TYPE_CHECKING:
    from octosync.cli.base import BaseRevisions
    from octosync.manifest.load.files import File
    from octosync.manifest.load.valid_files import ValidFiles
    from octosync.model import Diagnostic, Policy
    from octosync.plan import Allowances
    from octosync.plan.three_way.verdict import Base


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
    allowances: Allowances | None = None
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
    *,
    knows_valid_files: bool = False,
) -> LoadedInputs:
    """Read octosync.yaml, choose the context, and load the manifests and, if there is one, the base.

    With a `cache`, unchanged files are not parsed again. With `knows_valid_files`, apps in files that were valid before are only
    counted. Problems of files are in the result's diagnostics. Raises `UsageError` and `ConfigError` for invalid flags and
    contexts, and for a base that can't be loaded.
    """
    load = LoadOptions(
        environment=environment,
        env_allowed=flags.env_allowed,
        allow_empty=flags.allow_empty,
        valid_files=_open_valid_files if knows_valid_files else None,
    )
    inputs = _load(flags, remote, load, base or BaseFlags(), cache)
    if not inputs.diagnostics:
        return inputs
    keys = Redactor(known_keys(remote, inputs.configuration, inputs.context, environment))
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
    flags: ManifestFlags, remote: RemoteFlags, load: LoadOptions, base: BaseFlags, cache: Cache | None
) -> LoadedInputs:
    base.check(flags)
    configured, environment = read_or_find(flags.config), load.environment
    configuration = configured.configuration
    if configured.has_errors:
        return LoadedInputs(
            configuration=configuration,
            diagnostics=configured.diagnostics,
            strict=flags.strict,
            configuration_is_usable=False,
        )
    revisions = _find_revisions(base.base, base, flags.config) if base.base is not None else None
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
        options=load,
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
            *(_check_rules(policies) if (policies := configured.configuration.policies) else ()),
            *notices,
            *manifests.diagnostics,
        ),
        strict=flags.strict,
    )
    # Warnings that --strict rejects end the run, too, and the base shows which of them are about the change.
    is_usable = is_valid(inputs.diagnostics)
    return _with_base(inputs, base, flags, environment) if base.given and is_usable else inputs


def _find_revisions(named: str, flags: BaseFlags, config: Path | None) -> BaseRevisions:
    from octosync.cli.base import BaseRevisions

    return BaseRevisions.find(named, flags, config)


def _check_rules(policies: Iterable[Policy]) -> tuple[Diagnostic, ...]:
    from octosync.cli.policies import check_rules

    return check_rules(policies)


def _render_kustomization(
    kustomize: str, flags: ManifestFlags, configuration: Configuration, environment: Mapping[str, str]
) -> list[File]:
    within = configuration.bounds() if flags.kustomize is None else None
    from octosync.manifest.load.kustomize import render

    return [render(kustomize, environment, within=within, remote=flags.allow_remote_bases)]


def _open_valid_files(configuration: Configuration) -> ValidFiles | None:
    from octosync.cli.file_writer import write_whole
    from octosync.manifest.load.valid_files import ValidFiles

    folder = Path(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "octosync")  # noqa: PTH111 — never raises
    return ValidFiles(folder, configuration, partial(write_whole, private=True)) if folder.is_absolute() else None


def _with_base(
    inputs: LoadedInputs, flags: BaseFlags, manifests: ManifestFlags, environment: Mapping[str, str]
) -> LoadedInputs:
    from octosync.cli.base import BaseLoader
    from octosync.plan import allowances_in

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
