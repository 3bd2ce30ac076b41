"""The targets, slots and inference configs of one document, with the checks that need no other document."""

from __future__ import annotations

import re
from typing import Final, cast

from octosync.contract import (
    CAPABILITIES,
    ENGINES,
    Contract,
    contradiction_in,
    normalise_app_fields,
    normalise_slot_fields,
)
from octosync.manifest.load.documents import Resource
from octosync.manifest.schema.checked_object import CheckedObject
from octosync.manifest.schema.models import APP_WIRE_NAMES, SLOT_WIRE_NAMES, SlotSpec
from octosync.manifest.yaml.nodes import Scalar, UnreadText
from octosync.model import Deploy, InferenceConfig, JsonObject, JsonValue, Optimize, Slot, Target, closest

_SLOT_FIELDS: Final = frozenset(SLOT_WIRE_NAMES.values())
_REVERSE_DNS: Final = re.compile(r"[A-Za-z][A-Za-z0-9_-]*(\.[A-Za-z0-9_-]+)+")
_ORIGIN: Final = re.compile(r"https?://(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9.-]+)(:[0-9]{1,5})?")
_SHAPES: Final = {
    **dict.fromkeys(("ios", "macos", "android"), (_REVERSE_DNS, "reverse-DNS, as in com.example.app")),
    "browser": (_ORIGIN, "an origin, as in https://app.example.com, without a path"),
}


def app_fields(resource: Resource) -> JsonObject:
    """Return an App document's own wire fields."""
    spec = resource.spec
    declared = {name: spec.text(key) for key, name in APP_WIRE_NAMES.items() if key in spec} if spec else {}
    return normalise_app_fields(declared)


def target_of(fields: CheckedObject, resource: Resource, contract: Contract) -> Target | None:
    """Return the target that a record declares; None if its platform or identifier could not be read."""
    platform, identifier = fields.text("platform"), fields.text("identifier")
    if platform is not None and platform not in contract.platforms:
        at = fields.value_node("platform")
        resource.reporter.report(
            "unknown-platform",
            at,
            f"{resource.reporter.quote(platform, at)} is none of {', '.join(contract.platforms)}",
            path=fields.path_to("platform"),
            suggestion=closest(platform, contract.platforms),
            notes=("api.platforms in octosync.yaml adds names",),
        )
    if platform is None or identifier is None:
        return None
    pattern, meaning = _SHAPES.get(platform, (None, ""))
    if pattern is not None and not pattern.fullmatch(identifier):
        at = fields.value_node("identifier")
        quoted = resource.reporter.quote(identifier, at)
        summary = f"{quoted} doesn't look like an identifier of {platform}: {meaning}"
        resource.reporter.report("identifier-shape", at, summary, path=fields.path_to("identifier"))
    return Target(app=resource.app or "", platform=platform, identifier=identifier, origin=resource.origin_of(fields))


def slot_of(fields: CheckedObject, resource: Resource, contract: Contract) -> Slot | None:
    """Return the slot that a record declares; None if its capability could not be read. The rest is checked in any case."""
    capability = fields.text("capability")
    if capability is not None and capability not in CAPABILITIES:
        _report_unknown_capability(capability, fields, resource)
    shape = contract.shapes["slot"]
    if not shape.read_only.isdisjoint(_SLOT_FIELDS):
        _check_writable(fields, resource, contract)
    if "preferredEngines" in fields:
        _check_engines(fields, resource)
    if "bindings" in fields:
        _check_bindings(fields, resource)
    declared = fields.attributes(SlotSpec)
    if "serving_policy" in declared:
        _check_policy(fields, declared["serving_policy"], resource)
    if declared.get("variant", "auto") != "auto":
        declared["model_variant_id"] = declared["variant"]
    wire = {
        name: list(value) if isinstance(value := declared[name], tuple) else value
        for name in shape.writable
        if name in declared
    }
    deploy = _deploy(fields, resource) if "deploy" in fields else None
    if capability is None:
        return None
    return Slot(
        app=resource.app or "",
        capability=capability,
        fields=normalise_slot_fields(wire),
        preset=fields.text("servingPolicy"),
        deploy=deploy,
        origin=resource.origin_of(fields),
    )


def inference_config_of(fields: CheckedObject, key: str, resource: Resource) -> InferenceConfig | None:
    """Return the inference config that a record declares under a key; None if it declares none."""
    if key not in fields:
        return None
    return InferenceConfig(app=resource.app or "", config=fields.json(key), origin=resource.origin_of(fields, key))


def _report_unknown_capability(capability: str, fields: CheckedObject, resource: Resource) -> None:
    at = fields.value_node("capability")
    resource.reporter.report(
        "unknown-capability",
        at,
        f"{resource.reporter.quote(capability, at)} is not a known capability",
        path=fields.path_to("capability"),
        suggestion=closest(capability, CAPABILITIES),
    )


