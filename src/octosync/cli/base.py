"""The base of a run: the Git revisions that flags name, the manifests they declare, and which octosync.yaml applies."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Final

from octosync.cli.run_options import BaseFlags, ManifestFlags
from octosync.errors import ConfigError, OctosyncError
from octosync.manifest import RULES, Configuration, ConfigurationResult, Context, Manifests
from octosync.manifest.git.base import (
    BaseManifests,
    as_reviewed,
    as_warnings,
    configuration_of,
    load_base,
    notices_of_deferred_settings,
    without,
)
from octosync.manifest.git.repository import SHOWN, Repository
from octosync.manifest.git.revision import Revision
from octosync.manifest.load.files import File, read_files
from octosync.manifest.load.kustomize import has_kustomization, render_at
from octosync.manifest.schema.rules import Findings
from octosync.model import Diagnostic, Severity, State
from octosync.plan import FINDINGS, Commit
from octosync.plan.three_way.verdict import Base, UnappliedChanges

_MOST_PATHS: Final = 1_000  # on the command line of git

_COMMIT: Final = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")


@dataclass(frozen=True)
class BaseRevisions:
    """The Git revisions of a run: the tip that `--base` names, and the base itself.

    The base is the merge base of the tip and `head`, the checked-out commit; with `--allow-rollback` it is the tip, because the
    rollback starts there. The commit that a plan file records replaces both if it is an ancestor of this base, which moves on
    with every merge. `since` is the base regardless of a plan file: no file brings the overrides of commits into force.
    `attempted` are the `--attempted` revisions, and `gone` those that are not in the clone any more. `lacking` are those of the
    tip and the attempted ones, with the names that were given, that are missing from the history of
    `head`. `applied` is the revision of `--applied`, None if it is not given.
    """

    named: str
    tip: Revision
    base: Revision
    head: str
    since: str
    attempted: tuple[Revision, ...]
    gone: tuple[str, ...]
    lacking: tuple[tuple[str, Revision], ...]
    config: Path | None
    applied: Revision | None = None

    @classmethod
    def find(cls, named: str, flags: BaseFlags, config: Path | None) -> BaseRevisions:
        """Return the revisions of `--base`. Raises `UsageError` and `ConfigError` for a revision that can't be found."""
        repository = Repository.around(Path(), config)
        tip, head = repository.resolve(named), repository.resolve("HEAD")
        attempted, gone = _find_attempted(repository, flags.attempted)
        lacking = tuple(
            (name, revision)
            for name, revision in ((named, Revision(repository, tip)), *attempted.items())
            if not repository.descends(head, from_=revision.commit)
        )
        descends = all(revision.commit != tip for _, revision in lacking)
        base = since = tip if descends or flags.goes_back else repository.merge_base(tip, head)
        approved = flags.approved
        if approved is not None and not flags.goes_back and _is_earlier(repository, approved, base):
            base = tip = approved
        return cls(
            named=named,
            tip=Revision(repository, tip),
            base=Revision(repository, base),
            head=head,
            since=since,
            attempted=tuple(attempted.values()),
            gone=gone,
            lacking=lacking,
            config=config,
            applied=None if flags.applied is None else _find_applied(repository, flags.applied),
        )

    def commits(self) -> tuple[Commit, ...]:
        """Return the commits between the base of the command line and the checked-out commit."""
        return self.base.repository.commits(self.since, self.head)

    def earlier_commits(self) -> tuple[Commit, ...]:
        """Return the commits between the base of a plan file and that of the command line; their overrides don't count."""
        return self.base.repository.commits(self.base.commit, self.since)

    @cached_property
    def merged(self) -> Revision:
        """The merged revision to compare with the applied one: the base, or the tip if the base is older than the applied one."""
        applied, base = self.applied, self.base
        if applied is None or applied.commit == base.commit:
            return base
        return self.tip if base.repository.descends(applied.commit, from_=base.commit) else base

    @cached_property
    def is_applied_merged(self) -> bool:
        """Whether the applied revision is in the history of the tip."""
        return self.applied is None or self.tip.repository.descends(self.tip.commit, from_=self.applied.commit)

    def unapplied_commits(self, files: Iterable[str]) -> tuple[Commit, ...]:
        """Return the merged commits that were not applied: those that change the files, else all of them."""
        if self.applied is None:
            return ()
        applied, merged = self.applied.commit, self.merged.commit
        paths = tuple(sorted(set(files)))
        repository = self.tip.repository
        found = repository.commits(applied, merged, paths=paths) if 0 < len(paths) <= _MOST_PATHS else ()
        return found or repository.commits(applied, merged)

    @property
    def rollback_message(self) -> str:
        """The message of the guard `rollback`: the first revision that is missing from the history."""
        name, revision = self.lacking[0]
        return (
            f"{self.head[:SHOWN]} does not have {name} ({revision.name}) in its history: "
            "applying it would undo what was applied since"
        )

    @cached_property
    def tip_configured(self) -> ConfigurationResult:
        """The octosync.yaml of the tip."""
        return configuration_of(self.tip, self.config)

    @cached_property
    def base_configured(self) -> ConfigurationResult:
        """The octosync.yaml of the base."""
        return self.tip_configured if self.base.commit == self.tip.commit else configuration_of(self.base, self.config)

    def check_kustomize(self, kustomize: str, context: Context | None, tree: Configuration) -> None:
        """Raise `ConfigError` if the change adds or replaces the kustomization to render: it needs a review first.

        An octosync.yaml outside of the repository is not part of the change.
        """
        if tree.file is not None and self.tip.repository.path_of(tree.file) is None:
            return
        before = _valid_or_default(self.tip_configured).contexts.get(context.name) if context is not None else None
        known = before.kustomize if before is not None else None
        if known is not None and os.path.normpath(known) == os.path.normpath(kustomize):
            if has_kustomization(self.tip, kustomize):
                return
            why = f"{self.named} has no kustomization at {kustomize}"
        else:
            why = f"this change sets `kustomize`, and {self.named} has {known or 'none'}"
        raise ConfigError(
            "kustomize-not-reviewed",
            f"{why}: a plan with --base renders only reviewed kustomizations",
            hints=(f"It takes effect after the merge. If you trust it, name it:  -k {shlex.quote(kustomize)}",),
        )

    def review_configuration(
        self, tree: Configuration, *, changed_only: bool
    ) -> tuple[Configuration, tuple[Diagnostic, ...]]:
        """Return the configuration to use, with the tip's values of settings that need a review, and its diagnostics.

        An octosync.yaml outside of the repository is not part of the change.
        """
        outside = tree.file is not None and self.tip.repository.path_of(tree.file) is None
        tip, base = _valid_or_default(self.tip_configured), _valid_or_default(self.base_configured)
        if outside and tip.file is None:
            return tree, ()
        found = notices_of_deferred_settings(tree, tip, base, name=self.named, changed_only=changed_only)
        # Those of a file with errors, too: a rule that is wrong accepts nothing.
        policies = self.tip_configured.configuration.policies
        return replace(as_reviewed(tree, tip), policies=policies), (*_errors_as_warnings(self.tip_configured), *found)


