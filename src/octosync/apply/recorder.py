"""The recorder writes each action to the journal before its first request and after its last one.

`OUTCOMES` explains the reference of every outcome other than success.
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
class Record:
    """One run in a journal. `clock` returns the time with its zone."""

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
        """Open a run in the journal, with the given id or a new one.

        Raise `OctosyncError` if the journal can't be written.
        """
        run = journal.begin_run(control_plane=control_plane, org_id=org_id, digest=digest, at=clock(), run=run)
        return cls(journal, run, clock)

    def begin_action(self, action: Recordable) -> Callable[[Outcome], None]:
        """Record the start of an action. Call the returned function with its outcome; without a call, the action stays open."""
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
    """The meaning of an outcome's reference, and what to do about it."""

    reference: str
    meaning: str
    ways_out: tuple[str, ...]


_AGAIN: Final = "apply again: it continues where it stopped"
_HELD: Final = "declare the target's removal there, so that it becomes a move"


def _table(*meanings: OutcomeMeaning) -> Mapping[str, OutcomeMeaning]:
    return MappingProxyType({meaning.reference: meaning for meaning in meanings})


OUTCOMES: Final = _table(
    OutcomeMeaning(
        "target-held-elsewhere",
        "The platform and identifier of a target belong to another app; they are unique in an org.",
        (_HELD, "remove the target from the app that holds it"),
    ),
    OutcomeMeaning(
        "not-kept",
        "The control plane accepted the write but persisted something else. Actions that depend on it were not sent.",
        ("compare the field with what Octomil documents", "see `octosync api check`"),
    ),
    OutcomeMeaning(
        "not-removed",
        "The control plane answers the removal with 404 Not Found, but still returns the object.",
        ("if Octomil uses another path for the removal, set it in octosync.yaml: api.operations",),
    ),
    OutcomeMeaning(
        "object-changed",
        "The object changed after the plan was made, so the plan no longer applies. Nothing was sent for it.",
        ("plan again and review the live state",),
    ),
    OutcomeMeaning(
        "outcome-unknown",
        "The response was lost, and later reads could not determine whether the write took effect.",
        (_AGAIN,),
    ),
    OutcomeMeaning(
        "outcome-unproved",
        "The control plane accepted the write, but octosync could not read whether it was persisted.",
        (_AGAIN,),
    ),
    OutcomeMeaning(
        "no-time-to-write",
        "The rate limit delayed the write so long that the object had to be read again, several times.",
        ("apply again with a lower --concurrency or a higher --rate",),
    ),
    OutcomeMeaning(
        "enable-changed-pin",
        "The manifest pins a variant, but Octomil deployed another one. There is no API to undeploy.",
        ("pin what Octomil chooses", "declare `variant: auto`"),
    ),
    OutcomeMeaning(
        "optimize-chose-another",
        "A suggested variant was approved, but the canary uses another one.",
        ("check `octosync status`, then plan again",),
    ),
    OutcomeMeaning(
        "awaiting-approval",
        "The org requires an approval before this happens.",
        ("approve it in the Octomil dashboard, then apply again",),
    ),
    OutcomeMeaning(
        "wrong-org",
        "The response names another org than the configured one. Nothing else was sent.",
        ("check `org` of the context and the org of the API key",),
    ),
)
