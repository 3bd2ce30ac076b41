"""Annotations: the messages of a run about positions in the manifests, as GitHub workflow commands; and step outputs.

An annotation is in a file that the run planned. What was removed from the manifests is annotated at the list that it is missing
from, else at its app, and the message names its position in the base.

The text of an annotation is already visible (see `text.visible`), each line on one line.

The commands and their escapes are GitHub's (public): `::error file=…,line=…::message`, in which `%`, carriage returns and
line breaks are written as `%25`, `%0D` and `%0A`, in properties also `:` and `,`. GitHub reads a command only at the start of
a line, so that no text within one can contain another.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from typing import Final

from octosync.errors import OctosyncError
from octosync.model import (
    Address,
    Diagnostic,
    Kind,
    Origin,
    Outcome,
    RolloutStatus,
    Section,
    Severity,
    Status,
    clipped,
    counted,
)
from octosync.plan import Action, Refusal, RunInfo, Verb, declared_of, refused_actions, way_out_of
from octosync.report.changes import RowOptions, group_of
from octosync.report.errors import request_ids, unlisted_words, with_requests
from octosync.report.outcomes import STATUS_WORDS, groups_of_outcomes, rollout_name, rollout_words
from octosync.report.plan import pending_words
from octosync.report.plan_report import ApplyReport, PlanReport
from octosync.report.run_report import RunReport, strict_error
from octosync.report.text import listed, visible

_RANK: Final = {severity: rank for rank, severity in enumerate(Severity)}
_LINE_NUMBERS: Final = re.compile(r"(?<=[^\s:]):\d+(?::\d+)?")
GUARD: Final = "guard-"  # prefix of the rule of a refusal


# The ranks within a severity: what can't be undone, other changes by their weight, problems, creations, and last what the change
# does not touch.
_DESTRUCTIVE, _REMOVAL, _UPDATE, _CAPABILITY, _PROBLEM, _CREATION, _UNRELATED = range(7)
_RANKS: Final = {
    Verb.DELETE: _REMOVAL,
    Verb.ARCHIVE: _REMOVAL,
    Verb.UPDATE: _UPDATE,
    Verb.ENABLE: _CAPABILITY,
    Verb.OPTIMIZE: _CAPABILITY,
    Verb.CREATE: _CREATION,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Annotation:
    """A message of a run.

    `rule` is its stable ID. `origin` is None if it has no position, and `base_origin` its position in the base if it is about
    something that is only declared there. `about` identifies its subject independently of line numbers; `width` is the number
    of characters from its column. `is_failure`: it is not a problem of the manifests, and may not occur in another run.
    `rank` orders annotations of one severity.
    """

    severity: Severity
    rule: str
    title: str
    lines: tuple[str, ...]
    origin: Origin | None = None
    base_origin: Origin | None = None
    about: str = ""
    width: int = 1
    is_failure: bool = False
    rank: int = _PROBLEM

    @property
    def sort_key(self) -> tuple[int, int, bool, Origin, str, tuple[str, ...]]:
        """Most severe first, then by rank and by position, those without one last."""
        origin = self.origin or Origin("")
        return (_RANK[self.severity], self.rank, self.origin is None, origin, self.rule, self.lines)

    def lines_with_position(self, *, in_file: bool) -> tuple[str, ...]:
        """Return the lines, with the position as text if the annotation does not show it; `in_file`: it is in a file."""
        if (base := self.base_origin) is not None:
            commit = f"in {base.base}, " if base.path != base.file else ""
            position = Origin(base.path, base.line, base.column)
            return (*self.lines, visible(f"declared {commit}at {position}"))
        place = visible(str(self.origin)) if self.origin is not None else ""
        is_shown = in_file or place in self.lines[0]  # such as `apps/ contains no manifests`
        return self.lines if is_shown else (*self.lines, f"declared at {place}")


def annotations_of(report: RunReport) -> tuple[Annotation, ...]:
    """Return the annotations of a run, most severe first."""
    changes = _changes(report) if isinstance(report, PlanReport) else ()
    found = [*problems_of(report), *changes, *(_pending(report) if isinstance(report, PlanReport) else ())]
    return tuple(sorted(found, key=lambda annotation: annotation.sort_key))


def problems_of(report: RunReport) -> Iterator[Annotation]:
    """Yield the diagnostics, the refusals of guards, and the errors that ended the run or kept it from planning an app."""
    error = report.error
    yield from _diagnostics(report)
    if isinstance(report, PlanReport):
        yield from _refusals(report)
        for slug, reason in sorted(report.plan.errors.items()):
            yield _in_manifests(_error(reason, slug, report.plan.desired.apps[slug].origin), None)
        if error is not None and error.reference in _KNOWN:
            error = None
    elif error is None and report.strict:
        error = strict_error(report.diagnostics)
    if error is not None:
        yield _error(error, "", None)


# The plan reports these in more detail, by app or by guard.
_KNOWN: Final = frozenset({"guard-refused", "plan-errored"})


def _diagnostics(report: RunReport) -> Iterator[Annotation]:
    kept: dict[Origin, Origin | None] = {}
    if isinstance(report, PlanReport):
        # A finding about a removed object has the position of its removal.
        removals = [(action.origin, action) for action in report.plan.actions if action.origin is not None]
        kept = {origin: _kept_position(action.address, report) for origin, action in removals if origin.base}
    for diagnostic in report.all_diagnostics():
        annotation = _in_manifests(_diagnostic(diagnostic), kept.get(diagnostic.origin) if diagnostic.origin else None)
        yield replace(annotation, rank=_UNRELATED) if report.is_unrelated(diagnostic) else annotation


def _pending(report: PlanReport) -> Iterator[Annotation]:
    if words := pending_words(report):
        lines = (f"{words}. Merged and not applied yet: not part of this plan.",)
        yield Annotation(severity=Severity.NOTICE, rule="pending", title="pending", lines=lines)


def _diagnostic(diagnostic: Diagnostic) -> Annotation:
    advice = [] if diagnostic.suggestion is None else [f"did you mean `{diagnostic.suggestion}`?"]
    return Annotation(
        severity=diagnostic.severity,
        rule=diagnostic.rule,
        title=diagnostic.rule,
        lines=tuple(map(visible, (diagnostic.summary, *advice, *diagnostic.notes))),
        origin=diagnostic.origin,
        about=f"{diagnostic.path} {_LINE_NUMBERS.sub('', diagnostic.subject or diagnostic.summary)}",
        width=diagnostic.width,
    )


def _error(error: OctosyncError, slug: str, origin: Origin | None) -> Annotation:
    where = f"{visible(slug)}: " if slug else ""
    message = f"{where}{with_requests(error.message, request_ids(error))}"
    return Annotation(
        severity=Severity.ERROR,
        rule=error.reference,
        title=error.reference,
        lines=(message, *map(visible, error.hints)),
        origin=origin,
        about=slug,
        is_failure=True,
    )


def _refusals(report: PlanReport) -> Iterator[Annotation]:
    """Yield each refused change at its position."""
    for refusal in report.blocked:
        for address in refusal.addresses:
            annotation = Annotation(
                severity=Severity.ERROR,
                rule=f"{GUARD}{refusal.guard}",
                title=f"blocked by guard {refusal.guard}",
                lines=(visible(str(address)), *refusal_lines(refusal, report.about)),
                origin=_declared_position(address, report),
                about=str(address),
            )
            yield _in_manifests(annotation, _kept_position(address, report))


def refusal_lines(refusal: Refusal, about: RunInfo) -> Iterator[str]:
    """Yield the message of a refusal, and the ways out."""
    yield visible(refusal.message)
    if refusal.override is not None:
        yield visible(f"To allow this: {about.apply_command} {refusal.override}")
    if (way_out := way_out_of(refusal, about)) is not None:
        yield visible(f"Next step: {way_out}")


def _declared_position(address: Address, report: PlanReport) -> Origin | None:
    """Return the position of an object in the manifests or in the base, or of its app if neither declares the object."""
    for action in report.plan.actions:
        if action.address == address and action.origin is not None:
            return action.origin
    app = report.plan.desired.apps.get(address.app)
    return None if app is None else declared_of(address, app)[1] or app.origin


_SECTIONS: Final = {Kind.TARGET: Section.TARGETS, Kind.SLOT: Section.SLOTS}


def _kept_position(address: Address, report: PlanReport) -> Origin | None:
    """Return the position in the manifests of the list that should contain an object, else of its app; None without either."""
    app = report.plan.desired.apps.get(address.app)
    section = _SECTIONS.get(address.kind)
    if app is None:
        return None
    kept = app.origin if section is None else app.origin_of_list(section)
    return None if kept is None or kept.base else kept


def _in_manifests(annotation: Annotation, kept: Origin | None) -> Annotation:
    """Return an annotation with a position in the manifests, `kept`, if its own is in the base."""
    origin = annotation.origin
    if origin is None or not origin.base:
        return annotation
    # What is at a path of the base is only in that commit, which the message names.
    about, *lines = (text.replace(f"{origin.base}:", "") for text in (annotation.about, *annotation.lines))
    return replace(annotation, origin=kept or origin, base_origin=origin, about=about, lines=tuple(lines))


def _changes(report: PlanReport) -> Iterator[Annotation]:
    """Yield each planned change, or its outcome, at its position, except those that a guard refuses."""
    refused = refused_actions(report.plan.actions, report.blocked)
    applied = report if isinstance(report, ApplyReport) else None
    outcomes = {(outcome.address, outcome.verb): outcome for outcome in applied.outcomes} if applied is not None else {}
    failures = [outcome for outcome in outcomes.values() if outcome.status in _FAILURES]
    alike = {(first.address, first.verb): more for first, *more in groups_of_outcomes(failures)}
    grouped = {(outcome.address, outcome.verb) for more in alike.values() for outcome in more}
    for action in report.plan.actions:
        key = (action.address, action.verb.value)
        if action.key in refused or key in grouped:
            continue
        annotation = _change(report, action, outcomes.get(key))
        yield _with_others(annotation, alike[key]) if alike.get(key) else annotation
    yield from _waited(report, applied.waited or () if applied is not None else ())


def _with_others(annotation: Annotation, alike: Sequence[Outcome]) -> Annotation:
    """Return the annotation of a failure with the objects that failed in the same way."""
    others = listed((visible(str(outcome.address)) for outcome in alike), at_most=_OTHERS)
    return replace(
        annotation, lines=(*annotation.lines, f"The same for {counted(len(alike), 'other object')}: {others}")
    )


def _change(report: PlanReport, action: Action, outcome: Outcome | None) -> Annotation:
    app = report.plan.desired.apps[action.address.app]
    options = RowOptions(sensitivity=report.sensitivity, full=report.full, last_changes=report.plan.last_changes)
    group = group_of(action.address.app, [action], app, options)
    row = group.rows[0]
    address = visible(str(action.address))
    severity = Severity.WARNING if action.destructive else Severity.NOTICE
    lines = (
        f"{address}{f': {row.remark}' if row.remark else ''}",
        *(line.removeprefix("      ") for line in row.lines),
    )
    title = f"{'destructive: ' if action.destructive else ''}{action.verb.value} {action.address.kind.value.replace('_', ' ')}"
    if outcome is not None:
        severity, lines = _STATUS_SEVERITIES.get(outcome.status, Severity.WARNING), (address, *_outcome_lines(outcome))
        title = f"{title} {STATUS_WORDS[outcome.status]}"
    annotation = Annotation(
        severity=severity,
        rule=f"planned-{action.verb.value}",
        title=title,
        lines=lines,
        origin=action.origin or app.origin,
        about=str(action.address),
        rank=_DESTRUCTIVE if action.destructive else _RANKS[action.verb],
    )
    return _in_manifests(annotation, _kept_position(action.address, report))


_OTHERS: Final = 10  # at most this many objects in the annotation of a failure that they share
_STATUS_SEVERITIES: Final = {
    Status.DONE: Severity.NOTICE,
    Status.FAILED: Severity.ERROR,
    Status.NOT_KEPT: Severity.ERROR,
    Status.STALE: Severity.ERROR,
}
_FAILURES: Final = frozenset(status for status, severity in _STATUS_SEVERITIES.items() if severity is Severity.ERROR)


def _outcome_lines(outcome: Outcome) -> Iterator[str]:
    if outcome.message:
        message = with_requests(outcome.message, outcome.request_ids)
        yield f"{visible(outcome.reference)}: {message}" if outcome.reference else message
    yield from map(visible, outcome.hints)


def _waited(report: PlanReport, rollouts: Sequence[RolloutStatus]) -> Iterator[Annotation]:
    for rollout in rollouts:
        if rollout.result is not None and rollout.result.is_failure:
            annotation = Annotation(
                severity=Severity.ERROR,
                rule=f"waited-{rollout.result.value.replace('_', '-')}",
                title=f"rollout {rollout.result.value.replace('_', ' ')}",
                lines=(f"{rollout_name(rollout)}: {rollout_words(rollout)}",),
                origin=_declared_position(rollout.address, report),
                about=str(rollout.address),
            )
            yield _in_manifests(annotation, _kept_position(rollout.address, report))


PathResolver = Callable[[Origin], str | None]
"""Returns the file of a position relative to the root of the repository, with `/`; None if the repository has no such file.

