"""Whether the control plane kept what it said yes to: the declared fields against an answer, or against a re-read.

The witness: what the control plane says, right now, of the object that an action is about.

There are no preconditions on these writes: last write wins. So what a write replaces must have been seen recently, and
a write whose answer was lost is judged by what is there afterwards.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final, TypeAlias

from octosync.contract import APP, SLOT, Contract, field_equal, normalise_app_fields, normalise_slot_fields
from octosync.contract.normalize import unknown_part
from octosync.errors import Missing
from octosync.model import (
    App,
    Deployment,
    JsonObject,
    JsonValue,
    Section,
    Sensitivity,
    canonical_json,
    clipped,
    json_equal,
)
from octosync.octomil import (
    Octomil,
    Reservation,
    parse_deployment_response,
    read_app,
    read_deployments,
    read_inference_config,
    read_slots,
    read_targets,
)
from octosync.plan import (
    ABSENT,
    Absent,
    Action,
    ArchiveApp,
    CreateApp,
    DeleteInferenceConfig,
    DeleteSlot,
    EnableCapability,
    FieldChange,
    OptimizeCapability,
    PutInferenceConfig,
    PutSlot,
    RegisterTarget,
    RemoveTarget,
    UpdateApp,
    field_changes,
    shown_changes,
)
from octosync.plan.actions import (
    fingerprint_of_config,
    fingerprint_of_deployments,
    fingerprint_of_slot,
    fingerprint_of_target,
)

_LONGEST_VALUE = 200


def is_deletion(action: Action) -> bool:
    """Whether nothing of the object is left when the action is done."""
    return action.after is None


def fields_in(action: Action, body: JsonValue, contract: Contract) -> JsonObject | None:
    """Read an answer to a write as the object's fields, None where it doesn't hold the object."""
    if not isinstance(body, Mapping) or is_deletion(action):
        return None  # what an answer shows of a deleted object says nothing of what is there now
    match action:
        case PutSlot():
            fields, _ = contract.shapes["slot"].split(body)
            return normalise_slot_fields(fields)
        case ArchiveApp():
            return {"archived": bool(body["archived_at"])} if "archived_at" in body else None
        case CreateApp() | UpdateApp():
            fields, identity = contract.shapes["app"].split(body)
            return {**normalise_app_fields(fields), "slug": identity.get("slug")}
        case EnableCapability() | OptimizeCapability():
            deployment = parse_deployment_response(body, action.address)
            return None if deployment is None else fields_of_deployment(action, deployment)
    return body


def fields_of_deployment(action: EnableCapability | OptimizeCapability, deployment: Deployment) -> JsonObject | None:
    """Return what an action on a capability came to, as far as a deployment says it; the variant is the one to come.

    None where nothing came of it: no canary runs, and what was deployed before is deployed.
    """
    fields: dict[str, JsonValue] = {"capability": deployment.capability, "environment": deployment.environment}
    variant = deployment.variant
    if isinstance(action, OptimizeCapability):
        if deployment.canary is not None:
            # A canary that does not name its candidate is one to what was suggested, for all that can be known.
            variant = deployment.canary.candidate or action.suggested
        elif variant == (action.before or {}).get("model_variant_id"):
            return None
    if variant is not None:
        fields["model_variant_id"] = variant
    return fields


def unpersisted_fields(action: Action, fields: JsonObject | None) -> Iterator[FieldChange]:
    """Yield each declared field that is there otherwise (`after`) than it was sent (`before`); none: all was kept.

    `fields` None is an object that isn't there. An empty path is the object itself.
    """
    if is_deletion(action):
        if fields is not None:
            yield FieldChange((), ABSENT, fields)
    elif fields is None:
        yield FieldChange((), action.declared, ABSENT)
    elif isinstance(action, PutInferenceConfig):
        if not json_equal(action.declared, fields):
            yield from field_changes(action.declared, fields)
    else:
        if isinstance(action, CreateApp) and fields.get("archived"):
            yield FieldChange(("archived",), before=False, after=True)
        for name, sent in action.declared.items():
            kept = _value(action, name, fields)
            if not field_equal(name, sent, None if isinstance(kept, Absent) else kept):
                yield FieldChange((name,), sent, kept)


def carried(action: PutSlot, sensitivity: Sensitivity) -> Iterator[str]:
    """Yield what the PUT of a slot sends only because it is live, as `api.readOnly` names it: `tier`, `bindings.id`.

    What is under a sensitive key has no names.
    """
    before, body = action.before or {}, action.body or {}
    for name, sent in body.items():
        if name not in before:
            continue
        if name not in action.declared:
            yield name
        own = unknown_part(sent) if name == "serving_policy" and isinstance(sent, Mapping) else sent
        declared = _keys_inside(action.declared.get(name), sensitivity)
        yield from (f"{name}.{key}" for key in sorted(_keys_inside(own, sensitivity) - declared))


def _keys_inside(value: JsonValue, sensitivity: Sensitivity) -> frozenset[str]:
    """Return the dotted keys of an object, or of all objects in a list."""
    if isinstance(value, list | tuple):
        return frozenset().union(*(_keys_inside(item, sensitivity) for item in value))
    if not isinstance(value, Mapping):
        return frozenset()
    open_ = {key: item for key, item in value.items() if not sensitivity.covers(key)}
    below = ({f"{key}.{inner}" for inner in _keys_inside(item, sensitivity)} for key, item in open_.items())
    return frozenset(value).union(*below)


def _value(action: Action, name: str, fields: JsonObject) -> JsonValue | Absent:
    defaults = (SLOT if isinstance(action, PutSlot) else APP).defaults
    return fields[name] if name in fields else defaults.get(name, ABSENT)


def describe(action: Action, change: FieldChange, sensitivity: Sensitivity) -> str:
    """Say what was sent and what was kept, never a sensitive value."""
    if not change.path and isinstance(action, OptimizeCapability):
        return "no canary was started"
    if not change.path:
        return "it is still there" if change.before is ABSENT else "it is not there"
    (change,) = shown_changes((change,), sensitivity)
    sent, kept = (_text(change, value, sensitivity) for value in (change.before, change.after))
    return f"`{'.'.join(change.path)}` was sent as {sent} and kept as {kept}"


def _text(change: FieldChange, value: JsonValue | Absent, sensitivity: Sensitivity) -> str:
    if isinstance(value, Absent):
        return "nothing"
    if sensitivity.hides_at(change.path, value):
        return "(sensitive)"
    text = canonical_json(sensitivity.redact(value, "(sensitive)"))
    return clipped(text, _LONGEST_VALUE)


# What was read longer ago than this is read again before it is overwritten.
FRESH_FOR_SECONDS: Final = 30.0

# An app's slug and what is read of it together: a section, or (None) its own fields.
Place: TypeAlias = tuple[str, Section | None]

_SECTION: Final[Mapping[type[Action], Section | None]] = {
    CreateApp: None,
    UpdateApp: None,
    ArchiveApp: None,
    RegisterTarget: Section.TARGETS,
    RemoveTarget: Section.TARGETS,
    PutSlot: Section.SLOTS,
    DeleteSlot: Section.SLOTS,
    PutInferenceConfig: Section.INFERENCE_CONFIG,
    DeleteInferenceConfig: Section.INFERENCE_CONFIG,
    EnableCapability: Section.DEPLOYMENTS,
    OptimizeCapability: Section.DEPLOYMENTS,
}

# Their own 409 says that somebody was faster, so what they were planned from need not be fresh.
_CANNOT_OVERWRITE: Final = (CreateApp, RegisterTarget)


@dataclass(frozen=True, slots=True)
class ObjectState:
    """What is there of an action's object: its normalised fields (None: no such object), and whether it is as planned from."""

    fields: JsonObject | None
    unmoved: bool


