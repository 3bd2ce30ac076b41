"""Plans, outcomes and failures as Markdown, for the comment of a pull request or the summary of a job.

The changes have the order of the text report, in fences that are folded by app. For any `max_bytes` the document is complete
Markdown: creations are shortened first, to their counts, and at last only the totals are left. What is left out is counted at
its place.

Text from manifests and the control plane is written in one of two ways, so that no renderer acts on it. `escaped` writes
every character with a meaning as an entity. `fence` replaces `<` by `‹`, since entities have no effect there, and is longer
than any fence in its text. Both break mentions and references with zero-width spaces; `escaped` also breaks links.
"""

from __future__ import annotations

import html
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

from octosync.errors import ExitCode, GuardRefused, OctosyncError
from octosync.model import Origin, Outcome, Severity, clipped, counted
from octosync.plan import Plan, Verb
from octosync.report.changes import Group, Row, Weight, column, recommendation_lines
from octosync.report.differences import Difference
from octosync.report.errors import (
    blocked_lines,
    diagnostic_lines,
    error_lines,
    override_words,
    severities,
    unlisted_words,
)
from octosync.report.outcomes import AGAIN, attention, done_lines, render_rollouts, run_words, status_counts
from octosync.report.plan import (
    Overview,
    blocking_words,
    devices_words,
    estimate_words,
    incomplete_words,
    keep_command,
    left_alone_lines,
    manifests_words,
    nothing_words,
    pending_lines,
    pending_words,
    read_words,
    rest_words,
    selected_words,
    totals_words,
    uncommitted_words,
)
from octosync.report.plan_report import ApplyReport, PlanReport
from octosync.report.run_report import NOTHING_WRITTEN, RunReport
from octosync.report.sections import row_totals
from octosync.report.size_limit import MAX_BYTES, Part, fit_parts
from octosync.report.text import NONE, Style, cells, listed, padded, plane_words, under_way_words, visible

_BREAK: Final = "\u200b"
# Positions in @name, #1 and GH-1, which forges link in any text; `chat@production` and `a#b` are not linked.
_REFERENCES: Final = re.compile(r"(?<=(?<!\w)@)(?=\w)|(?<=#)(?=\d)|(?<=\bGH)(?=-\d)", re.IGNORECASE)
# Positions in name@host, https:// and www.
_LINKS: Final = re.compile(r"(?<=\w@)(?=\w)|(?<=:)(?=//)|(?<=\bwww)(?=\.)", re.IGNORECASE)
# Delimiters of Markdown, HTML, tables, mathematics and the short references of forges.
_SPECIAL: Final = re.compile(r"""[&<>"'`*_\[\]\\|~!$^{}]|\u200b""")
_ENTITIES: Final = {"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;"}
_TICKS: Final = re.compile("`+")


def escaped(text: str) -> str:
    """Return a text for use outside of fences, also in HTML and in a table."""
    broken = _LINKS.sub(_BREAK, _REFERENCES.sub(_BREAK, visible(text)))
    # Hexadecimal, since `&#35;1` itself contains a reference.
    return _SPECIAL.sub(lambda sign: _ENTITIES.get(sign[0]) or f"&#x{ord(sign[0]):x};", broken)


def code(text: str) -> str:
    """Return a name or a value as HTML code."""
    return f"<code>{escaped(text)}</code>"


def fence(language: str, lines: Iterable[str]) -> str:
    """Return the lines of a text report, which are visible already, as a fenced block."""
    body = [_REFERENCES.sub(_BREAK, line.rstrip().replace("<", "‹")) for line in lines]
    longest = max((len(run) for line in body for run in _TICKS.findall(line)), default=0)
    marks = "`" * max(3, longest + 1)
    return "\n".join((f"{marks}{language}", *body, marks))


def folded(summary: str, *blocks: str, is_open: bool = False) -> str:
    """Return blocks folded under a summary, which is HTML."""
    start = "<details open>" if is_open else "<details>"
    return "\n\n".join((f"{start}<summary>{summary}</summary>", *blocks, "</details>"))


