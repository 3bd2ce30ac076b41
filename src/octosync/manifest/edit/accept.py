"""Accepting: what is declared once a live value is, and which edit of the manifests says so.

It goes by the plan's own action: what apply would change back is what is accepted, and nothing else.
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


def accept(
    action: Action,
    desired: App,
    live: App,
    *,
    contract: Contract,
    sensitivity: Sensitivity,
    claims: ClaimingApps,
) -> AcceptedObject:
    """Say how the live object becomes the declared one, instead of what an action would do.

    `claims` says which app declares a target, by (platform, identifier). Raises `OctosyncError` for a live value that can't
    be declared.
    """
    facts = (action, desired, live, contract, sensitivity, claims)
    match action:
        case UpdateApp():
            return _AppAcceptor(*facts).accept_app_fields(action)
        case PutSlot(before=None):
            return SlotAcceptor(*facts).accept_missing_slot(action)
        case PutSlot():
            return SlotAcceptor(*facts).slot(action)
        case DeleteSlot():
            return SlotAcceptor(*facts).accept_new_slot(action)
        case RegisterTarget():
            return _AppAcceptor(*facts).accept_missing_target(action)
        case RemoveTarget():
            return _AppAcceptor(*facts).accept_new_target(action)
        case PutInferenceConfig() | DeleteInferenceConfig():
            return _AppAcceptor(*facts).inference_config(action)
        case _:
            raise refusal(action.address, "there is nothing live that a manifest could declare instead")


def accept_archive(desired: App) -> AcceptedObject:
    """Declare an app archived that is live in the archive. Raises `OctosyncError` if no App document declares it."""
    if not desired.declared or desired.origin is None:
        raise refusal(
            desired.address, "the app is archived, and no document of kind App declares it", "Remove its manifests."
        )
    field: JsonObject = {"archived": True}
    return AcceptedObject(
        address=desired.address,
        app=replace(desired, archived=True),
        edit=Edit(app=desired.slug, places=(EditTarget(kind="App", path=("spec",), change=with_fields(field)),)),
        origin=desired.origin,
        fields=(FieldChange(("archived",), before=False, after=True),),
        lines=lines_of(field),
    )


class _AppAcceptor(ObjectAcceptor):
    """An app's own fields, a target or an inference config on its way into the manifests."""

    def accept_app_fields(self, action: UpdateApp) -> AcceptedObject:
        """Accept the app's name and description; one that live doesn't have is no longer declared."""
        exported = self.exported(self.live)
        changed = {name: exported.app.fields.get(name) for name in action.body or {}}
        self.refuse_left_out(exported, self.live.address, changed)
        given = {name: value for name, value in changed.items() if value is not None}
        for name in changed.keys() - given.keys():
            if self.live.fields.get(name) is not None:
                raise refusal(self.address, f"its {name} is no text")
        unchanged = {name: value for name, value in self.desired.fields.items() if name not in changed}
        fields = {**unchanged, **given}
        return self.accepted(
            replace(self.desired, fields=fields),
            EditTarget(kind="App", path=("spec",), change=with_fields(given, without=changed.keys() - given.keys())),
            origin=self.desired.origin,
            fields=tuple(one for one in self.fields if one.path[0] in changed),
            lines=(*lines_of(given), *(f"# without {name}" for name in changed if name not in given)),
        )

    def accept_missing_target(self, action: RegisterTarget) -> AcceptedObject:
        """Accept that a declared target is not live."""
        target = next(one for one in self.desired.targets if one.address == self.address)
        known_by: JsonObject = {"platform": action.platform, "identifier": action.identifier}
        return self.accepted(
            replace(self.desired, targets=tuple(one for one in self.desired.targets if one is not target)),
            *removals("targets", "AppTarget", known_by),
            origin=target.origin,
            what="no longer declared, since it is not live",
        )

    def accept_new_target(self, action: RemoveTarget) -> AcceptedObject:
        """Accept a live target that is not in the manifest's list."""
        live = next(one for one in self.live.targets if one.address == self.address)
        exported = self.exported(replace(self.live, targets=(live,)), Section.TARGETS)
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
        targets = tuple(sorted((*self.desired.targets, target), key=lambda one: one.unique_key))
        return self.accepted(
            replace(self.desired, targets=targets),
            EditTarget(kind="App", path=("spec", "targets"), change=with_item(value), compact=True),
            origin=self.desired.origin,
            what="declared now, as it is live",
            lines=lines_of(value, of_list=True),
        )

    def inference_config(self, action: PutInferenceConfig | DeleteInferenceConfig) -> AcceptedObject:
        """Accept the inference config, key by key; `null` where there is none."""
        declared = self.desired.inference_config
        config = self.live.inference_config.config if self.live.inference_config else None
        if config is not None:
            for one in self.fields:
                sides = [side for side in (one.before, one.after) if not isinstance(side, Absent)]
                hidden = any(self.sensitivity.hides_at(one.path, side) for side in sides)
                if hidden or self.sensitivity.cut(one.path) != one.path:
                    raise refusal(
                        self.address, "a sensitive value of it differs, and secrets don't belong in manifests"
                    )
                why = secret_refusal(one.after, self.sensitivity) if one.after is not ABSENT else None
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
        return self.accepted(
            replace(self.desired, inference_config=accepted),
            EditTarget(kind="App", path=("spec", "inferenceConfig"), change=lambda _: value),
            EditTarget(kind="InferenceConfig", path=("spec", "config"), change=lambda _: value),
            origin=declared.origin if declared else None,
            fields=self.fields if config is not None else (),
            what=words[config is None],
            lines=tuple(entry("inferenceConfig", value, 0)) if not self.sensitivity.occurs_in(value) else (),
        )
