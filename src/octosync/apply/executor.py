"""The executor runs the actions of a plan concurrently, as far as their dependencies allow, and gives each one outcome.

The first action of each operation runs alone, and so does the first one that declares a further field. octosync checks that the
control plane persisted it before other actions of that operation start, so a wrong assumption about the API affects one object.

Moves and archives can't be undone: a move can fail half-way, and an archive is permanent. They run late, one at a time. A move
starts after all plain registrations, and never after a failed one, so a control plane that rejects registrations leaves at most
one target unregistered. An archive starts after all other actions, and never after an action that was not done.
"""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Final, TypeAlias

from octosync.apply.outcomes import ApplyResult, Listener, Progress
from octosync.apply.verify import FirstWriteCheck, ObjectReader
from octosync.apply.write import ActionWriter, WriteResult
from octosync.errors import CredentialRefused, Forbidden, LeaseLost, OctosyncError, Unavailable
from octosync.model import Observation, Outcome, Sensitivity, Status
from octosync.octomil import Octomil, Reservation
from octosync.plan import (
    Action,
    ActionKey,
    ArchiveApp,
    CreateApp,
    Plan,
    RegisterTarget,
    RemoveTarget,
)
from octosync.state import Record

# After this many failures in a row because the control plane is unavailable, the run stops.
_UNAVAILABLE_IN_A_ROW = 3

Unit: TypeAlias = tuple[Action, ...]


_NO_LISTENER: Final = Listener()


async def apply_plan(
    plan: Plan,
    remote: Octomil,
    *,
    seen: Observation,
    record: Record,
    resume: str,
    sensitivity: Sensitivity | None = None,
    stop: asyncio.Event | None = None,
    listener: Listener = _NO_LISTENER,
) -> ApplyResult:
    """Carry out exactly the plan's actions. A failed action never raises: the failure is its outcome.

    `seen` is the observation that the plan was made from. `resume` is the command that messages recommend to continue.
    Once `stop` is set, no action starts. Writes already sent are finished and recorded, a move with both halves.
    """
    performer = ActionWriter(remote, ObjectReader(remote, seen.read_at), sensitivity or Sensitivity())
    run = _Run(
        plan,
        remote,
        performer,
        record,
        resume,
        org_known=seen.org_id is not None,
        stop=stop or asyncio.Event(),
        listener=listener,
    )
    await run.run_all()
    return run.applied()


# Outcomes that stop no archive. Another archive that awaits approval has not failed.
_HARMLESS: Final = frozenset({Status.DONE})
_HARMLESS_ARCHIVE: Final = frozenset({Status.DONE, Status.AWAITING_APPROVAL})


class IrreversibleActions:
    """Decides when moves and archives may start, and which action stops them: the first in plan order that was not done."""

    def __init__(self, actions: tuple[Action, ...]) -> None:
        self._rank = {action.key: rank for rank, action in enumerate(actions)}
        self._before_moves = sum(_is_plain_registration(action) for action in actions)
        self._before_archives = sum(not isinstance(action, ArchiveApp) for action in actions)
        self._stops_moves: Action | None = None
        self._stops_archives: Action | None = None

    def settle(self, action: Action, outcome: Outcome) -> None:
        """Record the outcome of an action."""
        is_archive = isinstance(action, ArchiveApp)
        self._before_archives -= not is_archive
        self._before_moves -= _is_plain_registration(action)
        if outcome.status not in (_HARMLESS_ARCHIVE if is_archive else _HARMLESS):
            self._stops_archives = self._first(self._stops_archives, action)
        if isinstance(action, RegisterTarget) and not _allows_moves(action, outcome):
            self._stops_moves = self._first(self._stops_moves, action)

    def stopper(self, unit: tuple[Action, ...]) -> ActionKey | None:
        """Return the action that keeps a unit from starting in this run; None if there is none, or none yet."""
        if _is_move(unit) and not self._before_moves and self._stops_moves is not None:
            return self._stops_moves.key
        if isinstance(unit[0], ArchiveApp) and not self._before_archives and self._stops_archives is not None:
            return self._stops_archives.key
        return None

    def admits(self, unit: tuple[Action, ...], underway: Iterable[tuple[Action, ...]]) -> bool:
        """Return whether a unit may start now."""
        if isinstance(unit[0], ArchiveApp):
            return not self._before_archives and not any(True for _ in underway)
        return not _is_move(unit) or not (self._before_moves or any(map(_is_move, underway)))

    def _first(self, known: Action | None, action: Action) -> Action:
        return min((known or action, action), key=lambda candidate: self._rank[candidate.key])


