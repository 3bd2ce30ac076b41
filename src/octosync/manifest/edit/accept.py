"""Accepting drift: the declaration that equals the live state, and the edit of the manifests that makes it.

Acceptance follows the plan's action: it accepts exactly what apply would change back.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from octosync.contract import Contract
from octosync.manifest.edit.accept_slot import (
    AcceptedObject,
    ClaimingApps,
    ObjectAcceptor,
    SlotAcceptor,
    lines_of,
    refusal,
    removals,
)
from octosync.manifest.edit.editor import Edit, EditTarget, with_fields, with_item
from octosync.manifest.export.expressible import json_refusal, secret_refusal
from octosync.manifest.export.yaml_writer import entry
from octosync.manifest.schema.models import APP_WIRE_NAMES
from octosync.model import (
    Address,
    App,
    InferenceConfig,
    JsonObject,
    JsonValue,
    Section,
    Sensitivity,
    Target,
)
from octosync.plan import (
    ABSENT,
    Absent,
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

_LEVELS_ABOVE_CONFIG: Final = 2
_APP_KEYS: Final = {wire: name for name, wire in APP_WIRE_NAMES.items()}


def accept(
    action: Action,
    desired: App,
    live: App,
    *,
    contract: Contract,
    sensitivity: Sensitivity,
    claims: ClaimingApps,
) -> AcceptedObject:
    """Return the edit that declares the live object, instead of the change that an action would make.

    `claims` maps (platform, identifier) of a target to the app that declares it. Raises `OctosyncError` for a live value that
    can't be declared.
    """
    facts = (action, desired, live, contract, sensitivity, claims)
    match action:
        case UpdateApp():
            return _AppAcceptor(*facts).accept_app_fields(action)
        case PutSlot(before=None):
            return SlotAcceptor(*facts).accept_missing_slot(action)
        case PutSlot():
            return SlotAcceptor(*facts).accept_slot(action)
        case DeleteSlot():
            return SlotAcceptor(*facts).accept_new_slot(action)
        case RegisterTarget():
            return _AppAcceptor(*facts).accept_missing_target(action)
        case RemoveTarget():
            return _AppAcceptor(*facts).accept_new_target(action)
        case PutInferenceConfig() | DeleteInferenceConfig():
            return _AppAcceptor(*facts).accept_inference_config(action)
        case _:
            raise refusal(action.address, "there is no live object to declare")


def accept_archive(desired: App) -> AcceptedObject:
    """Return the edit that declares a live archived app as archived. Raises `OctosyncError` without an App document."""
    if not desired.declared or desired.origin is None:
        raise refusal(
            desired.address, "the app is archived, and no document of kind App declares it", "Remove its manifests."
        )
    field: JsonObject = {"archived": True}
    return AcceptedObject(
        address=desired.address,
        app=replace(desired, archived=True),
        edit=Edit(app=desired.slug, targets=(EditTarget(kind="App", path=("spec",), change=with_fields(field)),)),
        origin=desired.origin,
        fields=(FieldChange(("archived",), before=False, after=True),),
        lines=lines_of(field),
    )


class _AppAcceptor(ObjectAcceptor):
    """Accepts an app's own fields, a target or an inference config."""

    def accept_app_fields(self, action: UpdateApp) -> AcceptedObject:
        """Accept the app's own fields; a field that is not live is no longer declared."""
        exported = self.export(self.live)
        changed = {wire: exported.app.fields.get(wire) for wire in action.body or {}}
        self.refuse_left_out(exported, self.live.address, (_APP_KEYS[wire] for wire in changed))
        given = {wire: value for wire, value in changed.items() if value is not None}
        removed = [_APP_KEYS[wire] for wire in changed if wire not in given]
        for name in removed:
            if self.live.fields.get(APP_WIRE_NAMES[name]) is not None:
                raise refusal(self.address, f"its {name} is not a string")
        unchanged = {wire: value for wire, value in self.desired.fields.items() if wire not in changed}
        written: JsonObject = {_APP_KEYS[wire]: value for wire, value in given.items()}
        return self.result(
            replace(self.desired, fields={**unchanged, **given}),
            EditTarget(kind="App", path=("spec",), change=with_fields(written, without=removed)),
            origin=self.desired.origin,
            fields=tuple(
                replace(change, path=(_APP_KEYS[change.path[0]],))
                for change in self.fields
                if change.path[0] in changed
            ),
            lines=(*lines_of(written), *(f"# without {name}" for name in removed)),
        )

    def accept_missing_target(self, action: RegisterTarget) -> AcceptedObject:
        """Accept that a declared target is not live."""
        target = next(target for target in self.desired.targets if target.address == self.address)
        known_by: JsonObject = {"platform": action.platform, "identifier": action.identifier}
        return self.result(
            replace(self.desired, targets=tuple(kept for kept in self.desired.targets if kept is not target)),
            *removals("targets", "AppTarget", known_by),
            origin=target.origin,
            what="no longer declared, since it doesn't exist",
        )

    def accept_new_target(self, action: RemoveTarget) -> AcceptedObject:
        """Accept a live target that is not in the manifest's list."""
        live = next(target for target in self.live.targets if target.address == self.address)
        exported = self.export(replace(self.live, targets=(live,)), Section.TARGETS)
        if exported.left_out:
            why = exported.left_out[0].why
            holder = self.claims.get((action.platform, action.identifier))
            hints = (
                (f"Accept that, too: {Address.of_target(holder, action.platform, action.identifier)}",)
                if holder
                else ()
            )
            raise refusal(self.address, why, *hints)
        target = Target(app=live.app, platform=live.platform, identifier=live.identifier)
        value: JsonObject = {"platform": live.platform, "identifier": live.identifier}
        targets = tuple(sorted((*self.desired.targets, target), key=lambda target: target.unique_key))
        return self.result(
            replace(self.desired, targets=targets),
            EditTarget(kind="App", path=("spec", "targets"), change=with_item(value), compact=True),
            origin=self.desired.origin,
            what="declared now, as it is live",
            lines=lines_of(value, of_list=True),
        )

    def accept_inference_config(self, action: PutInferenceConfig | DeleteInferenceConfig) -> AcceptedObject:
        """Accept the inference config, key by key; `null` if there is none."""
        declared = self.desired.inference_config
        config = self.live.inference_config.config if self.live.inference_config else None
        if config is not None:
            for change in self.fields:
                sides = [side for side in (change.before, change.after) if not isinstance(side, Absent)]
                hidden = any(self.sensitivity.hides_at(change.path, side) for side in sides)
                if hidden or self.sensitivity.cut(change.path) != change.path:
                    raise refusal(
                        self.address, "a sensitive value of it differs, and secrets don't belong in manifests"
                    )
                why = secret_refusal(change.after, self.sensitivity) if change.after is not ABSENT else None
                if why is not None:
                    raise refusal(self.address, why)
            why = json_refusal(config, above=_LEVELS_ABOVE_CONFIG)
            if isinstance(action, DeleteInferenceConfig):
                why = why or secret_refusal(config, self.sensitivity)
            if why is not None:
                raise refusal(self.address, why)
        value: JsonValue = {key: config[key] for key in sorted(config)} if config is not None else None
        accepted = InferenceConfig(app=self.desired.slug, config=config)
        words = {True: "declared as null, since there is none live", False: "declared now, as it is live"}
        return self.result(
            replace(self.desired, inference_config=accepted),
            EditTarget(kind="App", path=("spec", "inferenceConfig"), change=lambda _: value),
            EditTarget(kind="InferenceConfig", path=("spec", "config"), change=lambda _: value),
            origin=declared.origin if declared else None,
            fields=self.fields if config is not None else (),
            what=words[config is None],
            lines=tuple(entry("inferenceConfig", value, 0)) if not self.sensitivity.occurs_in(value) else (),
        )
