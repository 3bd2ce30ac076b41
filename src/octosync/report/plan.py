"""A plan as text: errors and refusals first, then the changes by app, last the summary line.

The functions named `…_words` return the counts, apps and costs that the text and the Markdown report share.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Iterator, Sequence, Sized
from dataclasses import dataclass, replace
from typing import Final, Self

from octosync.errors import ExitCode, worst
from octosync.model import ELLIPSIS, Address, Reason, Sensitivity, clipped, counted
from octosync.plan import (
    Action,
    ActionKey,
    DeleteInferenceConfig,
    DeleteSlot,
    EnableCapability,
    GitRevision,
    HeldChange,
    Plan,
    PutInferenceConfig,
    PutSlot,
    Refusal,
    RegisterTarget,
    RemoveTarget,
    RunInfo,
    UpdateApp,
    needs_author,
    refused_actions,
)
from octosync.report.changes import Group, RowOptions, group_lines, group_of, recommendation_lines
from octosync.report.errors import blocked_lines, diagnostic_lines, error_lines, override_words, unlisted_words
from octosync.report.plan_report import PlanReport
from octosync.report.sections import (
    ChangeSection,
    Grouping,
    SummaryTable,
    grouping_of,
    sections_of,
    summary_table,
    totals_of,
)
from octosync.report.text import Style, about_seconds_words, listed, plane_words, text_of, time_words, visible

_COMMITS: Final = 10  # commits and apps that are listed; the rest is counted
_SHORT: Final = 7  # characters of a commit's id
_MANY: Final = 3  # objects whose common author is named once
_SUBJECT: Final = 100  # characters of a commit's subject


def totals_words(planned: Iterable[Action], held: Sized) -> str:
    """Return the counts of planned and of held actions: `2 to create; 1 held`; "" for none."""
    return totals_of((action.verb for action in planned), len(held))


def nothing_words(plan: Plan) -> str:
    """Return the words for a plan without changes."""
    return "Nothing planned." if plan.errors else "No changes."


def rest_words(plan: Plan) -> str:
    """Return the counts of the other apps: `38 apps unchanged, 260 unmanaged`; "" if there are none."""
    as_declared, others = _apps_left(plan)
    if plan.selected:  # the rest of their apps is not planned
        rest = []
    elif plan.actions:
        rest = [f"{counted(as_declared, 'app')} unchanged"] if as_declared else []
    else:
        rest = [f"{counted(as_declared, 'app')} as declared"] if as_declared or not (others or plan.errors) else []
    return ", ".join((*rest, *others))


def incomplete_words(plan: Plan) -> str:
    """Return how many apps could not be planned."""
    return f"{len(plan.errors):,} of {counted(len(plan.apps), 'app')} could not be planned"


def blocking_words(blocked: Sequence[Refusal]) -> str:
    """Return the guards that refuse something, and the consequence."""
    return f"({', '.join(dict.fromkeys(refusal.guard for refusal in blocked))}): apply writes nothing"


def devices_words(actions: Iterable[Action]) -> str:
    """Return the number of devices that enabling would reach, by the previews; "" if there are none."""
    previews = [action.preview for action in actions if isinstance(action, EnableCapability)]
    known = [preview.devices for preview in previews if preview is not None]
    more = "at least " if len(known) < len(previews) else ""
    return f"{more}{counted(sum(known), 'device')}" if known else ""


def selected_words(plan: Plan, about: RunInfo) -> str:
    """Return how many apps of the manifests are selected, if not all: `2 apps selected`."""
    return f"{counted(len(plan.apps), 'app')} selected" if len(plan.apps) < about.manifests.apps else ""


def read_words(plan: Plan, about: RunInfo) -> str:
    """Return the cost of reading: `read 2 of 41 apps with 9 requests`.

    Apps that no manifest declares any more are read, too.
    """
    declared, planned = about.manifests.apps, len(plan.apps)
    apps = counted(planned, "app") if planned >= declared else f"{planned:,} of {counted(declared, 'app')}"
    return f"read {apps} with {counted(plan.requests_used, 'request')}"


def manifests_words(about: RunInfo) -> str:
    """Return what was loaded: `apps/: 41 apps in 14 files`."""
    asked, manifests = about.invocation, about.manifests
    places = list(asked.paths) + ([f"{asked.kustomize} (kustomize)"] if asked.kustomize is not None else [])
    loaded = f"{counted(manifests.apps, 'app')} in {counted(manifests.files, 'file')}"
    return visible(": ".join(filter(None, (listed(places, at_most=3), loaded))))


def base_words(about: RunInfo) -> str:
    """Return the name of the base; a full commit id is shortened."""
    named, git = about.invocation.base or "", about.manifests.git
    return visible(named[:12] if git is not None and named == git.base else named)


def left_alone_lines(plan: Plan, about: RunInfo) -> Iterator[str]:
    """Yield the live objects that the plan leaves alone, with the reason."""
    if plan.left_alone.suspended:
        yield f"Suspended, left alone: {', '.join(map(visible, plan.left_alone.suspended))}"
    if plan.left_alone.not_approved:
        yield f"Not in the plan file, left alone: {', '.join(map(visible, plan.left_alone.not_approved))}"
    if plan.left_alone.unknown_targets:
        yield f"On unknown platforms, left alone: {', '.join(visible(str(a)) for a in plan.left_alone.unknown_targets)}"
    if plan.left_alone.undeclared_deployments:
        where = ", ".join(visible(str(address)) for address in plan.left_alone.undeclared_deployments)
        yield f"Deployed and not declared, left alone (the API can't undeploy): {where}"
    left = plan.left_alone
    for addresses, words in (
        (left.stale, "Changed in the base but not on this branch, left alone until this branch contains the change"),
        (left.released, "In a section that is no longer declared, left alone"),
        (left.waiting, "Waiting for a suspended app at the other end of a move"),
    ):
        if addresses:
            yield f"{words}: {', '.join(visible(str(address)) for address in addresses)}"
    if left.orphan_apps:
        apps = ", ".join(map(visible, left.orphan_apps))
        yield f"No longer in any manifest, left alone (archive with {_pruning(about)}): {apps}"


def _pruning(about: RunInfo) -> str:
    """Return the flags that archive what the base declared. They name the base, since later bases do not declare it any more."""
    git = about.manifests.git
    return f"--base {git.base[:12]} --prune" if git is not None and git.base is not None else "--prune"


def _apps_left(plan: Plan) -> tuple[int, list[str]]:
    """Return the number of apps that are as declared, and the counts of the others."""
    touched = {action.address.app for action in plan.shown}
    left = (*plan.archived_undeclared, *plan.left_alone.stale, *plan.left_alone.waiting)
    untouched = {*plan.errors, *plan.left_alone.suspended, *plan.left_alone.not_approved}
    aside = touched | untouched | {address.app for address in left}
    others = []
    if plan.left_alone.not_approved:
        others.append(f"{len(plan.left_alone.not_approved):,} not in the plan file")
    if plan.left_alone.suspended:
        others.append(f"{len(plan.left_alone.suspended):,} suspended")
    if waiting := {address.app for address in plan.left_alone.waiting}:
        others.append(f"{len(waiting):,} waiting")
    if pending := set(plan.apps).intersection(plan.pending.apps if plan.pending is not None else ()) - aside:
        others.append(f"{len(pending):,} pending")
    if plan.left_alone.unmanaged_apps:
        others.append(f"{plan.left_alone.unmanaged_apps:,} unmanaged")
    return len(set(plan.apps) - aside - pending), others


def render_plan(report: PlanReport, *, colour: bool) -> str:
    """Render a plan, and the refusals of guards; with `summary_only` only the table that counts its changes."""
    plan, about, style = report.plan, report.about, Style(colour)
    overview = Overview.of_report(report, names_all=report.full)
    if report.summary_only:
        table = overview.table.lines(style) if plan.shown else [nothing_words(plan)]
        return text_of((*table, *filter(None, (pending_words(report),)), *_obstacles(report, style)))
    blocks: list[Iterable[str]] = [
        _head(report, style),
        _errors(plan, style) if plan.errors else (),
        blocked_lines(report, style) if report.blocked else (),
        overview.table.lines(style) if overview.has_table else (),
        filter(None, (overview.author_words,)),
        *(_section_lines(section, style) for section in overview.sections),
        *(diagnostic_lines(diagnostic, style) for diagnostic in report.listed_diagnostics()),
        filter(None, (unlisted_words(report),)) if report.touched is not None else (),
        recommendation_lines(plan.recommendations) if plan.recommendations else (),
        pending_lines(report, style) if about.last_applied is not None else (),
        left_alone_lines(plan, about),
        _closing(report, style),
    ]
    return "\n".join(text for block in blocks if (text := text_of(block)))


def _section_lines(section: ChangeSection, style: Style) -> Iterator[str]:
    if section.title:
        yield style.bold(section.heading)
    for batch in section.batches:
        if batch.name:
            yield style.bold(batch.heading)
        yield from group_lines(batch.groups, style)


@dataclass(frozen=True, slots=True)
class Overview:
    """The changes of a plan in sections, the table that counts them, and who made all of the last changes ("" for several)."""

    plan: Plan
    groups: tuple[Group, ...]
    grouping: Grouping
    sections: tuple[ChangeSection, ...]
    author_words: str = ""

    @classmethod
    def of_report(cls, report: PlanReport, *, names_all: bool = True) -> Self:
        """Return the overview of a plan. Without `names_all`, what all rows have in common is not in each of them."""
        plan = report.plan
        author = "" if names_all else _author_words(plan)
        groups = groups_of(
            replace(plan, last_changes={}) if author else plan,
            report.blocked,
            report.sensitivity,
            full=report.full,
            names_difference=names_all or report.about.invocation.base is not None,
        )
        grouping = grouping_of(groups, plan.desired.apps, report.sensitivity)
        return cls(plan, groups, grouping, sections_of(groups, grouping), author)

    @property
    def table(self) -> SummaryTable:
        """The counts by app, folder or owner."""
        return summary_table(self.plan, self._changing, self.grouping)

    @property
    def has_table(self) -> bool:
        """Whether the table shows more than the totals do."""
        return len(self._changing) > 1

    @property
    def _changing(self) -> tuple[Group, ...]:
        return tuple(group for group in self.groups if any(row.verb is not None for row in group.rows))


def _author_words(plan: Plan) -> str:
    """Return the author of the last change of many objects, if they have only one."""
    changes = [*plan.actions, *(change.action for change in plan.held)]
    lasts = [plan.last_changes.get(action.address) for action in changes if needs_author(action)]
    events = [last.event for last in lasts if last is not None and not last.of_app]
    if len(events) < _MANY or len(events) < len(lasts) or len({event.actor for event in events}) > 1:
        return ""
    times = sorted({time_words(event.at) for event in events})
    between = " to ".join(dict.fromkeys((times[0], times[-1])))
    return f"The last change of each of these objects was by {visible(events[0].actor or '?')}, {between}."


def _obstacles(report: PlanReport, style: Style) -> Iterator[str]:
    """Yield why the plan can't be applied."""
    if report.plan.errors:
        yield f"{style.red('Incomplete')}: {incomplete_words(report.plan)}."
    if report.blocked:
        yield f"{style.red('Blocked')} {blocking_words(report.blocked)}."


