"""What one document declares, in the model's words: targets, slots, inference configs, checked as far as one can tell."""

from __future__ import annotations

import re
from typing import Final

from octosync.contract import (
    CAPABILITIES,
    ENGINES,
    Contract,
    contradiction_in,
    normalise_app_fields,
    normalise_slot_fields,
)
from octosync.manifest.documents import Resource
from octosync.manifest.walk import Fields, closest
from octosync.model import Deploy, InferenceConfig, JsonObject, JsonValue, Optimize, Slot, Target

_REVERSE_DNS: Final = re.compile(r"[A-Za-z][A-Za-z0-9_-]*(\.[A-Za-z0-9_-]+)+")
_ORIGIN: Final = re.compile(r"https?://(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9.-]+)(:[0-9]{1,5})?")
_SHAPES: Final = {
    **dict.fromkeys(("ios", "macos", "android"), (_REVERSE_DNS, "reverse-DNS, as in com.example.app")),
    "browser": (_ORIGIN, "an origin, as in https://app.example.com, without a path"),
}


def app_fields(resource: Resource) -> JsonObject:
    """Return an App document's own wire fields."""
    spec = resource.spec
    declared = {key: spec.text(key) for key in ("name", "description") if key in spec} if spec else {}
    return normalise_app_fields(declared)


def target_of(fields: Fields, resource: Resource, contract: Contract) -> Target | None:
    """Return the target that a record declares; None where it lacks what identifies it."""
    platform, identifier = fields.text("platform"), fields.text("identifier")
    if platform is None or identifier is None:
        return None
    report, quote = resource.reporter.report, resource.reporter.quote
    if platform not in contract.platforms:
        at = fields.at("platform")
        report(
            "unknown-platform",
            at,
            f"{quote(platform, at)} is none of {', '.join(contract.platforms)}",
            path=fields.below("platform"),
            suggestion=closest(platform, contract.platforms),
            notes=("api.platforms in octosync.yaml adds names",),
        )
    pattern, meaning = _SHAPES.get(platform, (None, ""))
    if pattern is not None and not pattern.fullmatch(identifier):
        at = fields.at("identifier")
        summary = f"{quote(identifier, at)} doesn't look like an identifier of {platform}: {meaning}"
        report("identifier-shape", at, summary, path=fields.below("identifier"))
    return Target(app=resource.app, platform=platform, identifier=identifier, origin=resource.place(fields.node))


def slot_of(fields: Fields, resource: Resource) -> Slot | None:
    """Return the slot that a record declares; None where it lacks its capability."""
    capability = fields.text("capability")
    if capability is None:
        return None
    _check_capability(fields, capability, resource)
    _check_engines(fields, resource)
    wire: dict[str, JsonValue] = {}
    if (policy := _policy(fields, resource)) is not None:
        wire["serving_policy"] = policy
    if "preferredEngines" in fields:
        wire["preferred_engines"] = list(fields.texts("preferredEngines"))
    if "publicClientAllowed" in fields:
        wire["public_client_allowed"] = fields.flag("publicClientAllowed")
    if "variant" in fields and fields.text("variant") != "auto":
        wire["model_variant_id"] = fields.text("variant")
    if (bindings := _bindings(fields, resource)) is not None:
        wire["bindings"] = bindings
    return Slot(
        app=resource.app,
        capability=capability,
        fields=normalise_slot_fields(wire),
        deploy=_deploy(fields, resource),
        origin=resource.place(fields.node),
    )


def inference_config_of(fields: Fields, key: str, resource: Resource) -> InferenceConfig | None:
    """Return the inference config that a record declares under a key; None where it declares none."""
    if key not in fields:
        return None
    return InferenceConfig(app=resource.app, config=fields.json(key), origin=resource.place(fields.key_at(key)))


def _check_capability(fields: Fields, capability: str, resource: Resource) -> None:
    if capability not in CAPABILITIES:
        at = fields.at("capability")
        resource.reporter.report(
            "unknown-capability",
            at,
            f"{resource.reporter.quote(capability, at)} is no capability that octosync knows",
            path=fields.below("capability"),
            suggestion=closest(capability, CAPABILITIES),
        )


