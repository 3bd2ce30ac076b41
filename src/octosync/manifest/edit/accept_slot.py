"""Accepting the live state of one object, and in particular of a slot: the new declaration and the edit of the manifest."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Final, TypeAlias

from octosync.contract import Contract, contradiction_in, field_equal, normalise_slot_fields, preset_of
from octosync.contract.resources import known_policy
from octosync.errors import OctosyncError
from octosync.manifest.edit.editor import (
    Change,
    Edit,
    EditTarget,
    accepted_bindings,
    with_fields,
    with_item,
    without_item,
)
from octosync.manifest.export.export import ExportedApp, export_app
from octosync.manifest.export.expressible import WHY_SENSITIVE, fits
from octosync.manifest.export.yaml_writer import entry, policy_object, slot_entry
from octosync.manifest.schema.models import SLOT_WIRE_NAMES, SlotSpec
from octosync.manifest.schema.shapes import fields_of
from octosync.model import Address, App, JsonObject, JsonValue, Origin, Section, Sensitivity, Slot
from octosync.plan import Action, DeleteSlot, FieldChange, PutSlot

ClaimingApps: TypeAlias = Mapping[tuple[str, str], str]


@dataclass(frozen=True, slots=True, kw_only=True)
class AcceptedObject:
    """The result of accepting one object.

    `app` is the new declaration of its app, `edit` the edit of the file of `origin`. `fields` are the changes of the
    manifest; without any, `what` describes the change. `lines` are YAML, for users who have to make the edit themselves.
    """

    address: Address
    app: App
    edit: Edit
    origin: Origin
    fields: tuple[FieldChange, ...] = ()
    what: str = ""
    lines: tuple[str, ...] = ()


def refusal(address: Address, why: str, *hints: str) -> OctosyncError:
    """Return the error for an object that can't be accepted; `why` is a clause."""
    return OctosyncError("not-acceptable", f"{address} can't be accepted: {why}", hints=hints)


class ObjectAcceptor:
    """Accepts one object; the base of the acceptors by kind."""

    def __init__(
        self,
        action: Action,
        desired: App,
        live: App,
        contract: Contract,
        sensitivity: Sensitivity,
        claims: ClaimingApps,
    ) -> None:
        self.address = action.address
        self.desired = desired
        self.live = live
        self.contract = contract
        self.sensitivity = sensitivity
        self.claims = claims
        # The action's changes, reversed.
        self.fields = tuple(FieldChange(change.path, change.after, change.before) for change in action.fields)

    def result(
        self,
        app: App,
        *targets: EditTarget,
        origin: Origin | None,
        fields: tuple[FieldChange, ...] = (),
        what: str = "",
        lines: tuple[str, ...] = (),
    ) -> AcceptedObject:
        """Return the accepted object. Raises `OctosyncError` if the position of its declaration is unknown."""
        if origin is None:
            raise refusal(self.address, "the position of its declaration is unknown")
        return AcceptedObject(
            address=self.address,
            app=app,
            edit=Edit(app=self.desired.slug, targets=targets),
            origin=origin,
            fields=fields,
            what=what if not fields else "",
            lines=lines,
        )

    def export(self, live: App, *sections: Section) -> ExportedApp:
        """Return the export of a live app, with what it leaves out and why."""
        return export_app(
            live, sections, contract=self.contract, sensitivity=self.sensitivity, claims=dict(self.claims)
        )

    def refuse_left_out(self, exported: ExportedApp, address: Address, names: Iterable[str]) -> None:
        """Raise `OctosyncError` if the export leaves out one of the fields."""
        wanted = set(names)
        for left_out in exported.left_out:
            if left_out.address == address and left_out.name in wanted:
                raise refusal(self.address, f"{left_out.name}: {left_out.why}")


def removals(section: str, kind: str, known_by: JsonObject) -> tuple[EditTarget, EditTarget]:
    """Return the targets of an edit that removes an object: from its app's list, or its own document."""
    return (
        EditTarget(kind="App", path=("spec", section), item=known_by, change=without_item(known_by)),
        EditTarget(kind=kind, known_by=known_by),
    )


def lines_of(values: JsonObject, *, of_list: bool = False) -> tuple[str, ...]:
    """Return fields as lines of YAML; with `of_list`, as a list item."""
    lines = [line for name, value in values.items() for line in entry(name, value, 2 if of_list else 0)]
    return tuple([f"- {lines[0].lstrip()}", *lines[1:]] if of_list and lines else lines)


_NAMES: Final = {wire: name for name, wire in SLOT_WIRE_NAMES.items()}


