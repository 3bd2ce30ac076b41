"""Exporting: what of a live app is declared, what is left out and why, and that the declaration changes nothing."""

from __future__ import annotations

from typing import Any

import pytest
from tests.support.manifests import NOW
from tests.support.states import child_app, desired_app, live_app, live_deployment, plan_of

from octosync.contract import Contract
from octosync.manifest import Configuration, ExportedApp, export_app, load, sections_undeclared
from octosync.manifest.yaml.loader import MOST_LEVELS, MOST_NODES
from octosync.model import App, Section, Sensitivity

AUTO = {"routing_mode": "auto", "routing_preference": "local"}
BOTH = {"allow_cloud_fallback": True, "allow_local_fallback": True}


def export(live: App, **more: Any) -> ExportedApp:
    """Export an app, and hold the manifest against what is live: it must be valid and plan to nothing."""
    given: dict[str, Any] = {"contract": Contract(), "sensitivity": Sensitivity(), "claims": {}, **more}
    exported = export_app(live, given.pop("sections", list(Section)), **given)
    if exported.declares:
        found = load(["-"], configuration=Configuration(), now=NOW, stdin=exported.text.encode())
        assert not found.has_errors, (exported.text, found.diagnostics)
        plan = plan_of(found.state, live)
        assert not plan.errors
        assert not plan.actions
    return exported


def left_out(exported: ExportedApp) -> list[str]:
    """Return what was left out, each of it with a comment in the manifest."""
    assert all(f"{one.name} left out: {one.why}" in str(exported.notes) for one in exported.left_out)
    return [f"{one.address} {one.name}: {one.why}" for one in exported.left_out]


def nested(levels: int) -> dict[str, Any]:
    """Return an object of so many objects, one in another."""
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
def test_a_field_that_cant_be_declared_is_left_out_alone(fields: dict[str, Any], name: str, why: str) -> None:
    """The slot and its other fields are declared all the same, and the reason stands at the slot."""
    exported = export(live_app("demo", slots={"chat": fields, "vision": {}}))
    (one,) = left_out(exported)
    assert one.startswith(f"app/demo/slot/chat {name}: ")
    assert why in one
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
def test_a_config_that_cant_be_declared_is_left_out_whole(config: dict[str, Any], why: str) -> None:
    """Nothing of it is declared, so what is live stays as it is."""
    exported = export(live_app("demo", config=config))
    (one,) = left_out(exported)
    assert one.startswith("app/demo inferenceConfig: ")
    assert why in one
    assert exported.app.inference_config is None


@pytest.mark.parametrize("config", [nested(MOST_LEVELS - 2), {"a": [0] * 80_000}, {"k" * 900: 1}, {"a": 10**200}, {}])
def test_what_is_just_within_the_limits_is_declared(config: dict[str, Any]) -> None:
    """The limits are the loader's own, and nothing is left out for less."""
    assert left_out(export(live_app("demo", config=config))) == []


def test_a_list_with_a_member_that_cant_be_declared_is_not_owned() -> None:
    """The others are documents of their own: a list without the member would delete it."""
    exported = export(live_app("demo", targets=["ios:a.b", "android:\x07"], slots={"chat": {}, "Chat!": {}}))
    assert len(left_out(exported)) == 2
    assert not exported.app.complete_sections & {Section.TARGETS, Section.SLOTS}
    assert exported.text.count("kind: AppTarget") == exported.text.count("kind: CapabilitySlot") == 1


def test_a_platform_that_is_not_known_leaves_the_list_owned() -> None:
    """A plan leaves such a target alone, whoever owns the list."""
    exported = export(live_app("demo", targets=["ios:a.b", "toaster:c.d"]))
    assert left_out(exported) == [
        "app/demo target `toaster:c.d`: octosync doesn't know the platform; api.platforms in octosync.yaml adds it"
    ]
    assert Section.TARGETS in exported.app.complete_sections


def test_one_target_is_declared_by_one_app() -> None:
    """Where a control plane answers one for two apps, the manifests of both are valid together."""
    claims: dict[tuple[str, str], str] = {}
    first = export(live_app("a", targets=["ios:a.b"]), claims=claims)
    second = export(live_app("b", targets=["ios:a.b"]), claims=claims)
    assert len(first.app.targets) == 1
    assert left_out(second) == ["app/b target `ios:a.b`: app a declares it, too"]


def test_deployments_that_cant_be_declared_are_named() -> None:
    """An environment that octosync doesn't know, and a capability without a slot; what was rolled back isn't there."""
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
    """`sensitiveKeys` of octosync.yaml holds for the manifest's own fields, too, comments and report included."""
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
def test_what_manifests_leave_undeclared_is_what_they_dont_own(declared: App | None, sections: set[Section]) -> None:
    """A list that is owned leaves nothing to declare; one that is not, its other members."""
    assert sections_undeclared(declared, list(Section)) == sections


def test_no_document_where_all_is_declared_or_left_out() -> None:
    """What is left is said, and an empty file is none."""
    declared = desired_app("demo", targets=[], slots={})
    exported = export(live_app("demo", config={"api_key": "x"}), declared=declared, sections={Section.INFERENCE_CONFIG})
    assert not exported.declares
    assert exported.text == ""
    assert len(exported.left_out) == 1
