"""A replica: one of the processes that share a state. One of them leads: it runs the controller, for a term. The others wait.

A standby tries every second to take the lease, and leads as soon as it has it: the controller of its term starts from the shared
state, as after a restart. The leader renews the lease all the time. Once another replica has it, the term ends at once, and this
replica is a standby again. While the database can't be used, no replica can take the lease: the controller stays, so that its
page does, but the lease expires, nothing is sent until it is renewed, and this replica doesn't lead meanwhile.

A leader that can't reach the control plane, or can renew its lease but record nothing, notes that with its lease. A standby that
can do both then asks for the lease, and the leader ends its term. If no replica can, the leader stays.
"""

from __future__ import annotations

import asyncio
import math
import secrets
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import partial
from typing import Final

from octosync.errors import LeaseLost, OctosyncError, StateUnavailable
from octosync.model import Backoff, Hold, Secret
from octosync.octomil import Octomil
from octosync.plan import ControlPlane
from octosync.state import Database, HeldLease, Journal, Lease, LeaseHolder, LeaseKeeper, LeaseKind, LeaseName
from octosync.watch.controller import Controller
from octosync.watch.controller_api import ControllerApi
from octosync.watch.log import Log
from octosync.watch.loop.activity_feed import read_one_app
from octosync.watch.metrics import Metrics
from octosync.watch.settings import Clock, OffsetClock, SystemClock, wait_for
from octosync.watch.standby import StandbyView
from octosync.watch.status import ControllerStatus, ReplicaRole, ReplicaStatus