class SlotAcceptor(ObjectAcceptor):
    """Accepts one slot."""

    def accept_slot(self, action: PutSlot) -> AcceptedObject:
        """Accept the declared fields of a slot that differ."""
        slot, live = self._slot(self.desired), self._slot(self.live)
        shape = self.contract.shapes["slot"]
        changed: dict[str, JsonValue] = {
            wire: live.fields.get(wire, shape.defaults.get(wire))
            for wire in dict.fromkeys(change.path[0] for change in action.fields)
            if wire in slot.fields
            and not field_equal(wire, slot.fields[wire], live.fields.get(wire, shape.defaults.get(wire)))
        }
        exported = self.export(replace(self.live, slots=(live,)), Section.SLOTS)
        self.refuse_left_out(exported, self.address, {_NAMES[wire] for wire in changed})
        if any(self.sensitivity.hides(name, value) for wire, value in changed.items() for name in (wire, _NAMES[wire])):
            raise refusal(self.address, WHY_SENSITIVE)
        written: dict[str, JsonValue] = {}
        declared = dict(slot.fields)
        for wire, value in changed.items():
            written[_NAMES[wire]], declared[wire] = self._field(slot, wire, value)
        fields = {name: value for name, value in declared.items() if value is not None}
        change = self._field_writer(written, live.fields.get("bindings"))
        known_by: JsonObject = {"capability": slot.capability}
        return self.result(
            self._with_slots(replace(slot, fields=normalise_slot_fields(fields), preset=None)),
            EditTarget(kind="App", path=("spec", "slots", known_by), change=change),
            EditTarget(kind="CapabilitySlot", known_by=known_by, path=("spec",), change=change),
            origin=slot.origin,
            fields=tuple(
                FieldChange((_NAMES[wire],), _declared(slot, wire), written[_NAMES[wire]]) for wire in changed
            ),
            lines=lines_of(written),
        )

    def _field(self, slot: Slot, wire: str, value: JsonValue) -> tuple[JsonValue, JsonValue]:
        """Return a field's value in the manifest, and its declared value (None: not declared)."""
        if wire == "serving_policy":
            if not isinstance(value, Mapping):
                raise refusal(self.address, "its serving policy is none that octosync knows")
            policy = known_policy(value)
            if (contradiction := contradiction_in(policy)) is not None:
                raise refusal(self.address, contradiction)
            preset = preset_of(policy) if slot.preset is not None else None
            return preset or policy_object(policy), policy
        if wire == "model_variant_id":
            if value is None:
                return "auto", None
            if not isinstance(value, str) or not fits(value, fields_of(SlotSpec)["variant"].shape):
                raise refusal(self.address, "its variant is not a string that a manifest can hold")
            return value, value
        if wire == "bindings":
            bindings = accepted_bindings(slot.fields["bindings"], value)
            return bindings, bindings
        return value, value

    def _field_writer(self, written: JsonObject, bindings: JsonValue) -> Change:
        """Return the change that writes the fields. Bindings keep their declared order."""
        put = with_fields(written)

        def change(old: JsonValue) -> JsonValue:
            new = put(old)
            if "bindings" not in written or not isinstance(old, dict) or not isinstance(new, dict):
                return new
            return {**new, "bindings": accepted_bindings(old.get("bindings"), bindings)}

        return change

    def accept_missing_slot(self, action: PutSlot) -> AcceptedObject:
        """Accept that a declared slot is not live."""
        slot = self._slot(self.desired)
        known_by: JsonObject = {"capability": slot.capability}
        del action
        slots = tuple(slot for slot in self.desired.slots if slot.address != self.address)
        return self.result(
            replace(self.desired, slots=slots),
            *removals("slots", "CapabilitySlot", known_by),
            origin=slot.origin,
            what="no longer declared, since it doesn't exist",
        )

    def accept_new_slot(self, action: DeleteSlot) -> AcceptedObject:
        """Accept a live slot that is not in the manifest's list."""
        del action
        live = self._slot(self.live)
        exported = self.export(replace(self.live, slots=(live,)), Section.SLOTS)
        if exported.left_out:
            raise refusal(self.address, f"{exported.left_out[0].name}: {exported.left_out[0].why}")
        (slot,) = exported.app.slots
        value = slot_entry(slot)
        return self.result(
            replace(self.desired, slots=_sorted_slots((*self.desired.slots, slot))),
            EditTarget(kind="App", path=("spec", "slots"), change=with_item(value)),
            origin=self.desired.origin,
            what="declared now, as it is live",
            lines=lines_of(value, of_list=True),
        )

    def _slot(self, app: App) -> Slot:
        return next(slot for slot in app.slots if slot.address == self.address)

    def _with_slots(self, slot: Slot) -> App:
        unchanged = (sibling for sibling in self.desired.slots if sibling.address != slot.address)
        return replace(self.desired, slots=_sorted_slots((*unchanged, slot)))


def _declared(slot: Slot, wire: str) -> JsonValue:
    """Return a field's value as it is written in the manifest."""
    value = slot.fields[wire]
    if wire == "serving_policy" and isinstance(value, Mapping):
        return slot.preset or policy_object(value)
    return value


def _sorted_slots(slots: Iterable[Slot]) -> tuple[Slot, ...]:
    return tuple(sorted(slots, key=lambda slot: slot.capability))
