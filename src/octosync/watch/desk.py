"""The desk: what people tell a running controller, and how it answers how everything stands."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from octosync import __version__
from octosync.errors import OctosyncError
from octosync.model import Hold, counted
from octosync.octomil import PERCENT_FOR_WRITES
from octosync.plan import ControlPlane, RunInfo
from octosync.watch.approvals import blocked_actions
from octosync.watch.clones import Clone
from octosync.watch.desired import ManifestLoad
from octosync.watch.gate import CircuitReason
from octosync.watch.parts import Parts
from octosync.watch.standing import AppReconcileStatus, AppState, BudgetStatus, ControllerStatus

# The loop is stuck where a tick or a turn takes longer than all attempts of a few requests can, and than so many requests
# of other turns that may go before it take at this rate.
_STUCK_AFTER = 900.0  # seconds
_STUCK_AFTER_REQUESTS = 1500
# An outage passes by itself, and a roll-out needs no restart for it. These don't, or are no control plane at all.
_FULL_READ_SLACK = timedelta(hours=1)
_UNREADY = frozenset({CircuitReason.UNREADABLE, CircuitReason.STATE_LOCKED})


@dataclass(frozen=True, slots=True, kw_only=True)
class ControllerOperations:
    """`stir` has an app have a turn soon. It is the `ControllerApi` of a controller."""

    parts: Parts
    stir: Callable[[str], None]
    started: datetime
    control_plane: ControlPlane
    about: Callable[[ManifestLoad], RunInfo] | None
    state_damaged: str
    can_post: bool

    def reconcile(self, app: str | None) -> int:
        """Have one app, or (None) all of them, read again, contested objects included; return how many."""
        slugs = self.parts.assignment.slugs if app is None else (self._known(app),)
        for slug in slugs:
            self.parts.memory.forget_heals(slug)
            self.parts.start_over(slug)
            self.parts.observer.checks.forget(slug)
        if app is None:
            self.parts.resync.request()
        else:
            self.stir(app)
        self.parts.probe_now()
        return len(slugs)

    def suspend(self, reason: str) -> None:
        """Write nothing until `resume`, over a restart, too."""
        self.parts.memory.suspend(reason)
        self.parts.log.warning("suspended", message="nothing is written until it is resumed", reason=reason)

    def resume(self) -> None:
        """Take up writing again."""
        self.parts.memory.resume()
        self.parts.log.info("resumed", message="everything is written again")
        for one in tuple(self.parts.tracker.in_state(*AppState)):
            if one.why_waiting:
                self.stir(one.slug)

    def hold(self, app: str, duration: timedelta, reason: str) -> Hold:
        """Leave an app's drift alone for so long, over a restart, too."""
        now = self.parts.clock.now()
        hold = Hold(app=self._known(app), until=now + duration, reason=reason, at=now)
        self.parts.memory.hold(hold)
        until = hold.until.isoformat(timespec="seconds")
        message = f"drift of {app} is left alone until {until}"
        self.parts.log.info("hold", message=message, app=app, until=until, reason=reason)
        self.stir(app)
        return hold

    def release(self, app: str) -> None:
        """End a hold: fresh drift is healed in its own time again."""
        self.parts.memory.release(self._known(app))
        self.parts.log.info("release", message=f"drift of {app} is reverted in its own time again", app=app)
        self.stir(app)

    def approve(self, guard: str, seen: str, apps: Sequence[str] = ()) -> int:
        """Allow exactly the blocked actions that the caller has seen, once, of some apps or of all; return how many."""
        found = self.parts.approvals.find(guard, apps, seen)
        chosen = [app for slug in apps or found.apps if (app := self.parts.tracker.find(slug)) is not None]
        actions = blocked_actions((app, blocked) for app in chosen for blocked in app.blocked if blocked.guard == guard)
        self.parts.memory.approve(guard, actions)
        message = f"{counted(len(actions), 'action')} that the guard {guard} blocks may be done once"
        addresses = [str(action.address) for action in actions]
        self.parts.log.warning("approved", message=message, guard=guard, seen=seen, addresses=addresses)
        for app in chosen:
            self.stir(app.slug)
        return len(actions)

    def status(self) -> ControllerStatus:
        """Say how everything stands."""
        parts, reads, active = self.parts, self.parts.resync, self.parts.assignment.active
        good, latest = parts.desired.good, parts.desired.latest
        why = parts.breaker.reason
        credential = self._problem(CircuitReason.CREDENTIAL, CircuitReason.WRONG_ORG)
        if not credential and (error := parts.breaker.may_not_write) is not None:
            credential = error.message
        holds = parts.memory.holds()
        return ControllerStatus(
            now=parts.clock.now(),
            started=self.started,
            version=__version__,
            control_plane=self.control_plane,
            mode=active.heal.value,
            healthy=self._is_healthy(),
            ready=reads.ended_at is not None and not credential and why not in _UNREADY,
            can_post=self.can_post,
            about=self.about(good) if self.about is not None and good is not None else None,
            turned_at=parts.clock.now() - timedelta(seconds=self._quiet),
            apps=self._apps(holds),
            blocked=parts.approvals.now(),
            unmanaged=reads.unmanaged,
            loading=latest is None,
            clone=latest.clone if latest is not None else Clone(),
            valid=latest is not None and not latest.fails,
            files=good.manifests.files if good is not None else 0,
            revision=good.revision if good is not None else "",
            loaded_at=good.loaded_at if good is not None else None,
            changed_at=parts.desired.changed_at,
            diagnostics=tuple(map(latest.clone.diagnostic, latest.diagnostics)) if latest is not None else (),
            load_error=latest.error if latest is not None else None,
            credential=credential,
            outage=self._problem(CircuitReason.OUTAGE),
            unreadable=self._problem(CircuitReason.UNREADABLE),
            throttled=self._problem(CircuitReason.THROTTLED),
            state_locked=self._problem(CircuitReason.STATE_LOCKED),
            closed=why or (CircuitReason.CREDENTIAL if credential else None),
            feed_off=parts.feed.off.message if parts.feed.off is not None else "",
            key_unusable=parts.breaker.key_unusable,
            state_damaged=self.state_damaged,
            coverage_unread=parts.reconciler.coverage.error.message
            if parts.reconciler.coverage.error is not None
            else "",
            suspended=parts.memory.suspended,
            holds=tuple(holds.values()),
            budget=self._budget(),
            queue=parts.queue.depth,
            full_read_at=reads.ended_at,
            full_read_due=(reads.ended_at or self.started) + 2 * reads.expected + _FULL_READ_SLACK,
            next_full_read=reads.next_at,
            full_read_done=reads.done if reads.is_running else 0,
            full_read_total=reads.total if reads.is_running else 0,
            resync=reads.every,
            resync_in_fact=reads.took if reads.took is not None and reads.took > reads.every else None,
            last_success=parts.results.last_success,
            runs=parts.tracker.runs,
            sensitivity=active.configuration.sensitivity,
        )

    def _problem(self, *reasons: CircuitReason) -> str:
        """Return the sentence of the error for which nothing is sent, if it is for one of some reasons."""
        breaker = self.parts.breaker
        return breaker.error.message if breaker.error is not None and breaker.reason in reasons else ""

    def _is_healthy(self) -> bool:
        limit = self.parts.remote.budget.limit  # in a minute
        patience = max(_STUCK_AFTER, 60 * _STUCK_AFTER_REQUESTS / limit if limit else 0.0)
        return self._quiet < patience and self.parts.workers.longest < patience

    @property
    def _quiet(self) -> float:
        """How many seconds ago the loop last turned."""
        return self.parts.clock.monotonic() - self.parts.ticker.heartbeat

    def _apps(self, holds: Mapping[str, Hold]) -> dict[str, AppReconcileStatus]:
        budget, apps = self.parts.remote.budget, self.parts.tracker.apps(holds)
        if not budget.limit or 100 * budget.remaining > PERCENT_FOR_WRITES * budget.limit:
            return apps
        why = f"the rate limit: {budget.used} of {budget.limit} requests of the last minute are used, the rest is for writes"
        return {
            slug: replace(app, why_waiting=why) if app.state is AppState.PENDING and not app.why_waiting else app
            for slug, app in apps.items()
        }

    def _budget(self) -> BudgetStatus:
        now = self.parts.remote.budget
        until = self.parts.breaker.throttled_until
        if until is None and now.throttled_for:
            until = self.parts.clock.now() + timedelta(seconds=now.throttled_for)
        return BudgetStatus(
            limit=now.limit,
            used=now.used,
            remaining=now.remaining,
            throttled_until=until,
            throttled_seconds=now.throttled_seconds_total,
        )

    def _known(self, app: str) -> str:
        if self.parts.tracker.find(app) is None:
            raise OctosyncError(
                "app-not-declared",
                f"no manifest declares an app {app}",
                hints=("GET /api/status lists the apps that are.",),
            )
        return app
