"""The observer: it reads live state and plans, with everything that only a controller knows."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime

from octosync.model import Address, App, Observation, Reason, State
from octosync.octomil import Octomil, Reading
from octosync.plan import ControlPlane, Plan, PlanOptions
from octosync.plan.base import Base
from octosync.plan.drift import newest_in_app_feeds, newest_in_org_feed
from octosync.plan.holding import Holding
from octosync.reconcile import ReviewedPlan, observe_and_review, review
from octosync.watch.checks import OptimizationChecks
from octosync.watch.looks import ObjectHistory
from octosync.watch.loop.activity_feed import ActivityFeed
from octosync.watch.loop.feed_follower import FeedFollower
from octosync.watch.manifests.assignment import ActiveConfig
from octosync.watch.memory import Memory
from octosync.watch.settings import WriteMode


@dataclass(frozen=True, slots=True)
class ReconcileContext:
    """What a turn is about.

    Its id, when it began, its apps, as they are declared, what they are compared with, and of which org that is; `narrowed`
    is how often manifests had gone out of sight when it began.
    """

    id: str
    began: datetime
    apps: frozenset[str]
    tree: State
    base: Base
    plane: ControlPlane
    narrowed: int


@dataclass(slots=True)
class Observer:
    """Reads and plans. The feed tells who changed what, and when."""

    memory: Memory
    feed: ActivityFeed
    follower: FeedFollower
    checks: OptimizationChecks = field(default_factory=OptimizationChecks)
    history: ObjectHistory = field(default_factory=ObjectHistory)

    async def observe(
        self, context: ReconcileContext, active: ActiveConfig, remote: Octomil, listed: Reading[dict[str, App]] | None
    ) -> ReviewedPlan:
        """Look at the apps of a turn, as far as they are not `listed`. Raises `RemoteError` as `reconcile.look` does."""
        holding = self._holding(context.apps, active)

        def known(seen: Observation) -> Observation:
            self.feed.learn_slugs((str(app.identity["id"]), app.slug) for app in seen.state if "id" in app.identity)
            return self.checks.add_to(self._with_feed(seen, context, active), context.began)

        options = PlanOptions(
            now=context.began, contract=remote.contract, deploy=active.deploy, base=context.base, hold=holding
        )
        reviewed = await observe_and_review(
            context.tree,
            remote,
            active.policy,
            options,
            authors_since=context.began - active.hold,
            listed=listed,
            remembered=known,
        )
        self.checks.learn(reviewed.observation, context.began)
        if reviewed.plan.errors:
            return reviewed
        self.history.record(context.apps, reviewed.plan.fingerprints, context.began)
        changed = frozenset({*reviewed.plan.drifted, *_diverged(reviewed.plan)})
        anew = self.memory.changed_since(prints(reviewed.plan))
        seen = self.history.without_stale_events(reviewed.observation, changed)
        known_before = (holding.first_seen or {}).keys() - anew
        if self.feed.off is None and not _is_told(seen, changed - known_before):
            # There is a change without an event: it is younger than the last poll.
            await self.follower.poll_now()
            seen = self.history.without_stale_events(self._with_feed(reviewed.observation, context, active), changed)
        contested = self.memory.contest(reviewed.plan.drifted)
        if not anew and not contested and seen == reviewed.observation:
            return reviewed
        first_seen = {at: since for at, since in (holding.first_seen or {}).items() if at not in anew}
        holding = replace(holding, first_seen=first_seen, never=self.memory.contested(context.apps))
        plan = review(context.tree, seen, replace(options, hold=holding)).plan
        return replace(reviewed, observation=seen, plan=replace(plan, requests_used=reviewed.plan.requests_used))

    def _with_feed(self, seen: Observation, context: ReconcileContext, active: ActiveConfig) -> Observation:
        events, is_cut = self.feed.events_since(context.began - active.hold)
        return replace(seen, org_feed=events, org_feed_is_cut=is_cut)

    def _holding(self, apps: frozenset[str], active: ActiveConfig) -> Holding:
        return Holding(
            span=None if active.heal is WriteMode.MANIFEST else active.hold,
            first_seen=self.memory.first_seen(apps),
            apps={slug: hold.until for slug, hold in self.memory.holds().items() if slug in apps},
            never=self.memory.contested(apps),
        )


def prints(plan: Plan) -> Mapping[Address, str]:
    """Return what drifts, with what tells whether it is still the same: the fingerprint of what is live."""
    return {at: plan.fingerprints.get(at, "") for at in plan.drifted}


def _diverged(plan: Plan) -> Collection[Address]:
    return [one.address for one in plan.actions if one.reason is Reason.DIVERGED]


def _is_told(seen: Observation, changed: Collection[Address]) -> bool:
    """Say whether events are known of all of these changes."""
    feeds = (newest_in_org_feed(seen), newest_in_app_feeds(seen))
    return all(any(newest(at) is not None for newest in feeds) for at in changed)
