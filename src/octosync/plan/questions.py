"""Questions of a plan: what guards, previews and authors make necessary to know, and what is known already.

Pure, like the plan: it says what to ask, and the remote asks it. Answers lead to a new plan, which may have new questions.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from octosync.model import Address, Observation, Questions, Section
from octosync.plan.actions import (
    Action,
    ArchiveApp,
    DeleteSlot,
    OptimizeCapability,
    PutSlot,
    RemoveTarget,
)
from octosync.plan.drift import feeds_to_read, needs_author

# What the guards cover: during-canary, live-traffic.
UNSAFE_DURING_CANARY: Final = (PutSlot, DeleteSlot, RemoveTarget, OptimizeCapability)
UNSAFE_UNDER_TRAFFIC: Final = (ArchiveApp, DeleteSlot, RemoveTarget)


@dataclass(frozen=True, slots=True, kw_only=True)
class Curiosity:
    """How much a run wants to know.

    `canaries` and `traffic` of apps where a guard would mind them: not where that guard is lifted; a slot that is deleted
    asks for deployments all the same, since the plan says which go on without it. `authors_since`: how far back the org's
    feed is read for who changed what, None: not at all.
    """

    canaries: bool = True
    traffic: bool = True
    authors_since: datetime | None = None


def questions_of(
    actions: Iterable[Action],
    seen: Observation,
    curiosity: Curiosity,
    *,
    previews: Iterable[Address] = (),
    checks: Iterable[Address] = (),
    canaries: bool = False,
    drifted: Collection[Address] = (),
) -> Questions:
    """Say what is still to be asked for a plan of these actions; what was asked before is not asked again.

    When a `drifted` object was changed decides whether it is held, be it a move by hand.
    """
    actions = tuple(actions)
    there = seen.state.apps
    minded = {
        one.address.app
        for one in actions
        if isinstance(one, UNSAFE_DURING_CANARY if curiosity.canaries else DeleteSlot)
    }
    exposed = {one.address.app for one in actions if isinstance(one, UNSAFE_UNDER_TRAFFIC)}
    wants_authors = curiosity.authors_since is not None and any(
        needs_author(one) or one.address in drifted for one in actions
    )
    return Questions(
        deployments=tuple(
            slug for slug in sorted(minded & there.keys()) if Section.DEPLOYMENTS not in there[slug].whole
        ),
        routing=tuple(slug for slug in sorted(exposed) if curiosity.traffic and slug not in seen.routing),
        previews=tuple(sorted(previews)),
        checks=tuple(sorted(checks)),
        canaries=canaries,
        org_feed_since=curiosity.authors_since if wants_authors and seen.org_feed is None else None,
        app_feeds=feeds_to_read(actions, seen, drifted) if wants_authors else (),
    )