def pending_words(report: PlanReport) -> str:
    """Return the summary of what is pending: `Pending from main: 2 to update; 3 apps not read`; "" for nothing."""
    plan, last = report.plan, report.about.last_applied
    counts = totals_words(plan.pending.actions, ()) if plan.pending is not None else ""
    elsewhere = last.elsewhere if last is not None else ()
    parts = (counts, f"{counted(len(elsewhere), 'app')} not read" if elsewhere else "")
    words = "; ".join(filter(None, parts))
    base = report.about.invocation.base or "the base"
    return f"Pending{'' if base == 'HEAD' else f' from {visible(base)}'}: {words}" if words else ""


def pending_lines(report: PlanReport, style: Style) -> Iterator[str]:
    """Yield what is merged and not applied yet, with its commits."""
    plan, last, words = report.plan, report.about.last_applied, pending_words(report)
    if not words or last is None:
        return
    yield f"{words}. Merged and not applied yet: not part of this plan. The next apply makes these changes, too."
    if (pending := plan.pending) is not None:
        options = RowOptions(sensitivity=report.sensitivity, full=report.full)
        by_app: dict[str, list[Action]] = {slug: [] for slug in pending.apps}
        for action in pending.actions:
            by_app[action.address.app].append(action)
        found = (group_of(slug, actions, pending.desired.apps[slug], options) for slug, actions in by_app.items())
        # All files are the base's: its commit would be in front of each of them.
        groups = [group if group.origin is None else replace(group, file=group.origin.path) for group in found]
        yield from (f"  {line}" for line in group_lines(groups, style))
    if last.elsewhere:
        yield f"  not read: {listed(map(visible, last.elsewhere), at_most=_COMMITS)}"
    for commit in last.commits[:_COMMITS]:
        yield f"  {commit.id[:_SHORT]} {visible(clipped(commit.subject, _SUBJECT))}".rstrip()
    if len(last.commits) > _COMMITS:
        yield f"  and {counted(len(last.commits) - _COMMITS, 'more commit')}"