For a position in the base, it is a file of the work tree that the annotation can be attached to, without a line.
"""

MAX_PER_SEVERITY: Final = 10  # GitHub shows this many annotations per severity and step
_LONGEST: Final = 4_000  # characters of a message; the runner of GitHub cuts a message after 4,096
_COUNT_ROOM: Final = 30  # characters of the number of the lines that are not shown


def render_annotations(report: RunReport, resolve_path: PathResolver) -> str:
    """Render the annotations of a run: at most ten per severity, and the number of those omitted.

    What can't be undone comes first in its severity. With `--changed-only`, diagnostics of other apps are only counted.
    """
    annotations = annotations_of(report)
    unlisted: tuple[Diagnostic, ...] = ()
    if isinstance(report, PlanReport) and (unlisted := report.unlisted_diagnostics()):
        annotations = tuple(annotation for annotation in annotations if annotation.rank != _UNRELATED)
    kinds = [[found for found in annotations if found.severity is severity] for severity in Severity]
    if unlisted or any(len(kind) > MAX_PER_SEVERITY for kind in kinds):
        # The notice with the number of omitted annotations is one of the ten.
        kinds = [
            kind[: MAX_PER_SEVERITY - (severity is Severity.NOTICE)]
            for severity, kind in zip(Severity, kinds, strict=True)
        ]
    shown = [annotation for kind in kinds for annotation in kind]
    lines = [_command(annotation, resolve_path) for annotation in shown]
    left = [omitted_words(annotations, shown)]
    if isinstance(report, PlanReport) and unlisted:
        left.append(unlisted_words(report))
    if words := " ".join(filter(None, left)):
        lines.append(f"::notice title=octosync {_property(report.command)}::{_data(words)}")
    return "".join(f"{line}\n" for line in lines)


def render_notice(text: str) -> str:
    """Render a notice without a position; GitHub shows it on the page of the workflow run."""
    return f"::notice title=octosync::{_data(visible(text))}\n"


def omitted_words(annotations: Sequence[Annotation], shown: Sequence[Annotation]) -> str:
    """Return how many annotations of each severity are not shown; "" if all are."""
    omitted = Counter(annotation.severity for annotation in annotations)
    omitted.subtract(annotation.severity for annotation in shown)
    left = [counted(omitted[severity], f"more {severity.value}") for severity in Severity if omitted[severity]]
    return f"Not shown: {', '.join(left)}." if left else ""


def _command(annotation: Annotation, resolve_path: PathResolver) -> str:
    origin = annotation.origin
    file = None if origin is None else resolve_path(origin)
    properties = {"title": f"octosync: {visible(annotation.title)}"}
    if file is not None and origin is not None:
        place = Origin(file) if origin.base else origin
        at = {"file": visible(file), "line": str(place.line or 1), "col": str(place.column)}
        properties = {**at, **properties}
    words = ",".join(f"{name}={_property(value)}" for name, value in properties.items())
    return f"::{annotation.severity.value} {words}::{_data(_message(annotation.lines_with_position(in_file=file is not None)))}"


def _message(lines: Sequence[str]) -> str:
    """Return as many lines as a message can have, and the number of the rest."""
    if len(whole := "\n".join(lines)) <= _LONGEST:
        return whole
    rooms = accumulate((len(line) + 1 for line in lines), initial=0)
    fitting = sum(room <= _LONGEST - _COUNT_ROOM for room in rooms) - 1
    if not fitting:
        return clipped(whole, _LONGEST)
    return "\n".join((*lines[:fitting], f"and {counted(len(lines) - fitting, 'more line')}"))


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")


def output_lines(values: Mapping[str, str]) -> str:
    """Return the lines of step outputs: `name=value`; a value with line breaks is written between delimiters."""
    return "".join(line for name, value in values.items() for line in _output(name, value))


def _output(name: str, value: str) -> Iterator[str]:
    if not {"\n", "\r"} & {*value}:
        yield f"{name}={value}\n"
        return
    number = 0
    while (delimiter := f"octosync_{number}") in value:
        number += 1
    yield f"{name}<<{delimiter}\n{value}\n{delimiter}\n"
