"""Views: what the templates loop over, in the words that the reports have for it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from octosync.model import Diagnostic, Outcome
from octosync.model import Standing as Waited
from octosync.plan import Plan, Recommendation, Verb
from octosync.report.capabilities import recommendation_lines
from octosync.report.changes import SYMBOLS, Row
from octosync.report.ink import Ink
from octosync.report.outcomes import STATUS_WORDS, status_counts, status_symbol
from octosync.report.plan import groups_of
from octosync.report.summary import totals_words
from octosync.report.waiting import standing_name, standing_share, standing_words
from octosync.watch.coverage import coverage_words
from octosync.watch.status import AppReconcileStatus, AppState, ControllerStatus, RunStatus

_PLAIN: Final = Ink(colour=False)
_RUNS: Final = 10
_OUTCOMES: Final = 100  # of a run; `octosync history` has all
_CANARIES: Final = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class ListRow:
    """One app in a list: its state, and in short what is planned or the matter."""

    slug: str
    state: AppState
    words: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CanaryView:
    """One canary: where, how far in words, and a share of 100 where that is known; `key` tells it from all others."""

    key: str
    slug: str
    name: str
    words: str
    percent: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class OutcomeView:
    """What became of one action of a run."""

    symbol: str
    words: str
    verb: str
    address: str
    said: str
    hints: tuple[str, ...]
    request_ids: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class RunView:
    """One run: its outcomes counted, and the first of them one by one."""

    run: RunStatus
    counts: str
    outcomes: tuple[OutcomeView, ...]
    more: int


@dataclass(frozen=True, slots=True, kw_only=True)
class AppView:
    """One app's plan: its rows, counted, and what is said beside them."""

    totals: str
    rows: tuple[Row, ...] | None
    diagnostics: tuple[Diagnostic, ...]
    recommendations: tuple[str, ...]


def list_rows(apps: Iterable[AppReconcileStatus]) -> tuple[ListRow, ...]:
    """Return the rows of a list: the gravest states first, then by slug."""
    rank = {state: number for number, state in enumerate(AppState)}
    ordered = sorted(apps, key=lambda app: (rank[app.state], app.slug))
    return tuple(ListRow(slug=app.slug, state=app.state, words=_in_short(app)) for app in ordered)


def _in_short(app: AppReconcileStatus) -> str:
    if app.error:
        return app.error
    if app.why_waiting:
        return app.why_waiting
    if app.state is AppState.UNCOVERED:
        return "; ".join(map(coverage_words, app.uncovered))
    return "" if app.plan is None else _totals(app.plan, app.slug)


def _totals(plan: Plan, slug: str) -> str:
    """Count what is planned for one app: the plan of a move has several."""
    mine = [action for action in plan.actions if action.address.app == slug]
    return totals_words(mine, [one for one in plan.held if one.action.address.app == slug])


def state_counts(standing: ControllerStatus) -> tuple[tuple[AppState, int], ...]:
    """Count the apps of each state that has any."""
    return tuple((state, count) for state, count in standing.counts().items() if count)


def canary_views(apps: Iterable[AppReconcileStatus]) -> tuple[CanaryView, ...]:
    """Return the canaries that run, by address."""
    running = sorted((one for app in apps for one in app.canaries), key=lambda one: (one.address, one.id))
    views = []
    for one in running[:_CANARIES]:
        waited = Waited(address=one.address, status=one.status, canary=one.canary, deployment=one.id)
        share = standing_share(waited)
        views.append(
            CanaryView(
                key=f"{one.address} {one.id}",
                slug=one.app,
                name=standing_name(waited),
                words=standing_words(waited),
                percent=None if share is None else share[0],
            )
        )
    return tuple(views)


def queued_lines(apps: Iterable[AppReconcileStatus]) -> tuple[str, ...]:
    """Return the better variants that are to be rolled out by themselves, and what each waits for."""
    waiting = [one for app in apps for one in app.recommendations if one.waiting]
    lines = _recommended(sorted(waiting, key=lambda one: one.address)[:_CANARIES])
    more = len(waiting) - len(lines)
    return (*lines, f"and {more:,} more") if more else lines


def run_views(runs: Sequence[RunStatus]) -> tuple[RunView, ...]:
    """Return the last runs, newest first, as they are given."""
    return tuple(
        RunView(
            run=run,
            counts=status_counts([one.status for one in run.outcomes], _PLAIN) if run.outcomes else "",
            outcomes=tuple(map(_outcome, run.outcomes[:_OUTCOMES])),
            more=max(0, len(run.outcomes) - _OUTCOMES),
        )
        for run in runs[:_RUNS]
    )


def _outcome(one: Outcome) -> OutcomeView:
    return OutcomeView(
        symbol=status_symbol(one.status, _PLAIN),
        words=STATUS_WORDS[one.status],
        verb=one.verb,
        address=str(one.address),
        said=": ".join(filter(None, (one.reference, one.message))),
        hints=one.hints,
        request_ids=one.request_ids,
    )


def app_view(app: AppReconcileStatus, standing: ControllerStatus) -> AppView:
    """Return an app's plan as its page shows it: the rows that `octosync plan` has, none of it in other words."""
    if app.plan is None:
        return AppView(totals="", rows=None, diagnostics=(), recommendations=_recommended(app.recommendations))
    groups = groups_of(_alone(app.plan, app.slug), app.blocked, standing.sensitivity, full=True)
    rows = tuple(row for group in groups if group.slug == app.slug for row in group.rows)
    return AppView(
        totals=_totals(app.plan, app.slug),
        rows=rows,
        diagnostics=app.plan.diagnostics,
        recommendations=_recommended(app.recommendations),
    )


def _alone(plan: Plan, slug: str) -> Plan:
    return plan if slug in plan.desired.apps else Plan(desired=plan.desired)


def _recommended(recommendations: Sequence[Recommendation]) -> tuple[str, ...]:
    return tuple(line.strip() for line in recommendation_lines(recommendations))[1:]


def remark_lines(standing: ControllerStatus) -> tuple[str, ...]:
    """Return what is worth knowing of how this controller runs, and holds up nothing."""
    lines = []
    if standing.mode == "manifest":
        lines.append("Drift is reported and not changed back (--heal manifest).")
    if standing.mode == "none":
        lines.append("Nothing is written: this plans only (--heal none).")
    return tuple(lines)


def row_symbol(row: Row) -> str:
    """Return a row's symbol, as `octosync plan` shows it; "" for what is as declared."""
    return "" if row.verb is None else SYMBOLS[row.verb]


def row_name(row: Row) -> str:
    """Return what a row is about, without its marks."""
    return row.left[4:].strip()


def row_mark(row: Row) -> str:
    """Return the words of a row's mark; "" where it has none."""
    return "blocked" if row.left.startswith("!") else ""


def row_verb(row: Row) -> str:
    """Say what is done, for those who don't see the symbol; what the name says itself is left out."""
    return "" if row.verb is None or row.verb in {Verb.ENABLE, Verb.OPTIMIZE} else row.verb.value
