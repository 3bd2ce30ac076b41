"""The status tracker: the status of each app, made from the results of its reconciles."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Final

from octosync.model import App, Hold, Outcome, Reason, State
from octosync.plan import Action, Plan
from octosync.watch.status import (
    AppReconcileStatus,
    AppState,
    Clone,
    CommitStatus,
    DriftStatus,
    NextStep,
    ReconcileResult,
    RunStatus,
)

_RUNS: Final = 200  # a commit that touches many apps has a run for each


class StatusTracker:
    """The status of each app, and the last runs that wrote."""

    def __init__(self) -> None:
        self._apps: dict[str, AppReconcileStatus] = {}
        self._declared: tuple[State, Clone] = (State(), Clone())
        self._runs: deque[RunStatus] = deque(maxlen=_RUNS)  # newest first

    def declare(
        self,
        tree: State,
        others: Iterable[str],
        orphans: Iterable[str],
        clone: Clone,
    ) -> tuple[tuple[str, AppState], ...]:
        """Track exactly these apps: the declared ones, others that have something to be removed, and orphans.

        `clone` has the names of the files of manifests in their repository.
        Return the apps that were on it and are orphans from now on, with how they stood.
        """
        known = [(slug, self._apps[slug].state) for slug in orphans if slug in self._apps]
        kept = {slug: self._apps.get(slug) or AppReconcileStatus(slug=slug) for slug in (*tree.apps, *others)}
        before, as_before = self._declared[0].apps, self._declared[1] == clone
        for slug, app in tree.apps.items():
            if as_before and before.get(slug) is app and slug in self._apps:
                continue  # with thousands of apps, a load changes a few
            source = clone.path(f"{app.origin.file}:{app.origin.line}") if app.origin is not None else ""
            if kept[slug].source != source:
                kept[slug] = replace(kept[slug], source=source)
        self._declared = (tree, clone)
        for slug in orphans:
            kept[slug] = AppReconcileStatus(slug=slug, state=AppState.ORPHANED)
        self._apps = dict(sorted(kept.items()))
        return tuple((slug, was) for slug, was in known if was is not AppState.ORPHANED)

    def mark_pending(self, slug: str, now: datetime) -> None:
        """Mark an app as changed, and not reconciled yet."""
        known = self._apps.get(slug)
        if known is not None and known.state in {AppState.IN_SYNC, AppState.WAITING}:
            self._apps[slug] = replace(known, state=AppState.PENDING, since=now)

    def restore(self, slug: str, at: datetime) -> None:
        """Record that an app was in sync when it was read before the start, and is known to be as it was then."""
        known = self._apps.get(slug)
        if known is not None and known.state is AppState.UNREAD:
            self._apps[slug] = replace(known, state=AppState.IN_SYNC, since=at, read_at=at)

    def begin_run(self, run: str, actions: Sequence[Action], commit: CommitStatus | None, now: datetime) -> None:
        """Record that a reconcile has begun to write."""
        self._runs.appendleft(
            RunStatus(
                run=run,
                apps=tuple(sorted({action.address.app for action in actions})),
                started=now,
                actions=len(actions),
                commit=commit,
                is_revert=all(action.reason is Reason.DRIFT for action in actions),
            )
        )

    def record(
        self, result: ReconcileResult, now: datetime, next_try: datetime | None
    ) -> Mapping[str, tuple[AppState, AppState]]:
        """Record the result of a reconcile; return the apps whose state it has changed: from what, to what."""
        self._end_run(result.run, result.outcomes, now)
        moved = {}
        for slug in sorted(result.apps & self._apps.keys()):
            before = self._apps[slug]
            after = _after(before, result, now, next_try)
            if after.state is not before.state:
                after = replace(after, since=now)
                moved[slug] = (before.state, after.state)
            self._apps[slug] = after
        return moved

    def apps(self, holds: Mapping[str, Hold]) -> dict[str, AppReconcileStatus]:
        """Return the status of every app, by slug, with the holds that are active."""
        for slug, app in self._apps.items():
            if app.hold != holds.get(slug):  # what did not change stays the same object
                self._apps[slug] = replace(app, hold=holds.get(slug))
        return dict(self._apps)

    def in_state(self, *states: AppState) -> Iterator[AppReconcileStatus]:
        """Yield the apps in one of these states."""
        return (app for app in self._apps.values() if app.state in states)

    @property
    def blocked(self) -> Iterator[AppReconcileStatus]:
        """The apps of which a guard blocks a change."""
        return (app for app in self._apps.values() if app.blocked)

    def find(self, slug: str) -> AppReconcileStatus | None:
        """Return the status of an app; None if it isn't declared."""
        return self._apps.get(slug)

    @property
    def runs(self) -> tuple[RunStatus, ...]:
        """The last runs, newest first."""
        return tuple(self._runs)

    def _end_run(self, run: str, outcomes: tuple[Outcome, ...], now: datetime) -> None:
        for place, known in enumerate(self._runs):
            if run and known.run == run:
                self._runs[place] = replace(known, ended=now, outcomes=outcomes)