def alert(kind: str, *lines: str) -> str:
    """Return lines as an alert (`CAUTION`, `WARNING` or `NOTE`); a renderer without alerts shows a quotation."""
    return "\n".join((f"> [!{kind}]", *(f"> {line}".rstrip() for line in lines)))


_PLAIN: Final = Style(colour=False)
_SIGNS: Final = {
    Verb.CREATE: "+",
    Verb.UPDATE: "!",
    Verb.DELETE: "-",
    Verb.ARCHIVE: "-",
    Verb.ENABLE: "+",
    Verb.OPTIMIZE: "!",
}
_BLOCKED: Final = "BLOCKED"
_LISTED: Final = 10  # destructive changes and errors that are listed; the rest is counted
_OPEN: Final = 10  # at most this many apps of a section are shown unfolded
_OPEN_CREATIONS: Final = 3
_UNCUT: Final = 8  # lines of a diff that is shown whole or not at all
_NAME: Final = 100  # characters of a name and a file, outside of the rows of an app
_NAMED: Final = 3  # destructive changes that the short form of an app lists
_VALUE: Final = 500  # characters of a line of a value, and the number of its lines, in a diff that would be too long
_VALUE_LINES: Final = 20
_LONGEST: Final = 300  # characters of the message of a refusal in its short form

# Ranks of the parts: the last ones are shortened or omitted first, but for the asides, whose counts take little room.
_SUMMARY, _STOPS, _END, _TABLE, _LOST, _REMOVALS, _UPDATES, _CAPABILITIES, _CREATIONS, _ASIDE = range(10)
_CHANGES: Final = range(_REMOVALS, _CREATIONS + 1)
_RANKS: Final = {
    Weight.REMOVALS: _REMOVALS,
    Weight.UPDATES: _UPDATES,
    Weight.CAPABILITIES: _CAPABILITIES,
    Weight.CREATIONS: _CREATIONS,
    Weight.UNCHANGED: _CREATIONS,
}

BlobLinks = Callable[[Origin, str], str | None]
"""Returns the URL of a position in a commit; None if it has none."""


@dataclass(frozen=True, slots=True)
class _ChangePart(Part):
    """The part of an app within a section."""

    group: Group


def render_plan_markdown(report: PlanReport, *, max_bytes: int = MAX_BYTES, links: BlobLinks | None = None) -> str:
    """Render a plan, and the error that ended the run before its first write, in at most `max_bytes` of UTF-8."""
    plan = report.plan
    overview = Overview.of_report(report)
    if report.summary_only:
        return _summary(report, overview, max_bytes)
    parts = [
        _title(report, _totals(plan), _facts(report)),
        *_under_way(report),
        *_refusal(report.error),
        *_overrides(report),
        *_blocking(report),
        *_errors(plan),
        *_table(overview),
        *_lost(plan),
        *_sections(report, overview, links),
        *_keeping(report),
        *_asides(report),
        _end(report),
    ]
    return _document(parts, max_bytes, "octosync plan")


def render_outcomes_markdown(report: ApplyReport, *, max_bytes: int = MAX_BYTES, links: BlobLinks | None = None) -> str:
    """Render the outcomes of an apply, and below them its plan, in at most `max_bytes` of UTF-8."""
    plan, outcomes = report.plan, report.outcomes
    overview = Overview.of_report(report)
    counts = status_counts([outcome.status for outcome in outcomes], _PLAIN).replace("   ", ", ")
    waited = render_rollouts(report, colour=False, closes=False)
    parts = [
        _title(report, escaped(counts), [f"exit {int(report.exit_code)}"]),
        *_overrides(report),
        *_needs_attention(plan, outcomes, report.exit_code),
        *([Part(_LOST, (fence("text", waited.splitlines()), ""))] if waited else []),
        *_going_on(report.resume_command if report.write_code is not ExitCode.DONE else None),
        *_table(overview),
        *_sections(report, overview, links),
        _end(report, *([] if report.run_id is None else [run_words(report.run_id, report.history)])),
    ]
    return _document(parts, max_bytes, "octosync history")