def _check_engines(fields: CheckedObject, resource: Resource) -> None:
    engines = set(fields.values["preferredEngines"])
    if len(engines) == len(fields.values["preferredEngines"]) and engines.issubset(ENGINES):
        return
    _check_repeated(fields, "preferredEngines", resource)
    unknown: set[str] = set()
    for index, value in fields.items("preferredEngines"):
        name = str(value)
        if name in ENGINES or name in unknown:
            continue
        unknown.add(name)
        node = fields.item_node("preferredEngines", index)
        resource.reporter.report(
            "unknown-engine",
            node,
            f"{resource.reporter.quote(name, node)} is not a known engine",
            path=fields.path_to("preferredEngines", index),
            suggestion=closest(name, ENGINES),
        )


def _check_writable(fields: CheckedObject, resource: Resource, contract: Contract) -> None:
    """Report fields that octosync.yaml makes read-only: they would never be sent, and always differ."""
    for key, name in SLOT_WIRE_NAMES.items():
        if key in fields and name in contract.shapes["slot"].read_only:
            resource.reporter.report(
                "read-only-field",
                fields.key_node(key),
                f"`{key}` is the control plane's own: api.readOnly in octosync.yaml names `{name}`",
                path=fields.path_to(key),
                notes=("remove it here or there",),
            )


def _check_repeated(fields: CheckedObject, key: str, resource: Resource) -> None:
    seen: set[object] = set()
    for index, value in fields.items(key):
        if value in seen:
            node = fields.item_node(key, index)
            summary = f"{resource.reporter.quote(value, node)} is in the list already"
            resource.reporter.report("repeated-value", node, summary, path=fields.path_to(key, index))
        seen.add(value)


def _check_policy(fields: CheckedObject, policy: JsonValue, resource: Resource) -> None:
    declared = fields.record("servingPolicy")
    if declared is None:
        return
    mode = declared.text("routingMode")
    report = resource.reporter.report
    if mode == "auto" and "routingPreference" not in declared.values:
        path = declared.path_to("routingPreference")
        summary = "a serving policy with routingMode auto needs `routingPreference`: local, performance or cloud"
        report("missing-field", declared.key_node("routingMode"), summary, path=path)
    elif mode not in ("auto", None) and _has_value(declared, "routingPreference"):
        at = declared.key_node("routingPreference")
        summary = f"routingPreference means nothing with routingMode {mode}: leave it out"
        report("preference-without-auto", at, summary, path=declared.path_to("routingPreference"))
    if (contradiction := contradiction_in(policy)) is not None:
        report("contradictory-policy", fields.key_node("servingPolicy"), contradiction, path=declared.path)


def _has_value(fields: CheckedObject, key: str) -> bool:
    """Return whether a value is present, valid or not; null and unreadable values do not count."""
    if fields.values.get(key) is None:
        return False
    node = fields.node.get(key)
    return not (isinstance(node, Scalar) and isinstance(node.value, UnreadText | None))


def _check_bindings(fields: CheckedObject, resource: Resource) -> None:
    first: dict[str, int] = {}
    for index, binding in fields.items("bindings"):
        key = cast("JsonObject", binding).get("binding_key")
        if not isinstance(key, str) or isinstance(key, UnreadText):
            continue
        if key in first:
            node, other = fields.item_node("bindings", index), fields.item_node("bindings", first[key])
            summary = f"binding {resource.reporter.quote(key, node)} is declared twice"
            notes = (f"the other: {resource.reporter.source.origin_of(other)}",)
            resource.reporter.report(
                "declared-twice", node, summary, path=fields.path_to("bindings", index), notes=notes
            )
        first.setdefault(key, index)


def _deploy(fields: CheckedObject, resource: Resource) -> Deploy | None:
    declared = fields.record("deploy")
    if declared is None:
        return None
    environments = tuple(dict.fromkeys(declared.texts("environments")))
    optimize = Optimize(declared.text("optimize") or Optimize.SUGGEST.value)
    report = resource.reporter.report
    _check_repeated(declared, "environments", resource)
    if optimize is Optimize.AUTO:
        variant = fields.text("variant")
        if variant is not None and variant != "auto":
            at, path = declared.value_node("optimize"), declared.path_to("optimize")
            summary = "optimize: auto chooses the variant, and this slot pins one: leave out one of the two"
            report("auto-with-pinned-variant", at, summary, path=path)
        if "development" in environments:
            at, path = declared.value_node("optimize"), declared.path_to("optimize")
            summary = "optimize: auto in development: Octomil rolls better variants out to staging and production only"
            report("auto-in-development", at, summary, path=path)
    return Deploy(
        environments=environments,
        optimize=optimize,
        min_improvement=declared.number("minImprovement"),
        max_regression=declared.number("maxRegression"),
        origin=resource.origin_of(declared),
    )
