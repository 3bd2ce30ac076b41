"""The result of a run: its progress, one outcome per action, and the meaning of the references of outcomes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from octosync.errors import OctosyncError
from octosync.model import Outcome
from octosync.plan import Action


@dataclass(frozen=True, slots=True)
class Progress:
    """The progress of a run: `done` of `total` actions have an outcome; `outcome` is the latest one."""

    done: int
    total: int
    outcome: Outcome


@dataclass(frozen=True, slots=True)
class ApplyResult:
    """The result of a run: one outcome per action, in plan order.

    `stopped_by` is the error that ended the run early, if any. `wrote` is False if nothing was written.
    """

    outcomes: tuple[Outcome, ...]
    stopped_by: OctosyncError | None = None
    wrote: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Listener:
    """Callbacks of a run: `started` before the first request of an action, `progressed` after each outcome."""

    started: Callable[[Action], None] | None = None
    progressed: Callable[[Progress], None] | None = None


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
        "The control plane responds to the removal with 404 Not Found, but still returns the object.",
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
