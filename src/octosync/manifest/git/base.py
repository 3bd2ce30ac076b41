"""Recalling: what manifests declared at another time. What of it can't be read any more counts as not declared, and is said."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from octosync.manifest.config.config import Configuration, Context
from octosync.manifest.findings import Findings
from octosync.manifest.load.documents import Resource
from octosync.manifest.load.files import File
from octosync.manifest.load.load import Loader, variables_for
from octosync.manifest.schema.rules import RULES
from octosync.model import App, Diagnostic, Section, Severity, State

INVALID = "invalid-base"


@dataclass(frozen=True, slots=True, kw_only=True)
class Recalled:
    """What was declared, as far as it can be told.

    `unknown` are apps that are named and could not be given; `diagnostics` say why, as warnings. Where there is any, more
    may be missing than what is named.
    """

    state: State
    unknown: frozenset[str] = frozenset()
    diagnostics: tuple[Diagnostic, ...] = ()


def recall(
    files: Sequence[File],
    findings: Findings,
    *,
    configuration: Configuration,
    context: Context | None,
    now: datetime,
    environment: Mapping[str, str],
    env_allowed: Iterable[str] = (),
) -> Recalled:
    """Load files that were read elsewhere, by the same rules; `findings` has what was wrong with reading them.

    Which folder an app belongs in is not asked: that was judged when it was merged.
    """
    variables = variables_for(configuration, context, environment, env_allowed)
    loader = Loader(configuration, configuration.contract, variables, now)
    read = loader.read_all(files, findings)
    state = loader.assemble(read)
    errors = [one for one in findings.sorted if one.severity is Severity.ERROR]
    unknown = _apps_with(errors, [resource for resource, _ in read.resources])
    return Recalled(
        state=State.of(*(app for app in state if app.slug not in unknown)),
        unknown=unknown,
        diagnostics=as_warnings(errors),
    )


def without(state: State, others: State) -> State:
    """Leave out of a state what others declare: it was not taken out of Git, it only stands elsewhere now."""
    apps = (_without(app, others.apps.get(app.slug)) for app in state)
    return State.of(*(app for app in apps if app is not None))


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
        rest = replace(rest, fields={}, archived=False, declared=False, whole=frozenset())
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
