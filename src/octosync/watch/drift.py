"""Drift after a turn: what somebody changed and that stays for now, who did it, and until when."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime

from octosync.model import Address
from octosync.plan import ActionKey, Plan
from octosync.plan.guards.freeze import frozen_until
from octosync.watch.manifests.assignment import ActiveConfig
from octosync.watch.memory import Memory
from octosync.watch.reconcile.observer import ReconcileContext, prints
from octosync.watch.settings import WriteMode
from octosync.watch.status import DriftStatus


def note_drift(
    memory: Memory, context: ReconcileContext, plan: Plan, done: Collection[ActionKey], active: ActiveConfig
) -> tuple[DriftStatus, ...]:
    """Take note of what drifts and stays so for now, and say who did it and until when. `done` was carried out."""
    healed = {key.address for key in done}
    held = {one.action.address: one.until for one in plan.held}
    drifted = {at: print_ for at, print_ in prints(plan).items() if at in held or at not in healed}
    contested = memory.contested(context.apps)
    found = []
    for slug in sorted(context.apps):
        seen = memory.see_drift(slug, {at: one for at, one in drifted.items() if at.app == slug}, context.began)
        for at, since in sorted(seen.items()):
            last = plan.last_changes.get(at)
            found.append(
                DriftStatus(
                    address=at,
                    first_seen=since,
                    actor=last.event.actor if last is not None else None,
                    at=last.event.at if last is not None else None,
                    until=_left_until(at, held, active, context.began),
                    contested=at in contested,
                    heals=memory.heals(at),
                )
            )
    return tuple(found)


def _left_until(
    address: Address, held: Mapping[Address, datetime | None], active: ActiveConfig, now: datetime
) -> datetime | None:
    """Say until when drift stays: that of its hold, and of a freeze window that is in force by then. None: it isn't healed."""
    until = held.get(address, now)
    if active.heal is WriteMode.NONE or until is None:
        return None
    return frozen_until(active.configuration.freeze, address.app, until) or held.get(address)
