"""Whether the control plane kept what it said yes to: the declared fields against an answer, or against a re-read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from octosync.contract import APP, SLOT, Contract, field_equal, normalise_app_fields, normalise_slot_fields
from octosync.model import JsonObject, JsonValue, Sensitivity, canonical_json, json_equal
from octosync.plan import (
    ABSENT,
    Absent,
    Action,
    ArchiveApp,
    CreateApp,
    FieldChange,
    PutInferenceConfig,
    PutSlot,
    UpdateApp,
    field_changes,
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
            return {"archived": body["archived_at"] is not None} if "archived_at" in body else None
        case CreateApp() | UpdateApp():
            fields, identity = contract.shapes["app"].split(body)
            return {**normalise_app_fields(fields), "slug": identity.get("slug")}
    return body


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


def _value(action: Action, name: str, fields: JsonObject) -> JsonValue | Absent:
    defaults = (SLOT if isinstance(action, PutSlot) else APP).defaults
    return fields[name] if name in fields else defaults.get(name, ABSENT)


def describe(change: FieldChange, sensitivity: Sensitivity) -> str:
    """Say what was sent and what was kept, never a sensitive value."""
    if not change.path:
        return "it is still there" if change.before is ABSENT else "it is not there"
    sent, kept = (_text(change, value, sensitivity) for value in (change.before, change.after))
    return f"`{'.'.join(change.path)}` was sent as {sent} and kept as {kept}"


def _text(change: FieldChange, value: JsonValue | Absent, sensitivity: Sensitivity) -> str:
    if isinstance(value, Absent):
        return "nothing"
    if sensitivity.covers_path(change.path):
        return "(sensitive)"
    text = canonical_json(sensitivity.redact(value, "(sensitive)"))
    return text if len(text) <= _LONGEST_VALUE else f"{text[:_LONGEST_VALUE]}… ({len(text)} characters)"
