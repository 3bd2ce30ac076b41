"""Whether the control plane kept what it said yes to: the declared fields against an answer, or against a re-read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from octosync.contract import APP, SLOT, Contract, field_equal, normalise_app_fields, normalise_slot_fields
from octosync.contract.policy import unknown_part
from octosync.model import Deployment, JsonObject, JsonValue, Sensitivity, canonical_json, clipped, json_equal
from octosync.octomil import deployment_in
from octosync.plan import (
    ABSENT,
    Absent,
    Action,
    ArchiveApp,
    CreateApp,
    EnableCapability,
    FieldChange,
    OptimizeCapability,
    PutInferenceConfig,
    PutSlot,
    UpdateApp,
    field_changes,
    shown_changes,
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
            deployment = deployment_in(body, action.address)
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


def not_kept(action: Action, fields: JsonObject | None) -> Iterator[FieldChange]:
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
