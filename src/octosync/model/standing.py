"""Standings: how far a deployment is that a run waits for, and what became of it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from octosync.errors import OctosyncError
from octosync.model.address import Address
from octosync.model.deployment import Canary


class Fate(Enum):
    """What became of a deployment that was waited for.

    `COVERED` its devices have it, and no canary runs · `FAILED` its status says so · `ROLLED_BACK` it, or its canary, was
    taken back · `TIMED_OUT` neither in time · `UNREADABLE` how it stands could not be read. Two were not waited for:
    `NO_DEVICES` nothing can be covered · `AWAITING_APPROVAL` a person must approve it in Octomil.
    """

    COVERED = "covered"
    FAILED = "failed"
    ROLLED_BACK = "rolled_back"
    TIMED_OUT = "timed_out"
    UNREADABLE = "unreadable"
    NO_DEVICES = "no_devices"
    AWAITING_APPROVAL = "awaiting_approval"

    @property
    def is_failure(self) -> bool:
        """Whether it was waited for in vain."""
        return self in {Fate.FAILED, Fate.ROLLED_BACK, Fate.TIMED_OUT, Fate.UNREADABLE}


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """How one capability stands in one environment, as it was last read; None is what was not read, or is not said.

    `fate` is None as long as it is waited for. `deployment`, `status` and `variant` are the deployment's, `canary` the one
    that runs, `ended` the last one that ran and ended otherwise. `covered` of `devices` have it, over all environments of
    the slot. `error` is why the latest read failed.
    """

    address: Address
    fate: Fate | None = None
    deployment: str | None = None
    status: str | None = None
    variant: str | None = None
    canary: Canary | None = None
    ended: Canary | None = None
    starting: bool = False
    coverage: str | None = None
    covered: int | None = None
    devices: int | None = None
    error: OctosyncError | None = None
