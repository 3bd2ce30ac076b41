"""Accepting: what is declared once a live value is, and which edit of the manifests says so.

It goes by the plan's own action: what apply would change back is what is accepted, and nothing else.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Final

from octosync.contract import Contract, contradiction_in, field_equal, normalise_slot_fields, preset_of
from octosync.contract.policy import known_part
from octosync.errors import OctosyncError
from octosync.manifest.declarable import WHY_SENSITIVE, fits, json_refusal, secret_refusal
from octosync.manifest.editing import Change, Edit, Place, accepted_bindings, with_fields, with_item, without_item
from octosync.manifest.emit import entry
from octosync.manifest.exporting import Exported, export_app
from octosync.manifest.schema import SLOT
from octosync.manifest.writing import policy_object, slot_entry
from octosync.model import (
    Address,
    App,
    InferenceConfig,
    JsonObject,
    JsonValue,
    Origin,
    Section,
    Sensitivity,
    Slot,
    Target,
)
from octosync.plan import (
    ABSENT,
    Action,
    DeleteInferenceConfig,
    DeleteSlot,
    FieldChange,
    PutInferenceConfig,
    PutSlot,
    RegisterTarget,
    RemoveTarget,
    UpdateApp,
)

_NAMES: Final = {
    "serving_policy": "servingPolicy",
    "preferred_engines": "preferredEngines",
    "public_client_allowed": "publicClientAllowed",
    "model_variant_id": "variant",
    "bindings": "bindings",
}
_LEVELS_ABOVE_CONFIG: Final = 2

Claims = Mapping[tuple[str, str], str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Accepted:
    """What accepting one object comes to.

    `app` is what is declared of its app then, `edit` what makes it so in the file of `origin`. `fields` are what changes in
    the manifest; where they are none, `what` says it in words. `lines` are the YAML, for whoever has to write it themselves.
    """

    address: Address
    app: App
    edit: Edit
    origin: Origin
    fields: tuple[FieldChange, ...] = ()
    what: str = ""
    lines: tuple[str, ...] = ()


def accept(
    action: Action,
    desired: App,
    live: App,
    *,
    contract: Contract,
    sensitivity: Sensitivity,
    claims: Claims,
) -> Accepted:
    """Say how the live object becomes the declared one, instead of what an action would do.

    `claims` says which app declares a target, by (platform, identifier). Raises `OctosyncError` for a live value that can't
    be declared.
    """
    accepting = _Accepting(action, desired, live, contract, sensitivity, claims)
    match action:
        case UpdateApp():
            return accepting.app_fields(action)
        case PutSlot(before=None):
            return accepting.slot_gone(action)
        case PutSlot():
            return accepting.slot(action)
        case DeleteSlot():
            return accepting.slot_added(action)
        case RegisterTarget():
            return accepting.target_gone(action)
        case RemoveTarget():
            return accepting.target_added(action)
        case PutInferenceConfig() | DeleteInferenceConfig():
            return accepting.inference_config(action)
        case _:
            raise refusal(action.address, "there is nothing live that a manifest could declare instead")


def refusal(address: Address, why: str, *hints: str) -> OctosyncError:
    """Return the error that says why an object can't be accepted."""
    return OctosyncError("not-acceptable", f"{address} can't be accepted: {why}", hints=hints)


