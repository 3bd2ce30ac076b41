"""The parts of a controller, and how they hang together: made once, each with just what it needs."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Final

from octosync.errors import OctosyncError
from octosync.model import Secret
from octosync.octomil import Octomil
from octosync.plan import ControlPlane, DeployPolicy, GuardPolicy, RunInfo
from octosync.state import Journal, WatchState
from octosync.watch.aftermath import ResultRecorder
from octosync.watch.approvals import Approvals
from octosync.watch.board import StatusTracker
from octosync.watch.changes import Changesets
from octosync.watch.clock import Clock, SystemClock
from octosync.watch.coverage import CoverageMonitor
from octosync.watch.desired import DesiredState, ManifestLoad
from octosync.watch.ended import ReconcileResult
from octosync.watch.fullreads import Resync
from octosync.watch.gate import CircuitBreaker, CircuitReason
from octosync.watch.intent import AppAssignment
from octosync.watch.log import Log
from octosync.watch.looking import Observer
from octosync.watch.memory import Memory
from octosync.watch.metrics import Metrics
from octosync.watch.orgfeed import ActivityFeed, FeedUpdate
from octosync.watch.permitting import Admission
from octosync.watch.queue import Queue, Work
from octosync.watch.refusals import RejectedActions
from octosync.watch.settings import Settings
from octosync.watch.telling import NotificationCollector, NotificationSink, NullNotifier
from octosync.watch.ticker import FeedFollower
from octosync.watch.turn import Reconciler
from octosync.watch.workers import Workers

# Seconds for which the loop waits for the state file: as long as other commands write to it at once.
_STATE_PATIENCE: Final = 0.05
_STATE_PROBE: Final = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Outfit:
    """What a controller is made with.

    `policy` makes the guards' policy of a load, `read_token` reads the key anew (None: it can't change), raising
    `ConfigError`. `apply_again` is the command that finishes by hand what a turn could not, `about` says what a load's
    plans are made from. `notifier` None: nobody is told anything. `can_post`: people may tell it what to do.
    `state_damaged` says that a damaged state file was set aside, and where it is.
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
    notifier: NotificationSink | None = None
    clock: Clock = field(default_factory=SystemClock)
    chance: random.Random = field(default_factory=random.Random)
    can_post: bool = False
    state_damaged: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hooks:
    """What the parts tell the controller."""

    carry_out: Callable[[Work], Awaitable[ReconcileResult]]
    begun: Callable[[str, frozenset[str], int], None]
    ended: Callable[[Work, ReconcileResult, float], None]
    heard: Callable[[FeedUpdate], None]
    closed: Callable[[CircuitReason, OctosyncError], None]
    opened: Callable[[], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """All of them."""

    remote: Octomil
    desired: DesiredState
    clock: Clock
    log: Log
    memory: Memory
    assignment: AppAssignment
    queue: Queue
    breaker: CircuitBreaker
    feed: ActivityFeed
    changes: Changesets
    tracker: StatusTracker
    approvals: Approvals
    telling: NotificationCollector
    observer: Observer
    reconciler: Reconciler
    resync: Resync
    ticker: FeedFollower
    results: ResultRecorder
    workers: Workers

    def probe_now(self) -> None:
        """Where everything waits, or the feed is off, find out at once whether that still has to be."""
        if not self.breaker.is_closed:
            self.breaker.probe_now()
            self.ticker.wake()
        elif self.feed.off is not None:
            self.feed.retry_now()
            self.ticker.wake()

    def start_over(self, slug: str) -> None:
        """Forget what kept an app waiting: it is declared otherwise now, or somebody wants it tried."""
        self.reconciler.rejections.forget(slug)
        self.results.reset_failures(slug)


def assemble(outfit: Outfit, metrics: Metrics, stop: asyncio.Event, hooks: Hooks) -> Parts:
    """Make the parts."""
    outfit.journal.wait_at_most(_STATE_PATIENCE)
    clock, chance, log, remote, settings = outfit.clock, outfit.chance, outfit.log, outfit.remote, outfit.settings
    memory = Memory(WatchState(outfit.journal), outfit.control_plane, clock)
    assignment = AppAssignment(
        desired=outfit.desired,
        memory=memory,
        settings=settings,
        policy=outfit.policy,
        deploy=outfit.deploy,
        apply_again=outfit.apply_again,
    )
    queue = Queue(clock, assignment.group_of)
    breaker, tracker, changes = (
        CircuitBreaker(clock, chance, hooks.closed, remote.pause, remote.end_pause),
        StatusTracker(),
        Changesets(),
    )
    # Behind a closed gate one failure says all: a probe is one request, and turns under way come to their end.
    remote.keep_trying_while(lambda: breaker.is_closed)

    def revision() -> str:
        return outfit.desired.good.revision if outfit.desired.good is not None else ""

    def about() -> RunInfo | None:
        good = outfit.desired.good
        return outfit.about(good) if outfit.about is not None and good is not None else None

    approvals = Approvals(memory.digest_of_blocked, tracker, changes)
    telling = NotificationCollector(
        outfit.notifier or NullNotifier(),
        clock,
        revision=revision,
        about=about,
        blocked=approvals.now,
        is_under_way=lambda slug: changes.find((slug,)) is not None,
    )
    feed = ActivityFeed(clock, remote)

    async def listen() -> None:
        await ticker.poll_now()

    observer = Observer(memory=memory, feed=feed, listen=listen)
    rejections = RejectedActions()
    reconciler = Reconciler(
        remote=remote,
        memory=memory,
        journal=outfit.journal,
        feed=feed,
        breaker=breaker,
        changes=changes,
        observer=observer,
        clock=clock,
        stop=stop,
        begun=hooks.begun,
        rejections=rejections,
        admission=Admission(memory, changes, rejections, clock),
        coverage=CoverageMonitor(breaker, log),
    )
    resync = Resync(
        remote=remote, queue=queue, breaker=breaker, clock=clock, chance=chance, log=log, every=settings.resync
    )
    results = ResultRecorder(
        queue=queue,
        tracker=tracker,
        feed=feed,
        breaker=breaker,
        resync=resync,
        rejections=rejections,
        clock=clock,
        chance=chance,
        log=log,
        metrics=metrics,
        telling=telling,
    )
    ticker = FeedFollower(
        remote=remote,
        state_is_free=lambda: asyncio.to_thread(outfit.journal.wait_until_free, _STATE_PROBE),
        feed=feed,
        breaker=breaker,
        clock=clock,
        chance=chance,
        every=settings.interval,
        heard=hooks.heard,
        opened=hooks.opened,
    )
    workers = Workers(queue=queue, breaker=breaker, clock=clock, log=log, carry_out=hooks.carry_out, ended=hooks.ended)
    return Parts(
        remote=remote,
        desired=outfit.desired,
        clock=clock,
        log=log,
        memory=memory,
        assignment=assignment,
        queue=queue,
        breaker=breaker,
        feed=feed,
        changes=changes,
        tracker=tracker,
        approvals=approvals,
        telling=telling,
        observer=observer,
        reconciler=reconciler,
        resync=resync,
        ticker=ticker,
        results=results,
        workers=workers,
    )
