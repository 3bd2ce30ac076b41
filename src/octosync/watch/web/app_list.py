"""The list of apps: its filter, which is the query of the URL, and a page of its rows, most urgent first."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final, Self
from urllib.parse import urlencode

from octosync.errors import UsageError
from octosync.plan import Plan
from octosync.report.plan import totals_words
from octosync.report.text import time_words
from octosync.watch.coverage import coverage_words
from octosync.watch.status import AppReconcileStatus, AppState, ControllerStatus, RunStatus
from octosync.watch.web.summary import BY_URGENCY, STATE_WORDS

_LONGEST: Final = 200  # characters of a parameter
_MOST_OPTIONS: Final = 500  # labels that the filter offers
_NAMED: Final = 3  # drifted objects in a row
_RANK: Final = {state: number for number, state in enumerate(BY_URGENCY)}
_TEAM: Final = ("team", "owner", "squad")  # labels that are shown as the owner if octosync.yaml names none


@dataclass(frozen=True, slots=True, kw_only=True)
class AppFilter:
    """Which apps are shown: every word of `text` is in the row, and state, owner and label (`key=value`) match, if given.

    `page` is 0 if no page is given.
    """

    text: str = ""
    state: AppState | None = None
    owner: str = ""
    label: str = ""
    page: int = 0

    @classmethod
    def from_query(cls, query: Mapping[str, str]) -> Self:
        """Return the filter of a URL. Raises `UsageError` for an unknown state."""
        known = {state.value: state for state in AppState}
        wanted = query.get("state", "")
        if wanted and wanted not in known:
            hint = f"States are {', '.join(known)}."
            raise UsageError("parameters-wrong", f"{wanted[:_LONGEST]!r} is not a state", hints=(hint,))
        page = query.get("page", "")
        return cls(
            text=query.get("q", "").strip()[:_LONGEST],
            state=known.get(wanted),
            owner=query.get("owner", "")[:_LONGEST],
            label=query.get("label", "")[:_LONGEST],
            page=int(page) if page.isascii() and page.isdigit() and len(page) < 6 else 0,
        )

    @property
    def is_set(self) -> bool:
        """Whether it leaves anything out."""
        return any((self.text, self.state, self.owner, self.label))

    def query(self, *, page: int = 0, **other: str) -> str:
        """Return the query of a URL with this filter, another page, and other values; "" if all of them are the defaults."""
        state = self.state.value if self.state is not None else ""
        values = {"q": self.text, "state": state, "owner": self.owner, "label": self.label, **other}
        pairs = [(key, value) for key, value in values.items() if value]
        pairs += [("page", str(page))] if page else []
        return f"?{urlencode(pairs)}" if pairs else ""


@dataclass(frozen=True, slots=True, kw_only=True)
class AppRow:
    """An app in the list: `words` are its drift, plan or problem. `changed_at` and `changed_by` are those of its last change.

    A change is drift, or a run of octosync; then `changed_by` is the author of the commit, if it is known.
    """

    slug: str
    state: AppState
    words: str
    owner: str
    labels: tuple[str, ...]
    since: datetime | None
    changed_at: datetime | None = None
    changed_by: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class AppList:
    """A page of the rows that match a filter; `first` is the number of its first row, from 1.

    `states`, `owners` and `labels` are what the filter offers. `states` has the number of apps in each state, of those that
    match the rest of the filter.
    """

    wanted: AppFilter
    rows: tuple[AppRow, ...]
    matching: int
    first: int
    page: int
    pages: int
    states: tuple[tuple[AppState, int], ...]
    owners: tuple[str, ...]
    labels: tuple[str, ...]
    has_owners: bool

    @property
    def in_any_state(self) -> int:
        """How many apps match the rest of the filter."""
        return sum(count for _, count in self.states)


def app_list(status: ControllerStatus, wanted: AppFilter, *, per_page: int, current: str = "") -> AppList:
    """Return a page of the list: by default the page with the app `current`. A page behind the last one is the last one."""
    labels = {slug: tuple(_labels(status, slug)) for slug in status.apps}
    owners = {slug: _owner(status, slug) for slug in status.apps}
    stateless = replace(wanted, state=None)
    found = [app for app in status.apps.values() if matches(app, stateless, owners[app.slug], labels[app.slug])]
    shown = [app for app in found if wanted.state in {None, app.state}]
    shown.sort(key=lambda app: (_RANK[app.state], app.slug))
    pages = max(1, -(-len(shown) // per_page))
    position = next((number for number, app in enumerate(shown) if app.slug == current), 0)
    page = min(wanted.page or position // per_page + 1, pages)
    runs = _last_runs(status)
    rows = tuple(
        _row(app, owners[app.slug], labels[app.slug], runs.get(app.slug))
        for app in shown[(page - 1) * per_page : page * per_page]
    )
    counts = dict.fromkeys(BY_URGENCY, 0)
    for app in found:
        counts[app.state] += 1
    return AppList(
        wanted=wanted,
        rows=rows,
        matching=len(shown),
        first=(page - 1) * per_page + 1,
        page=page,
        pages=pages,
        states=tuple((state, count) for state, count in counts.items() if count or state is wanted.state),
        owners=_options(owners.values(), wanted.owner),
        labels=_options((label for of_app in labels.values() for label in of_app), wanted.label),
        has_owners=any(owners.values()),
    )


def matching_apps(status: ControllerStatus, wanted: AppFilter) -> list[AppReconcileStatus]:
    """Return the apps that match a filter, by slug."""
    if not wanted.is_set:
        return list(status.apps.values())
    return [
        app
        for app in status.apps.values()
        if wanted.state in {None, app.state}
        and matches(app, wanted, _owner(status, app.slug), tuple(_labels(status, app.slug)))
    ]


def matches(app: AppReconcileStatus, wanted: AppFilter, owner: str, labels: tuple[str, ...]) -> bool:
    """Return whether an app matches the text, owner and label of a filter."""
    if wanted.owner and owner != wanted.owner:
        return False
    if wanted.label and wanted.label not in labels:
        return False
    if not wanted.text:
        return True
    actors = (drift.actor or "" for drift in app.drift)
    texts = (app.slug, STATE_WORDS[app.state], owner, *labels, app.error, app.why_waiting, *actors)
    everything = "\n".join(texts).lower()
    return all(word in everything for word in wanted.text.lower().split())


def labels_of(status: ControllerStatus, slug: str) -> dict[str, str]:
    """Return the labels of an app's manifest, except those with a sensitive key."""
    app = status.declared.get(slug)
    labels = {} if app is None else app.labels
    return {key: value for key, value in labels.items() if not status.sensitivity.covers(key)}