def _check_engines(fields: Fields, resource: Resource) -> None:
    seen: set[str] = set()
    for index, node in fields.items_at("preferredEngines"):
        name = getattr(node, "value", None)
        if not isinstance(name, str) or not name:
            continue
        path = f"{fields.below('preferredEngines')}[{index}]"
        quote = resource.reporter.quote(name, node)
        if name in seen:
            resource.reporter.report("repeated-value", node, f"{quote} is in the list already", path=path)
        elif name not in ENGINES:
            resource.reporter.report(
                "unknown-engine",
                node,
                f"{quote} is no engine that octosync knows",
                path=path,
                suggestion=closest(name, ENGINES),
            )
        seen.add(name)


def _policy(fields: Fields, resource: Resource) -> JsonValue:
    if (preset := fields.text("servingPolicy")) is not None:
        return preset
    declared = fields.record("servingPolicy")
    if declared is None:
        return None
    mode, preference = declared.text("routingMode"), declared.text("routingPreference")
    policy: dict[str, JsonValue] = {"routing_mode": mode}
    if preference is not None:
        policy["routing_preference"] = preference
    if (fallback := declared.record("fallback")) is not None:
        policy["fallback"] = {
            "allow_cloud_fallback": fallback.flag("allowCloudFallback"),
            "allow_local_fallback": fallback.flag("allowLocalFallback"),
        }
    report = resource.reporter.report
    if mode == "auto" and "routingPreference" not in declared.node.entries:
        path = declared.below("routingPreference")
        summary = "a serving policy with routingMode auto needs `routingPreference`: local, performance or cloud"
        report("missing-field", declared.key_at("routingMode"), summary, path=path)
    elif mode not in ("auto", None) and preference is not None:
        at = declared.key_at("routingPreference")
        summary = f"routingPreference means nothing with routingMode {mode}: leave it out"
        report("preference-without-auto", at, summary, path=declared.below("routingPreference"))
    if (contradiction := contradiction_in(policy)) is not None:
        report("contradictory-policy", fields.key_at("servingPolicy"), contradiction, path=declared.path)
    return policy


def _bindings(fields: Fields, resource: Resource) -> list[JsonValue] | None:
    bindings = fields.values.get("bindings")
    if not isinstance(bindings, list):
        return None
    seen: dict[str, int] = {}
    for index, (binding, (_, node)) in enumerate(zip(bindings, fields.items_at("bindings"), strict=False)):
        key = binding.get("binding_key") if isinstance(binding, dict) else None
        if not isinstance(key, str):
            continue
        if key in seen:
            first = resource.place(dict(fields.items_at("bindings"))[seen[key]])
            summary = f"binding {resource.reporter.quote(key, node)} is declared twice"
            path = f"{fields.below('bindings')}[{index}]"
            resource.reporter.report("declared-twice", node, summary, path=path, notes=(f"the other: {first}",))
        seen.setdefault(key, index)
    return bindings


def _deploy(fields: Fields, resource: Resource) -> Deploy | None:
    declared = fields.record("deploy")
    if declared is None:
        return None
    environments = tuple(dict.fromkeys(declared.texts("environments")))
    optimize = Optimize(declared.text("optimize") or Optimize.SUGGEST.value)
    report = resource.reporter.report
    seen: set[object] = set()
    for index, node in declared.items_at("environments"):
        name = getattr(node, "value", None)
        if isinstance(name, str) and name in seen:
            path = f"{declared.below('environments')}[{index}]"
            report("repeated-value", node, f"{resource.reporter.quote(name, node)} is in the list already", path=path)
        seen.add(name)
    if optimize is Optimize.AUTO:
        at, path = declared.at("optimize"), declared.below("optimize")
        variant = fields.text("variant")
        if variant is not None and variant != "auto":
            summary = "optimize: auto chooses the variant, and this slot pins one: leave out one of the two"
            report("auto-with-pinned-variant", at, summary, path=path)
        if "development" in environments:
            summary = "optimize: auto in development: Octomil rolls better variants out to staging and production only"
            report("auto-in-development", at, summary, path=path)
    return Deploy(
        environments=environments,
        optimize=optimize,
        min_improvement=declared.number("minImprovement"),
        origin=resource.place(declared.node),
    )
