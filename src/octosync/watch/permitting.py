"""Permitting: what of a plan may be written now, what guards block of it, and what the rest waits for."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime

from octosync.model import Address
from octosync.plan import Action, ActionKey, Blocked, Plan, Tally, judge
from octosync.plan.blocked import refused_by
from octosync.plan.freezing import frozen_until
from octosync.plan.narrowing import unblocked, without
from octosync.plan.tally import COUNTED_FOR
from octosync.watch.changes import Changes
from octosync.watch.clock import Clock
from octosync.watch.looking import InForce
from octosync.watch.memory import Memory
from octosync.watch.refusals import Refusals
from octosync.watch.settings import Heal

_COUNTING = frozenset({"deletes", "archives"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Permitted:
    """What may be written of a plan, what guards block, and what else waits for ("" for nothing).

    `again_at` is when guards will judge otherwise by themselves, None where they won't.
    """

    plan: Plan
    blocked: tuple[Blocked, ...] = ()
    waits_for: str = ""
    again_at: datetime | None = None


@dataclass(slots=True)
class Permits:
    """Judges plans of turns that go on at the same time: what one of them is removing counts for all others."""

    memory: Memory
    changes: Changes
    refusals: Refusals
    clock: Clock
    _removing: dict[str, frozenset[Address]] = field(default_factory=dict)  # by a turn's id, while it writes

    def permit(self, plan: Plan, apps: frozenset[str], force: InForce) -> Permitted:
        """Judge a plan, and leave out of it what may not be written now."""
        blocked, let_pass = self._blocked(plan, apps, force)
        allowed, why = self._allowed(let_pass, apps, force, self.clock.now())
        # Removals of the last minutes count, so what they are too many for may pass when they no longer do.
        passes_later = any(one.guard in _COUNTING for one in blocked) and self._lately(apps) != Tally()
        again_at = self.clock.now() + COUNTED_FOR if passes_later else None
        return Permitted(plan=allowed, blocked=blocked, waits_for=why, again_at=again_at)

    @contextmanager
    def writing(self, turn: str, plan: Plan) -> Iterator[None]:
        """Have what a turn removes count as being removed while the context is open."""
        self._removing[turn] = frozenset(one.address for one in plan.actions if one.destructive)
        try:
            yield
        finally:
            del self._removing[turn]

    def _blocked(self, plan: Plan, apps: frozenset[str], force: InForce) -> tuple[tuple[Blocked, ...], Plan]:
        """Judge a plan together with what the same change removes elsewhere, and with what was removed lately.

        Return what guards block that nobody approved, and the plan without that.
        """
        also = self._together_with(apps) if any(one.destructive for one in plan.actions) else Tally()
        found = judge(plan, force.policy, also, diverged=False)
        approved = {one.guard: self.memory.approved(one.guard, refused_by(plan.actions, one)) for one in found}
        allowed = {guard: {key.address for key in keys} for guard, keys in approved.items()}
        rest = (replace(one, addresses=_but(one.addresses, allowed[one.guard])) for one in found if one.addresses)
        nameless = (one for one in found if not one.addresses)
        blocked = (*(one for one in rest if one.addresses), *nameless)
        return blocked, unblocked(plan, blocked, approved)

    def _together_with(self, apps: frozenset[str]) -> Tally:
        change = self.changes.of(apps)
        return self._lately(apps) if change is None else change.tally_but(apps) + self._lately(apps)

    def _lately(self, apps: frozenset[str]) -> Tally:
        """Count what was removed in the last minutes, or is being removed."""
        change = self.changes.of(apps)
        together = apps if change is None else apps | change.apps
        planned, under_way = set[Address](), set[Address]()
        for address in frozenset[Address]().union(*self._removing.values()):
            (planned if address.app in together else under_way).add(address)
        return self.memory.removed_lately(together, planned=planned, under_way=under_way)

    def _allowed(self, plan: Plan, apps: frozenset[str], force: InForce, now: datetime) -> tuple[Plan, str]:
        """Return what of a plan may be written now, and what the rest waits for."""
        if not plan.actions:
            return plan, ""
        if force.heal is Heal.NONE:
            return without(plan, keys_of(plan)), "this controller only plans (--heal none)"
        if (suspended := self.memory.suspended) is not None:
            reason = f": {suspended.reason}" if suspended.reason else ""
            return without(plan, keys_of(plan)), f"everything is suspended{reason}"
        frozen = {slug for slug in apps if frozen_until(force.configuration.freeze, slug, now) is not None}
        why = ""
        if frozen:
            plan, why = without(plan, keys_of(plan, lambda one: one.address.app in frozen)), "a freeze window"
        unconfirmed = keys_of(plan, lambda one: one.destructive and one.address in force.vanishing)
        if unconfirmed:
            plan, why = without(plan, unconfirmed), why or "a second look that its manifest is gone for good"
        removals = keys_of(plan, lambda one: one.destructive)
        if removals and not self.changes.is_read(apps):
            plan, why = without(plan, removals), why or "the other apps of its change to be read"
        refused = self.refusals.standing(apps, plan)
        return without(plan, keys_of(plan, lambda one: one.substance in refused)), why


def keys_of(plan: Plan, which: Callable[[Action], bool] = lambda _: True) -> frozenset[ActionKey]:
    """Return the keys of a plan's actions, of those that are meant."""
    return frozenset(one.key for one in plan.actions if which(one))


def _but(addresses: Iterable[Address], these: Collection[Address]) -> tuple[Address, ...]:
    return tuple(one for one in addresses if one not in these)
