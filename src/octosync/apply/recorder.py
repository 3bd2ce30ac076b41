"""The record of a run: every action is journalled before its first request and after its last.

The table of what can become of a change that did not simply happen: the references of outcomes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Final, Protocol

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


@dataclass(frozen=True, slots=True)
class OutcomeMeaning:
    """What an outcome's reference means, and what to do."""

    reference: str
    meaning: str
    ways_out: tuple[str, ...]


_AGAIN: Final = "apply again: it goes on where it stopped"
_HELD: Final = "declare the target's removal there, so that it becomes a move"


def _table(*meanings: OutcomeMeaning) -> Mapping[str, OutcomeMeaning]:
    return MappingProxyType({one.reference: one for one in meanings})


OUTCOMES: Final = _table(
    OutcomeMeaning(
        "target-held-elsewhere",
        "The platform and identifier of a target belong to another app, and an org holds them once.",
        (_HELD, "remove the target from the app that holds it"),
    ),
    OutcomeMeaning(
        "not-kept",
        "The control plane said yes, and what it keeps is not what was sent. Nothing that depends on it was sent.",
        ("compare the field with what Octomil documents", "see `octosync api check`"),
    ),
    OutcomeMeaning(
        "not-removed",
        "The control plane answers a removal with that it doesn't have the object, and shows it all the same.",
        ("where Octomil removes it by another path, say so in octosync.yaml: api.operations",),
    ),
    OutcomeMeaning(
        "object-moved",
        "The object changed between the plan and its turn, so that the plan no longer holds. Nothing was sent for it.",
        ("plan again, and look at what is live now",),
    ),
    OutcomeMeaning(
        "outcome-unknown",
        "The answer was lost, and nothing that could be read since settles it: it may have taken effect.",
        (_AGAIN,),
    ),
    OutcomeMeaning(
        "outcome-unproved",
        "The control plane said yes, and whether it kept what was sent could not be read.",
        (_AGAIN,),
    ),
    OutcomeMeaning(
        "no-time-to-write",
        "The rate limit held the write up, again and again, until what was read was too old to be written.",
        ("apply again with a lower --concurrency or a higher --rate",),
    ),
    OutcomeMeaning(
        "enable-changed-pin",
        "The manifest pins a variant, and Octomil deployed another one. There is no API to undeploy.",
        ("pin what Octomil chooses", "declare `variant: auto`"),
    ),
    OutcomeMeaning(
        "optimize-chose-another",
        "A variant was suggested and approved, and the canary that was started is to another one.",
        ("look at it with `octosync status`, and plan again",),
    ),
    OutcomeMeaning(
        "awaiting-approval",
        "The org wants a person's approval before this happens.",
        ("approve it in the Octomil dashboard, then apply again",),
    ),
    OutcomeMeaning(
        "wrong-org",
        "The answer is of another org than the one that is meant. Nothing else was sent.",
        ("check `org` of the context, and whose the API key is",),
    ),
)
