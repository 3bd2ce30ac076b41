"""Assembling documents into the desired state."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from tests.support.manifests import NOW, Workspace, app, child, only, rules, slot

from octosync.contract import PRESETS
from octosync.model import App, Deploy, InferenceConfig, Optimize, Section, Suspension

WHOLE = """\
name: Canary demo
description: Voice notes that answer back
targets:
  - {platform: ios, identifier: com.octomil.canary-demo}
  - {platform: browser, identifier: "https://demo.example.com"}
slots:
  - capability: vision
  - capability: chat
    variant: auto
    servingPolicy: local_first
    preferredEngines: [coreml, mlx]
    publicClientAllowed: false
    bindings: [{binding_key: b}, {binding_key: a, x: null}]
    deploy: {environments: [production, staging], optimize: auto, minImprovement: 0.05}
inferenceConfig:
  model: "@app/canary-demo/chat"
  parameters: {temperature: 0.2, max_tokens: 512}
"""

# The sections that a manifest can own. Deployments follow from its slots.
LISTS = set(Section) - {Section.DEPLOYMENTS}


def loaded(workspace: Workspace, text: str) -> App:
    found = workspace.load_text(text)
    assert not found.has_errors, found.diagnostics
    return found.state.apps["demo"]


def test_an_app_becomes_fields_and_sections_with_wire_names(workspace: Workspace) -> None:
    """Presets are expanded, bindings ordered, `variant: auto` declares no variant, and environments keep their order."""
    found = loaded(workspace, app(WHOLE, metadata="labels: {team: assistants}"))
    assert found.fields == {"name": "Canary demo", "description": "Voice notes that answer back"}
    assert found.complete_sections == LISTS
    assert [target.unique_key for target in found.targets] == [
        ("browser", "https://demo.example.com"),
        ("ios", "com.octomil.canary-demo"),
    ]
    chat, vision = found.slots
    assert chat.fields == {
        "serving_policy": PRESETS["local_first"],
        "preferred_engines": ["coreml", "mlx"],
        "public_client_allowed": False,
        "bindings": [{"binding_key": "a", "x": None}, {"binding_key": "b"}],
    }
    assert chat.deploy is not None
    assert (chat.deploy.environments, chat.deploy.optimize) == (("production", "staging"), Optimize.AUTO)
    assert chat.deploy.min_improvement == 0.05
    assert (vision.fields, vision.deploy) == ({}, None)
    assert found.inference_config is not None
    assert found.inference_config.config == {
        "model": "@app/canary-demo/chat",
        "parameters": {"temperature": 0.2, "max_tokens": 512},
    }
    assert found.labels == {"team": "assistants"}


def test_every_declaration_has_its_origin(workspace: Workspace) -> None:
    """App, target, slot, deploy and inference config have file, line and column."""
    found = loaded(workspace, app(WHOLE))
    deploy = found.slots[0].deploy
    assert isinstance(deploy, Deploy)
    assert isinstance(found.inference_config, InferenceConfig)
    places = [
        found.origin,
        found.targets[1].origin,
        found.slots[0].origin,
        deploy.origin,
        found.inference_config.origin,
    ]
    assert [str(place) for place in places] == [
        "app.yaml:1:1",
        "app.yaml:9:7",
        "app.yaml:13:7",
        "app.yaml:19:15",
        "app.yaml:20:3",
    ]


def test_an_absent_section_is_not_owned(workspace: Workspace) -> None:
    """An App with only a slug owns its existence. An empty list owns the list."""
    bare = loaded(workspace, app())
    assert (bare.fields, bare.complete_sections, bare.sections) == ({}, frozenset(), frozenset())
    assert (bare.declared, bare.archived, bare.protected, bare.suspension) == (True, False, False, None)
    empty = loaded(workspace, app("targets: []\nslots: []\ninferenceConfig: null"))
    assert empty.complete_sections == LISTS
    assert empty.inference_config is not None
    assert empty.inference_config.config is None


def test_a_pinned_variant_is_declared(workspace: Workspace) -> None:
    """Only `auto` leaves the variant to Octomil."""
    assert loaded(workspace, slot("variant: phi-4-mini-q4")).slots[0].fields == {"model_variant_id": "phi-4-mini-q4"}


@pytest.mark.parametrize(
    ("policy", "expected"),
    [
        (
            "{routingMode: auto, routingPreference: cloud, fallback: {allowCloudFallback: true, allowLocalFallback: false}}",
            {
                "routing_mode": "auto",
                "routing_preference": "cloud",
                "fallback": {"allow_cloud_fallback": True, "allow_local_fallback": False},
            },
        ),
        (
            "{routingMode: local_only, fallback: {allowCloudFallback: false, allowLocalFallback: true}}",
            PRESETS["private"],
        ),
        ("private", PRESETS["local_only"]),
    ],
)
def test_a_policy_is_declared_by_name_or_as_an_object(workspace: Workspace, policy: str, expected: object) -> None:
    """The object has the fields of the API, in the spelling of manifests."""
    assert loaded(workspace, slot(f"servingPolicy: {policy}")).slots[0].fields == {"serving_policy": expected}


@pytest.mark.parametrize(
    ("policy", "expected"),
    [
        ("{}", ["missing-field", "missing-field"]),
        ("{routingMode: auto, fallback: {allowCloudFallback: true, allowLocalFallback: true}}", ["missing-field"]),
        ("{routingMode: local_only, fallback: {allowLocalFallback: true}}", ["missing-field"]),
        ("{routingMode: fast, fallback: {allowCloudFallback: true, allowLocalFallback: true}}", ["invalid-value"]),
        (
            "{routingMode: auto, routingPreference: x, fallback: {allowCloudFallback: true, allowLocalFallback: true}}",
            ["invalid-value"],
        ),
        (
            "{routingMode: cloud_only, fallback: {allowCloudFallback: true, allowLocalFallback: true}}",
            ["contradictory-policy"],
        ),
        ("{routingMode: cloud_only, fallback: {allowCloudFallback: false, allowLocalFallback: false}}", []),
    ],
)
def test_a_policy_is_one_value_and_complete(workspace: Workspace, policy: str, expected: list[str]) -> None:
    """Mode and both fallbacks are required, the preference if and only if the mode is auto.

    Two combinations contradict themselves.
    """
    assert rules(workspace.load_text(slot(f"servingPolicy: {policy}"))) == expected


TARGET = child(
    "AppTarget", "app: demo\nplatform: ios\nidentifier: com.example.demo", metadata="name: t\nlabels: {team: a}"
)
SLOT = child(
    "CapabilitySlot", "app: demo\ncapability: chat\nservingPolicy: cloud_only", metadata="labels: {team: b, tier: x}"
)
CONFIG = child("InferenceConfig", "app: demo\nconfig: {a: 1}")


def test_children_alone_own_only_themselves(workspace: Workspace) -> None:
    """Without an App document, the app is not declared and no list is owned. The labels of the children apply."""
    found = loaded(workspace, f"{SLOT}---\n{TARGET}---\n{CONFIG}")
    assert (found.declared, found.complete_sections, found.fields) == (False, frozenset(), {})
    assert found.sections == LISTS
    assert found.labels == {"team": "b", "tier": "x"}
    assert found.slots[0].fields == {"serving_policy": PRESETS["cloud_only"]}
    assert found.inference_config is not None
    assert found.inference_config.config == {"a": 1}


def test_children_add_to_an_app_that_owns_the_list(workspace: Workspace) -> None:
    """The order and the files of the documents do not matter."""
    own = app("targets:\n  - {platform: macos, identifier: com.example.mac}", metadata="labels: {team: own}")
    workspace.write({"z.yaml": own, "a.yaml": TARGET, "b.json": SLOT, "c.yaml": CONFIG})
    found = workspace.load().state.apps["demo"]
    assert (found.declared, found.complete_sections, found.labels) == (
        True,
        frozenset({Section.TARGETS}),
        {"team": "own"},
    )
    assert [target.platform for target in found.targets] == ["ios", "macos"]
    assert len(found.slots) == 1


@pytest.mark.parametrize(
    ("texts", "rule", "place"),
    [
        ((app(), app()), "duplicate-app", "b.yaml:4:9"),
        ((TARGET, TARGET), "declared-twice", "b.yaml:9:15"),
        ((app("targets:\n  - {platform: ios, identifier: com.example.demo}"), TARGET), "declared-twice", "b.yaml:9:15"),
        ((SLOT, SLOT), "duplicate-slot", "b.yaml:7:15"),
        ((app("slots:\n  - capability: chat"), SLOT), "duplicate-slot", "b.yaml:7:15"),
        ((CONFIG, CONFIG), "declared-twice", "b.yaml:5:3"),
        ((app("inferenceConfig: null"), CONFIG), "declared-twice", "b.yaml:5:3"),
        ((TARGET, TARGET.replace("app: demo", "app: edam")), "target-claimed-twice", "b.yaml:9:15"),
    ],
)
def test_a_duplicate_declaration_shows_both_places(
    workspace: Workspace, texts: tuple[str, str], rule: str, place: str
) -> None:
    """The error has the later place, and its note the earlier one."""
    workspace.write(dict(zip(("a.yaml", "b.yaml"), texts, strict=True)))
    found = only(workspace.load())
    assert (found.rule, str(found.origin)) == (rule, place)
    assert found.notes[0].startswith("the other: a.yaml:")


def test_a_binding_key_is_declared_once(workspace: Workspace) -> None:
    """Bindings without a key, or with a key of another type, are not compared."""
    text = slot("bindings: [{binding_key: a}, {x: 1}, {binding_key: 1}, {binding_key: 1}, {binding_key: a}]")
    found = only(workspace.load_text(text))
    assert (found.rule, found.path) == ("declared-twice", "spec.slots[0].bindings[4]")


def test_protection_and_suspension_in_any_document_concern_the_whole_app(workspace: Workspace) -> None:
    """Protection and suspension in any document of an app concern the app. The longest suspension counts."""
    workspace.write(
        {
            "a.yaml": app(metadata='annotations: {octosync.dev/suspend: "2026-04-01T00:00:00Z"}'),
            "b.yaml": child(
                "InferenceConfig", "app: demo\nconfig: {}", metadata='annotations: {octosync.dev/protect: "true"}'
            ),
            "c.yaml": child(
                "AppTarget",
                "app: demo\nplatform: ios\nidentifier: a.b",
                metadata='annotations: {octosync.dev/suspend: "2026-05-01T02:00:00+02:00"}',
            ),
        }
    )
    found = workspace.load().state.apps["demo"]
    assert found.protected
    assert found.suspension == Suspension(datetime(2026, 5, 1, tzinfo=UTC))
    workspace.write(
        {
            "d.yaml": child(
                "CapabilitySlot", "app: demo\ncapability: tts", metadata='annotations: {octosync.dev/suspend: "true"}'
            )
        }
    )
    assert workspace.load().state.apps["demo"].suspension == Suspension()


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("yes", ["invalid-annotation"]),
        ("2030-01-01", ["invalid-annotation"]),
        ("2030-01-01T00:00:00", ["invalid-annotation"]),
        ("2030-13-01T00:00:00Z", ["invalid-annotation"]),
        ("2030-01-01T00:00:00z", []),
        ("2030-01-01t00:00:00.123456789+02:00", []),
        ((NOW + timedelta(seconds=1)).isoformat(), []),
        (NOW.isoformat(), ["suspension-over"]),
        ("true", []),
        ("false", []),
    ],
)
def test_a_suspension_is_true_or_a_time_with_a_zone(workspace: Workspace, value: str, expected: list[str]) -> None:
    """A time in the past is a warning, any other value an error."""
    assert rules(workspace.load_text(app(metadata=f'annotations: {{octosync.dev/suspend: "{value}"}}'))) == expected


@pytest.mark.parametrize(
    ("value", "protected", "expected"),
    [("true", True, []), ("false", False, []), ("on", False, ["invalid-annotation"])],
)
def test_protection_is_true_or_false(workspace: Workspace, value: str, protected: bool, expected: list[str]) -> None:
    """Any other value is an error: a protection without effect is worse than none."""
    found = workspace.load_text(app(metadata=f'annotations: {{octosync.dev/protect: "{value}"}}'))
    assert (found.state.apps["demo"].protected, rules(found)) == (protected, expected)


def test_an_archive_that_frees_its_identifiers_has_no_warning(workspace: Workspace) -> None:
    """`targets: []` frees them. The target of a child document, or a list with a target, does not."""
    freed = app("archived: true\ntargets: []")
    assert workspace.load_text(freed).state.apps["demo"].archived
    assert rules(workspace.load_text(freed)) == []
    assert rules(workspace.load_text(freed + "---\n" + TARGET)) == ["archive-strands-identifiers"]


def test_a_child_of_an_archived_app_is_not_deployed(workspace: Workspace) -> None:
    """The error has the place of the deploy."""
    deployed = child("CapabilitySlot", "app: demo\ncapability: chat\ndeploy: {environments: [staging]}")
    workspace.write({"a.yaml": deployed, "b.yaml": app("archived: true\ntargets: []")})
    found = only(workspace.load())
    assert (found.rule, str(found.origin), found.path) == ("deploy-on-archived", "a.yaml:6:3", "spec.deploy")


def test_repeated_environments_count_once(workspace: Workspace) -> None:
    """A repeated environment is a warning. Repeated engines are kept as written."""
    found = workspace.load_text(slot("preferredEngines: [mlx, mlx]\ndeploy: {environments: [staging, staging]}"))
    assert rules(found) == ["repeated-value"] * 2
    (declared,) = found.state.apps["demo"].slots
    assert declared.deploy is not None
    assert (declared.fields["preferred_engines"], declared.deploy.environments) == (["mlx", "mlx"], ("staging",))


@pytest.mark.parametrize(
    ("platform", "identifier", "fits"),
    [
        ("ios", "com.example.app-1", True), ("macos", "com.example", True), ("android", "com.example.app_1", True),
        ("ios", "example", False), ("android", "com..example", False), ("macos", "com.example/x", False),
        ("browser", "https://a.example.com", True), ("browser", "http://localhost:3000", True),
        ("browser", "http://[::1]:80", True),
        ("browser", "https://a.example.com/", False), ("browser", "a.example.com", False),
        ("linux", "anything at all", True), ("windows", "Contoso.App_8wekyb3d8bbwe", True),
    ],
)  # fmt: skip
def test_identifiers_match_their_platform(workspace: Workspace, platform: str, identifier: str, fits: bool) -> None:
    """Reverse-DNS for Apple's and Android's, an origin for browsers, anything elsewhere. A wrong shape is a warning."""
    found = workspace.load_text(app(f'targets:\n  - {{platform: {platform}, identifier: "{identifier}"}}'))
    assert rules(found) == ([] if fits else ["identifier-shape"])
    assert not found.has_errors
