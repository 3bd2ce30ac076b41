"""The observer: it reads live state and plans, with the knowledge that only a controller has.

It knows from earlier reads since when an object can have its present state. An event from before a read in which the object
still differed is not about the present state, even if it is the newest known event: its author and time are not those of the
change. The observer also asks Octomil for better variants, once a day for each deployment, and when its fleet has changed.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from octosync.errors import RemoteError
from octosync.model import Address, App, Deployment, Event, Observation, OptimizationCheck, Reason, State
from octosync.octomil import Octomil, ReadResult
from octosync.plan import ControlPlane, Fingerprint, HoldPolicy, Plan, PlanOptions, PolicyRun
from octosync.plan.drift import newest_in_app_feeds, newest_in_org_feed
from octosync.plan.three_way.verdict import Base
from octosync.policies import evaluate
from octosync.reconcile import ReviewedPlan, observe_and_review, review_in_thread
from octosync.state import StoredCheck
from octosync.watch.checkpoint import Checkpoint
from octosync.watch.loop.activity_feed import ActivityFeed, FeedFollower
from octosync.watch.manifests.assignment import ActiveConfig
from octosync.watch.memory import Memory
from octosync.watch.settings import WriteMode

# The control plane's clock, which events have their times from, and ours need not agree.
_SLACK = timedelta(seconds=5)
_WRITTEN = ""  # no fingerprint


@dataclass(frozen=True, slots=True)
class _Known:
    fingerprint: str
    at: datetime
    since: datetime | None


class ObjectHistory:
    """The fingerprint of each object when it was last read, and since when it can have had it."""

    def __init__(self) -> None:
        self._known: dict[str, dict[Address, _Known]] = {}

    def record(self, apps: Collection[str], fingerprints: Mapping[Address, Fingerprint], at: datetime) -> None:
        """Record the fingerprints of apps that were read at a time."""
        for slug in apps:
            before = self._known.get(slug, {})
            self._known[slug] = {
                address: _next(before.get(address), str(fingerprint), at)
                for address, fingerprint in fingerprints.items()
                if address.app == slug
            }

    def record_write(self, address: Address, at: datetime) -> None:
        """Record that an object was written at a time: its next state dates from then."""
        known = self._known.setdefault(address.app, {})
        known[address] = _Known(_WRITTEN, at, None)

    def forget(self, apps: Iterable[str]) -> None:
        """Forget apps that this controller no longer manages."""
        for slug in apps:
            self._known.pop(slug, None)

    def without_stale_events(self, seen: Observation, changed: Collection[Address]) -> Observation:
        """Return the observation without the events that can't have changed these objects; the same one if there are none."""
        since = {
            address: known.since
            for address in changed
            if (known := self._known.get(address.app, {}).get(address)) and known.since
        }
        if not since:
            return seen
        slugs = {str(app.server_fields["id"]): app.slug for app in seen.state if "id" in app.server_fields}

        def is_relevant(event: Event, slug: str | None) -> bool:
            mine = {address: since.get(address) for address in changed if address.app == slug}
            about = [start for address, start in mine.items() if event.resource is None or event.is_about(address)]
            return not about or event.at is None or any(start is None or event.at >= start - _SLACK for start in about)

        org: tuple[Event, ...] | RemoteError | None = seen.org_feed
        if isinstance(org, tuple):
            org = tuple(entry for entry in org if is_relevant(entry, entry.app or slugs.get(entry.app_id or "")))
        own = {
            slug: tuple(entry for entry in events if is_relevant(entry, slug))
            for slug, events in seen.app_feeds.items()
        }
        if org == seen.org_feed and own == seen.app_feeds:
            return seen
        return replace(seen, org_feed=org, app_feeds=own)


def _next(before: _Known | None, fingerprint: str, at: datetime) -> _Known:
    if before is None:
        return _Known(fingerprint, at, None)
    same = before.fingerprint == fingerprint
    return _Known(fingerprint, at, before.since if same else before.at)


class OptimizationChecks:
    """The results of the last day's checks, in the checkpoint."""

    def __init__(self, checkpoint: Checkpoint) -> None:
        self._checkpoint = checkpoint

    def add_known(self, seen: Observation, now: datetime) -> Observation:
        """Add the results that are still valid to an observation, so that they are not read again."""
        held = {
            deployment.address: check
            for app in seen.state
            for deployment in app.deployments
            if deployment.live
            and (check := self._checkpoint.check_of(deployment.address, self._fleet(app, deployment), now)) is not None
        }
        return replace(seen, checks={**held, **seen.checks})

    def record(self, seen: Observation, now: datetime) -> None:
        """Record the results that are new."""
        live: Mapping[Address, tuple[App, Deployment]] = {
            deployment.address: (app, deployment)
            for app in seen.state
            for deployment in app.deployments
            if deployment.live
        }
        for address, check in seen.checks.items():
            if isinstance(check, OptimizationCheck) and address in live:
                fleet = self._fleet(*live[address])
                if self._checkpoint.check_of(address, fleet, now) is not check:
                    self._checkpoint.record_check(address, StoredCheck(now, fleet, check))

    def forget(self, slug: str) -> None:
        """Forget the results of an app: a person wants it reconciled, or it is gone."""
        self._checkpoint.forget_checks(slug)

    def _fleet(self, app: App, deployment: Deployment) -> str:
        """Return a keyed digest of a deployment's fleet: its targets, what is registered, and what runs there."""
        return self._checkpoint.keyed_digest(
            [
                deployment.id,
                deployment.variant,
                sorted(deployment.targets),
                sorted(f"{target.platform}:{target.identifier}" for target in app.targets),
            ]
        )


