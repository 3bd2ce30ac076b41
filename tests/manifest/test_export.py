"""Export: which parts of a live app are declared, which are left out and why, and that the declaration changes nothing."""

from __future__ import annotations

from typing import Any

import pytest
from tests.support.manifests import NOW
from tests.support.states import child_app, desired_app, live_app, live_deployment, plan_of

from octosync.contract import Contract
from octosync.manifest import Configuration, ExportedApp, export_app, load_manifests, sections_undeclared
from octosync.manifest.yaml.loader import MOST_LEVELS, MOST_NODES
from octosync.model import App, Section, Sensitivity

AUTO = {"routing_mode": "auto", "routing_preference": "local"}
BOTH = {"allow_cloud_fallback": True, "allow_local_fallback": True}


def export(live: App, **more: Any) -> ExportedApp:
    """Export an app and compare the manifest with the live app: it must be valid and its plan must be empty."""
    given: dict[str, Any] = {"contract": Contract(), "sensitivity": Sensitivity(), "claims": {}, **more}
    exported = export_app(live, given.pop("sections", list(Section)), **given)
    if exported.declares:
        found = load_manifests(["-"], configuration=Configuration(), now=NOW, stdin=exported.text.encode())
        assert not found.has_errors, (exported.text, found.diagnostics)
        plan = plan_of(found.state, live)
        assert not plan.errors
        assert not plan.actions
    return exported


def left_out(exported: ExportedApp) -> list[str]:
    """Return the parts that were left out, each with a comment in the manifest."""
    assert all(f"{omission.name} left out: {omission.why}" in str(exported.notes) for omission in exported.left_out)
    return [f"{omission.address} {omission.name}: {omission.why}" for omission in exported.left_out]


def nested(levels: int) -> dict[str, Any]:
    """Return an object with so many nested objects."""
    value: dict[str, Any] = {}
    for _ in range(levels - 1):
        value = {"a": value}
    return value


@pytest.mark.parametrize(
    ("fields", "name", "why"),
    [
        ({"serving_policy": "turbo"}, "servingPolicy", "octosync doesn't know it"),
        ({"serving_policy": {"routing_mode": "fly"}}, "servingPolicy", "octosync doesn't know its routing mode"),
        ({"serving_policy": {"routing_mode": "auto", "fallback": BOTH}}, "servingPolicy", "without a preference"),
        ({"serving_policy": {**AUTO, "fallback": {"allow_cloud_fallback": True}}}, "servingPolicy", "lacks a fallback setting"),
        ({"serving_policy": {"routing_mode": "cloud_only", "fallback": BOTH}}, "servingPolicy", "never runs on the device"),
        ({"preferred_engines": ["mlx", ""]}, "preferredEngines", "it is empty"),
        ({"preferred_engines": ["a\x07"]}, "preferredEngines", "control character"),
        ({"public_client_allowed": "true"}, "publicClientAllowed", "not a boolean"),
        ({"bindings": ["main"]}, "bindings", "not an object"),
        ({"bindings": [{"binding_key": "a"}, {"binding_key": "a"}]}, "bindings", "the same binding_key"),
        ({"bindings": [{"auth": {"token": "x"}}]}, "bindings", "(`[0].auth.token`)"),
        ({"bindings": [{"a": "\x00"}]}, "bindings", "control character"),
        ({"bindings": [nested(MOST_LEVELS - 4)]}, "bindings", "nested deeper"),
    ],
)  # fmt: skip
def test_only_the_field_that_cannot_be_declared_is_left_out(fields: dict[str, Any], name: str, why: str) -> None:
    """The slot and its other fields are still declared, and the reason is a comment at the slot."""
    exported = export(live_app("demo", slots={"chat": fields, "vision": {}}))
    (omission,) = left_out(exported)
    assert omission.startswith(f"app/demo/slot/chat {name}: ")
    assert why in omission
    assert [slot.capability for slot in exported.app.slots] == ["chat", "vision"]
    assert Section.SLOTS in exported.app.complete_sections


@pytest.mark.parametrize(
    ("config", "why"),
    [
        (nested(MOST_LEVELS - 1), f"nested deeper than a manifest may be ({MOST_LEVELS} levels)"),
        ({"a": [0] * MOST_NODES}, "more values than a manifest may have"),
        ({"a\x07": 1}, "a key in it holds a control character"),
        ({"k" * 1100: 1}, "a key in it is too long"),
        ({"é\u202e" * 150: 1}, "a key in it is too long"),
        ({"a": 10**400}, "a number in it is too long"),
        ({"a": ["\ud800"]}, "a string in it contains a control character"),
        ({"a": {"Authorization": "x"}}, "(`a.Authorization`)"),
    ],
)
def test_a_config_that_cannot_be_declared_is_left_out_completely(config: dict[str, Any], why: str) -> None:
    """No part of it is declared, so the live config stays unchanged."""
    exported = export(live_app("demo", config=config))
    (omission,) = left_out(exported)
    assert omission.startswith("app/demo inferenceConfig: ")
    assert why in omission
    assert exported.app.inference_config is None


