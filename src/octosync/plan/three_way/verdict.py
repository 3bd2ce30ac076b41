"""Verdicts: the three-way rules, for one unit. A unit is a field of an app or slot, or the existence of an object.

    tree against base   live against base                       verdict
    changed             equal                                   MANIFEST_CHANGED (REMOVED: no longer declared)
    equal               changed                                 DRIFT
    changed             changed, and not to the tree's value    DIVERGED
    equal, REV moved on whatever                                STALE

What the base did not declare has the live value as its base. A live value that an unfinished apply declared is our own, so
it is no drift, and nobody's work that could be undone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import Enum
from typing import Final, TypeAlias

from octosync.model import JsonValue, Reason, json_equal


class Undeclared(Enum):
    """What a side says of a unit that it does not declare."""

    UNDECLARED = "undeclared"


UNDECLARED: Final = Undeclared.UNDECLARED
Said: TypeAlias = "JsonValue | Undeclared"


class Rest(Enum):
    """Why nothing is to be done about a unit."""

    AS_DECLARED = "as_declared"
    UNTOUCHED = "untouched"
    STALE = "stale"


Verdict: TypeAlias = Reason | Rest

_GRAVEST_FIRST: Final = (Reason.DIVERGED, Reason.DRIFT, Reason.REMOVED, Reason.MANIFEST_CHANGED, Reason.NEW)


@dataclass(frozen=True, slots=True, kw_only=True)
class Unit:
    """What every side says of one unit.

    `tip` is None where the base's revision has not moved on. `default` is what live is to be where nobody declares it any
    longer. `equal` says whether a live value (its second argument) is what is declared. `chosen`: Octomil chooses a value
    where none is declared, so one that nobody declared is nobody's work.
    """

    tree: Said
    base: Said
    live: JsonValue
    tip: Said | None = None
    attempted: tuple[Said, ...] = ()
    default: JsonValue = None
    equal: Callable[[JsonValue, JsonValue], bool] = json_equal
    chosen: bool = False

    def is_live(self, said: Said) -> bool:
        """Say whether live is what a side declares."""
        return not isinstance(said, Undeclared) and self.equal(said, self.live)

    @property
    def is_ours(self) -> bool:
        """Whether the live value is one that an unfinished apply declared."""
        return any(map(self.is_live, self.attempted))


def verdict_on(unit: Unit) -> Verdict:
    """Judge one unit."""
    tree, base = unit.tree, unit.base
    changed = not _same(tree, base)
    if not changed and unit.tip is not None and not _same(unit.tip, base):
        return Rest.STALE
    if tree is UNDECLARED and base is UNDECLARED:
        unfinished = unit.is_ours and not unit.equal(unit.default, unit.live)
        return Reason.REMOVED if unfinished else Rest.UNTOUCHED
    if isinstance(tree, Undeclared):
        return _no_longer_declared(unit)
    if unit.is_live(tree):
        return Rest.AS_DECLARED
    if base is UNDECLARED or unit.is_ours or (changed and unit.is_live(base)):
        return Reason.MANIFEST_CHANGED
    return Reason.DIVERGED if changed else Reason.DRIFT


def _no_longer_declared(unit: Unit) -> Verdict:
    if unit.equal(unit.default, unit.live):
        return Rest.AS_DECLARED
    if unit.is_live(unit.base) or unit.is_ours:
        return Reason.REMOVED
    return Rest.UNTOUCHED if unit.chosen else Reason.DIVERGED


def gravest(reasons: Iterable[Reason]) -> Reason | None:
    """Return the reason that an object's row shows; None for none."""
    return min(reasons, key=_GRAVEST_FIRST.index, default=None)


def _same(one: Said, other: Said) -> bool:
    if isinstance(one, Undeclared) or isinstance(other, Undeclared):
        return one is other
    return json_equal(one, other)
