"""What a probe of the read operations came to, and the overrides that follow from it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from octosync.contract.contract import Contract
from octosync.contract.operations import Operation
from octosync.contract.overrides import Overrides, overrides_in


class Verdict(Enum):
    """What a probe came to."""

    CONFIRMED = "confirmed"
    DIFFERS = "differs"
    REFUSED = "refused"
    ABSENT = "absent"
    FAILED = "failed"
    NOT_TRIED = "not-tried"

    @property
    def is_good(self) -> bool:
        """Whether nothing speaks against the operation."""
        return self in {Verdict.CONFIRMED, Verdict.NOT_TRIED}


@dataclass(frozen=True, slots=True, kw_only=True)
class Probed:
    """What came of one operation. `notes` say what differs, or why it was not tried; `found_at` is another path."""

    operation: Operation
    verdict: Verdict
    notes: tuple[str, ...] = ()
    found_at: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """A whole probe: the read operations in the table's order, the app that was asked for, and the requests that it took."""

    app: str | None
    operations: tuple[Probed, ...]
    requests: int

    @property
    def is_good(self) -> bool:
        """Whether every operation that was tried is as octosync expects."""
        return all(one.verdict.is_good for one in self.operations)


def overrides_of(probe: Probe, contract: Contract) -> tuple[Overrides | None, frozenset[str]]:
    """Return the overrides for what is elsewhere, and the operations of which somebody has to fill in the path.

    None where there is nothing to override.
    """
    found = {one.operation.id: {"path": one.found_at} for one in probe.operations if one.found_at is not None}
    open_ = {one.operation.id: {"path": _open_path(one.operation)} for one in probe.operations if _is_open(one)}
    if not found and not open_:
        return None, frozenset()
    return overrides_in(contract).with_more({**found, **open_}, {}), frozenset(open_)


def _is_open(one: Probed) -> bool:
    return one.verdict is Verdict.ABSENT and one.found_at is None


def _open_path(operation: Operation) -> str:
    """Return the operation's path with a gap where its name is."""
    head, *names = operation.path.split("/")
    last = max(index for index, name in enumerate(names) if "{" not in name)
    return "/".join([head, *names[:last], "…", *names[last + 1 :]])