class _Accepting:
    """One object on its way into the manifests."""

    def __init__(  # noqa: PLR0917 — what `accept` was given
        self,
        action: Action,
        desired: App,
        live: App,
        contract: Contract,
        sensitivity: Sensitivity,
        claims: Claims,
    ) -> None:
        self._address = action.address
        self._desired = desired
        self._live = live
        self._contract = contract
        self._sensitivity = sensitivity
        self._claims = claims
        # What the action would change, the other way round.
        self._fields = tuple(FieldChange(one.path, one.after, one.before) for one in action.fields)

    def app_fields(self, action: UpdateApp) -> Accepted:
        """Accept the app's name and description; one that live doesn't have is no longer declared."""
        exported = self._exported(self._live)
        changed = {name: exported.app.fields.get(name) for name in action.body or {}}
        self._refuse_left_out(exported, self._live.address, changed)
        given = {name: value for name, value in changed.items() if value is not None}
        for name in changed.keys() - given.keys():
            if self._live.fields.get(name) is not None:
                raise refusal(self._address, f"its {name} is no text")
        unchanged = {name: value for name, value in self._desired.fields.items() if name not in changed}
        fields = {**unchanged, **given}
        return self._accepted(
            replace(self._desired, fields=fields),
            Place(kind="App", path=("spec",), change=with_fields(given, without=changed.keys() - given.keys())),
            origin=self._desired.origin,
            fields=tuple(one for one in self._fields if one.path[0] in changed),
            lines=(*_lines(given), *(f"# without {name}" for name in changed if name not in given)),
        )

    def slot(self, action: PutSlot) -> Accepted:
        """Accept the declared fields of a slot that differ."""
        slot, live = self._slot(self._desired), self._slot(self._live)
        shape = self._contract.shapes["slot"]
        changed: dict[str, JsonValue] = {
            wire: live.fields.get(wire, shape.defaults.get(wire))
            for wire in dict.fromkeys(one.path[0] for one in action.fields)
            if wire in slot.fields
            and not field_equal(wire, slot.fields[wire], live.fields.get(wire, shape.defaults.get(wire)))
        }
        exported = self._exported(replace(self._live, slots=(live,)), Section.SLOTS)
        self._refuse_left_out(exported, self._address, {_NAMES[wire] for wire in changed})
        if any(self._sensitivity.covers(name) for wire in changed for name in (wire, _NAMES[wire])):
            raise refusal(self._address, WHY_SENSITIVE)
        written: dict[str, JsonValue] = {}
        declared = dict(slot.fields)
        for wire, value in changed.items():
            written[_NAMES[wire]], declared[wire] = self._field(slot, wire, value)
        fields = {name: value for name, value in declared.items() if value is not None}
        change = self._written(written, live.fields.get("bindings"))
        known_by: JsonObject = {"capability": slot.capability}
        return self._accepted(
            self._with_slots(replace(slot, fields=normalise_slot_fields(fields), preset=None)),
            Place(kind="App", path=("spec", "slots", known_by), change=change),
            Place(kind="CapabilitySlot", known_by=known_by, path=("spec",), change=change),
            origin=slot.origin,
            fields=tuple(
                FieldChange((_NAMES[wire],), _declared(slot, wire), written[_NAMES[wire]]) for wire in changed
            ),
            lines=_lines(written),
        )

    def _field(self, slot: Slot, wire: str, value: JsonValue) -> tuple[JsonValue, JsonValue]:
        """Return how a field is written, and what is declared by it (None: nothing)."""
        if wire == "serving_policy":
            if not isinstance(value, Mapping):
                raise refusal(self._address, "its serving policy is none that octosync knows")
            policy = known_part(value)
            if (contradiction := contradiction_in(policy)) is not None:
                raise refusal(self._address, contradiction)
            preset = preset_of(policy) if slot.preset is not None else None
            return preset or policy_object(policy), policy
        if wire == "model_variant_id":
            if value is None:
                return "auto", None
            if not isinstance(value, str) or not fits(value, SLOT.fields["variant"].shape):
                raise refusal(self._address, "its variant is no text that a manifest can hold")
            return value, value
        if wire == "bindings":
            bindings = accepted_bindings(slot.fields["bindings"], value)
            return bindings, bindings
        return value, value

    def _written(self, written: JsonObject, bindings: JsonValue) -> Change:
        """Return what writes the fields. Bindings stay in the order in which they are declared."""
        put = with_fields(written)

        def change(old: JsonValue) -> JsonValue:
            new = put(old)
            if "bindings" not in written or not isinstance(old, dict) or not isinstance(new, dict):
                return new
            return {**new, "bindings": accepted_bindings(old.get("bindings"), bindings)}

        return change

    def slot_gone(self, action: PutSlot) -> Accepted:
        """Accept that a declared slot is not live."""
        slot = self._slot(self._desired)
        known_by: JsonObject = {"capability": slot.capability}
        del action
        slots = tuple(one for one in self._desired.slots if one.address != self._address)
        return self._accepted(
            replace(self._desired, slots=slots),
            *_removals("slots", "CapabilitySlot", known_by),
            origin=slot.origin,
            what="no longer declared, since it is not live",
        )

    def slot_added(self, action: DeleteSlot) -> Accepted:
        """Accept a live slot that is not in the manifest's list."""
        del action
        live = self._slot(self._live)
        exported = self._exported(replace(self._live, slots=(live,)), Section.SLOTS)
        if exported.left_out:
            raise refusal(self._address, f"{exported.left_out[0].name}: {exported.left_out[0].why}")
        (slot,) = exported.app.slots
        value = slot_entry(slot)
        return self._accepted(
            replace(self._desired, slots=_sorted_slots((*self._desired.slots, slot))),
            Place(kind="App", path=("spec", "slots"), change=with_item(value)),
            origin=self._desired.origin,
            what="declared now, as it is live",
            lines=_lines(value, of_list=True),
        )

    def target_gone(self, action: RegisterTarget) -> Accepted:
        """Accept that a declared target is not live."""
        target = next(one for one in self._desired.targets if one.address == self._address)
        known_by: JsonObject = {"platform": action.platform, "identifier": action.identifier}
        return self._accepted(
            replace(self._desired, targets=tuple(one for one in self._desired.targets if one is not target)),
            *_removals("targets", "AppTarget", known_by),
            origin=target.origin,
            what="no longer declared, since it is not live",
        )

    def target_added(self, action: RemoveTarget) -> Accepted:
        """Accept a live target that is not in the manifest's list."""
        live = next(one for one in self._live.targets if one.address == self._address)
        exported = self._exported(replace(self._live, targets=(live,)), Section.TARGETS)
        if exported.left_out:
            why = exported.left_out[0].why
            holder = self._claims.get((action.platform, action.identifier))
            hints = (
                (f"Accept that, too: {Address.of_target(holder, action.platform, action.identifier)}",)
                if holder
                else ()
            )
            raise refusal(self._address, why, *hints)
        target = Target(app=live.app, platform=live.platform, identifier=live.identifier)
        value: JsonObject = {"platform": live.platform, "identifier": live.identifier}
        targets = tuple(sorted((*self._desired.targets, target), key=lambda one: one.unique_key))
        return self._accepted(
            replace(self._desired, targets=targets),
            Place(kind="App", path=("spec", "targets"), change=with_item(value), compact=True),
            origin=self._desired.origin,
            what="declared now, as it is live",
            lines=_lines(value, of_list=True),
        )

    def inference_config(self, action: PutInferenceConfig | DeleteInferenceConfig) -> Accepted:
        """Accept the inference config, key by key; `null` where there is none."""
        declared = self._desired.inference_config
        config = self._live.inference_config.config if self._live.inference_config else None
        if config is not None:
            for one in self._fields:
                if self._sensitivity.covers_path(one.path):
                    raise refusal(
                        self._address, "a sensitive value of it differs, and secrets don't belong in manifests"
                    )
                why = secret_refusal(one.after, self._sensitivity) if one.after is not ABSENT else None
                if why is not None:
                    raise refusal(self._address, why)
            why = json_refusal(config, above=_LEVELS_ABOVE_CONFIG)
            if isinstance(action, DeleteInferenceConfig):
                why = why or secret_refusal(config, self._sensitivity)
            if why is not None:
                raise refusal(self._address, why)
        value: JsonValue = {key: config[key] for key in sorted(config)} if config is not None else None
        accepted = InferenceConfig(app=self._desired.slug, config=config)
        words = {True: "declared as null, since there is none live", False: "declared now, as it is live"}
        return self._accepted(
            replace(self._desired, inference_config=accepted),
            Place(kind="App", path=("spec", "inferenceConfig"), change=lambda _: value),
            Place(kind="InferenceConfig", path=("spec", "config"), change=lambda _: value),
            origin=declared.origin if declared else None,
            fields=self._fields if config is not None else (),
            what=words[config is None],
            lines=tuple(entry("inferenceConfig", value, 0)) if not self._sensitivity.occurs_in(value) else (),
        )

    def _accepted(
        self,
        app: App,
        *places: Place,
        origin: Origin | None,
        fields: tuple[FieldChange, ...] = (),
        what: str = "",
        lines: tuple[str, ...] = (),
    ) -> Accepted:
        if origin is None:
            raise refusal(self._address, "nothing says where it is declared")
        return Accepted(
            address=self._address,
            app=app,
            edit=Edit(app=self._desired.slug, places=places),
            origin=origin,
            fields=fields,
            what=what if not fields else "",
            lines=lines,
        )

    def _slot(self, app: App) -> Slot:
        return next(one for one in app.slots if one.address == self._address)

    def _with_slots(self, slot: Slot) -> App:
        others = (one for one in self._desired.slots if one.address != slot.address)
        return replace(self._desired, slots=_sorted_slots((*others, slot)))

    def _exported(self, live: App, *sections: Section) -> Exported:
        """Return how export would declare what is live, with what it would leave out and why."""
        return export_app(
            live, sections, contract=self._contract, sensitivity=self._sensitivity, claims=dict(self._claims)
        )

    def _refuse_left_out(self, exported: Exported, address: Address, names: Iterable[str]) -> None:
        wanted = set(names)
        for one in exported.left_out:
            if one.address == address and one.name in wanted:
                raise refusal(self._address, f"{one.name}: {one.why}")


def _declared(slot: Slot, wire: str) -> JsonValue:
    """Return a field as its manifest has it."""
    value = slot.fields[wire]
    if wire == "serving_policy" and isinstance(value, Mapping):
        return slot.preset or policy_object(value)
    return value


def _removals(section: str, kind: str, known_by: JsonObject) -> tuple[Place, Place]:
    """Return where a thing is taken away: out of its app's list, or with its own document."""
    return (
        Place(kind="App", path=("spec", section), item=known_by, change=without_item(known_by)),
        Place(kind=kind, known_by=known_by),
    )


def _sorted_slots(slots: Iterable[Slot]) -> tuple[Slot, ...]:
    return tuple(sorted(slots, key=lambda one: one.capability))


def _lines(values: JsonObject, *, of_list: bool = False) -> tuple[str, ...]:
    lines = [line for name, value in values.items() for line in entry(name, value, 2 if of_list else 0)]
    return tuple([f"- {lines[0].lstrip()}", *lines[1:]] if of_list and lines else lines)