def _head(report: PlanReport, style: Style) -> Iterator[str]:
    plan, about, overrides = report.plan, report.about, report.overrides
    git = about.manifests.git
    parts = [
        style.bold(f"octosync {report.command}"),
        plane_words(about.control_plane),
        manifests_words(about),
        "" if git is None else uncommitted_words(git),
        *([f"base {base_words(about)}"] if about.invocation.base is not None else []),
    ]
    yield " · ".join(filter(None, (*parts, selected_words(plan, about))))
    if overrides:
        yield f"Allowed in this run: {', '.join(map(override_words, overrides))}"


def uncommitted_words(git: GitRevision) -> str:
    """Return that the work tree has changes, or that this is not known; "" if it has none."""
    if not git.is_checked:
        return "uncommitted changes unknown: git status failed"
    return "uncommitted changes" if git.dirty else ""


def _errors(plan: Plan, style: Style) -> Iterator[str]:
    for slug, error in sorted(plan.errors.items()):
        yield from error_lines(error, style, about=slug)
    if plan.errors:
        yield f"The plan can't be applied: {incomplete_words(plan)}. The rest of the plan:"


def groups_of(
    plan: Plan,
    blocked: Sequence[Refusal],
    sensitivity: Sensitivity,
    *,
    full: bool,
    names_difference: bool = True,
) -> tuple[Group, ...]:
    """Return the groups of the apps that have rows: those with changes, and with `full` the unchanged ones, too."""
    marked = refused_actions(plan.actions, blocked) if blocked else frozenset[ActionKey]()
    actions: dict[str, tuple[Action, ...]] = dict(plan.by_app())
    held: dict[str, list[HeldChange]] = {}
    for change in plan.held:
        held.setdefault(change.action.address.app, []).append(change)
    unchanged: dict[str, list[Address]] = {}
    for address in plan.unchanged if full else ():
        unchanged.setdefault(address.app, []).append(address)
    options = RowOptions(
        sensitivity=sensitivity,
        full=full,
        blocked=marked,
        last_changes=plan.last_changes,
        names_difference=names_difference,
    )
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