def _is_move(unit: tuple[Action, ...]) -> bool:
    return len(unit) > 1


def _is_plain_registration(action: Action) -> bool:
    return isinstance(action, RegisterTarget) and action.moves_from is None


def _allows_moves(action: RegisterTarget, outcome: Outcome) -> bool:
    """Return whether a registration was done, not sent, or refused only because another app holds the target."""
    if outcome.status in {Status.DONE, Status.SKIPPED, Status.NOT_ATTEMPTED}:
        return True
    return _is_plain_registration(action) and outcome.reference == "target-held-elsewhere"


@dataclass(slots=True)
class _Underway:
    """A running unit. `sending` is set once its first request may go; `proving` are the operations that it checks."""

    unit: Unit
    proving: frozenset[str]
    sending: bool = False


@dataclass(slots=True)
class _Run:
    plan: Plan
    remote: Octomil
    performer: ActionWriter
    record: Record
    resume: str
    org_known: bool
    stop: asyncio.Event
    listener: Listener
    outcomes: dict[ActionKey, Outcome] = field(default_factory=dict)
    stopped_by: OctosyncError | None = None
    wrote: bool = False
    _proofs: FirstWriteCheck = field(default_factory=FirstWriteCheck)
    _risks: IrreversibleActions = field(init=False)
    _rank: dict[ActionKey, int] = field(default_factory=dict)
    _ready: list[tuple[int, Unit]] = field(default_factory=list)
    _waiting: dict[ActionKey, set[ActionKey]] = field(default_factory=dict)
    _followers: dict[ActionKey, list[Unit]] = field(default_factory=dict)
    _underway: dict[asyncio.Task[None], _Underway] = field(default_factory=dict)
    _completed: asyncio.Future[None] = field(init=False)
    _result: int = 0
    _unavailable: int = 0  # how many of the latest actions failed because the control plane is unavailable
    _latest_error: OctosyncError | None = None

    def __post_init__(self) -> None:
        self._risks = IrreversibleActions(self.plan.actions)

    async def run_all(self) -> None:
        """Run until every action has an outcome."""
        self._queue_units()
        stopping = asyncio.ensure_future(self.stop.wait())
        stopping.add_done_callback(lambda _: self._proceed())
        self._completed = asyncio.get_running_loop().create_future()
        try:
            self._proceed()
            await self._completed
        finally:
            self._completed.cancel()
            stopping.cancel()
            for task in self._underway:
                task.cancel()
            await asyncio.gather(stopping, *self._underway, return_exceptions=True)
            try:
                self.record.flush()
            except OctosyncError as error:
                self.stopped_by = self.stopped_by or error
            for action in self.plan.actions:
                if action.key not in self.outcomes:
                    self._settle(action, self._not_attempted(action))

    def _proceed(self) -> None:
        """Start what can start; after a stop, call back what is not sent. The run is complete once nothing is underway."""
        if self._completed.done():
            return
        try:
            if not self.stop.is_set() and self.stopped_by is None:
                self._start_what_can()
            else:
                self._call_back_unsent()
            if not self._underway:
                self._completed.set_result(None)
        except Exception as error:  # noqa: BLE001 — `run_all` raises it
            self._completed.set_exception(error)

    async def _work(self, underway: _Underway) -> None:
        await self._run_unit(underway)
        # Not only as a callback of the task: so the outcome and what starts next are recorded in one transaction.
        if (task := asyncio.current_task()) is not None:
            self._end_unit(task)

    def _end_unit(self, task: asyncio.Task[None]) -> None:
        """End the unit of a task, if it hasn't ended yet, and proceed."""
        underway = self._underway.pop(task, None)
        if underway is None:
            return
        self._proofs.end(underway.proving)
        error = task.exception() if task.done() and not task.cancelled() else None
        if error is not None and not self._completed.done():
            self._completed.set_exception(error)
        self._proceed()

    def applied(self) -> ApplyResult:
        """Return the result, once `run_all` has ended."""
        stopped_by = self.stopped_by
        if stopped_by is None and self._result == self._unavailable and not self.wrote:
            stopped_by = self._latest_error  # all actions failed like this, but they are too few to stop the run
        return ApplyResult(tuple(self.outcomes[action.key] for action in self.plan.actions), stopped_by, self.wrote)

    def _queue_units(self) -> None:
        """Group the actions into units and record which actions each unit waits for."""
        self._rank = {action.key: number for number, action in enumerate(self.plan.actions)}
        for unit in _units(self.plan.actions):
            inside = {action.key for action in unit}
            needs = {need for action in unit for need in action.depends_on} - inside
            self._waiting[unit[0].key] = needs
            for need in needs:
                self._followers.setdefault(need, []).append(unit)
            if not needs:
                self._make_ready(unit)

    def _make_ready(self, unit: Unit) -> None:
        heapq.heappush(self._ready, (self._rank[unit[0].key], unit))

    def _start_what_can(self) -> None:
        """Start ready units in plan order. Units that may not start yet stay ready."""
        held: list[tuple[int, Unit]] = []
        while self._ready and len(self._underway) < self.remote.connection.concurrency:
            rank, unit = heapq.heappop(self._ready)
            if (why := self._stopped(unit)) is not None:
                self._skip(unit, why)
            elif self._may_start(unit):
                underway = _Underway(unit, self._proofs.begin(unit))
                task = asyncio.create_task(self._work(underway))
                task.add_done_callback(self._end_unit)
                self._underway[task] = underway
            else:
                held.append((rank, unit))
        for entry in held:
            heapq.heappush(self._ready, entry)

    def _stopped(self, unit: Unit) -> str | None:
        """Return why a unit must not be sent in this run, or None if nothing stops it."""
        if (culprit := self._proofs.stopper(unit)) is not None:
            return f"`{culprit.operation}` was stopped for this run: {culprit.address} was not kept"
        if (need := self._risks.stopper(unit)) is not None:
            what = "archives were" if isinstance(unit[0], ArchiveApp) else "moves were"
            return f"{what} stopped for this run: {need.verb.value} {need.address} {_OUTCOME_WORDS[self.outcomes[need].status]}"
        return None

    def _may_start(self, unit: Unit) -> bool:
        if self._org_unproved() and not isinstance(unit[0], CreateApp):
            return False
        started = (underway.unit for underway in self._underway.values())
        return self._risks.admits(unit, started) and self._proofs.admits(unit)

    def _org_unproved(self) -> bool:
        """Return whether no response has named the org yet. Then a create goes first, since its response names the org."""
        if self.org_known or self.remote.connection.org is None:
            return False
        return any(isinstance(action, CreateApp) and action.key not in self.outcomes for action in self.plan.actions)

    async def _run_unit(self, underway: _Underway) -> None:
        unit = underway.unit
        try:
            reads = self._reads_due(unit)
            while True:
                async with self.remote.reserve(len(unit) + reads) as within:
                    if (due := self._reads_due(unit)) > reads:
                        reads = due  # after a long wait the objects must be read again: reserve requests for that, too
                        continue
                    if await self._check_unit(unit, within):
                        underway.sending = True
                        await self._send_all(underway, within)
                    return
        except OctosyncError as error:  # the journal failed: nothing may be sent unrecorded
            self.stopped_by = self.stopped_by or error

    def _reads_due(self, unit: Unit) -> int:
        return sum(not self.performer.reader.is_fresh(action) for action in unit)

    async def _check_unit(self, unit: Unit, within: Reservation) -> bool:
        """Read the objects of a unit again if their last read is old, and return whether any action still has to be sent.

        An action that is already done gets its outcome. If an action must not be sent, the actions after it are skipped.
        """
        for action in unit:
            found = await self.performer.recheck(action, within)
            if found is None:
                continue
            self._end(action, found)
            if found.outcome.status is not Status.DONE:
                self._skip_rest(action, unit)
                self.record.begin_action(action)(found.outcome)
                return False
        if self.outcomes.keys() >= {action.key for action in unit}:
            for action in unit:
                self.record.begin_action(action)(self.outcomes[action.key])
            return False
        return True

    async def _send_all(self, underway: _Underway, within: Reservation) -> None:
        """Send the actions of a unit one after another, until one is not done.

        All are recorded before the first is sent: after the first half of a move, a failing journal must not stop the second.
        """
        unit = underway.unit
        records = await self.record.begin_together(unit)
        sent: list[Action] = []
        for action, ended in zip(unit, records, strict=True):
            if action.key in self.outcomes:  # already done, or skipped
                ended(self.outcomes[action.key])
                continue
            sent.append(action)
            if self.listener.started is not None:
                self.listener.started(action)
            # A move's registration also proves its removal; no read may delay it.
            proving = action.operation in underway.proving and action is unit[-1]
            performed = await self.performer.send(action, proving=proving, within=within)
            if performed.outcome.status is not Status.DONE and action is not unit[0]:
                performed = replace(performed, outcome=self._half_moved(action, performed))
            if not performed.kept and proving:
                self._proofs.stop(action)
            self._end(action, performed)
            ended(performed.outcome)
            if performed.outcome.status is not Status.DONE:
                self._skip_rest(action, unit)
            elif action is unit[-1]:
                self._proofs.record_kept(sent)

    def _half_moved(self, action: Action, performed: WriteResult) -> Outcome:
        """Return the outcome of a move whose second half failed."""
        outcome = performed.outcome
        old = action.moves_from.app if isinstance(action, RegisterTarget) and action.moves_from else ""
        if outcome.reference == "target-held-elsewhere":
            return replace(
                outcome,
                message=f"not moved from app `{old}`, although its removal was accepted: {outcome.message}",
            )
        unsure = outcome.reference in {"outcome-unknown", "outcome-unproved"}
        return replace(
            outcome,
            message=f"{'possibly ' if unsure else ''}registered nowhere: {action.address.name} was removed from app `{old}`, "
            f"and its registration to `{action.address.app}` failed: {outcome.message}",
            hints=(f"Finish it:  {self.resume} --app {action.address.app}", *outcome.hints),
        )

    def _end(self, action: Action, performed: WriteResult) -> None:
        """Record the result of an action, and stop the run if its error concerns all actions."""
        self._settle(action, performed.outcome)
        if isinstance(action, CreateApp) and performed.outcome.status is Status.DONE:
            self.org_known = True
        error = performed.error
        self.wrote |= performed.wrote
        self._result += 1
        self._unavailable = self._unavailable + 1 if isinstance(error, Unavailable) else 0
        self._latest_error = error
        if _concerns_all(error) or self._unavailable >= _UNAVAILABLE_IN_A_ROW:
            self.stopped_by = self.stopped_by or error

    def _settle(self, action: Action, outcome: Outcome) -> None:
        """Record the outcome of an action, and release or skip the units that wait for it."""
        if action.key in self.outcomes:
            return
        self.outcomes[action.key] = outcome
        self._risks.settle(action, outcome)
        if self.listener.progressed is not None and outcome.status is not Status.NOT_ATTEMPTED:
            self.listener.progressed(Progress(len(self.outcomes), len(self.plan.actions), outcome))
        for unit in self._followers.get(action.key, ()):
            if unit[0].key in self.outcomes:
                continue
            if outcome.status is Status.DONE:
                self._waiting[unit[0].key].discard(action.key)
                if not self._waiting[unit[0].key]:
                    self._make_ready(unit)
            elif outcome.status is not Status.NOT_ATTEMPTED:
                self._skip(unit, f"needs {outcome.verb} {action.address}, which {_OUTCOME_WORDS[outcome.status]}")

    def _skip_rest(self, action: Action, unit: Unit) -> None:
        """Skip the remaining actions of a unit, because one of its actions was not done."""
        outcome = self.outcomes[action.key]
        self._skip(unit, f"needs {outcome.verb} {action.address}, which {_OUTCOME_WORDS[outcome.status]}")

    def _skip(self, unit: Iterable[Action], why: str) -> None:
        for action in unit:
            self._settle(action, _outcome(action, Status.SKIPPED, why))

    def _call_back_unsent(self) -> None:
        """Cancel units that still wait or read: none of their writes was sent."""
        for task, underway in self._underway.items():
            if not underway.sending:
                task.cancel()

    def _not_attempted(self, action: Action) -> Outcome:
        why = (
            "the run was interrupted before it"
            if self.stopped_by is None
            else f"the run stopped: {self.stopped_by.message}"
        )
        return _outcome(action, Status.NOT_ATTEMPTED, why)


