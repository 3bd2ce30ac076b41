"""A plan as text: first what stops you, then the changes by app, last the one line that matters."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from octosync.model import Address, Sensitivity
from octosync.plan import Action, Held, Plan, Refusal, RunInfo, refused_actions
from octosync.report.blocked import blocked_lines, override_words
from octosync.report.capabilities import recommendation_lines
from octosync.report.changes import Group, RowOptions, group_lines, group_of
from octosync.report.diagnostics import diagnostic_lines
from octosync.report.errors import error_lines
from octosync.report.ink import Ink
from octosync.report.keeping import keep_command
from octosync.report.run_report import PlanReport
from octosync.report.summary import (
    blocking_words,
    incomplete_words,
    left_alone_lines,
    manifests_words,
    nothing_words,
    read_words,
    rest_words,
    selected_words,
    totals_words,
)
from octosync.report.text import text_of, visible
from octosync.report.words import plane_words


def render_plan(report: PlanReport, *, colour: bool) -> str:
    """Render a plan, and what the guards refuse of it, for people."""
    plan, about, ink = report.plan, report.about, Ink(colour)
    blocks: list[Iterable[str]] = [
        _head(report, ink),
        _errors(plan, ink),
        blocked_lines(report, ink) if report.blocked else (),
        group_lines(plan_groups(report), ink),
        *(diagnostic_lines(diagnostic, ink) for diagnostic in report.all_diagnostics()),
        recommendation_lines(plan.recommendations),
        left_alone_lines(plan, about),
        _closing(report, ink),
    ]
    return text_of(_apart(blocks))


def plan_groups(report: PlanReport) -> tuple[Group, ...]:
    """Return the plan's rows by app."""
    return groups_of(report.plan, report.blocked, report.sensitivity, full=report.full)


def _apart(blocks: Iterable[Iterable[str]]) -> Iterator[str]:
    """Yield blocks with an empty line between two that have any."""
    first = True
    for block in map(tuple, blocks):
        if block and not first:
            yield ""
        yield from block
        first = first and not block


def _head(report: PlanReport, ink: Ink) -> Iterator[str]:
    plan, about, overrides = report.plan, report.about, report.overrides
    base, git = about.invocation.base, about.manifests.git
    parts = [
        ink.bold(f"octosync {report.command}"),
        plane_words(about.control_plane),
        manifests_words(about),
        *(["uncommitted changes"] if git is not None and git.dirty else []),
        *([visible(f"base {base}")] if base is not None else []),
    ]
    yield " · ".join(filter(None, (*parts, selected_words(plan, about))))
    if overrides:
        yield f"Allowed in this run: {', '.join(map(override_words, overrides))}"


def _errors(plan: Plan, ink: Ink) -> Iterator[str]:
    for slug, error in sorted(plan.errors.items()):
        yield from error_lines(error, ink, about=slug)
    if plan.errors:
        yield f"The rest of the plan is shown, and can't be applied while {incomplete_words(plan)}."


def groups_of(plan: Plan, blocked: Sequence[Refusal], sensitivity: Sensitivity, *, full: bool) -> tuple[Group, ...]:
    """Make the groups of all apps that have rows: of those that change, and with `full` of those that don't."""
    marked = refused_actions(plan.actions, blocked)
    actions: dict[str, tuple[Action, ...]] = dict(plan.by_app())
    held: dict[str, list[Held]] = {}
    for one in plan.held:
        held.setdefault(one.action.address.app, []).append(one)
    unchanged: dict[str, list[Address]] = {}
    for address in plan.unchanged if full else ():
        unchanged.setdefault(address.app, []).append(address)
    options = RowOptions(sensitivity=sensitivity, full=full, blocked=marked, last_changes=plan.last_changes)
    return tuple(
        group_of(
            slug,
            actions.get(slug, ()),
            plan.desired.apps[slug],
            options,
            unchanged=unchanged.get(slug, ()),
            held=held.get(slug, ()),
        )
        for slug in sorted({*actions, *held, *unchanged})
    )


def _closing(report: PlanReport, ink: Ink) -> Iterator[str]:
    plan, about, blocked = report.plan, report.about, report.blocked
    counts, rest = totals_words(plan.actions, plan.held), rest_words(plan)
    line = f"{ink.bold('Plan:')} {counts}." if counts else ink.bold(nothing_words(plan))
    line += f" {rest}." if rest else ""
    if plan.errors:
        line += f" {ink.red('Incomplete')}: {incomplete_words(plan)}."
    if blocked:
        line += f" {ink.red('Blocked')} {blocking_words(blocked)}."
    yield line
    yield _cost(plan, about)
    if report.command == "plan" and (keep := keep_command(plan.shown, about)) is not None:
        yield f"To keep what is live instead: {keep}"


def _cost(plan: Plan, about: RunInfo) -> str:
    writes, read = plan.requests_to_apply, read_words(plan, about)
    line = read[:1].upper() + read[1:]
    if not writes:
        return f"{line}."
    pace = f" (about {about.seconds_for(writes):,} s at {about.requests_per_minute:,} a minute)"
    return f"{line}; apply sends {writes:,}{pace if about.requests_per_minute else ''}."
