"""The record of one run: what its actions write to the journal, each before its request and after its response."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from typing import Protocol

from octosync.errors import OctosyncError
from octosync.model import Address, Outcome, RunAudit
from octosync.plan import Verb
from octosync.state.journal import Journal, Statement, action_end, action_start


def _now() -> datetime:
    return datetime.now(UTC)


class Recordable(Protocol):
    """A change that is recorded: an action of a plan, or a bootstrap."""

    @property
    def address(self) -> Address:
        """The address of the object."""

    @property
    def verb(self) -> Verb:
        """The verb: create, update, delete and so on."""

    @property
    def operation(self) -> str:
        """The operation that is sent."""


@dataclass(slots=True)
class _QueuedStarts:
    """Starts of actions that are written with the next transaction, and the future that then gets a result."""

    statements: list[Statement]
    written: asyncio.Future[None]


@dataclass(slots=True)
class Record:
    """One run in a journal. `clock` returns the time with its zone.

    Actions that run concurrently start with `begin_together`: what they record at the same moment is one transaction, since a
    transaction for each costs more CPU and disk writes than all the rest of an action. `flush` writes what is still queued.
    """

    journal: Journal
    run: str
    clock: Callable[[], datetime] = _now
    _number: int = 0
    _starts: list[_QueuedStarts] = field(default_factory=list)
    _ends: list[Statement] = field(default_factory=list)
    _timer: asyncio.TimerHandle | None = None

    @classmethod
    def begin(
        cls,
        journal: Journal,
        *,
        control_plane: str,
        org_id: str | None,
        digest: str,
        clock: Callable[[], datetime] = _now,
        run: str | None = None,
        audit: RunAudit | None = None,
    ) -> Record:
        """Open a run in the journal, with the given id or a new one.

        Raise `OctosyncError` if the journal can't be written.
        """
        run = journal.begin_run(
            control_plane=control_plane, org_id=org_id, digest=digest, at=clock(), run=run, audit=audit
        )
        return cls(journal, run, clock)

    def begin_action(self, action: Recordable) -> Callable[[Outcome], None]:
        """Record the start of an action. Call the returned function with its outcome; without a call, the action stays open."""
        number, statement = self._start(action)
        self._write_starts([statement])
        return lambda outcome: self.journal.record([action_end(self.run, number, outcome, self.clock())])

    async def begin_together(self, actions: Iterable[Recordable]) -> list[Callable[[Outcome], None]]:
        """Record the start of actions, and return once that is committed. Call each returned function with the outcome.

        An outcome is committed with the next starts, after one iteration of the event loop without any, or by `flush`.
        Raise `OctosyncError` if the starts, or earlier outcomes, can't be recorded.
        """
        started = [self._start(action) for action in actions]
        queued = _QueuedStarts([statement for _, statement in started], asyncio.get_running_loop().create_future())
        self._starts.append(queued)
        self._write_soon()
        await queued.written
        return [partial(self._queue_end, number) for number, _ in started]

    def flush(self) -> None:
        """Write the outcomes that are queued.

        Raise `OctosyncError` if the journal can't be written. If that may pass, they are written with its next transaction.
        """
        if self._timer is not None:
            self._timer.cancel()
        if (error := self._write_queued()) is not None:
            if self.journal.record_later(self._ends, error):
                self._ends.clear()
            raise error

    def end(self, exit_code: int) -> None:
        """Close the run."""
        self.journal.end_run(self.run, exit_code, self.clock())

    def _start(self, action: Recordable) -> tuple[int, Statement]:
        self._number += 1
        statement = action_start(
            self.run,
            self._number,
            address=action.address,
            verb=action.verb.value,
            operation=action.operation,
            at=self.clock(),
        )
        return self._number, statement

    def _queue_end(self, number: int, outcome: Outcome) -> None:
        self._ends.append(action_end(self.run, number, outcome, self.clock()))
        self._write_soon()

    def _write_soon(self) -> None:
        """Write after all that is ready to run now: the next action of an app starts right after an outcome."""
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(0, self._write_queued)

    def _write_queued(self) -> OctosyncError | None:
        """Write what is queued in one transaction. Return the error of the journal, if any; then no start was recorded.

        Outcomes stay queued until they are written. A start that nothing waits for any more is dropped.
        """
        self._timer = None
        starts = [queued for queued in self._starts if not queued.written.done()]
        self._starts.clear()
        statements = [statement for queued in starts for statement in queued.statements]
        if not self._ends and not statements:
            return None
        try:
            self._write_starts(statements, self._ends)
        except OctosyncError as error:
            for queued in starts:
                queued.written.set_exception(error)
            return error
        self._ends.clear()
        for queued in starts:
            queued.written.set_result(None)
        return None

    def _write_starts(self, starts: Sequence[Statement], ends: Sequence[Statement] = ()) -> None:
        """Write starts, and outcomes of others. If that fails, none of the actions starts, and none stays in the journal."""
        try:
            self.journal.write_together([*ends, *starts])
        except OctosyncError as error:
            self.journal.undo_later(
                [("delete from action where run = ? and number = ?", values[:2]) for _, values in starts], error
            )
            raise
