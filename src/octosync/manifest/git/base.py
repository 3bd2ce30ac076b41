"""The base of a plan: manifests and octosync.yaml as they were at a Git revision.

Documents of the base that can't be read count as not declared and are reported. While a change of octosync.yaml is reviewed,
settings that could redirect a credential or loosen the checks of the change come from the reviewed version.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path, PurePosixPath

from octosync.manifest.config.config import Configuration, ConfigurationResult, Context
from octosync.manifest.config.reader import read_configuration_text
from octosync.manifest.git.revision import Revision
from octosync.manifest.load.documents import with_apps
from octosync.manifest.load.files import File
from octosync.manifest.load.load import Loader, variables_for
from octosync.manifest.schema.rules import RULES, Findings
from octosync.model import App, Diagnostic, Origin, Section, Severity, State

INVALID = "invalid-base"


@dataclass(frozen=True, slots=True, kw_only=True)
class BaseManifests:
    """The part of a base's desired state that could be read.

    `unknown` are apps whose documents have errors; `diagnostics` are these errors, as warnings. If there are any, apps that
    could not be identified may be missing, too.
    """

    state: State
    unknown: frozenset[str] = frozenset()
    diagnostics: tuple[Diagnostic, ...] = ()


def load_base(
    files: Sequence[File],
    findings: Findings,
    *,
    configuration: Configuration,
    context: Context | None,
    now: datetime,
    environment: Mapping[str, str],
    env_allowed: Iterable[str] = (),
) -> BaseManifests:
    """Return the desired state of files that were read already; `findings` holds the errors of reading them.

    Owners are not checked: they were checked before the merge.
    """
    variables = variables_for(configuration, context, environment, env_allowed)
    loader = Loader(configuration, configuration.contract, variables, now)
    read = loader.read_all(files, findings)
    state = loader.assemble(read)
    errors = [found for found in findings.sorted if found.severity is Severity.ERROR]
    of_apps = with_apps(errors, (resource for resource, _ in read.resources))
    unknown = frozenset(app for error in of_apps for app in error.apps)
    return BaseManifests(
        state=State.from_apps(*(app for app in state if app.slug not in unknown)),
        unknown=unknown,
        diagnostics=as_warnings(errors),
    )


def without(state: State, others: State) -> State:
    """Return a state without what `others` declares: it was not removed from Git, only moved to another file."""
    apps = (_without(app, others.apps.get(app.slug)) for app in state)
    return State.from_apps(*(app for app in apps if app is not None))


def _without(app: App, moved: App | None) -> App | None:
    if moved is None:
        return app
    held = moved.sections if moved.declared else frozenset[Section]()
    targets = {target.unique_key for target in moved.targets}
    slots = {slot.capability for slot in moved.slots}
    rest = replace(
        app,
        targets=() if held & {Section.TARGETS} else tuple(t for t in app.targets if t.unique_key not in targets),
        slots=() if held & {Section.SLOTS} else tuple(s for s in app.slots if s.capability not in slots),
        inference_config=None if moved.inference_config is not None else app.inference_config,
    )
    if moved.declared:
        rest = replace(rest, fields={}, archived=False, declared=False, complete_sections=frozenset())
    return rest if rest.declared or rest.sections else None


def as_warnings(errors: Iterable[Diagnostic]) -> tuple[Diagnostic, ...]:
    """Return the errors of the base as warnings: they need not be fixed to continue."""
    return tuple(
        replace(
            error,
            severity=RULES[INVALID].severity,
            rule=INVALID,
            summary=f"{error.summary} ({error.rule}); it counts as not declared in the base",
            suggestion=None,
        )
        for error in errors
    )


_WHOLE = {
    "api": "contract",
    "guards": "guards",
    "owners": "owners",
    "env": "env",
    "freeze": "freeze",
    "policies": "policies",
    "sensitiveKeys": "sensitivity",
    "stateUrl": "state_url",
    "stateUrlEnv": "state_url_env",
}
_OF_A_CONTEXT = {
    "url": "url",
    "org": "org",
    "tokenEnv": "token_env",
    "tokenFile": "token_file",
    "stateUrl": "state_url",
    "stateUrlEnv": "state_url_env",
}
_NO_CONTEXT = Context(name="", url="")


def configuration_of(revision: Revision, named: Path | None) -> ConfigurationResult:
    """Return the octosync.yaml of a revision: the named one, else the nearest one above the working directory.

    Its paths are relative to the working directory, as in the work tree. `requires` is not checked, since it was checked in the
    work tree's file. If there is no file, or it is outside of the repository, the defaults apply, without contexts.
    """
    path = revision.repository.path_of(str(named)) if named is not None else revision.configuration_path()
    data = revision.file(path) if path is not None else None
    if path is None or data is None:
        return ConfigurationResult(Configuration())
    folder = os.path.relpath(str(PurePosixPath(path).parent), revision.repository.prefix or ".")
    return read_configuration_text(revision.label(path), data, Path(folder), version=None, base=revision.name)


def as_reviewed(tree: Configuration, tip: Configuration) -> Configuration:
    """Return the work tree's configuration for a plan with a base: settings that need a review come from the tip.

    A context that the tip does not have has no URL and no token: its `url` is "".
    """
    return replace(
        tree,
        directory=tip.directory if tip.file is not None else tree.directory,
        contexts={name: _context(context, tip.contexts.get(name)) for name, context in tree.contexts.items()},
        contract=tip.contract,
        guards=tip.guards,
        owners=tip.owners,
        env=tip.env,
        freeze=tip.freeze,
        policies=tip.policies,
        sensitivity=tip.sensitivity,
        state_url=tip.state_url,
        state_url_env=tip.state_url_env,
    )


def notices_of_deferred_settings(
    tree: Configuration, tip: Configuration, base: Configuration, *, name: str, changed_only: bool
) -> tuple[Diagnostic, ...]:
    """Return notices about settings of the tree that take effect after the merge: they differ from the tip and the base.

    `name` is the tip's name. With `changed_only`, a changed `api` recommends a full plan, since it may affect every app.
    """
    keys = [key for key, field in _WHOLE.items() if _sets(tree, tip, base, field)]
    for context in tree.contexts:
        sides = tree.contexts[context], tip.contexts.get(context), base.contexts.get(context)
        keys += [f"contexts.{context}.{key}" for key, field in _OF_A_CONTEXT.items() if _sets(*sides, field)]
    return tuple(_notices(keys, tree, name, changed_only=changed_only))


def _notices(keys: list[str], tree: Configuration, name: str, *, changed_only: bool) -> Iterator[Diagnostic]:
    for key in keys:
        notes = ("a change of `api` can concern every app: plan once without --changed-only",)
        yield Diagnostic(
            severity=RULES["after-the-merge"].severity,
            rule="after-the-merge",
            summary=f"this change sets `{key}`, and this plan takes it from {name}: it takes effect after the merge",
            origin=Origin(tree.file) if tree.file is not None else None,
            path=key,
            notes=notes if changed_only and key == "api" else (),
        )


def _sets(tree: object, tip: object, base: object, field: str) -> bool:
    mine = getattr(tree, field)
    return all(mine != getattr(reviewed, field, None) for reviewed in (tip, base))


def _context(tree: Context, tip: Context | None) -> Context:
    reviewed = {field: getattr(tip or _NO_CONTEXT, field) for field in _OF_A_CONTEXT.values()}
    if tip is None:
        return replace(tree, unreviewed_url=tree.url, **reviewed)
    return replace(tree, origin=tip.origin, **reviewed)
