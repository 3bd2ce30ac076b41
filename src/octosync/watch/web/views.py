"""Views: the values that the templates show of plans, canaries and runs, in the words of the reports."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from typing import Final

from octosync.model import Diagnostic, Outcome
from octosync.model import RolloutStatus as Waited
from octosync.plan import Plan, Recommendation, Verb
from octosync.report import rollout_name, rollout_share, rollout_words
from octosync.report.changes import SYMBOLS, Row, recommendation_lines
from octosync.report.differences import Difference
from octosync.report.outcomes import STATUS_WORDS, status_counts, status_symbol
from octosync.report.plan import groups_of
from octosync.report.text import Style
from octosync.watch.status import AppReconcileStatus, CommitStatus, ControllerStatus, RunStatus
from octosync.watch.web.app_list import plan_totals

_PLAIN: Final = Style(colour=False)
_RUNS: Final = 10
_OUTCOMES: Final = 100  # of a run; `octosync history` has all
_CANARIES: Final = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class CanaryView:
    """A canary: its progress in words, and in percent if known; `key` identifies it."""

    key: str
    slug: str
    name: str
    words: str
    percent: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class OutcomeView:
    """The outcome of an action of a run."""

    symbol: str
    words: str
    verb: str
    address: str
    message: str
    reference: str
    hints: tuple[str, ...]
    request_ids: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class RunView:
    """A run: its outcomes, of many only the first."""

    run: RunStatus
    outcomes: tuple[OutcomeView, ...]
    more: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RunGroup:
    """The runs of a commit, or a run that reverted drift: the counts of all outcomes. `key` identifies it.

    `done` and `actions` count the outcomes and the actions; `is_running` is whether a run is in progress.
    """

    key: str
    commit: CommitStatus | None
    is_revert: bool
    started: datetime
    apps: tuple[str, ...]
    counts: str
    done: int
    actions: int
    is_running: bool
    runs: tuple[RunView, ...]
    more_runs: int


@dataclass(frozen=True, slots=True, kw_only=True)
class AppView:
    """The plan of an app: its rows, their totals, diagnostics and recommendations."""

    totals: str
    rows: tuple[Row, ...] | None
    diagnostics: tuple[Diagnostic, ...]
    recommendations: tuple[str, ...]


def canary_views(apps: Iterable[AppReconcileStatus]) -> tuple[CanaryView, ...]:
    """Return the canaries that run, by address."""
    running = sorted(
        (deployment for app in apps for deployment in app.canaries),
        key=lambda deployment: (deployment.address, deployment.id),
    )
    views = []
    for deployment in running[:_CANARIES]:
        waited = Waited(
            address=deployment.address, status=deployment.status, canary=deployment.canary, deployment=deployment.id
        )
        share = rollout_share(waited)
        views.append(
            CanaryView(
                key=f"{deployment.address} {deployment.id}",
                slug=deployment.app,
                name=rollout_name(waited),
                words=rollout_words(waited),
                percent=None if share is None else share[0],
            )
        )
    return tuple(views)


def queued_lines(apps: Iterable[AppReconcileStatus]) -> tuple[str, ...]:
    """Return the better variants that will be rolled out, and why they wait."""
    waiting = [recommendation for app in apps for recommendation in app.recommendations if recommendation.waiting]
    lines = _recommended(sorted(waiting, key=lambda recommendation: recommendation.address)[:_CANARIES])
    more = len(waiting) - len(lines)
    return (*lines, f"and {more:,} more") if more else lines


def run_groups(runs: Iterable[RunStatus]) -> tuple[RunGroup, ...]:
    """Return the last runs by commit, newest first. A run that reverts drift, or has no commit, is on its own."""
    groups: dict[str, list[RunStatus]] = {}
    for run in runs:
        alone = run.commit is None or run.is_revert
        groups.setdefault(run.run if alone or run.commit is None else run.commit.revision, []).append(run)
    return tuple(_run_group(key, members) for key, members in islice(groups.items(), _RUNS))


def _run_group(key: str, runs: Sequence[RunStatus]) -> RunGroup:
    views, room = [], _OUTCOMES
    for run in runs:
        shown = run.outcomes[:room]
        room -= len(shown)
        if shown or run.ended is None:
            more = len(run.outcomes) - len(shown)
            views.append(RunView(run=run, outcomes=tuple(map(_outcome, shown)), more=more))
    outcomes = [outcome for run in runs for outcome in run.outcomes]
    return RunGroup(
        key=key,
        commit=runs[0].commit,
        is_revert=runs[0].is_revert,
        started=runs[0].started,
        apps=tuple(sorted({slug for run in runs for slug in run.apps})),
        counts=status_counts([outcome.status for outcome in outcomes], _PLAIN) if outcomes else "",
        done=len(outcomes),
        actions=sum(run.actions for run in runs),
        is_running=any(run.ended is None for run in runs),
        runs=tuple(views),
        more_runs=len(runs) - len(views),
    )


def _outcome(outcome: Outcome) -> OutcomeView:
    return OutcomeView(
        symbol=status_symbol(outcome.status, _PLAIN),
        words=STATUS_WORDS[outcome.status],
        verb=outcome.verb,
        address=str(outcome.address),
        message=outcome.message,
        reference=outcome.reference,
        hints=outcome.hints,
        request_ids=outcome.request_ids,
    )


def app_view(app: AppReconcileStatus, status: ControllerStatus) -> AppView:
    """Return an app's plan as its page shows it: the rows of `octosync plan`, unchanged."""
    if app.plan is None:
        return AppView(totals="", rows=None, diagnostics=(), recommendations=_recommended(app.recommendations))
    groups = groups_of(_alone(app.plan, app.slug), app.blocked, status.sensitivity, full=True)
    rows = tuple(row for group in groups if group.slug == app.slug for row in group.rows)
    return AppView(
        totals=plan_totals(app.plan, app.slug),
        rows=rows,
        diagnostics=app.plan.diagnostics,
        recommendations=_recommended(app.recommendations),
    )