def _summary(report: PlanReport, overview: Overview, max_bytes: int) -> str:
    """Return only the table, and why the plan can't be applied."""
    plan = report.plan
    stops = (
        f"**Incomplete**: {incomplete_words(plan)}." if plan.errors else "",
        f"**Blocked** {blocking_words(report.blocked)}." if report.blocked else "",
    )
    table = _table_lines(overview) if plan.shown else f"**{nothing_words(plan)}**"
    totals = f"**{_totals(plan)}**"
    parts = [Part(_SUMMARY, (table, totals)), *(Part(_STOPS, (stop,)) for stop in stops)]
    return fit_parts(parts, max_bytes, lambda _: "")


def _document(parts: Sequence[Part], max_bytes: int, shows_all: str) -> str:
    apps = [at for at, part in enumerate(parts) if isinstance(part, _ChangePart)]
    forms_of = {at: len(parts[at].forms) for at in apps}

    def note(forms: Sequence[int | None]) -> str:
        brief = sum(forms[at] == forms_of[at] - 1 for at in apps)
        cut = sum(0 < (forms[at] or 0) < forms_of[at] - 1 for at in apps)
        gone = sum(forms[at] is None for at in apps)
        facts = (
            f"Shortened to {max_bytes:,} bytes",
            f"{counted(cut, 'app')} in part" if cut else "",
            f"{counted(brief, 'app')} by counts only" if brief else "",
            f"{counted(gone, 'app')} not listed" if gone else "",
            f"<code>{shows_all}</code> shows everything",
        )
        return alert("NOTE", f"{', '.join(filter(None, facts))}.")

    def gap(places: Sequence[int]) -> str:
        omitted = [part.group for at in places if isinstance(part := parts[at], _ChangePart)]
        totals = row_totals(row for group in omitted for row in group.rows) or "as declared"
        return f"- {counted(len(omitted), 'app')} not listed: {totals}" if omitted else ""

    return fit_parts(parts, max_bytes, note, gap=gap, ordered=_CHANGES)


def _title(report: PlanReport, totals: str, facts: Sequence[str]) -> Part:
    command = f"octosync {report.command}"
    heading = f"### {command} · {escaped(plane_words(report.about.control_plane))}"
    line = " · ".join((f"**{totals}**", *facts))
    return Part(_SUMMARY, (f"{heading}\n\n{line}", f"**{command}** (shortened): {totals}"))


def _totals(plan: Plan) -> str:
    return totals_words(plan.actions, plan.held) or nothing_words(plan)


def _facts(report: PlanReport) -> list[str]:
    plan, about = report.plan, report.about
    writes = plan.requests_to_apply
    estimate = f" ({words})" if (words := estimate_words(report)) else ""
    facts = (
        devices_words(plan.actions),
        f"{counted(writes, 'request')}{estimate}" if writes else "",
        read_words(plan, about),
        rest_words(plan),
    )
    return list(filter(None, facts))


def _refusal(refused: OctosyncError | None) -> Iterator[Part]:
    if refused is None:
        return
    headline = f"**{NOTHING_WRITTEN}**"
    # The refusals of guards are shown below, with the ways out.
    known = isinstance(refused, GuardRefused)
    yield Part(
        _STOPS, (headline if known else f"{headline}\n\n{fence('text', error_lines(refused, _PLAIN))}", headline)
    )


def _under_way(report: PlanReport) -> Iterator[Part]:
    shared = report.about.shared
    if shared is not None and shared.under_way is not None:
        words = under_way_words(shared.under_way)
        yield Part(
            _STOPS, (alert("WARNING", f"**Another run is under way**, and may change this plan: {escaped(words)}"), "")
        )