def _find_attempted(repository: Repository, names: Sequence[str]) -> tuple[Mapping[str, Revision], tuple[str, ...]]:
    """Return the attempted revisions by their names, and the names of those that a force push has removed."""
    found = {name: repository.find(name, flag="--attempted") for name in names}
    known = {name: Revision(repository, commit) for name, commit in found.items() if commit is not None}
    return known, tuple(name for name in found if name not in known)


def _is_earlier(repository: Repository, commit: str, base: str) -> bool:
    """Return whether a plan file's commit, which can be any text, is an ancestor of the base."""
    is_commit = _COMMIT.fullmatch(commit) is not None and repository.has(commit)
    return is_commit and commit != base and repository.descends(base, from_=commit)


def _find_applied(repository: Repository, name: str) -> Revision:
    return Revision(repository, repository.resolve(name, flag="--applied"))


def _valid_or_default(configured: ConfigurationResult) -> Configuration:
    """Return the configuration of an octosync.yaml; the default if the file has errors."""
    return Configuration() if configured.has_errors else configured.configuration


def _errors_as_warnings(configured: ConfigurationResult) -> tuple[Diagnostic, ...]:
    return as_warnings(found for found in configured.diagnostics if found.severity is Severity.ERROR)


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadedBase:
    """The base, regardless of `--app` and `-l`, and its diagnostics.

    `gap` is the reason why apps may differ from what was applied although their manifests don't differ, None for none.
    """

    base: Base
    diagnostics: tuple[Diagnostic, ...]
    gap: str | None


