"""A run: all actions of a plan, concurrently as far as their dependencies and proofs allow, and one outcome for each.

Prove, then fan out: what a run has seen to work, and what it therefore sends one at a time, or no more.

The unit is a declared field of an operation: the first action of each, and the first that declares a further field, goes
while no other of its operation is being proved. So a wrong guess of the contract harms one object and not all.
"""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Final, TypeAlias

from octosync.apply.irreversible import IrreversibleActions
from octosync.apply.recorder import Record
from octosync.apply.verify import ObjectReader
from octosync.apply.write import ActionWriter, WriteResult
from octosync.errors import CredentialRefused, Forbidden, OctosyncError, Unavailable
from octosync.model import Observation, Outcome, Sensitivity, Status
from octosync.octomil import Octomil, Reservation
from octosync.plan import (
    Action,
    ActionKey,
    ArchiveApp,
    CreateApp,
    Plan,
    PutInferenceConfig,
    RegisterTarget,
    RemoveTarget,
)


@dataclass(slots=True)
class FirstWriteCheck:
    """Per operation: which fields were seen to be kept, whether an action is proving any, and which one was not kept."""

    _proved: dict[str, set[str]] = field(default_factory=dict)
    _proving: set[str] = field(default_factory=set)
    _stopped: dict[str, Action] = field(default_factory=dict)

    def stopper(self, unit: Iterable[Action]) -> Action | None:
        """Return the action that was not kept and so stopped an operation of these, if there is one."""
        return next((self._stopped[one.operation] for one in unit if one.operation in self._stopped), None)

    def admits(self, unit: Iterable[Action]) -> bool:
        """Say whether these may start: nothing of them has to be proved, or nobody else is proving their operation."""
        return all(self._is_proved(action) or action.operation not in self._proving for action in unit)

    def begin(self, unit: Iterable[Action]) -> frozenset[str]:
        """Take note that these start; return the operations that they prove, to be given to `end`."""
        unproved = frozenset(action.operation for action in unit if not self._is_proved(action))
        self._proving |= unproved
        return unproved

    def end(self, operations: frozenset[str]) -> None:
        """Let others prove these operations."""
        self._proving -= operations

    def worked(self, unit: Iterable[Action]) -> None:
        """Take note that these were done, and kept."""
        for action in unit:
            self._proved.setdefault(action.operation, set()).update(_fields(action))

    def stop(self, action: Action) -> None:
        """Take note that an action was answered with yes and not kept: its operation is not used again."""
        self._stopped.setdefault(action.operation, action)

    def _is_proved(self, action: Action) -> bool:
        proved = self._proved.get(action.operation)
        return proved is not None and proved >= _fields(action)


def _fields(action: Action) -> frozenset[str]:
    # An inference config is opaque, so it is one field, whatever its keys.
    return frozenset() if isinstance(action, PutInferenceConfig) else frozenset(action.declared)


# So many actions in a row that the control plane was not there for: it won't be there for the rest either.
_UNAVAILABLE_IN_A_ROW = 3

