"""Verification: reads the object of an action and compares it with what was sent.

The API has no preconditions: the last write wins. octosync therefore reads an object again if its last read is old before it
overwrites it, and decides by a read what a write did whose response was lost.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from octosync.contract import APP, SLOT, Contract, field_equal, normalise_app_fields, normalise_slot_fields
from octosync.contract.resources import unknown_policy
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
    """Return whether the action removes the object."""
    return action.after is None


def fields_in(action: Action, body: JsonValue, contract: Contract) -> JsonObject | None:
    """Return the object's fields in the response to a write, None if the response doesn't hold the object."""
    if not isinstance(body, Mapping) or is_deletion(action):
        return None  # the response to a removal doesn't show what is left
    match action:
        case PutSlot():
            fields, _ = contract.shapes["slot"].split(body)
            return normalise_slot_fields(fields)
        case ArchiveApp():
            return {"archived": bool(body["archived_at"])} if "archived_at" in body else None
        case CreateApp() | UpdateApp():
            fields, server_fields = contract.shapes["app"].split(body)
            return {**normalise_app_fields(fields), "slug": server_fields.get("slug")}
        case EnableCapability() | OptimizeCapability():
            deployment = parse_deployment_response(body, action.address)
            return None if deployment is None else fields_of_deployment(action, deployment)
    return body


def fields_of_deployment(action: EnableCapability | OptimizeCapability, deployment: Deployment) -> JsonObject | None:
    """Return what an action on a capability did, as far as the deployment shows it; the variant is the upcoming one.

    Return None if it had no effect: no canary runs, and the deployed variant is the one from before.
    """
    fields: dict[str, JsonValue] = {"capability": deployment.capability, "environment": deployment.environment}
    variant = deployment.variant
    if isinstance(action, OptimizeCapability):
        if deployment.canary is not None:
            # A canary that doesn't name its candidate is assumed to use the suggested variant.
            variant = deployment.canary.candidate or action.suggested
        elif variant == (action.before or {}).get("model_variant_id"):
            return None
    if variant is not None:
        fields["model_variant_id"] = variant
    return fields


def unpersisted_fields(action: Action, fields: JsonObject | None) -> Iterator[FieldChange]:
    """Yield each declared field whose live value (`after`) differs from the value that was sent (`before`).

    `fields` is None if the object doesn't exist. An empty path is the object itself.
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
    """Yield the fields that the PUT of a slot carries over from live state, as `api.readOnly` names them: `tier`, `bindings.id`.

    Fields below a sensitive key are not named.
    """
    before, body = action.before or {}, action.body or {}
    for name, sent in body.items():
        if name not in before:
            continue
        if name not in action.declared:
            yield name
        own = unknown_policy(sent) if name == "serving_policy" and isinstance(sent, Mapping) else sent
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
    """Return a phrase with the sent and the persisted value, without sensitive values."""
    if not change.path and isinstance(action, OptimizeCapability):
        return "no canary was started"
    if not change.path:
        return "it is still there" if change.before is ABSENT else "it is not there"
    (change,) = shown_changes((change,), sensitivity)
    sent, kept = (_text(change, value, sensitivity) for value in (change.before, change.after))
    return f"`{'.'.join(change.path)}` was sent as {sent} and persisted as {kept}"


def _text(change: FieldChange, value: JsonValue | Absent, sensitivity: Sensitivity) -> str:
    if isinstance(value, Absent):
        return "nothing"
    if sensitivity.hides_at(change.path, value):
        return "(sensitive)"
    text = canonical_json(sensitivity.redact(value, "(sensitive)"))
    return clipped(text, _LONGEST_VALUE)


# An object whose last read is older is read again before it is overwritten.
FRESH_FOR_SECONDS: Final = 30.0

# An app's slug and a part that is read as one: a section, or None for the app's own fields.
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

# The control plane answers these with 409 if the object exists, so no fresh read is needed.
_CANNOT_OVERWRITE: Final = (CreateApp, RegisterTarget)


@dataclass(frozen=True, slots=True)
class ObjectState:
    """The state of an action's object: its normalised fields (None: it doesn't exist), and whether it is as planned."""

    fields: JsonObject | None
    unchanged: bool


