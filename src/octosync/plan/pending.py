"""What is pending: the live state as it will be when changes that are merged and not applied yet have been made.

A plan of a pull request is made of that state, so it contains the pull request's own changes only.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace

from octosync.model import (
    Address,
    App,
    Deployment,
    FollowUpReads,
    InferenceConfig,
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