@dataclass(frozen=True, kw_only=True)
class BaseLoader:
    """Loads the manifests of other revisions, with the paths and variables of their own octosync.yaml."""

    flags: BaseFlags
    revisions: BaseRevisions | None
    manifests: ManifestFlags
    configuration: Configuration
    context: Context | None
    environment: Mapping[str, str]

    def load(self, manifests: Manifests) -> LoadedBase:
        """Return the base. Raises `ConfigError` if it can't be loaded."""
        revisions = self.revisions
        base = self._load_base()
        tip = self._load_tip()
        revisions_attempted, gone = self._attempted
        attempted = tuple(map(self._load_attempted, revisions_attempted))
        applied = self._load_applied(base)
        others = tuple(revision for revision in (tip, applied) if revision is not None)
        loaded_manifests = (base, *others, *attempted)
        diagnostics = tuple(
            dict.fromkeys(diagnostic for revision in loaded_manifests for diagnostic in revision.diagnostics)
        )
        if self.flags.prune and base.diagnostics:
            self._refuse_prune(base)
        if revisions is not None and not self.flags.reviews:
            diagnostics = (*_errors_as_warnings(revisions.base_configured), *diagnostics)
        diagnostics = (*diagnostics, *map(_gone_attempt, gone))
        if revisions is not None and not revisions.is_applied_merged:
            diagnostics = (*diagnostics, _not_merged(revisions))
        loaded = Base(
            state=without(base.state, manifests.others),
            tip=None if tip is None else without(_complete_tip(tip, base), manifests.others),
            attempted=tuple(without(revision.state, manifests.others) for revision in attempted),
            unknown=base.unknown,
        )
        if applied is not None:
            loaded = self._with_unapplied(loaded, applied, manifests)
        return LoadedBase(base=loaded, diagnostics=diagnostics, gap=self._gap(diagnostics))

    def _with_unapplied(self, base: Base, applied: BaseManifests, manifests: Manifests) -> Base:
        # What was attempted was merged: it is pending, and not a change of this tree.
        last = Base(state=without(applied.state, manifests.others), attempted=base.attempted, unknown=applied.unknown)
        return replace(base, attempted=(), unapplied=self._unapplied(base, last))

    def _unapplied(self, base: Base, applied: Base) -> UnappliedChanges | None:
        """Return what is merged and not applied yet; None also if the applied revision is newer than the tip."""
        revisions = self.revisions
        if revisions is None or revisions.applied is None or self.flags.base_file is not None:
            return UnappliedChanges.between(base.state, applied, unknown=base.unknown)
        if not revisions.is_applied_merged and revisions.tip.repository.descends(
            revisions.applied.commit, from_=revisions.tip.commit
        ):
            return None
        merged = base.tip if base.tip is not None and revisions.merged is revisions.tip else base.state
        return UnappliedChanges.between(merged, applied, unknown=base.unknown)

    def _load_applied(self, base: BaseManifests) -> BaseManifests | None:
        revisions, name = self.revisions, self.flags.applied
        if name is None:
            return None
        applied = revisions.applied if revisions is not None else None
        applied = applied or _find_applied(Repository.around(Path()), name)
        if revisions is not None and applied.commit == revisions.base.commit and self.flags.base_file is None:
            return base
        return self._load_at(applied, _valid_or_default(self._configuration_of(applied)))

    def _gap(self, diagnostics: Sequence[Diagnostic]) -> str | None:
        """Return why a difference of an app may not be seen, None for no reason."""
        _, gone = self._attempted
        if gone:
            return f"the attempted revision {gone[0][:SHOWN]} is not in this clone"
        if diagnostics:
            where = f"{diagnostics[0].origin}: " if diagnostics[0].origin is not None else ""
            return f"{where}{diagnostics[0].summary}"
        if self.manifests.allow_remote_bases:
            return "--allow-remote-bases: Git does not have the content of remote bases"
        return next(filter(None, map(self._changed_setting, self._compared)), None)

    @property
    def _compared(self) -> tuple[Revision, ...]:
        attempted, _ = self._attempted
        return attempted if self.revisions is None else (self.revisions.base, self.revisions.tip, *attempted)

    def _changed_setting(self, revision: Revision) -> str | None:
        """Return the setting of octosync.yaml that concerns every app and differs from a revision's own, None for none.

        An octosync.yaml outside of the repository has no revisions.
        """
        tree, context = self.configuration, self.context
        if tree.file is not None and revision.repository.path_of(tree.file) is None:
            return None
        configured = self._configuration_of(revision)
        own = configured.configuration
        if configured.has_errors:
            what = "octosync.yaml, which has errors there,"
        elif own.contract != tree.contract:
            what = "`api` in octosync.yaml"
        elif context is None or _place(own.contexts.get(context.name)) == _place(context):
            return None
        else:
            what = f"`url` or `org` of the context {context.name}"
        return f"{what} has changed since {revision.name}"

    def _configuration_of(self, revision: Revision) -> ConfigurationResult:
        revisions = self.revisions
        if revisions is None:
            return configuration_of(revision, None)
        known = {revisions.base.commit: revisions.base_configured, revisions.tip.commit: revisions.tip_configured}
        return known.get(revision.commit) or configuration_of(revision, revisions.config)

    @cached_property
    def _attempted(self) -> tuple[tuple[Revision, ...], tuple[str, ...]]:
        """The attempted revisions, and the names of those that are gone."""
        if self.revisions is not None:
            return self.revisions.attempted, self.revisions.gone
        if not self.flags.attempted:
            return (), ()
        found, gone = _find_attempted(Repository.around(Path()), self.flags.attempted)
        return tuple(found.values()), gone

    def _load_base(self) -> BaseManifests:
        if self.flags.base_file is not None:
            findings = Findings()
            files = read_files([self.flags.base_file], Path(), findings)
            if findings.has_errors:
                raise OctosyncError(
                    "base-file-unreadable",
                    f"--base-file: {findings.sorted[0].summary}",
                    hints=("The file must contain the manifests as they were rendered at the base.",),
                )
            own = (
                _valid_or_default(self.revisions.base_configured) if self.revisions is not None else self.configuration
            )
            named = [replace(file, base=file.name) for file in files]
            return self._load_files(named, findings, self._context_in(own))
        assert self.revisions is not None  # noqa: S101 — there is no base without either
        return self._load_at(self.revisions.base, _valid_or_default(self.revisions.base_configured))

    def _load_tip(self) -> BaseManifests | None:
        """Return the manifests of the tip; None if it is the base, or if the base comes from `--base-file`."""
        revisions = self.revisions
        if revisions is None or self.flags.base_file is not None or revisions.tip.commit == revisions.base.commit:
            return None
        return self._load_at(revisions.tip, _valid_or_default(revisions.tip_configured))

    def _load_attempted(self, revision: Revision) -> BaseManifests:
        return self._load_at(revision, _valid_or_default(self._configuration_of(revision)))

    def _load_at(self, revision: Revision, own: Configuration) -> BaseManifests:
        context = self._context_in(own)
        findings = Findings()
        kustomize = self.manifests.kustomize or (context.kustomize if context and not self.manifests.paths else None)
        if kustomize is not None:
            rendered = render_at(revision, kustomize, self.environment, remote=self.manifests.allow_remote_bases)
            return self._load_files([rendered] if rendered is not None else [], findings, context)
        paths = self.manifests.paths or own.paths_of(context) or self.configuration.paths_of(self.context)
        return self._load_files(revision.read(paths, findings), findings, context)

    def _context_in(self, own: Configuration) -> Context | None:
        """Return the context as the octosync.yaml of the revision declares it; if it doesn't, that of the work tree."""
        return own.contexts.get(self.context.name, self.context) if self.context is not None else None

    def _load_files(self, files: Sequence[File], findings: Findings, context: Context | None) -> BaseManifests:
        return load_base(
            files,
            findings,
            configuration=self.configuration,
            context=context,
            now=datetime.now(UTC),
            environment=self.environment,
            env_allowed=self.manifests.env_allowed,
        )

    def _refuse_prune(self, base: BaseManifests) -> None:
        where = self.flags.base_file or self.flags.base
        raise ConfigError(
            "prune-without-a-whole-base",
            f"--prune needs a valid base, and {where} is invalid: "
            f"{base.diagnostics[0].origin}: {base.diagnostics[0].summary}",
            hints=("Omit --prune until the base is valid.",),
        )


def _place(context: Context | None) -> tuple[str, str | None] | None:
    """Return the control plane and the org of a context."""
    return None if context is None else (context.url, context.org)


def _gone_attempt(name: str) -> Diagnostic:
    return Diagnostic(
        severity=RULES["attempt-gone"].severity,
        rule="attempt-gone",
        summary=f"the attempted revision {name} is not in this clone: its changes count as changes on the control plane",
    )


def _not_merged(revisions: BaseRevisions) -> Diagnostic:
    applied = revisions.applied.name if revisions.applied is not None else ""
    return Diagnostic(
        severity=FINDINGS["applied-not-merged"].severity,
        rule="applied-not-merged",
        summary=f"{applied} was applied, and is not in the history of {revisions.named} ({revisions.tip.name})",
        notes=(
            f"Fetch {revisions.named}. If it was force-pushed, the next apply needs --allow-rollback or another base.",
        ),
    )


def _complete_tip(tip: BaseManifests, base: BaseManifests) -> State:
    """Return the tip's state; if it has errors, apps that are missing from it are taken from the base."""
    if not tip.diagnostics:
        return tip.state
    return State({**dict(base.state.apps), **dict(tip.state.apps)})