def _alone(plan: Plan, slug: str) -> Plan:
    return plan if slug in plan.desired.apps else Plan(desired=plan.desired)


def _recommended(recommendations: Sequence[Recommendation]) -> tuple[str, ...]:
    return tuple(line.strip() for line in recommendation_lines(recommendations))[1:]


def remark_lines(status: ControllerStatus) -> tuple[str, ...]:
    """Return remarks about how this controller runs that need no action."""
    lines = []
    if status.mode == "manifest":
        lines.append("Drift is reported but not reverted (--heal manifest).")
    if status.mode == "none":
        lines.append("Nothing is written: this controller only plans (--heal none).")
    return tuple(lines)


@dataclass(frozen=True, slots=True)
class Sides:
    """A field that differs, as it is in Git and live; `whole` is for both if they can't be shown side by side."""

    name: str
    git: str = ""
    live: str = ""
    whole: str = ""
    is_text: bool = False


def sides_of(row: Row) -> tuple[Sides, ...]:
    """Return what differs in a row, field by field. A plan goes from live to Git, so its left side is the live one."""
    return tuple(_sides(detail) for detail in row.details if isinstance(detail, Difference))


def _sides(difference: Difference) -> Sides:
    if difference.lines:  # a diff of lines: both sides have its context
        git, live = (
            "\n".join(line[2:] for line in difference.lines if line[:1] in signs) for signs in ({" ", "+"}, {" ", "-"})
        )
        return Sides(difference.name, git=git, live=live, is_text=True)
    if difference.words == difference.after:  # both are sensitive
        return Sides(difference.name, whole=difference.words)
    return Sides(difference.name, git=difference.after, live=difference.before)


def texts_of(row: Row) -> tuple[str, ...]:
    """Return the details of a row that are no differences of a field."""
    return tuple(detail for detail in row.details if isinstance(detail, str))


def row_symbol(row: Row) -> str:
    """Return a row's symbol, as `octosync plan` shows it; "" if nothing changes."""
    return "" if row.verb is None else SYMBOLS[row.verb]


def row_name(row: Row) -> str:
    """Return the name of a row, without its marks."""
    return row.left[4:].strip()


def row_mark(row: Row) -> str:
    """Return the words of a row's mark; "" if it has none."""
    return "blocked" if row.left.startswith("!") else ""


def row_verb(row: Row) -> str:
    """Return the verb of a row, for screen readers; "" if the name contains it."""
    return "" if row.verb is None or row.verb in {Verb.ENABLE, Verb.OPTIMIZE} else row.verb.value
