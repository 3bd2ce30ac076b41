"""Export a live app as a declaration that plans no change, with the reasons for everything that is left out.

A list is declared completely, so that it is owned, unless an item can't be declared: then the others are documents of their
own. Default values of a slot are left out, and so is its variant, which Octomil chooses until a manifest pins it. A field
that holds a secret is left out completely.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, MutableMapping
from dataclasses import dataclass, field, replace
from typing import Final

from octosync.contract import ENVIRONMENTS, Contract, contradiction_in
from octosync.contract.resources import known_policy
from octosync.manifest.export.expressible import (
    WHY_SENSITIVE,
    fits,
    flag_refusal,
    json_refusal,
    list_refusal,
    policy_refusal,
    secret_refusal,
    text_refusal,
)
from octosync.manifest.export.yaml_writer import manifest_text, value_text
from octosync.manifest.schema.models import APP_WIRE_NAMES, SLOT_WIRE_NAMES, AppSpec, SlotSpec, TargetSpec
from octosync.manifest.schema.shapes import fields_of
from octosync.manifest.yaml.source import quoted
from octosync.model import (
    Address,
    App,
    Deploy,
    ExportOmission,
    InferenceConfig,
    JsonValue,
    Optimize,
    Section,
    Sensitivity,
    Slot,
    Target,
)

# Levels around a value: the document, its spec, the list of slots and the slot.
_LEVELS_ABOVE_CONFIG: Final = 2
_LEVELS_ABOVE_BINDINGS: Final = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportedApp:
    """The declaration of a live app, comments by address, and what is left out."""

    app: App
    notes: Mapping[Address, tuple[str, ...]] = field(default_factory=dict)
    left_out: tuple[ExportOmission, ...] = ()

    @property
    def declares(self) -> bool:
        """Whether there is anything to write."""
        app = self.app
        return app.declared or bool(app.targets or app.slots) or app.inference_config is not None

    @property
    def text(self) -> str:
        """The manifest."""
        return manifest_text(self.app, self.notes)


def sections_undeclared(declared: App | None, sections: Collection[Section]) -> frozenset[Section]:
    """Return the sections that `declared` does not declare completely."""
    if declared is None:
        return frozenset(sections)
    if declared.archived:
        return frozenset()
    owned = set(declared.complete_sections)
    if declared.inference_config is not None:
        owned.add(Section.INFERENCE_CONFIG)
    if Section.SLOTS in owned:
        owned.add(Section.DEPLOYMENTS)  # it is in the slots
    return frozenset(sections) - owned


def export_app(
    live: App,
    sections: Collection[Section],
    *,
    contract: Contract,
    sensitivity: Sensitivity,
    claims: MutableMapping[tuple[str, str], str],
    declared: App | None = None,
) -> ExportedApp:
    """Return the declaration of a live app, of which at least these sections were read.

    `claims` maps (platform, identifier) of a target to the app that declares it, and is extended by this app's targets.
    `declared` is the app's existing declaration: everything else is then declared in documents of its own.
    """
    export = _Export(live, frozenset(sections), contract, sensitivity, claims, declared)
    return export.build()


class _Export:
    """The export of one app."""

    def __init__(
        self,
        live: App,
        sections: frozenset[Section],
        contract: Contract,
        sensitivity: Sensitivity,
        claims: MutableMapping[tuple[str, str], str],
        declared: App | None,
    ) -> None:
        self._live = live
        self._sections = sections
        self._contract = contract
        self._sensitivity = sensitivity
        self._claims = claims
        self._declared = declared
        self._whole: set[Section] = set()
        self._notes: defaultdict[Address, list[str]] = defaultdict(list)
        self._left_out: list[ExportOmission] = []

    def build(self) -> ExportedApp:
        """Return the declaration."""
        live, first = self._live, self._declared is None
        app = App(slug=live.slug, fields=self._app_fields() if first else {}, archived=live.archived, declared=first)
        if live.archived:
            self._notes[app.address].append("Archived permanently: its contents are neither read nor planned.")
        else:
            targets, slots, config = self._targets(), self._slots(), self._inference_config()
            app = replace(
                app,
                targets=targets,
                slots=slots,
                inference_config=config,
                complete_sections=frozenset(self._whole) if first else frozenset(),
            )
        notes = {address: tuple(lines) for address, lines in self._notes.items()}
        return ExportedApp(app=app, notes=notes, left_out=tuple(self._left_out))

    def _leave_out(self, address: Address, name: str, why: str) -> None:
        self._left_out.append(ExportOmission(address, name, why))
        self._notes[address].append(f"{name} left out: {why}")

    def _app_fields(self) -> dict[str, JsonValue]:
        fields: dict[str, JsonValue] = {}
        for name, wire in APP_WIRE_NAMES.items():
            value = self._live.fields.get(wire)
            if not isinstance(value, str):
                continue
            why = self._secret(wire, name) or text_refusal(value, fields_of(AppSpec)[name].shape)
            if why:
                self._leave_out(self._live.address, name, why)
            else:
                fields[wire] = value
        return fields

    def _secret(self, *names: str) -> str | None:
        return WHY_SENSITIVE if any(map(self._sensitivity.covers, names)) else None

    def _targets(self) -> tuple[Target, ...]:
        if Section.TARGETS not in self._sections:
            return ()
        known = {target.unique_key for target in self._declared.targets} if self._declared else set()
        found = {target.unique_key: target for target in self._live.targets if target.unique_key not in known}
        refused = {key: why for key, target in found.items() if (why := self._refusal_of_target(target)) is not None}
        unknown = {key for key, target in found.items() if target.platform not in self._contract.platforms}
        for key, why in refused.items():
            named = "a target" if self._secret("identifier") else f"target {quoted(found[key].address.name)}"
            self._leave_out(self._live.address, named, why)
        if refused.keys() <= unknown:
            self._whole.add(
                Section.TARGETS
            )  # a target with an unknown platform is left alone, whether the list is owned or not
        for key in found.keys() - refused.keys():
            self._claims[key] = self._live.slug
        return tuple(
            Target(app=self._live.slug, platform=target.platform, identifier=target.identifier)
            for key, target in found.items()
            if key not in refused
        )

    def _refusal_of_target(self, target: Target) -> str | None:
        if target.platform not in self._contract.platforms:
            return "octosync doesn't know the platform; api.platforms in octosync.yaml adds it"
        holder = self._claims.get(target.unique_key, self._live.slug)
        if holder != self._live.slug:
            return f"app {holder} declares it, too"
        return self._secret("identifier") or text_refusal(target.identifier, fields_of(TargetSpec)["identifier"].shape)

    def _slots(self) -> tuple[Slot, ...]:
        if Section.SLOTS not in self._sections:
            return ()
        known = {slot.capability for slot in self._declared.slots} if self._declared else set()
        slots = [slot for slot in self._live.slots if slot.capability not in known]
        declarable = []
        for slot in slots:
            why = text_refusal(slot.capability, fields_of(SlotSpec)["capability"].shape)
            if why:
                self._leave_out(self._live.address, f"slot {quoted(slot.capability)}", why)
            else:
                declarable.append(slot)
        if len(declarable) == len(slots):
            self._whole.add(Section.SLOTS)
        self._note_deployments_without_slot({*known, *(slot.capability for slot in slots)})
        return tuple(map(self._slot, declarable))

    def _note_deployments_without_slot(self, capabilities: Collection[str]) -> None:
        if Section.DEPLOYMENTS not in self._sections:
            return
        for deployment in self._live.deployments:
            if deployment.live and deployment.capability not in capabilities:
                name = f"deployment {quoted(deployment.address.name)}"
                self._leave_out(self._live.address, name, "there is no slot to declare it in")

    def _slot(self, live: Slot) -> Slot:
        fields: dict[str, JsonValue] = {}
        refusals: dict[str, Callable[[JsonValue], str | None]] = {
            "servingPolicy": _refusal_of_policy,
            "preferredEngines": lambda value: list_refusal(value, fields_of(SlotSpec)["preferredEngines"]),
            "publicClientAllowed": flag_refusal,
            "bindings": self._refusal_of_bindings,
        }
        for name, refusal in refusals.items():
            wire = SLOT_WIRE_NAMES[name]
            value = live.fields.get(wire)
            if value is None or value == self._contract.shapes["slot"].defaults.get(wire):
                continue
            why = self._secret(wire, name) or refusal(value)
            if why:
                self._leave_out(live.address, name, why)
            else:
                fields[wire] = known_policy(value) if isinstance(value, Mapping) else _in_order(value)
        deploy = self._deploy(live)
        self._note_variant(live)
        return Slot(app=live.app, capability=live.capability, fields=fields, deploy=deploy)

    def _note_variant(self, live: Slot) -> None:
        variant = live.fields.get("model_variant_id")
        if not isinstance(variant, str) or self._secret("variant", "model_variant_id"):
            return
        written = value_text(variant) if fits(variant, fields_of(SlotSpec)["variant"].shape) else quoted(variant)
        self._notes[live.address].append(f"variant: {written}  # chosen by Octomil; declare it to pin it")

    def _refusal_of_bindings(self, bindings: JsonValue) -> str | None:
        if not isinstance(bindings, list | tuple) or not all(isinstance(binding, Mapping) for binding in bindings):
            return "a binding is not an object"
        if (why := json_refusal(bindings, above=_LEVELS_ABOVE_BINDINGS)) is not None:
            return why
        if (why := secret_refusal(bindings, self._sensitivity)) is not None:
            return why
        keys = [
            binding["binding_key"] for binding in bindings if isinstance(binding, Mapping) and "binding_key" in binding
        ]
        texts = [key for key in keys if isinstance(key, str)]
        return "two have the same binding_key" if len(set(texts)) < len(texts) else None

    def _deploy(self, live: Slot) -> Deploy | None:
        if Section.DEPLOYMENTS not in self._sections:
            return None
        deployments = (deployment for deployment in self._live.deployments if deployment.capability == live.capability)
        live_environments = {deployment.environment for deployment in deployments if deployment.live}
        for environment in sorted(live_environments.difference(ENVIRONMENTS)):
            why = f"octosync knows the environments {', '.join(ENVIRONMENTS)}"
            self._leave_out(live.address, f"deploy in {quoted(environment)}", why)
        environments = tuple(environment for environment in ENVIRONMENTS if environment in live_environments)
        if not environments:
            return None
        self._notes[live.address].append("optimize: suggest shows better variants, auto rolls them out")
        return Deploy(environments=environments, optimize=Optimize.NEVER)

    def _inference_config(self) -> InferenceConfig | None:
        live = self._live.inference_config
        if Section.INFERENCE_CONFIG not in self._sections or live is None or live.config is None:
            return None
        name = "inferenceConfig"
        why = json_refusal(live.config, above=_LEVELS_ABOVE_CONFIG)
        why = why or self._secret(name, "config") or secret_refusal(live.config, self._sensitivity)
        if why is not None:
            self._leave_out(self._live.address, name, why)
            return None
        self._whole.add(Section.INFERENCE_CONFIG)
        return InferenceConfig(app=live.app, config={key: _in_order(live.config[key]) for key in sorted(live.config)})


def _in_order(value: JsonValue) -> JsonValue:
    """Return a value with the keys of all its objects sorted: their order is arbitrary and may change in responses."""
    if isinstance(value, Mapping):
        return {key: _in_order(value[key]) for key in sorted(value)}
    if isinstance(value, list | tuple):
        return [_in_order(item) for item in value]
    return value


def _refusal_of_policy(policy: JsonValue) -> str | None:
    return policy_refusal(policy) or contradiction_in(policy)


def claims_of(apps: Iterable[App]) -> dict[tuple[str, str], str]:
    """Return the declaring app of every target, by (platform, identifier)."""
    return {target.unique_key: app.slug for app in apps for target in app.targets}
