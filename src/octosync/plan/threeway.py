"""Three ways: tree, base and live, unit by unit, come to what is planned, why, and what is left alone.

What comes out is a desired state like any other: what is stale or held is in it as it is live, so that the comparison after
it needs to know nothing of a base.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime

from octosync.model import (
    Address,
    App,
    Observation,
    Reason,
    Section,
    State,
)
from octosync.plan.base import Base
from octosync.plan.resolved import Acts, Resolved
from octosync.plan.sides import Sides, let_go
from octosync.plan.verdicts import Verdict


def undisputed(tree: State) -> Resolved:
    """Return what a tree comes to without a base: all of it is planned, and nothing more is known."""
    return Resolved(desired=tree)


def resolve(
    tree: State, live: Observation, base: Base, *, now: datetime, prune: bool = False, acts: Acts | None = None
) -> Resolved:
    """Judge every unit of every app. `acts` says of which verdicts something is to come; without it, of every reason.

    An app that could not be read, is suspended at `now` or live in the archive is as the tree has it: nothing is compared.
    """
    resolved = Resolved()
    apps = []
    for slug in sorted({*tree.apps, *base.before.apps}):
        app, before = tree.apps.get(slug), base.before.apps.get(slug)
        if app is None and before is not None and before.declared:
            resolved.orphans.add(slug)
            if prune:
                apps.append(_pruned(before))
                resolved.removed.update(_given_up(live.state.apps.get(slug), tree))
                resolved.archives[before.address] = Reason.REMOVED
                resolved.origins[before.address] = before.origin
            continue
        there = live.state.apps.get(slug)
        suspended = app is not None and app.suspension is not None and app.suspension.holds(now)
        if slug in live.errors or suspended or (there is not None and there.archived):
            apps.append(app or App(slug=slug, declared=False))
            continue
        known = Sides(slug, app, base, there)
        if (found := known.resolve(resolved, acts or _always)) is not None:
            apps.append(found)
    resolved.desired = State.of(*apps)
    return resolved


def _always(address: Address, verdict: Verdict) -> bool:
    del address
    return isinstance(verdict, Reason)


def _pruned(app: App) -> App:
    """Declare an app that no manifest has any more as archived, and nothing else of it."""
    return App(
        slug=app.slug,
        archived=True,
        labels=app.labels,
        protected=app.protected,
        suspension=app.suspension,
        origin=app.origin,
    )


def _given_up(live: App | None, tree: State) -> Iterator[Address]:
    """Yield the targets of an app that is pruned which another one is to have: once it is archived they are lost for good."""
    claimed = {target.unique_key for app in tree for target in app.targets}
    for target in live.targets if live is not None and not live.archived else ():
        if target.unique_key in claimed:
            yield target.address


def to_read(tree: State, base: Base, *, prune: bool) -> State:
    """Return what has to be read for a three-way plan: the tree, and of what was declared before what it may remove."""
    return State.of(*_reads(tree, base, prune=prune))


def _reads(tree: State, base: Base, *, prune: bool) -> Iterator[App]:
    for slug, before in sorted({**dict.fromkeys(tree.apps), **base.before.apps}.items()):
        app = tree.apps.get(slug)
        if app is None and before is not None and before.declared:
            if prune:
                yield replace(_pruned(before), whole=frozenset({Section.TARGETS}))
            continue
        app = app or App(slug=slug, declared=False)
        earlier = base.earlier(slug)
        more = {section for one in earlier for section in _lost(app, one)} - let_go(app, earlier)
        if app.declared or app.sections or more:
            yield replace(app, whole=app.whole | more)


def _lost(app: App, before: App) -> Iterator[Section]:
    """Yield the sections in which an app has less than it had before."""
    if {one.address for one in before.targets} - {one.address for one in app.targets}:
        yield Section.TARGETS
    if {one.address for one in before.slots} - {one.address for one in app.slots}:
        yield Section.SLOTS
    if before.inference_config is not None and app.inference_config is None:
        yield Section.INFERENCE_CONFIG
