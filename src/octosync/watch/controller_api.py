"""The operations behind the controller's HTTP endpoints: what people ask of a running controller.

The controller's API: what the status page shows, and what people can ask of a running controller.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Protocol

from octosync.errors import LeaseLost, OctosyncError, StateUnavailable
from octosync.model import Hold, counted
from octosync.watch.approvals import ApprovalSets, actions_of_set
from octosync.watch.log import Log
from octosync.watch.loop.activity_feed import FeedFollower
from octosync.watch.loop.scheduler import Scheduler
from octosync.watch.memory import Memory
from octosync.watch.reconcile.observer import OptimizationChecks
from octosync.watch.reconcile.results import ResultRecorder
from octosync.watch.reconcile.status_tracker import StatusTracker
from octosync.watch.settings import Clock
from octosync.watch.status import AppState, ControllerStatus


@dataclass(frozen=True, slots=True, kw_only=True)
class ControllerOperations:
    """The operations behind the controller's HTTP endpoints: a `ControllerApi`."""

    status: Callable[[], ControllerStatus]
    health: Callable[[], ControllerStatus]
    scheduler: Scheduler
    memory: Memory
    tracker: StatusTracker
    approvals: ApprovalSets
    results: ResultRecorder
    checks: OptimizationChecks
    follower: FeedFollower
    clock: Clock
    log: Log

    def reconcile(self, app: str | None) -> int:
        """Reconcile one app, or (None) all of them, contested objects included; return how many."""
        slugs = self.scheduler.assignment.slugs if app is None else (self._declared(app),)
        with self._storing():
            self.memory.forget_reverts(*slugs)
        for slug in slugs:
            self.results.start_over(slug)
            self.checks.forget(slug)
        if app is None:
            self.scheduler.resync.request()
        else:
            self.scheduler.reconcile_soon(app)
        self.follower.probe_now()
        return len(slugs)

    def suspend(self, reason: str) -> None:
        """Write nothing until `resume`, over a restart, too."""
        with self._storing():
            self.memory.suspend(reason)
        self.log.warning("suspended", message="octosync writes nothing until it is resumed", reason=reason)

    def resume(self) -> None:
        """Write again."""
        with self._storing():
            self.memory.resume()
        self.log.info("resumed", message="octosync writes again")
        for app in tuple(self.tracker.in_state(*AppState)):
            if app.why_waiting:
                self.scheduler.reconcile_soon(app.slug)

    def hold(self, app: str, duration: timedelta, reason: str) -> Hold:
        """Hold an app's drift for a time, over a restart, too."""
        now = self.clock.now()
        hold = Hold(app=self._declared(app), until=now + duration, reason=reason, at=now)
        with self._storing():
            self.memory.hold(hold)
        until = hold.until.isoformat(timespec="seconds")
        message = f"drift of {app} is left alone until {until}"
        self.log.info("hold", message=message, app=app, until=until, reason=reason)
        self.scheduler.reconcile_soon(app)
        return hold

    def release(self, app: str) -> None:
        """End a hold: fresh drift is reverted in its own time again."""
        with self._storing():
            self.memory.release(self._declared(app))
        self.log.info("release", message=f"drift of {app} is reverted on its usual schedule again", app=app)
        self.scheduler.reconcile_soon(app)

    def approve(self, guard: str, seen: str, apps: Sequence[str] = ()) -> int:
        """Allow exactly the blocked actions that the caller has seen, once, of some apps or of all; return how many."""
        found = self.approvals.find(guard, apps, seen)
        chosen = [app for slug in apps or found.apps if (app := self.tracker.find(slug)) is not None]
        actions = actions_of_set(found, chosen)
        with self._storing():
            self.memory.approve(guard, actions)
        message = f"{counted(len(actions), 'action')} that the guard {guard} blocks may be applied once"
        addresses = [str(action.address) for action in actions]
        self.log.warning("approved", message=message, guard=guard, seen=seen, addresses=addresses)
        for app in chosen:
            self.scheduler.reconcile_soon(app.slug)
        return len(actions)

    @contextmanager
    def _storing(self) -> Iterator[None]:
        """Open the circuit if the request of a person can't be stored. Then nothing of it is in effect."""
        try:
            yield
        except (StateUnavailable, LeaseLost) as error:
            self.results.breaker.record_failure(error)
            raise

    def _declared(self, app: str) -> str:
        if self.tracker.find(app) is None:
            raise OctosyncError(
                "app-not-declared",
                f"no manifest declares an app {app}",
                hints=("GET /api/status lists the declared apps.",),
            )
        return app


class ControllerApi(Protocol):
    """A running controller. Every call returns at once, and what it changes is in effect when it returns.

    Raises `OctosyncError` for what can't be done (`app-not-declared`, `nothing-blocked`, …).
    """

    def status(self) -> ControllerStatus:
        """Return the status of the controller and of every app."""

    def health(self) -> ControllerStatus:
        """Return the status without its apps: probes ask often, and need to know whether it is healthy and ready."""

    def reconcile(self, app: str | None) -> int:
        """Reconcile one app, or (None) all of them, contested objects included; return how many."""

    def suspend(self, reason: str) -> None:
        """Write nothing until `resume`, over a restart, too."""

    def resume(self) -> None:
        """Write again."""

    def hold(self, app: str, duration: timedelta, reason: str) -> Hold:
        """Hold an app's drift for a time, over a restart, too."""

    def release(self, app: str) -> None:
        """End a hold: fresh drift is reverted in its own time again."""

    def approve(self, guard: str, seen: str, apps: Sequence[str] = ()) -> int:
        """Allow exactly the blocked actions that the caller has seen, once, of some apps or of all; return how many."""