@dataclass(frozen=True, slots=True)
class ReconcileContext:
    """The input of a reconcile.

    Its id, its start, its apps, their declaration, the base that they are compared with, and its control plane. `narrowed` is
    the number of times that the watched manifests had become fewer at the start. `change` are the apps that the same commit
    has changed.
    """

    id: str
    began: datetime
    apps: frozenset[str]
    tree: State
    base: Base
    plane: ControlPlane
    narrowed: int
    change: frozenset[str] = frozenset()


@dataclass(slots=True)
class Observer:
    """Reads and plans. The feed provides authors and times of changes."""

    memory: Memory
    feed: ActivityFeed
    follower: FeedFollower
    checks: OptimizationChecks = field(init=False)
    history: ObjectHistory = field(default_factory=ObjectHistory)

    def __post_init__(self) -> None:
        self.checks = OptimizationChecks(self.memory.checkpoint)

    async def observe(
        self,
        context: ReconcileContext,
        active: ActiveConfig,
        remote: Octomil,
        listed: ReadResult[dict[str, App]] | None,
    ) -> ReviewedPlan:
        """Observe the apps of a reconcile, except what is `listed`, and plan. Raises `RemoteError` if no app can be read."""
        holding = self._holding(context.apps, active)

        def known(seen: Observation) -> Observation:
            self.feed.learn_slugs(
                (str(app.server_fields["id"]), app.slug) for app in seen.state if "id" in app.server_fields
            )
            return self.checks.add_known(self._with_feed(seen, context, active), context.began)

        options = PlanOptions(
            now=context.began,
            contract=remote.contract,
            deploy=active.deploy,
            base=context.base,
            hold=holding,
            policies=_policies(context, active),
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
        self.checks.record(reviewed.observation, context.began)
        if reviewed.plan.errors:
            return reviewed
        self.history.record(context.apps, reviewed.plan.fingerprints, context.began)
        changed = frozenset({*reviewed.plan.drifted, *_diverged(reviewed.plan)})
        anew = self.memory.changed_since(drift_fingerprints(reviewed.plan))
        seen = self.history.without_stale_events(reviewed.observation, changed)
        known_before = (holding.first_seen or {}).keys() - anew
        if self.feed.off is None and not _has_events(seen, changed - known_before):
            # There is a change without an event: it is younger than the last poll.
            await self.follower.poll_now()
            seen = self.history.without_stale_events(self._with_feed(reviewed.observation, context, active), changed)
        contested = self.memory.contest(reviewed.plan.drifted)
        if not anew and not contested and seen == reviewed.observation:
            return reviewed
        first_seen = {address: since for address, since in (holding.first_seen or {}).items() if address not in anew}
        holding = replace(holding, first_seen=first_seen, never=self.memory.contested(context.apps))
        plan = (await review_in_thread(context.tree, seen, replace(options, hold=holding))).plan
        return replace(reviewed, observation=seen, plan=replace(plan, requests_used=reviewed.plan.requests_used))

    def _with_feed(self, seen: Observation, context: ReconcileContext, active: ActiveConfig) -> Observation:
        events, is_cut = self.feed.events_since(context.began - active.hold)
        return replace(seen, org_feed=events, org_feed_is_cut=is_cut)

    def _holding(self, apps: frozenset[str], active: ActiveConfig) -> HoldPolicy:
        return HoldPolicy(
            span=None if active.write_mode is WriteMode.MANIFEST else active.hold,
            first_seen=self.memory.first_seen(apps),
            apps={slug: hold.until for slug, hold in self.memory.holds().items() if slug in apps},
            never=self.memory.contested(apps),
        )


def _policies(context: ReconcileContext, active: ActiveConfig) -> PolicyRun | None:
    """Return the policies for a reconcile: its run is the change of a commit, and it has no author."""
    configuration = active.configuration
    if not configuration.policies:
        return None
    return PolicyRun(
        policies=configuration.policies,
        evaluate=evaluate,
        sensitivity=configuration.sensitivity,
        context=active.context or "",
        apps=context.change,
    )


def drift_fingerprints(plan: Plan) -> Mapping[Address, str]:
    """Return the fingerprints of the live objects that drift."""
    return {address: str(plan.fingerprints.get(address, "")) for address in plan.drifted}


def _diverged(plan: Plan) -> Collection[Address]:
    return [action.address for action in plan.actions if action.reason is Reason.DIVERGED]


def _has_events(seen: Observation, changed: Collection[Address]) -> bool:
    """Return whether there is an event for each of these changes."""
    feeds = (newest_in_org_feed(seen), newest_in_app_feeds(seen))
    return all(any(newest(address) is not None for newest in feeds) for address in changed)
