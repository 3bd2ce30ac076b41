"""A plan as text: first what stops you, then the changes by app, last the one line that matters."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from octosync.model import Address, Diagnostic, Sensitivity
from octosync.plan import Action, Blocked, Override, Plan, RunInfo, Verb, all_diagnostics
from octosync.report.blocked import blocked_lines, override_words
from octosync.report.capabilities import recommendation_lines
from octosync.report.changes import Group, group_lines, group_of
from octosync.report.diagnostics import diagnostic_lines
from octosync.report.error import error_lines
from octosync.report.ink import Ink
from octosync.report.plain import text_of, visible
from octosync.report.words import counted, listed, plane_words

_COUNTED_VERBS = (Verb.CREATE, Verb.UPDATE, Verb.DELETE, Verb.ENABLE, Verb.OPTIMIZE, Verb.ARCHIVE)


def render_plan(
    plan: Plan,
    *,
    about: RunInfo,
    sensitivity: Sensitivity,
    colour: bool,
    blocked: Sequence[Blocked] = (),
    overrides: Sequence[Override] = (),
    diagnostics: Iterable[Diagnostic] = (),
    full: bool = False,
    command: str = "plan",
) -> str:
    """Render a plan, and what the guards say of it.

    `diagnostics` are those of the manifests; the plan's own are shown with them. `full` shows what is as declared too, and
    every value in its whole length. `command` is the one that ran.
    """
    ink = Ink(colour)
    groups = _groups(plan, frozenset(a for one in blocked for a in one.addresses), sensitivity, full=full)
    blocks: list[Iterable[str]] = [
        _head(plan, about, overrides, command, ink),
        _errors(plan, ink),
        blocked_lines(blocked, overrides, about, ink),
        group_lines(groups, ink),
        *(diagnostic_lines(one, ink) for one in all_diagnostics(plan, diagnostics)),
        recommendation_lines(plan.recommendations),
        _left_alone(plan),
        _closing(plan, about, blocked, ink),
    ]
    return text_of(_apart(blocks))


def _apart(blocks: Iterable[Iterable[str]]) -> Iterator[str]:
    """Yield blocks with an empty line between two that have any."""
    first = True
    for block in map(tuple, blocks):
        if block and not first:
            yield ""
        yield from block
        first = first and not block


def _head(plan: Plan, about: RunInfo, overrides: Sequence[Override], command: str, ink: Ink) -> Iterator[str]:
    asked, manifests = about.invocation, about.manifests
    places = list(asked.paths) + ([f"{asked.kustomize} (kustomize)"] if asked.kustomize is not None else [])
    loaded = f"{counted(manifests.apps, 'app')} in {counted(manifests.files, 'file')}"
    parts = [
        ink.bold(f"octosync {command}"),
        plane_words(about.control_plane),
        visible(f"{listed(places, at_most=3)} {loaded}".lstrip()),
        *([visible(f"base {asked.base}")] if asked.base is not None else []),
    ]
    if len(plan.apps) != manifests.apps:
        parts.append(f"{counted(len(plan.apps), 'app')} selected")
    yield " · ".join(parts)
    if overrides:
        yield f"Allowed in this run: {', '.join(map(override_words, overrides))}"


def _errors(plan: Plan, ink: Ink) -> Iterator[str]:
    for slug, error in sorted(plan.errors.items()):
        yield from error_lines(error, ink, about=slug)
    if plan.errors:
        yield f"The rest of the plan is shown, and can't be applied while {_that_many(plan)} could not be planned."


def _that_many(plan: Plan) -> str:
    return f"{len(plan.errors):,} of {counted(len(plan.apps), 'app')}"


def _groups(plan: Plan, blocked: frozenset[Address], sensitivity: Sensitivity, *, full: bool) -> tuple[Group, ...]:
    actions: dict[str, tuple[Action, ...]] = dict(plan.by_app())
    unchanged: dict[str, list[Address]] = {}
    for address in plan.unchanged if full else ():
        unchanged.setdefault(address.app, []).append(address)
    return tuple(
        group_of(
            slug,
            actions.get(slug, ()),
            plan.desired.apps[slug],
            unchanged=unchanged.get(slug, ()),
            blocked=blocked,
            sensitivity=sensitivity,
            full=full,
            last_changes=plan.last_changes,
        )
        for slug in sorted({*actions, *unchanged})
    )


def _left_alone(plan: Plan) -> Iterator[str]:
    if plan.left_alone.suspended:
        yield f"Suspended, left alone: {', '.join(map(visible, plan.left_alone.suspended))}"
    if plan.left_alone.unknown_targets:
        yield f"On unknown platforms, left alone: {', '.join(visible(str(a)) for a in plan.left_alone.unknown_targets)}"
    if plan.left_alone.undeclared_deployments:
        where = ", ".join(visible(str(address)) for address in plan.left_alone.undeclared_deployments)
        yield f"Deployed and not declared, left alone (there is no API to undeploy): {where}"


def _closing(plan: Plan, about: RunInfo, blocked: Sequence[Blocked], ink: Ink) -> Iterator[str]:
    counts = [f"{plan.count(verb):,} to {verb.value}" for verb in _COUNTED_VERBS if plan.count(verb)]
    as_declared, others = _apps_left(plan)
    if counts:
        rest = [f"{counted(as_declared, 'app')} unchanged"] if as_declared else []
        line = f"{ink.bold('Plan:')} {', '.join(counts)}."
    else:
        rest = [f"{counted(as_declared, 'app')} as declared"] if as_declared or not (others or plan.errors) else []
        line = ink.bold("Nothing planned." if plan.errors else "No changes.")
    line += "".join(f" {', '.join((*rest, *others))}." if rest or others else "")
    if plan.errors:
        line += f" {ink.red('Incomplete')}: {_that_many(plan)} could not be planned."
    if blocked:
        guards = ", ".join(dict.fromkeys(one.guard for one in blocked))
        line += f" {ink.red('Blocked')} ({guards}): apply writes nothing."
    yield line
    yield _cost(plan, about)


def _apps_left(plan: Plan) -> tuple[int, list[str]]:
    """Count the apps that are as declared, and say what else there is."""
    touched = {action.address.app for action in plan.actions}
    aside = touched | {*plan.errors, *plan.left_alone.suspended} | {a.app for a in plan.archived_undeclared}
    others = []
    if plan.left_alone.suspended:
        others.append(f"{len(plan.left_alone.suspended):,} suspended")
    if plan.left_alone.unmanaged_apps:
        others.append(f"{plan.left_alone.unmanaged_apps:,} unmanaged")
    return len(set(plan.apps) - aside), others


def _cost(plan: Plan, about: RunInfo) -> str:
    every, mine, writes = about.manifests.apps, len(plan.apps), plan.requests_to_apply
    apps = counted(mine, "app") if mine == every else f"{mine:,} of {counted(every, 'app')}"
    line = f"Read {apps} with {counted(plan.requests_used, 'request')}"
    if not writes:
        return f"{line}."
    pace = f" (about {about.seconds_for(writes):,} s at {about.requests_per_minute:,} a minute)"
    return f"{line}; apply sends {writes:,}{pace if about.requests_per_minute else ''}."