def _overrides(report: PlanReport) -> Iterator[Part]:
    if report.overrides:
        allowed = ", ".join(code(override_words(override)) for override in report.overrides)
        yield Part(_STOPS, (f"Allowed in this run: {allowed}",))


def _blocking(report: PlanReport) -> Iterator[Part]:
    if not report.blocked:
        return
    headline = alert("CAUTION", f"**Blocked** {blocking_words(report.blocked)}.")
    lines = blocked_lines(report, _PLAIN, mark=_BLOCKED)
    first = {
        refusal.guard: replace(refusal, message=clipped(refusal.message, _LONGEST))
        for refusal in reversed(report.blocked)
    }
    few = blocked_lines(replace(report, blocked=[*reversed(first.values())]), _PLAIN, mark=_BLOCKED)
    more = len(report.blocked) - len(first)
    rest = [f"and {counted(more, 'more refusal')} by the same guards"] if more else []
    yield Part(
        _STOPS, (f"{headline}\n\n{fence('text', lines)}", f"{headline}\n\n{fence('text', (*few, *rest))}", headline)
    )


def _errors(plan: Plan) -> Iterator[Part]:
    if not plan.errors:
        return
    headline = alert("CAUTION", f"**Incomplete**: {incomplete_words(plan)}. The plan can't be applied.")
    shown = [
        line for slug, error in sorted(plan.errors.items())[:_LISTED] for line in error_lines(error, _PLAIN, about=slug)
    ]
    more = [f"and {len(plan.errors) - _LISTED:,} more"] if len(plan.errors) > _LISTED else []
    yield Part(_STOPS, (f"{headline}\n\n{fence('text', (*shown, *more))}", headline))


def _lost(plan: Plan) -> Iterator[Part]:
    """Yield the list of destructive changes: in a diff with many colours, red is not conspicuous enough."""
    actions = [action for _, of_app in plan.by_app() for action in of_app if action.destructive]
    if not actions:
        return
    headline = f"**{counted(len(actions), 'change')} can't be undone**"
    shown = [f"{action.verb.value} {code(clipped(str(action.address), _NAME))}" for action in actions[:_LISTED]]
    more = [f"and {len(actions) - _LISTED:,} more"] if len(actions) > _LISTED else []
    items = (f"- {item}" for item in (*shown, *more))
    yield Part(_LOST, (alert("WARNING", headline, "", *items), alert("WARNING", headline)))


def _table(overview: Overview) -> Iterator[Part]:
    if overview.has_table:
        yield Part(_TABLE, (_table_lines(overview), ""))


def _table_lines(overview: Overview) -> str:
    table = overview.table
    totals = [f"**{escaped(cell)}**" for cell in table.totals]
    rows = [[escaped(clipped(cell, _NAME)) for cell in row] for row in (table.titles, *table.rows)]
    rule = ["---", *("---:" for _ in table.titles[1:])]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (rows[0], rule, *rows[1:], totals))


def _sections(report: PlanReport, overview: Overview, links: BlobLinks | None) -> Iterator[Part]:
    git = report.about.manifests.git
    revision = git.revision if git is not None else None

    def link(origin: Origin | None) -> str | None:
        return None if links is None or revision is None or origin is None else links(origin, revision)

    for section in overview.sections:
        rank = _RANKS[section.weight]
        is_open = len(section.groups) <= (_OPEN_CREATIONS if rank == _CREATIONS else _OPEN)
        if section.title:
            yield Part(_LOST, (f"#### {section.heading}", ""))
        for batch in section.batches:
            if batch.name:
                yield Part(rank, (f"**{escaped(clipped(batch.heading, _NAME))}**",))
            yield from (_app(group, rank, link, is_open=is_open) for group in batch.groups)


