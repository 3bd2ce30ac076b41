"""What is pending: the live state as it will be when changes that are merged and not applied yet have been made.

A plan of a pull request is made of that state, so it contains the pull request's own changes only.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import replace

from octosync.model import (
    Address,
    App,
    Deployment,
    FollowUpReads,
    InferenceConfig,
    Kind,
    Observation,
    Section,
    Slot,
    State,
    Target,
)
from octosync.plan.actions import (
    Action,
    CreateApp,
    DeleteInferenceConfig,
    DeleteSlot,
    EnableCapability,
    PutInferenceConfig,
    PutSlot,
    RegisterTarget,
    RemoveTarget,
    UpdateApp,
)
from octosync.plan.three_way.verdict import Base, UnappliedChanges


def as_if_applied(seen: Observation, actions: Iterable[Action]) -> Observation:
    """Return an observation as it will be after these actions. Archives are left out: an archived app is not compared."""
    apps = dict(seen.state.apps)
    for action in actions:
        slug = action.address.app
        if isinstance(action, CreateApp):
            apps[slug] = App(slug=slug, fields=action.after or {}, complete_sections=frozenset(Section))
        elif slug in apps:
            apps[slug] = _changed(apps[slug], action)
    return replace(seen, state=State.from_apps(*apps.values()))


def _changed(app: App, action: Action) -> App:
    match action:
        case UpdateApp(after=after):
            return replace(app, fields=after or {})
        case RegisterTarget(platform=platform, identifier=identifier):
            target = Target(app=app.slug, platform=platform, identifier=identifier)
            return replace(app, targets=(*app.targets, target))
        case RemoveTarget(address=address):
            return replace(app, targets=tuple(target for target in app.targets if target.address != address))
        case PutSlot(address=address, after=after):
            there = app.slot(address.name) or Slot(app=app.slug, capability=address.name)
            return replace(app, slots=(*_other_slots(app, address), replace(there, fields=after or {})))
        case DeleteSlot(address=address):
            return replace(app, slots=_other_slots(app, address))
        case PutInferenceConfig(after=after):
            return replace(app, inference_config=InferenceConfig(app=app.slug, config=after))
        case DeleteInferenceConfig():
            return replace(app, inference_config=InferenceConfig(app=app.slug, config=None))
        case EnableCapability(address=address):
            return replace(app, deployments=(*app.deployments, _deployment(address)))
    return app


def _other_slots(app: App, address: Address) -> tuple[Slot, ...]:
    return tuple(slot for slot in app.slots if slot.address != address)


def _deployment(address: Address) -> Deployment:
    capability, environment = address.placement
    return Deployment(
        id=address.name,
        app=address.app,
        capability=capability,
        environment=environment,
        status="active",
        live=True,
    )


def answerable(questions: FollowUpReads, live: State) -> FollowUpReads:
    """Leave out the questions about objects that do not exist yet: the control plane has no answer."""
    return replace(
        questions,
        routing=tuple(slug for slug in questions.routing if slug in live.apps),
        previews=tuple(address for address in questions.previews if _has_slot(live.apps, address)),
        checks=tuple(address for address in questions.checks if _is_deployed(live.apps, address)),
    )


def _has_slot(apps: Mapping[str, App], address: Address) -> bool:
    app = apps.get(address.app)
    return app is not None and app.slot(address.placement[0]) is not None


def _is_deployed(apps: Mapping[str, App], address: Address) -> bool:
    app = apps.get(address.app)
    return app is not None and app.live_deployment(address) is not None


def without_archives(desired: State, archived: Collection[str]) -> State:
    """Return a desired state in which the archive of these apps is not planned: it is pending."""
    return State.from_apps(
        *(replace(app, archived=False) if app.archived and app.slug in archived else app for app in desired)
    )


def without_waiting(base: Base, waiting: Collection[Address], live: State) -> Base:
    """Return a base without the merged halves of moves and the merged archives that wait for a suspended app.

    They are not pending, so their objects are still live as applied: with a base that has them as merged, they would be drift.
    """
    unapplied = base.unapplied
    if unapplied is None or not waiting:
        return base
    state = _without_waiting(base.state, waiting, unapplied, live)
    tip = None if base.tip is None else _without_waiting(base.tip, waiting, unapplied, live)
    return replace(base, state=state, tip=tip)


def _without_waiting(state: State, waiting: Collection[Address], unapplied: UnappliedChanges, live: State) -> State:
    """Return a state with these objects as applied; what it does not have as merged stays as it is."""
    merged, applied, before = unapplied.merged, unapplied.applied, unapplied.applied.before.apps
    apps = dict(state.apps)
    for address in sorted(waiting, key=lambda address: address.kind is not Kind.APP):
        slug = address.app
        app = apps.get(slug)
        if address.kind is Kind.APP:
            if slug in before and _is_kept(state, slug) == _is_kept(merged, slug):
                apps[slug] = _emptied(before[slug]) if app is None else replace(app, archived=False)
        elif app is not None and _holders(state, address) == _holders(merged, address):
            others = (target for target in app.targets if target.address != address)
            apps[slug] = replace(app, targets=(*others, *_live_target(address, applied, live)))
    return State.from_apps(*apps.values())


def _emptied(app: App) -> App:
    """Return an app without what it declares: what it had is pending, or was not changed."""
    return replace(app, fields={}, targets=(), slots=(), inference_config=None, complete_sections=frozenset())


def _is_kept(state: State, slug: str) -> bool:
    return slug in state.apps and not state.apps[slug].archived


def _holders(state: State, address: Address) -> frozenset[str]:
    return frozenset(app.slug for app in state for target in app.targets if target.address.name == address.name)


def _live_target(address: Address, applied: Base, live: State) -> Iterator[Target]:
    """Yield the target of an address if it is live, from the manifests that declared it, if any did."""
    there = live.apps.get(address.app)
    if there is not None and any(target.address == address for target in there.targets):
        sides = (*applied.earlier(address.app), there)
        yield next(target for side in sides for target in side.targets if target.address == address)
