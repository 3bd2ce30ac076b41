"""One app: what its declared state and its live state make necessary. Order and moves between apps come after."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field

from octosync.contract import (
    APP,
    PRESETS,
    Contract,
    ObjectShape,
    field_equal,
    merge_bindings,
    merge_policy,
    normalise_app_fields,
    normalise_slot_fields,
)
from octosync.model import (
    Address,
    App,
    InferenceConfig,
    JsonObject,
    JsonValue,
    Reason,
    Section,
    Slot,
    Target,
    json_equal,
)
from octosync.plan.actions import (
    ABSENT_FINGERPRINT,
    Action,
    ArchiveApp,
    CreateApp,
    DeleteInferenceConfig,
    DeleteSlot,
    Fingerprint,
    PutInferenceConfig,
    PutSlot,
    RegisterTarget,
    RemoveTarget,
    UpdateApp,
    field_changes,
    fingerprint_of_app,
    fingerprint_of_config,
    fingerprint_of_slot,
    fingerprint_of_target,
)

# The policy of a new slot whose manifest declares none.
NEW_SLOT_POLICY = PRESETS["local_first"]


@dataclass(slots=True)
class AppDiff:
    """What one app needs: its actions in no order yet, what is as declared, what was compared and what is left alone."""

    actions: list[Action] = field(default_factory=list)
    unchanged: list[Address] = field(default_factory=list)
    fingerprints: dict[Address, Fingerprint] = field(default_factory=dict)
    unknown_targets: list[Address] = field(default_factory=list)


def compare_app(
    desired: App, live: App | None, contract: Contract, *, removed: Collection[Address] = frozenset()
) -> AppDiff:
    """Compare one app. The caller has dealt with apps that are archived, absent and archived, or undeclared.

    `removed` are objects to be deleted beside those that a list doesn't have that is owned.
    """
    diff = AppDiff()
    _app(desired, live, diff)
    if desired.targets or (live is not None and live.targets):
        _targets(desired, live, contract, diff, removed)
    _slots(desired, live, contract.shapes["slot"], diff, removed)
    if desired.inference_config is not None:
        _inference_config(desired, desired.inference_config, live, diff)
    if desired.archived and live is not None:
        updated = _changed(desired.fields, live.fields, APP)
        diff.actions.append(_archive(desired, normalise_app_fields({**live.fields, **updated})))
    return diff


def _app(desired: App, live: App | None, diff: AppDiff) -> None:
    if not desired.declared:
        return
    address = desired.address
    if live is None:
        diff.fingerprints[address] = ABSENT_FINGERPRINT
        wanted = {"name": desired.slug, **normalise_app_fields(desired.fields)}
        body = {"slug": desired.slug, **wanted}
        diff.actions.append(
            CreateApp(
                address=address,
                reason=Reason.NEW,
                parameters={},
                body=body,
                after=wanted,
                declared=body,
                fingerprint=ABSENT_FINGERPRINT,
                labels=desired.labels,
                origin=desired.origin,
            )
        )
        return
    fingerprint = diff.fingerprints[address] = fingerprint_of_app(live.fields, archived=live.archived)
    changed = _changed(desired.fields, live.fields, APP)
    if changed:
        after = {**live.fields, **changed}
        diff.actions.append(
            UpdateApp(
                address=address,
                reason=Reason.DIFFERS,
                parameters={"slug": desired.slug},
                body=changed,
                before=live.fields,
                after=normalise_app_fields(after),
                declared=changed,
                fields=field_changes(live.fields, normalise_app_fields(after)),
                fingerprint=fingerprint,
                labels=desired.labels,
                origin=desired.origin,
            )
        )
    elif not desired.archived:
        diff.unchanged.append(address)


def _archive(desired: App, fields: JsonObject) -> Action:
    # `fields` are the app's as they will be by then: its own update, where there is one, comes first.
    before: JsonObject = {**fields, "archived": False}
    return ArchiveApp(
        address=desired.address,
        reason=Reason.DIFFERS,
        parameters={"slug": desired.slug},
        before=before,
        after={**before, "archived": True},
        declared={"archived": True},
        fields=field_changes({"archived": False}, {"archived": True}),
        fingerprint=fingerprint_of_app(fields, archived=False),
        labels=desired.labels,
        protected=desired.protected,
        origin=desired.origin,
    )


def _targets(desired: App, live: App | None, contract: Contract, diff: AppDiff, removed: Collection[Address]) -> None:
    there = {target.unique_key: target for target in (live.targets if live else ())}
    wanted = {target.unique_key: target for target in desired.targets}
    for key, target in wanted.items():
        address = target.address
        diff.fingerprints[address] = fingerprint_of_target(there.get(key))
        if key in there:
            diff.unchanged.append(address)
        else:
            diff.actions.append(_register(desired, target))
    for key, target in there.items():
        if key in wanted or not (Section.TARGETS in desired.complete_sections or target.address in removed):
            continue
        if target.platform not in contract.platforms:
            diff.unknown_targets.append(target.address)
            continue
        diff.fingerprints[target.address] = fingerprint_of_target(target)
        diff.actions.append(_remove(desired, target))


def _register(desired: App, target: Target) -> Action:
    body: JsonObject = {"platform": target.platform, "identifier": target.identifier}
    return RegisterTarget(
        address=target.address,
        reason=Reason.NEW,
        parameters={"slug": desired.slug},
        body=body,
        after=body,
        declared=body,
        fingerprint=ABSENT_FINGERPRINT,
        labels=desired.labels,
        origin=target.origin,
        platform=target.platform,
        identifier=target.identifier,
    )


def _remove(desired: App, target: Target) -> Action:
    parameters = {"slug": desired.slug}
    if (
        "id" in target.server_fields
    ):  # a target that was read has an id; one that a base declares, as with --offline, has none
        parameters["target_id"] = str(target.server_fields["id"])
    return RemoveTarget(
        address=target.address,
        reason=Reason.DIFFERS,
        parameters=parameters,
        before={"platform": target.platform, "identifier": target.identifier},
        fingerprint=fingerprint_of_target(target),
        labels=desired.labels,
        protected=desired.protected,
        origin=desired.origin_of_list(Section.TARGETS),
        platform=target.platform,
        identifier=target.identifier,
    )


def _slots(desired: App, live: App | None, shape: ObjectShape, diff: AppDiff, removed: Collection[Address]) -> None:
    there = {slot.capability: slot for slot in (live.slots if live else ())}
    wanted = {slot.capability for slot in desired.slots}
    for slot in desired.slots:
        address, actual = slot.address, there.get(slot.capability)
        diff.fingerprints[address] = fingerprint_of_slot(actual)
        action = _put_slot(desired, slot, actual, shape)
        if action is None:
            diff.unchanged.append(address)
        else:
            diff.actions.append(action)
    for slot in there.values():
        if slot.capability in wanted or not (Section.SLOTS in desired.complete_sections or slot.address in removed):
            continue
        fingerprint = diff.fingerprints[slot.address] = fingerprint_of_slot(slot)
        diff.actions.append(
            DeleteSlot(
                address=slot.address,
                reason=Reason.DIFFERS,
                parameters={"slug": desired.slug, "capability": slot.capability},
                before=slot.fields,
                fingerprint=fingerprint,
                labels=desired.labels,
                protected=desired.protected,
                origin=desired.origin_of_list(Section.SLOTS),
            )
        )


def _put_slot(desired: App, slot: Slot, live: Slot | None, shape: ObjectShape) -> Action | None:
    changed: JsonObject = slot.fields if live is None else _changed(slot.fields, live.fields, shape)
    if live is not None and not changed:
        return None
    after = replacement_for(slot, live)
    before = live.fields if live else None
    return PutSlot(
        address=slot.address,
        reason=Reason.NEW if live is None else Reason.DIFFERS,
        parameters={"slug": desired.slug, "capability": slot.capability},
        # Bindings have no default that a stricter server could not refuse to assume, so they are always sent.
        body={"bindings": [], **{key: value for key, value in after.items() if key not in shape.read_only}},
        before=before,
        after=after,
        declared=slot.fields,
        fields=field_changes(before, after) if live else (),
        fingerprint=fingerprint_of_slot(live),
        labels=desired.labels,
        origin=slot.origin,
        preset=slot.preset,
    )


def replacement_for(slot: Slot, live: Slot | None) -> JsonObject:
    """Return all fields of a slot after its PUT: what is declared, over everything that is live and not declared.

    Undeclared fields are carried, since the PUT replaces wholesale and would reset them; so are unknown keys inside the
    policy and inside a binding that is declared in part.
    """
    declared = dict(slot.fields)
    if live is None:
        return normalise_slot_fields({"serving_policy": NEW_SLOT_POLICY, **declared})
    if "serving_policy" in declared:
        declared["serving_policy"] = merge_policy(declared["serving_policy"], live.fields.get("serving_policy"))
    if "bindings" in declared:
        declared["bindings"] = merge_bindings(_list(declared["bindings"]), _list(live.fields.get("bindings")))
    return normalise_slot_fields({**live.fields, **declared})


def _inference_config(desired: App, wanted: InferenceConfig, live: App | None, diff: AppDiff) -> None:
    there = live.inference_config if live else None
    before = there.config if there else None
    address = wanted.address
    fingerprint = diff.fingerprints[address] = fingerprint_of_config(there)
    if wanted.config is None:
        if before is None:
            diff.unchanged.append(address)
        else:
            diff.actions.append(_delete_config(desired, wanted, before, fingerprint))
        return
    if before is not None and json_equal(wanted.config, before):
        diff.unchanged.append(address)
        return
    diff.actions.append(
        PutInferenceConfig(
            address=address,
            reason=Reason.NEW if before is None else Reason.DIFFERS,
            parameters={"slug": desired.slug},
            body=wanted.config,
            before=before,
            after=wanted.config,
            declared=wanted.config,
            fields=field_changes(before, wanted.config) if before is not None else (),
            fingerprint=fingerprint,
            labels=desired.labels,
            origin=wanted.origin,
        )
    )


def _delete_config(desired: App, wanted: InferenceConfig, before: JsonObject, fingerprint: Fingerprint) -> Action:
    return DeleteInferenceConfig(
        address=wanted.address,
        reason=Reason.DIFFERS,
        parameters={"slug": desired.slug},
        before=before,
        fingerprint=fingerprint,
        labels=desired.labels,
        protected=desired.protected,
        origin=wanted.origin,
    )


def _changed(declared: JsonObject, live: JsonObject, shape: ObjectShape) -> dict[str, JsonValue]:
    return {
        name: value
        for name, value in declared.items()
        if not field_equal(name, value, live.get(name, shape.defaults.get(name)))
    }


def _list(value: JsonValue) -> list[JsonValue]:
    return list(value) if isinstance(value, list | tuple) else []