def _labels(status: ControllerStatus, slug: str) -> Iterator[str]:
    return (f"{key}={value}" for key, value in labels_of(status, slug).items())


def _owner(status: ControllerStatus, slug: str) -> str:
    """Return the owner of an app by octosync.yaml, or else by a label; "" if there is none."""
    if owner := status.owners.get(slug):
        return owner
    app = status.declared.get(slug)
    return "" if app is None else next((app.labels[key] for key in _TEAM if app.labels.get(key)), "")


def _options(values: Iterable[str], chosen: str) -> tuple[str, ...]:
    return tuple(sorted({value for value in (*values, chosen) if value})[:_MOST_OPTIONS])


def _last_runs(status: ControllerStatus) -> dict[str, RunStatus]:
    found: dict[str, RunStatus] = {}
    for run in status.runs:
        for slug in run.apps:
            found.setdefault(slug, run)
    return found


def _row(app: AppReconcileStatus, owner: str, labels: tuple[str, ...], run: RunStatus | None) -> AppRow:
    changed_at, changed_by = None, ""
    if app.drift:
        drift = max(app.drift, key=lambda item: item.at or item.first_seen)
        changed_at, changed_by = drift.at or drift.first_seen, drift.actor or "unknown"
    elif run is not None:
        author = run.commit.author if run.commit is not None and not run.is_revert else ""
        changed_at, changed_by = run.ended or run.started, author or "octosync"
    return AppRow(
        slug=app.slug,
        state=app.state,
        words=_in_short(app),
        owner=owner,
        labels=labels,
        since=app.since,
        changed_at=changed_at,
        changed_by=changed_by,
    )


def _in_short(app: AppReconcileStatus) -> str:
    if app.error:
        return app.error
    if app.why_waiting:
        return f"{app.why_waiting}, until {time_words(app.frozen_until)}" if app.frozen_until else app.why_waiting
    if app.state is AppState.UNCOVERED:
        return "; ".join(map(coverage_words, app.uncovered))
    if app.drift and not app.blocked:
        names = [f"{drift.address.kind.value.replace('_', ' ')} {drift.address.name}" for drift in app.drift]
        more = f" and {len(names) - _NAMED:,} more" if len(names) > _NAMED else ""
        return f"{', '.join(names[:_NAMED])}{more}"
    return "" if app.plan is None else plan_totals(app.plan, app.slug)


def plan_totals(plan: Plan, slug: str) -> str:
    """Count the changes of an app: the plan of a move contains several apps."""
    mine = [action for action in plan.actions if action.address.app == slug]
    return totals_words(mine, [change for change in plan.held if change.action.address.app == slug])
