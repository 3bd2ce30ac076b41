"""The controller: a long-running process that keeps the apps of one control plane as the manifests declare them.

How an event of the activity feed becomes a write: `FeedFollower` polls the feed and gives the event to the `Scheduler`, which
puts its app into the `Queue`. One of the `Workers` takes it and calls the `Reconciler`: the `Observer` reads live state and
plans, `Admission` takes out of the plan what may not be written now, and the `PlanWriter` applies the rest. The
`ResultRecorder` records what came of it, and puts into the queue what follows. A load of the manifests, a resync and the
requests of people begin with the `Scheduler`, too, and go the same way.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Final

from octosync import __version__
from octosync.errors import ConfigError, OctosyncError
from octosync.model import Hold, RunAudit, Secret
from octosync.octomil import PERCENT_FOR_WRITES, Octomil
from octosync.plan import ControlPlane, DeployPolicy, GuardPolicy, RunInfo, freezes_of
from octosync.state import Journal, WatchState
from octosync.watch.approvals import ApprovalSets
from octosync.watch.controller_api import ControllerOperations
from octosync.watch.coverage import CoverageMonitor
from octosync.watch.log import Log
from octosync.watch.loop.activity_feed import ActivityFeed, FeedFollower
from octosync.watch.loop.circuit_breaker import CircuitBreaker, CircuitReason
from octosync.watch.loop.queue import Queue, Workers
from octosync.watch.loop.restart import Restart
from octosync.watch.loop.scheduler import Resync, Scheduler
from octosync.watch.manifests.assignment import AppAssignment
from octosync.watch.manifests.desired import DesiredState, ManifestLoad
from octosync.watch.manifests.file_snapshot import FileChange
from octosync.watch.manifests.file_watcher import file_changes
from octosync.watch.manifests.reload import ManifestReloader
from octosync.watch.memory import Memory
from octosync.watch.metrics import Metrics
from octosync.watch.notify.events import NotificationCollector, NotificationSink, NullNotifier
from octosync.watch.reconcile.admission import Admission
from octosync.watch.reconcile.coordination import Changesets, RejectedActions
from octosync.watch.reconcile.observer import Observer
from octosync.watch.reconcile.reconciler import PlanWriter, Reconciler
from octosync.watch.reconcile.results import ResultRecorder
from octosync.watch.reconcile.status_tracker import StatusTracker
from octosync.watch.settings import Clock, Settings, SystemClock
from octosync.watch.status import AppReconcileStatus, AppState, BudgetStatus, Clone, ControllerStatus, FreezeStatus

# Seconds for which the loop waits for the state file: as long as other commands write to it at once.
_STATE_PATIENCE: Final = 0.05
# Seconds for which no resync of an app starts once files may have changed: enough to let them settle and load a thousand.
_RESYNC_PAUSE: Final = 1.0
# A poll or a reconcile that takes longer than all attempts of a few requests can, and than this many requests of others that
# may go before it take at this rate, means that the loop is stuck.
_STUCK_AFTER: Final = 900.0  # seconds
_STUCK_AFTER_REQUESTS: Final = 1500
_RESYNC_SLACK: Final = timedelta(hours=1)
# An outage ends without a restart, so the controller stays ready; so does one of the database, since all replicas would leave
# the Service at once, and with them the page. These reasons don't end, or no control plane responds.
_CUT_OFF: Final = frozenset({CircuitReason.OUTAGE, CircuitReason.UNREADABLE})
_HANDS_OVER_AFTER: Final = 5.0  # seconds without a state that can be used
_UNREADY: Final = frozenset({CircuitReason.UNREADABLE, CircuitReason.STATE_LOCKED})


@dataclass(frozen=True, slots=True, kw_only=True)
class ControllerOptions:
    """The options of a controller.

    `policy` returns the guards' policy of a load. `read_token` reads the API key again and raises `ConfigError`; None if
    the key can't change. `apply_again` is the command that finishes by hand what a reconcile could not, `about` returns
    what the plans of a load are made from. `audit` is what the journal records of every run. `can_post`: POSTs are accepted.
    `state_damaged` is the message about a damaged state file that was set aside. `settled_at` is when no request of another
    process is under way any more, None if only this one uses the state.
    """

    remote: Octomil
    desired: DesiredState
    journal: Journal
    control_plane: ControlPlane
    settings: Settings
    policy: Callable[[ManifestLoad], GuardPolicy]
    deploy: DeployPolicy = field(default_factory=DeployPolicy)
    read_token: Callable[[], tuple[Secret, str]] | None = None
    apply_again: str = "octosync apply"
    about: Callable[[ManifestLoad], RunInfo] | None = None
    log: Log
    notifier: NotificationSink = field(default_factory=NullNotifier)
    metrics: Metrics = field(default_factory=Metrics)
    clock: Clock = field(default_factory=SystemClock)
    chance: random.Random = field(default_factory=random.Random)
    can_post: bool = False
    state_damaged: str = ""
    settled_at: datetime | None = None
    audit: RunAudit = field(default_factory=lambda: RunAudit(command="watch", actor="controller", host=""))


class Controller:
    """Runs until `stop` is set. `api` are its operations for the HTTP endpoints."""

    def __init__(self, options: ControllerOptions) -> None:
        self._options = options
        self._started = options.clock.now()
        self._is_abandoned = False
        self.stop = asyncio.Event()
        self.metrics = options.metrics
        options.journal.wait_at_most(_STATE_PATIENCE)
        self._set_up_state(options)
        self._set_up_loop(options)
        self._set_up_reconciles(options)
        self._set_up_inputs(options)
        self.metrics.report(self.status)

    def _set_up_state(self, options: ControllerOptions) -> None:
        """Create what is known: what was applied, what is declared, the status of every app, and what waits for a person."""
        self.memory = Memory(
            WatchState(options.journal), options.control_plane, options.clock, settled_at=options.settled_at
        )
        self.assignment = AppAssignment(
            desired=options.desired,
            memory=self.memory,
            settings=options.settings,
            policy=options.policy,
            deploy=options.deploy,
            about=options.about,
            apply_again=options.apply_again,
        )
        self.tracker = StatusTracker()
        self.changesets = Changesets()
        self.rejections = RejectedActions()
        self.approvals = ApprovalSets(self.memory.digest_of_blocked, self.tracker, self.changesets)
        self.notifications = NotificationCollector(
            options.notifier,
            assignment=self.assignment,
            approvals=self.approvals,
            changesets=self.changesets,
            clock=options.clock,
        )

    def _set_up_loop(self, options: ControllerOptions) -> None:
        """Create what decides when an app is reconciled."""
        remote, clock, chance, log = options.remote, options.clock, options.chance, options.log
        self.queue = Queue(clock, self.assignment.group_of)
        self.breaker = CircuitBreaker(remote, self.notifications, clock=clock, chance=chance, log=log)
        self.feed = ActivityFeed(remote, clock=clock, log=log)
        self.resync = Resync(
            remote=remote,
            queue=self.queue,
            breaker=self.breaker,
            feed=self.feed,
            assignment=self.assignment,
            rejections=self.rejections,
            checkpoint=self.memory.checkpoint,
            every=options.settings.resync,
            clock=clock,
            chance=chance,
            log=log,
        )
        self.scheduler = Scheduler(
            queue=self.queue,
            resync=self.resync,
            tracker=self.tracker,
            assignment=self.assignment,
            rejections=self.rejections,
            feed=self.feed,
            checkpoint=self.memory.checkpoint,
            clock=clock,
        )
        self.follower = FeedFollower(
            self.feed,
            self.scheduler.handle,
            remote=remote,
            journal=options.journal,
            breaker=self.breaker,
            interval=options.settings.interval,
            clock=clock,
            chance=chance,
        )

    def _set_up_reconciles(self, options: ControllerOptions) -> None:
        """Create what a reconcile consists of: observe, admit, write, record the result."""
        clock, log = options.clock, options.log
        self.observer = Observer(self.memory, self.feed, self.follower)
        self.coverage = CoverageMonitor(self.breaker, log)
        self.reconciler = Reconciler(
            remote=options.remote,
            assignment=self.assignment,
            resync=self.resync,
            memory=self.memory,
            breaker=self.breaker,
            observer=self.observer,
            admission=Admission(self.memory, self.changesets, self.rejections, clock),
            writer=PlanWriter(
                journal=options.journal,
                queue=self.queue,
                tracker=self.tracker,
                breaker=self.breaker,
                feed=self.feed,
                history=self.observer.history,
                clock=clock,
                audit=options.audit,
            ),
            coverage=self.coverage,
            clock=clock,
        )
        self.results = ResultRecorder(
            scheduler=self.scheduler,
            tracker=self.tracker,
            breaker=self.breaker,
            memory=self.memory,
            notifications=self.notifications,
            metrics=self.metrics,
            clock=clock,
            chance=options.chance,
            log=log,
        )
        self.follower.save = self.results.save_checkpoint
        self.follower.recover = self.memory.recover
        self.restart = Restart(
            scheduler=self.scheduler,
            checkpoint=self.memory.checkpoint,
            memory=self.memory,
            results=self.results,
            log=log,
        )
        self.workers = Workers(
            self.queue,
            self.reconciler.reconcile,
            self.results.record,
            breaker=self.breaker,
            clock=clock,
            log=log,
        )

    def _set_up_inputs(self, options: ControllerOptions) -> None:
        """Create what takes input from outside: the manifests, and requests of people."""
        clock, log = options.clock, options.log
        self.reloader = ManifestReloader(
            desired=options.desired,
            scheduler=self.scheduler,
            changesets=self.changesets,
            history=self.observer.history,
            coverage=self.coverage,
            memory=self.memory,
            results=self.results,
            notifications=self.notifications,
            breaker=self.breaker,
            clock=clock,
            log=log,
        )
        self.api = ControllerOperations(
            status=self.status,
            health=self.health,
            scheduler=self.scheduler,
            memory=self.memory,
            tracker=self.tracker,
            approvals=self.approvals,
            results=self.results,
            checks=self.observer.checks,
            follower=self.follower,
            clock=clock,
            log=log,
        )

    async def run(self) -> None:
        """Run until `stop` is set; then start nothing new, and finish writes in progress."""
        stopped = asyncio.ensure_future(self.stop.wait())
        stopped.add_done_callback(lambda _: self._options.desired.stop_loading())
        await self.reloader.load()
        self.reloader.may_wait = True
        tasks = [
            asyncio.ensure_future(part)
            for part in (
                self._watch_files(),
                self.follower.run(),
                self._run_resyncs(),
                self.workers.run(),
                self.notifications.run(),
            )
        ]
        try:
            done, _ = await asyncio.wait({*tasks, stopped}, return_when=asyncio.FIRST_COMPLETED)
            for task in done - {stopped}:
                task.result()  # none of them ends, unless it raises
        finally:
            self.stop.set()
            everything = [*tasks, stopped, *self.reloader.tasks]
            for task in everything:
                task.cancel()
            await asyncio.gather(*everything, return_exceptions=True)
            if not self._is_abandoned:
                self.notifications.flush()
                self.results.save_checkpoint()

    def abandon(self) -> None:
        """Stop without finishing writes in progress, notifying or saving anything: another process may be doing that."""
        self._is_abandoned = True
        self.workers.abandon()
        self.stop.set()

    @property
    def is_cut_off(self) -> bool:
        """Whether the control plane can't be reached, or another server responds in its place."""
        return self.breaker.reason in _CUT_OFF

    @property
    def is_cut_off_from_state(self) -> bool:
        """Whether nothing could be recorded in the state for some seconds."""
        return self.breaker.seconds_open_for(CircuitReason.STATE_UNAVAILABLE) >= _HANDS_OVER_AFTER

    def hold_back(self, error: OctosyncError) -> None:
        """Send nothing until a probe of the state succeeds."""
        self.breaker.record_failure(error)

    def reload(self) -> None:
        """Load the manifests and the API key again, and read every app again: what SIGHUP means."""
        self._read_token()
        self.reloader.load_soon()
        self.resync.request()
        self.follower.probe_now()

    async def _run_resyncs(self) -> None:
        await self.reloader.loaded.wait()
        await self.restart.run()
        while True:
            await self.resync.wait_for_next()
            await self.resync.run()
            self.results.record_resync()

    async def _watch_files(self) -> None:
        desired, log = self._options.desired, self._options.log
        changes = file_changes(
            lambda: desired.watched,
            stop=self.stop,
            clock=self._options.clock,
            warn=lambda why: log.warning("files_unheard", message=why),
            since=desired.latest.snapshot if desired.latest is not None else None,
            on_event=lambda: self.workers.pause_resync(_RESYNC_PAUSE),
        )
        async with aclosing(changes):
            async for kinds in changes:
                if FileChange.TOKEN in kinds:
                    self._read_token()
                if FileChange.MANIFESTS in kinds:
                    await self.reloader.load()
                self.workers.continue_resync()

    def _read_token(self) -> None:
        """Read the API key again. While it can't be used, the one before it stays in use."""
        if self._options.read_token is None:
            return
        log, breaker = self._options.log, self.breaker
        problem: ConfigError | None = None
        try:
            token, source = self._options.read_token()
            self._options.remote.use_token(token, source)
        except ConfigError as error:
            problem, source = error, ""
        if problem is not None:
            breaker.key_unusable = problem.message
            log.error("token_unusable", message=problem.message, reference=problem.reference)
            return
        breaker.key_unusable = ""
        log.info("token_read", message=f"the API key was read again from {source}")
        breaker.may_not_write = None
        for app in tuple(self.tracker.in_state(AppState.REFUSED)):  # this key may be allowed more
            self.rejections.retry(app.slug)
            self.scheduler.reconcile_soon(app.slug)
        self.follower.probe_now()

    def status(self) -> ControllerStatus:
        """Return the status of the controller and of every app."""
        options, latest = self._options, self._options.desired.latest
        holds = self.memory.holds()
        return replace(
            self.health(),
            about=self.assignment.run_info,
            apps=self._apps(holds),
            blocked=self.approvals.current(),
            unmanaged=self.resync.unmanaged,
            clone=latest.clone if latest is not None else Clone(),
            revision=self.assignment.revision,
            commit=self.assignment.active.commit,
            declared=self.assignment.active.tree.apps,
            owners=self.assignment.active.owners,
            frozen=self._frozen(),
            changed_at=options.desired.changed_at,
            diagnostics=tuple(map(latest.clone.diagnostic, latest.diagnostics)) if latest is not None else (),
            suspended=self.memory.suspended,
            holds=tuple(holds.values()),
            runs=self.tracker.runs,
            sensitivity=self.assignment.active.configuration.sensitivity,
        )

    def health(self) -> ControllerStatus:
        """Return the status without apps, holds and runs, in a time that does not depend on the number of apps."""
        options, breaker, resync = self._options, self.breaker, self.resync
        good, latest = options.desired.good, options.desired.latest
        credential = self._problem(CircuitReason.CREDENTIAL, CircuitReason.WRONG_ORG)
        if not credential and breaker.may_not_write is not None:
            credential = breaker.may_not_write.message
        return ControllerStatus(
            now=options.clock.now(),
            started=self._started,
            version=__version__,
            control_plane=options.control_plane,
            mode=self.assignment.active.write_mode.value,
            healthy=self._is_healthy(),
            ready=resync.is_caught_up and not credential and breaker.reason not in _UNREADY,
            can_post=options.can_post,
            turned_at=options.clock.now() - timedelta(seconds=self._quiet),
            loading=latest is None,
            valid=latest is not None and not latest.fails,
            files=good.manifests.files if good is not None else 0,
            loaded_at=good.loaded_at if good is not None else None,
            load_error=latest.error if latest is not None else None,
            credential=credential,
            outage=self._problem(CircuitReason.OUTAGE),
            unreadable=self._problem(CircuitReason.UNREADABLE),
            throttled=self._problem(CircuitReason.THROTTLED),
            state_locked=self._problem(CircuitReason.STATE_LOCKED),
            state_unavailable=self._problem(CircuitReason.STATE_UNAVAILABLE),
            circuit_open=breaker.reason or (CircuitReason.CREDENTIAL if credential else None),
            circuit_since=breaker.since,
            next_probe=breaker.next_probe,
            feed_off=self.feed.off.message if self.feed.off is not None else "",
            key_unusable=breaker.key_unusable,
            state_damaged=options.state_damaged,
            coverage_unread=self.coverage.error.message if self.coverage.error is not None else "",
            budget=self._budget(),
            queue=self.queue.depth,
            full_read_at=resync.ended_at,
            full_read_due=self._resync_due(),
            next_full_read=resync.next_at,
            full_read_done=resync.done if resync.is_running else 0,
            full_read_total=resync.total if resync.is_running else 0,
            full_read_takes=resync.takes,
            resync=resync.every,
            resync_in_fact=resync.took if resync.took is not None and resync.took > resync.every else None,
            last_success=self.results.last_success,
        )

    def _resync_due(self) -> datetime:
        """Return when a resync has to have ended: after a long time off, one has time to run first."""
        span = 2 * self.resync.expected
        return max((self.resync.ended_at or self._started) + span + _RESYNC_SLACK, self._started + span)

    def _problem(self, *reasons: CircuitReason) -> str:
        """Return the message of the error for which nothing is sent, if it is for one of some reasons."""
        breaker = self.breaker
        return breaker.error.message if breaker.error is not None and breaker.reason in reasons else ""

    def _is_healthy(self) -> bool:
        limit = self._options.remote.budget.limit  # per minute
        patience = max(_STUCK_AFTER, 60 * _STUCK_AFTER_REQUESTS / limit if limit else 0.0)
        return self._quiet < patience and self.workers.longest < patience

    @property
    def _quiet(self) -> float:
        """How many seconds ago the feed follower last did something."""
        return self._options.clock.monotonic() - self.follower.heartbeat

    def _apps(self, holds: Mapping[str, Hold]) -> dict[str, AppReconcileStatus]:
        budget, apps = self._options.remote.budget, self.tracker.apps(holds)
        if not budget.limit or 100 * budget.remaining > PERCENT_FOR_WRITES * budget.limit:
            return apps
        why = f"the rate limit: {budget.used} of {budget.limit} requests of the last minute are used; the rest is for writes"
        return {
            slug: replace(app, why_waiting=why) if app.state is AppState.PENDING and not app.why_waiting else app
            for slug, app in apps.items()
        }

    def _frozen(self) -> FreezeStatus | None:
        """Return the freeze windows that are in force for any app."""
        active = self.assignment.active
        windows = active.configuration.freeze
        freezes = freezes_of(windows, active.tree.apps, self._options.clock.now()).values() if windows else ()
        if not freezes:
            return None
        last = max(freezes, key=lambda freeze: (not freeze.ends, freeze.until))
        timezone = last.windows[-1].timezone
        return FreezeStatus(until=last.until, timezone=timezone, apps=len(freezes), ends=last.ends)

    def _budget(self) -> BudgetStatus:
        budget, until = self._options.remote.budget, self.breaker.throttled_until
        if until is None and budget.throttled_for:
            until = self._options.clock.now() + timedelta(seconds=budget.throttled_for)
        return BudgetStatus(
            limit=budget.limit,
            used=budget.used,
            remaining=budget.remaining,
            throttled_until=until,
            throttled_seconds=budget.throttled_seconds_total,
        )