class ObjectReader:
    """Reads sections of apps at need, remembers when, and never asks twice for what it may still rely on.

    `read_at` is the observation's; times are seconds of the client's clock.
    """

    def __init__(self, remote: Octomil, read_at: Mapping[Place, float]) -> None:
        self._remote = remote
        self._read_at = dict(read_at)
        self._seen: dict[Place, App | None] = {}
        self._reading: dict[Place, asyncio.Lock] = {}

    def is_fresh(self, action: Action) -> bool:
        """Say whether an action overwrites nothing, or only what was read recently."""
        if isinstance(action, _CANNOT_OVERWRITE):
            return True
        return self._remote.clock() - self._read_at.get(_place(action), float("-inf")) <= FRESH_FOR_SECONDS

    async def last_look(self, action: Action, within: Reservation) -> ObjectState | None:
        """Return what is there of an action's object, reading it again where that was long ago; None: nothing to be seen.

        Then what it was planned from is what is there, as far as anybody knows.
        """
        if isinstance(action, _CANNOT_OVERWRITE):
            return None
        place = _place(action)
        # Objects of one section are read together: the first to ask reads for all of them.
        async with self._reading.setdefault(place, asyncio.Lock()):
            if not self.is_fresh(action):
                await self._read(action, within)
        return _sighting(action, self._seen[place]) if place in self._seen else None

    async def sighting(self, action: Action) -> ObjectState:
        """Read an action's object now, whatever was read before, and before anything else is sent."""
        return _sighting(action, await self._read(action, Reservation()))

    def wrote(self, action: Action, at: float) -> None:
        """Take note of an own write that was sent at a time and answered.

        An app that it created has nothing in it yet. Of one that it changed, what was seen before is no longer so, and what
        comes after it in the plan was planned from its effect.
        """
        slug = action.address.app
        match action:
            case CreateApp():
                self._read_at.update({(slug, section): at for section in (None, *Section)})
            case UpdateApp():
                self._seen.pop((slug, None), None)

    async def _read(self, action: Action, within: Reservation) -> App | None:
        place = _place(action)
        self._seen[place], self._read_at[place] = await _read(self._remote, action, within)
        return self._seen[place]