@pytest.mark.parametrize("config", [nested(MOST_LEVELS - 2), {"a": [0] * 80_000}, {"k" * 900: 1}, {"a": 10**200}, {}])
def test_a_value_just_within_the_limits_is_declared(config: dict[str, Any]) -> None:
    """The limits are those of the loader, and nothing within them is left out."""
    assert left_out(export(live_app("demo", config=config))) == []


def test_a_list_with_a_member_that_cannot_be_declared_is_not_owned() -> None:
    """The other members are separate documents: a list without this member would delete it."""
    exported = export(live_app("demo", targets=["ios:a.b", "android:\x07"], slots={"chat": {}, "Chat!": {}}))
    assert len(left_out(exported)) == 2
    assert not exported.app.complete_sections & {Section.TARGETS, Section.SLOTS}
    assert exported.text.count("kind: AppTarget") == exported.text.count("kind: CapabilitySlot") == 1


def test_an_unknown_platform_leaves_the_list_owned() -> None:
    """A plan ignores such a target, even if the list is owned."""
    exported = export(live_app("demo", targets=["ios:a.b", "toaster:c.d"]))
    assert left_out(exported) == [
        "app/demo target `toaster:c.d`: octosync doesn't know the platform; api.platforms in octosync.yaml adds it"
    ]
    assert Section.TARGETS in exported.app.complete_sections


def test_one_target_is_declared_by_one_app() -> None:
    """If a control plane returns a target for two apps, the manifests of both are valid together."""
    claims: dict[tuple[str, str], str] = {}
    first = export(live_app("a", targets=["ios:a.b"]), claims=claims)
    second = export(live_app("b", targets=["ios:a.b"]), claims=claims)
    assert len(first.app.targets) == 1
    assert left_out(second) == ["app/b target `ios:a.b`: app a declares it, too"]


def test_deployments_that_cannot_be_declared_are_named() -> None:
    """An unknown environment and a capability without a slot are named. A rolled back deployment does not count."""
    deployments = [
        live_deployment("demo", "chat", "production"),
        live_deployment("demo", "chat", "staging", status="rolled_back"),
        live_deployment("demo", "chat", "qa"),
        live_deployment("demo", "vision"),
    ]
    exported = export(live_app("demo", slots={"chat": {}}, deployments=deployments))
    assert left_out(exported) == [
        "app/demo deployment `vision@production`: there is no slot to declare it in",
        "app/demo/slot/chat deploy in `qa`: octosync knows the environments production, staging, development",
    ]
    (slot,) = exported.app.slots
    assert slot.deploy is not None
    assert slot.deploy.environments == ("production",)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("name", "secret-name"),
        ("description", "secret-description"),
        ("identifier", "secret.identifier"),
        ("serving_policy", "cloud_only"),
        ("preferredEngines", "secret-engine"),
        ("*variant*", "secret-variant"),
        ("inferenceconfig", "secret-model"),
    ],
)
def test_a_key_that_is_configured_as_sensitive_is_not_exported(key: str, value: str) -> None:
    """`sensitiveKeys` of octosync.yaml concern the fields of the manifest, too, including comments and the report."""
    live = live_app(
        "demo",
        name="secret-name",
        description="secret-description",
        targets=["ios:secret.identifier"],
        slots={
            "chat": {
                "serving_policy": "cloud_only",
                "preferred_engines": ["secret-engine"],
                "model_variant_id": "secret-variant",
            }
        },
        config={"model": "secret-model"},
    )
    assert value in export(live).text
    exported = export(live, sensitivity=Sensitivity((key,)))
    assert value not in exported.text + str(exported.left_out)


@pytest.mark.parametrize(
    ("declared", "sections"),
    [
        (None, set(Section)),
        (desired_app("demo"), set(Section)),
        (desired_app("demo", targets=[]), set(Section) - {Section.TARGETS}),
        (desired_app("demo", slots={}), {Section.TARGETS, Section.INFERENCE_CONFIG}),
        (child_app("demo", config={"a": 1}), set(Section) - {Section.INFERENCE_CONFIG}),
        (child_app("demo", targets=["ios:a.b"], slots={"chat": {}}), set(Section)),
        (desired_app("demo", archived=True), set()),
    ],
)
def test_unowned_parts_remain_undeclared(declared: App | None, sections: set[Section]) -> None:
    """An owned list leaves nothing undeclared. A list that is not owned leaves its other members."""
    assert sections_undeclared(declared, list(Section)) == sections


def test_no_document_is_written_if_nothing_is_left_to_declare() -> None:
    """The parts left out are reported, and no empty file is written."""
    declared = desired_app("demo", targets=[], slots={})
    exported = export(live_app("demo", config={"api_key": "x"}), declared=declared, sections={Section.INFERENCE_CONFIG})
    assert not exported.declares
    assert exported.text == ""
    assert len(exported.left_out) == 1