class ObjectReader:
    """Reads sections of apps if their last read is old, and shares one read between the actions of a section.

    `read_at` comes from the observation. Times are seconds of the client's clock.
    """

    def __init__(self, remote: Octomil, read_at: Mapping[Place, float]) -> None:
        self._remote = remote
        self._read_at = dict(read_at)
        self._seen: dict[Place, App | None] = {}
        self._reading: dict[Place, asyncio.Lock] = {}

    def is_fresh(self, action: Action) -> bool:
        """Return whether an action can't overwrite anything, or its object was read recently."""
        if isinstance(action, _CANNOT_OVERWRITE):
            return True
        return self._remote.clock() - self._read_at.get(_place(action), float("-inf")) <= FRESH_FOR_SECONDS

    async def read_if_old(self, action: Action, within: Reservation) -> ObjectState | None:
        """Return the state of an action's object, read again if its last read is old.

        Return None if no read is needed: the object is then assumed to be as planned.
        """
        if isinstance(action, _CANNOT_OVERWRITE):
            return None
        place = _place(action)
        # The objects of a section are read together: the first action reads for all of them.
        async with self._reading.setdefault(place, asyncio.Lock()):
            if not self.is_fresh(action):
                await self._read(action, within)
        return _state_in(action, self._seen[place]) if place in self._seen else None

    async def read_now(self, action: Action) -> ObjectState:
        """Read an action's object now, however recent its last read is."""
        return _state_in(action, await self._read(action, Reservation()))

    def wrote(self, action: Action, at: float) -> None:
        """Record an accepted write that was sent at `at`.

        The sections of a created app are known to be empty. After an update, the last read of the app no longer counts; later
        actions of the plan were planned with its effect.
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
    """Read an action's section, or the app's own fields. A missing app has empty sections; that is not a failed read."""
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


def _state_in(action: Action, there: App | None) -> ObjectState:
    match action:
        case CreateApp() | UpdateApp() | ArchiveApp():
            if there is None:
                return ObjectState(None, unchanged=action.before is None)
            fields = {**there.fields, "slug": there.slug, "archived": there.archived}
            return ObjectState(fields, unchanged=_same_app(action.before, fields))
        case RegisterTarget() | RemoveTarget():
            mine = (action.platform, action.identifier)
            target = next((t for t in (there.targets if there else ()) if t.unique_key == mine), None)
            seen = {"platform": target.platform, "identifier": target.identifier} if target else None
            return ObjectState(seen, unchanged=fingerprint_of_target(target) == action.fingerprint)
        case PutSlot() | DeleteSlot():
            slot = there.slot(action.address.name) if there else None
            return ObjectState(slot.fields if slot else None, unchanged=fingerprint_of_slot(slot) == action.fingerprint)
        case PutInferenceConfig() | DeleteInferenceConfig():
            config = there.inference_config if there else None
            return ObjectState(
                config.config if config else None, unchanged=fingerprint_of_config(config) == action.fingerprint
            )
        case EnableCapability() | OptimizeCapability():
            deployments = there.deployments_at(action.address) if there else ()
            live = next((deployment for deployment in deployments if deployment.live), None)
            return ObjectState(
                fields_of_deployment(action, live) if live else None,
                unchanged=fingerprint_of_deployments(deployments) == action.fingerprint,
            )


def _same_app(before: JsonObject | None, now: JsonObject) -> bool:
    """Return whether the known fields of an app are unchanged. A list may return fewer fields than the app itself.

    A PATCH replaces only the fields that it names, so unknown fields can't be lost.
    """
    if before is None:
        return False
    known = {"archived": False, **before}
    return all(
        json_equal(known.get(key, APP.defaults.get(key)), now.get(key, APP.defaults.get(key)))
        for key in (*known, *APP.writable)
    )


@dataclass(slots=True)
class FirstWriteCheck:
    """Which fields of each operation are known to be persisted, which operations are being checked, and which are stopped."""

    _proved: dict[str, set[str]] = field(default_factory=dict)
    _proving: set[str] = field(default_factory=set)
    _stopped: dict[str, Action] = field(default_factory=dict)

    def stopper(self, unit: Iterable[Action]) -> Action | None:
        """Return the action that stopped an operation of this unit because its fields were not persisted, if any."""
        return next((self._stopped[action.operation] for action in unit if action.operation in self._stopped), None)

    def admits(self, unit: Iterable[Action]) -> bool:
        """Return whether a unit may start: all its fields are known, or no other action checks its operation now."""
        return all(self._is_proved(action) or action.operation not in self._proving for action in unit)

    def begin(self, unit: Iterable[Action]) -> frozenset[str]:
        """Record the start of a unit and return the operations that it checks; pass them to `end` afterwards."""
        unproved = frozenset(action.operation for action in unit if not self._is_proved(action))
        self._proving |= unproved
        return unproved

    def end(self, operations: frozenset[str]) -> None:
        """Release operations, so that another unit may check them."""
        self._proving -= operations

    def record_kept(self, unit: Iterable[Action]) -> None:
        """Record that actions are done and their fields persisted."""
        for action in unit:
            self._proved.setdefault(action.operation, set()).update(_fields(action))

    def stop(self, action: Action) -> None:
        """Stop an operation for this run, because the control plane accepted the action but did not persist its fields."""
        self._stopped.setdefault(action.operation, action)

    def _is_proved(self, action: Action) -> bool:
        proved = self._proved.get(action.operation)
        return proved is not None and proved >= _fields(action)


def _fields(action: Action) -> frozenset[str]:
    # An inference config is opaque: it counts as one field.
    return frozenset() if isinstance(action, PutInferenceConfig) else frozenset(action.declared)
