"""Recalling: what manifests declared at another time. What of it can't be read any more counts as not declared, and is said.

Reviewing: what holds of octosync.yaml while a change to it is reviewed.

Whatever could send a credential elsewhere, or loosen what the change is judged by, is the base's.
"""

from __future__ import annotations

import os
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path, PurePosixPath

from octosync.manifest.config.config import Configuration, Configured, Context
from octosync.manifest.config.reader import read_configuration_text
from octosync.manifest.git.revision import Revision
from octosync.manifest.load.documents import Resource
from octosync.manifest.load.files import File
from octosync.manifest.load.load import Loader, variables_for
from octosync.manifest.schema.rules import RULES, Findings
from octosync.model import App, Diagnostic, Origin, Section, Severity, State

INVALID = "invalid-base"


@dataclass(frozen=True, slots=True, kw_only=True)
class BaseManifests:
    """What was declared, as far as it can be told.

    `unknown` are apps that are named and could not be given; `diagnostics` say why, as warnings. Where there is any, more
    may be missing than what is named.
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
    """Load files that were read elsewhere, by the same rules; `findings` has what was wrong with reading them.

    Which folder an app belongs in is not asked: that was judged when it was merged.
    """
    variables = variables_for(configuration, context, environment, env_allowed)
    loader = Loader(configuration, configuration.contract, variables, now)
    read = loader.read_all(files, findings)
    state = loader.assemble(read)
    errors = [one for one in findings.sorted if one.severity is Severity.ERROR]
    unknown = _apps_with(errors, [resource for resource, _ in read.resources])
    return BaseManifests(
        state=State.from_apps(*(app for app in state if app.slug not in unknown)),
        unknown=unknown,
        diagnostics=as_warnings(errors),
    )


def without(state: State, others: State) -> State:
    """Leave out of a state what others declare: it was not taken out of Git, it only stands elsewhere now."""
    apps = (_without(app, others.apps.get(app.slug)) for app in state)
    return State.from_apps(*(app for app in apps if app is not None))


def _without(app: App, other: App | None) -> App | None:
    if other is None:
        return app
    held = other.sections if other.declared else frozenset[Section]()
    targets = {one.unique_key for one in other.targets}
    slots = {one.capability for one in other.slots}
    rest = replace(
        app,
        targets=() if held & {Section.TARGETS} else tuple(t for t in app.targets if t.unique_key not in targets),
        slots=() if held & {Section.SLOTS} else tuple(s for s in app.slots if s.capability not in slots),
        inference_config=None if other.inference_config is not None else app.inference_config,
    )
    if other.declared:
        rest = replace(rest, fields={}, archived=False, declared=False, complete_sections=frozenset())
    return rest if rest.declared or rest.sections else None


def _apps_with(errors: Iterable[Diagnostic], resources: Iterable[Resource]) -> frozenset[str]:
    """Say which apps' documents have errors. A document goes as far as to the next one of its file."""
    starts: dict[str, list[tuple[int, str]]] = {}
    for resource in resources:
        if resource.app is not None:
            starts.setdefault(resource.origin.file, []).append((resource.origin.line, resource.app))
    found: set[str] = set()
    for error in errors:
        if error.origin is None:
            continue
        documents = sorted(starts.get(error.origin.file, ()))
        at = bisect_right(documents, error.origin.line, key=lambda one: one[0])
        if at:
            # One file's document may have been rendered more than once, for several apps.
            found.update(app for line, app in documents if line == documents[at - 1][0])
    return frozenset(found)


def as_warnings(errors: Iterable[Diagnostic]) -> tuple[Diagnostic, ...]:
    """Return what is wrong with the base as warnings: mending it is no condition for going on."""
    return tuple(
        replace(
            error,
            severity=RULES[INVALID].severity,
            rule=INVALID,
            summary=f"{error.summary} ({error.rule}); what stood here counts as not declared in the base",
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
    "sensitiveKeys": "sensitivity",
}
_OF_A_CONTEXT = {"url": "url", "org": "org", "tokenEnv": "token_env", "tokenFile": "token_file"}


def configuration_of(revision: Revision, named: Path | None) -> Configured:
    """Read the octosync.yaml of a revision: the one at a path from the working directory, else the nearest one above it.

    Its paths start from the working directory as the tree's do. Which octosync it requires is not asked: the tree's file
    was. Without one, and of one that is outside of the repository, there are no contexts, and defaults hold.
    """
    path = revision.repository.path_of(str(named)) if named is not None else revision.configuration_path()
    data = revision.file(path) if path is not None else None
    if path is None or data is None:
        return Configured(Configuration())
    folder = os.path.relpath(str(PurePosixPath(path).parent), revision.repository.prefix or ".")
    return read_configuration_text(revision.label(path), data, Path(folder), version=None)


def as_reviewed(tree: Configuration, tip: Configuration) -> Configuration:
    """Return the tree's configuration as a plan with a base takes it: what has to be reviewed first is the tip's.

    A context that the tip doesn't have gives neither URL nor token: its `url` is "".
    """
    return replace(
        tree,
        directory=tip.directory if tip.file is not None else tree.directory,
        contexts={name: _context(one, tip.contexts.get(name)) for name, one in tree.contexts.items()},
        contract=tip.contract,
        guards=tip.guards,
        owners=tip.owners,
        env=tip.env,
        freeze=tip.freeze,
        sensitivity=tip.sensitivity,
    )


def notices_of_review(
    tree: Configuration, tip: Configuration, base: Configuration, *, name: str, changed_only: bool
) -> tuple[Diagnostic, ...]:
    """Tell what the tree sets that takes effect after the merge: it differs from the tip's, and from what it was before.

    `name` is how the tip is called. With `changed_only`, a changed `api` advises a full plan: it may concern every app.
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
    return all(mine != getattr(other, field, None) for other in (tip, base))


def _context(tree: Context, tip: Context | None) -> Context:
    if tip is None:
        return replace(tree, url="", unreviewed_url=tree.url, org=None, token_env=None, token_file=None)
    return replace(
        tree, url=tip.url, org=tip.org, token_env=tip.token_env, token_file=tip.token_file, origin=tip.origin
    )