def _after(
    before: AppReconcileStatus, result: ReconcileResult, now: datetime, next_try: datetime | None
) -> AppReconcileStatus:
    slug = before.slug
    error = result.errors.get(slug)
    if result.errors and error is None:  # it waits for another one that it shares a target with
        error = next(iter(result.errors.values()))
    if error is not None or result.remaining is None:
        return replace(
            before,
            state=AppState.FAILING,
            reference=error.reference if error is not None else "",
            error=error.message if error is not None else "",
            hints=error.hints if error is not None else (),
            next_try=next_try,
        )
    plan = _part(result.remaining, slug)
    refused = next((outcome for outcome in result.refused if outcome.address.app == slug), None)
    failed = next((outcome for outcome in result.outcomes if outcome.address.app == slug and outcome.retryable), None)
    trouble = refused or failed
    drift = tuple(item for item in result.drift if item.address.app == slug)
    blocked = tuple(refusal for refusal in result.blocked if any(address.app == slug for address in refusal.addresses))
    why = result.waits_for
    if result.blocked and not blocked:  # a guard blocks the other half of its move, in another app
        others = sorted({address.app for refusal in result.blocked for address in refusal.addresses if address.app})
        why = why or f"what the guard {result.blocked[0].guard} blocks in {', '.join(others)}"
    if not plan.actions:
        why = ""
    if not why and any(address.app == slug for address in plan.left_alone.waiting):
        why = "a suspended app at the other end of a move"
    live = result.observed.state.apps.get(slug) if result.observed is not None else None
    deployments = live.deployments if live is not None else ()
    after = replace(
        before,
        read_at=now,
        plan=plan,
        drift=drift,
        blocked=blocked,
        reference=trouble.reference if trouble is not None else "",
        error=trouble.message if trouble is not None else "",
        hints=trouble.hints if trouble is not None else (),
        next_try=next_try,
        why_waiting=why,
        frozen_until=result.frozen_until if plan.actions else None,
        canaries=tuple(deployment for deployment in deployments if deployment.canary is not None),
        recommendations=plan.recommendations,
        uncovered=result.uncovered.get(slug, ()),
        run=result.run or before.run,
    )
    return replace(after, state=_state(after, result, refused=refused is not None, failed=failed is not None))


def _state(app: AppReconcileStatus, result: ReconcileResult, *, refused: bool, failed: bool) -> AppState:
    """Return the most severe state that applies."""
    plan = app.plan or Plan(desired=State())
    drift: tuple[DriftStatus, ...] = app.drift
    held = {change.action.address for change in plan.held}
    states = (
        (AppState.FAILING, failed),
        (AppState.REFUSED, refused),
        (AppState.BLOCKED, bool(app.blocked)),
        (AppState.CONTESTED, any(item.contested for item in drift)),
        (AppState.HELD, any(item.until is not None for item in drift)),
        (AppState.DRIFTED, any(item.address in held for item in drift)),
        (AppState.WAITING, bool(app.why_waiting)),
        (AppState.PENDING, bool(plan.actions) or result.next_step is NextStep.REQUEUE),
        (AppState.SUSPENDED, app.slug in plan.left_alone.suspended),
        (AppState.UNCOVERED, bool(app.uncovered)),
    )
    return next((state for state, holds in states if holds), AppState.IN_SYNC)


def _part(plan: Plan, slug: str) -> Plan:
    """Return the part of a plan that is about one app."""
    app: App | None = plan.desired.apps.get(slug)
    return replace(
        plan,
        desired=State() if app is None else State.from_apps(app),
        actions=tuple(action for action in plan.actions if action.address.app == slug),
        held=tuple(change for change in plan.held if change.action.address.app == slug),
        recommendations=tuple(
            recommendation for recommendation in plan.recommendations if recommendation.address.app == slug
        ),
    )