def _closing(report: PlanReport, style: Style) -> Iterator[str]:
    plan, about = report.plan, report.about
    counts, rest = totals_words(plan.actions, plan.held), rest_words(plan)
    line = f"{style.bold('Plan:')} {counts}." if counts else style.bold(nothing_words(plan))
    yield " ".join((line, *([f"{rest}."] if rest else []), *_obstacles(report, style)))
    yield _cost(report)
    if report.command == "plan" and (keep := keep_command(plan.shown, about)) is not None:
        yield f"To keep the live values instead: {keep}"


def _cost(report: PlanReport) -> str:
    writes, read = report.plan.requests_to_apply, read_words(report.plan, report.about)
    line = read[:1].upper() + read[1:]
    if not writes:
        return f"{line}."
    estimate = estimate_words(report)
    return f"{line}; apply sends {writes:,}{f' ({estimate})' if estimate else ''}."


def estimate_words(report: PlanReport) -> str:
    """Return how long an apply takes: `26 with its reads: no wait at 100 per minute`; "" without a rate limit.

    A plan's apply reads again. In the report of an apply, the reads are done, and a part of the limit is used.
    """
    plan, about = report.plan, report.about
    if not about.requests_per_minute or not plan.requests_used:  # offline, the number of reads is unknown
        return ""
    again = report.command == "plan"
    seconds = about.seconds_to_apply(plan, reads=again)
    limit = f"at {about.requests_per_minute:,} per minute"
    took = f"{about_seconds_words(seconds)} {limit}" if seconds else f"no wait {limit}"
    requests = plan.requests_used + about.requests_to_apply(plan)
    return f"{requests:,} with its reads: {took}" if again else took