_OUTCOME_WORDS: Mapping[Status, str] = {
    Status.FAILED: "failed",
    Status.STALE: "was stale",
    Status.SKIPPED: "was skipped",
    Status.NOT_KEPT: "was not kept",
    Status.AWAITING_APPROVAL: "awaits approval",
    Status.NOT_ATTEMPTED: "was not attempted",
}


def _units(actions: tuple[Action, ...]) -> Iterable[Unit]:
    """Yield units: both halves of a move, or a single action."""
    entering = {action.address: action for action in actions if isinstance(action, RegisterTarget)}
    for action in actions:
        if isinstance(action, RemoveTarget) and action.moves_to is not None:
            yield (action, entering[action.moves_to])
        elif not (isinstance(action, RegisterTarget) and action.moves_from is not None):
            yield (action,)


def _concerns_all(error: OctosyncError | None) -> bool:
    """Return whether an error concerns all actions of the run."""
    if isinstance(error, Forbidden):
        return error.code in {"insufficient_scope", "missing_org_context"}
    return isinstance(error, CredentialRefused | LeaseLost) or (error is not None and error.reference == "wrong-org")


def _outcome(action: Action, status: Status, message: str) -> Outcome:
    return Outcome(address=action.address, verb=action.verb.value, status=status, message=message)
