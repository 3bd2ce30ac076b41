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
from octosync.watch.aftermath import Aftermath
from octosync.watch.approvals import Approvals
from octosync.watch.board import Board
from octosync.watch.changes import Changes
from octosync.watch.clock import Clock, SystemClock
from octosync.watch.coverage import CoverageMonitor
from octosync.watch.desired import Declared, Desired
from octosync.watch.ended import Ended
from octosync.watch.fullreads import FullReads
from octosync.watch.gate import Closed, Gate
from octosync.watch.intent import Intent
from octosync.watch.log import Log
from octosync.watch.looking import Looking
from octosync.watch.memory import Memory
from octosync.watch.metrics import Metrics
from octosync.watch.orgfeed import News, OrgFeed
from octosync.watch.permitting import Permits
from octosync.watch.queue import Queue, Work
from octosync.watch.refusals import Refusals
from octosync.watch.settings import Settings
from octosync.watch.telling import Silence, Telling, Tells
from octosync.watch.ticker import Ticker
from octosync.watch.turn import Turns
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
    desired: Desired
    journal: Journal
    control_plane: ControlPlane
    settings: Settings
    policy: Callable[[Declared], GuardPolicy]
    deploy: DeployPolicy = field(default_factory=DeployPolicy)
    read_token: Callable[[], tuple[Secret, str]] | None = None
    apply_again: str = "octosync apply"
    about: Callable[[Declared], RunInfo] | None = None
    log: Log
    notifier: Tells | None = None
    clock: Clock = field(default_factory=SystemClock)
    chance: random.Random = field(default_factory=random.Random)
    can_post: bool = False
    state_damaged: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hooks:
    """What the parts tell the controller."""

    carry_out: Callable[[Work], Awaitable[Ended]]
    begun: Callable[[str, frozenset[str], int], None]
    ended: Callable[[Work, Ended, float], None]
    heard: Callable[[News], None]
    closed: Callable[[Closed, OctosyncError], None]
    opened: Callable[[], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """All of them."""

    remote: Octomil
    desired: Desired
    clock: Clock
    log: Log
    memory: Memory
    intent: Intent
    queue: Queue
    gate: Gate
    feed: OrgFeed
    changes: Changes
    board: Board
    approvals: Approvals
    telling: Telling
    looking: Looking
    turns: Turns
    full_reads: FullReads
    ticker: Ticker
    aftermath: Aftermath
    workers: Workers

    def probe_now(self) -> None:
        """Where everything waits, or the feed is off, find out at once whether that still has to be."""
        if not self.gate.is_open:
            self.gate.probe_now()
            self.ticker.wake()
        elif self.feed.off is not None:
            self.feed.try_now()
            self.ticker.wake()

    def start_over(self, slug: str) -> None:
        """Forget what kept an app waiting: it is declared otherwise now, or somebody wants it tried."""
        self.turns.refusals.forget(slug)
        self.aftermath.forgive(slug)


def assemble(outfit: Outfit, metrics: Metrics, stop: asyncio.Event, hooks: Hooks) -> Parts:
    """Make the parts."""
    outfit.journal.wait_at_most(_STATE_PATIENCE)
    clock, chance, log, remote, settings = outfit.clock, outfit.chance, outfit.log, outfit.remote, outfit.settings
    memory = Memory(WatchState(outfit.journal), outfit.control_plane, clock)
    intent = Intent(
        desired=outfit.desired,
        memory=memory,
        settings=settings,
        policy=outfit.policy,
        deploy=outfit.deploy,
        apply_again=outfit.apply_again,
    )
    queue = Queue(clock, intent.group_of)
    gate, board, changes = Gate(clock, chance, hooks.closed, remote.pause, remote.end_pause), Board(), Changes()
    # Behind a closed gate one failure says all: a probe is one request, and turns under way come to their end.
    remote.keep_trying_while(lambda: gate.is_open)

    def revision() -> str:
        return outfit.desired.good.revision if outfit.desired.good is not None else ""

    def about() -> RunInfo | None:
        good = outfit.desired.good
        return outfit.about(good) if outfit.about is not None and good is not None else None

    approvals = Approvals(memory.digest_of_blocked, board, changes)
    telling = Telling(
        outfit.notifier or Silence(),
        clock,
        revision=revision,
        about=about,
        blocked=approvals.now,
        is_under_way=lambda slug: changes.of((slug,)) is not None,
    )
    feed = OrgFeed(clock, remote)

    async def listen() -> None:
        await ticker.listen()

    looking = Looking(memory=memory, feed=feed, listen=listen)
    refusals = Refusals()
    turns = Turns(
        remote=remote,
        memory=memory,
        journal=outfit.journal,
        feed=feed,
        gate=gate,
        changes=changes,
        looking=looking,
        clock=clock,
        stop=stop,
        begun=hooks.begun,
        refusals=refusals,
        permits=Permits(memory, changes, refusals, clock),
        coverage=CoverageMonitor(gate, log),
    )
    full_reads = FullReads(
        remote=remote, queue=queue, gate=gate, clock=clock, chance=chance, log=log, every=settings.resync
    )
    aftermath = Aftermath(
        queue=queue,
        board=board,
        feed=feed,
        gate=gate,
        full_reads=full_reads,
        refusals=refusals,
        clock=clock,
        chance=chance,
        log=log,
        metrics=metrics,
        telling=telling,
    )
    ticker = Ticker(
        remote=remote,
        state_is_free=lambda: asyncio.to_thread(outfit.journal.wait_until_free, _STATE_PROBE),
        feed=feed,
        gate=gate,
        clock=clock,
        chance=chance,
        every=settings.interval,
        heard=hooks.heard,
        opened=hooks.opened,
    )
    workers = Workers(queue=queue, gate=gate, clock=clock, log=log, carry_out=hooks.carry_out, ended=hooks.ended)
    return Parts(
        remote=remote,
        desired=outfit.desired,
        clock=clock,
        log=log,
        memory=memory,
        intent=intent,
        queue=queue,
        gate=gate,
        feed=feed,
        changes=changes,
        board=board,
        approvals=approvals,
        telling=telling,
        looking=looking,
        turns=turns,
        full_reads=full_reads,
        ticker=ticker,
        aftermath=aftermath,
        workers=workers,
    )
