"""The table of what can become of a change that did not simply happen: the references of outcomes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final


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