_ATTEMPTS_EVERY: Final = 1.0  # seconds
_BACKOFF: Final = Backoff(first=1.0, longest=5.0, spread=0.5)
# Not longer than a takeover may take: the state may be usable again at once after a term that failed.
_TERM_BACKOFF: Final = Backoff(first=2.0, longest=10.0, spread=0.5)
# A clock that differs by less from that of the database is used as it is.
_LEAST_OFFSET: Final = timedelta(seconds=1)
# Statements at the start of a term, which may read much, block the page for this long at most.
_START_PATIENCE: Final = 5.0  # seconds
# A standby tries this often whether it reaches a control plane that the leader doesn't reach, and how long.
_PROBED_EVERY: Final = 5.0  # seconds
_LONGEST_PROBE: Final = 3.0
# A leader that has handed over its lease leaves it to others for this long.
_HANDOVER: Final = 10.0  # seconds
_EXPIRED: Final = "the lease of this replica has expired: the shared state did not respond in time"
_CHECKED_EVERY: Final = 0.1  # seconds, while the lease has expired
# The state can't be used, and may be usable later without a restart.
_STATE_REFERENCES: Final = frozenset({"journal-unusable", "state-unreadable", "state-key-differs"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Term:
    """What the controller of a term needs: the journal, open and fenced, and the clock that all replicas agree about.

    After `settled_at`, no request of a former leader can be under way any more. None: there are no other processes.
    """

    journal: Journal
    clock: Clock
    settled_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplicaOptions:
    """The options of a replica.

    `holder` is this process, as other replicas see it. `open_journal` opens the shared state, in a thread, and `check_state`
    raises `OctosyncError` if no term can start with it. `start` returns the context of the controller of a term.
    `longest_request` is how many seconds a request can take. `standby` is what is shown while this replica doesn't lead.
    """

    keeper: LeaseKeeper
    control_plane: ControlPlane
    holder: LeaseHolder
    open_journal: Callable[[], Journal]
    check_state: Callable[[], None]
    start: Callable[[Term], AbstractAsyncContextManager[Controller]]
    remote: Octomil
    longest_request: float
    standby: StandbyView
    log: Log
    metrics: Metrics = field(default_factory=Metrics)
    clock: Clock = field(default_factory=SystemClock)


class Replica:
    """Runs until `stop` is set. `api` are its operations for the HTTP endpoints: those of the controller while it leads."""

    def __init__(self, options: ReplicaOptions) -> None:
        self._options = options
        self._name = LeaseName(LeaseKind.WATCH, options.control_plane)
        self._holder = options.holder
        self._controller: Controller | None = None
        self._lease: Lease | None = None
        self._held: HeldLease | None = None  # as last read, while this replica is a standby
        self._problem: OctosyncError | None = None
        self._failed_term: OctosyncError | None = None  # why the controller of the last term could not start
        self._failed_terms = 0  # in a row
        self._is_checked = False  # whether a term could start with the state
        self._reported: tuple[str, int] | None = None
        self._leaderless_since: datetime | None = None
        self._probed_at = -math.inf
        self.stop = asyncio.Event()
        self.api: ControllerApi = ReplicaOperations(self.status, self.health, self._leading)
        options.remote.guard_writes(self._refuse_writes)
        options.metrics.report(self.status)

    # -- what others see of it

    def status(self) -> ControllerStatus:
        """Return the status of the controller, if there is one, else what a standby knows; and that of the replica."""
        return self._status(Controller.status)

    def health(self) -> ControllerStatus:
        """Return the status without its apps."""
        return self._status(Controller.health)

    def _status(self, read: Callable[[Controller], ControllerStatus]) -> ControllerStatus:
        replica = self._replica_status()
        if self._controller is None:
            return self._options.standby.status(replica)
        status = read(self._controller)
        return replace(status, replica=replica, can_post=status.can_post and replica.role is ReplicaRole.LEADER)

    def reload(self) -> None:
        """Load the manifests and the API key again: what SIGHUP means."""
        (self._controller or self._options.standby).reload()

    async def refresh(self) -> None:
        """Read again what a standby shows of the shared state."""
        await self._options.standby.refresh()

    def _replica_status(self) -> ReplicaStatus:
        lease, held, name = self._lease, self._held, self._holder.name
        error = self._problem or self._failed_term
        problem = "" if error is None else error.message
        if lease is not None and self._controller is not None and not lease.is_over:
            return ReplicaStatus(
                role=ReplicaRole.LEADER,
                name=name,
                leader=name,
                address=self._holder.address,
                since=lease.since,
                epoch=lease.epoch,
                problem="" if lease.seconds_left else problem or _EXPIRED,
                key=self._holder.key,
            )
        if held is None or not held.is_held:
            since = self._leaderless_since if held is None else held.expires
            return ReplicaStatus(role=ReplicaRole.STANDBY, name=name, since=since, problem=problem)
        return ReplicaStatus(
            role=ReplicaRole.STANDBY,
            name=name,
            leader=held.holder.name,
            address=held.holder.address,
            since=held.since,
            epoch=held.epoch,
            problem=problem,
            key=held.holder.key,
        )

    def _leading(self) -> Controller:
        """Return the controller. Raise `OctosyncError` if this replica doesn't lead."""
        if self._controller is not None and self._lease is not None and not self._lease.is_over:
            if not self._lease.seconds_left:
                raise self._expired()
            return self._controller
        leader = self._replica_status()
        raise OctosyncError(
            "not-leading",
            "this replica does not lead, and nothing is done",
            hints=((f"{leader.leader} leads, at {leader.address}.",) if leader.leader else ("No replica leads.",)),
        )

    def _expired(self) -> StateUnavailable:
        """Return a new error that states why the lease has expired. The traceback of one that is raised again would grow."""
        problem = self._problem
        return StateUnavailable("journal-unusable", _EXPIRED) if problem is None else _unavailable(problem)

    def _refuse_writes(self) -> None:
        raise LeaseLost("lease-lost", "this replica does not lead, so it writes nothing")

    # -- what it does

    async def run(self) -> None:
        """Run until `stop` is set; then finish writes in progress, and release the lease: another replica leads at once."""
        pause = 0.0
        viewing = asyncio.create_task(self._options.standby.run(lambda: self._controller is None))
        try:
            while (lease := await self._next_term(pause)) is not None:
                pause = await self._lead(lease)
        finally:
            await _end(viewing)
            await self._options.keeper.aclose()

    async def _next_term(self, pause: float) -> Lease | None:
        """Wait until this replica has the lease, which it leaves to others for a pause. Return None if it stops."""
        options, failures = self._options, 0
        takes_from, pause = options.clock.monotonic() + pause, 0.0
        while not self.stop.is_set() and not await wait_for(self.stop, pause, options.clock):
            lease = None
            try:
                self._held = held = await options.keeper.holder(self._name)
                is_own = held is not None and held.holder == self._holder  # the response was lost
                is_free = held is None or not held.is_held or is_own
                if is_free and options.clock.monotonic() >= takes_from:
                    if not is_own:
                        self._holder = replace(self._holder, key=Secret(secrets.token_hex(16)))
                    lease = await options.keeper.take(self._name, self._holder)
                elif not is_free and not self._is_checked:
                    await self._check_state()
            except OctosyncError as error:
                failures += 1
                pause = _BACKOFF.draw(failures)
                self._record_problem(error)
            else:
                failures, pause = 0, _ATTEMPTS_EVERY
                self._record_usable()
                if lease is not None:
                    return lease
                if held is not None and not is_free:
                    self._report_leader(held)
                    if held.is_cut_off:
                        await self._ask_for_lease(held)
        return None

    async def _check_state(self) -> None:
        """Find out whether this replica could take over: otherwise, it is not ready. Raises `StateUnavailable`."""
        try:
            await asyncio.to_thread(self._options.check_state)
        except StateUnavailable:
            raise
        except OctosyncError as error:
            self._log_problem(self._failed_term, error)
            self._failed_term = error
            return
        self._is_checked = True
        if isinstance(self._failed_term, StateUnavailable | LeaseLost):  # it has passed
            self._failed_term = None

    async def _ask_for_lease(self, held: HeldLease) -> None:
        """Ask a leader that doesn't reach the control plane, or can't use the state, for its lease, if this replica can."""
        options, now = self._options, self._options.clock.monotonic()
        if now - self._probed_at < _PROBED_EVERY:
            return
        self._probed_at = now
        if not await self._could_lead():
            return
        try:
            await options.keeper.ask_for(self._name, held, self._holder.name)
        except OctosyncError:
            return
        options.log.info(
            "lease_requested",
            message=f"{held.holder.name} can't use the control plane or the state, and this replica can: it asks for the lease",
            leader=held.holder.name,
        )

    async def _could_lead(self) -> bool:
        """Return whether this replica reaches the control plane, and the state responds quickly enough."""
        try:
            async with asyncio.timeout(_LONGEST_PROBE):
                await asyncio.to_thread(self._options.check_state)
        except (OctosyncError, TimeoutError):
            return False
        return await self._reaches_control_plane()

    async def _reaches_control_plane(self) -> bool:
        try:
            async with asyncio.timeout(_LONGEST_PROBE):
                await read_one_app(self._options.remote)
        except (OctosyncError, TimeoutError):
            return False
        return True

    async def _lead(self, lease: Lease) -> float:
        """Lead for a term: until the lease is lost, the state can't be used at its start, or this replica stops.

        Return for how many seconds this replica leaves the lease to others.
        """
        options, problem, is_handed_over = self._options, None, False
        self._lease, self._held, self._reported = lease, None, None
        keeping = asyncio.create_task(options.keeper.keep(lease, is_cut_off=self._is_cut_off))
        try:
            is_handed_over = await self._run_term(lease, keeping)
        except OctosyncError as error:
            if lease.is_over:  # what has failed because of that is the next leader's
                return 0.0
            if not _is_about_state(error):
                raise
            problem = error
        finally:
            if self._controller is not None and self._controller.reloader.loaded.is_set():
                self._failed_term, self._failed_terms = None, 0
            options.remote.guard_writes(self._refuse_writes)
            self._controller = self._lease = self._problem = None
            self._leaderless_since = options.clock.now()
            await _end(keeping)
            if not lease.is_over:
                await options.keeper.release(lease)
        if problem is None:
            return _HANDOVER if is_handed_over else 0.0
        self._log_problem(self._failed_term, problem)
        self._failed_term, self._is_checked = problem, False
        self._failed_terms += 1
        return _TERM_BACKOFF.draw(self._failed_terms)

    def _is_cut_off(self) -> bool:
        """Whether another replica should lead if it can."""
        controller = self._controller
        return controller is not None and (controller.is_cut_off or controller.is_cut_off_from_state)

    async def _run_term(self, lease: Lease, keeping: asyncio.Task[None]) -> bool:
        """Run the controller of a term. Return whether this replica hands the lease over."""
        options = self._options
        journal = await asyncio.to_thread(options.open_journal)
        with journal:
            journal.wait_at_most(_START_PATIENCE)
            journal.fence = partial(self._fence, lease)
            clock = await self._clock()
            settled_at = clock.now() + timedelta(seconds=options.longest_request)
            options.remote.guard_writes(lease.check)
            async with options.start(Term(journal=journal, clock=clock, settled_at=settled_at)) as controller:
                options.metrics.report(self.status)
                options.metrics.count_term()
                self._controller = controller
                options.log.info("leading", message=f"this replica leads: term {lease.epoch}", epoch=lease.epoch)
                return await self._run_controller(controller, lease, keeping)

    def _fence(self, lease: Lease, database: Database) -> None:
        """Raise in a transaction if the lease is not this replica's: why it could not be renewed, if that is the cause."""
        try:
            lease.fence(database)
        except LeaseLost as error:
            raise (error if lease.is_over or self._problem is None else self._expired()) from None

    async def _clock(self) -> Clock:
        """Return the clock of a term: that of the database, if this machine's differs from it."""
        offset = await self._options.keeper.clock_offset()
        if abs(offset) < _LEAST_OFFSET:
            return self._options.clock
        seconds = round(offset.total_seconds(), 1)
        self._options.log.warning(
            "clock_differs",
            message=f"the clock of the database is {abs(seconds)} s {'ahead of' if seconds > 0 else 'behind'} this machine's: "
            "it decides about holds and freezes",
            seconds=seconds,
        )
        return OffsetClock(self._options.clock, offset)

    async def _run_controller(self, controller: Controller, lease: Lease, keeping: asyncio.Task[None]) -> bool:
        """Run a controller until the lease is over, or until its writes are finished if this replica stops or hands over.

        Return whether it hands over.
        """
        log, keeper = self._options.log, self._options.keeper
        running = asyncio.create_task(controller.run())
        stopping = asyncio.create_task(self.stop.wait())
        expiring = asyncio.create_task(self._hold_back_while_expired(controller, lease))
        renewing, is_handed_over = keeping, False
        try:
            while not running.done() and not lease.is_over:
                if renewing.done():
                    renewing.result()
                    lease.is_wanted = False
                    renewing = asyncio.create_task(keeper.keep(lease, is_cut_off=self._is_cut_off))
                    is_handed_over = is_handed_over or await self._hands_over(controller)
                if stopping.done():
                    controller.stop.set()
                waits = {running, renewing, stopping} if not stopping.done() else {running, renewing}
                await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
            if not running.done():
                log.warning(
                    "lease_lost",
                    message="another replica leads now: this one has stopped all writes, and is a standby",
                    epoch=lease.epoch,
                )
                controller.abandon()
            await running
        finally:
            controller.abandon()
            await _end(running, stopping, expiring, renewing)
        return is_handed_over

    async def _hands_over(self, controller: Controller) -> bool:
        """Stop a controller because another replica can use the control plane and the state, unless this one can again."""
        if not controller.is_cut_off_from_state and await self._reaches_control_plane():
            controller.follower.probe_now()
            return False
        what = "can use the shared state" if controller.is_cut_off_from_state else "reaches the control plane"
        self._options.log.warning("lease_handed_over", message=f"another replica {what}, and leads next")
        controller.abandon()  # nothing can be finished without both
        return True

    async def _hold_back_while_expired(self, controller: Controller, lease: Lease) -> None:
        """Send nothing while the lease has expired because the database can't be used.

        A process that was suspended learns in a moment from the renewal whether another replica leads.
        """
        keeper = self._options.keeper
        while not lease.is_over:
            await asyncio.sleep(lease.seconds_left or _CHECKED_EVERY)
            if lease.seconds_left:
                if self._problem is not None:
                    self._problem = None
                    controller.follower.probe_now()
            elif keeper.problem is not None and not lease.is_over:
                before, self._problem = self._problem, _unavailable(keeper.problem)  # the latest one
                if before is None:
                    controller.hold_back(self._problem)

    def _record_problem(self, error: OctosyncError) -> None:
        """Record, and log once, that the state can't be used."""
        self._log_problem(self._problem, error)
        self._problem = error  # the leader that was last read may still respond to requests

    def _log_problem(self, known: OctosyncError | None, error: OctosyncError) -> None:
        if known is None or known.message != error.message:
            self._options.log.error(
                "state_unusable", message=error.message, reference=error.reference, hints=list(error.hints)
            )

    def _record_usable(self) -> None:
        if self._problem is not None:
            self._problem = None
            self._options.log.info("state_back", message="the database with the state can be used again")

    def _report_leader(self, held: HeldLease) -> None:
        """Log who leads, if that has changed."""
        if (held.holder.name, held.epoch) == self._reported:
            return
        self._reported = (held.holder.name, held.epoch)
        message = f"this replica is a standby: {held.holder.name} leads, at {held.holder.address or 'no address'}"
        since = held.since.isoformat(timespec="seconds")
        self._options.log.info(
            "standby",
            message=message,
            leader=held.holder.name,
            address=held.holder.address,
            since=since,
            epoch=held.epoch,
        )


@dataclass(frozen=True, slots=True)
class ReplicaOperations:
    """The operations behind the HTTP endpoints of a replica: a `ControllerApi`. Only the leader can be asked for changes."""

    status: Callable[[], ControllerStatus]
    health: Callable[[], ControllerStatus]
    leading: Callable[[], Controller]

    def reconcile(self, app: str | None) -> int:
        """Reconcile one app, or all of them."""
        return self.leading().api.reconcile(app)

    def suspend(self, reason: str) -> None:
        """Write nothing until `resume`."""
        self.leading().api.suspend(reason)

    def resume(self) -> None:
        """Write again."""
        self.leading().api.resume()

    def hold(self, app: str, duration: timedelta, reason: str) -> Hold:
        """Hold an app's drift for a time."""
        return self.leading().api.hold(app, duration, reason)

    def release(self, app: str) -> None:
        """End a hold."""
        self.leading().api.release(app)

    def approve(self, guard: str, seen: str, apps: Sequence[str] = ()) -> int:
        """Allow the blocked actions that the caller has seen."""
        return self.leading().api.approve(guard, seen, apps)


def _is_about_state(error: OctosyncError) -> bool:
    return isinstance(error, StateUnavailable | LeaseLost) or error.reference in _STATE_REFERENCES


def _unavailable(error: OctosyncError) -> StateUnavailable:
    """Return an error of the state as one that stops everything and may pass: without its lease, a leader writes nothing."""
    return StateUnavailable(error.reference, error.message, hints=error.hints)


async def _end(*tasks: asyncio.Task[None] | asyncio.Task[bool]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