def _place(action: Action) -> Place:
    return (action.address.app, _SECTION[type(action)])


async def _read(remote: Octomil, action: Action, within: Reservation) -> tuple[App | None, float]:
    """Read an action's section, or the app's own fields. An app that is gone has empty sections: that is no failed read."""
    slug, section = _place(action)
    asked_at = remote.clock()
    try:
        match section:
            case None:
                app = await read_app(remote, slug, needed=action.declared, within=within)
                return app.value, app.at
            case Section.TARGETS:
                targets = await read_targets(remote, slug, within=within)
                return App(slug=slug, targets=targets.value), targets.at
            case Section.SLOTS:
                slots = await read_slots(remote, slug, within=within)
                return App(slug=slug, slots=slots.value), slots.at
            case Section.INFERENCE_CONFIG:
                config = await read_inference_config(remote, slug, within=within)
                return App(slug=slug, inference_config=config.value), config.at
            case Section.DEPLOYMENTS:
                deployments = await read_deployments(remote, slug, needed=[action.address.placement], within=within)
                return App(slug=slug, deployments=deployments.value), deployments.at
    except Missing:
        return None, asked_at


def _sighting(action: Action, there: App | None) -> ObjectState:
    match action:
        case CreateApp() | UpdateApp() | ArchiveApp():
            if there is None:
                return ObjectState(None, unmoved=action.before is None)
            fields = {**there.fields, "slug": there.slug, "archived": there.archived}
            return ObjectState(fields, unmoved=_same_app(action.before, fields))
        case RegisterTarget() | RemoveTarget():
            mine = (action.platform, action.identifier)
            target = next((t for t in (there.targets if there else ()) if t.unique_key == mine), None)
            seen = {"platform": target.platform, "identifier": target.identifier} if target else None
            return ObjectState(seen, unmoved=fingerprint_of_target(target) == action.fingerprint)
        case PutSlot() | DeleteSlot():
            slot = there.slot(action.address.name) if there else None
            return ObjectState(slot.fields if slot else None, unmoved=fingerprint_of_slot(slot) == action.fingerprint)
        case PutInferenceConfig() | DeleteInferenceConfig():
            config = there.inference_config if there else None
            return ObjectState(
                config.config if config else None, unmoved=fingerprint_of_config(config) == action.fingerprint
            )
        case EnableCapability() | OptimizeCapability():
            deployments = there.deployments_at(action.address) if there else ()
            live = next((one for one in deployments if one.live), None)
            return ObjectState(
                fields_of_deployment(action, live) if live else None,
                unmoved=fingerprint_of_deployments(deployments) == action.fingerprint,
            )


def _same_app(before: JsonObject | None, now: JsonObject) -> bool:
    """Compare what was known of an app: it may have been read from a list, which may say less than its own answer does.

    A PATCH replaces only what it names, so what was not known can't be lost.
    """
    if before is None:
        return False
    known = {"archived": False, **before}
    return all(
        json_equal(known.get(key, APP.defaults.get(key)), now.get(key, APP.defaults.get(key)))
        for key in (*known, *APP.writable)
    )
