"""The record of a run: every action is journalled before its first request and after its last."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol

from octosync.model import Address, Outcome
from octosync.plan import Verb
from octosync.state import Journal


def _now() -> datetime:
    return datetime.now(UTC)


class Recordable(Protocol):
    """What can be recorded: an action of a plan, and whatever else is sent to change something."""

    @property
    def address(self) -> Address:
        """What it is about."""

    @property
    def verb(self) -> Verb:
        """What it does."""

    @property
    def operation(self) -> str:
        """The operation that is sent for it."""


@dataclass(slots=True)
class Record:
    """One run in a journal. `clock` gives the time with its zone."""

    journal: Journal
    run: str
    clock: Callable[[], datetime] = _now
    _number: int = 0

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
    ) -> Record:
        """Open a run in the journal, under an id that it has already or a new one.

        Raises `OctosyncError` where it can't be written.
        """
        run = journal.begin_run(control_plane=control_plane, org_id=org_id, digest=digest, at=clock(), run=run)
        return cls(journal, run, clock)

    def begin_action(self, action: Recordable) -> Callable[[Outcome], None]:
        """Record that an action begins; call what is returned with its outcome. Without a call, it stays begun."""
        self._number += 1
        number = self._number
        self.journal.begin_action(
            self.run,
            number,
            address=action.address,
            verb=action.verb.value,
            operation=action.operation,
            at=self.clock(),
        )
        return lambda outcome: self.journal.end_action(self.run, number, outcome, self.clock())

    def end(self, exit_code: int) -> None:
        """Close the run."""
        self.journal.end_run(self.run, exit_code, self.clock())
