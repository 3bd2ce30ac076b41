"""Remarks: all that a run says about places in the manifests, for whatever marks them there.

What stands in a remark is visible text already, each of its lines on one line.

What GitHub Actions reads: annotations as workflow commands, and a step's outputs.

Commands and their escapes are GitHub's, public: `::error file=…,line=…::message`, in which `%`, carriage returns and line
breaks are written as `%25`, `%0D` and `%0A`, in properties also `:` and `,`. A line that begins with a command is read as
nothing else, so that no text in it can give one.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from octosync.errors import OctosyncError
from octosync.model import Address, Diagnostic, Origin, Outcome, RolloutStatus, Severity, Status, clipped, counted
from octosync.plan import Action, Refusal, RunInfo, declared_of, refused_actions, way_out_of
from octosync.report.changes import RowOptions, group_of
from octosync.report.errors import request_ids, with_requests
from octosync.report.outcomes import STATUS_WORDS, rollout_name, rollout_words
from octosync.report.run_report import ApplyReport, PlanReport, RunReport
from octosync.report.text import visible

_RANK: Final = {severity: rank for rank, severity in enumerate(Severity)}
_LINE_NUMBERS: Final = re.compile(r"(?<=[^\s:]):\d+(?::\d+)?")
GUARD: Final = "guard-"  # what the rule of a refusal begins with


@dataclass(frozen=True, slots=True, kw_only=True)
class Annotation:
    """One thing that is said.

    `rule` is its stable id. `origin` is None where it has no place. `about` is what it concerns, in words that stay the
    same when lines move; `width` how many characters from its column are meant. `is_failure`: it is no fault of what is
    declared, and another run may do without it.
    """

    severity: Severity
    rule: str
    title: str
    lines: tuple[str, ...]
    origin: Origin | None = None
    about: str = ""
    width: int = 1
    is_failure: bool = False

    @property
    def sort_key(self) -> tuple[int, bool, Origin, str, tuple[str, ...]]:
        """Gravest first, then by place, those without one last."""
        return (_RANK[self.severity], self.origin is None, self.origin or Origin(""), self.rule, self.lines)


def annotations_of(report: RunReport) -> tuple[Annotation, ...]:
    """Return all that a run says, gravest first."""
    changes = _changes(report) if isinstance(report, PlanReport) else ()
    found = [*problems_of(report), *changes]
    return tuple(sorted(found, key=lambda remark: remark.sort_key))


def problems_of(report: RunReport) -> Iterator[Annotation]:
    """Yield what is wrong, or worth knowing: diagnostics, what a guard refuses, and what ended the run or kept it from apps."""
    yield from map(_diagnostic, report.all_diagnostics())
    has_plan = isinstance(report, PlanReport)
    if isinstance(report, PlanReport):
        yield from _refusals(report)
        for slug, error in sorted(report.plan.errors.items()):
            yield _error(error, slug, report.plan.desired.apps[slug].origin)
    if report.error is not None and not (has_plan and report.error.reference in _KNOWN):
        yield _error(report.error, "", None)


# What the plan says better, app by app or guard by guard.
_KNOWN: Final = frozenset({"guard-refused", "plan-errored"})


def _diagnostic(one: Diagnostic) -> Annotation:
    advice = [] if one.suggestion is None else [f"did you mean `{one.suggestion}`?"]
    return Annotation(
        severity=one.severity,
        rule=one.rule,
        title=one.rule,
        lines=tuple(map(visible, (one.summary, *advice, *one.notes))),
        origin=one.origin,
        about=f"{one.path} {_LINE_NUMBERS.sub('', one.summary)}",
        width=one.width,
    )


def _error(error: OctosyncError, slug: str, origin: Origin | None) -> Annotation:
    where = f"{visible(slug)}: " if slug else ""
    said = f"{where}{with_requests(error.message, request_ids(error))}"
    return Annotation(
        severity=Severity.ERROR,
        rule=error.reference,
        title=error.reference,
        lines=(said, *map(visible, error.hints)),
        origin=origin,
        about=slug,
        is_failure=True,
    )


def _refusals(report: PlanReport) -> Iterator[Annotation]:
    """Yield each refused change at its own place."""
    for refusal in report.blocked:
        for address in refusal.addresses:
            yield Annotation(
                severity=Severity.ERROR,
                rule=f"{GUARD}{refusal.guard}",
                title=f"blocked by guard {refusal.guard}",
                lines=(visible(str(address)), *refusal_lines(refusal, report.about)),
                origin=origin_of(report, address),
                about=str(address),
            )


def refusal_lines(one: Refusal, about: RunInfo) -> Iterator[str]:
    """Yield why a guard refuses, and the ways out."""
    yield visible(one.message)
    if one.override is not None:
        yield visible(f"If this is meant: {about.apply_command} {one.override}")
    if (way_out := way_out_of(one, about)) is not None:
        yield visible(f"Way out: {way_out}")


def origin_of(report: PlanReport, address: Address) -> Origin | None:
    """Return where an object is declared, or, where it no longer is, its app."""
    for action in report.plan.actions:
        if action.address == address and action.origin is not None:
            return action.origin
    app = report.plan.desired.apps.get(address.app)
    return None if app is None else declared_of(address, app)[1] or app.origin


def _changes(report: PlanReport) -> Iterator[Annotation]:
    """Yield each planned change, or what became of it, at its place; without those that a guard's refusal is about."""
    refused = refused_actions(report.plan.actions, report.blocked)
    applied = report if isinstance(report, ApplyReport) else None
    outcomes = {(outcome.address, outcome.verb): outcome for outcome in applied.outcomes} if applied is not None else {}
    for action in report.plan.actions:
        if action.key not in refused:
            yield _change(report, action, outcomes.get((action.address, action.verb.value)))
    yield from _waited(report, applied.waited or () if applied is not None else ())