Unit: TypeAlias = tuple[Action, ...]


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a run is: `done` of `total` actions have an outcome, the latest is `outcome`."""

    done: int
    total: int
    outcome: Outcome


@dataclass(frozen=True, slots=True)
class ApplyResult:
    """What a run did: one outcome per action, in plan order.

    `stopped_by` is the error that ended it early, or that was all it met; `wrote` is False where nothing was written.
    """

    outcomes: tuple[Outcome, ...]
    stopped_by: OctosyncError | None = None
    wrote: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Listener:
    """What is called while a run writes: `started` before the first request of an action, `progressed` after each outcome."""

    started: Callable[[Action], None] | None = None
    progressed: Callable[[Progress], None] | None = None


_NOBODY: Final = Listener()


async def apply_plan(
    plan: Plan,
    remote: Octomil,
    *,
    seen: Observation,
    record: Record,
    resume: str,
    sensitivity: Sensitivity | None = None,
    stop: asyncio.Event | None = None,
    listener: Listener = _NOBODY,
) -> ApplyResult:
    """Carry out exactly the plan's actions; never raises for what one of them meets: that is its outcome.

    `seen` is the observation that the plan was made from, `resume` the command that a message gives to go on with.
    Setting `stop` starts nothing more: writes that were sent are finished and recorded, a move with both halves.
    """
    performer = ActionWriter(remote, ObjectReader(remote, seen.read_at), sensitivity or Sensitivity())
    run = _Run(plan, remote, performer, record, resume, org_known=seen.org_id is not None, listener=listener)
    await run.carry_out(stop or asyncio.Event())
    return run.applied()


@dataclass(slots=True)
class _Underway:
    """A unit that was started; `sending` once its first request has the right to go. `proving` are its operations to prove."""

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
    _performed: int = 0
    _unavailable: int = 0  # the latest so many of them
    _latest_error: OctosyncError | None = None

    def __post_init__(self) -> None:
        self._risks = IrreversibleActions(self.plan.actions)

    async def carry_out(self, stop: asyncio.Event) -> None:
        """Run until every action has an outcome."""
        self._line_up()
        stopping = asyncio.ensure_future(stop.wait())
        try:
            while True:
                if not stop.is_set() and self.stopped_by is None:
                    self._start_what_can()
                else:
                    self._call_back_unsent()
                if not self._underway:
                    break
                await asyncio.wait(
                    {*self._underway, stopping} if not stop.is_set() else set(self._underway),
                    return_when="FIRST_COMPLETED",
                )
                for task in [task for task in self._underway if task.done()]:
                    self._proofs.end(self._underway.pop(task).proving)
                    if not task.cancelled():
                        task.result()
        finally:
            stopping.cancel()
            for task in self._underway:
                task.cancel()
            await asyncio.gather(stopping, *self._underway, return_exceptions=True)
            for action in self.plan.actions:
                self._settle(action, self._not_attempted(action))

    def applied(self) -> ApplyResult:
        """Return what was done, once `carry_out` has ended."""
        stopped_by = self.stopped_by
        if stopped_by is None and self._performed == self._unavailable and not self.wrote:
            stopped_by = self._latest_error  # a run too short for three in a row, that met nothing else
        return ApplyResult(tuple(self.outcomes[action.key] for action in self.plan.actions), stopped_by, self.wrote)

    def _line_up(self) -> None:
        """Make units of the actions, and count what each waits for."""
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
        """Start ready units in plan order; what may not start yet stays ready."""
        held: list[tuple[int, Unit]] = []
        while self._ready and len(self._underway) < self.remote.connection.concurrency:
            rank, unit = heapq.heappop(self._ready)
            if (why := self._stopped(unit)) is not None:
                self._skip(unit, why)
            elif self._may_start(unit):
                underway = _Underway(unit, self._proofs.begin(unit))
                self._underway[asyncio.ensure_future(self._carry_out(underway))] = underway
            else:
                held.append((rank, unit))
        for entry in held:
            heapq.heappush(self._ready, entry)

    def _stopped(self, unit: Unit) -> str | None:
        """Return why a unit must not be sent any more in this run; None if nothing stops it."""
        if (culprit := self._proofs.stopper(unit)) is not None:
            return f"`{culprit.operation}` was stopped for this run: {culprit.address} was not kept"
        if (need := self._risks.stopper(unit)) is not None:
            what = "archives were" if isinstance(unit[0], ArchiveApp) else "moves were"
            return f"{what} stopped for this run: {need.verb.value} {need.address} {_FATES[self.outcomes[need].status]}"
        return None

    def _may_start(self, unit: Unit) -> bool:
        if self._org_unproved() and not isinstance(unit[0], CreateApp):
            return False  # and of creates, the first goes alone to prove itself
        started = (underway.unit for underway in self._underway.values())
        return self._risks.admits(unit, started) and self._proofs.admits(unit)

    def _org_unproved(self) -> bool:
        """Say whether no answer has named the org yet: then a create tells, before anything else is sent."""
        if self.org_known or self.remote.connection.org is None:
            return False
        return any(isinstance(action, CreateApp) and action.key not in self.outcomes for action in self.plan.actions)

    async def _carry_out(self, underway: _Underway) -> None:
        unit = underway.unit
        try:
            looks = self._looks_due(unit)
            while True:
                async with self.remote.reserve(len(unit) + looks) as within:
                    if (due := self._looks_due(unit)) > looks:
                        looks = due  # it waited so long that it must look again: let there be room for that, too
                        continue
                    if await self._is_to_be_sent(unit, within):
                        underway.sending = True
                        await self._send_all(underway, within)
                    return
        except OctosyncError as error:  # the journal: nothing may be sent unrecorded
            self.stopped_by = self.stopped_by or error

    def _looks_due(self, unit: Unit) -> int:
        return sum(not self.performer.witness.is_fresh(action) for action in unit)

    async def _is_to_be_sent(self, unit: Unit, within: Reservation) -> bool:
        """Look at a unit's objects where that is due, and say whether anything of it is to be sent.

        What turns out to be done already has its outcome; if one must not be sent, none of what comes after it is.
        """
        for action in unit:
            found = await self.performer.look(action, within)
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
        """Send a unit's actions one after the other, as long as each is done.

        All are recorded before the first is sent: once half of a move is done, a journal that fails must not stop the rest.
        """
        unit = underway.unit
        records = [self.record.begin_action(action) for action in unit]
        sent: list[Action] = []
        for action, ended in zip(unit, records, strict=True):
            if action.key in self.outcomes:  # found done already, or skipped after the one before it
                self._record_end(ended, self.outcomes[action.key])
                continue
            sent.append(action)
            if self.listener.started is not None:
                self.listener.started(action)
            # A move's registration proves its removal, and must not wait for a look in between.
            proving = action.operation in underway.proving and action is unit[-1]
            performed = await self.performer.send(action, proving=proving, within=within)
            if performed.outcome.status is not Status.DONE and action is not unit[0]:
                performed = replace(performed, outcome=self._half_moved(action, performed))
            if not performed.kept and proving:
                self._proofs.stop(action)
            self._end(action, performed)
            self._record_end(ended, performed.outcome)
            if performed.outcome.status is not Status.DONE:
                self._skip_rest(action, unit)
            elif action is unit[-1]:
                self._proofs.worked(sent)

    def _record_end(self, ended: Callable[[Outcome], None], outcome: Outcome) -> None:
        try:
            ended(outcome)
        except OctosyncError as error:
            self.stopped_by = self.stopped_by or error

    def _half_moved(self, action: Action, performed: WriteResult) -> Outcome:
        """Tell the truth of a move whose second half failed."""
        outcome = performed.outcome
        old = action.moves_from.app if isinstance(action, RegisterTarget) and action.moves_from else ""
        if outcome.reference == "target-held-elsewhere":
            return replace(
                outcome,
                message=f"not moved from app `{old}`, although its removal was answered with yes: {outcome.message}",
            )
        unsure = outcome.reference in {"outcome-unknown", "outcome-unproved"}
        return replace(
            outcome,
            message=f"{'perhaps ' if unsure else ''}registered nowhere: {action.address.name} was removed from app `{old}`, "
            f"and its registration to `{action.address.app}` failed: {outcome.message}",
            hints=(f"Finish it:  {self.resume} --app {action.address.app}", *outcome.hints),
        )

    def _end(self, action: Action, performed: WriteResult) -> None:
        """Give an action its outcome, and draw from it what concerns the whole run."""
        self._settle(action, performed.outcome)
        if isinstance(action, CreateApp) and performed.outcome.status is Status.DONE:
            self.org_known = True
        error = performed.error
        self.wrote |= performed.wrote
        self._performed += 1
        self._unavailable = self._unavailable + 1 if isinstance(error, Unavailable) else 0
        self._latest_error = error
        if _concerns_all(error) or self._unavailable >= _UNAVAILABLE_IN_A_ROW:
            self.stopped_by = self.stopped_by or error

    def _settle(self, action: Action, outcome: Outcome) -> None:
        """Give an action its one outcome, free what waited for it, or skip that."""
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
                self._skip(unit, f"needs {outcome.verb} {action.address}, which {_FATES[outcome.status]}")

    def _skip_rest(self, action: Action, unit: Unit) -> None:
        """Skip what has no outcome yet of a unit, since one of its actions was not done."""
        outcome = self.outcomes[action.key]
        self._skip(unit, f"needs {outcome.verb} {action.address}, which {_FATES[outcome.status]}")

    def _skip(self, unit: Iterable[Action], why: str) -> None:
        for action in unit:
            self._settle(action, _outcome(action, Status.SKIPPED, why))

    def _call_back_unsent(self) -> None:
        """Cancel what waits for its turn or looks again: nothing of it was sent."""
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


_FATES: Mapping[Status, str] = {
    Status.FAILED: "failed",
    Status.STALE: "was stale",
    Status.SKIPPED: "was skipped",
    Status.NOT_KEPT: "was not kept",
    Status.AWAITING_APPROVAL: "awaits approval",
    Status.NOT_ATTEMPTED: "was not attempted",
}


def _units(actions: tuple[Action, ...]) -> Iterable[Unit]:
    """Yield what is carried out together: both halves of a move, otherwise single actions."""
    entering = {action.address: action for action in actions if isinstance(action, RegisterTarget)}
    for action in actions:
        if isinstance(action, RemoveTarget) and action.moves_to is not None:
            yield (action, entering[action.moves_to])
        elif not (isinstance(action, RegisterTarget) and action.moves_from is not None):
            yield (action,)


def _concerns_all(error: OctosyncError | None) -> bool:
    """Whether no other action of the run could fare better."""
    if isinstance(error, Forbidden):
        return error.code in {"insufficient_scope", "missing_org_context"}
    return isinstance(error, CredentialRefused) or (error is not None and error.reference == "wrong-org")


def _outcome(action: Action, status: Status, message: str) -> Outcome:
    return Outcome(address=action.address, verb=action.verb.value, status=status, message=message)