def exit_code_of_plan(plan: Plan, blocked: Sequence[Refusal], *, detailed: bool) -> ExitCode:
    """Return the exit code of a plan; `detailed` distinguishes a plan with changes from one without."""
    return worst(
        *([ExitCode.ERROR] if plan.errored else []),
        *([ExitCode.GUARDED] if blocked else []),
        *([ExitCode.CHANGES] if detailed and plan.shown else []),
    )


_ADDRESSES: Final = 3  # at most this many in the command line, then an ellipsis
_STDIN: Final = "-"
_BASE: Final = 12  # characters of a commit's id in a command line
_CHANGED_BACK: Final = frozenset({Reason.DIFFERS, Reason.DRIFT, Reason.DIVERGED})
_ACCEPTED = (
    UpdateApp,
    RegisterTarget,
    RemoveTarget,
    PutSlot,
    DeleteSlot,
    PutInferenceConfig,
    DeleteInferenceConfig,
)


def keep_command(actions: Sequence[Action], about: RunInfo) -> str | None:
    """Return the command line that accepts what a plan would revert; None if there is nothing, or no file to edit."""
    invocation = about.invocation
    found = [action.address for action in actions if isinstance(action, _ACCEPTED) and action.reason in _CHANGED_BACK]
    if not found or _STDIN in invocation.paths or invocation.kustomize is not None:
        return None
    accepted = set(found)
    if invocation.base is None and any(
        action.reason is not Reason.DIFFERS for action in actions if action.address in accepted
    ):
        return None  # the base is a file, which `accept` does not support
    named = shlex.join(map(str, found[:_ADDRESSES]))
    more = [ELLIPSIS] if len(found) > _ADDRESSES else []
    paths = [part for path in invocation.paths for part in ("-f", path)]
    if invocation.base is not None:
        last = about.last_applied  # with the base itself, `accept` would also accept the live values of what is pending
        paths += ["--base", last.revision[:_BASE] if last is not None else invocation.base]
    rest = [shlex.join((*paths, *about.connection_arguments))] if paths or about.connection_arguments else []
    return visible(" ".join(("octosync accept", named, *more, *rest)))
