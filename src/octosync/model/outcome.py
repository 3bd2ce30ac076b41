"""Outcomes: what became of each planned action."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from octosync.model.address import Address


class Status(Enum):
    """What became of an action.

    `DONE` sent and answered, or found already done when an answer was lost · `FAILED` refused or beyond the retries ·
    `STALE` the object moved since it was read, nothing was sent · `SKIPPED` something it needs did not happen ·
    `NOT_KEPT` the control plane said yes and kept something else · `AWAITING_APPROVAL` a person must approve it in Octomil ·
    `NOT_ATTEMPTED` the run stopped before it.
    """

    DONE = "done"
    FAILED = "failed"
    STALE = "stale"
    SKIPPED = "skipped"
    NOT_KEPT = "not_kept"
    AWAITING_APPROVAL = "awaiting_approval"
    NOT_ATTEMPTED = "not_attempted"


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of one action, named by its address and verb.

    `message` is one sentence, "" for a plain success; `hints` say what to do next; `reference` is the error's stable name.
    `request_ids` are the control plane's, in order of the requests that were sent for it. `retryable`: the failure may go by
    itself, so that trying again makes sense.
    """

    address: Address
    verb: str
    status: Status
    message: str = ""
    reference: str = ""
    hints: tuple[str, ...] = ()
    request_ids: tuple[str, ...] = ()
    retryable: bool = False
