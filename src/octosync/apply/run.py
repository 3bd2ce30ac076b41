"""A run: all actions of a plan, concurrently as far as their dependencies allow, and one outcome for each.

Prove, then fan out: until an operation has been seen to work, its actions go one at a time. One whose effect was not
kept stops its operation for the run, so that a wrong guess of the contract harms one object and not all.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import TypeAlias

from octosync.apply.perform import Performed, Performer
from octosync.apply.record import Record
from octosync.apply.witness import Witness
from octosync.errors import CredentialRefused, Forbidden, OctosyncError, Unavailable
from octosync.model import Observation, Outcome, Sensitivity, Status
from octosync.octomil import Octomil, Reservation
from octosync.plan import Action, ActionKey, CreateApp, Plan, RegisterTarget, RemoveTarget

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
class Applied:
    """What a run did: one outcome per action, in plan order.

    `stopped_by` is the error that ended it early, if one did; `wrote` is False where certainly nothing was written.
    """

    outcomes: tuple[Outcome, ...]
    stopped_by: OctosyncError | None = None
    wrote: bool = False


async def apply_plan(
    plan: Plan,
    remote: Octomil,
    *,
    seen: Observation,
    record: Record,
    resume: str,
    sensitivity: Sensitivity | None = None,
    stop: asyncio.Event | None = None,
    on_progress: Callable[[Progress], None] | None = None,
) -> Applied:
    """Carry out exactly the plan's actions; never raises for what one of them meets: that is its outcome.

    `seen` is the observation that the plan was made from, `resume` the command that a message gives to go on with.
    Setting `stop` starts nothing more: writes that were sent are finished and recorded, a move with both halves.
    """
    performer = Performer(remote, Witness(remote, seen.read_at), sensitivity or Sensitivity())
    run = _Run(plan, remote, performer, record, resume, org_known=seen.org_id is not None, on_progress=on_progress)
    await run.go(stop or asyncio.Event())
    return Applied(tuple(run.outcomes[action.key] for action in plan.actions), run.stopped_by, run.wrote)


class _Gate(Enum):
    """What a run knows of an operation."""

    UNPROVED = "unproved"
    PROVING = "proving"
    PROVED = "proved"
    STOPPED = "stopped"


@dataclass(slots=True)
class _Underway:
    """A unit that was started; `sending` once its first request has the right to go."""

    unit: Unit
    sending: bool = False


@dataclass(slots=True)
class _Run:
    plan: Plan
    remote: Octomil
    performer: Performer
    record: Record
    resume: str
    org_known: bool
    on_progress: Callable[[Progress], None] | None
    outcomes: dict[ActionKey, Outcome] = field(default_factory=dict)
    stopped_by: OctosyncError | None = None
    wrote: bool = False
    _rank: dict[ActionKey, int] = field(default_factory=dict)
    _gates: dict[str, _Gate] = field(default_factory=dict)
    _stoppers: dict[str, Action] = field(default_factory=dict)
    _ready: list[Unit] = field(default_factory=list)
    _waiting: dict[ActionKey, set[ActionKey]] = field(default_factory=dict)
    _followers: dict[ActionKey, list[Unit]] = field(default_factory=dict)
    _underway: dict[asyncio.Task[None], _Underway] = field(default_factory=dict)
    _unavailable: int = 0

    async def go(self, stop: asyncio.Event) -> None:
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
                    self._underway.pop(task)
                    if not task.cancelled():
                        task.result()
        finally:
            stopping.cancel()
            for task in self._underway:
                task.cancel()
            await asyncio.gather(stopping, *self._underway, return_exceptions=True)
            for action in self.plan.actions:
                self._settle(action, self._not_attempted(action))

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
                self._ready.append(unit)

    def _start_what_can(self) -> None:
        held: list[Unit] = []
        queue = sorted(self._ready, key=lambda unit: self._rank[unit[0].key])
        for number, unit in enumerate(queue):
            if len(self._underway) >= self.remote.connection.concurrency:
                held.extend(queue[number:])
                break
            if (stopped := self._stopped_in(unit)) is not None:
                self._skip(
                    unit, f"`{stopped}` was stopped for this run: {self._stoppers[stopped].address} was not kept"
                )
            elif self._may_start(unit):
                self._start(unit)
            else:
                held.append(unit)
        self._ready = held

    def _may_start(self, unit: Unit) -> bool:
        if self._org_unproved():
            return isinstance(unit[0], CreateApp) and not self._underway
        return all(self._gate(action) in {_Gate.UNPROVED, _Gate.PROVED} for action in unit)

    def _org_unproved(self) -> bool:
        """Say whether no answer has named the org yet: then a create tells, before anything else is sent."""
        if self.org_known or self.remote.connection.org is None:
            return False
        return any(isinstance(action, CreateApp) and action.key not in self.outcomes for action in self.plan.actions)

    def _gate(self, action: Action) -> _Gate:
        return self._gates.get(action.operation, _Gate.UNPROVED)

    def _stopped_in(self, unit: Unit) -> str | None:
        return next((action.operation for action in unit if self._gate(action) is _Gate.STOPPED), None)

    def _start(self, unit: Unit) -> None:
        proving = {action.operation for action in unit if self._gate(action) is _Gate.UNPROVED}
        self._gates.update(dict.fromkeys(proving, _Gate.PROVING))
        underway = _Underway(unit)
        self._underway[asyncio.ensure_future(self._carry_out(underway, proving))] = underway

    async def _carry_out(self, underway: _Underway, proving: set[str]) -> None:
        unit = underway.unit
        try:
            if (moved := await self._first_moved(unit)) is not None:
                self._skip_after(moved, unit)
                return
            async with self.remote.reserve(len(unit)) as within:
                underway.sending = True
                for action in unit:
                    # A move's registration proves its removal, and must not wait for a look in between.
                    prove = action.operation in proving and action is unit[-1]
                    if not await self._send(action, unit, prove=prove, within=within):
                        self._skip_after(action, unit)
                        return
        except OctosyncError as error:  # the journal: nothing may be sent unrecorded
            self.stopped_by = self.stopped_by or error
        finally:
            for operation in proving:
                if self._gates[operation] is _Gate.PROVING:
                    self._gates[operation] = _Gate.UNPROVED

    async def _first_moved(self, unit: Unit) -> Action | None:
        """Look at a unit's objects where that is due; return the action that must not be sent, if there is one."""
        for action in unit:
            found = await self.performer.look(action)
            if found is not None:
                self._end(action, found)
                with self.record.action(action) as ended:
                    ended(found.outcome)
                return action
        return None

    async def _send(self, action: Action, unit: Unit, *, prove: bool, within: Reservation) -> bool:
        with self.record.action(action) as ended:
            performed = await self.performer.send(action, proving=prove, within=within)
            status = performed.outcome.status
            if status is not Status.DONE and action is not unit[0]:
                performed = replace(performed, outcome=self._nowhere(action, performed.outcome))
            if status is Status.DONE and action is unit[-1]:
                self._gates.update({one.operation: _Gate.PROVED for one in unit if self._gate(one) is _Gate.PROVING})
            elif status is Status.NOT_KEPT and prove:
                self._gates[action.operation] = _Gate.STOPPED
                self._stoppers[action.operation] = action
            self._end(action, performed)
            ended(performed.outcome)
        return status is Status.DONE

    def _nowhere(self, action: Action, outcome: Outcome) -> Outcome:
        """Tell the truth of a move whose second half failed."""
        old = action.moves_from.app if isinstance(action, RegisterTarget) and action.moves_from else ""
        return replace(
            outcome,
            message=f"registered nowhere: {action.address.name} was removed from app `{old}`, and its registration to "
            f"`{action.address.app}` failed: {outcome.message}",
            hints=(f"Finish it:  {self.resume} --app {action.address.app}", *outcome.hints),
        )

    def _end(self, action: Action, performed: Performed) -> None:
        self._settle(action, performed.outcome)
        if isinstance(action, CreateApp) and performed.outcome.status is Status.DONE:
            self.org_known = True
        error = performed.error
        self.wrote |= performed.outcome.status in {Status.DONE, Status.NOT_KEPT} or getattr(error, "sent", False)
        self._unavailable = self._unavailable + 1 if isinstance(error, Unavailable) else 0
        if _concerns_all(error) or self._unavailable >= _UNAVAILABLE_IN_A_ROW:
            self.stopped_by = self.stopped_by or error

    def _settle(self, action: Action, outcome: Outcome) -> None:
        """Give an action its one outcome, free what waited for it, or skip that."""
        if action.key in self.outcomes:
            return
        self.outcomes[action.key] = outcome
        if self.on_progress is not None and outcome.status is not Status.NOT_ATTEMPTED:
            self.on_progress(Progress(len(self.outcomes), len(self.plan.actions), outcome))
        for unit in self._followers.get(action.key, ()):
            if unit[0].key in self.outcomes:
                continue
            if outcome.status is Status.DONE:
                self._waiting[unit[0].key].discard(action.key)
                if not self._waiting[unit[0].key]:
                    self._ready.append(unit)
            elif outcome.status is not Status.NOT_ATTEMPTED:
                self._skip(unit, f"needs {outcome.verb} {action.address}, which {_FATES[outcome.status]}")

    def _skip_after(self, action: Action, unit: Unit) -> None:
        """Skip what is left of a unit after one of its actions was not done."""
        outcome = self.outcomes[action.key]
        rest = unit[unit.index(action) + 1 :]
        self._skip(rest, f"needs {outcome.verb} {action.address}, which {_FATES[outcome.status]}")

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