def _app(group: Group, rank: int, link: Callable[[Origin | None], str | None], *, is_open: bool) -> Part:
    """Return the part of an app: its diff and links, the diff with long values clipped, its first lines, or counts.

    Long values are clipped first, so that one of them doesn't hide the other changes.
    """
    lines = list(_diff(group, clips=True))
    name = f"<b>{escaped(clipped(group.slug, _NAME))}</b> · {row_totals(group.rows) or 'as declared'}"
    file = _linked(clipped(group.file, _NAME), link(group.origin))
    summary = f"{name} · {file}" if file else name
    places = _places(group, link)
    losing = [f"{marks} {code(clipped(_name(row), _NAME))}" for row in group.rows if (marks := _marks(row))]
    changed = losing or [code(clipped(_name(row), _NAME)) for row in group.rows if row.weight is not Weight.CREATIONS]
    brief = f"- {name}{f': {listed(changed, at_most=_NAMED)}' if changed else ''}"
    ends = [places] if places else []
    whole, clipped_diff = (
        folded(summary, fence("diff", shown), *ends, is_open=is_open) for shown in (_diff(group, clips=False), lines)
    )
    cuts = [len(lines) * share // 8 for share in range(7, 0, -1)] if len(lines) > _UNCUT else []
    shorter = (
        folded(summary, fence("diff", (*lines[:cut], f"  and {len(lines) - cut:,} more lines")), is_open=is_open)
        for cut in cuts
    )
    return _ChangePart(rank, (*dict.fromkeys((whole, clipped_diff)), *shorter, brief), group)


def _places(group: Group, link: Callable[[Origin | None], str | None]) -> str:
    """Return the links to the positions of the rows; "" if there are none."""
    shown: dict[str, None] = {}
    for row in group.rows:
        if row.origin is not None and (url := link(row.origin)) is not None:
            shown[_linked(clipped(f"{row.origin.file}:{row.origin.line}", _NAME), url)] = None
    return f"<sub>{' · '.join(shown)}</sub>" if shown else ""


def _linked(text: str, url: str | None) -> str:
    return escaped(text) if url is None else f'<a href="{html.escape(url)}">{escaped(text)}</a>'


def _diff(group: Group, *, clips: bool) -> Iterator[str]:
    """Yield the lines of a diff: a row for each object, below it what is removed and added, and the rest as context."""
    left = column(_name(row) for row in group.rows)
    place = column(row.place for row in group.rows)
    for row in group.rows:
        sign = " " if row.verb is None else _SIGNS[row.verb]
        remark = ": ".join(filter(None, (_marks(row), row.remark)))
        yield f"{sign} {padded(_name(row), left)}  {' ' * (place - cells(row.place))}{row.place}  {remark}"
        for detail in row.details:
            found = [f"      {detail}"] if isinstance(detail, str) else list(_difference_lines(detail))
            shown = found[:_VALUE_LINES] if clips else found
            yield from (clipped(line, _VALUE) for line in shown) if clips else shown
            if len(found) > len(shown):
                yield f"  and {counted(len(found) - len(shown), 'more line')} of this value"


def _difference_lines(difference: Difference) -> Iterator[str]:
    if difference.lines:
        yield f"  {difference.name}:"
        yield from difference.lines
        return
    for sign, side in (("-", difference.before), ("+", difference.after)):
        if side != NONE:
            yield f"{sign} {difference.name}: {side}"


def _marks(row: Row) -> str:
    """Return the marks of a row that needs attention; "" if it does not."""
    blocked = [_BLOCKED] if row.left.startswith("!") else []
    return ", ".join((*blocked, *(["DESTRUCTIVE"] if row.destructive else [])))


def _name(row: Row) -> str:
    name = row.left[4:]  # after the mark and the symbol of the text report
    return f"archive {name}" if row.verb is Verb.ARCHIVE else name


def _asides(report: PlanReport) -> Iterator[Part]:
    plan = report.plan
    if recommended := list(recommendation_lines(plan.recommendations)):
        head, *lines = recommended
        summary = f"{escaped(head.rstrip(':'))}: {len(plan.recommendations):,}"
        yield Part(_ASIDE, (folded(summary, fence("text", lines)), summary))
    if pending := pending_words(report):
        shown = fence("text", pending_lines(report, _PLAIN))
        yield Part(_ASIDE, (folded(escaped(pending), shown), f"{escaped(pending)}."))
    if found := report.listed_diagnostics():
        lines = [line for diagnostic in found for line in diagnostic_lines(diagnostic, _PLAIN)]
        yield Part(_ASIDE, (folded(severities(found), fence("text", lines)), severities(found)))
    if unlisted := unlisted_words(report):
        yield Part(_ASIDE, (escaped(unlisted), ""))
    if aside := list(left_alone_lines(plan, report.about)):
        yield Part(_ASIDE, (folded("Left alone", fence("text", aside)), ""))


def _needs_attention(plan: Plan, outcomes: Sequence[Outcome], exit_code: ExitCode) -> Iterator[Part]:
    notable = list(attention(plan, outcomes, _PLAIN))
    if notable:
        few = [line for lines in notable[:_LISTED] for line in lines]
        more = [f"and {len(notable) - _LISTED:,} more"] if len(notable) > _LISTED else []
        yield Part(
            _LOST, (fence("text", (line for lines in notable for line in lines)), fence("text", (*few, *more)), "")
        )
    if done := list(done_lines(outcomes, exit_code, _PLAIN)):
        yield Part(_LOST, (fence("text", done), f"{escaped(done[0].partition(' Done:')[0])}"))


def _going_on(command: str | None) -> Iterator[Part]:
    if command is not None:
        yield Part(_STOPS, (f"To continue ({AGAIN}):\n\n{fence('sh', [visible(command)])}", ""))


def _keeping(report: PlanReport) -> Iterator[Part]:
    command = keep_command(report.plan.shown, report.about) if report.command == "plan" else None
    if command is not None:
        yield Part(_END, (f"To keep the live values instead:\n\n{fence('sh', [command])}", ""))


def _end(report: PlanReport, *facts: str) -> Part:
    """Return the last line: the version, the manifests and the revision. It is the same for the same input."""
    about = report.about
    git = about.manifests.git
    words = [*map(escaped, facts), f"octosync {escaped(about.octosync_version)}", escaped(manifests_words(about))]
    if selected := selected_words(report.plan, about):
        words.append(selected)
    if git is not None:
        uncommitted = uncommitted_words(git)
        words.append(f"revision {code(git.revision)}{f' ({uncommitted})' if uncommitted else ''}")
        if git.base is not None:
            words.append(f"base {code(git.base)}")
    return Part(_END, (f"<sub>{' · '.join(words)}</sub>", ""))


_RANK: Final = {severity: rank for rank, severity in enumerate(Severity)}

# Ranks of the parts of a failure; diagnostics follow by severity.
_TITLE, _WHY, _FOUND = range(3)


def render_failure_markdown(report: RunReport, *, verdict: str, max_bytes: int) -> str:
    """Render the error that ended a run and its diagnostics, in at most `max_bytes` of UTF-8.

    `verdict` is a sentence about the result.
    """
    diagnostics, error = report.all_diagnostics(), report.error
    total = " · ".join(
        (f"**{verdict}**", *([severities(diagnostics)] if diagnostics else []), f"exit {int(report.exit_code)}")
    )
    parts = [Part(_TITLE, (f"### octosync {report.command}\n\n{total}", total))]
    if error is not None:
        headline = alert("CAUTION", escaped(error.reference))
        parts.append(Part(_WHY, (fence("text", error_lines(error, _PLAIN)), headline, "")))
    found = sorted(diagnostics, key=lambda diagnostic: (_RANK[diagnostic.severity], diagnostic.sort_key))
    parts += [
        Part(_FOUND + _RANK[diagnostic.severity], (fence("text", diagnostic_lines(diagnostic, _PLAIN)), ""))
        for diagnostic in found
    ]
    return fit_parts(parts, max_bytes, lambda _: alert("NOTE", f"Shortened to {max_bytes:,} bytes."))