def _change(report: PlanReport, action: Action, outcome: Outcome | None) -> Annotation:
    app = report.plan.desired.apps[action.address.app]
    options = RowOptions(sensitivity=report.sensitivity, full=report.full, last_changes=report.plan.last_changes)
    group = group_of(action.address.app, [action], app, options)
    row = group.rows[0]
    said = visible(str(action.address))
    severity = Severity.WARNING if action.destructive else Severity.NOTICE
    lines = (f"{said}{f': {row.remark}' if row.remark else ''}", *(line.strip() for line in row.details))
    title = f"{'destructive: ' if action.destructive else ''}{action.verb.value} {action.address.kind.value.replace('_', ' ')}"
    if outcome is not None:
        severity, lines = _STATUS_SEVERITIES.get(outcome.status, Severity.WARNING), (said, *_outcome_lines(outcome))
        title = f"{title} {STATUS_WORDS[outcome.status]}"
    return Annotation(
        severity=severity,
        rule=f"planned-{action.verb.value}",
        title=title,
        lines=lines,
        origin=action.origin or app.origin,
        about=str(action.address),
    )


_STATUS_SEVERITIES: Final = {
    Status.DONE: Severity.NOTICE,
    Status.FAILED: Severity.ERROR,
    Status.NOT_KEPT: Severity.ERROR,
    Status.STALE: Severity.ERROR,
}


def _outcome_lines(outcome: Outcome) -> Iterator[str]:
    if outcome.message:
        said = with_requests(outcome.message, outcome.request_ids)
        yield f"{visible(outcome.reference)}: {said}" if outcome.reference else said
    yield from map(visible, outcome.hints)


def _waited(report: PlanReport, rollouts: Sequence[RolloutStatus]) -> Iterator[Annotation]:
    for rollout in rollouts:
        if rollout.result is not None and rollout.result.is_failure:
            yield Annotation(
                severity=Severity.ERROR,
                rule=f"waited-{rollout.result.value.replace('_', '-')}",
                title=f"{rollout.result.value.replace('_', ' ')} while it was waited for",
                lines=(f"{rollout_name(rollout)}: {rollout_words(rollout)}",),
                origin=origin_of(report, rollout.address),
                about=str(rollout.address),
            )


PathResolver = Callable[[Origin], str | None]
"""Returns a place's file as it is called from the repository's root, with `/`; None where it is not in there."""

AT_MOST: Final = 10  # GitHub shows so many of a kind and step
_LONGEST: Final = 2_000  # characters of a message
_LINES: Final = 12


def render_annotations(report: RunReport, resolve_path: PathResolver) -> str:
    """Render all that a run says as annotations, gravest first: at most ten of a kind, and how many were left out."""
    remarks = annotations_of(report)
    kinds = [[remark for remark in remarks if remark.severity is severity] for severity in Severity]
    if any(len(kind) > AT_MOST for kind in kinds):
        # What is left out is said by a notice, which is one of the ten.
        kinds = [
            kind[: AT_MOST - (severity is Severity.NOTICE)] for severity, kind in zip(Severity, kinds, strict=True)
        ]
    shown = [one for kind in kinds for one in kind]
    lines = [_command(one, resolve_path) for one in shown]
    if left := omitted_words(remarks, shown):
        lines.append(f"::notice title=octosync {_property(report.command)}::{_data(left)}")
    return "".join(f"{line}\n" for line in lines)


def render_notice(text: str) -> str:
    """Render a notice of no place, which the page of a run shows."""
    return f"::notice title=octosync::{_data(visible(text))}\n"


def omitted_words(remarks: Sequence[Annotation], shown: Sequence[Annotation]) -> str:
    """Say how many of each kind are not shown; "" where all are."""
    every, mine = (Counter(one.severity for one in some) for some in (remarks, shown))
    left = [
        counted(every[severity] - mine[severity], f"more {severity.value}")
        for severity in Severity
        if every[severity] > mine[severity]
    ]
    return f"Left out here: {', '.join(left)}." if left else ""


def _command(remark: Annotation, resolve_path: PathResolver) -> str:
    file = None if remark.origin is None else resolve_path(remark.origin)
    properties = {"title": f"octosync: {visible(remark.title)}"}
    lines = list(remark.lines)
    if file is not None and remark.origin is not None:
        at = {"file": visible(file), "line": str(remark.origin.line or 1), "col": str(remark.origin.column)}
        properties = {**at, **properties}
    elif remark.origin is not None:
        lines.append(f"declared at {visible(str(remark.origin))}")
    told = ",".join(f"{name}={_property(value)}" for name, value in properties.items())
    return f"::{remark.severity.value} {told}::{_data(_message(lines))}"


def _message(lines: Sequence[str]) -> str:
    more = [f"and {counted(len(lines) - _LINES, 'more line')}"] if len(lines) > _LINES else []
    return clipped("\n".join((*lines[:_LINES], *more)), _LONGEST)


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")


def output_lines(values: Mapping[str, str]) -> str:
    """Write a step's outputs: `name=value`, and what has a line break between delimiters that do not occur in it."""
    return "".join(line for name, value in values.items() for line in _output(name, value))


def _output(name: str, value: str) -> Iterator[str]:
    if not {"\n", "\r"} & {*value}:
        yield f"{name}={value}\n"
        return
    number = 0
    while (delimiter := f"octosync_{number}") in value:
        number += 1
    yield f"{name}<<{delimiter}\n{value}\n{delimiter}\n"
