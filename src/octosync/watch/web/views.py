"""Views: the values that the templates show, in the words of the reports, and the status in one sentence or a short title."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from octosync.model import Diagnostic, Outcome, counted
from octosync.model import RolloutStatus as Waited
from octosync.plan import Plan, Recommendation, Verb
from octosync.report import rollout_name, rollout_share, rollout_words
from octosync.report.changes import SYMBOLS, Row, recommendation_lines
from octosync.report.outcomes import STATUS_WORDS, status_counts, status_symbol
from octosync.report.plan import groups_of, totals_words
from octosync.report.text import Style, time_words
from octosync.watch.coverage import coverage_words
from octosync.watch.status import AppReconcileStatus, AppState, ControllerStatus, RunStatus

_PLAIN: Final = Style(colour=False)
_RUNS: Final = 10
_OUTCOMES: Final = 100  # of a run; `octosync history` has all
_CANARIES: Final = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class ListRow:
    """An app in a list: its state, and a summary of its plan or problem."""

    slug: str
    state: AppState
    words: str


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
    hints: tuple[str, ...]
    request_ids: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class RunView:
    """A run: the counts of its outcomes, and the first outcomes."""

    run: RunStatus
    counts: str
    outcomes: tuple[OutcomeView, ...]
    more: int


@dataclass(frozen=True, slots=True, kw_only=True)
class AppView:
    """The plan of an app: its rows, their totals, diagnostics and recommendations."""

    totals: str
    rows: tuple[Row, ...] | None
    diagnostics: tuple[Diagnostic, ...]
    recommendations: tuple[str, ...]


def list_rows(apps: Iterable[AppReconcileStatus]) -> tuple[ListRow, ...]:
    """Return the rows of a list, by severity of the state, then by slug."""
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
    """Count the changes of an app: the plan of a move contains several apps."""
    mine = [action for action in plan.actions if action.address.app == slug]
    return totals_words(mine, [change for change in plan.held if change.action.address.app == slug])


def state_counts(status: ControllerStatus) -> tuple[tuple[AppState, int], ...]:
    """Count the apps of each state that has any."""
    return tuple((state, count) for state, count in status.counts().items() if count)


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


def run_views(runs: Sequence[RunStatus]) -> tuple[RunView, ...]:
    """Return views of the last runs, in the given order."""
    return tuple(
        RunView(
            run=run,
            counts=status_counts([outcome.status for outcome in run.outcomes], _PLAIN) if run.outcomes else "",
            outcomes=tuple(map(_outcome, run.outcomes[:_OUTCOMES])),
            more=max(0, len(run.outcomes) - _OUTCOMES),
        )
        for run in runs[:_RUNS]
    )


def _outcome(outcome: Outcome) -> OutcomeView:
    return OutcomeView(
        symbol=status_symbol(outcome.status, _PLAIN),
        words=STATUS_WORDS[outcome.status],
        verb=outcome.verb,
        address=str(outcome.address),
        message=": ".join(filter(None, (outcome.reference, outcome.message))),
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
        totals=_totals(app.plan, app.slug),
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


STATE_WORDS: Final = {
    AppState.FAILING: "failing",
    AppState.REFUSED: "refused",
    AppState.BLOCKED: "blocked",
    AppState.CONTESTED: "contested",
    AppState.HELD: "held",
    AppState.DRIFTED: "drifted",
    AppState.WAITING: "waiting",
    AppState.PENDING: "pending",
    AppState.SUSPENDED: "suspended",
    AppState.UNCOVERED: "uncovered",
    AppState.ORPHANED: "orphaned",
    AppState.UNREAD: "not read yet",
    AppState.IN_SYNC: "in sync",
}
STATE_MEANINGS: Final = {
    AppState.FAILING: "Reading or writing it fails; it is retried automatically.",
    AppState.REFUSED: "The control plane rejects the change; it is retried when its manifest or live state changes.",
    AppState.BLOCKED: "A guard blocks the planned changes until they are approved.",
    AppState.CONTESTED: "It was reverted several times and changed again each time.",
    AppState.HELD: "It was changed on the control plane; the change stays for a while before it is reverted.",
    AppState.DRIFTED: "It was changed on the control plane, and this mode does not revert drift.",
    AppState.WAITING: "Changes are planned, but not written yet.",
    AppState.PENDING: "It has changed and is queued.",
    AppState.SUSPENDED: "An annotation in its manifest suspends it.",
    AppState.UNCOVERED: "It matches its manifest, but an enabled capability doesn't reach all of its devices.",
    AppState.ORPHANED: "No manifest declares it any more; it is left unchanged.",
    AppState.UNREAD: "It has not been read yet.",
    AppState.IN_SYNC: "It matches its manifest.",
}
# The states that need a person, most urgent first.
NEEDS_A_PERSON: Final = (
    AppState.BLOCKED,
    AppState.REFUSED,
    AppState.CONTESTED,
    AppState.HELD,
    AppState.FAILING,
    AppState.DRIFTED,
    AppState.UNCOVERED,
    AppState.ORPHANED,
)


@dataclass(frozen=True, slots=True)
class Alarm:
    """A problem of the whole controller: in two words for the title, in a sentence, and its reason."""

    brief: str
    sentence: str
    why: str = ""


def alarms(status: ControllerStatus) -> Iterator[Alarm]:
    """Yield the problems that stop all work, most severe first."""
    if not status.healthy:
        yield Alarm("stuck", "The control loop is stuck.", stuck_words(status))
    yield from _closed(status)
    if status.state_damaged:
        words = "The state file was damaged: nothing from before this start is known."
        yield Alarm("state lost", words, status.state_damaged)
    if status.key_unusable:
        yield Alarm(
            "new key unusable", "The new API key can't be used: the previous key stays in use.", status.key_unusable
        )
    if status.loading:
        yield Alarm("starting", "The manifests are being loaded: none are in use yet.")
    elif not status.valid:
        left = "the last valid ones stay in use" if status.apps else "none are in use yet"
        yield Alarm("degraded", f"The manifests can't be loaded: {left}.")
    if status.suspended is not None:
        yield Alarm("suspended", "Everything is suspended: nothing is written.", status.suspended.reason)


def _closed(status: ControllerStatus) -> Iterator[Alarm]:
    """Yield the reasons why no request is sent."""
    if status.credential:
        yield Alarm("key refused", "The control plane rejects the API key: everything waits.", status.credential)
    if status.outage:
        yield Alarm("outage", "The control plane can't be reached: everything waits for it.", status.outage)
    if status.unreadable:
        yield Alarm("unreadable", "The control plane can't be read: everything waits.", status.unreadable)
    if status.throttled:
        until = status.budget.throttled_until
        end = f" until {time_words(until)}" if until is not None else ""
        yield Alarm("throttled", f"The control plane throttles the key{end}: everything waits.", status.throttled)
    if status.state_locked:
        yield Alarm("state locked", "Another process has locked the state file: everything waits.", status.state_locked)


def warnings(status: ControllerStatus) -> Iterator[Alarm]:
    """Yield the problems that stop no work, but hide part of the live state."""
    if status.feed_off:
        yield Alarm(
            "feed off",
            "The activity feed can't be followed: only resyncs find changes made by hand, and their authors are unknown.",
            status.feed_off,
        )
    if status.coverage_unread:
        yield Alarm(
            "coverage unread", "Coverage can't be read: the last known values are shown.", status.coverage_unread
        )


def counts_words(status: ControllerStatus) -> str:
    """Count the apps by state: `41 apps in sync, 1 held, 1 blocked`; while nothing can be read, as of the last response."""
    words = _counts(status)
    if status.circuit_open is None or not status.apps or status.last_success is None:
        return words
    return f"As last read at {time_words(status.last_success)}: {words[:1].lower()}{words[1:]}"


def _counts(status: ControllerStatus) -> str:
    if not status.apps:
        return "No app is declared" if status.valid else "No app is known"
    total = len(status.apps)
    counts = status.counts()
    if counts[AppState.IN_SYNC] == total:
        return f"All {total:,} apps in sync" if total > 1 else "1 app in sync"
    parts = [(counts[state], STATE_WORDS[state]) for state in (AppState.IN_SYNC, *NEEDS_A_PERSON, *AppState)]
    shown = list(dict.fromkeys(part for part in parts if part[0]))
    first, *rest = shown
    return ", ".join((f"{counted(first[0], 'app')} {first[1]}", *(f"{count:,} {words}" for count, words in rest)))


def read_parts(status: ControllerStatus) -> tuple[str, datetime | None]:
    """Return when the last resync ended: words, and the time that follows them, if there is one."""
    if status.full_read_at is not None:
        return "last resync", status.full_read_at
    if status.full_read_total:
        return f"first resync: {status.full_read_done:,} of {counted(status.full_read_total, 'app')}", None
    return "no resync yet", None


def sentence(status: ControllerStatus) -> str:
    """Return the status in a sentence: `41 apps in sync, 1 held, 1 blocked; last resync 2026-03-01 14:01 UTC.`."""
    words, at = read_parts(status)
    read = words if at is None else f"{words} {time_words(at)}"
    troubles = [alarm.sentence for alarm in (*alarms(status), *warnings(status))]
    return " ".join((*troubles, f"{counts_words(status)}; {read}."))


def title(status: ControllerStatus) -> str:
    """Return the title of a page: what needs attention, in few words: `1 blocked, 1 held`."""
    counts = status.counts()
    grave = [alarm.brief for alarm in (*alarms(status), *warnings(status))]
    troubled = [f"{count:,} {STATE_WORDS[state]}" for state in NEEDS_A_PERSON if (count := counts[state])]
    return ", ".join((*grave, *troubled)) or counts_words(status)


def mood(status: ControllerStatus) -> str:
    """Return the icon of the page: `stopped`, `attention` or `well`."""
    if any(True for _ in alarms(status)):
        return "stopped"
    counts = status.counts()
    is_warned = any(True for _ in warnings(status))
    return "attention" if is_warned or any(counts[state] for state in NEEDS_A_PERSON) else "well"


def stuck_words(status: ControllerStatus) -> str:
    """Return why the loop is not healthy."""
    since = f" since {time_words(status.turned_at)}" if status.turned_at is not None else ""
    return f"the control loop makes no progress{since}"


def waiting_words(status: ControllerStatus) -> str:
    """Return the reason why a controller, though it may be ready, waits; "" if it doesn't."""
    return status.outage or status.throttled


def unready_words(status: ControllerStatus) -> str:
    """Return the reason why a controller is not ready."""
    if status.credential:
        return status.credential
    if why := status.unreadable or status.state_locked or waiting_words(status):
        return why
    if status.loading:
        return "the manifests are being loaded"
    if not status.valid and status.loaded_at is None:
        return "the manifests can't be loaded, and none are in use yet"
    words, at = read_parts(status)
    if at is not None:  # after a restart, only the apps are read that may have changed
        total = status.full_read_total
        words = f"{status.full_read_done:,} of {counted(total, 'app')} read that may have changed" if total else ""
    return "; ".join(filter(None, (words, "not all apps have been reconciled yet")))
